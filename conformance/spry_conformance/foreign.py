"""Rows that are put in from beside: by a replica, by other code, by a careless hand."""

import json
from typing import Any

import spry_sqla as spry
from spry_conformance.domain import Account, domain
from spry_conformance.faces import Face
from spry_conformance.lab import Lab
from spry_conformance.states import Someone, account, entries_of, fold, prefix, text_of
from spry_conformance.steps import MAIN, Forge
from spry_sqla.adapters import (
    Append,
    EventRecord,
    Load,
    Loading,
    ReadHistory,
    SnapshotRecord,
    new_id,
    target_of,
    timestamp_of,
)


def actor_id_of(at: Face, who: Someone) -> str:
    """The id of the actor that identifiers reach."""
    target = target_of(at.domain, who.actor, who.identifiers)
    name = at.domain.actor(who.actor).name
    loading: Loading = at.perform(Load(name, MAIN, (target,), None))
    return loading.actors[0].owner.actor_id or target.native_id


def event_rows(at: Face, who: Someone) -> list[EventRecord]:
    """The stored events of an actor in the order of their ids, those that wait included."""
    name = at.domain.actor(who.actor).name
    events: list[EventRecord] = at.perform(ReadHistory(name, actor_id_of(at, who), {})).events
    return events


def put_event(
    at: Face,
    who: Someone,
    event: Any,
    *,
    event_id: str,
    sequence: int,
    origin: str = MAIN,
    seen: dict[str, int] | None = None,
    snapshot: SnapshotRecord | None = None,
) -> Any:
    """Append an event as its origin stored it, and answer what the storage answers."""
    kind, actor_id = at.domain.actor(who.actor), actor_id_of(at, who)
    seen = seen or {}
    of_event = at.domain.event(type(event))
    record = EventRecord(
        event_id,
        actor_id,
        origin,
        sequence,
        json.dumps(seen, separators=(",", ":"), sort_keys=True) if seen else None,
        of_event.name,
        of_event.version,
        of_event.codec.encode(event),
        new_id(),
        "Deposit",
        kind.name,
        actor_id,
        sum(seen.values()) + sequence - 1,
        timestamp_of(event_id),
    )
    snapshots = () if snapshot is None else (snapshot,)
    return at.perform(Append(kind.name, events=(record,), snapshots=snapshots))


def snapshot_of(
    at: Face,
    who: Someone,
    state: str,
    *,
    version: int,
    last_event: str,
    vector: str | None = None,
    fingerprint: str | None = None,
) -> SnapshotRecord:
    """The row of a snapshot; what is not given is right for a stream of the main origin."""
    snapshot_id = new_id()
    return SnapshotRecord(
        snapshot_id,
        actor_id_of(at, who),
        state,
        fingerprint or at.domain.actor(who.actor).fingerprint,
        vector or f'{{"{MAIN}":{version}}}',
        None,
        None,
        None,
        last_event,
        version,
        timestamp_of(snapshot_id),
    )


def put_snapshot(at: Face, who: Someone, snapshot: SnapshotRecord) -> None:
    """Store a snapshot that nobody asked for. Raises StorageFailure where a backend refuses it."""
    at.perform(Append(at.domain.actor(who.actor).name, snapshots=(snapshot,)))


def right_snapshot(at: Face, who: Someone, version: int) -> SnapshotRecord:
    """The snapshot of a version, as a read takes it."""
    events = prefix(entries_of(at, who), version)
    state = text_of(at, fold(who.actor, events))
    last = event_rows(at, who)[version - 1].id
    return snapshot_of(at, who, state, version=version, last_event=last)


def forge(lab: Lab, step: Forge) -> SnapshotRecord | None:
    """Play the step; None where there is nothing to take a snapshot of, or the backend refuses."""
    at, who = lab.storage(), account(step.owner)
    rows = event_rows(at, who)
    version = len(rows) if step.version is None else step.version
    if not rows or version < 1:
        return None
    snapshot = snapshot_of(
        at,
        who,
        marked(at, step) if step.state is None else step.state,
        version=version,
        last_event=new_id() if step.unknown_last else rows[min(version, len(rows)) - 1].id,
        vector=step.vector,
        fingerprint=fingerprint_of(lab, step.code),
    )
    try:
        put_snapshot(at, who, snapshot)
    except spry.StorageFailure:
        return None
    return snapshot


def marked(at: Face, step: Forge) -> str:
    """The state that a forged snapshot holds: no event tells of it."""
    return text_of(at, Account(step.owner, step.mark))


def fingerprint_of(lab: Lab, code: str) -> str:
    """The fingerprint of some code, or one that is nearly that of this code."""
    usual = lab.domain.actor(Account).fingerprint
    match code.split():
        case ["revision", number]:
            meta = spry.ActorMeta(revision=int(number))
            return domain(meta).actor(Account).fingerprint
        case ["upper", _]:
            return usual.upper()
        case ["cut", _]:
            return usual[:16]
        case ["longer"]:
            return usual + "0"
    return usual


def tick_of(record_id: str) -> int:
    """The time in a record id, a UUIDv6: ticks of 100 ns."""
    return int(record_id[:12] + record_id[13:16], 16)


def id_of(tick: int, node: int, like: str) -> str:
    """The id that another machine gives at a tick; unlike all ids of this one, and of other nodes.

    `like` is an id of this machine.
    """
    digits = f"{tick:015x}"
    return f"{digits[:12]}6{digits[12:]}b{node:x}{like[:-15:-1]}"
