"""What goes in comes out, equal in value and type."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

from hypothesis import strategies as st

import spry_sqla as spry
from spry_conformance.contents import contents, numbers
from spry_conformance.domain import (
    Account,
    Box,
    Coin,
    Contents,
    Count,
    Deposit,
    Keep,
    Kept,
    Open,
    Side,
    actor_of,
)
from spry_conformance.edges import (
    DAYS,
    EXACTS,
    HOURS,
    LONG_KEYS,
    MOMENTS,
    NUMBERS,
    RAWS,
    REALS,
    SPANS,
    TEXTS,
    UUIDS,
    WHOLES,
)
from spry_conformance.faces import Face
from spry_conformance.lab import Broken, Lab, expect, outcome_of
from spry_conformance.model import Model, name_of
from spry_conformance.planted import (
    PLANTS,
    Plant,
    event_record,
    events_of,
    everything,
    owner_of,
    plant,
)
from spry_conformance.properties.registry import promise
from spry_conformance.refusals import KEY, OWNER, REFUSALS
from spry_conformance.releases import RELEASES, Entry, Release
from spry_conformance.sameness import expect_same
from spry_conformance.steps import (
    Handle,
    HandleMany,
    Jot,
    KeptElsewhere,
    Refuse,
    Reopen,
    Spoil,
    Step,
)
from spry_conformance.strategies import histories, most_of
from spry_sqla.adapters import Append

# What goes in comes out --------------------------------------------------------------------------

_labels = st.sampled_from(["a", "b"])
_keep = st.builds(Handle, st.builds(Keep, _labels, contents))
_count = st.builds(Handle, st.builds(Count, numbers))


@promise(
    "P17",
    "values-come-back-the-same",
    "Every supported value comes back equal and of the same type, through event, command, "
    "metadata, identifiers and snapshot alike.",
    steps=histories(_keep, _keep, _count, most=4),
    tries=10,
)
def values_come_back_the_same(lab: Lab, steps: tuple[Any, ...]) -> None:
    keyed = [replace(step, key=f"step {place}") for place, step in enumerate(steps)]
    _come_back(lab, [(step, _told_of(step.command)) for step in keyed])


def _told_of(command: Keep | Count) -> dict[str, Any]:
    """Metadata that hold what a command holds, and more than a class could name."""
    if isinstance(command, Count):
        return {"number": command.number, "numbers": [command.number, (command.number,)]}
    held = command.contents
    of_fields = {each.name: getattr(held, each.name) for each in fields(Contents)}
    return {
        **of_fields,
        "all": held,
        "mutable": [set(held.words), bytearray(held.raw), {}],
        "deep": {"a": ({1: [held.moment]}, {held.exact: held.side}, (held.row, None))},
        "$text": {"$int": held.text},
        "keys": {1: "a", None: held.real, (1, "a"): held.whole, "b": held.truth},
    }


def _come_back(lab: Lab, steps: Sequence[tuple[Handle, Mapping[str, Any]]]) -> None:
    """Handle commands with metadata; then read what they were, from snapshots and from events."""
    lab.reopen(Reopen(snapshot_frequency=1))
    models: dict[type[Any], Model[Any]] = {}
    for step, metadata in steps:
        actor = actor_of(step.command)
        model = models.setdefault(actor, Model(actor))
        for again in ["", ", with its key once more"] if step.key else [""]:
            found = (
                lab.storage()
                .repository(actor)
                .handle(step.command, idempotency_key=step.key, metadata=metadata)
            )
            expected = model.handle(step.command, step.key, metadata)
            told = f"the results of {step}{again}: "
            expect_same(found.errors, expected.errors, told + "errors")
            expect_same(found.events, expected.events, told + "events")
            expect_same(found.original, expected.original, told + "original")
            expect_same(found.modified, expected.modified, told + "modified")
    for revision, source in enumerate(["from snapshots", "from events"]):
        lab.reopen(Reopen(revision, snapshot_frequency=1))
        for model in models.values():
            actors = lab.storage().repository(model.actor)
            for each in model.actors():
                expect_same(
                    actors.fetch(each), model.fetch(each), f"the state of {each!r}, {source}"
                )
    for model in models.values():
        _facts_come_back(lab.storage(), model)


def _facts_come_back(face: Face, model: Model[Any]) -> None:
    actors = face.repository(model.actor)
    for each in model.actors():
        entries = [*actors.history(each)]
        facts = model.history(each)
        expect(len(entries), len(facts), f"the number of events of {each!r}")
        for entry, fact in zip(entries, facts, strict=True):
            told = f"in the history of {each!r}, at version {entry.version}: the "
            expect_same(entry.event, fact.event, told + "event")
            expect_same(entry.command, fact.command, told + "command")
            expect_same(dict(entry.metadata), fact.metadata, told + "metadata")
    found, wanted = ([name_of(each) for each in those.actors()] for those in (actors, model))
    expect(found, wanted, f"the identifiers of each {model.actor.__name__}")


# At the edges ------------------------------------------------------------------------------------


def _contents_at_the_edges() -> Iterator[Contents]:
    for text in TEXTS:
        yield Contents(
            text=text,
            either=text,
            row=(0, text, _ONE),
            words=frozenset({text}),
            pairs={(1, text): True},
        )
    for whole in WHOLES:
        yield Contents(whole=whole, either=whole, numbers={whole: "", 1: ""}, row=(whole, "", _ONE))
    yield from (Contents(real=real) for real in REALS)
    for exact in EXACTS:
        yield Contents(exact=exact, items=[exact, _ONE], coin=Coin(exact, Side.RIGHT))
    yield from (Contents(moment=moment) for moment in MOMENTS)
    yield from (Contents(day=day, days={day: [b"\0"]}) for day in DAYS)
    yield from (Contents(hour=hour) for hour in HOURS)
    yield from (Contents(span=span) for span in SPANS)
    yield from (Contents(key=key) for key in UUIDS)
    yield from (Contents(raw=raw, days={DAYS[0]: [raw]}) for raw in RAWS)


_ONE = EXACTS[6]
_EDGES = tuple(_contents_at_the_edges())
_edges: st.SearchStrategy[tuple[Step, ...]] = st.tuples(
    most_of(_EDGES).map(lambda drawn: tuple(_kept(each) for each in drawn)),
    most_of(NUMBERS).map(lambda drawn: tuple(Handle(Count(number)) for number in drawn)),
    most_of(LONG_KEYS).map(
        lambda drawn: tuple(Handle(Keep("key", Contents(text=key)), key) for key in drawn)
    ),
    most_of(_EDGES[::3]).map(
        lambda drawn: tuple(KeptElsewhere("far", each, "Ätna-2.東") for each in drawn)
    ),
).map(lambda drawn: sum(drawn, ()))


def _kept(held: Contents) -> Handle:
    """Kept in a box of its own; a text is the label and metadata, too."""
    text = held.text
    if held.either != text:
        return Handle(Keep(repr(held)[:60], held))
    return Handle(Keep(text, held), metadata={text: text, "text": text})


@promise(
    "P19",
    "values-at-the-edges-come-back",
    "Unicode in full, numbers in full, dates in full: they come back the same, however unusual, "
    "as contents, metadata, identifiers and idempotency keys, and from other origins.",
    steps=_edges,
    tries=3,
)
def values_at_the_edges_come_back(lab: Lab, steps: tuple[Any, ...]) -> None:
    commands = [step for step in steps if isinstance(step, Handle)]
    _come_back(lab, [(step, step.metadata or {}) for step in commands])
    if "replicas" in lab.adapter.capabilities:
        _arrive(lab.storage(), [step for step in steps if isinstance(step, KeptElsewhere)])


def _arrive(face: Face, steps: Sequence[KeptElsewhere]) -> None:
    """Rows of another origin are put in, and read as rows and as states."""
    boxes: dict[str, Box] = {}
    stored = []
    for sequence, step in enumerate(steps, 1):
        of_actor = owner_of(face, Box, {"label": step.label})
        text = face.domain.event(Kept).codec.encode(Kept(step.label, step.contents))
        event = event_record(of_actor, step.origin, sequence, Plant("Kept", 1, text, None))
        face.perform(Append(face.domain.actor(Box).name, events=[event]))
        stored.append(event)
        box = boxes.setdefault(step.label, Box(step.label))
        box.contents.append(step.contents)
    for label, box in boxes.items():
        expect_same(face.repository(Box).fetch(label=label), box, f"the box {label!r}")
        found = events_of(face, Box, owner_of(face, Box, {"label": label}))
        expect([event.content for event in found], [each.content for each in stored], "their rows")
        expect([event.origin for event in found], [each.origin for each in stored], "their origins")


# What cannot be kept -----------------------------------------------------------------------------


@promise(
    "P18",
    "what-cannot-be-kept-is-refused",
    "What is not supported is refused before anything is written, with the same error on every "
    "adapter.",
    steps=st.tuples(
        st.lists(
            st.sampled_from([Handle(Open(OWNER)), Handle(Deposit(OWNER, (1, 2)))]), max_size=2
        ).map(tuple),
        most_of(REFUSALS).map(lambda cases: tuple(map(Refuse, cases))),
    ).map(lambda drawn: sum(drawn, ())),
    tries=3,
)
def what_cannot_be_kept_is_refused(lab: Lab, steps: tuple[Any, ...]) -> None:
    face = lab.storage()
    before = everything(face, KEY)
    for step in steps:
        if isinstance(step, Refuse):
            refusal = REFUSALS[step.case]
            found = outcome_of(refusal.attempt, face)
            if type(found) is not refusal.error:
                raise Broken(
                    f"{step}: it must raise {refusal.error.__name__}, and "
                    + (f"raised {found!r}" if isinstance(found, Exception) else f"gave {found!r}")
                )
        else:
            lab.do(step)
            before = everything(face, KEY)
    expect(everything(face, KEY), before, "what is stored, after what was refused")
    lab.do(Handle(Deposit(OWNER, (1,)), KEY))


# What cannot be read -----------------------------------------------------------------------------

_OWNERS = {f"with {case}": case for case in PLANTS} | {"Ada": None}
_founded = HandleMany(tuple(Deposit(owner, (1,)) for owner in _OWNERS))
_spoils = most_of(_OWNERS).map(
    lambda owners: tuple(Spoil(owner, case) for owner in owners if (case := _OWNERS[owner]))
)
_deposits = st.builds(
    Handle, st.builds(Deposit, st.sampled_from([*_OWNERS]), st.sampled_from([(1,), (2, 3)]))
)
_reopenings = st.builds(Reopen, snapshot_frequency=st.sampled_from([1, 10]))


@promise(
    "P20",
    "what-is-unknown-is-an-error",
    "A type in a stream that the code does not know, or content that does not fit, is an error "
    "that names it and the table; nothing is skipped, and nothing is written on top of it.",
    steps=st.tuples(
        histories(_reopenings, _deposits, most=4).map(lambda steps: (_founded, *steps)),
        _spoils,
        histories(_deposits, _reopenings, most=4),
    ).map(lambda drawn: sum(drawn, ())),
    tries=6,
)
def what_is_unknown_is_an_error(lab: Lab, steps: tuple[Any, ...]) -> None:
    model = Model(Account)
    spoilt: dict[str, Plant] = {}
    for step in steps:
        match step:
            case Reopen():
                lab.reopen(step)
            case Spoil(owner, case) if model.history({"owner": owner}):
                spoilt[owner] = PLANTS[case]
                plant(lab.storage(), Account, {"owner": owner}, spoilt[owner])
            case Handle(Deposit(owner)) if owner in spoilt:
                if not spoilt[owner].in_command:
                    _raises(lab, spoilt[owner], partial(lab.do, step), step)
            case Handle() | HandleMany():
                lab.do(step)
                model.do(step)
    before = everything(lab.storage())
    for owner, planted in spoilt.items():
        _is_an_error(lab, owner, planted)
        state, version = model.fetch({"owner": owner}), len(model.history({"owner": owner}))
        found = lab.accounts.fetch(owner=owner, version=version)
        expect(found, state, f"the state of {owner!r} before it")
    expect(everything(lab.storage()), before, "what is stored, after it was asked for")
    for identifiers in model.actors():
        if identifiers["owner"] not in spoilt:
            expect(lab.accounts.fetch(identifiers), model.fetch(identifiers), f"{identifiers!r}")


def _is_an_error(lab: Lab, owner: str, planted: Plant) -> None:
    accounts = lab.accounts
    reads: dict[str, Callable[[], object]] = {"history": lambda: [*accounts.history(owner=owner)]}
    if not planted.in_command:
        on_top, eve = Deposit(owner, (1,)), Deposit("Eve", (1,))
        reads |= {
            "fetch": lambda: accounts.fetch(owner=owner),
            "get": lambda: accounts.get(owner=owner),
            "exists": lambda: accounts.exists(owner=owner),
            "handle": lambda: accounts.handle(on_top),
            "handle_many": lambda: accounts.handle_many([eve, on_top]),
        }
    for name, read in reads.items():
        _raises(lab, planted, read, name)


def _raises(lab: Lab, planted: Plant, read: Callable[[], object], what: object) -> None:
    tables = lab.storage().domain.actor(Account).tables
    table = tables.commands.name if planted.in_command else tables.events.name
    found = outcome_of(read)
    if type(found) is not planted.error:
        raise Broken(f"{what}: expected {planted.error}, and found {found!r}")
    named = [planted.name, table] if planted.error is spry.UnknownType else [planted.name]
    for each in named:
        if each not in str(found):
            raise Broken(f"{what}: the error does not name {each!r}: {found}")


# What has changed --------------------------------------------------------------------------------

_jots = st.builds(
    Jot,
    st.sampled_from([*RELEASES]),
    st.sampled_from(["log", "diary"]),
    st.sampled_from([("one",), ("two", "three"), ("",)]),
    st.none() | st.sampled_from(["k1", "k2", "k3"]),
)


@promise(
    "P21",
    "older-releases-are-read",
    "What older releases of the code wrote is read in the newest shape: any chain of versions, "
    "types under other names, an actor whose class has another one.",
    steps=st.lists(_jots, min_size=1, max_size=8).flatmap(
        lambda jots: st.booleans().map(
            lambda mixed: tuple(jots if mixed else sorted(jots, key=lambda jot: jot.release))
        )
    ),
    tries=10,
)
def older_releases_are_read(lab: Lab, steps: tuple[Any, ...]) -> None:
    opened = {number: lab.open(of=release.domain()) for number, release in RELEASES.items()}
    written: dict[str, list[Entry]] = {}
    keys: dict[str, tuple[str, Entry]] = {}
    for step in steps:
        release, entries = RELEASES[step.release], written.setdefault(step.title, [])
        key = None if step.key in keys else step.key
        entry = (step.release, step.lines)
        notebooks = opened[release.number].repository(release.actor)
        command = release.command(step.title, entry)
        found = outcome_of(partial(notebooks.handle, command, idempotency_key=key))
        error = release.unreadable(entries)
        if error is not None:
            expect(type(found), error, f"what {step} must raise, where a newer release wrote")
        elif isinstance(found, Exception):
            raise found
        else:
            entries.append(entry)
            if key is not None:
                keys[key] = step.title, entry
    for number, release in RELEASES.items():
        for title, entries in written.items():
            _read_by(opened[number], release, title, entries)
    newest = max(RELEASES)
    for key, (title, entry) in keys.items():
        _told_anew(opened[newest], RELEASES[newest], title, entry, key)
    counts = {title: len(entries) for title, entries in written.items() if entries}
    notebooks = opened[newest].repository(RELEASES[newest].actor)
    found = {each["title"]: len([*notebooks.history(each)]) for each in notebooks.actors()}
    expect(found, counts, "the number of events of each notebook")


def _read_by(face: Face, release: Release, title: str, entries: Sequence[Entry]) -> None:
    notebooks = face.repository(release.actor)
    told = f"{title!r} as release {release.number} reads it"
    state = outcome_of(lambda: notebooks.fetch(title=title))
    history = outcome_of(lambda: [*notebooks.history(title=title)])
    error = release.unreadable(entries)
    if error is not None:
        expect((type(state), type(history)), (error, error), f"what reading {told} must raise")
        return
    for each in (state, history):
        if isinstance(each, Exception):
            raise Broken(f"{told}: {each!r}") from each
    expect_same(state, release.state(title if entries else "", entries), told)
    facts = [(entry.command, entry.event) for entry in history]
    wanted = [(release.command(title, each), release.event(title, each)) for each in entries]
    expect_same(facts, wanted, f"the history of {told}")


def _told_anew(face: Face, release: Release, title: str, entry: Entry, key: str) -> None:
    """The same command with its key, in the newest shape, answers with the first outcome."""
    again = face.repository(release.actor).handle(
        release.command(title, entry), idempotency_key=key
    )
    told = f"the first outcome of the key {key!r}"
    expect_same(again.events, [release.event(title, entry)], told)
