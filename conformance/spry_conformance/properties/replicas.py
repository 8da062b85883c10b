"""Events of other origins."""

from typing import Any

from hypothesis import strategies as st

from spry_conformance.apart import CLOCKS, World, Written
from spry_conformance.domain import Deposit, Deposited
from spry_conformance.foreign import event_rows, put_event
from spry_conformance.lab import Lab, expect
from spry_conformance.properties.registry import promise
from spry_conformance.properties.replay import expect_as_of_reads
from spry_conformance.states import account, entries_of, expect_text, fetched, play
from spry_conformance.steps import Arrive, Elsewhere, Fetch, Handle, Reopen
from spry_conformance.strategies import by_writes
from spry_sqla.adapters import Appended

ADA = account("Ada")
metas = by_writes | st.just(Reopen(0, 10))
replicas = st.sampled_from(list(CLOCKS))
heard = st.sampled_from([(), ("main",), tuple(CLOCKS), tuple(CLOCKS), ("main", *CLOCKS)])
elsewhere = st.builds(Elsewhere, replicas, heard)
arrivals = st.builds(Arrive, st.integers(0, 4))
decisions = st.builds(
    Handle,
    st.builds(Deposit, st.just("Ada"), st.lists(st.integers(1, 9), max_size=2).map(tuple)),
)
reads = st.just(Fetch("Ada"))
beginnings = st.sampled_from(
    [
        (),
        (Elsewhere("behind"), Elsewhere("ahead", ("behind",)), Arrive(1)),
        (
            *(Handle(Deposit("Ada", (1,))), Elsewhere("behind")),
            *(Handle(Deposit("Ada", (2, 3))), Fetch("Ada"), Arrive(0)),
        ),
    ]
)
"""Nothing; an effect that comes before its cause, and alone; an event that comes late."""


@promise(
    "P48",
    "cause-sorts-before-effect",
    "What is decided with knowledge of an event sorts after it, whatever the clocks do; an event "
    "whose cause or predecessor is missing waits, and a late one takes its place.",
    steps=st.tuples(
        metas,
        beginnings,
        st.one_of(
            st.lists(st.one_of(elsewhere, arrivals, reads), min_size=2, max_size=9),
            st.lists(
                st.one_of(elsewhere, elsewhere, arrivals, arrivals, decisions, reads),
                min_size=2,
                max_size=9,
            ),
        ),
    ).map(lambda parts: (parts[0], *parts[1], *parts[2])),
    needs=("replicas",),
    tries=12,
)
def cause_sorts_before_effect(lab: Lab, steps: tuple[Any, ...]) -> None:
    world = World()
    for step in steps:
        match step:
            case Elsewhere():
                world.elsewhere(step)
                continue
            case Arrive(which):
                if not world.pending:
                    continue
                put(lab, world.arrive(which))
            case Handle(Deposit(_, amounts)):
                lab.do(step)
                world.decided(event_rows(lab.storage(), ADA), amounts)
            case _:
                play(lab, step)
        expect_visible(lab, world)
    while world.pending:
        put(lab, world.arrive(world.least_expected()))
        expect_visible(lab, world)
    expect(len(world.visible()), len(world.written), "how many events count, now that all are here")
    expect_as_of_reads(lab.storage(), ADA)


def put(lab: Lab, event: Written) -> None:
    """Append an event of another origin, as an exchange does."""
    answer = put_event(
        lab.storage(),
        ADA,
        Deposited("Ada", event.amount),
        event_id=event.event_id,
        sequence=event.sequence,
        origin=event.origin,
        seen=event.seen,
    )
    expect(type(answer), Appended, "the answer to an append of an event of another origin")


def expect_visible(lab: Lab, world: World) -> None:
    """Raises Broken where a state, a history or a snapshot is not what is to be seen by now."""
    visible = world.visible()
    events = [Deposited("Ada", each.amount) for each in visible]
    for origin in {"main", *(each.origin for each in world.here[:1])}:
        at = lab.storage(origin)
        expect([entry.event for entry in entries_of(at, ADA)], events, "the history of Ada")
        expect_text(
            at, fetched(at, ADA), events, ADA, f"the state, as the origin {origin} reads it,"
        )
    snapshot = lab.rows(**ADA.identifiers).snapshot
    if snapshot is not None:
        what = f"in the newest usable snapshot, of version {snapshot.version},"
        at = lab.storage()
        expect_text(at, snapshot.state, events[: snapshot.version], ADA, f"{what} the state")
        last = visible[snapshot.version - 1 : snapshot.version]
        expect([snapshot.last_event], [each.event_id for each in last], f"{what} the last event")
