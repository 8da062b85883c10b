"""The heart: load, decide, append. Generators without I/O.

A decision is made with no transaction open. When another writer was first, everything is loaded
again and the command decides again; when the connection broke during an append, the command's id
tells whether it was stored. Nothing but the application's `handle` runs more than once.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec

from spry_sqla.clock import timestamp_of
from spry_sqla.domain import Domain, Kind
from spry_sqla.errors import (
    ConcurrencyError,
    DefinitionError,
    IdentifiersTaken,
    KeyReused,
    NotRegistered,
    StorageUnavailable,
    UnusableIdentifiers,
    UnusableValue,
)
from spry_sqla.identity import canonical
from spry_sqla.model import Results
from spry_sqla.operations import (
    RECONNECTS,
    Append,
    Appended,
    Conflict,
    ReadCommands,
    ReadHistory,
    Resolve,
    Target,
    Unavailable,
    Work,
    append,
    load,
    pauses,
    read_commands,
    read_history,
    resolve,
)
from spry_sqla.reading import (
    RESTARTS,
    Context,
    due,
    load_of,
    out_of_order,
    replayed,
    snapshot_of,
    target_named,
)
from spry_sqla.records import CommandRecord, EventRecord, MappingRecord, Vector
from spry_sqla.replay import OutOfOrder, Replay, apply, decode_vector, encode_vector

A = TypeVar("A")

KEY_LENGTH = 255
"""Characters of an idempotency key at most: what every database can index."""


class Envelope(msgspec.Struct, frozen=True):
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
        target_named(context.kind.name, text),
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
    for attempt in range(1, context.attempts + 1):
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
                if attempt < context.attempts:
                    yield next(waits)
            case Unavailable(error, nothing_stored):
                if not nothing_stored:
                    doubtful[writes.commands[0].id] = results
                broken += 1
                if broken > RECONNECTS:
                    raise _in_doubt(context) if doubtful else error
                yield next(waits)
    if doubtful:
        raise _in_doubt(context)
    kind = context.kind.cls.__qualname__
    raise ConcurrencyError(
        f"another writer to {kind} was first, and nothing of the command was stored; handle it "
        "again, in a new transaction where this one has read what the other has changed"
        if context.attempts == 1
        else f"other writers to {kind} were first at each of {context.attempts} attempts, and "
        "nothing was stored; handle the command again, or give the storage more attempts="
    )


class _Batch(Generic[A]):
    """The actors of some commands, loaded, and what deciding on them leads to."""

    def __init__(self, context: Context[A], previous: dict[str, str]) -> None:
        self.context = context
        self.previous = previous
        self.actors: dict[str, Replay[A]] = {}
        self.owners: dict[bytes, str] = {}
        self.claimed: set[bytes] = set()
        self.given: dict[str, A] = {}
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
                before = first.kind.name, first.kind.version, first.content
                if not self.context.domain.same_command(envelope.kind, envelope.content, *before):
                    raise _reused(envelope)
                copy = self.context.kind.codec.copy
                result = Results(copy(result.original), copy(result.modified), [*result.events])
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
            for replay in self.actors.values():
                if replay.last_command and due(replay):
                    snapshot = snapshot_of(context, replay)
                    if snapshot is not None:
                        snapshots.append(snapshot)
        return Append(context.kind.name, self.commands, self.events, self.mappings, (), snapshots)

    def _decide(self, envelope: Envelope) -> Work[Results[A]]:
        context, codec = self.context, self.context.kind.codec
        replay = self.actors[self.owners[envelope.target.digest]]
        original = replay.state
        if self.given.get(replay.actor_id) is original:
            # In the results of a command before this one, which has changed nothing.
            original = replay.state = codec.copy(original)
        self.given[replay.actor_id] = original
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

        renamed = yield from self._renamed(envelope, replay, original, state)
        if isinstance(renamed, IdentifiersTaken):
            return Results(original, codec.copy(original), [], [renamed])
        self._record(envelope, replay, contents, renamed)
        replay.state = state
        return Results(original, codec.copy(state), events)

    def _renamed(
        self, envelope: Envelope, replay: Replay[A], original: A, state: A
    ) -> Work[tuple[bytes, str] | IdentifiersTaken | None]:
        """The (digest, text) of identifiers that events have given to the actor anew, if any."""
        try:
            text = _canonical(state)
        except UnusableIdentifiers:
            if self._called(replay, original) is None:
                return None
            raise
        if text == envelope.identifiers or text == self._called(replay, original):
            return None
        native = target_named(self.context.kind.name, text)
        key = native.digest
        owner = self.owners.get(key)
        if owner is None or self.actors[owner].version == 0:
            found = yield from resolve(Resolve(self.context.kind.name, self.context.origin, native))
            owner = found.actor_id
        if owner is None:
            return key, text
        if owner == replay.actor_id:
            return None
        return IdentifiersTaken(
            f"{envelope.kind.cls.__qualname__} would give a {self.context.kind.cls.__qualname__} "
            "identifiers that already belong to another one; choose others"
        )

    def _called(self, replay: Replay[A], state: A) -> str | None:
        """What a state calls itself; the zero state need not be able to say."""
        try:
            return _canonical(state)
        except UnusableIdentifiers:
            return None
        except Exception:
            if replay.version:
                raise
            return None

    def _record(
        self,
        envelope: Envelope,
        replay: Replay[A],
        contents: list[tuple[Kind[Any], str]],
        renamed: tuple[bytes, str] | None,
    ) -> None:
        context, before = self.context, replay.version
        clock, origin = context.clock, context.origin
        seen, seen_of_others = encode_vector(replay.taken), replay.seen_of_others(origin)
        sequence = replay.taken.get(origin, 0)
        command_id = event_id = clock.next()
        for kind, content in contents:
            sequence += 1
            event_id = clock.next()
            self.events.append(
                EventRecord(
                    event_id,
                    replay.actor_id,
                    origin,
                    sequence,
                    seen_of_others,
                    kind.name,
                    kind.version,
                    content,
                    command_id,
                    envelope.kind.name,
                    context.kind.name,
                    replay.actor_id,
                    before,
                    timestamp_of(event_id),
                )
            )
        replay.version += len(contents)
        replay.taken[origin] = replay.read[origin] = sequence
        replay.last, replay.last_command = event_id, command_id

        gained = [] if renamed is None else [renamed]
        if before == 0 and envelope.target.digest not in self.claimed:
            gained.insert(0, (envelope.target.digest, envelope.identifiers))
        for key, text in gained:
            mapping_id = clock.next()
            self.mappings.append(
                MappingRecord(
                    mapping_id,
                    key,
                    text,
                    replay.actor_id,
                    origin,
                    command_id,
                    timestamp_of(mapping_id),
                )
            )
            self.owners[key] = replay.actor_id
        self.commands.append(
            CommandRecord(
                command_id,
                envelope.kind.name,
                envelope.kind.version,
                envelope.content,
                envelope.key,
                envelope.metadata,
                origin,
                replay.actor_id,
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
    for _ in range(RESTARTS):
        loading = yield from load(load_of(context, targets, fingerprint, keys=keys))
        batch = _Batch(context, loading.previous)
        try:
            for target, loaded in zip(targets, loading.actors, strict=True):
                of_actor = loaded.owner.actor_id or target.native_id
                batch.owners[target.digest] = of_actor
                if loaded.owner.claimed:
                    batch.claimed.add(target.digest)
                if of_actor not in batch.actors:
                    replay = yield from replayed(context, target, loaded)
                    batch.actors[of_actor] = replay
                    newest = max(replay.newest, loaded.owner.mapping or "")
                    if newest:
                        context.clock.observe(newest, bound=context.max_clock_ahead)
            return batch
        except OutOfOrder:
            fingerprint = None
    raise out_of_order(context)


def _first_outcome(context: Context[A], envelope: Envelope, command_id: str) -> Work[Results[A]]:
    """What a command that was handled before with this key led to. Raises KeyReused."""
    name, domain = context.kind.name, context.domain
    (command,) = yield from read_commands(ReadCommands(name, (command_id,)))
    if not domain.same_command(
        envelope.kind, envelope.content, command.type, command.type_version, command.content
    ):
        raise _reused(envelope)
    seen = decode_vector(command.seen)
    before = Replay(domain, context.kind, command.actor_id)
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


def _canonical(addressed: Any) -> str:
    return canonical(addressed.identifiers())


def _check_text(what: str, text: Any) -> None:
    if type(text) is not str or not 0 < len(text) <= KEY_LENGTH:
        raise UnusableValue(f"{what} must be text (str) of 1 to {KEY_LENGTH} characters")
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
