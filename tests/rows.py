"""Rows that are put into a storage from beside: by a replica, an older release, a careless hand."""

from typing import Any, NamedTuple

import msgspec

import spry_sqla as spry
from spry_conformance.faces import Face
from spry_sqla.clock import Clock, process_clock, timestamp_of
from spry_sqla.domain import ActorKind
from spry_sqla.identity import actor_id, canonical, digest
from spry_sqla.operations import (
    Append,
    Load,
    Loading,
    ReadHistory,
    StoredSnapshot,
    Target,
)
from spry_sqla.records import EventRecord, SnapshotRecord


class Stored(NamedTuple):
    """What is stored of an actor."""

    actor_id: str
    events: list[EventRecord]
    snapshot: StoredSnapshot | None


def stored(store: Face, actor: type[Any], **identifiers: spry.Scalar) -> Stored:
    """The rows of an actor, its events in the order of their ids, and its newest snapshot."""
    kind = store.domain.actor(actor)
    target = _target(kind, identifiers)
    loading: Loading = store.perform(Load(kind.name, "main", (target,), kind.fingerprint))
    (loaded,) = loading.actors
    of_actor = loaded.owner.actor_id or target.native_id
    page = store.perform(ReadHistory(kind.name, of_actor, {}))
    return Stored(of_actor, page.events, loaded.snapshot)


def put_event(
    store: Face,
    actor: type[Any],
    event: Any,
    *,
    origin: str,
    sequence: int,
    seen: str | None = None,
    clock: Clock = process_clock,
    id: str | None = None,
    content: str | None = None,
    type_name: str | None = None,
    type_version: int | None = None,
    **identifiers: spry.Scalar,
) -> EventRecord:
    """Put an event in as another origin would have stored it, or as nobody should."""
    kind = store.domain.actor(actor)
    of_event = store.domain.event(type(event))
    of_actor = stored_id(store, actor, **identifiers)
    event_id = id or clock.next()
    record = EventRecord(
        event_id,
        of_actor,
        origin,
        sequence,
        seen,
        type_name or of_event.name,
        type_version or of_event.version,
        content or of_event.codec.encode(event),
        clock.next(),
        "Foreign",
        kind.name,
        of_actor,
        0,
        timestamp_of(event_id),
    )
    store.perform(Append(kind.name, events=(record,)))
    return record


def put_snapshot(
    store: Face,
    actor: type[Any],
    *,
    state: str,
    vector: str,
    last_event: str,
    version: int,
    fingerprint: str | None = None,
    **identifiers: spry.Scalar,
) -> None:
    """Put a snapshot in, newer than those that are there."""
    kind = store.domain.actor(actor)
    snapshot_id = process_clock.next()
    record = SnapshotRecord(
        snapshot_id,
        stored_id(store, actor, **identifiers),
        state,
        kind.fingerprint if fingerprint is None else fingerprint,
        vector,
        None,
        None,
        None,
        last_event,
        version,
        timestamp_of(snapshot_id),
    )
    store.perform(Append(kind.name, snapshots=(record,)))
    store.forget()  # else nothing would look at it


def stored_id(store: Face, actor: type[Any], **identifiers: spry.Scalar) -> str:
    """The id of the actor that identifiers reach."""
    kind = store.domain.actor(actor)
    target = _target(kind, identifiers)
    loading: Loading = store.perform(Load(kind.name, "main", (target,), None))
    return loading.actors[0].owner.actor_id or target.native_id


def _target(kind: ActorKind[Any], identifiers: spry.Identifiers) -> Target:
    text = canonical(identifiers)
    return Target(digest(text), actor_id(kind.name, text))


def as_another(event: EventRecord) -> EventRecord:
    """The event with another id: what another writer would have stored in its place."""
    return msgspec.structs.replace(event, id=process_clock.next())


def rival_of(operation: Append) -> Append:
    """The same decision, of somebody who was a little faster."""
    return Append(operation.actor, events=[as_another(event) for event in operation.events])


def anew(operation: Append) -> Append:
    """The whole append under other ids: the same command, sent by another process."""
    (command,) = operation.commands
    new = process_clock.next()
    return Append(
        operation.actor,
        [msgspec.structs.replace(command, id=new)],
        [msgspec.structs.replace(as_another(each), command_id=new) for each in operation.events],
        [
            msgspec.structs.replace(each, id=process_clock.next(), command_id=new)
            for each in operation.mappings
        ],
    )
