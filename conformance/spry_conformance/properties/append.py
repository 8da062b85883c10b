"""Appending: order, sequences, atomicity."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import Any

from hypothesis import strategies as st

import spry_sqla as spry
from spry_conformance.by_hand import (
    EACH,
    KEYS,
    PARTS,
    Known,
    ids_of,
    known_of,
    records_of,
    spoil,
)
from spry_conformance.domain import (
    Account,
    Deposit,
    DepositEach,
    Hesitate,
    Open,
    Withdraw,
    meanwhile,
)
from spry_conformance.faces import Face, PlainFace
from spry_conformance.lab import Broken, Lab, expect, outcome_of, raising
from spry_conformance.ledger import expect_kept, expect_unchanged, read_ledger
from spry_conformance.model import Model
from spry_conformance.properties.registry import promise
from spry_conformance.steps import (
    MAIN,
    ByHand,
    Handle,
    HandleMany,
    Outrun,
    Reopen,
    Spoilt,
    Together,
)
from spry_conformance.strategies import (
    batches,
    commands,
    deposits,
    handles,
    histories,
    owners,
    reopenings,
)
from spry_sqla.adapters import PAGE, Append, Appended, Conflict, Unavailable

NEIGHBOUR = "the neighbour"
"""The owner of the account that has taken what others claim in vain."""

OWNERS = ("Ada", "Bob", "Zo\u00eb", "", "the other one", NEIGHBOUR)
"""All that these histories can name."""

TWO = st.sampled_from(["Ada", "Ada", "Bob"])
FEW = st.integers(1, 3)

some = st.lists(st.sampled_from([1, 30, 2**70]), min_size=1, max_size=4).map(tuple)
busy = st.one_of(
    st.builds(Open, TWO), st.builds(Deposit, TWO, some), st.builds(Withdraw, TWO, st.just(1))
)
busy_handles = st.builds(Handle, busy, st.sampled_from([None, "k1", "k2"]))
without_keys = st.one_of(
    st.builds(Handle, busy),
    st.builds(Handle, commands),
    st.builds(HandleMany, st.lists(commands, min_size=1, max_size=4).map(tuple)),
)
spoilt = st.one_of(
    st.builds(Spoilt, st.sampled_from(PARTS), st.integers(0, EACH - 1), st.just("id")),
    st.builds(Spoilt, st.sampled_from(list(KEYS)), st.integers(0, EACH - 1), st.just("key")),
)
by_hand = st.builds(ByHand, TWO, FEW, st.sampled_from([0, 0, 1, 2]), st.none() | st.none() | spoilt)


def in_transaction(*steps: st.SearchStrategy[Any]) -> st.SearchStrategy[Together]:
    """A few of these steps in one transaction, which more often is kept."""
    each = st.lists(st.one_of(*steps), min_size=1, max_size=4).map(tuple)
    return st.builds(Together, each, st.sampled_from([False, False, True]))


# How histories are played -------------------------------------------------------------------------


class Undone(Exception):
    """Raised in a transaction's block, in order that the transaction is undone."""


class Play:
    """A history of appends, and what came of it.

    `stored` are the events that were reported as stored, in the order of the reports; `tried` are
    the appends that were made by hand.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.tried: list[Append] = []
        self.stored: list[Any] = []
        self.taken = records_of(lab.storage(), ByHand(NEIGHBOUR, EACH))
        self.append(lab.storage(), self.taken)

    def step(self, step: Any, at: Face | None = None) -> Any:
        """Play one step; what it raises is its outcome, where the application would go on."""
        match step:
            case Reopen():
                self.lab.reopen(step)
            case Together(steps, undone):
                if not self.transactions:
                    return [self.step(each) for each in steps if not undone]
                before = list(self.stored)
                with self.transaction(undone=undone) as joined:
                    for each in steps:
                        self.step(each, joined)
                if undone:
                    self.stored = before
            case ByHand(spoilt=spoilt):
                storage = at or self.lab.storage()
                records = records_of(storage, step)
                if spoilt is not None:
                    records = spoil(records, spoilt, self.taken)
                return outcome_of(self.append, storage, records)
            case _:
                origin = step.origin if "replicas" in self.lab.adapter.capabilities else MAIN
                results = outcome_of(self.lab.do, step, at or self.lab.storage(origin))
                for each in results if isinstance(results, list) else [results]:
                    if isinstance(each, spry.Results):
                        self.stored += each.events
                return results

    def append(self, storage: Face, records: Append) -> Any:
        """Append records; what is said to be stored is noted."""
        self.tried.append(records)
        answer = storage.perform(records)
        if answer == Appended():
            self.stored += records.events
        return answer

    @property
    def transactions(self) -> bool:
        """Whether the adapter claims them."""
        return "transactions" in self.lab.adapter.capabilities

    @contextmanager
    def transaction(self, *, undone: bool = False) -> Iterator[Face]:
        """A transaction, kept or undone at the end of the block."""
        try:
            with self.lab.storage().transaction() as joined:
                yield joined
                if undone:
                    raise Undone
        except Undone:
            pass

    def ledger(self, at: Face | None = None) -> Any:
        """All that can be read now."""
        return read_ledger(at or self.lab.storage(), OWNERS, self.tried)

    def accounts(self) -> dict[str, Known]:
        """Each account that has events, once, by the first of its names."""
        known: dict[str, Known] = {}
        for owner in OWNERS:
            found = known_of(self.lab.storage(), owner)
            if found.events and found.actor_id not in {each.actor_id for each in known.values()}:
                known[owner] = found
        return known


# The promises -------------------------------------------------------------------------------------


@promise(
    "P01",
    "events-keep-their-order",
    "Events come back in the order in which they were appended.",
    steps=histories(st.builds(Handle, busy), without_keys, reopenings, least=8),
    tries=10,
)
def events_keep_their_order(lab: Lab, steps: tuple[Any, ...]) -> None:
    model = Model(Account)
    for step in steps:
        if isinstance(step, Reopen):
            lab.reopen(step)
        else:
            outcome_of(lab.do, step)
            outcome_of(model.do, step)
    lab.reopen(Reopen(revision=9))  # so that no snapshot is usable
    for identifiers in model.actors():
        events = [fact.event for fact in model.history(identifiers)]
        found = [entry.event for entry in lab.accounts.history(identifiers)]
        expect(found, events, f"the events of {dict(identifiers)}")
        state = lab.accounts.fetch(identifiers)
        expect(state, model.fetch(identifiers), f"what the events of {dict(identifiers)} come to")


@promise(
    "P02",
    "sequences-have-no-hole",
    "The events of an actor and origin are numbered 1, 2, 3 …, without a hole or a repetition.",
    steps=histories(
        without_keys,
        st.builds(Handle, busy, origin=st.just("north")),
        by_hand,
        in_transaction(without_keys, by_hand),
        reopenings,
        least=6,
    ),
    tries=10,
)
def sequences_have_no_hole(lab: Lab, steps: tuple[Any, ...]) -> None:
    play = Play(lab)
    for step in steps:
        play.step(step)
    accounts = play.accounts()
    for owner, known in accounts.items():
        by_origin = sorted(known.events, key=attrgetter("origin", "sequence"))
        for origin, events in groupby(by_origin, attrgetter("origin")):
            found = [event.sequence for event in events]
            what = f"the sequences of the account of {owner!r} at {origin}"
            expect(found, list(range(1, len(found) + 1)), what)
    total = sum(len(known.events) for known in accounts.values())
    expect(total, len(play.stored), "the number of events")


@promise(
    "P03",
    "stored-rows-never-change",
    "A stored row never changes: what was read once is read the same for ever, byte for byte.",
    steps=st.builds(
        lambda first, rest: (first, *rest),
        st.just(Reopen(snapshot_frequency=3)),
        histories(
            *(busy_handles, busy_handles, handles, batches, by_hand),
            *(in_transaction(busy_handles, by_hand), reopenings),
            least=6,
            most=8,
        ),
    ),
    tries=8,
)
def stored_rows_never_change(lab: Lab, steps: tuple[Any, ...]) -> None:
    play = Play(lab)
    before = play.ledger()
    for number, step in enumerate(steps, 1):
        play.step(step)
        after = play.ledger()
        expect_kept(before, after, f"rows that were there before step {number}")
        before = after
    lab.reopen()
    expect_kept(before, play.ledger(), "rows, when the storage was opened again")


@promise(
    "P04",
    "a-stale-append-stores-nothing",
    "An append at a stale version fails, and nothing at all of it is stored.",
    steps=st.tuples(
        st.builds(Handle, deposits),
        st.one_of(
            st.builds(ByHand, TWO, FEW, FEW),
            in_transaction(st.builds(Handle, deposits), st.builds(ByHand, TWO, FEW, FEW)),
            st.builds(Outrun, owners),
        ),
        st.builds(ByHand, TWO, FEW, FEW),
    )
    | histories(
        st.builds(Handle, deposits),
        st.builds(ByHand, TWO, FEW, st.integers(0, 2)),
        st.builds(Outrun, owners),
        in_transaction(st.builds(Handle, deposits), st.builds(ByHand, TWO, FEW, FEW)),
        most=6,
    ),
    tries=10,
)
def a_stale_append_stores_nothing(lab: Lab, steps: tuple[Any, ...]) -> None:
    play = Play(lab)
    for step in steps:
        match step:
            case ByHand():
                _append_stale(play, lab.storage(), step)
            case Together(within, undone) if play.transactions:
                with play.transaction(undone=undone) as joined:
                    for each in within:
                        if isinstance(each, ByHand):
                            _append_stale(play, joined, each)
                        else:
                            play.step(each, joined)
            case Outrun(owner):
                if play.transactions and isinstance(lab.storage(), PlainFace):
                    _overtake(play, owner)
            case _:
                play.step(step)


def _append_stale(play: Play, storage: Face, step: ByHand) -> None:
    records = records_of(storage, step)
    if len(known_of(storage, step.owner).events) > records.commands[0].actor_version:
        before = read_ledger(storage, OWNERS, [records])
        answer = play.append(storage, records)
        expect(answer, Conflict(), "the answer to an append at a stale version")
        after = read_ledger(storage, OWNERS, [records])
        expect_unchanged(before, after, "after an append at a stale version")
    again = records_of(storage, replace(step, behind=0), ids_of(records))
    answer = play.append(storage, again)
    expect(answer, Appended(), "the answer to the same records at the newest version")


def _overtake(play: Play, owner: str) -> None:
    """Within one transaction, so that it is the same where writers wait for each other."""
    before = play.lab.accounts.fetch(owner=owner).entries
    with play.transaction() as joined:
        accounts = joined.repository(Account)
        accounts.handle(Deposit(owner, (1,)))
        meanwhile(lambda: accounts.handle(Deposit(owner, (2,))))
        try:
            with raising(spry.ConcurrencyError, "a deposit that was overtaken by another one"):
                accounts.handle(Hesitate(owner, 3))
        finally:
            meanwhile(None)
        accounts.handle(Deposit(owner, (4,)))
    found = play.lab.accounts.fetch(owner=owner).entries
    expect(found, [*before, 1, 2, 4], "the deposits, when the third of four was overtaken")


# Atomicity ----------------------------------------------------------------------------------------

EVENTS = 3
faults = [
    *(
        Spoilt(part, place, how)
        for part in PARTS
        for place in range(EVENTS if part == "events" else EACH)
        for how in ("id", "key", "text", "no record")
        if how != "key" or part in KEYS
    )
]


@promise(
    "P07",
    "an-append-is-atomic",
    "An append is atomic: when any part of it fails, nothing of it is there, nor in the way.",
    steps=st.tuples(
        st.builds(Handle, deposits) | st.builds(HandleMany, st.tuples(deposits, commands)),
        st.one_of(
            st.builds(ByHand, owners, st.just(EVENTS), spoilt=st.sampled_from(faults)),
            st.builds(
                Together,
                st.tuples(
                    st.builds(Handle, deposits),
                    st.builds(ByHand, owners, st.just(EVENTS), spoilt=st.sampled_from(faults)),
                ),
                st.booleans(),
            ),
        ),
    ),
    tries=20,
)
def an_append_is_atomic(lab: Lab, steps: tuple[Any, ...]) -> None:
    play = Play(lab)
    for step in steps:
        match step:
            case ByHand(spoilt=Spoilt()):
                _append_spoilt(play, lab.storage(), step)
            case Together(within, undone) if play.transactions:
                before = play.ledger()
                with play.transaction(undone=undone) as joined:
                    for each in within:
                        if isinstance(each, ByHand):
                            _append_spoilt(play, joined, each)
                        else:
                            play.step(each, joined)
                if undone:
                    expect_unchanged(before, play.ledger(), "after a transaction was undone")
            case Together():
                pass
            case _:
                before = play.ledger()
                if isinstance(play.step(step), Exception):
                    expect_unchanged(before, play.ledger(), "after commands of which one raised")


def _append_spoilt(play: Play, storage: Face, step: ByHand) -> None:
    assert step.spoilt is not None
    whole = records_of(storage, step)
    records = spoil(whole, step.spoilt, play.taken)
    tried = [*play.tried, whole, records]
    before = read_ledger(storage, OWNERS, tried)
    answer = outcome_of(storage.perform, records)
    what = f"the answer to an append where {step.spoilt}"
    if step.spoilt.how in ("id", "key"):
        expect(answer, Conflict(), what)
    elif answer == Appended() and step.spoilt.how == "text":
        _expect_there(storage, records, what)
        return
    elif not isinstance(answer, Exception | Unavailable):
        raise Broken(f"{what}: expected an error, and found {answer!r}")
    after = read_ledger(storage, OWNERS, tried)
    expect_unchanged(before, after, f"after an append where {step.spoilt}")
    what = f"the answer to the append without what was wrong, after one where {step.spoilt}"
    expect(play.append(storage, whole), Appended(), what)
    _expect_there(storage, whole, what)


def _expect_there(storage: Face, records: Append, what: str) -> None:
    """Of links nothing can be read; that they are there is seen when they are written again."""
    found = read_ledger(storage, OWNERS, [records])
    lacking = [
        repr(record)
        for part in ("commands", "events")
        for record in getattr(records, part)
        if repr(record) not in found.rows.values()
    ]
    expect(lacking, [], f"{what}: what was said to be stored and is not there")


# Many ---------------------------------------------------------------------------------------------

ONE, THREE = ("Ada",), ("Ada", "Bob", "Zo\u00eb")
SIZES = ((1, PAGE, ONE), (PAGE, 1, ONE), (2, PAGE - 1, THREE), (PAGE - 1, 2, THREE))
"""Of two batches, whose events come to one more than a page, and whom they are for."""


def in_batch(owners: Sequence[str], first: int, end: int) -> HandleMany:
    """Deposits of amounts from `first` to before `end`, shared out among owners."""
    shares = enumerate(owners)
    return HandleMany(
        tuple(DepositEach(owner, first + place, end, len(owners)) for place, owner in shares)
    )


@promise(
    "P10",
    "large-batches-are-as-small-ones",
    "A batch of 1 to 2,000 events keeps its order and its atomicity.",
    steps=st.builds(
        lambda drawn: (
            in_batch(drawn[2], 1, 1 + drawn[0]),
            in_batch(drawn[2], 1 + drawn[0], 1 + drawn[0] + drawn[1]),
            ByHand("Bob", drawn[1], spoilt=Spoilt("events", drawn[1] - 1, "id")),
        ),
        st.sampled_from(SIZES),
    ),
    tries=4,
)
def large_batches_are_as_small_ones(lab: Lab, steps: tuple[Any, ...]) -> None:
    amounts: dict[str, list[int]] = {}
    taken = records_of(lab.storage(), ByHand(NEIGHBOUR))
    expect(lab.storage().perform(taken), Appended(), "the answer to an append")
    for step in steps:
        match step:
            case HandleMany():
                batch: Any = step.commands
                for command, results in zip(batch, lab.do(step), strict=True):
                    before = amounts.setdefault(command.owner, [])
                    before += command.amounts
                    what = f"the deposits of {command.owner!r} at once"
                    _expect_series(results.modified.entries, before, what)
            case ByHand(spoilt=Spoilt() as wrong):
                records = spoil(records_of(lab.storage(), step), wrong, taken)
                answer = lab.storage().perform(records)
                expect(answer, Conflict(), f"the answer to {step.events} events where {wrong}")
    _expect_deposits(lab, amounts)
    lab.reopen()
    for owner, expected in amounts.items():
        entries = [entry.event.amount for entry in lab.accounts.history(owner=owner)]
        _expect_series(entries, expected, f"the history of the deposits of {owner!r}")


def _expect_deposits(lab: Lab, amounts: Mapping[str, Sequence[int]]) -> None:
    for owner, expected in amounts.items():
        found = lab.accounts.fetch(owner=owner).entries
        _expect_series(found, expected, f"the deposits of {owner!r}")
        sequences = [event.sequence for event in known_of(lab.storage(), owner).events]
        numbers = range(1, len(expected) + 1)
        _expect_series(sequences, numbers, f"the sequences of the account of {owner!r}")


def _expect_series(found: Sequence[int], expected: Sequence[int], what: str) -> None:
    """As `expect`, for thousands of numbers, of which the first that is wrong is told."""
    for place, (one, other) in enumerate(zip(found, expected, strict=False), 1):
        expect(one, other, f"{what}: number {place}")
    expect(len(found), len(expected), f"{what}: how many there are")
