"""The heart: load, decide, append; and the reads. Generators without I/O.

A decision is made with no transaction open. When another writer was first, everything is loaded
again and the command decides again; when the connection broke during an append, the command's id
tells whether it was stored. Nothing but the application's `handle` runs more than once.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from spry_sqla.clock import Clock, ceiling_of, time_of, timestamp_of
from spry_sqla.domain import ActorKind, Domain, Kind
from spry_sqla.errors import (
    ConcurrencyError,
    DefinitionError,
    IdentifiersTaken,
    KeyReused,
    NotRegistered,
    StorageUnavailable,
    StoredDataError,
    UnusableIdentifiers,
    UnusableValue,
)
from spry_sqla.identity import actor_id, canonical, digest, parse
from spry_sqla.model import HistoryEntry, Identifiers, Results
from spry_sqla.operations import (
    RECONNECTS,
    Append,
    Appended,
    Conflict,
    Emit,
    Load,
    Loaded,
    ReadActors,
    ReadCommands,
    ReadEvents,
    ReadHistory,
    Resolve,
    Stream,
    Target,
    Unavailable,
    Work,
    append,
    load,
    pauses,
    read_actors,
    read_commands,
    read_events,
    read_history,
    resolve,
)
from spry_sqla.records import CommandRecord, EventRecord, MappingRecord, SnapshotRecord, Vector
from spry_sqla.replay import OutOfOrder, Replay, apply, decode_vector, encode_vector
from spry_sqla.stores import vector_of

A = TypeVar("A")
_log = logging.getLogger("spry_sqla")


@dataclass(frozen=True, slots=True)
class Context(Generic[A]):
    """What the logic knows besides what it is answered.

    `attempts` is how often a command decides at most; `max_clock_ahead`, in seconds, how far in
    the future a stored id is believed.
    """

    domain: Domain
    kind: ActorKind[A]
    origin: str
    clock: Clock
    attempts: int
    max_clock_ahead: float


@dataclass(frozen=True, slots=True)
class Envelope:
    """A command, checked and encoded, on its way."""

    command: Any
    kind: Kind[Any]
    content: str
    target: Target
    identifiers: str
    key: str | None
    metadata: str | None
    received_at: str


def seal(
    context: Context[A],
    command: Any,
    idempotency_key: str | None = None,
    metadata: Any = None,
) -> Envelope:
    """Check and encode a command before anything is sent.

    Raises NotRegistered, UnusableValue, UnusableIdentifiers.
    """
    kind = context.domain.command(type(command))
    text = _canonical(command)
    if idempotency_key is not None:
        _check_text("an idempotency key", idempotency_key)
    if metadata is not None and (
        not isinstance(metadata, Mapping) or not all(type(key) is str for key in metadata)
    ):
        raise UnusableValue("metadata must be a mapping of names (str) to values")
    return Envelope(
        command,
        kind,
        kind.codec.encode(command),
        Target(digest(text), actor_id(context.kind.name, text)),
        text,
        idempotency_key,
        context.domain.open_codec.encode(dict(metadata)) if metadata else None,
        datetime.now(UTC).isoformat(" ", "microseconds"),
    )


def handle_many(context: Context[A], envelopes: Sequence[Envelope]) -> Work[list[Results[A]]]:
    """Handle commands in their order with one load and one atomic append.

    Raises what `handle` and `apply` of the application raise, KeyReused, ConcurrencyError,
    ClockTooFarAhead, StoredDataError and StorageUnavailable; nothing is stored then.
    """
    waits = pauses(first=0.001, longest=0.25)
    doubtful: dict[str, list[Results[A]]] = {}
    broken = 0
    for _ in range(context.attempts):
        batch = yield from _loaded(context, envelopes)
        if doubtful:
            # After the load: what is not there now was not in what was loaded either.
            there = yield from read_commands(ReadCommands(context.kind.name, tuple(doubtful)))
            for command in there:
                return doubtful[command.id]
        results = yield from batch.decide(envelopes)
        writes = batch.writes()
        if writes is None:
            return results
        answer = yield from append(writes)
        match answer:
            case Appended():
                return results
            case Conflict():
                yield next(waits)
            case Unavailable(error):
                doubtful[writes.commands[0].id] = results
                broken += 1
                if broken > RECONNECTS:
                    raise _in_doubt(context) from error
                yield next(waits)
    if doubtful:
        raise _in_doubt(context)
    raise ConcurrencyError(
        f"other writers to {context.kind.cls.__qualname__} were first at each of "
        f"{context.attempts} attempts, and nothing was stored; handle the command again, or give "
        "the storage more attempts="
    )


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
    target = _target(context, identifiers)
    if version is not None and (type(version) is not int or version < 0):
        raise UnusableValue("version= must be a whole number from 0")
    until = None if at is None else ceiling_of(at)
    as_of = version is not None or until is not None
    fingerprint: str | None = context.kind.fingerprint
    replay = None
    while replay is None:
        loading = yield from load(_load(context, (target,), fingerprint, version, until))
        (loaded,) = loading.actors
        try:
            replay = yield from _replayed(context, target, loaded, version, until)
        except OutOfOrder:
            fingerprint = None
    meta = context.kind.meta
    if meta.snapshot_during_read and not as_of and _due(replay):
        snapshot = _snapshot(context, loaded.owner.actor_id or target.native_id, replay)
        if snapshot is not None:
            yield from append(Append(context.kind.name, snapshots=(snapshot,)))
    return replay


def history(context: Context[A], identifiers: Identifiers) -> Stream:
    """Emit a HistoryEntry for each event of an actor, in order, page by page."""
    target = _target(context, identifiers)
    name = context.kind.name
    owner = yield from resolve(Resolve(name, context.origin, target))
    of_actor = owner.actor_id or target.native_id
    replay = Replay(context.domain, context.kind)
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
    """Emit the identifiers of each actor, in the order in which they were first given."""
    after = "0" * 32
    while True:
        page = yield from read_actors(ReadActors(context.kind.name, after))
        if not page:
            return
        after = page[-1][0]
        yield Emit([parse(text, context.domain.enums) for _, text in page])


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


class _Working(Generic[A]):
    """One actor of a batch: its state as the commands so far have left it, and what to store."""

    __slots__ = ("actor_id", "claimed", "replay")

    def __init__(self, of_actor: str, claimed: bool, replay: Replay[A]) -> None:
        self.actor_id = of_actor
        self.claimed = claimed
        self.replay = replay


class _Batch(Generic[A]):
    """The actors of some commands, loaded, and what deciding on them leads to."""

    def __init__(self, context: Context[A], previous: dict[str, str]) -> None:
        self.context = context
        self.previous = previous
        self.by_id: dict[str, _Working[A]] = {}
        self.owners: dict[str, str] = {}
        self.commands: list[CommandRecord] = []
        self.events: list[EventRecord] = []
        self.mappings: list[MappingRecord] = []

    def decide(self, envelopes: Sequence[Envelope]) -> Work[list[Results[A]]]:
        """Let each command decide on what those before it have left; gather what to store."""
        results: list[Results[A]] = []
        by_key: dict[str, tuple[Envelope, Results[A]]] = {}
        for envelope in envelopes:
            key = envelope.key
            if key is not None and key in by_key:
                first, result = by_key[key]
                if (first.kind, first.content) != (envelope.kind, envelope.content):
                    raise _reused(envelope)
            elif key is not None and key in self.previous:
                result = yield from _first_outcome(self.context, envelope, self.previous[key])
            else:
                result = yield from self._decide(envelope)
                if key is not None and result.events:
                    by_key[key] = (envelope, result)
            results.append(result)
        return results

    def writes(self) -> Append | None:
        """What to append; None where nothing happened."""
        if not self.commands:
            return None
        context = self.context
        snapshots = []
        if context.kind.meta.snapshot_during_write:
            for working in self.by_id.values():
                if working.replay.last_command and _due(working.replay):
                    snapshot = _snapshot(context, working.actor_id, working.replay)
                    if snapshot is not None:
                        snapshots.append(snapshot)
        return Append(context.kind.name, self.commands, self.events, self.mappings, (), snapshots)

    def _decide(self, envelope: Envelope) -> Work[Results[A]]:
        context, codec = self.context, self.context.kind.codec
        working = self.by_id[self.owners[envelope.target.digest]]
        replay = working.replay
        original = replay.state
        events, errors = _gather(
            context.domain, envelope.command, envelope.command.handle(codec.copy(original))
        )
        if errors:
            return Results(original, codec.copy(original), [], errors)
        if not events:
            return Results(original, codec.copy(original))

        # The state is made of what a replay will read, so that it is what a replay will make.
        contents = []
        state = codec.copy(original)
        for event in events:
            kind = context.domain.event(type(event))
            content = kind.codec.encode(event)
            contents.append((kind, content))
            state = apply(kind.codec.decode(content), state, context.kind)

        renamed = yield from self._renamed(envelope, working, original, state)
        if isinstance(renamed, IdentifiersTaken):
            return Results(original, codec.copy(original), [], [renamed])
        self._record(envelope, working, contents, renamed)
        working.replay.state = state
        return Results(original, codec.copy(state), events)

    def _renamed(
        self, envelope: Envelope, working: _Working[A], original: A, state: A
    ) -> Work[tuple[str, str] | IdentifiersTaken | None]:
        """The (digest, text) of identifiers that events have given to the actor anew, if any."""
        try:
            text = _canonical(state)
        except UnusableIdentifiers:
            if _canonical_or_none(original) is None:
                return None
            raise
        if text == envelope.identifiers or text == _canonical_or_none(original):
            return None
        key = digest(text)
        owner = self.owners.get(key)
        if owner is None or self.by_id[owner].replay.version == 0:
            native = Target(key, actor_id(self.context.kind.name, text))
            found = yield from resolve(Resolve(self.context.kind.name, self.context.origin, native))
            owner = found.actor_id
        if owner is None:
            return key, text
        if owner == working.actor_id:
            return None
        return IdentifiersTaken(
            f"{envelope.kind.cls.__qualname__} would give a {self.context.kind.cls.__qualname__} "
            "identifiers that already belong to another one; choose others"
        )

    def _record(
        self,
        envelope: Envelope,
        working: _Working[A],
        contents: list[tuple[Kind[Any], str]],
        renamed: tuple[str, str] | None,
    ) -> None:
        context, replay = self.context, working.replay
        clock, origin = context.clock, context.origin
        before, native = replay.version, replay.version == 0 and not working.claimed
        seen, seen_of_others = encode_vector(replay.taken), replay.seen_of_others(origin)
        sequence = replay.taken.get(origin, 0)
        command_id = event_id = clock.next()
        for kind, content in contents:
            sequence += 1
            event_id = clock.next()
            self.events.append(
                EventRecord(
                    event_id,
                    working.actor_id,
                    origin,
                    sequence,
                    seen_of_others,
                    kind.name,
                    kind.version,
                    content,
                    command_id,
                    envelope.kind.name,
                    context.kind.name,
                    working.actor_id,
                    before,
                    timestamp_of(event_id),
                )
            )
        replay.version += len(contents)
        replay.taken[origin] = replay.read[origin] = sequence
        replay.last, replay.last_command = event_id, command_id

        gained = [(envelope.target.digest, envelope.identifiers)] if native else []
        if renamed is not None:
            gained.append(renamed)
        for key, text in gained:
            mapping_id = clock.next()
            self.mappings.append(
                MappingRecord(
                    mapping_id,
                    key,
                    text,
                    working.actor_id,
                    origin,
                    command_id,
                    timestamp_of(mapping_id),
                )
            )
            self.owners[key] = working.actor_id
        self.commands.append(
            CommandRecord(
                command_id,
                envelope.kind.name,
                envelope.kind.version,
                envelope.content,
                envelope.key,
                envelope.metadata,
                origin,
                working.actor_id,
                before,
                seen,
                envelope.received_at,
                timestamp_of(command_id),
            )
        )


def _loaded(context: Context[A], envelopes: Sequence[Envelope]) -> Work[_Batch[A]]:
    """Load the actors of a batch, each once."""
    targets = tuple({envelope.target: None for envelope in envelopes})
    keys = tuple({envelope.key: None for envelope in envelopes if envelope.key is not None})
    fingerprint: str | None = context.kind.fingerprint
    while True:
        loading = yield from load(_load(context, targets, fingerprint, keys=keys))
        batch = _Batch(context, loading.previous)
        try:
            for target, loaded in zip(targets, loading.actors, strict=True):
                of_actor = loaded.owner.actor_id or target.native_id
                batch.owners[target.digest] = of_actor
                if loaded.owner.mapping is not None:
                    context.clock.observe(loaded.owner.mapping, bound=context.max_clock_ahead)
                if of_actor not in batch.by_id:
                    replay = yield from _replayed(context, target, loaded)
                    if replay.newest:
                        context.clock.observe(replay.newest, bound=context.max_clock_ahead)
                    batch.by_id[of_actor] = _Working(of_actor, loaded.owner.claimed, replay)
            return batch
        except OutOfOrder:
            fingerprint = None


def _load(
    context: Context[A],
    targets: tuple[Target, ...],
    fingerprint: str | None,
    version: int | None = None,
    until: str | None = None,
    keys: tuple[str, ...] = (),
) -> Load:
    return Load(context.kind.name, context.origin, targets, fingerprint, keys, version, until)


def _replayed(
    context: Context[A],
    target: Target,
    loaded: Loaded,
    version: int | None = None,
    until: str | None = None,
) -> Work[Replay[A]]:
    """Replay a load, page after page, from its snapshot where that is usable."""
    replay = Replay(context.domain, context.kind)
    if loaded.snapshot is not None:
        try:
            replay.resume(loaded.snapshot, vector_of(loaded.snapshot))
        except (StoredDataError, UnusableValue):
            _log.warning(
                "passed over a snapshot in %s that cannot be read; the state is replayed instead",
                context.kind.tables.snapshots.name,
            )
            replay = Replay(context.domain, context.kind)
            loading = yield from load(_load(context, (target,), None, version, until))
            (loaded,) = loading.actors
    events, more = loaded.events, loaded.more
    of_actor = loaded.owner.actor_id or target.native_id
    while replay.take(events, version=version, until=until) and more:
        page = yield from read_events(ReadEvents(context.kind.name, of_actor, dict(replay.read)))
        events, more = page.events, page.more
    return replay


def _first_outcome(context: Context[A], envelope: Envelope, command_id: str) -> Work[Results[A]]:
    """What a command that was handled before with this key led to. Raises KeyReused."""
    name, domain = context.kind.name, context.domain
    (command,) = yield from read_commands(ReadCommands(name, (command_id,)))
    if not domain.same_command(
        envelope.kind, envelope.content, command.type, command.type_version, command.content
    ):
        raise _reused(envelope)
    seen = decode_vector(command.seen)
    before = Replay(domain, context.kind)
    own: list[EventRecord] = []
    after: Vector = {}
    more = True
    while more:
        page = yield from read_history(ReadHistory(name, command.actor_id, after))
        more = page.more
        for event in page.events:
            after[event.origin] = event.sequence
        before.take(event for event in page.events if event.sequence <= seen.get(event.origin, 0))
        own += [event for event in page.events if event.command_id == command_id]
        more = more and after.get(command.origin, 0) <= seen.get(command.origin, 0) + len(own)
    original = context.kind.codec.copy(before.state)
    before.take(own)
    table = context.kind.tables.events.name
    events = [
        domain.decode_event(event.type, event.type_version, event.content, table) for event in own
    ]
    return Results(original, before.state, events)


def _gather(domain: Domain, command: Any, decision: Any) -> tuple[list[Any], list[Exception]]:
    """The events and the errors of a decision, in any of its forms."""
    if decision is None:
        return [], []
    single = isinstance(decision, Exception | str | Mapping) or hasattr(decision, "apply")
    if single or not isinstance(decision, Iterable):
        decision = [decision]
    events: list[Any] = []
    errors: list[Exception] = []
    for item in decision:
        if isinstance(item, Exception):
            errors.append(item)
        elif domain.is_event(item):
            events.append(item)
        elif hasattr(item, "apply") and not isinstance(item, type):
            raise NotRegistered(
                f"{type(command).__qualname__}.handle gave a {type(item).__qualname__}, which is "
                "no event of this domain; pass the class to Domain(...)"
            )
        else:
            raise DefinitionError(
                f"{type(command).__qualname__}.handle gave a {type(item).__qualname__}; it must "
                "return or yield events and exceptions (instances), or nothing"
            )
    return events, errors


def _snapshot(context: Context[A], of_actor: str, replay: Replay[A]) -> SnapshotRecord | None:
    try:
        state = context.kind.codec.encode(replay.state)
    except UnusableValue as error:
        _log.warning("took no snapshot: %s", error)
        return None
    snapshot_id = context.clock.next()
    return SnapshotRecord(
        snapshot_id,
        of_actor,
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


def _due(replay: Replay[Any]) -> bool:
    due_after = replay.snapshot_version + replay.kind.meta.snapshot_frequency
    return replay.version >= due_after


def _target(context: Context[A], identifiers: Identifiers) -> Target:
    text = canonical(identifiers)
    return Target(digest(text), actor_id(context.kind.name, text))


def _canonical(addressed: Any) -> str:
    return canonical(addressed.identifiers())


def _canonical_or_none(state: Any) -> str | None:
    try:
        return _canonical(state)
    except UnusableIdentifiers:
        return None


def _check_text(what: str, text: Any) -> None:
    if type(text) is not str or not text:
        raise UnusableValue(f"{what} must be non-empty text (str)")
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise UnusableValue(f"{what} holds a NUL or a lone surrogate, which cannot be kept")


def _reused(envelope: Envelope) -> KeyReused:
    return KeyReused(
        f"the idempotency key of this {envelope.kind.cls.__qualname__} was used before with "
        "another command, and nothing was stored; use a new key for a new command"
    )


def _in_doubt(context: Context[Any]) -> StorageUnavailable:
    return StorageUnavailable(
        f"the connection broke while a command on {context.kind.cls.__qualname__} was being "
        "stored, and whether it was is not known; handle it again with the same idempotency_key"
    )
