"""All that an application can see, against the reference model."""

from functools import partial
from typing import Any

from hypothesis import strategies as st

from spry_conformance.adapter import Own
from spry_conformance.domain import Account, Contents, Count, Deposit, Keep, Rename, Side
from spry_conformance.faces import Face
from spry_conformance.lab import Lab, expect, outcome_of
from spry_conformance.model import Model
from spry_conformance.properties.registry import promise
from spry_conformance.steps import (
    MAIN,
    Fetch,
    Handle,
    HandleMany,
    OwnCommand,
    Reopen,
    SpoilSnapshot,
)
from spry_conformance.strategies import (
    batches,
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
    SnapshotRecord,
    new_id,
    timestamp_of,
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
