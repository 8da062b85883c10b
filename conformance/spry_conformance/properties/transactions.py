"""The caller's transaction, and cancelled tasks."""

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from hypothesis import strategies as st

from spry_conformance.appending import rows_of
from spry_conformance.callers import Undone, in_transaction
from spry_conformance.cancelling import ended_before
from spry_conformance.domain import (
    Account,
    AnyCommand,
    Count,
    Deposit,
    Open,
    Rename,
    Stumble,
    Withdraw,
)
from spry_conformance.faces import AwaitedFace, Face
from spry_conformance.lab import SECONDS, Broken, Lab, do_awaited, expect, outcome_of
from spry_conformance.properties.registry import promise
from spry_conformance.rivals import Rival
from spry_conformance.steps import (
    Cancelled,
    Fetch,
    Handle,
    HandleMany,
    InTransaction,
    Peek,
    Put,
    Reopen,
    Savepoint,
)
from spry_conformance.strategies import histories, long_histories, reopenings
from spry_conformance.world import (
    World,
    concerned,
    expect_all,
    expect_outcome,
    expect_step,
    told,
)
from spry_sqla.adapters import Conflict, Load, Loading

LONG = 20.0
"""Seconds after which whoever waits is held up."""

PATIENCE = 0.3
"""Seconds in which one who need not wait for a transaction will have read."""

T = TypeVar("T")

names = st.sampled_from(["Ada", "Bob", "Eve"])
deposits = st.builds(Deposit, names, st.sampled_from([(1,), (2, 3)]))
commands: st.SearchStrategy[AnyCommand] = st.one_of(
    deposits,
    deposits,
    st.builds(Open, names),
    st.builds(Withdraw, names, st.just(1)),
    st.builds(Rename, names, names),
)
keys = st.none() | st.none() | st.sampled_from(["k1", "k2"])
handles = st.builds(Handle, commands, keys)
tallies = st.builds(Count, st.sampled_from([1, 2])).map(Handle)
batches = st.lists(st.tuples(commands, keys), min_size=1, max_size=3).map(
    lambda drawn: HandleMany(tuple(each for each, _ in drawn), tuple(key for _, key in drawn))
)
ends = st.sampled_from(["commit", "rollback", "raise"])


def _conflicting(name: str, key: str) -> tuple[Any, ...]:
    """A command, then one that conflicts, then one with the key that is still free."""
    return (
        Handle(Deposit(name, (1,))),
        Put(name, ahead=-1, key=key, mapped="Zed"),
        Handle(Deposit("Zed", (5,)), key),
    )


def _looked_at(command: Deposit) -> tuple[Any, ...]:
    return Handle(command), Peek(command.owner)


def _flat(pieces: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    return tuple(step for piece in pieces for step in piece)


alone = (handles | tallies | batches | st.builds(Fetch, names)).map(lambda step: (step,))
stumbling = st.just((Handle(Stumble("Ada")),))
conflicting = st.builds(_conflicting, names, st.sampled_from(["k3", "k4"]))
looked_at = deposits.map(_looked_at)
savepoints = st.builds(
    Savepoint, st.lists(alone | conflicting, min_size=1, max_size=2).map(_flat), st.booleans()
).map(lambda step: (step,))


def _steps(*kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(st.one_of(*kinds), min_size=1, max_size=5).map(_flat)


@promise(
    "P43",
    "a-transaction-is-whole",
    "What is done in a transaction is stored when it is committed and not before: all or nothing.",
    steps=histories(
        handles,
        st.builds(InTransaction, _steps(alone, alone, stumbling, conflicting, looked_at), ends),
        st.builds(InTransaction, _steps(alone, savepoints, conflicting), ends, st.just(True)),
        reopenings,
        most=8,
    ),
    needs={"transactions"},
    tries=10,
    uses={"concurrent", "joinable"},
)
def a_transaction_is_whole(lab: Lab, steps: tuple[Any, ...]) -> None:
    world = World()
    with Rival(lab) as rival:
        for step in steps:
            match step:
                case Reopen():
                    rival.close()
                    lab.reopen(step)
                case InTransaction(joined=True) if "joinable" not in lab.adapter.capabilities:
                    continue  # the application has no transaction that could be joined
                case InTransaction():
                    _in_transaction(lab, rival, world, step)
                    expect_all(lab.storage(), world)
                case _:
                    expect_step(lab.storage(), world, step, outcome_of(lab.do, step))
        lab.close_all()
        expect_all(lab.storage(), world)


def _in_transaction(lab: Lab, rival: Rival, world: World, step: InTransaction) -> None:
    lookers: list[tuple[Peek, Future[Any]]] = []
    looking = "concurrent" in lab.adapter.capabilities
    if looking and any(isinstance(each, Peek) for each in step.steps):
        rival.open()
    then = world.copy()
    with in_transaction(lab, step) as begun:
        for each in step.steps:
            match each:
                case Peek():
                    if looking:
                        lookers += _look(rival, world, each)
                case Savepoint(inner, kept):
                    _in_savepoint(lab, begun, then, inner, kept=kept or not step.joined)
                case _:
                    _do(lab, begun.face, then, each)
        expect_all(begun.face, then)
    outcomes = [told(outcome_of(world.do, Fetch(look.owner))) for look, _ in lookers]
    if step.ends == "commit":
        world.become(then)
    for (look, waiting), before in zip(lookers, outcomes, strict=True):
        after = told(outcome_of(world.do, Fetch(look.owner)))
        found = told(waiting.result(SECONDS))
        if found not in (before, after):
            raise Broken(
                f"{look}, and is answered when the transaction has ended: expected {before!r} or "
                f"{after!r}, and found {found!r}"
            )


def _in_savepoint(lab: Lab, begun: Any, world: World, steps: Sequence[Any], *, kept: bool) -> None:
    then = world.copy()
    with suppress(Undone), begun.savepoint():
        for each in steps:
            _do(lab, begun.face, then, each)
        if not kept:
            raise Undone
    if kept:
        world.become(then)
    expect_all(begun.face, world)


def _do(lab: Lab, face: Face, world: World, step: Any) -> None:
    """Do a step in a transaction, where its own events are seen at once."""
    if isinstance(step, Put):
        _conflict(face, world, step)
    else:
        expect_step(face, world, step, outcome_of(lab.do, step, face))


def _conflict(face: Face, world: World, step: Put) -> None:
    """What conflicts leaves the transaction as it was."""
    rows = rows_of(face, step)
    if rows is None:  # there is no event yet that could be first
        return
    before = _of_key(face, step)
    answer = outcome_of(face.perform, rows)
    if not isinstance(answer, Conflict):
        raise Broken(f"{step}: expected a Conflict, and found {answer!r}")
    expect(_of_key(face, step), before, f"{step}: the commands of its key after the conflict")
    expect_all(face, world)


def _of_key(face: Face, step: Put) -> dict[str, str]:
    kind = face.domain.actor(Account)
    assert step.key is not None
    loading: Loading = face.perform(Load(kind.name, step.origin, (), None, (step.key,)))
    return loading.previous


def _look(rival: Rival, world: World, look: Peek) -> list[tuple[Peek, "Future[Any]"]]:
    """Another storage looks; who has to wait for the transaction to end is answered later."""
    fetch = Fetch(look.owner)
    looking = rival.begin(fetch)
    try:
        found = looking.result(PATIENCE)
    except TimeoutError:
        return [(look, looking)]
    expect_outcome(found, outcome_of(world.do, fetch), f"{look}, before the transaction has ended")
    return []


# Cancelled tasks ---------------------------------------------------------------------------------

transactions = st.builds(
    InTransaction, st.lists(handles | batches, min_size=2, max_size=3).map(tuple)
)
two_events = st.builds(Deposit, names, st.just((2, 3)))
far = st.integers(1, 40)  # drivers that are awaited wait often
cancelled = st.one_of(
    st.builds(Cancelled, two_events.map(Handle), st.integers(1, 4), st.booleans()),
    st.builds(Cancelled, handles | batches, st.integers(1, 4) | far, st.booleans()),
    st.builds(Cancelled, transactions, st.integers(2, 8), st.booleans()),
    st.builds(Cancelled, transactions, far, st.booleans()),
)


@promise(
    "P44",
    "a-cancelled-task-leaves-nothing-half-done",
    "A task that is cancelled at any await has stored all of its command or nothing, and holds "
    "nobody up.",
    steps=long_histories(handles, cancelled, cancelled, cancelled, most=20),
    needs={"async"},
    tries=20,
    uses={"transactions"},
)
def a_cancelled_task_leaves_nothing_half_done(lab: Lab, steps: tuple[Any, ...]) -> None:
    world = World()
    for step in steps:
        if not isinstance(step, Cancelled):
            expect_step(lab.storage(), world, step, outcome_of(lab.do, step))
        elif not isinstance(step.step, InTransaction) or (
            "transactions" in lab.adapter.capabilities
        ):
            _cancelled(lab, world, step)
            expect_all(lab.storage(), world)


def _cancelled(lab: Lab, world: World, step: Cancelled) -> None:
    face = lab.storage()
    if not isinstance(face, AwaitedFace):
        raise Broken("the adapter claims async, and `open` gives a storage that is not awaited")
    parts = step.step.steps if isinstance(step.step, InTransaction) else (step.step,)
    steps: list[Any] = [part for part in parts if isinstance(part, Handle | HandleMany)]
    then = world.copy()
    for each in steps:
        outcome_of(then.do, each)
    if _in_time(face, step, ended_before(face.storage, step)):
        world.become(then)
        return
    candidates = [world.copy(), then]
    for probe in _probes(step, steps):
        found = _in_time(face, step, _outcome(face.storage, probe))
        expected = [outcome_of(each.do, probe) for each in candidates]
        candidates = [
            each
            for each, outcome in zip(candidates, expected, strict=True)
            if told(outcome) == told(found)
        ]
        if not candidates:
            raise Broken(
                f"{step}; then {probe}: expected {told(expected[0])!r}, as before it, or "
                f"{told(expected[-1])!r}, as after all of it, and found {told(found)!r}"
            )
    # Where none is shown, the first one tells in what.
    shown = [each for each in candidates if outcome_of(expect_all, face, each) is None]
    world.become((shown or candidates)[0])


def _probes(step: Cancelled, steps: Sequence[Any]) -> list[Handle]:
    """What settles whether it was stored: the same command and key again, or others after it."""
    match step.step:
        case Handle(_, str()):
            return [step.step]
    whom = {str(each): each for step in steps for each in concerned(step)}
    return [Handle(Deposit(str(identifiers["owner"]), (9,))) for _, identifiers in whom.values()]


async def _outcome(storage: Any, step: Handle) -> Any:
    try:
        return await do_awaited(storage, step)
    except Exception as error:  # noqa: BLE001  (it is the outcome)
        return error


def _in_time(face: AwaitedFace, step: Cancelled, work: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(LONG):
            return await work

    try:
        return face.runner.run(bounded())
    except TimeoutError:
        raise Broken(
            f"{step}: what came after it waited for {LONG:g} seconds, for a lock or a transaction "
            "that the cancelled task has left"
        ) from None
