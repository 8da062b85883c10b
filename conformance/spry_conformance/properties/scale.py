"""What work costs, counted in operations, in rows, and in what the backend reads."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

import spry_sqla as spry
from spry_conformance.domain import Account, Deposit, domain
from spry_conformance.faces import Face
from spry_conformance.lab import Broken, Lab, expect
from spry_conformance.properties.registry import promise
from spry_conformance.states import account, entries_of
from spry_conformance.steps import MAIN, Crowd, Handle, Long
from spry_sqla.adapters import (
    NO_ID,
    PAGE,
    ActorPage,
    EventPage,
    HistoryPage,
    Load,
    Loading,
    ReadActors,
    ReadEvents,
    ReadHistory,
    target_of,
)

FROM_THE_BEGINNING = spry.ActorMeta(revision=101)
"""Code that has no snapshots."""

SLACK = 10
"""Work that may come on top: a page more of an index, say."""

Action = Callable[[Face, str], object]


@promise(
    "P50",
    "others-cost-nothing",
    "What `handle`, `fetch`, a history and a page of actors cost does not grow with the number of "
    "other actors, and no answer holds more than a page, however long a stream is.",
    steps=st.tuples(
        st.just(Crowd(12)),
        st.lists(
            st.builds(
                Handle,
                st.builds(
                    Deposit,
                    st.just("Ada"),
                    st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
                ),
            ),
            max_size=4,
        ),
        st.just(Crowd(300)),
        st.sampled_from([(Long("Cyd", PAGE + 100),), (), ()]),
    ).map(lambda parts: (parts[0], *parts[1], parts[2], *parts[3])),
    tries=3,
)
def others_cost_nothing(lab: Lab, steps: tuple[Any, ...]) -> None:
    """The work of the backend is compared where "measured" is claimed.

    What the steps say of Ada is done by others, too, so that they can be compared with her.
    """
    before: dict[str, Any] = {}
    commands: list[Any] = [step.command for step in steps if isinstance(step, Handle)]
    deposits = [command.amounts for command in commands]
    come = 0
    for step in steps:
        match step:
            case Crowd(actors):
                if come:
                    costs_of(lab, "a first one, so that everything is warm", deposits)
                    before = costs_of(lab, "Ada", deposits)
                crowd(lab, come, actors)
                come += actors
                if before:
                    compare(before, costs_of(lab, "Bob", deposits), actors)
                    expect_pages(lab.storage(), "Bob")
            case Long(owner, events):
                lab.do(Handle(Deposit(owner, (1,) * events)))
                expect_bounded(lab, owner, events)


def crowd(lab: Lab, first: int, actors: int) -> None:
    """Let so many others come."""
    names = [f"other {number}" for number in range(first, first + actors)]
    lab.accounts.handle_many([Deposit(name, (1, 2)) for name in names])


# What it costs -----------------------------------------------------------------------------------

ACTIONS: dict[str, Action] = {
    "handle": lambda at, owner: at.repository(Account).handle(Deposit(owner, (5,))),
    "handle with a key": lambda at, owner: at.repository(Account).handle(
        Deposit(owner, (6,)), idempotency_key=f"of {owner}"
    ),
    "handle again": lambda at, owner: at.repository(Account).handle(Deposit(owner, (7,))),
    "fetch": lambda at, owner: at.repository(Account).fetch(owner=owner),
    "fetch as of a version": lambda at, owner: at.repository(Account).fetch(owner=owner, version=1),
    "exists": lambda at, owner: at.repository(Account).exists(owner=owner),
    "history": lambda at, owner: entries_of(at, account(owner)),
    "a page of actors": lambda at, owner: at.perform(
        ReadActors(at.domain.actor(Account).name, NO_ID, None, 10)
    ),
}


def costs_of(lab: Lab, owner: str, deposits: list[tuple[int, ...]]) -> dict[str, Any]:
    """What each action costs: (operations with the rows in their answers, work of the backend)."""
    for amounts in deposits:
        lab.do(Handle(Deposit(owner, amounts)))
    told: list[tuple[str, int]] = []
    at = lab.storage()
    watched = at.observed(
        lambda operation, answer: told.append((type(operation).__name__, rows_in(answer)))
    )
    work = lab.adapter.work if "measured" in lab.adapter.capabilities else None
    costs = {}
    for action, do in ACTIONS.items():
        if action != "handle again":
            at.forget()
        told.clear()
        begun = 0 if work is None else work(at.storage)
        do(watched, owner)
        costs[action] = list(told), 0 if work is None else work(at.storage) - begun
    return costs


def rows_in(answer: Any) -> int:
    """How many rows an answer holds."""
    match answer:
        case Loading(actors, previous):
            return len(previous) + sum(
                len(loaded.events)
                + (0 if loaded.run is None else len(loaded.run.rows))
                + (loaded.snapshot is not None)
                for loaded in actors
            )
        case EventPage(events, _) | HistoryPage(events, _):
            return len(events)
        case ActorPage(actors, _):
            return len(actors)
        case list():
            return len(answer)
    return 0


def compare(before: dict[str, Any], after: dict[str, Any], actors: int) -> None:
    """Raises Broken where something costs more than before so many others came."""
    for action, (operations, work) in before.items():
        what = f"with {actors} other actors, the operations of `{action}`, and rows in each answer"
        expect(after[action][0], operations, what)
        if after[action][1] > 2 * work + SLACK:
            raise Broken(
                f"with {actors} other actors the backend works {after[action][1]} for `{action}`, "
                f"and {work} with a few: look for what is read of all actors, or lacks an index"
            )


# Pages ------------------------------------------------------------------------------------------


def expect_pages(at: Face, owner: str) -> None:
    """Raises Broken where a long read, in pages of a few rows, is not what it is in one page."""
    kind = at.domain.actor(Account)
    target = target_of(at.domain, Account, {"owner": owner})
    load = Load(kind.name, MAIN, (target,), None)
    actor_id = at.perform(load).actors[0].owner.actor_id or target.native_id
    events = at.perform(ReadHistory(kind.name, actor_id, {})).events
    ids, contents = [row.id for row in events], [row.content for row in events]
    for limit in (1, 3, len(ids), len(ids) + 1):
        for read in (ReadEvents, ReadHistory):
            pages = list(event_pages(at, read, actor_id, limit))
            expect(max(map(len, pages)) <= limit, True, f"a page has at most {limit} rows")
            found = [row.id for page in pages for row in page]
            expect(found, ids, f"what {read.__name__} reads in pages of {limit}")
        (loaded,) = at.perform(Load(kind.name, MAIN, (target,), None, limit=limit)).actors
        rows = [content for _, content in loaded.run.rows] if loaded.run is not None else []
        rows += [row.content for row in loaded.events]
        expect(len(rows) <= limit, True, f"a Load with limit={limit} gives at most so many events")
        expect(rows, contents[: len(rows)], f"the events of a Load with limit={limit}")
        expect(loaded.more or len(rows) == len(ids), True, "a Load says so when more events follow")
    for few in (7, None):
        actors = at.perform(ReadActors(kind.name, NO_ID, None)).actors
        limit = few or len(actors)
        pages = list(actor_pages(at, kind.name, limit))
        expect(max(map(len, pages)) <= limit, True, f"a page has at most {limit} actors")
        expect([each for page in pages for each in page], actors, f"actors in pages of {limit}")


def event_pages(at: Face, read: type[Any], actor_id: str, limit: int) -> Iterator[list[Any]]:
    """The pages of a read of an actor's events, one after the other."""
    after: dict[str, int] = {}
    more = True
    while more:
        events, more = at.perform(read(at.domain.actor(Account).name, actor_id, dict(after), limit))
        if more and not events:
            raise Broken(f"{read.__name__} says that more events follow, and gives none")
        for event in events:
            after[event.origin] = event.sequence
        yield events


def actor_pages(at: Face, name: str, limit: int) -> Iterator[list[Any]]:
    """The pages of actors, one after the other, and the empty one at the end.

    One more actor comes after the first page, and is in none.
    """
    after, until = NO_ID, None
    while True:
        actors, until = at.perform(ReadActors(name, after, until, limit))
        if after == NO_ID:
            at.repository(Account).handle(Deposit(f"who came after a page of {limit}", (1,)))
        yield actors
        if not actors:
            return
        if actors[-1][0] <= after:
            raise Broken("a page of actors does not begin after the last one of the page before")
        after = actors[-1][0]


def expect_bounded(lab: Lab, owner: str, events: int) -> None:
    """Raises Broken where an answer of a long replay or a long history holds more than a page."""
    most: Counter[str] = Counter()

    def see(operation: Any, answer: Any) -> None:
        name = type(operation).__name__
        most[name] = max(most[name], rows_in(answer))

    at = lab.open(of=domain(FROM_THE_BEGINNING)).observed(see)
    expect(at.repository(Account).fetch(owner=owner).balance, events, "the state of a long stream")
    expect(len(entries_of(at, account(owner))), events, "the length of a long history")
    for name, rows in most.items():
        if rows > PAGE:
            raise Broken(f"an answer to {name} holds {rows} rows, and a page is {PAGE}")
