"""Actors as their last commands and reads left them, so that the next one needs no load.

Nothing is decided on what is remembered alone: an append that relies on it says so, and the storage
refuses it when the actor has moved. So it is as if it had been loaded at the moment of the append.
"""

from collections import OrderedDict
from contextlib import suppress
from typing import Generic, TypeVar

from spry_sqla.replay import Replay

A = TypeVar("A")

CALM = 10
"""Uses of an actor that others were seen to move, before it is remembered again."""


class Cache(Generic[A]):
    """Replays of one actor type by the digests of identifiers; what was used longest ago goes.

    What is taken is gone until it is put back: no two commands change one replay. An actor has one
    place, by the name that was used last. Threads may share it; it has no lock, which a fork could
    leave locked for ever.
    """

    __slots__ = ("_moved", "_names", "_replays", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._replays: OrderedDict[bytes, Replay[A]] = OrderedDict()
        self._names: dict[str, bytes] = {}
        self._moved: OrderedDict[bytes, int] = OrderedDict()

    def take(self, digest: bytes) -> Replay[A] | None:
        """Take out what identifiers reach; None where that is not remembered."""
        replay = self._replays.pop(digest, None)
        if replay is not None:
            self._names.pop(replay.actor_id, None)
        return replay

    def put(self, digest: bytes, replay: Replay[A]) -> None:
        """Remember whom identifiers reach; nobody else changes the replay from now on."""
        if not self.size or self._is_moving(digest):
            return
        known = self._names.get(replay.actor_id)
        if known is not None and known != digest:
            self._replays.pop(known, None)
        self._replays[digest] = replay
        self._names[replay.actor_id] = digest
        if len(self._replays) > self.size:
            with suppress(KeyError):  # another thread has taken the last one
                _, oldest = self._replays.popitem(last=False)
                self._names.pop(oldest.actor_id, None)

    def moved(self, digest: bytes) -> None:
        """Others have moved whom identifiers reach, and may do so again."""
        if not self.size:
            return
        self._moved[digest] = CALM
        if len(self._moved) > self.size:
            with suppress(KeyError):
                self._moved.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        self._replays.clear()
        self._names.clear()
        self._moved.clear()

    def _is_moving(self, digest: bytes) -> bool:
        uses = self._moved.pop(digest, 0)
        if uses > 1:
            self._moved[digest] = uses - 1
        return uses > 0
