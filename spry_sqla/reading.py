"""The reads: an actor as it is or was, its history, the actors there are. Without I/O.

A read goes page after page, so that its memory is bounded, and holds nothing open in between. What
cannot be read (a snapshot of other code, a corrupt one) is passed over where it can be made again,
and is an error that says so where it cannot.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar

from spry_sqla.cache import Cache
from spry_sqla.clock import Clock, ceiling_of, time_of, timestamp_of
from spry_sqla.domain import ActorKind, Domain
from spry_sqla.errors import StorageError, StorageFailure, StoredDataError, UnusableValue
from spry_sqla.identity import actor_id, canonical, digest, parse
from spry_sqla.model import HistoryEntry, Identifiers
from spry_sqla.operations import (
    NO_ID,
    Append,
    Appended,
    Emit,
    Holds,
    Load,
    Loaded,
    Position,
    ReadActors,
    ReadCommands,
    ReadEvents,
    ReadHistory,
    Resolve,
    Stream,
    Target,
    Work,
    append,
    holds,
    load,
    read_actors,
    read_commands,
    read_events,
    read_history,
    resolve,
)
from spry_sqla.records import CommandRecord, EventRecord, SnapshotRecord, Vector
from spry_sqla.replay import OutOfOrder, Replay, encode_vector
from spry_sqla.stores import vector_of

A = TypeVar("A")

LONGEST = 2**63 - 1
"""The greatest version that there can be: a sequence is a BIGINT."""

RESTARTS = 10
"""How often a replay begins anew when late events arrive while it goes on, page after page."""

_log = logging.getLogger("spry_sqla")


@dataclass(frozen=True, slots=True)
class Context(Generic[A]):
    """What the logic knows besides what it is answered.

    `attempts` is how often a command decides at most; `max_clock_ahead`, in seconds, how far in
    the future a stored id is believed; `cache` has what commands have left; `told` is what the log
    was told of, which it is once.
    """

    domain: Domain
    kind: ActorKind[A]
    origin: str
    clock: Clock
    attempts: int
    max_clock_ahead: float
    cache: Cache[A]
    told: set[str] = field(default_factory=set)

    def warn(self, text: str) -> None:
        """Tell the log, unless it has been told so."""
        if text not in self.told:
            self.told.add(text)
            _log.warning(text)


def fetch(
    context: Context[A],
    identifiers: Identifiers,
    *,
    version: int | None = None,
    at: datetime | None = None,
) -> Work[Replay[A]]:
    """Replay an actor, as it is, or as it was at a version or a time.

    Raises UnusableIdentifiers, UnusableValue, StoredDataError, StorageUnavailable.
    """
    target = target_of(context, identifiers)
    if version is not None and (type(version) is not int or version < 0):
        raise UnusableValue("version= must be a whole number from 0")
    if version is not None:
        version = min(version, LONGEST)
    until = None if at is None else ceiling_of(at)
    as_of = version is not None or until is not None
    remembered = None if as_of else (yield from _remembered(context, target))
    replay = remembered or (
        yield from _fetched(context, target, context.kind.fingerprint, version, until)
    )
    meta = context.kind.meta
    if meta.snapshot_during_read and not as_of and due(replay):
        snapshot = snapshot_of(context, replay)
        if snapshot is not None:
            try:
                answer = yield from append(Append(context.kind.name, snapshots=(snapshot,)))
            except StorageFailure as error:
                # A read-only replica can be read all the same.
                context.warn(f"stored no snapshot: {error}")
            else:
                if isinstance(answer, Appended):
                    replay.snapshot, replay.snapshot_version = snapshot.id, replay.version
    if context.cache.size and not as_of and replay.alone(context.origin):
        with suppress(UnusableValue):  # it cannot be copied, and need not be
            context.cache.put(target.digest, replay.twin())
    return replay


def _remembered(context: Context[A], target: Target) -> Work[Replay[A] | None]:
    """What is remembered of an actor, where that is all that there is."""
    replay = context.cache.take(target.digest)
    if replay is None or (context.kind.meta.snapshot_during_read and due(replay)):
        return None  # others may have taken the snapshot
    position = position_of(context, target, replay)
    if (yield from holds(Holds(context.kind.name, (position,)))):
        return replay
    context.cache.moved(target.digest)
    return None


def position_of(context: Context[A], target: Target, replay: Replay[A]) -> Position:
    """Where an actor was, whom identifiers reached."""
    return Position(*target, context.origin, replay.actor_id, replay.last)


def _fetched(
    context: Context[A],
    target: Target,
    fingerprint: str | None,
    version: int | None,
    until: str | None,
) -> Work[Replay[A]]:
    for _ in range(RESTARTS):
        loading = yield from load(load_of(context, (target,), fingerprint, version, until))
        try:
            return (yield from replayed(context, target, loading.actors[0], version, until))
        except OutOfOrder:
            fingerprint = None
    raise out_of_order(context)


def out_of_order(context: Context[Any]) -> StorageError:
    """The error for an adapter that does not keep the order of ids."""
    return StorageError(
        f"the storage gave events of {context.kind.cls.__qualname__} out of the order of their ids "
        f"{RESTARTS} times; that is a fault of its adapter, which the conformance kit can show"
    )


def history(context: Context[A], identifiers: Identifiers) -> Stream:
    """Emit a HistoryEntry for each event of an actor, in order, page by page."""
    target = target_of(context, identifiers)
    name = context.kind.name
    owner = yield from resolve(Resolve(name, context.origin, target))
    of_actor = owner.actor_id or target.native_id
    replay = Replay(context.domain, context.kind, of_actor)
    after: Vector = {}
    more = True
    while more:
        page = yield from read_history(ReadHistory(name, of_actor, after))
        more = page.more
        commands: dict[str, CommandRecord] = {}
        if page.events:
            ids = tuple({event.command_id for event in page.events})
            found = yield from read_commands(ReadCommands(name, ids))
            commands = {command.id: command for command in found}
        entries = []
        for event in page.events:
            after[event.origin] = event.sequence
            if not replay.visible(event):
                continue
            replay.taken[event.origin] = event.sequence
            replay.version += 1
            command = commands.get(event.command_id)
            entries.append(_entry(context, replay.version, event, command))
        yield Emit(entries)


def actors(context: Context[A]) -> Stream:
    """Emit the identifiers of each actor that there is now, in the order of their creation."""
    after, until = NO_ID, None
    while True:
        page = yield from read_actors(ReadActors(context.kind.name, after, until))
        if not page.actors:
            return
        after, until = page.actors[-1][0], page.until
        yield Emit([parse(text, context.domain.enums) for _, text in page.actors])


def _entry(
    context: Context[A], version: int, event: EventRecord, command: CommandRecord | None
) -> HistoryEntry:
    domain, tables = context.domain, context.kind.tables
    decided, metadata = None, {}
    if command is not None:
        decided = domain.decode_command(
            command.type, command.type_version, command.content, tables.commands.name
        )
        if command.metadata is not None:
            metadata = domain.open_codec.decode(command.metadata)
    fact = domain.decode_event(event.type, event.type_version, event.content, tables.events.name)
    return HistoryEntry(version, time_of(event.id), fact, decided, metadata)


def load_of(
    context: Context[A],
    targets: tuple[Target, ...],
    fingerprint: str | None,
    version: int | None = None,
    until: str | None = None,
    keys: tuple[str, ...] = (),
) -> Load:
    """What to ask for, to replay the targets' actors."""
    return Load(context.kind.name, context.origin, targets, fingerprint, keys, version, until)


def replayed(
    context: Context[A],
    target: Target,
    loaded: Loaded,
    version: int | None = None,
    until: str | None = None,
) -> Work[Replay[A]]:
    """Replay a load, page after page, from its snapshot where that is usable."""
    of_actor = loaded.owner.actor_id or target.native_id
    replay = yield from _replayed(context, target, loaded, of_actor, version, until)
    replay.newest = max(replay.newest, loaded.owner.mapping or "")
    return replay


def _replayed(
    context: Context[A],
    target: Target,
    loaded: Loaded,
    of_actor: str,
    version: int | None,
    until: str | None,
) -> Work[Replay[A]]:
    replay = Replay(context.domain, context.kind, of_actor)
    if loaded.snapshot is not None:
        try:
            replay.resume(loaded.snapshot, vector_of(loaded.snapshot))
        except (StoredDataError, UnusableValue):
            _log.warning(
                "passed over a snapshot in %s that cannot be read; the state is replayed instead",
                context.kind.tables.snapshots.name,
            )
            replay = Replay(context.domain, context.kind, of_actor)
            loading = yield from load(load_of(context, (target,), None, version, until))
            (loaded,) = loading.actors
    if loaded.run is not None:
        replay.take_run(loaded.run, version)
        return replay
    events, more = loaded.events, loaded.more
    while replay.take(events, version=version, until=until) and more:
        page = yield from read_events(ReadEvents(context.kind.name, of_actor, dict(replay.read)))
        events, more = page.events, page.more
    return replay


def snapshot_of(context: Context[A], replay: Replay[A]) -> SnapshotRecord | None:
    """A snapshot of a state; None where the state holds what cannot be kept."""
    codec = context.kind.codec
    try:
        state = codec.encode(replay.state)
        codec.decode(state)
    except (UnusableValue, StoredDataError) as error:
        context.warn(f"took no snapshot: {error}")
        return None
    if lost := codec.lost(replay.state):
        context.warn(
            f"took no snapshot: {lost} are one object, which would come back as two; keep it in "
            "one place, or make it frozen"
        )
        return None
    snapshot_id = context.clock.next()
    return SnapshotRecord(
        snapshot_id,
        replay.actor_id,
        state,
        context.kind.fingerprint,
        encode_vector(replay.taken),
        None,
        replay.snapshot,
        replay.last_command or None,
        replay.last,
        replay.version,
        timestamp_of(snapshot_id),
    )


def due(replay: Replay[Any]) -> bool:
    """Whether an actor has had enough events since its last snapshot for a new one."""
    due_after = replay.snapshot_version + replay.kind.meta.snapshot_frequency
    return replay.version >= due_after


def target_of(context: Context[A], identifiers: Identifiers) -> Target:
    """Whom identifiers address. Raises UnusableIdentifiers."""
    return target_named(context.kind.name, canonical(identifiers))


@lru_cache(maxsize=4096)
def target_named(actor: str, text: str) -> Target:
    """Whom canonical identifiers address; remembered, since who came once comes again."""
    return Target(digest(text), actor_id(actor, text))
