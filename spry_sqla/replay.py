"""Events to state: which events count, in which order, from which snapshot.

Events arrive in the order of their ids. One is taken into the state only when it is the next of
its origin and when everything that it had seen of other origins has been taken: what a state has
seen is then always describable by its vector. What cannot be taken yet stays out of state, vector
and snapshot. Nothing here does I/O.
"""

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

import msgspec

from spry_sqla.codec import MISFIT
from spry_sqla.domain import ActorKind, Domain
from spry_sqla.errors import DefinitionError, UnreadableContent
from spry_sqla.operations import Run, StoredSnapshot
from spry_sqla.records import EventRecord, StoredEvent, Vector, parse_tag

A = TypeVar("A")


class OutOfOrder(Exception):
    """An event arrived that sorts before one already taken: a late one; the replay starts anew."""


class Replay(Generic[A]):
    """A state on its way through its events.

    `taken` is the vector of the state, `read` the position up to which each origin was read,
    `version` the number of events in the state, `last` the id of the newest of them; `newest` is
    the greatest id that was read, of an event that was taken or not, or of a mapping.
    """

    __slots__ = (
        "_decode",
        "_quick",
        "_table",
        "actor_id",
        "kind",
        "last",
        "last_command",
        "newest",
        "read",
        "snapshot",
        "snapshot_version",
        "state",
        "taken",
        "version",
    )

    def __init__(self, domain: Domain, kind: ActorKind[A], actor_id: str) -> None:
        self.kind = kind
        self.actor_id = actor_id
        self.state: A = kind.zero()
        self.taken: Vector = {}
        self.read: Vector = {}
        self.version = 0
        self.last = ""
        self.last_command = ""
        self.newest = ""
        self.snapshot: str | None = None
        self.snapshot_version = 0
        self._decode = domain.decode_event
        self._quick = domain.decoders
        self._table = kind.tables.events.name

    def resume(self, snapshot: StoredSnapshot, vector: Vector) -> None:
        """Begin from a snapshot. Raises UnreadableContent when it does not hold such a state."""
        if not vector or snapshot.version < 1:
            raise UnreadableContent(
                f"a snapshot in {self.kind.tables.snapshots.name} has no usable vector"
            )
        self.state = self.kind.codec.decode(snapshot.state)
        self.taken = dict(vector)
        self.read = dict(vector)
        self.version = self.snapshot_version = snapshot.version
        self.last = self.newest = snapshot.last_event
        self.snapshot = snapshot.id

    def take(
        self,
        events: Iterable[StoredEvent | EventRecord],
        *,
        version: int | None = None,
        until: str | None = None,
    ) -> bool:
        """Take what can be taken, up to a version or an id; False when that end is reached.

        Raises OutOfOrder, and what decoding and the application's `apply` raise.
        """
        state, taken, read, decode, table = (
            self.state,
            self.taken,
            self.read,
            self._decode,
            self._table,
        )
        for event in events:
            if until is not None and event.id > until:
                return False
            if self.version == version:
                return False
            read[event.origin] = event.sequence
            self.newest = max(self.newest, event.id)
            if not self.visible(event):
                continue
            if event.id <= self.last:
                raise OutOfOrder
            state = apply(
                decode(event.type, event.type_version, event.content, table), state, self.kind
            )
            taken[event.origin] = event.sequence
            self.version += 1
            self.last = event.id
            self.state = state
        return self.version != version

    def take_run(self, run: Run, version: int | None = None) -> None:
        """Take a run, up to a version: nothing of it needs to be looked at but what it says."""
        rows = run.rows if version is None else run.rows[: max(0, version - self.version)]
        state, kind, quick = self.state, self.kind, self._quick
        known_as, decode = "", None
        for tag, content in rows:
            if tag != known_as:
                known_as, decode = tag, quick.get(tag)
            try:
                event = None if decode is None else decode(content)
            except MISFIT:
                event = None
            if event is None:
                event = self._decode(*parse_tag(tag), content, self._table)
            changed = event.apply(state)
            if changed is not None:
                state = _checked(changed, event, kind)
        self.state = state
        if rows:
            self.version += len(rows)
            taken = self.taken.get(run.origin, 0) + len(rows)
            self.taken[run.origin] = self.read[run.origin] = taken
            self.last = self.newest = run.head

    def visible(self, event: StoredEvent | EventRecord) -> bool:
        """Whether an event is the next of its origin, and nothing that it had seen is missing."""
        taken = self.taken
        if event.sequence != taken.get(event.origin, 0) + 1:
            return False
        if event.seen is None:
            return True
        seen = decode_vector(event.seen)
        return all(taken.get(origin, 0) >= sequence for origin, sequence in seen.items())

    def alone(self, origin: str) -> bool:
        """Whether all events that were read are of this origin, and in the state."""
        return self.read.keys() == {origin} and self.taken == self.read

    def twin(self) -> "Replay[A]":
        """The same again, with nothing shared that changes."""
        twin: Replay[A] = object.__new__(type(self))  # half as long as `copy.copy` takes
        for name in self.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.state = self.kind.codec.copy(self.state)
        twin.taken, twin.read = dict(self.taken), dict(self.read)
        return twin

    def seen_of_others(self, origin: str) -> str | None:
        """What an event of `origin` decided on this state has seen of the others, as JSON."""
        others = {name: taken for name, taken in self.taken.items() if name != origin}
        return encode_vector(others) if others else None


def apply(event: Any, state: A, kind: ActorKind[A]) -> A:
    """The state after an event: what `apply` returns, or what it changed."""
    changed = event.apply(state)
    return state if changed is None else _checked(changed, event, kind)


def _checked(changed: Any, event: Any, kind: ActorKind[A]) -> A:
    if type(changed) is not kind.cls:
        raise DefinitionError(
            f"{type(event).__qualname__}.apply returned {type(changed).__qualname__} for a "
            f"{kind.cls.__qualname__}; it must return a new {kind.cls.__qualname__}, or None after "
            "changing the one that it was given"
        )
    state: A = changed
    return state


def encode_vector(vector: Vector) -> str:
    """A vector as JSON text, its origins sorted."""
    return msgspec.json.encode(vector, order="sorted").decode()


def decode_vector(text: str) -> Vector:
    """A vector from its JSON text."""
    vector: Vector = _vectors.decode(text)
    return vector


_vectors = msgspec.json.Decoder(dict[str, int])
