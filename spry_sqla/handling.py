"""The heart: load, decide, append. Generators without I/O.

A decision is made with no transaction open, at first on what this process remembers of the actors.
An append shows whether this holds, and where nothing is to be stored it is asked for; where it does
not, or another writer was first, everything is loaded and the command decides again. When the
connection broke during an append, the command's id tells whether it was stored. Nothing but the
application's `handle` runs more than once.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from spry_sqla.clock import timestamp_of
from spry_sqla.domain import Domain, Kind
from spry_sqla.envelope import Envelope, canonical_of
from spry_sqla.errors import (
    ConcurrencyError,
    DefinitionError,
    IdentifiersTaken,
    KeyReused,
    NotRegistered,
    StorageError,
    StorageUnavailable,
    UnusableIdentifiers,
)
from spry_sqla.model import Results
from spry_sqla.operations import (
    RECONNECTS,
    Append,
    Appended,
    Conflict,
    Holds,
    Position,
    ReadCommands,
    ReadHistory,
    Resolve,
    Target,
    Unavailable,
    Work,
    append,
    holds,
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
    position_of,
    replayed,
    snapshot_of,
    target_named,
)
from spry_sqla.records import CommandRecord, EventRecord, MappingRecord, Vector
from spry_sqla.replay import OutOfOrder, Replay, apply, decode_vector, encode_vector

A = TypeVar("A")


def handle_many(context: Context[A], envelopes: Sequence[Envelope]) -> Work[list[Results[A]]]:
    """Handle commands in their order with one load and one atomic append.

    Raises what `handle` and `apply` of the application raise, KeyReused, ConcurrencyError,
    ClockTooFarAhead, StoredDataError and StorageUnavailable; nothing is stored then.
    """
    waits = pauses(first=0.001, longest=0.25)
    doubtful: dict[str, list[Results[A]]] = {}
    broken, looked_again = 0, False
    remembered = _remembered(context, envelopes)
    for attempt in range(0 if remembered else 1, context.attempts + 1):
        sure = attempt > 0
        batch = remembered if not sure and remembered else (yield from _loaded(context, envelopes))
        if doubtful:
            # After the load: what is not there now was not in what was loaded either.
            there = yield from read_commands(ReadCommands(context.kind.name, tuple(doubtful)))
            for command in there:
                return doubtful[command.id]
        results = yield from _decided(batch, envelopes, sure=sure)
        if results is None:
            continue
        if not looked_again and attempt < context.attempts and _read_late(envelopes, results):
            looked_again = True
            continue
        writes = batch.writes()
        if writes is None:
            batch.remember()
            return results
        answer = yield from append(writes)
        match answer:
            case Appended():
                batch.remember()
                return results
            case Conflict():
                batch.forget()
                if sure and attempt < context.attempts:
                    yield next(waits)
            case Unavailable(error, nothing_stored):
                if not nothing_stored:
                    doubtful[writes.commands[0].id] = results
                broken += 1
                if broken > RECONNECTS:
                    raise _in_doubt(context) if doubtful else error
                yield next(waits)
    raise _in_doubt(context) if doubtful else _outrun(context)


def _outrun(context: Context[Any]) -> ConcurrencyError:
    kind = context.kind.cls.__qualname__
    return ConcurrencyError(
        f"another writer to {kind} was first, and nothing of the command was stored; handle it "
        "again, in a new transaction where this one has read what the other has changed"
        if context.attempts == 1
        else f"other writers to {kind} were first at each of {context.attempts} attempts, and "
        "nothing was stored; handle the command again, or give the storage more attempts="
    )


def _read_late(envelopes: Sequence[Envelope], results: Sequence[Results[Any]]) -> bool:
    """Whether a command with a key was refused for what was read after the load.

    Whoever has taken the identifiers since may have used the key, and the next load tells.
    """
    return any(
        envelope.key is not None and any(isinstance(error, IdentifiersTaken) for error in errors)
        for envelope, errors in zip(envelopes, (each.errors for each in results), strict=True)
    )


def _decided(
    batch: "_Batch[A]", envelopes: Sequence[Envelope], *, sure: bool
) -> Work[list[Results[A]] | None]:
    """What commands decide; None where it does not hold.

    What is remembered an append shows to hold, but neither an error nor a key whose command stores
    nothing: that may have been used.
    """
    try:
        results = yield from batch.decide(envelopes)
    except StorageError:
        raise
    except Exception:
        if sure or (yield from batch.holds(envelopes)):
            raise
        return None
    shown = batch.commands and all(
        result.events or envelope.key is None
        for envelope, result in zip(envelopes, results, strict=True)
    )
    return results if sure or shown or (yield from batch.holds(envelopes)) else None


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
        self.relies_on: list[Position] = []

    def rely_on(self, target: Target, replay: Replay[A]) -> None:
        """Take an actor for what it was."""
        self.context.clock.observe(replay.newest, bound=self.context.max_clock_ahead)
        self.owners[target.digest] = replay.actor_id
        self.actors[replay.actor_id] = replay
        self.relies_on.append(position_of(self.context, target, replay))

    def holds(self, envelopes: Sequence[Envelope]) -> Work[bool]:
        """Ask whether what was relied on is so, and the commands' keys are unused."""
        keys = tuple({each.key: None for each in envelopes if each.key is not None})
        return (yield from holds(Holds(self.context.kind.name, self.relies_on, keys)))

    def remember(self) -> None:
        """Keep the actors for the next commands, now that they are as is stored.

        Those whose events are all of this origin: where others write, too, much can change.
        """
        names = Counter(self.owners.values())
        for digest, of_actor in self.owners.items():
            replay = self.actors[of_actor]
            # By several names there would be several memories, and all but one outdated.
            if names[of_actor] > 1 or not replay.alone(self.context.origin):
                continue
            if self.given.get(of_actor) is replay.state:
                replay.state = self.context.kind.codec.copy(replay.state)
            replay.last_command = ""  # of this batch
            self.context.cache.put(digest, replay)

    def forget(self) -> None:
        """Others were first, and may be so again."""
        for digest in self.owners:
            self.context.cache.moved(digest)

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
                        replay.snapshot, replay.snapshot_version = snapshot.id, replay.version
        return Append(
            context.kind.name,
            self.commands,
            self.events,
            self.mappings,
            (),
            snapshots,
            self.relies_on,
        )

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
            text = canonical_of(state)
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
            return canonical_of(state)
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
        replay.last = replay.newest = event_id
        replay.last_command = command_id

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


def _remembered(context: Context[A], envelopes: Sequence[Envelope]) -> _Batch[A] | None:
    """The actors of a batch where all are remembered, each by one of its identifiers.

    None, too, where a command must not decide again. Raises ClockTooFarAhead.
    """
    if context.attempts == 1:
        return None
    taken: dict[Target, Replay[A]] = {}
    for target in {envelope.target: None for envelope in envelopes}:
        replay = context.cache.take(target.digest)
        if replay is None:
            break
        taken[target] = replay
    else:
        batch = _Batch(context, {})
        for target, replay in taken.items():
            batch.rely_on(target, replay)
        if taken and len(batch.actors) == len(taken):
            return batch
    for target, replay in taken.items():
        context.cache.put(target.digest, replay)
    return None


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
                    if replay.newest:
                        context.clock.observe(replay.newest, bound=context.max_clock_ahead)
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
