"""What the logic asks of a storage, as data, and what it is answered.

The logic of the library is generators that yield an operation and receive its answer (sans-io, as
h11 does it for HTTP); `drivers` runs them, plainly or awaiting. An operation is whole: it holds no
transaction and no connection open for the next one. Waiting is an operation too.
"""

from collections.abc import Generator, Iterator, Sequence
from itertools import islice
from random import random
from typing import Any, NamedTuple, TypeAlias, TypeVar

import msgspec

from spry_sqla.errors import StorageUnavailable
from spry_sqla.records import (
    CommandRecord,
    EventRecord,
    LinkRecord,
    MappingRecord,
    SnapshotRecord,
    StoredEvent,
    Vector,
)

T = TypeVar("T")

NO_ID = "0" * 32
"""Sorts before every id."""

PAGE = 2_000
"""Rows of one page of a long read: what bounds its memory."""


class Target(NamedTuple):
    """Whom a load is for: the digest of the identifiers and the id that derives from them."""

    digest: bytes
    native_id: str


class Load(msgspec.Struct, frozen=True, gc=False):
    """Read what decisions need: the targets' actors, and who used the keys. Answer: `Loading`.

    `fingerprint` names the snapshots that are usable, None for none at all; they reach neither
    beyond `version` events nor beyond the id `until`.
    """

    actor: str
    origin: str
    targets: tuple[Target, ...]
    fingerprint: str | None
    keys: tuple[str, ...] = ()
    version: int | None = None
    until: str | None = None
    limit: int = PAGE


class StoredSnapshot(NamedTuple):
    """The part of a snapshot's row that a replay needs."""

    id: str
    state: str
    vector: str
    version: int
    last_event: str


class Owner(NamedTuple):
    """Whom identifiers reach.

    `actor_id` is None where no mapping says so: they resolve natively. `claimed` tells whether
    this origin has a mapping for them. `mapping` is the id of the row that decided.
    """

    actor_id: str | None
    claimed: bool
    mapping: str | None


class EventPage(NamedTuple):
    """Events in the order of their ids; `more` follow."""

    events: list[StoredEvent]
    more: bool


class HistoryPage(NamedTuple):
    """Whole rows of events in the order of their ids; `more` follow."""

    events: list[EventRecord]
    more: bool


class Head(NamedTuple):
    """The newest event of an actor; None and 0 where it has none, or not only of one origin.

    `alone` tells that no other origin has events of the actor.
    """

    id: str | None
    sequence: int
    alone: bool


class Run(NamedTuple):
    """All events after a snapshot, of the one origin that there is, none with a cause elsewhere.

    A replay needs no more of them than (tag, content). `head` is the id of the last one.
    """

    origin: str
    head: str
    rows: Sequence[tuple[str, str]]


class Loaded(NamedTuple):
    """One target's actor: the newest usable snapshot and the events that it does not cover.

    They come as a `run` where they are one and fit a page, else as `events`, of which `more` may
    follow. A `run` is the quicker answer; `events` are right as well.
    """

    owner: Owner
    snapshot: StoredSnapshot | None
    events: list[StoredEvent]
    more: bool
    run: Run | None = None


class Loading(NamedTuple):
    """The answer to `Load`: one `Loaded` per target, in their order; key → id of its command."""

    actors: list[Loaded]
    previous: dict[str, str]


class ReadEvents(msgspec.Struct, frozen=True, gc=False):
    """Read the events of an actor after a position in each origin. Answer: `EventPage`."""

    actor: str
    actor_id: str
    after: Vector
    limit: int = PAGE


class ReadHistory(msgspec.Struct, frozen=True, gc=False):
    """As `ReadEvents`, but whole rows. Answer: `HistoryPage`."""

    actor: str
    actor_id: str
    after: Vector
    limit: int = PAGE


class ReadCommands(msgspec.Struct, frozen=True, gc=False):
    """Read commands by their ids. Answer: a list of `CommandRecord`, of those that are there."""

    actor: str
    ids: tuple[str, ...]


class ReadActors(msgspec.Struct, frozen=True, gc=False):
    """Read a page of actors, in the order of their first mappings. Answer: `ActorPage`.

    They are those after one mapping and up to another; None is the newest that there is now.
    """

    actor: str
    after: str
    until: str | None
    limit: int = PAGE


class ActorPage(NamedTuple):
    """(id of the first mapping, newest identifiers) of each actor; the end that the page had."""

    actors: list[tuple[str, str]]
    until: str


class Resolve(msgspec.Struct, frozen=True, gc=False):
    """Ask whom identifiers reach. Answer: `Owner`."""

    actor: str
    origin: str
    target: Target


class Position(msgspec.Struct, frozen=True, gc=False):
    """Where a decision took an actor to be that it did not load for itself.

    Identifiers (their `digest` and the id that derives from them) reach the actor `actor_id`, whose
    events are all of this origin, the newest of them `head`.
    """

    digest: bytes
    native_id: str
    origin: str
    actor_id: str
    head: str


class Holds(msgspec.Struct, frozen=True, gc=False):
    """Ask whether positions are so still, and keys unused by any origin. Answer: bool."""

    actor: str
    positions: Sequence[Position]
    keys: Sequence[str] = ()


class Append(msgspec.Struct, frozen=True, gc=False):
    """Write all of it or nothing. Answer: `Appended`, or `Conflict` when another was first.

    Another was first, too, where it `relies_on` positions and any of them is none any more, or any
    origin has used the idempotency key of one of its commands.
    """

    actor: str
    commands: Sequence[CommandRecord] = ()
    events: Sequence[EventRecord] = ()
    mappings: Sequence[MappingRecord] = ()
    links: Sequence[LinkRecord] = ()
    snapshots: Sequence[SnapshotRecord] = ()
    relies_on: Sequence[Position] = ()

    @property
    def keys(self) -> list[str]:
        """The idempotency keys of its commands."""
        keys = (command.idempotency_key for command in self.commands)
        return [key for key in keys if key is not None]


class Pause(msgspec.Struct, frozen=True, gc=False):
    """Wait for some seconds. Answer: None."""

    seconds: float


class Emit(msgspec.Struct, frozen=True, gc=False):
    """Hand items to whoever iterates over a long read. Answer: None, when more is wanted."""

    items: list[Any]


class Appended(msgspec.Struct, frozen=True, gc=False):
    """It is stored."""


class Conflict(msgspec.Struct, frozen=True, gc=False):
    """A stream has moved, or a key is taken; nothing is stored."""


class Unavailable(msgspec.Struct, frozen=True, gc=False):
    """The connection broke, could not be had, or a lock stayed out of reach.

    Whether an append is stored is not known, unless `nothing_stored` says that it is not.
    """

    error: StorageUnavailable
    nothing_stored: bool = False


Read: TypeAlias = Load | ReadEvents | ReadHistory | ReadCommands | ReadActors | Resolve | Holds
Operation: TypeAlias = Read | Append | Pause
Work: TypeAlias = Generator[Operation, Any, T]
"""Logic without I/O: yields operations, receives their answers, returns a T."""
Stream: TypeAlias = Generator[Operation | Emit, Any, None]
"""Logic of a long read: what it emits is handed out while it goes on."""

RECONNECTS = 4


def pauses(*, first: float, longest: float) -> Iterator[Pause]:
    """Pauses that double from `first` to `longest` seconds, each with full jitter.

    Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """
    ceiling = first
    while True:
        yield Pause(random() * ceiling)
        ceiling = min(longest, ceiling * 2)


def _read(operation: Read) -> Work[Any]:
    """Ask; when the connection breaks, ask again a few times, for a read can be repeated."""
    answer = yield operation
    if not isinstance(answer, Unavailable):
        return answer
    for pause in islice(pauses(first=0.05, longest=1.0), RECONNECTS):
        yield pause
        answer = yield operation
        if not isinstance(answer, Unavailable):
            return answer
    raise answer.error


def holds(operation: Holds) -> Work[bool]:
    """Ask whether what is remembered is so still."""
    return _read(operation)


def load(operation: Load) -> Work[Loading]:
    """Ask for what decisions need."""
    return _read(operation)


def read_events(operation: ReadEvents) -> Work[EventPage]:
    """Ask for a page of events to replay."""
    return _read(operation)


def read_history(operation: ReadHistory) -> Work[HistoryPage]:
    """Ask for a page of whole event rows."""
    return _read(operation)


def read_commands(operation: ReadCommands) -> Work[list[CommandRecord]]:
    """Ask for commands."""
    return _read(operation)


def read_actors(operation: ReadActors) -> Work[ActorPage]:
    """Ask for a page of identifiers."""
    return _read(operation)


def resolve(operation: Resolve) -> Work[Owner]:
    """Ask whom identifiers reach."""
    return _read(operation)


def append(operation: Append) -> Work[Appended | Conflict | Unavailable]:
    """Ask for an append; never repeated here, for its outcome decides what comes next."""
    answer: Appended | Conflict | Unavailable = yield operation
    return answer
