"""Rows that are put into a storage from beside, by operations, and all that a storage holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import spry_sqla as spry
from spry_conformance.faces import Face
from spry_conformance.steps import MAIN
from spry_sqla.adapters import (
    NO_ID,
    ActorPage,
    Append,
    CommandRecord,
    EventRecord,
    HistoryPage,
    Load,
    Loading,
    MappingRecord,
    Owner,
    ReadActors,
    ReadCommands,
    ReadHistory,
    Resolve,
    new_id,
    target_of,
    timestamp_of,
)


@dataclass(frozen=True)
class Plant:
    """What is put into a stream, instead of what the code would write.

    `error` is what reading it must raise, None where it must not; `in_command` says that it is the
    command that is not as it should be, which only a history shows.
    """

    name: str
    version: int
    content: str
    error: type[spry.SpryError] | None
    in_command: bool = False


DEPOSITED = '{"owner":"Ada","amount":1}'

PLANTS = {
    "an event of an unknown type": Plant("Vanished", 1, "{}", spry.UnknownType),
    "an event whose type is another in another case": Plant(
        "deposited", 1, DEPOSITED, spry.UnknownType
    ),
    "an event whose type ends in a blank": Plant("Deposited ", 1, DEPOSITED, spry.UnknownType),
    "an event of a newer version": Plant("Deposited", 7, DEPOSITED, spry.UnreadableContent),
    "an event that lacks a field": Plant("Deposited", 1, "{}", spry.UnreadableContent),
    "an event that is a list": Plant("Deposited", 1, "[]", spry.UnreadableContent),
    "an event that is null": Plant("Deposited", 1, "null", spry.UnreadableContent),
    "an event with a field of another type": Plant(
        "Deposited", 1, '{"owner":"Ada","amount":"ten"}', spry.UnreadableContent
    ),
    "a command of an unknown type": Plant("Vanish", 1, "{}", spry.UnknownType, True),
    "a command of a newer version": Plant("Open", 9, "{}", spry.UnreadableContent, True),
    "a command that lacks a field": Plant("Open", 1, "{}", spry.UnreadableContent, True),
}
"""By the name of the case; the error is raised by whatever reads it."""


def plant(
    face: Face, actor: type[Any], identifiers: spry.Identifiers, planted: Plant
) -> list[EventRecord]:
    """Put a plant into the stream of an actor that is there, and after it an event in order."""
    of_actor = owner_of(face, actor, identifiers)
    command_id = new_id()
    stored = events_of(face, actor, of_actor)
    sequence = sum(event.origin == MAIN for event in stored)
    usual = Plant("Deposited", 1, DEPOSITED, None)
    events = [
        event_record(of_actor, MAIN, sequence + 1, usual if planted.in_command else planted),
        event_record(of_actor, MAIN, sequence + 2, usual),
    ]
    commands = []
    if planted.in_command:
        commands = [command_record(command_id, of_actor, planted)]
        events[0] = event_record(of_actor, MAIN, sequence + 1, usual, command_id)
    face.perform(Append(face.domain.actor(actor).name, commands=commands, events=events))
    return events


def event_record(
    of_actor: str,
    origin: str,
    sequence: int,
    what: Plant,
    command_id: str | None = None,
    *,
    event_id: str | None = None,
) -> EventRecord:
    """A row of an event."""
    event_id = event_id or new_id()
    return EventRecord(
        event_id,
        of_actor,
        origin,
        sequence,
        None,
        what.name,
        what.version,
        what.content,
        command_id or new_id(),
        "Foreign",
        "Foreign",
        of_actor,
        sequence - 1,
        timestamp_of(event_id),
    )


def command_record(command_id: str, of_actor: str, what: Plant) -> CommandRecord:
    """A row of a command."""
    at = timestamp_of(command_id)
    return CommandRecord(
        command_id,
        what.name,
        what.version,
        what.content,
        None,
        None,
        MAIN,
        of_actor,
        0,
        "{}",
        at,
        at,
    )


def mapping_record(digest: bytes, identifiers: str, of_actor: str) -> MappingRecord:
    """A row of a mapping."""
    mapping_id = new_id()
    since = timestamp_of(mapping_id)
    return MappingRecord(mapping_id, digest, identifiers, of_actor, MAIN, new_id(), since)


def owner_of(face: Face, actor: type[Any], identifiers: spry.Identifiers) -> str:
    """The id of the actor that identifiers reach."""
    target = target_of(face.domain, actor, identifiers)
    owner: Owner = face.perform(Resolve(face.domain.actor(actor).name, MAIN, target))
    return owner.actor_id or target.native_id


def events_of(face: Face, actor: type[Any], of_actor: str) -> list[EventRecord]:
    """The rows of an actor's events: of one page."""
    page: HistoryPage = face.perform(ReadHistory(face.domain.actor(actor).name, of_actor, {}))
    return page.events


def actors_of(face: Face, actor: type[Any]) -> list[tuple[str, str]]:
    """(id of the first mapping, newest identifiers) of each actor: of one page."""
    page: ActorPage = face.perform(ReadActors(face.domain.actor(actor).name, NO_ID, None))
    return page.actors


def everything(face: Face, *keys: str) -> Mapping[str, Any]:
    """What there is of each actor of a domain, and which of some idempotency keys were used."""
    found: dict[str, Any] = {}
    for kind in face.domain.actors:
        targets = tuple(
            target_of(face.domain, kind.cls, identifiers)
            for identifiers in face.repository(kind.cls).actors()
        )
        loading: Loading = face.perform(Load(kind.name, MAIN, targets, kind.fingerprint, keys))
        found[f"{kind.name}: keys"] = loading.previous
        found[f"{kind.name}: actors"] = actors_of(face, kind.cls)
        for target, loaded in zip(targets, loading.actors, strict=True):
            of_actor = loaded.owner.actor_id or target.native_id
            events = events_of(face, kind.cls, of_actor)
            ids = tuple(sorted({event.command_id for event in events}))
            commands: list[CommandRecord] = face.perform(ReadCommands(kind.name, ids))
            found[f"{kind.name}: {of_actor}"] = (
                loaded.owner,
                loaded.snapshot,
                events,
                sorted(commands, key=lambda command: command.id),
            )
    return found


def ids_in(there: Mapping[str, Any]) -> set[str]:
    """Every id of the library's in what `everything` found."""
    found: set[str] = set()
    for name, held in there.items():
        match held:
            case dict():
                found |= set(held.values())
            case list():
                found |= {mapping_id for mapping_id, _ in held}
            case owner, snapshot, events, commands:
                found |= {name.rpartition(" ")[2], owner.actor_id, owner.mapping}
                found |= {snapshot.id} if snapshot else set()
                for event in events:
                    found |= {event.id, event.command_id, event.created_by_id}
                found |= {command.id for command in commands}
    return {each for each in found if each}


def later(id: str, seconds: int) -> str:
    """An id that many seconds after another one."""
    tick = int(id[:12] + id[13:16], 16) + seconds * 10_000_000
    digits = f"{tick:015x}"
    return f"{digits[:12]}6{digits[12:]}{id[16:]}"
