"""Appends of decisions that needed no load: they rely on where actors are."""

from typing import Any, NamedTuple

from hypothesis import strategies as st
from msgspec.structs import replace

from spry_conformance.appending import MOVES, claim_of, owners_of, rows_of
from spry_conformance.domain import Account, Deposit
from spry_conformance.faces import Face
from spry_conformance.lab import Lab, expect, outcome_of
from spry_conformance.ledger import expect_unchanged, read_ledger
from spry_conformance.properties.registry import promise
from spry_conformance.steps import MAIN, Claim, Handle, Put
from spry_conformance.strategies import histories, most_scenes
from spry_sqla.adapters import (
    Appended,
    Conflict,
    Holds,
    Load,
    Loading,
    Owner,
    Position,
    ReadHistory,
    Resolve,
    target_of,
)

OTHER = "Zed"
"""Whom the appends are about that rely on where it is itself, or where others are."""


names = st.sampled_from(["Ada", "Ada", "Bob"])
claims = st.builds(Claim, st.sampled_from(["Eve", "Eve", "Ada"]))
deposits = st.builds(Handle, st.builds(Deposit, names, st.sampled_from([(1,), (1, 2)])))
puts = st.builds(
    Put,
    names,
    st.sampled_from([MAIN, "east", "west"]),
    st.sampled_from([1, 2]),
    key=st.none() | st.just("k3"),
    mapped=st.none() | st.none() | st.sampled_from(["Bob", "Eve"]),
)


class Place(NamedTuple):
    """Where an actor is: whom its identifiers reach, the origins of its events, and their ids."""

    native_id: str
    mapped: bool
    actor_id: str
    origins: set[str]
    ids: list[str]


@promise(
    "P53",
    "what-is-relied-on-is-so",
    "An append that relies on where actors were is stored when each of them is there still and its "
    "keys are unused, and else nothing of it: whichever origin has moved an actor or used a key.",
    steps=st.tuples(most_scenes(MOVES), histories(deposits, puts, claims, most=6)).map(
        lambda drawn: drawn[0] + drawn[1]
    ),
    tries=4,
)
def what_is_relied_on_is_so(lab: Lab, steps: tuple[Any, ...]) -> None:
    storage, replicas = lab.storage(), "replicas" in lab.adapter.capabilities
    last = "nobody"
    for step in steps:
        owners = [*owners_of(step), last][:2]
        before = _places(storage, [*owners, OTHER])
        match step:
            case Handle():
                outcome_of(lab.do, step)
            case Claim():
                if replicas:
                    storage.perform(claim_of(storage, step.owner))
            case Put(origin=origin):
                rows = rows_of(storage, step) if origin == MAIN or replicas else None
                if rows is not None:
                    storage.perform(rows)
        _reach(before, _places(storage, owners), step, replicas=replicas)
        for side in (storage, storage.composed()):
            before |= _places(storage, [OTHER])
            for relied in ([OTHER], owners[:1], owners[1:], owners, owners[::-1], [OTHER]):
                _rely(side, before, relied, step)
        last = owners[0]


def _reach(before: dict[str, Place], now: dict[str, Place], step: Any, *, replicas: bool) -> None:
    """The actor whose own identifiers they are wins, and else who was mapped first."""
    for owner, place in now.items():
        if isinstance(step, Claim) and owner == step.owner and replicas:
            expect(place.actor_id, place.native_id, f"whom {owner!r} reaches after {step}")
        elif before[owner].mapped:
            expect(place.actor_id, before[owner].actor_id, f"whom {owner!r} reaches after {step}")


def _rely(storage: Face, before: dict[str, Place], relied: list[str], step: Any) -> None:
    """An append that relies on where some were before a step, with the key that the step has."""
    now, key = _places(storage, relied), getattr(step, "key", None)
    positions = [_position(storage, owner, before[owner]) for owner in relied]
    rows = rows_of(storage, Put(OTHER, key=key))
    assert rows is not None
    rows = replace(rows, relies_on=positions)
    keys = () if key is None else (key,)
    used: Loading = storage.perform(Load(rows.actor, MAIN, (), None, keys))
    holds = not used.previous and all(
        now[owner].actor_id == before[owner].actor_id
        and now[owner].origins == {MAIN}
        and now[owner].ids[-1:] == before[owner].ids[-1:]
        for owner in relied
    )
    asked = Holds(rows.actor, positions, keys)
    expect(storage.perform(asked), holds, f"whether {' and '.join(relied)} are as before {step}")
    told = f"the answer to an append that relies on {' and '.join(relied)}, as before {step}"
    ledger = read_ledger(storage, [*relied, OTHER], [rows])
    expect(storage.perform(rows), Appended() if holds else Conflict(), told)
    if not holds:
        expect_unchanged(ledger, read_ledger(storage, [*relied, OTHER], [rows]), f"after {told}")


def _position(storage: Face, owner: str, place: Place) -> Position:
    target = target_of(storage.domain, Account, {"owner": owner})
    head = place.ids[-1] if place.ids else target.native_id
    return Position(target.digest, target.native_id, MAIN, place.actor_id, head)


def _places(storage: Face, owners: list[str]) -> dict[str, Place]:
    name, places = storage.domain.actor(Account).name, {}
    for owner in owners:
        target = target_of(storage.domain, Account, {"owner": owner})
        reached: Owner = storage.perform(Resolve(name, MAIN, target))
        actor_id = reached.actor_id or target.native_id
        events = storage.perform(ReadHistory(name, actor_id, {})).events
        ids = [event.id for event in events]
        origins, mapped = {event.origin for event in events}, reached.actor_id is not None
        places[owner] = Place(target.native_id, mapped, actor_id, origins, ids)
    return places
