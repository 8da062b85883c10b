"""Snapshots: taken when due, used where right."""

import json
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from spry_conformance.domain import Account, Deposit, Deposited, domain
from spry_conformance.due import Due, lengths, place_of
from spry_conformance.faces import Face
from spry_conformance.foreign import (
    event_rows,
    forge,
    put_event,
    put_snapshot,
    right_snapshot,
    snapshot_of,
)
from spry_conformance.lab import Broken, Lab, Rows, expect, outcome_of, raising
from spry_conformance.logs import logged
from spry_conformance.model import Model
from spry_conformance.properties.registry import promise
from spry_conformance.states import (
    Someone,
    account,
    entries_of,
    everyone,
    expect_text,
    fetched,
    fold,
    play,
    prefix,
    results_of,
    text_of,
)
from spry_conformance.steps import (
    MAIN,
    Abandon,
    AtOnce,
    Dawdle,
    Fetch,
    Forge,
    Handle,
    HandleMany,
    Lose,
    Reopen,
)
from spry_conformance.strategies import by_writes, commands, histories, not_by_writes
from spry_sqla.adapters import Appended, Conflict, new_id

three_names = st.sampled_from(["Ada", "Bob", "Cyd"])
names = st.sampled_from(["Ada", "Ada", "Bob"])
amounts = st.lists(st.sampled_from([1, 2, 30]), min_size=1, max_size=3).map(tuple)
deposits = st.builds(Deposit, names, amounts)
busy = st.builds(Handle, deposits)
NONE = Reopen(snapshot_during_write=False)
"""Code that takes no snapshots."""


# Taken ------------------------------------------------------------------------------------------

metas = st.one_of(by_writes, by_writes, not_by_writes, st.just(Reopen(1, 2)))
batches = st.lists(deposits | commands, min_size=1, max_size=4).map(
    lambda drawn: HandleMany(tuple(drawn))
)
fetches = st.builds(Fetch, names, st.sampled_from([None, None, 1]))
dawdles = st.builds(Dawdle, names, st.integers(1, 3))


@promise(
    "P27",
    "snapshots-appear-when-due",
    "A snapshot is there when `ActorMeta` says that it is due, in an append or a read, and not "
    "before; it holds the state of its version, the newest one is found, and no result changes.",
    steps=st.tuples(
        metas,
        busy,
        histories(
            *(busy, busy, busy, st.builds(Handle, commands), batches),
            *(fetches, fetches, dawdles, dawdles, metas),
            most=10,
        ),
        busy,
        dawdles,
    ).map(lambda parts: (*parts[:2], *parts[2], *parts[3:])),
    tries=10,
)
def snapshots_appear_when_due(lab: Lab, steps: tuple[Any, ...]) -> None:
    model = Model(Account)
    expected = Due()
    for step in steps:
        before = lengths(model)
        match step:
            case Reopen():
                lab.reopen(step)
                expected.meta = step.meta
            case Dawdle(owner, version):
                place = place_of(model, owner)
                if place is not None and version <= before[place]:
                    at, who = lab.storage(), account(owner)
                    put_snapshot(at, who, right_snapshot(at, who, version))
                    expected.taken(place, version)
            case _:
                found, wanted = play(lab, step), outcome_of(model.do, step)
                expect(told(lab.storage(), found), told(lab.storage(), wanted), f"{step}")
                if isinstance(step, Fetch):
                    place = place_of(model, step.owner)
                    if place is not None and step.version is None:
                        expected.read(place, before[place])
                else:
                    after = lengths(model)
                    before += [0] * (len(after) - len(before))
                    for place, length in enumerate(after):
                        if length > before[place]:
                            expected.written(place, length)
        for place, identifiers in enumerate(model.actors()):
            who = Someone(Account, dict(identifiers))
            expect_snapshot(lab.storage(), who, rows_of(lab, who), expected.newest(place))


def told(at: Face, outcome: Any) -> Any:
    """An outcome as it is compared: states as text, errors by their classes."""
    if isinstance(outcome, Exception):
        return type(outcome)
    if isinstance(outcome, Account):
        return text_of(at, outcome)
    return [
        (
            text_of(at, each.original),
            text_of(at, each.modified),
            each.events,
            list(map(type, each.errors)),
        )
        for each in results_of(outcome)
    ]


def rows_of(lab: Lab, who: Someone) -> Rows:
    """What is stored of an actor."""
    return lab.rows(who.actor, **who.identifiers)


def expect_snapshot(at: Face, who: Someone, rows: Rows, version: int) -> None:
    """Raises Broken where the newest snapshot is not the right one of a version; 0 is for none."""
    snapshot = rows.snapshot
    found = 0 if snapshot is None else snapshot.version
    expect(found, version, f"the version of the newest snapshot of {who} (0: there is none)")
    if snapshot is not None:
        what = f"in the snapshot of version {version} of {who}, the"
        expect(json.loads(snapshot.vector), {MAIN: version}, f"{what} vector")
        expect(snapshot.last_event, rows.events[version - 1].id, f"{what} last event")
        events = prefix(entries_of(at, who), version)
        expect_text(at, snapshot.state, events, who, f"{what} state")


# Passed over ------------------------------------------------------------------------------------

CODES = ["revision 0", "revision 0", "revision 1", "upper case", "cut short", "longer"]


@promise(
    "P28",
    "other-code-has-other-snapshots",
    "A snapshot that other code has taken is passed over, and one of this very code is used.",
    steps=st.tuples(
        busy,
        st.lists(
            busy
            | st.builds(
                Forge,
                names,
                st.integers(1000, 1009),
                st.none() | st.integers(1, 3),
                st.sampled_from(CODES),
            ),
            min_size=1,
            max_size=8,
        ),
    ).map(lambda parts: (parts[0], *parts[1])),
    tries=8,
)
def other_code_has_other_snapshots(lab: Lab, steps: tuple[Any, ...]) -> None:
    lab.reopen(NONE)
    marks: dict[tuple[str, str], dict[int, int]] = {}
    for step in steps:
        if isinstance(step, Forge):
            length = len(event_rows(lab.storage(), account(step.owner)))
            version = min(step.version or length, length)
            of_code = marks.setdefault((step.owner, step.code), {})
            if version not in of_code and forge(lab, replace(step, version=version)) is not None:
                of_code[version] = step.mark
        else:
            play(lab, step)
    for revision in (0, 1, 2):
        at = lab.open(of=domain(Reopen(revision, snapshot_during_write=False).meta))
        for who in everyone(at):
            owner = who.identifiers["owner"]
            of_code = marks.get((owner, f"revision {revision}"), {})
            length = len(entries_of(at, who))
            for version in (length, length - 1, 1):
                what = f"the state at version {version}, to code of revision {revision},"
                expected = text_of(at, marked_at(at, who, of_code, version))
                expect(fetched(at, who, version=version), expected, f"{what} of {who}")
            expected = text_of(at, marked_at(at, who, of_code, length))
            expect(fetched(at, who), expected, f"the state, to code of revision {revision}")


def marked_at(at: Face, who: Someone, marks: dict[int, int], version: int) -> Account:
    """The state of an account, given the balances that its snapshots have, by their versions."""
    events = prefix(entries_of(at, who), version)
    newest = max((each for each in marks if each <= version), default=0)
    if not newest:
        return fold(Account, events)
    state = Account(who.identifiers["owner"], marks[newest])
    for event in events[newest:]:
        event.apply(state)
    return state


NO_STATES = [
    *("[]", "null", "1", '"x"', "no JSON", "{", ""),
    *('{"owner":1}', '{"balance":"ten"}', '{"entries":[null]}'),
]
NO_VECTORS = ["[]", "{}", "1", "null", '{"main":"3"}', '{"main":null}', '{"main":1.5}', "no JSON"]
spoilt = st.builds(Forge, st.just("Ada"), st.just(1000), state=st.sampled_from(NO_STATES)) | (
    st.builds(Forge, st.just("Ada"), st.just(1000), vector=st.sampled_from(NO_VECTORS))
)


@promise(
    "P29",
    "unreadable-snapshots-are-passed-over",
    "A snapshot that cannot be read is passed over, and that is logged; it is never an error, and "
    "one of another actor is never taken.",
    steps=st.tuples(
        busy,
        st.lists(
            spoilt
            | st.builds(Forge, st.just("Bob"), st.integers(1000, 1009))
            | st.builds(Handle, st.builds(Deposit, three_names, amounts)),
            min_size=1,
            max_size=6,
        ),
        spoilt,
    ).map(lambda parts: (parts[0], *parts[1], parts[2])),
    tries=12,
)
def unreadable_snapshots_are_passed_over(lab: Lab, steps: tuple[Any, ...]) -> None:
    lab.reopen(NONE)
    at, last = lab.storage(), None
    marks: dict[str, dict[int, int]] = {"Ada": {}, "Bob": {}, "Cyd": {}}
    for step in steps:
        if not isinstance(step, Forge):
            play(lab, step)
        elif (snapshot := forge(lab, step)) is not None:
            if step.owner == "Bob":
                marks["Bob"][snapshot.version] = step.mark
            else:
                last = step
        for owner, of_owner in marks.items():
            who = account(owner)
            length = len(entries_of(at, who))
            at.forget()  # so that the snapshots are looked at
            with logged() as warnings:
                found = fetched(at, who)
            expect(found, text_of(at, marked_at(at, who, of_owner, length)), f"the state of {who}")
            if owner == "Ada" and last is not None and last.state is not None and not warnings:
                raise Broken(
                    f"the snapshot {last.state!r} of {who} was passed over, and nothing was "
                    "logged: leave it to the library to read the state, and say so"
                )
    expected = fetched(at, account("Ada"))
    results = lab.do(Handle(Deposit("Ada", (5,))))
    expect(text_of(at, results.original), expected, "`original` of Ada")


# Never ahead ------------------------------------------------------------------------------------

ahead = st.builds(
    Forge,
    names,
    st.integers(1000, 1009),
    st.none() | st.integers(1, 9),
    unknown_last=st.just(True),
)


@promise(
    "P30",
    "no-snapshot-is-ahead",
    "No snapshot is ahead of its stream: none is left by an append that failed, or by a "
    "transaction that was rolled back, and one whose last event is not stored is not used.",
    steps=st.tuples(
        by_writes,
        busy,
        st.lists(
            st.one_of(
                busy,
                batches,
                ahead,
                st.builds(Lose, names, st.booleans()),
                st.builds(Abandon, st.lists(deposits, min_size=1, max_size=3).map(tuple)),
                st.builds(
                    AtOnce, st.lists(st.tuples(busy, busy), min_size=2, max_size=2).map(tuple)
                ),
            ),
            min_size=1,
            max_size=7,
        ),
    ).map(lambda parts: (*parts[:2], *parts[2])),
    tries=10,
)
def no_snapshot_is_ahead(lab: Lab, steps: tuple[Any, ...]) -> None:
    """Transactions and writers at once are left out where they are not claimed."""
    claims = lab.adapter.capabilities
    for step in steps:
        match step:
            case Forge():
                forge(lab, step)
            case Lose():
                lose(lab, step)
            case Abandon():
                if "transactions" in claims:
                    abandon(lab, step)
            case AtOnce():
                if "concurrent" in claims:
                    lab.at_once(step)
            case _:
                play(lab, step)
        at = lab.storage()
        for who in everyone(at):
            rows = rows_of(lab, who)
            if rows.snapshot is not None:
                if rows.snapshot.version > len(rows.events):
                    raise Broken(
                        f"the newest snapshot of {who} holds {rows.snapshot.version} events, and "
                        f"only {len(rows.events)} are stored"
                    )
                expect_snapshot(at, who, rows, rows.snapshot.version)
            expect_text(at, fetched(at, who), prefix(entries_of(at, who)), who, "the state")


def lose(lab: Lab, step: Lose) -> None:
    """Play the step. Raises Broken where the stale append is not answered with a conflict."""
    at, who = lab.storage(), account(step.owner)
    rows = event_rows(at, who)
    if not rows:
        return
    state, event = Account(step.owner, 12345), Deposited(step.owner, 1)
    event_id, version = new_id(), len(rows) + 1
    snapshot = snapshot_of(at, who, text_of(at, state), version=version, last_event=event_id)
    answer = put_event(at, who, event, event_id=event_id, sequence=len(rows), snapshot=snapshot)
    expect(type(answer), Conflict, "the answer to an append whose place is taken")
    expect(event_rows(at, who), rows, "the events after an append whose place was taken")
    if step.then:
        answer = put_event(at, who, event, event_id=event_id, sequence=version)
        expect(type(answer), Appended, "the answer to an append of an event that is not stored yet")


class Undone(Exception):
    """Rolls a transaction back."""


def abandon(lab: Lab, step: Abandon) -> None:
    """Play the step."""
    with raising(Undone, "the block of a transaction"), lab.storage().transaction() as joined:
        for command in step.commands:
            joined.repository(Account).handle(command)
        raise Undone
