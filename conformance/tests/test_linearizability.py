"""The search for an order, by histories of which a person can say whether there is one."""

import random
from itertools import permutations
from typing import Any, NamedTuple

import pytest

from spry_conformance.linearizability import NEVER, Timed, explain


class Write(NamedTuple):
    value: int


class Read(NamedTuple):
    value: int


class Add(NamedTuple):
    """Adds one to what is there, and answers with the sum."""

    answer: int


Call = Write | Read | Add


def after(value: int, call: Call) -> int | None:
    match call:
        case Write(written):
            return written
        case Read(read):
            return value if read == value else None
        case Add(answer):
            return answer if answer == value + 1 else None


def at(begun: float, ended: float, call: Call) -> Timed[Call]:
    return Timed(call, begun, ended)


EXPLAINED = {
    "no call": [],
    "one after the other": [at(0, 1, Write(1)), at(2, 3, Read(1))],
    "a read beside a write sees the old value": [at(0, 3, Write(1)), at(1, 2, Read(0))],
    "a read beside a write sees the new value": [at(0, 3, Write(1)), at(1, 2, Read(1))],
    "two writes beside each other, in the order of neither's begin": [
        at(0, 5, Write(1)),
        at(1, 4, Write(2)),
        at(6, 7, Read(1)),
    ],
    "additions beside each other that answered the other way round": [
        at(0, 3, Add(2)),
        at(1, 4, Add(1)),
    ],
    "a write without an answer that has happened": [at(0, NEVER, Write(1)), at(1, 2, Read(1))],
    "a write without an answer that has not happened": [at(0, NEVER, Write(1)), at(1, 2, Read(0))],
    "a write without an answer that happens late": [
        at(0, NEVER, Write(1)),
        at(1, 2, Read(0)),
        at(3, 4, Read(1)),
    ],
}

NOT_EXPLAINED = {
    "a stale read": [at(0, 1, Write(1)), at(2, 3, Read(0))],
    "a value that nobody wrote": [at(0, 1, Write(1)), at(2, 3, Read(7))],
    "a lost update": [at(0, 3, Add(1)), at(1, 2, Add(1))],
    "an update lost to a read": [at(0, 1, Add(1)), at(2, 3, Add(2)), at(4, 5, Read(1))],
    "the order of real time is violated": [
        at(0, 1, Write(1)),
        at(2, 3, Write(2)),
        at(4, 5, Read(1)),
    ],
    "two readers see two writes in two orders": [
        at(0, 9, Write(1)),
        at(0, 9, Write(2)),
        at(1, 2, Read(1)),
        at(3, 4, Read(2)),
        at(5, 6, Read(1)),
    ],
    "new, and then old, while the write is still going on": [
        at(0, 9, Write(1)),
        at(1, 2, Read(1)),
        at(3, 4, Read(0)),
    ],
    "a write without an answer that happens, and then has not": [
        at(0, NEVER, Write(1)),
        at(1, 2, Read(1)),
        at(3, 4, Read(0)),
    ],
    "a write without an answer is read before it began": [
        at(0, 1, Read(1)),
        at(2, NEVER, Write(1)),
    ],
}


@pytest.mark.parametrize("calls", EXPLAINED.values(), ids=EXPLAINED)
def test_there_is_an_order(calls: list[Timed[Call]]) -> None:
    assert explain(calls, 0, after).complete


@pytest.mark.parametrize("calls", NOT_EXPLAINED.values(), ids=NOT_EXPLAINED)
def test_there_is_no_order(calls: list[Timed[Call]]) -> None:
    found = explain(calls, 0, after)

    assert not found.complete
    assert found.unexplained


def test_the_longest_order_that_was_found_is_told() -> None:
    calls = [at(0, 1, Write(1)), at(2, 3, Read(1)), at(4, 5, Read(0)), at(6, 7, Read(1))]

    found = explain(calls, 0, after)

    assert found.order == (Write(1), Read(1))
    assert found.unexplained == (Read(0),)


def test_twenty_calls_beside_each_other_are_searched_quickly() -> None:
    counted = 0

    def counting(value: int, call: Call) -> int | None:
        nonlocal counted
        counted += 1
        return after(value, call)

    calls = [at(place, 100 + place, Add(place % 10 + 1)) for place in range(20)]

    assert not explain(calls, 0, counting).complete
    assert counted < 50_000, "what was tried is not remembered"


@pytest.mark.parametrize("seed", range(8))
def test_it_agrees_with_trying_every_order(seed: int) -> None:
    chance = random.Random(seed)
    kinds: list[type[Any]] = [Write, Read, Add]
    for _ in range(10):
        calls = []
        for _ in range(4):
            begun = chance.randrange(10)
            ended = NEVER if chance.random() < 0.1 else begun + 0.5 + chance.randrange(6)
            call: Call = chance.choice(kinds)(chance.randrange(3))
            calls.append(at(begun, ended, call))

        assert explain(calls, 0, after).complete == any(
            _explains(calls, order)
            for count in range(len(calls) + 1)
            for order in permutations(range(len(calls)), count)
        )


def _explains(calls: list[Timed[Call]], order: tuple[int, ...]) -> bool:
    if any(call.ended != NEVER for place, call in enumerate(calls) if place not in order):
        return False
    value = 0
    for count, place in enumerate(order, 1):
        if any(calls[later].ended < calls[place].begun for later in order[count:]):
            return False
        then = after(value, calls[place].call)
        if then is None:
            return False
        value = then
    return True
