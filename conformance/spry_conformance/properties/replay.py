"""Events to state: the same each time, from everywhere."""

from copy import deepcopy
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from operator import attrgetter
from typing import Any

from hypothesis import strategies as st

import spry_sqla as spry
from spry_conformance.domain import (
    Account,
    Box,
    Contents,
    Count,
    Deposit,
    Keep,
    Meddle,
    actor_of,
    domain,
)
from spry_conformance.elsewhere import ask, tell
from spry_conformance.faces import Face
from spry_conformance.foreign import event_rows, put_snapshot, right_snapshot
from spry_conformance.lab import Broken, Lab, expect
from spry_conformance.properties.registry import promise
from spry_conformance.states import (
    Someone,
    account,
    entries_of,
    everyone,
    expect_text,
    fetched,
    play,
    prefix,
    results_of,
    text_of,
)
from spry_conformance.steps import MAIN, FreshProcess, Handle, HandleMany, Look, Reopen
from spry_conformance.strategies import (
    by_writes,
    commands,
    fetches,
    histories,
    not_by_writes,
    owners,
    reopenings,
)
from spry_sqla.adapters import NO_ID, Load, ReadActors, ReadCommands, Resolve, target_of

BEGINNING = spry.ActorMeta(revision=101)
"""Code that has no snapshots: what it makes, it makes from the beginning."""

MIDDLE = spry.ActorMeta(revision=102)
"""Code that has those snapshots that it is given."""

labels = st.sampled_from(["a", "b"])
words = st.sampled_from(["zeta", "Alpha", "mu", "x"])
contents = st.builds(
    Contents,
    text=words,
    whole=st.sampled_from([0, 2**70]),
    items=st.just([]),
    words=st.frozensets(words),
    named=st.lists(words, unique=True).map(
        lambda names: {name: place for place, name in enumerate(names)}
    ),
)
keeps = st.builds(Handle, st.builds(Keep, labels, contents))
counts = st.builds(Handle, st.builds(Count, st.sampled_from([1, "1"]), st.integers(1, 3)))
handled = st.builds(Handle, commands)
batches = st.lists(commands, min_size=1, max_size=4).map(lambda drawn: HandleMany(tuple(drawn)))
amounts = st.lists(st.sampled_from([1, 2, 30]), min_size=1, max_size=3).map(tuple)
busy = st.builds(Handle, st.builds(Deposit, st.sampled_from(["Ada", "Ada", "Bob"]), amounts))


@promise(
    "P22",
    "replay-is-deterministic",
    "Replaying a history gives the same state, byte for byte: from the beginning, from any "
    "snapshot, twice, in another process with other hashes (where `address` tells it how).",
    steps=st.tuples(
        histories(handled, keeps, keeps, counts, batches, reopenings, most=10),
        st.sampled_from([(), (), (), (FreshProcess(1),), (FreshProcess(77),)]),
    ).map(lambda parts: (*parts[0], *parts[1])),
    tries=8,
)
def replay_is_deterministic(lab: Lab, steps: tuple[Any, ...]) -> None:
    """The other process is left out without an `address`, or where data are not durable."""
    for step in steps:
        if not isinstance(step, FreshProcess):
            play(lab, step)
    at, beginning = lab.storage(), lab.open(of=domain(BEGINNING))
    everybody = list(everyone(at))
    first = {str(who): fetched(at, who) for who in everybody}
    for who in everybody:
        expect(fetched(at, who), first[str(who)], f"the state of {who}, fetched again")
        expect(fetched(beginning, who), first[str(who)], f"the state of {who}, from its beginning")
    middle = lab.open(of=domain(MIDDLE))
    for who in everybody:
        for version in range(1, len(event_rows(at, who)) + 1):
            put_snapshot(middle, who, right_snapshot(middle, who, version))
            what = f"the state of {who}, from a snapshot of version {version}"
            expect(fetched(middle, who), first[str(who)], what)
    if lab.adapter.address is not None and "durable" in lab.adapter.capabilities:
        for step in steps:
            if isinstance(step, FreshProcess):
                _compare_processes(lab, lab.adapter.address, step)


def _compare_processes(lab: Lab, address: str, step: FreshProcess) -> None:
    meta = lab.domain.actor(Account).meta
    here = tell(lab.adapter, domain(spry.ActorMeta(revision=meta.revision)), lab.runner)
    there = ask(address, meta, step.hash_seed)
    expect(there, here, "the fingerprint and the states in another process")


@promise(
    "P23",
    "what-was-handled-is-what-is-fetched",
    "The state after `handle` is the state that `fetch` gives, and `get`, and the fold of the "
    "history, in every storage that is open on the data.",
    steps=histories(handled, handled, keeps, counts, batches, reopenings, most=10),
    tries=10,
)
def what_was_handled_is_what_is_fetched(lab: Lab, steps: tuple[Any, ...]) -> None:
    beside = lab.open()
    for step in steps:
        if isinstance(step, Reopen):
            lab.reopen(step)
            beside = lab.open()
            continue
        first, last = _addressed(step)
        before = _agreed(lab, beside, first)
        results = results_of(play(lab, step))
        after = _agreed(lab, beside, last)
        if results:
            at = lab.storage()
            expect(text_of(at, results[0].original), before, f"`original` of {first}")
            expect(text_of(at, results[-1].modified), after, f"`modified` of {last}")


def _addressed(step: Any) -> tuple[Someone, Someone]:
    """Whom the first command of a step is for, and whom the last one is."""
    several = step.commands if isinstance(step, HandleMany) else (step.command,)
    first, last = (
        Someone(actor_of(each), dict(each.identifiers())) for each in (several[0], several[-1])
    )
    return first, last


def _agreed(lab: Lab, beside: Face, who: Someone) -> str:
    """The text of a state, which all ways to read it agree on."""
    texts: set[str] = set()
    for at in (lab.storage(), beside):
        repository, entries = at.repository(who.actor), entries_of(at, who)
        text = fetched(at, who)
        expect_text(at, text, prefix(entries), who, "the state, against its history")
        got = repository.get(who.identifiers)
        found = None if got is None else text_of(at, got)
        expect(found, text if entries else None, f"what `get` gives for {who}")
        expect(repository.exists(who.identifiers), bool(entries), f"whether {who} exists")
        texts.add(text)
    if len(texts) > 1:
        raise Broken(f"two storages on the same data give different states of {who}: {texts}")
    return texts.pop()


@promise(
    "P24",
    "nothing-is-shared",
    "What a storage gives is the caller's alone: no state shares a mutable part with another one, "
    "with an event, or with anything that is kept; no decision and no event changes `original`.",
    steps=histories(
        handled,
        st.builds(Handle, st.builds(Meddle, owners, st.sampled_from([0, 7]))),
        keeps,
        batches,
        st.builds(Reopen, st.just(0), st.just(1), st.booleans()),
        most=8,
    ),
    tries=10,
)
def nothing_is_shared(lab: Lab, steps: tuple[Any, ...]) -> None:
    for step in steps:
        if isinstance(step, Reopen):
            lab.reopen(step)
            continue
        # The command's own parts are the application's: they may be in its events.
        own = deepcopy(step)
        first, last = _addressed(own)
        at = lab.storage()
        before = fetched(at, first)
        results = results_of(play(lab, own))
        if results:
            expect(text_of(at, results[0].original), before, f"`original` of {first}, afterwards")
        _meddle_with_each(at, last, _given(at, last, results))


def _given(at: Face, who: Someone, results: list[spry.Results[Any]]) -> dict[str, Any]:
    """Everything mutable that a storage gives of an actor, by its name."""
    repository = at.repository(who.actor)
    given = {f"what `fetch` gave ({time})": repository.fetch(who.identifiers) for time in (1, 2)}
    given["what `get` gave"] = repository.get(who.identifiers)
    given["what `fetch` gave of version 1"] = repository.fetch(who.identifiers, version=1)
    for place, result in enumerate(results, 1):
        given[f"`original` of result {place}"] = result.original
        given[f"`modified` of result {place}"] = result.modified
        for number, event in enumerate(result.events, 1):
            given[f"event {number} of result {place}"] = event
    for entry in entries_of(at, who):
        given[f"event {entry.version} of the history"] = entry.event
    return {name: thing for name, thing in given.items() if thing is not None}


def _meddle_with_each(at: Face, who: Someone, given: dict[str, Any]) -> None:
    """Change one after the other, and see that nothing else has changed."""
    kept = fetched(at, who)
    for name, thing in given.items():
        before = {other: repr(each) for other, each in given.items() if other != name}
        meddle(thing)
        for other, told in before.items():
            if repr(given[other]) != told:
                raise Broken(f"{name} was changed, and {other} changed with it: of {who}")
        expect(fetched(at, who), kept, f"the state of {who} after {name} was changed")


def meddle(thing: Any) -> None:
    """Change every mutable part of a thing."""
    match thing:
        case list():
            for each in thing:
                meddle(each)
            thing.append(thing[0] if thing else None)
        case dict():
            for each in thing.values():
                meddle(each)
            thing["meddled"] = 666
        case Account():
            thing.owner = "meddled"
            meddle(thing.entries)
        case Box():
            thing.label = "meddled"
            meddle(thing.contents)
        case _ if is_dataclass(thing):
            for field in fields(thing):
                meddle(getattr(thing, field.name))


@promise(
    "P25",
    "as-of-reads-equal-a-prefix",
    "A read as of a version, of a time, or of both is the state that the events up to there make.",
    steps=st.tuples(
        by_writes, busy, histories(busy, busy, handled, batches, fetches, reopenings, most=9)
    ).map(lambda parts: (*parts[:2], *parts[2])),
    tries=8,
)
def as_of_reads_equal_a_prefix(lab: Lab, steps: tuple[Any, ...]) -> None:
    for step in steps:
        play(lab, step)
    at = lab.storage()
    for who in everyone(at):
        expect_as_of_reads(at, who)


def expect_as_of_reads(at: Face, who: Someone) -> None:
    """Every version, the time of every event and between them, and both together."""
    entries = entries_of(at, who)
    times, versions = _times(entries), range(len(entries) + 2)
    for version in versions:
        what = f"the state at version {version}"
        found = fetched(at, who, version=version)
        expect_text(at, found, prefix(entries, version), who, what)
    for time in times:
        found = fetched(at, who, at=time)
        expect_text(at, found, prefix(entries, None, time), who, f"the state at {time}")
    # Both together: the two ends in step, and crossing each other.
    for place, time in [*enumerate(times), *enumerate(reversed(times))]:
        version = place * len(versions) // len(times)
        what = f"the state at version {version} and at {time}"
        found = fetched(at, who, version=version, at=time)
        expect_text(at, found, prefix(entries, version, time), who, what)


def _times(entries: list[spry.HistoryEntry]) -> list[datetime]:
    """The time of each event, and between them; before the first and after the last."""
    tick, times = timedelta(microseconds=1), [entry.time for entry in entries]
    between = [earlier + (later - earlier) / 2 for earlier, later in pairwise(times)]
    ends = [times[0] - tick, times[-1] + tick] if times else []
    return sorted({*times, *between, *ends})


anybody = st.sampled_from(["Ada", "Ada", "Bob", "nobody"])
asked = st.builds(
    Look, st.sampled_from(["fetch", "fetch", "get", "exists", "history", "actors"]), anybody
)
asked_as_of = st.builds(
    Look,
    st.just("fetch"),
    anybody,
    st.sampled_from([None, 0, 1, 2, 3, 9]),
    st.sampled_from([None, None, 1, 3]),
)


@promise(
    "P26",
    "a-read-has-no-effect",
    "A read changes nothing that another read could see, whomever it asks for; a snapshot may come "
    "of it where `ActorMeta` says so.",
    steps=st.tuples(
        by_writes | not_by_writes,
        busy,
        histories(busy, handled, batches, asked, asked_as_of, most=7),
        asked_as_of,
        asked,
        asked_as_of,
    ).map(lambda parts: (*parts[:2], *parts[2], *parts[3:])),
    tries=8,
)
def a_read_has_no_effect(lab: Lab, steps: tuple[Any, ...]) -> None:
    meta = spry.ActorMeta()
    known = None
    for step in steps:
        if not isinstance(step, Look):
            play(lab, step)
            meta = step.meta if isinstance(step, Reopen) else meta
            known = None
            continue
        before, snapshots = known or observables(lab.storage())
        look(lab.storage(), step)
        known = after, snapshots_after = observables(lab.storage())
        for what, found in after.items():
            expect(found, before.get(what), f"after a read, {what}")
        expect(list(after), list(before), "what there is after a read")
        as_of = step.version is not None or step.entry is not None
        may = step.how in ("fetch", "get", "exists") and not as_of and meta.snapshot_during_read
        if not may:
            expect(snapshots_after, snapshots, "after a read, the newest snapshots")


def look(at: Face, step: Look) -> None:
    """Play the step."""
    who = account(step.owner)
    repository = at.repository(Account)
    match step.how:
        case "fetch":
            times = [entry.time for entry in entries_of(at, who)[: step.entry]]
            time = times[-1] if times and step.entry is not None else None
            repository.fetch(who.identifiers, version=step.version, at=time)
        case "history":
            entries_of(at, who)
        case "actors":
            list(repository.actors())
        case "get":
            repository.get(who.identifiers)
        case "exists":
            repository.exists(who.identifiers)


def observables(at: Face) -> tuple[dict[str, Any], dict[str, Any]]:
    """All that can be read of accounts, but for snapshots; and the newest snapshots."""
    seen: dict[str, Any] = {}
    snapshots: dict[str, Any] = {}
    kind = at.domain.actor(Account)
    seen["the actors"] = at.perform(ReadActors(kind.name, NO_ID, None))
    everybody = {str(who): who for who in everyone(at) if who.actor is Account}
    asked_for = {str(who): who for who in map(account, ["Ada", "Bob", "nobody"])}
    for who in {**everybody, **asked_for}.values():
        target = target_of(at.domain, Account, who.identifiers)
        rows = event_rows(at, who)
        ids = tuple(sorted({row.command_id for row in rows}))
        commands = at.perform(ReadCommands(kind.name, ids))
        seen[f"whom {who} is"] = at.perform(Resolve(kind.name, MAIN, target))
        seen[f"the events of {who}"] = rows
        seen[f"the commands of {who}"] = sorted(commands, key=attrgetter("id"))
        load = Load(kind.name, MAIN, (target,), kind.fingerprint)
        snapshots[str(who)] = at.perform(load).actors[0].snapshot
    return seen, snapshots
