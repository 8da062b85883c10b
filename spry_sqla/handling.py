"""The heart: load, decide, append. Generators without I/O.

A decision is made with no transaction open, at first on what this process remembers of the actors.
An append shows whether this holds, and where nothing is to be stored it is asked for; where it does
not, or another writer was first, everything is loaded and the command decides again. When the
connection broke during an append, the command's id tells whether it was stored. Nothing but the
application's `handle` runs more than once.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from spry_sqla.deciding import Batch
from spry_sqla.envelope import Envelope
from spry_sqla.errors import (
    ConcurrencyError,
    IdentifiersTaken,
    StorageError,
    StorageUnavailable,
)
from spry_sqla.model import Results
from spry_sqla.operations import (
    RECONNECTS,
    Appended,
    Conflict,
    ReadCommands,
    Target,
    Unavailable,
    Work,
    append,
    load,
    pauses,
    read_commands,
)
from spry_sqla.reading import RESTARTS, Context, load_of, out_of_order, replayed
from spry_sqla.replay import OutOfOrder, Replay

A = TypeVar("A")


def handle_many(context: Context[A], envelopes: Sequence[Envelope]) -> Work[list[Results[A]]]:
    """Handle commands in their order with one load and one atomic append.

    Raises what `handle` and `apply` of the application raise, KeyReused, ConcurrencyError,
    ClockTooFarAhead, StoredDataError and StorageUnavailable; nothing is stored then.
    """
    doubtful: dict[str, list[Results[A]]] = {}
    try:
        return (yield from _attempts(context, envelopes, doubtful))
    except StorageUnavailable as error:
        if not doubtful:
            raise
        raise _in_doubt(context) from error


def _attempts(
    context: Context[A], envelopes: Sequence[Envelope], doubtful: dict[str, list[Results[A]]]
) -> Work[list[Results[A]]]:
    """Attempt after attempt; `doubtful` gets what those lead to that may have been stored."""
    waits = pauses(first=0.001, longest=0.25)
    broken, looked_again = 0, False
    remembered = _remembered(context, envelopes)
    for attempt in range(0 if remembered else 1, context.attempts + 1):
        sure = attempt > 0
        batch = remembered if remembered and not sure else (yield from _loaded(context, envelopes))
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
                if broken > RECONNECTS or attempt == context.attempts:
                    raise error
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
    batch: "Batch[A]", envelopes: Sequence[Envelope], *, sure: bool
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


def _remembered(context: Context[A], envelopes: Sequence[Envelope]) -> Batch[A] | None:
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
        batch = Batch(context, {})
        for target, replay in taken.items():
            batch.rely_on(target, replay)
        if taken and len(batch.actors) == len(taken):
            return batch
    for target, replay in taken.items():
        context.cache.put(target.digest, replay)
    return None


def _loaded(context: Context[A], envelopes: Sequence[Envelope]) -> Work[Batch[A]]:
    """Load the actors of a batch, each once."""
    targets = tuple({envelope.target: None for envelope in envelopes})
    keys = tuple({envelope.key: None for envelope in envelopes if envelope.key is not None})
    fingerprint: str | None = context.kind.fingerprint
    for _ in range(RESTARTS):
        loading = yield from load(load_of(context, targets, fingerprint, keys=keys))
        batch = Batch(context, loading.previous)
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


def _in_doubt(context: Context[Any]) -> StorageUnavailable:
    return StorageUnavailable(
        f"the connection broke while a command on {context.kind.cls.__qualname__} was being "
        "stored, and whether it was is not known; handle it again with the same idempotency_key"
    )
