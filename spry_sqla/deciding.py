"""What commands decide, one after another, on the actors of their batch; and the records of it.

It reads what is stored where it must, and writes nothing: `handling` appends what `Batch.writes`
says.
"""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from spry_sqla.clock import timestamp_of
from spry_sqla.domain import Domain, Kind
from spry_sqla.envelope import Envelope, canonical_of
from spry_sqla.errors import (
    DefinitionError,
    IdentifiersTaken,
    KeyReused,
    NotRegistered,
    UnusableIdentifiers,
)
from spry_sqla.model import Results
from spry_sqla.operations import (
    Append,
    Holds,
    Position,
    ReadCommands,
    ReadHistory,
    Resolve,
    Target,
    Work,
    holds,
    read_commands,
    read_history,
    resolve,
)
from spry_sqla.reading import Context, due, position_of, snapshot_of, target_named
from spry_sqla.records import CommandRecord, EventRecord, MappingRecord, Vector
from spry_sqla.replay import Replay, apply, decode_vector, encode_vector

A = TypeVar("A")


class Batch(Generic[A]):
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
            content, kept = kind.codec.keep(event)
            contents.append((kind, content))
            state = apply(kept, state, context.kind)

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
    events: list[Any] = []
    errors: list[Exception] = []
    for item in _items(decision):
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


def _items(decision: Any) -> Iterator[Any]:
    """What a decision consists of; of a generator also what it returns."""
    if isinstance(decision, Generator):
        decision = yield from decision
    if decision is None:
        return
    single = isinstance(decision, Exception | str | Mapping) or hasattr(decision, "apply")
    if single or not isinstance(decision, Iterable):
        yield decision
    else:
        yield from decision


def _reused(envelope: Envelope) -> KeyReused:
    return KeyReused(
        f"the idempotency key of this {envelope.kind.cls.__qualname__} was used before with "
        "another command, and nothing was stored; use a new key for a new command"
    )
