"""Actors as their last commands left them, so that the next command needs no load.

Nothing is decided on what is remembered alone: an append that relies on it says so, and the storage
refuses it when the actor has moved. So it is as if it had been loaded at the moment of the append.
"""

from contextlib import suppress
from typing import Generic, TypeVar

from spry_sqla.replay import Replay

A = TypeVar("A")


class Cache(Generic[A]):
    """Replays of one actor type by the digests of identifiers; what was used longest ago goes.

    What is taken is gone until it is put back: no two commands change one replay. Threads may share
    it; it has no lock, which a fork could leave locked for ever.
    """

    __slots__ = ("_replays", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._replays: dict[bytes, Replay[A]] = {}

    def take(self, digest: bytes) -> Replay[A] | None:
        """Take out what identifiers reach; None where that is not remembered."""
        return self._replays.pop(digest, None)

    def clear(self) -> None:
        """Forget all."""
        self._replays.clear()

    def put(self, digest: bytes, replay: Replay[A]) -> None:
        """Remember whom identifiers reach; nobody else changes the replay from now on."""
        self._replays[digest] = replay
        while len(self._replays) > self._size:
            with suppress(StopIteration, RuntimeError):  # another thread took or put one
                self._replays.pop(next(iter(self._replays)), None)
