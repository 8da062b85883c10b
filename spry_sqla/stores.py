"""The contract of a storage adapter: four stores, and `Load` and `Append` built from them.

Each method is given and answers rows of `records`, or parts of them: ids are compared as texts,
origins and contents are any text, and nothing is ever changed or deleted. An adapter that can do
better than the defaults here, such as one statement for all of a load, must behave identically.
Nothing here knows about events' meaning; that is `replay`'s.
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
    Holds,
    Load,
    Loaded,
    Loading,
    Owner,
    Position,
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
    """A unique key that a store was asked to keep is there already: another writer was first.

    Raised by a store's `append` or `link`, or by the unit's `commit`; by an append, too, when an
    actor is not where it relies on. It needs no text, for it is not shown: the unit is rolled back,
    and the command decides again or gets ConcurrencyError.
    """


class CommandStore(Protocol):
    """The causal log: each command that did something. Unique: id; (idempotency key, origin).

    Commands without a key (None) share no key. Keys are 1 to 255 characters of Unicode, and are
    compared character by character: case counts, and nothing is normalised.
    """

    def append(self, commands: Sequence[CommandRecord]) -> None:
        """Add commands, at least one. Raises KeyTaken."""
        ...

    def with_keys(self, keys: Sequence[str]) -> dict[str, str]:
        """Of these idempotency keys those that were used: key → id of its command.

        Where several origins have used a key, the smallest id. No keys are asked: no answer.
        """
        ...

    def read(self, ids: Sequence[str]) -> list[CommandRecord]:
        """The commands of these ids that are there, in any order; an unknown id is no error."""
        ...


class EventStore(Protocol):
    """The streams. Unique: id; (actor, origin, sequence).

    A stream is what one origin has written of one actor. This origin's are written in the order of
    sequences, from 1, without a hole. Those of other origins come from beside and in any order, so
    a sequence may be missing, or come later than greater ones.
    """

    def append(self, events: Sequence[EventRecord]) -> None:
        """Add events, at least one, of one or several actors. Raises KeyTaken."""
        ...

    def head(self, actor_id: str, origin: str) -> Head:
        """The newest event of an actor, where all that it has are of this origin.

        That is `Head(id, sequence, True)` of the greatest sequence; `Head(None, 0, True)` where the
        actor has no events; `Head(None, 0, False)` where any are of another origin.
        """
        ...

    def run(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> Sequence[tuple[str, str]]:
        """(tag, content) of the next `limit` events of a stream, in the order of sequences.

        Next are those of greater sequences than `sequence`; the tag is `tag_of` type and version.
        Those that had seen other origins (`seen` is not None) are left out, whether or not others
        take their places: it is asked for exactly as many as there are, and what lacks any is not
        used. `limit` may be 0.
        """
        ...

    def origins(self, actor_id: str) -> list[str]:
        """The origins that have events of this actor, each once, in any order."""
        ...

    def after(self, actor_id: str, origin: str, sequence: int, limit: int) -> list[StoredEvent]:
        """The next `limit` events of a stream, in the order of sequences.

        Next are those of greater sequences than `sequence`, which need not be there itself. Fewer
        than `limit` says that no more are there.
        """
        ...

    def rows_after(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> list[EventRecord]:
        """As `after`, whole rows."""
        ...


class MapStore(Protocol):
    """Identifiers to actors, and links between actors. Unique: id; (digest, origin) of mappings."""

    def append(self, mappings: Sequence[MappingRecord]) -> None:
        """Add mappings, at least one. Raises KeyTaken."""
        ...

    def link(self, links: Sequence[LinkRecord]) -> None:
        """Add links, at least one. Raises KeyTaken."""
        ...

    def owners(self, digest: bytes) -> list[tuple[str, str, str]]:
        """(mapping id, actor id, origin) of every mapping of a digest, in any order."""
        ...

    def last(self) -> str:
        """The greatest id of a mapping; NO_ID where there is none."""
        ...

    def page(self, after: str, until: str, limit: int) -> list[tuple[str, str]]:
        """(id of the first mapping, newest identifiers) of the next `limit` actors, in that order.

        An actor's first mapping is that of the smallest id, its newest that of the greatest, even
        if greater than `until`. Next are the actors whose first mapping is greater than `after` and
        not greater than `until`. Fewer than `limit` says that no more are there.
        """
        ...


class SnapshotStore(Protocol):
    """States that need not be replayed. Unique: id."""

    def append(self, snapshots: Sequence[SnapshotRecord]) -> None:
        """Add snapshots, at least one. Raises KeyTaken."""
        ...

    def newest(
        self,
        actor_id: str,
        fingerprint: str,
        origins: Sequence[str],
        version: int | None,
        until: str | None,
    ) -> StoredSnapshot | None:
        """The usable snapshot whose last event has the greatest id, None where there is none.

        Of several with that last event, the one with the greatest id. Usable is one

        - of this actor and this fingerprint, not another;
        - of at most this `version`, whose `last_event` is not greater than `until` (None: any);
        - whose `last_event` is stored: an event of that id is there;
        - that is not divergent: of no origin (`origins` are all that have events of the actor) the
          event that follows the snapshot's vector has a smaller id than `last_event`. The vector is
          JSON; `vector_of` reads it, and takes one that cannot be read for empty. In a stream of
          one origin none is that was taken of it, so there it need not be asked.
        """
        ...


class Stores(Protocol):
    """The four stores of one actor type, within one unit of work.

    What a store was given, the stores of the same unit answer with from then on. A row that was
    stored never changes, so what was read in a unit that has been committed may be cached for ever;
    that something is not there, or is the newest, holds for the moment only.
    """

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
    if operation.relies_on and not holds(stores, operation.relies_on, operation.keys):
        raise KeyTaken
    write(stores, operation)


def write(stores: Stores, operation: Append) -> None:
    """Write the rows of an append, whatever it relies on. Raises KeyTaken.

    No store is given an empty sequence.
    """
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


def holds(stores: Stores, positions: Sequence[Position], keys: Sequence[str]) -> bool:
    """Whether actors are where they were taken to be, and keys are unused."""
    return all(_holds(stores, position) for position in positions) and not (
        keys and stores.commands.with_keys(keys)
    )


def _holds(stores: Stores, position: Position) -> bool:
    native_id, origin = position.native_id, position.origin
    owner = choose(stores.maps.owners(position.digest), native_id, origin)
    if (owner.actor_id or native_id) != position.actor_id:
        return False
    head = stores.events.head(position.actor_id, origin)
    return head.alone and head.id == position.head


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
        case Holds(_, positions, keys):
            return holds(stores, positions, keys)
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
