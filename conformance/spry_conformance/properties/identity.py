"""Whom identifiers reach."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from unicodedata import normalize

from hypothesis import strategies as st

import spry_sqla as spry
from spry_conformance.comparison import commands_of, fetched, listed, play, reached
from spry_conformance.contents import numbers
from spry_conformance.domain import (
    Account,
    Count,
    Deposit,
    Hesitate,
    Marks,
    Open,
    Parcel,
    Rename,
    Renamed,
    Scan,
)
from spry_conformance.edges import NUMBERS, TEXTS
from spry_conformance.faces import Face
from spry_conformance.faults import FAULTS
from spry_conformance.lab import Broken, Call, Lab, expect, outcome_of, raising
from spry_conformance.meeting import meeting
from spry_conformance.model import Model
from spry_conformance.planted import (
    Plant,
    actors_of,
    event_record,
    events_of,
    everything,
    ids_in,
    mapping_record,
    owner_of,
)
from spry_conformance.properties.registry import promise
from spry_conformance.refusals import REFUSALS
from spry_conformance.secrecy import expect_none_of, texts_of
from spry_conformance.steps import MAIN, AtOnce, Handle, HandleMany, MapDigest, Refuse, Reopen, Take
from spry_conformance.strategies import (
    batches,
    handles,
    histories,
    most_of,
    owners,
)
from spry_sqla.adapters import (
    Append,
    Appended,
    Conflict,
    Owner,
    Resolve,
    Target,
    target_of,
)

# The same ----------------------------------------------------------------------------------------

_FEW: tuple[Marks, ...] = (
    (("a", 1), ("b", "x")),
    (("a", 1), ("b", "x"), ("c", True)),
    (("a", 1), ("c", True)),
    (("é", "é"), ("e", "e")),
    (("e\u0301", "e\u0301"), ("e", "e")),
    (("version", 1), ("at", 2), ("identifiers", 3), (" ", 4)),
)
_reopenings = st.builds(Reopen, snapshot_frequency=st.sampled_from([1, 10]))
_shuffled = st.sampled_from(_FEW).flatmap(st.permutations).map(tuple)
_scans = st.builds(Handle, st.builds(Scan, _shuffled))
_scan_batches = st.lists(st.builds(Scan, _shuffled), min_size=2, max_size=6).map(
    lambda scans: HandleMany(tuple(scans))
)


@promise(
    "P11",
    "the-same-identifiers-reach-the-same-actor",
    "The same identifiers always reach the same actor, whatever the order of their keys.",
    steps=histories(_scans, _scans, _scan_batches, _reopenings, most=8),
    tries=8,
)
def the_same_identifiers_reach_the_same_actor(lab: Lab, steps: tuple[Any, ...]) -> None:
    model = Model(Parcel)
    play(lab, model, steps, look=True)
    reached(lab, model, model.actors())


# Different ones ----------------------------------------------------------------------------------

_TRICKS: tuple[Marks, ...] = (
    *((("a", "b"), ("c", "d")), (("a", 'b","c":"d'),), (("a", "b,c:d"),), (("a", "bc"),)),
    *((("ab", "c"),), (("a:b", "c"),), (("a", "b:c"),), (("a", ""), ("b", "")), (("b", "a"),)),
    *((("a", "b"),), (("a", "b"), ("b", "a")), (("a", "a"), ("b", "b")), (("ab", ""),)),
    *((("a", "b\0c"),), (("a\0b", "c"),), (("a", "b"), ("c", "")), (("a", 1), ("b", 2))),
    *((("a", 2), ("b", 1)), (("a", 12),), (("a", "1"), ("b", "2")), (("A", "b"),), (("a ", "b"),)),
)
_NEAR: tuple[Marks, ...] = (
    *_TRICKS,
    *((("number", number),) for number in NUMBERS),
    *((("text", text),) for text in TEXTS),
    *(((text, 1),) for text in TEXTS if 0 < len(text) < 50),
)
_BASE = bytes.fromhex("5a1f" * 16)
_DIGESTS = (
    *(_BASE, _BASE[:-1] + b"\0", _BASE[:-1] + b" ", _BASE[:-1] + b"\n", _BASE[:-1] + b"\x5a"),
    *(_BASE[:-2] + b"\0\0", _BASE[:16] + bytes(16), _BASE[:8] + bytes(24), _BASE[:4] + bytes(28)),
    *(b"\0" + _BASE[1:], bytes(16) + _BASE[16:], bytes(32), bytes(31) + b"\1", b"\1" + bytes(31)),
    *(b" " * 32, b" " * 31 + b"\0", b"a" * 32, b"A" * 32, b"a" * 31 + b"A", b"\xff" * 32),
    *(b"\xff" * 31 + b"\xfe", b"%" * 32, b"_" * 32, b"'" * 32, b"\xc3\xa9" * 16, b"\xc3\x89" * 16),
)
"""Digests that share what may be cut off, folded or taken for a blank."""

_drawn = st.dictionaries(
    st.sampled_from(["a", "b", "A", "a\0"]), numbers, min_size=1, max_size=3
).map(lambda names: tuple(names.items()))
_digests = most_of(enumerate(_DIGESTS)).map(
    lambda drawn: tuple(MapDigest(digest, actor) for actor, digest in drawn)
)
_batch_of_near = most_of(_NEAR).map(
    lambda drawn: (HandleMany(tuple(map(Scan, drawn))),) if drawn else ()
)
_again = st.lists(st.sampled_from(_TRICKS), max_size=6).map(
    lambda drawn: (HandleMany(tuple(map(Scan, drawn))),) if drawn else ()
)
_singles = st.lists(st.builds(Handle, st.builds(Scan, _drawn)), max_size=15).map(tuple)


@promise(
    "P12",
    "different-identifiers-reach-different-actors",
    "Different identifiers never reach the same actor: types, names and every character count; "
    "texts that are equal in NFC are one.",
    steps=st.tuples(_batch_of_near, _singles, _again, _digests).map(lambda drawn: sum(drawn, ())),
    tries=3,
)
def different_identifiers_reach_different_actors(lab: Lab, steps: tuple[Any, ...]) -> None:
    model = Model(Parcel)
    crafted = [step for step in steps if isinstance(step, MapDigest)]
    commands = [step for step in steps if not isinstance(step, MapDigest)]
    play(lab, model, commands)
    fetched(lab, model, model.actors())
    reached(lab, model, [dict(marks) for marks in _TRICKS])
    unusable: Any = {"number": 1.0}
    with raising(spry.UnusableIdentifiers, "a float among identifiers"):
        lab.storage().repository(Parcel).fetch(unusable)
    _digests_are_told_apart(lab.storage(), crafted)


def _digests_are_told_apart(face: Face, crafted: Sequence[MapDigest]) -> None:
    name = face.domain.actor(Parcel).name
    for step in crafted:
        mapping = mapping_record(step.digest, '{"made up":true}', _made_up(step.actor))
        event = event_record(mapping.actor_id, MAIN, 1, Plant("Scanned", 1, "{}", None))
        answer = face.perform(Append(name, events=[event], mappings=[mapping]))
        expect(type(answer), Appended, f"the answer to an append, to {step}")
    actor_of = {step.digest: _made_up(step.actor) for step in crafted}
    for digest in _DIGESTS:
        owner: Owner = face.perform(Resolve(name, MAIN, Target(digest, _made_up(99))))
        expect(owner.actor_id, actor_of.get(digest), f"whom the digest {digest.hex()} reaches")
    for actor in actor_of.values():
        found = [event.actor_id for event in events_of(face, Parcel, actor)]
        expect(found, [actor], f"whose events the actor {actor} has")


def _made_up(actor: int) -> str:
    """Ids that differ in their last digits only."""
    return f"0123456789ab8cde8{actor:015x}"


# First writers -----------------------------------------------------------------------------------

_same_name = st.sampled_from([("Ada",), ("Zo\u00eb", "Zoe\u0308"), ("",), ("Ada", "Bob")])


def _first_programs(names: tuple[str, ...]) -> st.SearchStrategy[AtOnce]:
    owner = st.sampled_from(names)
    hesitations = st.builds(Hesitate, owner, st.sampled_from([1, 5]))
    more = st.lists(st.builds(Deposit, owner, st.just((1, 2))), max_size=2)
    programs = st.one_of(
        hesitations.map(lambda command: (Handle(command),)),
        st.tuples(hesitations, more).map(lambda drawn: (HandleMany((drawn[0], *drawn[1])),)),
        st.tuples(hesitations, more).map(lambda d: (Handle(d[0]), *map(Handle, d[1]))),
    )
    return st.lists(programs, min_size=2, max_size=4).map(lambda drawn: AtOnce(tuple(drawn)))


@promise(
    "P13",
    "first-writers-at-once-make-one-actor",
    "Writers whose first commands come at once, for the same identifiers, make one actor.",
    steps=_same_name.flatmap(_first_programs).map(lambda step: (step,)),
    needs=["concurrent"],
    tries=8,
)
def first_writers_at_once_make_one_actor(lab: Lab, steps: tuple[Any, ...]) -> None:
    for step in steps:
        with meeting(len(step.programs)):
            calls = lab.at_once(step)
        totals: dict[str, int] = {}
        for call in calls:
            for command in _stored_by(call):
                owner = normalize("NFC", command.owner)
                totals[owner] = totals.get(owner, 0) + _worth(command)
        _one_actor_each(lab, totals)


def _stored_by(call: Call) -> Sequence[Any]:
    """The commands of a call that were reported as stored."""
    if isinstance(call.outcome, spry.ConcurrencyError):
        return ()
    if isinstance(call.outcome, Exception):
        raise Broken(f"{call.step} raised {call.outcome!r}") from call.outcome
    refused = [error for results in listed(call.outcome) for error in results.errors]
    expect(refused, [], f"the errors of {call.step}")
    return commands_of(call.step)


def _worth(command: Deposit | Hesitate) -> int:
    return sum(command.amounts) if isinstance(command, Deposit) else command.amount


def _one_actor_each(lab: Lab, totals: dict[str, int]) -> None:
    face = lab.storage()
    accounts = face.repository(Account)
    names = sorted(str(each["owner"]) for each in accounts.actors())
    expect(names, sorted(totals), "the accounts that there are")
    first_mappings = {mapping for mapping, _ in actors_of(face, Account)}
    for owner, total in totals.items():
        expect(accounts.fetch(owner=owner).balance, total, f"the balance of {owner!r}")
        target = target_of(face.domain, Account, {"owner": owner})
        found: Owner = face.perform(Resolve("Account", MAIN, target))
        expect(found.mapping in first_mappings, True, f"whether {owner!r} has one mapping")
        sequences = [event.sequence for event in lab.rows(owner=owner).events]
        expect(sequences, [*range(1, len(sequences) + 1)], f"the sequences of {owner!r}")


# Changed ones ------------------------------------------------------------------------------------

_renames = st.builds(Rename, st.just("Ada") | owners, owners)
_chain = st.builds(
    Handle, st.builds(Rename, st.just("Ada"), st.sampled_from(["Eve", "Ida", "Ada"]))
)
_deposits = st.builds(Deposit, owners, st.just((1,)))
_rename_handles = st.builds(Handle, st.one_of(_renames, _renames, _deposits))
_rename_batches = st.lists(
    st.one_of(_renames, _renames, st.builds(Open, owners), _deposits), min_size=2, max_size=5
).map(lambda drawn: HandleMany(tuple(drawn)))


def _after(*commands: Any) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    return lambda steps: (*map(Handle, commands), *steps)


@promise(
    "P14",
    "old-and-new-identifiers-reach-it",
    "An actor whose identifiers change is reached by the new ones and by all that it ever had.",
    steps=st.tuples(
        st.lists(_chain, min_size=2, max_size=4).map(tuple),
        histories(_rename_handles, _rename_handles, _rename_batches, _reopenings, most=8),
    ).map(lambda drawn: _after(Open("Ada"))(sum(drawn, ()))),
    tries=10,
)
def old_and_new_identifiers_reach_it(lab: Lab, steps: tuple[Any, ...]) -> None:
    model = Model(Account)
    play(lab, model, steps)
    for names in model.names():
        reached(lab, model, names)
        face = lab.storage()
        ids = {owner_of(face, Account, name) for name in names}
        expect(len(ids), 1, f"how many actors {names!r} reach")
    play(lab, model, [Handle(Deposit(name, (7,))) for name in _owners_in(model)])
    reached(lab, model, [name for names in model.names() for name in names])


def _owners_in(model: Model[Any]) -> list[str]:
    return [str(name["owner"]) for names in model.names() for name in names]


# Those in use ------------------------------------------------------------------------------------

_takes = st.builds(Take, owners, owners)
_races = st.sampled_from(["N\u00e9o", "Ne\u0301o", "Ada"]).flatmap(
    lambda name: st.lists(
        st.sampled_from(["Bob", "Cyd", "Dot"]), min_size=2, max_size=3, unique=True
    ).map(lambda rivals: AtOnce(tuple(_hesitant(rival, name) for rival in rivals)))
)


def _hesitant(owner: str, name: str) -> tuple[HandleMany]:
    """Takes a name, and hesitates before it is stored."""
    return (HandleMany((Rename(owner, name), Hesitate(owner, 1))),)


@promise(
    "P15",
    "identifiers-in-use-cannot-be-taken",
    "Identifiers that an actor has or had cannot be taken by another, and nothing is then stored.",
    steps=st.tuples(
        histories(_rename_handles, _rename_handles, _takes, _rename_batches, most=10),
        st.lists(_races, max_size=1).map(tuple),
    ).map(lambda drawn: _after(*map(Open, ["Ada", "Bob", "Cyd", "Dot"]))(sum(drawn, ()))),
    tries=8,
)
def identifiers_in_use_cannot_be_taken(lab: Lab, steps: tuple[Any, ...]) -> None:
    model = Model(Account)
    face = lab.storage()
    for step in steps:
        match step:
            case Take(owner, name):
                before = everything(face)
                _taking_conflicts(face, model, owner, name)
                expect(everything(face), before, f"what is stored after {step}")
            case AtOnce():
                _one_gets_it(lab, model, step)
            case _:
                play(lab, model, [step])
    if not any(isinstance(step, AtOnce) for step in steps):
        reached(lab, model, [name for names in model.names() for name in names])


def _taking_conflicts(face: Face, model: Model[Any], owner: str, name: str) -> None:
    taker, taken = {"owner": owner}, {"owner": name}
    if not (model.history(taker) and model.history(taken)):
        return
    kind = face.domain.actor(Account)
    of_actor = owner_of(face, Account, taker)
    text = face.domain.event(Renamed).codec.encode(Renamed(name))
    sequence = len(model.history(taker)) + 1
    event = event_record(of_actor, MAIN, sequence, Plant("Renamed", 1, text, None))
    digest = target_of(face.domain, Account, taken).digest
    mapping = mapping_record(digest, text, of_actor)
    for events in ([event], []):
        answer = face.perform(Append(kind.name, events=events, mappings=[mapping]))
        expect(type(answer), Conflict, f"the answer to an append that maps {name!r} once more")


def _one_gets_it(lab: Lab, model: Model[Any], race: AtOnce) -> None:
    programs = [each for each in race.programs if model.fetch(_rival(each).identifiers()).owner]
    rivals = [_rival(program) for program in programs]
    if not rivals:
        return
    wanted = rivals[0].to
    free = not model.history({"owner": wanted})
    got_it = []
    for rival, outcome in zip(rivals, _raced(lab, programs), strict=True):
        if isinstance(outcome, Exception):
            raise Broken(f"{rival!r} raised {outcome!r}") from outcome
        errors = [type(error) for error in outcome[0].errors]
        if not errors:
            got_it.append(rival.owner)
        else:
            expect(errors, [spry.IdentifiersTaken], f"the errors of {rival!r}")
            found, was = (at.fetch(rival.identifiers()).owner for at in (lab.accounts, model))
            expect(found, was, f"the owner of {rival.owner!r} after {rival!r}")
    expect(len(got_it), int(free), f"how many of the rivals have got {wanted!r}")
    if free:
        face = lab.storage()
        ids = {owner_of(face, Account, {"owner": owner}) for owner in (wanted, got_it[0])}
        expect(len(ids), 1, f"how many actors {wanted!r} and {got_it[0]!r} reach")


def _rival(program: Sequence[Any]) -> Any:
    return program[0].commands[0]


def _raced(lab: Lab, programs: Sequence[Any]) -> list[Any]:
    """The outcomes of programs of one step: at once where that is claimed, else in turn."""
    if "concurrent" not in lab.adapter.capabilities:
        return [outcome_of(lab.do, step) for (step,) in programs]
    with meeting(len(programs)):
        calls = lab.at_once(AtOnce(tuple(programs)))
    return [call.outcome for call in sorted(calls, key=lambda call: call.program)]


# What nobody sees --------------------------------------------------------------------------------

_counts = st.builds(Handle, st.builds(Count, numbers))
_refused = st.builds(Refuse, st.sampled_from([*REFUSALS]))


@promise(
    "P16",
    "no-id-is-visible",
    "No id of the library is visible to the application: not in results, nor in a history, nor "
    "in an error.",
    steps=st.tuples(
        histories(handles, batches, _counts, _refused, most=8),
        most_of(FAULTS).map(lambda cases: tuple(map(Refuse, cases))),
    ).map(lambda drawn: sum(drawn, ())),
    tries=5,
)
def no_id_is_visible(lab: Lab, steps: tuple[Any, ...]) -> None:
    shown: list[tuple[str, str]] = []
    for step in steps:
        outcome = outcome_of(_attempted, lab, step)
        shown += ((f"after {step!r}", text) for text in texts_of(outcome))
    face = lab.storage()
    for kind in face.domain.actors:
        actors = face.repository(kind.cls)
        for each in actors.actors():
            reads = (actors.fetch, actors.get, partial(_history_of, actors))
            outcomes = [each, *(outcome_of(read, each) for read in reads)]
            shown += ((f"of {each!r}", text) for text in texts_of(outcomes))
    expect_none_of(ids_in(everything(face)), shown, given=repr(steps))


def _history_of(actors: Any, identifiers: spry.Identifiers) -> list[spry.HistoryEntry]:
    return [*actors.history(identifiers)]


def _attempted(lab: Lab, step: Any) -> Any:
    if not isinstance(step, Refuse):
        return lab.do(step)
    if step.case in FAULTS:
        return FAULTS[step.case](lab)
    return REFUSALS[step.case].attempt(lab.storage())
