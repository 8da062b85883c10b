"""The four stores in plain Python: the model that other adapters are compared with.

Fast, for an application's own unit tests; nothing survives the process. It keeps encoded records,
as a database does, so that what cannot be stored fails here, too. One lock makes every operation
whole.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from heapq import nsmallest
from operator import attrgetter
from threading import Lock, get_ident
from typing import Any

from spry_sqla.errors import StorageUnavailable
from spry_sqla.operations import (
    NO_ID,
    Head,
    StoredSnapshot,
)
from spry_sqla.records import (
    CommandRecord,
    EventRecord,
    LinkRecord,
    MappingRecord,
    SnapshotRecord,
    StoredEvent,
    tag_of,
)
from spry_sqla.stores import KeyTaken, vector_of
from spry_sqla.units import Adapter

WAIT = 30.0
"""Seconds that a transaction of others is waited for."""

_sequence = attrgetter("sequence")
_id = attrgetter("id")


class Journal:
    """What to undo when an append turns out to conflict."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def note(self, undo: Callable[[], object]) -> None:
        """Remember how to undo what was just done."""
        self._undo.append(undo)

    def mark(self) -> int:
        """Where to roll back to."""
        return len(self._undo)

    def roll_back(self, mark: int = 0) -> None:
        """Undo everything since a mark, the last first."""
        while len(self._undo) > mark:
            self._undo.pop()()

    def forget(self) -> None:
        """Keep everything."""
        self._undo.clear()

    def claim(self, index: dict[Any, Any], key: Any, value: Any) -> None:
        """Put a value under a unique key. Raises KeyTaken."""
        if key in index:
            raise KeyTaken
        index[key] = value
        self.note(lambda: index.pop(key))

    def insert(self, rows: list[Any], row: Any, key: Callable[[Any], Any]) -> None:
        """Put a row into a sorted list."""
        at = bisect_left(rows, key(row), key=key)
        rows.insert(at, row)
        self.note(lambda: rows.pop(at))  # what came later is undone before


class MemoryCommands:
    """The causal log, in memory."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._by_id: dict[str, CommandRecord] = {}
        self._by_key: dict[str, dict[str, str]] = {}

    def append(self, commands: Sequence[CommandRecord]) -> None:
        for command in commands:
            self._journal.claim(self._by_id, command.id, command)
            if command.idempotency_key is not None:
                by_origin = self._by_key.setdefault(command.idempotency_key, {})
                self._journal.claim(by_origin, command.origin, command.id)

    def with_keys(self, keys: Sequence[str]) -> dict[str, str]:
        used = ((key, self._by_key.get(key)) for key in keys)
        return {key: min(by_origin.values()) for key, by_origin in used if by_origin}

    def read(self, ids: Sequence[str]) -> list[CommandRecord]:
        return [self._by_id[command_id] for command_id in ids if command_id in self._by_id]


class MemoryEvents:
    """The streams, in memory: actor → origin → events by sequence."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._streams: dict[str, dict[str, list[EventRecord]]] = {}
        self.by_id: dict[str, EventRecord] = {}

    def append(self, events: Sequence[EventRecord]) -> None:
        for event in events:
            stream = self._streams.setdefault(event.actor_id, {}).setdefault(event.origin, [])
            if self.at(event.actor_id, event.origin, event.sequence) is not None:
                raise KeyTaken
            self._journal.claim(self.by_id, event.id, event)
            self._journal.insert(stream, event, _sequence)

    def head(self, actor_id: str, origin: str) -> Head:
        match self.origins(actor_id):
            case []:
                return Head(None, 0, True)
            case [only] if only == origin:
                newest = self._streams[actor_id][origin][-1]
                return Head(newest.id, newest.sequence, True)
            case _:
                return Head(None, 0, False)

    def run(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> Sequence[tuple[str, str]]:
        return [
            (tag_of(event.type, event.type_version), event.content)
            for event in self.rows_after(actor_id, origin, sequence, limit)
            if event.seen is None
        ]

    def origins(self, actor_id: str) -> list[str]:
        return [origin for origin, events in self._streams.get(actor_id, {}).items() if events]

    def after(self, actor_id: str, origin: str, sequence: int, limit: int) -> list[StoredEvent]:
        return [
            StoredEvent(
                event.id,
                event.origin,
                event.sequence,
                event.seen,
                event.type,
                event.type_version,
                event.content,
            )
            for event in self.rows_after(actor_id, origin, sequence, limit)
        ]

    def rows_after(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> list[EventRecord]:
        stream = self._streams.get(actor_id, {}).get(origin, [])
        begin = bisect_right(stream, sequence, key=_sequence)
        return stream[begin : begin + limit]

    def at(self, actor_id: str, origin: str, sequence: int) -> EventRecord | None:
        """The event of one sequence, None where it is not there."""
        found = self.rows_after(actor_id, origin, sequence - 1, 1)
        return found[0] if found and found[0].sequence == sequence else None


class MemoryMaps:
    """Identifiers to actors, in memory."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._by_digest: dict[bytes, list[MappingRecord]] = {}
        self._by_id: dict[str, MappingRecord | LinkRecord] = {}
        self._claims: dict[tuple[bytes, str], str] = {}
        self._by_actor: dict[str, list[MappingRecord]] = {}

    def append(self, mappings: Sequence[MappingRecord]) -> None:
        for mapping in mappings:
            self._journal.claim(self._by_id, mapping.id, mapping)
            self._journal.claim(self._claims, (mapping.digest, mapping.origin), mapping.id)
            sharing = self._by_digest.setdefault(mapping.digest, [])
            self._journal.insert(sharing, mapping, _id)
            of_actor = self._by_actor.setdefault(mapping.actor_id, [])
            self._journal.insert(of_actor, mapping, _id)

    def link(self, links: Sequence[LinkRecord]) -> None:
        for link in links:
            self._journal.claim(self._by_id, link.id, link)

    def owners(self, digest: bytes) -> list[tuple[str, str, str]]:
        return [
            (mapping.id, mapping.actor_id, mapping.origin)
            for mapping in self._by_digest.get(digest, [])
        ]

    def last(self) -> str:
        newest = (mappings[-1].id for mappings in self._by_actor.values() if mappings)
        return max(newest, default=NO_ID)

    def page(self, after: str, until: str, limit: int) -> list[tuple[str, str]]:
        rows = (
            (mappings[0].id, mappings[-1].identifiers)
            for mappings in self._by_actor.values()
            if mappings and after < mappings[0].id <= until
        )
        return nsmallest(limit, rows)


class MemorySnapshots:
    """Snapshots, in memory: actor → snapshots by their last event."""

    def __init__(self, journal: Journal, events: MemoryEvents) -> None:
        self._journal = journal
        self._events = events
        self._by_id: dict[str, SnapshotRecord] = {}
        self._by_actor: dict[str, list[SnapshotRecord]] = {}

    def append(self, snapshots: Sequence[SnapshotRecord]) -> None:
        for snapshot in snapshots:
            self._journal.claim(self._by_id, snapshot.id, snapshot)
            of_actor = self._by_actor.setdefault(snapshot.actor_id, [])
            self._journal.insert(of_actor, snapshot, attrgetter("last_event", "id"))

    def newest(
        self,
        actor_id: str,
        fingerprint: str,
        origins: Sequence[str],
        version: int | None,
        until: str | None,
    ) -> StoredSnapshot | None:
        for row in reversed(self._by_actor.get(actor_id, [])):
            snapshot = StoredSnapshot(row.id, row.state, row.vector, row.version, row.last_event)
            if (
                row.fingerprint == fingerprint
                and (version is None or row.version <= version)
                and (until is None or row.last_event <= until)
                and row.last_event in self._events.by_id
                and not (len(origins) > 1 and self._divergent(actor_id, origins, snapshot))
            ):
                return snapshot
        return None

    def _divergent(self, actor_id: str, origins: Sequence[str], snapshot: StoredSnapshot) -> bool:
        vector = vector_of(snapshot)
        following = (
            self._events.at(actor_id, origin, vector.get(origin, 0) + 1) for origin in origins
        )
        return any(event is not None and event.id < snapshot.last_event for event in following)


class MemoryStores:
    """The four stores of one actor type."""

    def __init__(self, journal: Journal) -> None:
        self.commands = MemoryCommands(journal)
        self.events = MemoryEvents(journal)
        self.maps = MemoryMaps(journal)
        self.snapshots = MemorySnapshots(journal, self.events)


class MemoryUnit:
    """A unit of work on stores in memory; nested, it undoes what was done since it began."""

    def __init__(self, adapter: "MemoryAdapter", *, within: bool = False) -> None:
        self._adapter = adapter
        self._within = within
        self._mark = adapter.journal.mark()

    def stores(self, actor: str) -> MemoryStores:
        """The stores of an actor type, which come to be when they are first asked for."""
        return self._adapter.stores_of(actor)

    def nested(self) -> "MemoryUnit":
        """A savepoint."""
        return MemoryUnit(self._adapter, within=True)

    def commit(self) -> None:
        """Keep what was done."""
        if not self._within:
            self._adapter.journal.forget()
            self._adapter.end()

    def rollback(self) -> None:
        """Undo what was done."""
        self._adapter.journal.roll_back(self._mark)
        if not self._within:
            self._adapter.end()


class MemoryAdapter(Adapter):
    """Stores in memory, for one unit of work at a time."""

    def __init__(self) -> None:
        self.journal = Journal()
        self._lock = Lock()
        self._owner: int | None = None
        self._stores: dict[str, MemoryStores] = {}

    def begin(self, *, write: bool) -> MemoryUnit:
        """Begin a unit of work; others wait until it ends.

        Raises StorageUnavailable within a unit of this thread, or where one of another thread does
        not end in time.
        """
        if self._owner == get_ident():
            raise in_own_transaction()
        if not self._lock.acquire(timeout=WAIT):
            raise in_transaction_of_others("thread")
        self._owner = get_ident()
        return MemoryUnit(self)

    def stores_of(self, actor: str) -> MemoryStores:
        """The stores of an actor type, for the unit of work that has begun."""
        if actor not in self._stores:
            self._stores[actor] = MemoryStores(self.journal)
        return self._stores[actor]

    def end(self) -> None:
        """Let the next unit of work begin."""
        self._owner = None
        self._lock.release()


def in_own_transaction() -> StorageUnavailable:
    """The error for work that would wait for a transaction that waits for it."""
    return StorageUnavailable(
        "the storage is locked by a transaction that the application has open around this call; "
        "use the repositories of the transaction"
    )


def in_transaction_of_others(who: str) -> StorageUnavailable:
    """The error for work that has waited in vain for the transaction of another thread or task."""
    return StorageUnavailable(
        f"a transaction of another {who} has locked the storage for {WAIT:g} s; end transactions "
        "sooner, and let all that is done within one use its repositories"
    )
