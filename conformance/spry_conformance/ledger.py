"""All that can be read of accounts, as rows: to be compared before and after.

Rows are told in full, byte for byte, each at the place where it was found.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from spry_conformance.by_hand import events_of, target
from spry_conformance.domain import Account
from spry_conformance.faces import Face
from spry_conformance.lab import Broken
from spry_conformance.steps import MAIN
from spry_sqla.adapters import NO_ID, Append, Load, Loading, ReadActors, ReadCommands

SHOWN = 3
"""How many differences an error text tells."""


@dataclass(frozen=True)
class Ledger:
    """What was read: place → row. `rows` stay as they are for ever, `views` may come to differ."""

    rows: Mapping[str, str]
    views: Mapping[str, str]


def read_ledger(storage: Face, owners: Iterable[str], tried: Iterable[Append] = ()) -> Ledger:
    """Read the accounts of owners, and whatever might be there of appends that were tried."""
    tried = tuple(tried)
    rows: dict[str, str] = {}
    views: dict[str, str] = {}
    kind = storage.domain.actor(Account)
    names = list(dict.fromkeys(owners))
    targets = [target(storage, owner) for owner in names]
    for mapping in _of(tried, "mappings"):
        names.append(f"{mapping.identifiers} of mapping {mapping.id}")
        targets.append(targets[0]._replace(digest=mapping.digest))
    keys = {each.idempotency_key for each in _of(tried, "commands")} - {None}

    loading: Loading = storage.perform(
        Load(kind.name, MAIN, tuple(targets), kind.fingerprint, tuple(sorted(keys)))
    )
    actors = {each.actor_id for each in _of(tried, "events")}
    for name, named, loaded in zip(names, targets, loading.actors, strict=True):
        if loaded.owner.actor_id is not None:
            rows[f"whom {name!r} reaches"] = repr(loaded.owner)
        if loaded.snapshot is not None:
            views[f"the newest usable snapshot of {name!r}"] = repr(loaded.snapshot)
        actors.add(loaded.owner.actor_id or named.native_id)
    for key, command_id in loading.previous.items():
        rows[f"the command with the key {key!r}"] = command_id

    commands = {each.id for each in _of(tried, "commands")}
    for actor_id in actors:
        for event in events_of(storage, actor_id):
            rows[f"event {event.sequence} at {event.origin} of {actor_id}"] = repr(event)
            commands.add(event.command_id)
    for command in storage.perform(ReadCommands(kind.name, tuple(sorted(commands)))):
        rows[f"the command {command.id}"] = repr(command)
    for number, row in enumerate(_actors(storage), 1):
        views[f"actor {number} of those in the storage"] = repr(row)
    return Ledger(rows, views)


def expect_kept(before: Ledger, after: Ledger, what: str) -> None:
    """Raises Broken where a row is not as it was; others may have come."""
    _expect_same(before.rows, {place: after.rows.get(place) for place in before.rows}, what)


def expect_unchanged(before: Ledger, after: Ledger, what: str) -> None:
    """Raises Broken where anything is not as it was."""
    _expect_same({**before.rows, **before.views}, {**after.rows, **after.views}, what)


def _expect_same(before: Mapping[str, str], after: Mapping[str, str | None], what: str) -> None:
    differing = [
        f"{place}: before {before.get(place) or 'nothing'}, after {after.get(place) or 'nothing'}"
        for place in {**before, **after}
        if before.get(place) != after.get(place)
    ]
    if differing:
        more = len(differing) - SHOWN
        told = differing[:SHOWN] + [f"and {more} more"] * (more > 0)
        raise Broken(f"{what}: " + "; ".join(told))


def _of(tried: Iterable[Append], part: str) -> list[Any]:
    return [record for append in tried for record in getattr(append, part) if record is not None]


def _actors(storage: Face) -> Iterable[tuple[str, str]]:
    name, position, until, more = storage.domain.actor(Account).name, NO_ID, None, True
    while more:
        page = storage.perform(ReadActors(name, position, until))
        yield from page.actors
        until, more = page.until, bool(page.actors)
        position = page.actors[-1][0] if more else position
