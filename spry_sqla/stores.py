"""The contract of a storage adapter: four stores, and `Load` and `Append` built from them.

An adapter implements the stores over one unit of work, whose transaction it begins and ends
itself. An adapter that can do better than the defaults here, such as one statement for all of a
load, must behave identically. Nothing here knows about events' meaning; that is `replay`'s.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Protocol, TypeVar

import msgspec

from spry_sqla.operations import (
    ActorPage,
    Append,
    EventPage,
    Head,
    HistoryPage,
    Load,
    Loaded,
    Loading,
    Owner,
    Read,
    ReadActors,
    ReadCommands,
    ReadEvents,
    ReadHistory,
    Resolve,
    Run,
    StoredSnapshot,
    Target,
)
from spry_sqla.records import (
    CommandRecord,
    EventRecord,
    LinkRecord,
    MappingRecord,
    SnapshotRecord,
    StoredEvent,
    Vector,
)

Row = TypeVar("Row", StoredEvent, EventRecord)


class KeyTaken(Exception):
    """A store found a unique key taken; the unit of work is rolled back and answers `Conflict`."""


class CommandStore(Protocol):
    """The causal log of what was done. Unique: id; (idempotency key, origin)."""

    def append(self, commands: Sequence[CommandRecord]) -> None:
        """Add commands. Raises KeyTaken."""
        ...

    def with_keys(self, keys: Sequence[str]) -> dict[str, str]:
        """Of the idempotency keys that were used: key → id of its command, the smallest."""
        ...

    def read(self, ids: Sequence[str]) -> list[CommandRecord]:
        """The commands of these ids that are there, in any order."""
        ...


class EventStore(Protocol):
    """The streams. Unique: id; (actor, origin, sequence)."""

    def append(self, events: Sequence[EventRecord]) -> None:
        """Add events; they share one transaction number. Raises KeyTaken."""
        ...

    def head(self, actor_id: str, origin: str) -> Head:
        """The newest event of an actor, where all that it has are of this origin."""
        ...

    def run(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> Sequence[tuple[str, str]]:
        """(tag, content) of at most `limit` events of one origin after a sequence.

        Those that had seen other origins are left out.
        """
        ...

    def origins(self, actor_id: str) -> list[str]:
        """The origins that have events of this actor."""
        ...

    def after(self, actor_id: str, origin: str, sequence: int, limit: int) -> list[StoredEvent]:
        """At most `limit` events of one origin after a sequence, in the order of sequences."""
        ...

    def rows_after(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> list[EventRecord]:
        """As `after`, whole rows."""
        ...


class MapStore(Protocol):
    """Identifiers to actors, and links between actors. Unique: id; (digest, origin)."""

    def append(self, mappings: Sequence[MappingRecord]) -> None:
        """Add mappings. Raises KeyTaken."""
        ...

    def link(self, links: Sequence[LinkRecord]) -> None:
        """Add links. Raises KeyTaken."""
        ...

    def owners(self, digest: bytes) -> list[tuple[str, str, str]]:
        """Every (mapping id, actor id, origin) of a digest, in any order."""
        ...

    def last(self) -> str:
        """The id of the newest mapping; NO_ID where there is none."""
        ...

    def page(self, after: str, until: str, limit: int) -> list[tuple[str, str]]:
        """(id of the first mapping, newest identifiers) of actors, in the order of those ids.

        Of those whose first mapping is after one id and not after another.
        """
        ...


class SnapshotStore(Protocol):
    """States that need not be replayed. Unique: id."""

    def append(self, snapshots: Sequence[SnapshotRecord]) -> None:
        """Add snapshots. Raises KeyTaken."""
        ...

    def newest(
        self,
        actor_id: str,
        fingerprint: str,
        origins: Sequence[str],
        version: int | None,
        until: str | None,
    ) -> StoredSnapshot | None:
        """The usable snapshot whose last event is greatest, None where there is none.

        Usable: of this fingerprint, within `version` and `until`, its last event is stored, and it
        is not divergent: for no origin does the event after its vector sort before its last event.
        """
        ...


class Stores(Protocol):
    """The four stores of one actor type, within one unit of work."""

    @property
    def commands(self) -> CommandStore: ...
    @property
    def events(self) -> EventStore: ...
    @property
    def maps(self) -> MapStore: ...
    @property
    def snapshots(self) -> SnapshotStore: ...


def append(stores: Stores, operation: Append) -> None:
    """Write all of an append. Raises KeyTaken; the caller then undoes what was written."""
    if operation.commands:
        stores.commands.append(operation.commands)
    if operation.events:
        stores.events.append(operation.events)
    if operation.mappings:
        stores.maps.append(operation.mappings)
    if operation.links:
        stores.maps.link(operation.links)
    if operation.snapshots:
        stores.snapshots.append(operation.snapshots)


def read(stores: Stores, operation: Read) -> Any:
    """Answer any operation that reads, from the four stores."""
    match operation:
        case Load():
            return load_all(stores, operation)
        case ReadEvents(_, actor_id, after, limit):
            origins = stores.events.origins(actor_id)
            return EventPage(*_ranges(stores, actor_id, origins, after, limit))
        case ReadHistory(_, actor_id, after, limit):
            pages = [
                stores.events.rows_after(actor_id, origin, after.get(origin, 0), limit)
                for origin in stores.events.origins(actor_id)
            ]
            return HistoryPage(*merge(pages, limit))
        case ReadCommands(_, ids):
            return stores.commands.read(ids)
        case ReadActors(_, position, until, limit):
            end = stores.maps.last() if until is None else until
            return ActorPage(stores.maps.page(position, end, limit), end)
        case Resolve(_, origin, target):
            return choose(stores.maps.owners(target.digest), target.native_id, origin)


def load_all(stores: Stores, operation: Load) -> Loading:
    """Answer a load, from the stores."""
    actors = [load(stores, operation, target) for target in operation.targets]
    # Last: a command whose events were read above is then found by its key, too.
    return Loading(actors, stores.commands.with_keys(operation.keys))


def load(stores: Stores, operation: Load, target: Target) -> Loaded:
    """Answer a load for one of its targets, from the stores."""
    owner = choose(stores.maps.owners(target.digest), target.native_id, operation.origin)
    actor_id = owner.actor_id or target.native_id
    if operation.until is None:
        head = stores.events.head(actor_id, operation.origin)
        if head.alone:
            snapshot = _newest(stores, operation, actor_id, (operation.origin,))
            covered = vector_of(snapshot).get(operation.origin, 0)
            wanted = head.sequence - covered
            if 0 <= wanted <= operation.limit:
                rows = stores.events.run(actor_id, operation.origin, covered, wanted)
                if len(rows) == wanted:
                    run = Run(operation.origin, head.id or "", rows)
                    return Loaded(owner, snapshot, [], False, run)
    origins = stores.events.origins(actor_id)
    snapshot = _newest(stores, operation, actor_id, origins)
    events, more = _ranges(stores, actor_id, origins, vector_of(snapshot), operation.limit)
    return Loaded(owner, snapshot, events, more)


def _newest(
    stores: Stores, operation: Load, actor_id: str, origins: Sequence[str]
) -> StoredSnapshot | None:
    if operation.fingerprint is None or not origins:
        return None
    return stores.snapshots.newest(
        actor_id, operation.fingerprint, origins, operation.version, operation.until
    )


def _ranges(
    stores: Stores, actor_id: str, origins: Sequence[str], after: Vector, limit: int
) -> tuple[list[StoredEvent], bool]:
    events = stores.events
    return merge(
        [events.after(actor_id, origin, after.get(origin, 0), limit) for origin in origins], limit
    )


def choose(owners: Sequence[tuple[str, str, str]], native_id: str, origin: str) -> Owner:
    """Whom identifiers reach, of the (mapping id, actor id, origin) that name them.

    The actor whose native identifiers they are wins; among renames the smallest mapping.
    """
    if not owners:
        return Owner(None, False, None)
    claimed = any(claimant == origin for _, _, claimant in owners)
    mapping, actor_id, _ = min(owners, key=lambda owner: (owner[1] != native_id, owner[0]))
    return Owner(actor_id, claimed, mapping)


def merge(pages: Sequence[list[Row]], limit: int) -> tuple[list[Row], bool]:
    """One page in the order of ids, of one page per origin in the order of sequences.

    Where an origin's page is full, what follows it is not known: rows of other origins that sort
    after its last one wait for the next page.
    """
    full = [page[-1].id for page in pages if len(page) >= limit]
    if len(pages) == 1:
        return pages[0], bool(full)
    rows = sorted((row for page in pages for row in page), key=attrgetter("id"))
    if not full:
        return rows, False
    end = min(full)
    return [row for row in rows if row.id <= end], True


def vector_of(snapshot: StoredSnapshot | None) -> Vector:
    """The vector of a snapshot; that of nothing where it cannot be read."""
    if snapshot is None:
        return {}
    try:
        return _vectors.decode(snapshot.vector)
    except msgspec.DecodeError:
        return {}


_vectors = msgspec.json.Decoder(dict[str, int])
