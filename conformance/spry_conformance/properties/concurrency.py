"""Several writers at once: each append is whole, and one after another."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from hypothesis import strategies as st

import spry_sqla as spry
from spry_conformance.by_hand import events_of, ids_of, known_of, records_of
from spry_conformance.domain import (
    Account,
    AnyCommand,
    Deposit,
    Hesitate,
    Open,
    Withdraw,
    meanwhile,
)
from spry_conformance.lab import Broken, Call, Lab, expect
from spry_conformance.ledger import read_ledger
from spry_conformance.linearizability import NEVER, Explanation, Timed, explain
from spry_conformance.model import Model
from spry_conformance.properties.registry import promise
from spry_conformance.steps import AtOnce, ByHand, Fetch, Handle, HandleMany, InTurns, Race
from spry_conformance.strategies import deposits
from spry_sqla.adapters import Append, Appended, Conflict, Unavailable

ACCOUNTS = ("Ada", "Bob")
ATTEMPTS = 10

owners = st.sampled_from(["Ada", "Ada", "Ada", "Bob"])


# Races --------------------------------------------------------------------------------------------

races = st.builds(Race, owners, st.lists(st.integers(1, 3), min_size=2, max_size=6).map(tuple))


@promise(
    "P05",
    "one-of-many-writers-succeeds",
    "Of several writers at one version exactly one succeeds, and of the others nothing is stored.",
    steps=st.lists(races | st.builds(Handle, deposits), max_size=4).flatmap(
        lambda steps: races.map(lambda race: (*steps, race))
    ),
    needs={"concurrent"},
    tries=10,
)
def one_of_many_writers_succeeds(lab: Lab, steps: tuple[Any, ...]) -> None:
    for step in steps:
        match step:
            case Race(owner, writers):
                _race(lab, owner, writers)
            case _:
                lab.do(step)


def _race(lab: Lab, owner: str, writers: Sequence[int]) -> None:
    storage = lab.storage()
    appends = [records_of(storage, ByHand(owner, events)) for events in writers]
    before = known_of(storage, owner)
    answers = [
        _until_known(lab, append, answer)
        for append, answer in zip(appends, lab.perform_at_once(appends), strict=True)
    ]
    told = f"the answers to {len(writers)} writers at one version of {owner!r}"
    expect(Counter(map(_name, answers)), Counter(_won(len(writers))), told)
    (won,) = (append for append, answer in zip(appends, answers, strict=True) if _is(answer))

    lost = [append for append in appends if append is not won]
    found = events_of(storage, before.actor_id)
    expect(
        found, [*before.events, *won.events], f"the events of {owner!r} after one writer of many"
    )
    there = read_ledger(storage, [owner], appends)
    rows = [*there.rows.items(), *there.views.items()]
    left = [
        f"{place}: {row}"
        for place, row in rows
        for loser in lost
        if any(each in row for each in ids_of(loser))
    ]
    expect(left, [], "what is there of writers that did not succeed")


def _until_known(lab: Lab, append: Append, answer: Any) -> Any:
    """What was hindered from outside, and stored nothing, is tried again."""
    for _ in range(ATTEMPTS):
        if not (isinstance(answer, Unavailable) and answer.nothing_stored):
            break
        answer = lab.storage().perform(append)
    return answer


def _won(writers: int) -> Iterator[str]:
    yield _name(Appended())
    for _ in range(writers - 1):
        yield _name(Conflict())


def _name(answer: object) -> str:
    return type(answer).__name__


def _is(answer: object) -> bool:
    return isinstance(answer, Appended)


# Programs -----------------------------------------------------------------------------------------

commands = st.one_of(
    st.builds(Open, owners),
    st.builds(Deposit, owners, st.lists(st.just(0), min_size=1, max_size=5).map(tuple)),
    st.builds(Withdraw, owners, st.sampled_from([1, 300])),
    st.builds(Hesitate, owners, st.just(0)),
)
works = st.one_of(
    st.builds(Handle, commands),
    st.builds(Handle, commands),
    st.builds(HandleMany, st.lists(commands, min_size=2, max_size=3).map(tuple)),
    st.builds(Fetch, owners),
    st.builds(Fetch, owners),
)
programs = st.lists(st.lists(works, min_size=2, max_size=5), min_size=2, max_size=4)
meetings = st.one_of(
    st.builds(Fetch, st.just("Ada")),
    st.builds(Handle, st.builds(Deposit, st.just("Ada"), st.just((0,)))),
    st.builds(Handle, st.builds(Withdraw, st.just("Ada"), st.sampled_from([1, 300]))),
)
# At last one has read, another writes, and the first one reads again: it must see what is new.
turns = st.lists(st.tuples(st.sampled_from([0, 1]), meetings), max_size=5).map(
    lambda drawn: (
        *drawn,
        (0, Fetch("Ada")),
        (1, Handle(Deposit("Ada", (0,)))),
        (0, Fetch("Ada")),
    )
)


def numbered(
    turns: Iterable[tuple[int, Any]], programs: Iterable[Iterable[Any]]
) -> tuple[InTurns, AtOnce]:
    """The same steps, where no two deposits are of one amount: each can be told apart."""
    amounts = count(100)

    def number(command: AnyCommand) -> AnyCommand:
        match command:
            case Deposit(owner, some):
                return Deposit(owner, tuple(next(amounts) for _ in some))
            case Hesitate(owner):
                return Hesitate(owner, next(amounts))
        return command

    def number_in(step: Any) -> Any:
        match step:
            case Handle(command):
                return Handle(number(command))
            case HandleMany(several):
                return HandleMany(tuple(number(command) for command in several))
        return step

    return (
        InTurns(tuple((who, number_in(step)) for who, step in turns)),
        AtOnce(tuple(tuple(number_in(step) for step in program) for program in programs)),
    )


@dataclass(frozen=True)
class OfOne:
    """What a call was for one account: its commands and what they came to, or a fetch.

    `step` is the whole call, and who made it; `answer` is None where it is not known.
    """

    step: str
    owner: str
    commands: tuple[AnyCommand, ...]
    answer: Any

    def __str__(self) -> str:
        return f"{self.step} -> {self.answer!r}"


@dataclass(frozen=True, eq=False)
class State:
    """A reference model, as a state that a search can remember: equal where the events are."""

    model: Model[Account]
    events: tuple[Any, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and self.events == other.events

    def __hash__(self) -> int:
        return hash(self.events)


@promise(
    "P06",
    "what-is-done-at-once-is-as-one-by-one",
    "Of what is done at once, exactly what was reported as stored is stored, and each account "
    "has seen one call after another.",
    steps=st.builds(numbered, turns, programs),
    needs={"concurrent"},
    tries=20,
)
def what_is_done_at_once_is_as_one_by_one(lab: Lab, steps: tuple[Any, ...]) -> None:
    calls: list[Call] = []
    for step in steps:
        match step:
            case InTurns():
                calls += _later(calls, lab.in_turns(step))
            case AtOnce():
                meanwhile(_let_others_go_on)
                try:
                    calls += _later(calls, lab.at_once(step))
                finally:
                    meanwhile(None)
    lab.reopen()
    _expect_reported(lab, calls)
    fetches = tuple((0, Fetch(owner)) for owner in ACCOUNTS)
    calls += _later(calls, lab.in_turns(InTurns(fetches)))
    for owner in ACCOUNTS:
        found = explain(list(_of_account(owner, calls)), State(Model(Account), ()), _after)
        if not found.complete:
            raise Broken(_told(owner, found))


def _let_others_go_on() -> None:
    """While a command decides, in order that others come between."""
    time.sleep(0)


def _later(before: Sequence[Call], calls: Iterable[Call]) -> list[Call]:
    """The same calls, at moments after those."""
    last = max((call.ended for call in before), default=0) + 1
    return [replace(call, begun=call.begun + last, ended=call.ended + last) for call in calls]


def _expect_reported(lab: Lab, calls: Sequence[Call]) -> None:
    reported = Counter(event for call in calls for event in _events(call.outcome))
    doubtful = Counter(
        event
        for call in calls
        if isinstance(call.outcome, spry.StorageUnavailable)
        for event in _possible(call.step)
    )
    stored: Counter[Any] = Counter()
    for owner in ACCOUNTS:
        known = known_of(lab.storage(), owner)
        stored.update(entry.event for entry in lab.accounts.history(owner=owner))
        numbers = [event.sequence for event in known.events]
        expect(numbers, list(range(1, len(numbers) + 1)), f"the sequences of {owner!r}")
    expect(sorted(map(repr, reported - stored)), [], "what was reported as stored and is not there")
    more = stored - reported - doubtful
    expect(sorted(map(repr, more)), [], "what is stored and was not reported, or more than once")


def _events(outcome: Any) -> list[Any]:
    results = outcome if isinstance(outcome, list) else [outcome]
    return [event for each in results if isinstance(each, spry.Results) for event in each.events]


def _possible(step: Any) -> Iterator[Any]:
    """The events that commands have when they are accepted."""
    several: Any = step.commands if isinstance(step, HandleMany) else (step.command,)
    for command in several:
        model, rich = Model(Account), Model(Account)
        rich.handle(Deposit(command.owner, (10**6,)))
        yield from (Counter(model.handle(command).events) | Counter(rich.handle(command).events))


def _of_account(owner: str, calls: Sequence[Call]) -> Iterator[Timed[OfOne]]:
    """The part that calls had in one account; linearizability is a matter of each by itself.

    Herlihy and Wing, "Linearizability: a correctness condition for concurrent objects", 1990.
    """
    for call in calls:
        told = f"{chr(ord('a') + call.program)}: {call.step}"
        match call.outcome:
            case spry.ConcurrencyError():
                continue  # it says that nothing has happened
            case spry.StorageUnavailable():
                ended = NEVER
            case Exception():
                raise Broken(f"{told} -> {call.outcome!r}") from call.outcome
            case _:
                ended = float(call.ended)
        known = ended != NEVER
        match call.step:
            case Fetch(owner=fetched):
                if fetched == owner and known:
                    yield Timed(OfOne(told, owner, (), call.outcome), call.begun, ended)
            case Handle() | HandleMany():
                single = isinstance(call.step, Handle)
                step: Any = call.step
                commands = (step.command,) if single else step.commands
                results: Any = [call.outcome] if single else call.outcome
                mine = [place for place, each in enumerate(commands) if each.owner == owner]
                answer = _answers(results[place] for place in mine) if known else None
                part = tuple(commands[place] for place in mine)
                if mine:
                    yield Timed(OfOne(told, owner, part, answer), call.begun, ended)


def _after(state: State, call: OfOne) -> State | None:
    if not call.commands:
        return state if state.model.fetch({"owner": call.owner}) == call.answer else None
    model = deepcopy(state.model)
    results = model.handle_many(call.commands, [None] * len(call.commands))
    if call.answer is not None and _answers(results) != call.answer:
        return None
    return State(model, (*state.events, *(event for each in results for event in each.events)))


def _answers(results: Iterable[spry.Results[Account]]) -> list[Any]:
    return [
        (each.original, each.modified, each.events, [(type(e), str(e)) for e in each.errors])
        for each in results
    ]


def _told(owner: str, found: Explanation[OfOne]) -> str:
    order = "".join(f"\n  {number}. {call}" for number, call in enumerate(found.order, 1))
    then = "".join(f"\n  - {call}" for call in found.unexplained)
    return (
        f"no order of the calls explains what they answered of the account of {owner!r}; the "
        f"longest that was found:{order or ' none'}\nand after it none of these could answer so, "
        f"though one of them must come next:{then}"
    )
