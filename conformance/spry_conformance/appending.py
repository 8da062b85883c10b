"""Appending without the logic around it: rows as another writer, or a careless one, would give."""

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from spry_conformance.domain import Account, Deposit, Deposited
from spry_conformance.faces import Face
from spry_conformance.planted import mapping_record
from spry_conformance.steps import MAIN, Claim, Forge, Handle, HandleMany, Put
from spry_conformance.world import concerned
from spry_sqla.adapters import (
    NO_ID,
    Append,
    CommandRecord,
    EventRecord,
    Load,
    Loading,
    MappingRecord,
    ReadHistory,
    new_id,
    target_of,
    timestamp_of,
)


def deposit(owner: str) -> Handle:
    """One event, by the usual way."""
    return Handle(Deposit(owner, (1,)))


MOVES: tuple[tuple[Handle | Put | Claim, ...], ...] = (
    (deposit("Ann"), Put("Ann"), Put("Ann", key="k1")),
    (deposit("Bea"), Put("Bea", "east")),
    (deposit("Cal"), Put("Cal", "west")),
    (Put("Dan", "east"), deposit("Eva")),
    (Put("Flo", "west"), deposit("Gus")),
    (deposit("Hal"), Put("Hal", mapped="Ida"), deposit("Hal"), Claim("Ida")),
    (deposit("Jim"), Put("Kim", "east", key="k2"), deposit("Jim")),
    (deposit("Lea"), Put("Lea", mapped="Max"), Put("Lea", "west", mapped="Max")),
    (Put("Pat"), deposit("Sue"), Put("Sue", mapped="Pat")),
    (Put("Abe", mapped="Cid"), Put("Bab", "east", mapped="Cid"), Put("Abe", "west", mapped="Cid")),
)
"""Ways in which actors are moved, each of owners of its own: all of them can be in one history."""


def owners_of(step: Any) -> list[str]:
    """Under which names a step knows the accounts that it is about."""
    match step:
        case Put(owner, mapped=str(other)):
            return [owner, other]
        case Put() | Claim() | Forge():
            return [step.owner]
        case Handle() | HandleMany():
            return [str(identifiers["owner"]) for _, identifiers in concerned(step)]
    return []


def rows_of(storage: Face, step: Put, early: Iterator[str] | None = None) -> Append | None:
    """The rows of a step, on what is stored now; None where they would begin before sequence 1.

    `early` gives ids from before, which are used where the step asks for them, and where the
    origin has not written later ones of this actor: its ids go up with its sequences.
    """
    domain = storage.domain
    kind = domain.actor(Account)
    target = target_of(domain, Account, {"owner": step.owner})
    loading: Loading = storage.perform(Load(kind.name, step.origin, (target,), None))
    actor_id = loading.actors[0].owner.actor_id or target.native_id
    stored = storage.perform(ReadHistory(kind.name, actor_id, {})).events
    of_origin = [event for event in stored if event.origin == step.origin]
    newest = max((event.sequence for event in of_origin), default=0)
    last = max((event.id for event in of_origin), default=NO_ID)
    first = newest + step.ahead + 1
    if first < 1:
        return None

    command, command_id = Deposit(step.owner, (1,) * step.events), new_id()
    seen = f'{{"{MAIN}":{step.seen}}}' if step.seen and step.origin != MAIN else None
    events = []
    for sequence in range(first, first + step.events):
        event_id = (next(early, None) if early and step.early else None) or new_id()
        if event_id <= last:
            event_id = new_id()
        events.append(
            EventRecord(
                event_id,
                actor_id,
                step.origin,
                sequence,
                seen,
                *_stored(domain.event(Deposited), Deposited(step.owner, 1)),
                command_id,
                domain.command(Deposit).name,
                kind.name,
                actor_id,
                newest,
                timestamp_of(event_id),
            )
        )
    record = CommandRecord(
        command_id,
        *_stored(domain.command(Deposit), command),
        step.key,
        None,
        step.origin,
        actor_id,
        newest,
        f'{{"{step.origin}":{newest}}}' if newest else "{}",
        timestamp_of(command_id),
        timestamp_of(command_id),
    )
    return Append(kind.name, [record], events, _mappings(storage, step, actor_id, command_id))


def claim_of(storage: Face, owner: str) -> Append:
    """The mapping that arrives from another origin: a name is the account's whose own it is."""
    target = target_of(storage.domain, Account, {"owner": owner})
    mapping = mapping_record(target.digest, f'{{"owner":"{owner}"}}', target.native_id)
    name = storage.domain.actor(Account).name
    # Of an origin that maps nothing else: one origin gives a name to one actor only.
    return Append(name, mappings=[replace(mapping, origin="cape")])


def _mappings(storage: Face, step: Put, actor_id: str, command_id: str) -> list[MappingRecord]:
    if step.mapped is None:
        return []
    names = {"owner": step.mapped}
    target = target_of(storage.domain, Account, names)
    text = f'{{"owner":"{step.mapped}"}}'
    mapping_id = new_id()
    return [
        MappingRecord(
            mapping_id,
            target.digest,
            text,
            actor_id,
            step.origin,
            command_id,
            timestamp_of(mapping_id),
        )
    ]


def _stored(kind: Any, value: Any) -> tuple[str, int, str]:
    return kind.name, kind.version, kind.codec.encode(value)
