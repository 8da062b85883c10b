"""All that an application can see, against the reference model."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from hypothesis import strategies as st

from spry_conformance.adapter import Own
from spry_conformance.appending import rows_of
from spry_conformance.domain import Account, Contents, Count, Deposit, Keep, Rename, Side
from spry_conformance.faces import Face
from spry_conformance.lab import Broken, Lab, expect, outcome_of
from spry_conformance.model import Model
from spry_conformance.properties.registry import promise
from spry_conformance.steps import (
    MAIN,
    Fetch,
    Handle,
    HandleMany,
    OwnCommand,
    Put,
    Reopen,
    SpoilSnapshot,
)
from spry_conformance.strategies import (
    batches,
    commands,
    deposits,
    fetches,
    handles,
    keys,
    long_histories,
    owners,
    reopenings,
)
from spry_conformance.world import (
    World,
    actor_type,
    expect_actors,
    expect_all,
    expect_life,
    expect_outcome,
    expect_step,
)
from spry_sqla.adapters import (
    Append,
    Appended,
    Conflict,
    EventPage,
    Load,
    Loaded,
    Loading,
    Owner,
    ReadEvents,
    ReadHistory,
    SnapshotRecord,
    StoredEvent,
    StoredSnapshot,
    Target,
    new_id,
    tag_of,
    target_of,
    timestamp_of,
    vector_of,
)

numbers = st.sampled_from([1, "1", True, Side.LEFT])
contents = st.sampled_from([Contents(), Contents(text="x", items=[])])
users = st.sampled_from([None, {}, {"user": "eve"}, {"user": "mallory"}])
small_deposits = st.builds(Deposit, st.sampled_from(["Ada", "Bob"]), st.just((1,)))
renames = st.builds(Rename, st.sampled_from(["Ada", "Bob"]), owners)
others = st.builds(Count, numbers) | st.builds(Keep, st.sampled_from(["A", "B"]), contents)


@promise(
    "P51",
    "what-an-application-sees",
    "All that an application can see is what the reference model shows, whatever it does.",
    steps=long_histories(
        handles,
        st.builds(Handle, deposits, keys, users),
        st.builds(Handle, small_deposits, st.none(), users),
        st.builds(Handle, renames),
        batches,
        others.map(Handle),
        fetches,
        reopenings,
        st.builds(SpoilSnapshot, owners, st.sampled_from(["[]", "null", '{"owner": 1}'])),
    ),
    own=lambda own: long_histories(
        st.builds(partial(own_command, own), own.commands, keys), reopenings
    ),
    tries=12,
)
def what_an_application_sees(lab: Lab, steps: tuple[Any, ...]) -> None:
    if any(isinstance(step, OwnCommand) for step in steps):
        _see_own(lab, steps)
        return
    world = World()
    for step in steps:
        match step:
            case Reopen():
                lab.reopen(step)
            case SpoilSnapshot():
                _spoil(lab, step)
                _see(lab, world, Fetch(step.owner))
            case _:
                _see(lab, world, step)
    expect_all(lab.storage(), world)


def _see(lab: Lab, world: World, step: Handle | HandleMany | Fetch) -> None:
    """Do a step in the lab and in the world, and look at all that it may have changed."""
    storage, actor = lab.storage(), actor_type(step)
    expect_step(storage, world, step, outcome_of(lab.do, step))
    expect_actors(storage.repository(actor), world.models[actor], actor)
    if isinstance(step, Fetch) and step.version is not None:
        _look_back(storage, world, step.owner, step.version)


def _look_back(storage: Face, world: World, owner: str, version: int) -> None:
    """The state at the time of an event is that of all events until then."""
    accounts = storage.repository(Account)
    times = [entry.time for entry in accounts.history(owner=owner)]
    for time in times[version : version + 1]:
        # Several events of one command may lie in one microsecond.
        before = sum(each <= time for each in times)
        state = world.models[Account].fetch({"owner": owner}, before)
        what = f"fetch of owner={owner!r} at the time of its event {version + 1}"
        expect(accounts.fetch(owner=owner, at=time), state, what)


def _spoil(lab: Lab, step: SpoilSnapshot) -> None:
    rows = lab.rows(owner=step.owner)
    if not rows.events:
        return
    kind = lab.domain.actor(Account)
    last, made = rows.events[-1], new_id()
    vector = f'{{"{MAIN}":{last.sequence}}}'
    snapshot = SnapshotRecord(
        made,
        rows.actor_id,
        step.state,
        kind.fingerprint,
        vector,
        None,
        None,
        None,
        last.id,
        len(rows.events),
        timestamp_of(made),
    )
    answer = lab.storage().perform(Append(kind.name, snapshots=[snapshot]))
    expect(answer, Appended(), f"{step}: the answer to its append")


# The author's own domain -------------------------------------------------------------------------


def own_command(own: Own, command: Any, key: str | None) -> OwnCommand:
    """A command of the author's as a step that can be written down."""
    kind = own.domain.command(type(command))
    return OwnCommand(kind.name, kind.codec.encode(command), kind.version, key)


def _see_own(lab: Lab, steps: tuple[Any, ...]) -> None:
    own = lab.adapter.own
    if own is None:
        raise ValueError("the history is one of the author's own domain; give the Adapter own=")
    model: Model[Any] = Model(own.actor)
    storage = lab.open(of=own.domain)
    for step in steps:
        if isinstance(step, Reopen):
            lab.close_all()
            storage = lab.open(of=own.domain)
            continue
        command = own.domain.decode_command(step.type, step.version, step.content, "the history")
        repository = storage.repository(own.actor)
        found = outcome_of(partial(repository.handle, command, idempotency_key=step.key))
        expect_outcome(found, outcome_of(model.handle, command, step.key), step)
        expect_life(repository, model, command.identifiers())
        expect_actors(repository, model, own.actor)
    for identifiers in model.actors():
        expect_life(storage.repository(own.actor), model, identifiers)


# Fused operations --------------------------------------------------------------------------------

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


@promise(
    "P52",
    "fused-equals-composed",
    "An operation that is not composed of the four stores is answered as those would answer it.",
    steps=long_histories(
        st.builds(Handle, commands, few_keys, st.none(), origins),
        st.builds(Handle, st.builds(Deposit, names, st.just((1, 30))), few_keys),
        batches,
        puts,
        puts,
        reopenings,
        most=20,
    ),
    needs={"fused"},
    tries=6,
)
def fused_equals_composed(lab: Lab, steps: tuple[Any, ...]) -> None:
    early = iter([new_id() for _ in range(30)])
    replicas = "replicas" in lab.adapter.capabilities
    for place, step in enumerate(steps):
        if isinstance(step, Reopen):
            lab.reopen(step)
        elif step.origin == MAIN or replicas:
            fused = lab.storage(step.origin)
            sides = (fused, fused.composed()) if place % 2 else (fused.composed(), fused)
            if isinstance(step, Put):
                _put(sides, step, early)
            else:
                outcome_of(lab.do, step, sides[0])
        _compare(lab.storage(), place)
    for place in range(SHARES):
        _compare(lab.storage(), place)


def _put(sides: tuple[Face, Face], step: Put, early: Iterator[str]) -> None:
    """What the one side appends, the other finds taken; what conflicts there, conflicts here."""
    if step.origin == MAIN and step.ahead > 0:
        return  # this origin leaves no hole, which a later event would fill
    rows = rows_of(sides[0], step, early)
    if rows is None:
        return
    first = sides[0].perform(rows)
    if not isinstance(first, Appended | Conflict):
        raise Broken(f"{step}: expected Appended or Conflict, and found {first!r}")
    then = "appended once more" if isinstance(first, Appended) else "which had conflicted"
    for side in reversed(sides):
        expect(side.perform(rows), Conflict(), f"{step}: the answer to its rows, {then}")


SHARES = 3
"""Into how many the loads are shared out: to compare all after each step is most of the work."""


def _compare(fused: Face, place: int) -> None:
    """Raises Broken where a load of a share is not answered as the four stores answer it."""
    composed = fused.composed()
    for load in _loads(fused)[place % SHARES :: SHARES]:
        what = f"the fused answer to {load}, beside that of the four stores"
        (found, found_keys), (expected, expected_keys) = _told(fused, load), _told(composed, load)
        expect(found_keys, expected_keys, f"the commands of the keys in {what}")
        for one, other in zip(found, expected, strict=True):
            expect(_comparable(one, other), _comparable(other, one), what)


def _loads(face: Face) -> list[Load]:
    kind, of = face.domain.actor(Account), partial(target_of, face.domain, Account)
    owners = ["Ada", "Bob", "Eve", "Zed", "nobody"]
    targets = tuple(of({"owner": owner}) for owner in owners)
    page = face.perform(ReadHistory(kind.name, targets[0].native_id, {}))
    middle = page.events[len(page.events) // 2].id if page.events else None
    usual = partial(Load, kind.name, MAIN, fingerprint=kind.fingerprint)
    return [
        usual(targets, keys=("k1", "k2", "k3", "k4")),
        usual(targets[::-1], keys=("k3", "k1")),
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
    rows = [
        (each.origin, tag_of(each.type, each.type_version), each.content, each.seen)
        for each in events
    ]
    return _Told(loaded.owner, loaded.snapshot, events[-1].id if events else "", rows, events)


def _comparable(told: _Told, other: _Told) -> _Told:
    """A load of several may answer by events where one is no run: then a run's part is compared."""
    return told._replace(events=None) if other.events is None else told
