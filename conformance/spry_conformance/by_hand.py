"""Records of accounts made by hand, as a writer hands them to a storage.

What an application never sees can so be tried: appends at a stale version, and appends of which
one record cannot be stored.
"""

import json
import unicodedata
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from msgspec.structs import replace

from spry_conformance.domain import Account, DepositEach, Deposited
from spry_conformance.faces import Face
from spry_conformance.steps import MAIN, ByHand, Spoilt
from spry_sqla.adapters import (
    Append,
    CommandRecord,
    EventRecord,
    LinkRecord,
    Load,
    Loading,
    MappingRecord,
    ReadHistory,
    SnapshotRecord,
    Target,
    new_id,
    target_of,
    timestamp_of,
)

PARTS = ("commands", "events", "mappings", "links", "snapshots")
"""What an append is made of."""

EACH = 2
"""Records of each part but events."""

KEYS = {
    "commands": ("idempotency_key", "origin"),
    "events": ("actor_id", "origin", "sequence"),
    "mappings": ("digest", "origin"),
}
"""Part → the unique key that it has beside its id."""

_TEXTS = {
    "commands": "content",
    "events": "content",
    "mappings": "identifiers",
    "links": "child_type",
    "snapshots": "state",
}
_LONE_SURROGATE = '"\ud800"'


class Known(NamedTuple):
    """What a writer knows of an account; `claimed`: its identifiers have a mapping."""

    actor_id: str
    claimed: bool
    events: list[EventRecord]


def target(storage: Face, owner: str) -> Target:
    """Whom the owner of an account names."""
    return target_of(storage.domain, Account, {"owner": owner})


def known_of(storage: Face, owner: str, behind: int = 0) -> Known:
    """What was to be known of an account when it had so many events less."""
    kind, named = storage.domain.actor(Account), target(storage, owner)
    loading: Loading = storage.perform(Load(kind.name, MAIN, (named,), None))
    (loaded,) = loading.actors
    actor_id = loaded.owner.actor_id or named.native_id
    events = events_of(storage, actor_id)
    return Known(actor_id, loaded.owner.claimed, events[: max(0, len(events) - behind)])


def events_of(storage: Face, actor_id: str) -> list[EventRecord]:
    """All rows of an account's events, page by page."""
    name, after, more = storage.domain.actor(Account).name, dict[str, int](), True
    events: list[EventRecord] = []
    while more:
        page = storage.perform(ReadHistory(name, actor_id, dict(after)))
        events += page.events
        after |= {each.origin: each.sequence for each in page.events}
        more = page.more and bool(page.events)
    return events


def records_of(storage: Face, step: ByHand, ids: Sequence[str] | None = None) -> Append:
    """The whole append of a step, at the version that it knows, nothing of it spoilt.

    `ids` are those of its records, in the order of PARTS; new ones where there are none.
    """
    known = known_of(storage, step.owner, step.behind)
    drawn = iter(ids or [new_id() for _ in range(step.events + EACH * (len(PARTS) - 1))])
    commands = [_command(storage, step, known, each) for each in islice(drawn, EACH)]
    events = _events(storage, step, known, commands[0], list(islice(drawn, step.events)))
    return Append(
        storage.domain.actor(Account).name,
        commands,
        events,
        _mappings(storage, step, known, commands[0], list(islice(drawn, EACH))),
        [_link(known, commands[0], each) for each in islice(drawn, EACH)],
        [_snapshot(storage, step, known, events, each) for each in islice(drawn, EACH)],
    )


def ids_of(records: Append) -> list[str]:
    """The ids of all its records, in the order of PARTS."""
    return [record.id for part in PARTS for record in getattr(records, part)]


def spoil(records: Append, spoilt: Spoilt, taken: Append) -> Append:
    """The same append with one record that cannot be stored; `taken` is another, stored one."""
    part: list[Any] = list(getattr(records, spoilt.part))
    place = min(spoilt.place, len(part) - 1)
    record, other = part[place], getattr(taken, spoilt.part)[0]
    match spoilt.how:
        case "id":
            part[place] = replace(record, id=other.id)
        case "key":
            key = {name: getattr(other, name) for name in KEYS[spoilt.part]}
            part[place] = replace(record, **key)
        case "text":
            part[place] = replace(record, **{_TEXTS[spoilt.part]: _LONE_SURROGATE})
        case _:
            part[place] = None
    return replace(records, **{spoilt.part: part})


def _command(storage: Face, step: ByHand, known: Known, command_id: str) -> CommandRecord:
    kind = storage.domain.command(DepositEach)
    return CommandRecord(
        command_id,
        kind.name,
        kind.version,
        kind.codec.encode(DepositEach(step.owner, 1, step.events + 1)),
        f"key {command_id}",
        None,
        MAIN,
        known.actor_id,
        len(known.events),
        _vector(known.events),
        timestamp_of(command_id),
        timestamp_of(command_id),
    )


def _events(
    storage: Face, step: ByHand, known: Known, command: CommandRecord, ids: Sequence[str]
) -> list[EventRecord]:
    kind, name = storage.domain.event(Deposited), storage.domain.actor(Account).name
    sequence = max((each.sequence for each in known.events if each.origin == MAIN), default=0)
    return [
        EventRecord(
            event_id,
            known.actor_id,
            MAIN,
            sequence + number,
            None,
            kind.name,
            kind.version,
            kind.codec.encode(Deposited(step.owner, number)),
            command.id,
            command.type,
            name,
            known.actor_id,
            len(known.events),
            timestamp_of(event_id),
        )
        for number, event_id in enumerate(ids, 1)
    ]


def _mappings(
    storage: Face, step: ByHand, known: Known, command: CommandRecord, ids: Sequence[str]
) -> list[MappingRecord]:
    """Other identifiers of the account, and at last its own, where they are not mapped yet."""
    owners = [f"also {mapping_id}" for mapping_id in ids]
    if not known.claimed:
        owners[-1] = step.owner
    return [
        MappingRecord(
            mapping_id,
            target(storage, owner).digest,
            json.dumps(
                {"owner": unicodedata.normalize("NFC", owner)},
                ensure_ascii=False,
                separators=(",", ":"),
            ),
            known.actor_id,
            MAIN,
            command.id,
            timestamp_of(mapping_id),
        )
        for mapping_id, owner in zip(ids, owners, strict=True)
    ]


def _link(known: Known, command: CommandRecord, link_id: str) -> LinkRecord:
    since = timestamp_of(link_id)
    return LinkRecord(
        link_id, known.actor_id, "Tally", known.actor_id, True, MAIN, command.id, since
    )


def _snapshot(
    storage: Face, step: ByHand, known: Known, events: Sequence[EventRecord], snapshot_id: str
) -> SnapshotRecord:
    kind = storage.domain.actor(Account)
    state = storage.repository(Account).fetch(owner=step.owner, version=len(known.events))
    for number in range(1, len(events) + 1):
        Deposited(step.owner, number).apply(state)
    return SnapshotRecord(
        snapshot_id,
        known.actor_id,
        kind.codec.encode(state),
        kind.fingerprint,
        _vector([*known.events, *events]),
        None,
        None,
        events[-1].command_id,
        events[-1].id,
        len(known.events) + len(events),
        timestamp_of(snapshot_id),
    )


def _vector(events: Sequence[EventRecord]) -> str:
    return json.dumps({each.origin: each.sequence for each in events}, separators=(",", ":"))
