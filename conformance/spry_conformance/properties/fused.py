"""Operations that are fused, against the same ones composed of the four stores."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from hypothesis import strategies as st

from spry_conformance.appending import MOVES, claim_of, deposit, owners_of, rows_of
from spry_conformance.domain import Account, Deposit
from spry_conformance.faces import Face
from spry_conformance.foreign import forge
from spry_conformance.lab import Broken, Lab, expect, outcome_of
from spry_conformance.properties.registry import promise
from spry_conformance.steps import MAIN, Claim, Forge, Handle, Put, Reopen
from spry_conformance.strategies import batches, commands, long_histories, most_scenes, reopenings
from spry_sqla.adapters import (
    Appended,
    Conflict,
    EventPage,
    Load,
    Loaded,
    Loading,
    Owner,
    ReadEvents,
    ReadHistory,
    StoredEvent,
    StoredSnapshot,
    Target,
    new_id,
    tag_of,
    target_of,
    vector_of,
)

# What a load may find, each of owners of its own, beside what `MOVES` leaves.
FOUND: tuple[tuple[Handle | Put | Claim | Forge, ...], ...] = (
    (Handle(Deposit("Tim", (1, 2, 3, 4))), deposit("Tim"), Put("Tim", ahead=-1)),
    (Handle(Deposit("Una", (1, 2, 3))), Put("Una", "east", 2, early=True), deposit("Una")),
    (deposit("Vic"), Put("Vic", "west", seen=1), Put("Vic", "west", seen=2)),
    (Put("Wim", "east", ahead=1), Put("Wim", "west", 2, ahead=1)),
    (Put("Xia", key="k4"), Put("Xia", "east", key="k4")),
    (Put("Yan", "west", key="k5"), Put("Yan", key="k5")),
    (deposit("Dov"), Put("Eli", "east", mapped="Dov"), Put("Fay", "east", mapped="Gil")),
    (Put("Jon"), Claim("Jon"), Put("Jon")),
    (Put("Kay", "east"), Put("Kay", "east", ahead=1)),
    (Put("Lyn", "east"), Put("Lyn", "east", seen=1)),
    (Put("Sid", events=5), Forge("Sid", 9, 3, vector='{"main":2}'), Put("Sid")),
)

TWICE = ("k4", "k5")
"""Keys that two origins use there."""

names = st.sampled_from(["Ada", "Bob", "Eve"])
origins = st.sampled_from([MAIN, MAIN, "east", "west"])
few_keys = st.none() | st.sampled_from(["k1", "k2", "k3"])
puts = st.builds(
    Put,
    names,
    origins,
    st.integers(1, 3),
    st.sampled_from([0, 0, 0, -1, 1]),
    st.booleans(),
    st.sampled_from([0, 0, 1, 2]),
    few_keys,
    st.none() | st.none() | st.sampled_from(["Bob", "Zed"]),
)
at_random = long_histories(
    st.builds(Handle, commands, few_keys, st.none(), origins),
    st.builds(Handle, st.builds(Deposit, names, st.just((1, 30))), few_keys),
    batches,
    puts,
    puts,
    reopenings,
    most=20,
)


@promise(
    "P52",
    "fused-equals-composed",
    "An operation that is not composed of the four stores is answered as those would answer it.",
    steps=st.tuples(most_scenes((*FOUND, *MOVES)), at_random).map(
        lambda drawn: (Reopen(0, 3), *drawn[0], *drawn[1])
    ),
    needs={"fused"},
    tries=5,
)
def fused_equals_composed(lab: Lab, steps: tuple[Any, ...]) -> None:
    early = iter([new_id() for _ in range(30)])
    replicas = "replicas" in lab.adapter.capabilities
    seen: dict[str, None] = {}
    first_uses: dict[str, str] = {}
    for place, step in enumerate(steps):
        owners = owners_of(step)
        seen.update(dict.fromkeys(owners))
        if isinstance(step, Reopen):
            lab.reopen(step)
        elif isinstance(step, Forge):
            forge(lab, step)
        elif isinstance(step, Claim):
            if replicas:
                lab.storage().perform(claim_of(lab.storage(), step.owner))
        elif step.origin == MAIN or replicas:
            fused = lab.storage(step.origin)
            sides = (fused, fused.composed()) if place % 2 else (fused.composed(), fused)
            if isinstance(step, Put):
                command_id = _put(sides, step, early)
                if step.key in TWICE and command_id is not None:
                    first_uses.setdefault(step.key, command_id)
            else:
                outcome_of(lab.do, step, sides[0])
        _compare(lab.storage(), owners, place)
    for place in range(SHARES):
        _compare(lab.storage(), list(seen), place)
    asked = Load(lab.domain.actor(Account).name, MAIN, (), None, TWICE)
    for side in (lab.storage(), lab.storage().composed()):
        found = dict(side.perform(asked).previous)
        expect(found, first_uses, "the commands that were the first to use their keys")


def _put(sides: tuple[Face, Face], step: Put, early: Iterator[str]) -> str | None:
    """What the one side appends, the other finds taken; what conflicts there, conflicts here.

    Answers with the id of the command, where it is stored.
    """
    if step.origin == MAIN and step.ahead > 0:
        return None  # this origin leaves no hole, which a later event would fill
    rows = rows_of(sides[0], step, early)
    if rows is None:
        return None
    first = sides[0].perform(rows)
    if not isinstance(first, Appended | Conflict):
        raise Broken(f"{step}: expected Appended or Conflict, and found {first!r}")
    then = "appended once more" if isinstance(first, Appended) else "which had conflicted"
    for side in reversed(sides):
        expect(side.perform(rows), Conflict(), f"{step}: the answer to its rows, {then}")
    return rows.commands[0].id if isinstance(first, Appended) else None


SHARES = 3
"""Into how many the loads are shared out: to compare all after each step is most of the work."""


def _compare(fused: Face, owners: list[str], place: int) -> None:
    """Raises Broken where a load of a share is not answered as the four stores answer it."""
    composed = fused.composed()
    for load in _loads(fused, [*owners, "nobody"])[place % SHARES :: SHARES]:
        what = f"the fused answer to {load}, beside that of the four stores"
        (found, found_keys), (expected, expected_keys) = _told(fused, load), _told(composed, load)
        expect(found_keys, expected_keys, f"the commands of the keys in {what}")
        for one, other in zip(found, expected, strict=True):
            expect(_comparable(one, other), _comparable(other, one), what)


def _loads(face: Face, owners: list[str]) -> list[Load]:
    kind, of = face.domain.actor(Account), partial(target_of, face.domain, Account)
    targets = tuple(of({"owner": owner}) for owner in owners)
    page = face.perform(ReadHistory(kind.name, targets[0].native_id, {}))
    middle = page.events[len(page.events) // 2].id if page.events else None
    usual = partial(Load, kind.name, MAIN, fingerprint=kind.fingerprint)
    return [
        usual(targets, keys=("k1", "k2", "k3", "k4", "k5", "k6")),
        usual(targets[::-1], keys=("k5", "k1")),
        *(usual((target,)) for target in targets),
        Load(kind.name, MAIN, targets, None),
        Load(kind.name, "east", targets, kind.fingerprint),
        *(usual(targets, version=version) for version in (0, 1, 3)),
        *(usual(targets, limit=limit) for limit in (1, 2)),
        usual(targets[:2], until=middle),
        usual(targets[:2], until=middle, version=2, limit=1, keys=("k2",)),
    ]


class _Told(NamedTuple):
    """What a load comes to for one of its targets: all of the stream, page by page to its end."""

    owner: Owner
    snapshot: StoredSnapshot | None
    last: str
    """The id of the last event."""
    rows: Sequence[tuple[str, str, str, str | None]]
    """Per event, what a run tells of it, too: origin, tag, content and seen."""
    events: list[StoredEvent] | None
    """None where it was answered by a run."""


def _told(face: Face, load: Load) -> tuple[list[_Told], dict[str, str]]:
    loading: Loading = face.perform(load)
    told = [
        _told_of(face, load, target, loaded)
        for target, loaded in zip(load.targets, loading.actors, strict=True)
    ]
    return told, dict(loading.previous)


def _told_of(face: Face, load: Load, target: Target, loaded: Loaded) -> _Told:
    if (run := loaded.run) is not None:
        if len(run.rows) > load.limit:
            raise Broken(f"the answer to {load} has a run of {len(run.rows)} events")
        of_run = [(run.origin, tag, content, None) for tag, content in run.rows]
        return _Told(loaded.owner, loaded.snapshot, run.head if of_run else "", of_run, None)
    events = [StoredEvent(*event) for event in loaded.events]
    more, after = loaded.more, vector_of(loaded.snapshot)
    while more:
        before = after
        after = {**before, **{each.origin: each.sequence for each in events}}
        if after == before:
            raise Broken(f"the answer to {load} says that more follow, and nothing does")
        actor_id = loaded.owner.actor_id or target.native_id
        page: EventPage = face.perform(ReadEvents(load.actor, actor_id, after, load.limit))
        events += [StoredEvent(*event) for event in page.events]
        more = page.more
    ids = [event.id for event in events]
    expect(ids, sorted(ids), f"the order of the events of the answer to {load}, and of those after")
    rows = [
        (each.origin, tag_of(each.type, each.type_version), each.content, each.seen)
        for each in events
    ]
    return _Told(loaded.owner, loaded.snapshot, events[-1].id if events else "", rows, events)


def _comparable(told: _Told, other: _Told) -> _Told:
    """A load of several may answer by events where one is no run: then a run's part is compared."""
    return told._replace(events=None) if other.events is None else told
