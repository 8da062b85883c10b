"""The same command twice, and many commands at once."""

from itertools import permutations
from typing import Any

from hypothesis import strategies as st

from spry_conformance.domain import (
    AnyCommand,
    Count,
    Deposit,
    Hesitate,
    Open,
    Rename,
    Stumble,
    Withdraw,
)
from spry_conformance.lab import Broken, Call, Lab, outcome_of
from spry_conformance.properties.registry import promise
from spry_conformance.rivals import Rival, overtaken
from spry_conformance.steps import AtOnce, Handle, HandleMany, Overtaken, Reopen
from spry_conformance.strategies import commands, long_histories, reopenings
from spry_conformance.world import (
    World,
    expect_all,
    expect_outcome,
    expect_step,
    told,
)

# Keys that a careless comparison takes for one another; each has one command.
KEYED: tuple[tuple[AnyCommand, str], ...] = (
    (Open("Ada"), "k"),
    (Deposit("Ada", (1, 30)), "K"),
    (Deposit("Bob", (1,)), "k "),
    (Rename("Ada", "Eve"), "\u00e9"),
    (Withdraw("Ada", 1), "e\u0301"),
    (Withdraw("Bob", 30), "\U0001f5dd"),
    (Hesitate("Eve", 2), "a" * 255),
)
again = st.sampled_from(KEYED)
loose: st.SearchStrategy[AnyCommand] = st.sampled_from(
    [Open("Bob"), Deposit("Ada", (7,)), Deposit("Eve", (7, 7))]
)

ONCE = long_histories(
    again.map(lambda pair: Handle(*pair)),
    again.map(lambda pair: Handle(*pair)),
    loose.map(Handle),
    st.just(Handle(Count(1), "k")),  # a key is an actor type's own
    st.lists(again, min_size=1, max_size=4).map(
        lambda pairs: HandleMany(tuple(each for each, _ in pairs), tuple(key for _, key in pairs))
    ),
    reopenings,
    st.builds(lambda pair, many: AtOnce(((Handle(*pair),),) * many), again, st.integers(2, 3)),
    st.sampled_from(
        [
            Overtaken(Handle(Hesitate("Ada", 5), "h"), Handle(Hesitate("Ada", 5), "h")),
            Overtaken(Handle(Hesitate("Bob", 6), "i"), Handle(Deposit("Bob", (1,)), "k ")),
        ]
    ),
)


@promise(
    "P31",
    "same-key-runs-once",
    "A command that comes again with its key runs once and answers the same, whenever it comes.",
    steps=ONCE,
    tries=10,
    uses={"concurrent"},
)
def same_key_runs_once(lab: Lab, steps: tuple[Any, ...]) -> None:
    _play(lab, steps)


few_keys = st.sampled_from(["k", "l"])
others: st.SearchStrategy[AnyCommand] = st.sampled_from(
    [
        Open("Ada"),
        Deposit("Ada", (1,)),
        Deposit("Ada", (1, 1)),
        Deposit("Bob", (1,)),
        Withdraw("Ada", 1),
        Rename("Ada", "Bob"),
        Rename("Ada", "Eve"),
        Hesitate("Ada", 1),
    ]
)
keyed = st.builds(Handle, others, few_keys)
OTHER_CONTENT = long_histories(
    keyed,
    keyed,
    others.map(Handle),
    st.builds(Handle, st.sampled_from([Count(1), Count(1, 2)]), few_keys),
    st.lists(st.tuples(others, st.none() | few_keys), min_size=2, max_size=4).map(
        lambda drawn: HandleMany(tuple(each for each, _ in drawn), tuple(key for _, key in drawn))
    ),
    reopenings,
    st.builds(lambda one, other: AtOnce(((one,), (other,))), keyed, keyed),
    st.builds(
        lambda name, key, other: Overtaken(Handle(Hesitate(name, 9), key), Handle(other, key)),
        st.sampled_from(["Ada", "Eve"]),
        st.sampled_from(["k", "m"]),
        st.sampled_from([Deposit("Bob", (1,)), Deposit("Bob", (2,)), Deposit("Ada", (1,))]),
    ),
)


@promise(
    "P32",
    "other-content-is-refused",
    "A key that comes again with another command of its actor type is an error: nothing is stored.",
    steps=OTHER_CONTENT,
    tries=8,
    uses={"concurrent"},
)
def other_content_is_refused(lab: Lab, steps: tuple[Any, ...]) -> None:
    _play(lab, steps)


batch_keys = st.none() | st.none() | st.sampled_from(["k1", "k2", "k3"])
some = st.builds(Deposit, st.sampled_from(["Ada", "Bob"]), st.sampled_from([(1,), (1, 30)]))
many = st.lists(st.tuples(some | commands, batch_keys), min_size=2, max_size=6)
users = st.sampled_from([{"user": "eve"}, {"user": "mallory"}, {}, None])
unhindered = many.map(lambda drawn: [each for each in drawn if not isinstance(each[0], Stumble)])
BATCHES = long_histories(
    st.builds(Handle, commands, batch_keys),
    st.builds(
        lambda drawn, metadata: HandleMany(
            tuple(each for each, _ in drawn), tuple(key for _, key in drawn), metadata=metadata
        ),
        unhindered.filter(bool) | many,
        users,
    ),
    st.sampled_from(
        [
            Overtaken(
                HandleMany(
                    (Deposit("Bob", (1,)), Hesitate("Ada", 5), Open("Eve")), ("x", "y", "z")
                ),
                Handle(Deposit("Ada", (3,))),
            ),
            Overtaken(
                HandleMany((Hesitate("Ada", 6), Open("Zo\u00eb"), Rename("Ada", "Bob"))),
                Handle(Open("Zo\u00eb")),
            ),
        ]
    ),
    reopenings,
    most=20,
)


@promise(
    "P33",
    "a-batch-is-one-by-one",
    "Commands handled together come to what one by one they come to, and all are stored or none.",
    steps=BATCHES,
    tries=10,
    uses={"concurrent"},
)
def a_batch_is_one_by_one(lab: Lab, steps: tuple[Any, ...]) -> None:
    _play(lab, steps)


def _play(lab: Lab, steps: tuple[Any, ...]) -> None:
    world = World()
    with Rival(lab) as rival:
        for step in steps:
            match step:
                case Reopen():
                    rival.close()
                    lab.reopen(step)
                case AtOnce() | Overtaken() if "concurrent" not in lab.adapter.capabilities:
                    for each in _one_by_one(step):
                        expect_step(lab.storage(), world, each, outcome_of(lab.do, each))
                case AtOnce():
                    _expect_some_order(lab, world, lab.at_once(step))
                case Overtaken():
                    for each, found in overtaken(lab, rival, step):
                        expect_outcome(found, outcome_of(world.do, each), each)
                    expect_all(lab.storage(), world)
                case _:
                    expect_step(lab.storage(), world, step, outcome_of(lab.do, step))
        expect_all(lab.storage(), world)


def _one_by_one(step: AtOnce | Overtaken) -> list[Any]:
    if isinstance(step, Overtaken):
        return [step.by, step.step]
    return [each for program in step.programs for each in program]


def _expect_some_order(lab: Lab, world: World, calls: list[Call]) -> None:
    """Raises Broken where what was done at once does not come to what some order comes to.

    Several orders may explain the answers, of which one shows also the actors in their order.
    """
    wrong: Broken | None = None
    for order in permutations(calls):
        then = world.copy()
        if all(told(outcome_of(then.do, each.step)) == told(each.outcome) for each in order):
            try:
                expect_all(lab.storage(), then)
            except Broken as error:
                wrong = error
                continue
            world.become(then)
            return
    if wrong is not None:
        raise wrong
    seen = "; ".join(f"{each.step}: {told(each.outcome)!r}" for each in calls)
    raise Broken(f"done at once, this is what no order of them comes to: {seen}")
