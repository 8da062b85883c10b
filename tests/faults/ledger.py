"""What is stored, read by plain SQL in one transaction, and whether it is whole."""

import json
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tests.faults.domain import domain

TABLES = ("counter_commands", "counter_events", "counter_id_map", "counter_snapshots")


@dataclass(frozen=True)
class Command:
    type: str
    content: Mapping[str, Any]
    key: str | None

    @property
    def size(self) -> int:
        """How many events it makes."""
        parts = self.content["parts"] if self.type == "Add" else 1
        return int(parts)


@dataclass(frozen=True)
class Ledger:
    """The rows of the counters' tables that say what happened."""

    commands: Mapping[str, Command]
    events: list[tuple[str, str, int, str]]
    """(id, actor, sequence, command), in the order of ids."""
    mappings: list[tuple[str, str]]
    """(actor, command)."""
    snapshots: list[tuple[str, str, int]]
    """(actor, last event, version)."""

    @property
    def notes(self) -> Tally[str]:
        """How many commands there are of each note."""
        return Tally(str(command.content.get("note", "")) for command in self.commands.values())

    def check(self) -> "Ledger":
        """Each stream is 1..n; each command has all of its events, in a row, and each its command;
        each actor has a mapping; each snapshot lies on an event of its stream."""
        streams: dict[str, list[str]] = defaultdict(list)
        sizes: dict[str, int] = defaultdict(int)
        for event, actor, sequence, command in self.events:
            stream = streams[actor]
            assert sequence == len(stream) + 1, "a hole, a repetition, or another order"
            assert not sizes[command] or stream[-1] in self._of(command), "commands interleave"
            stream.append(event)
            sizes[command] += 1
        assert sizes == {key: command.size for key, command in self.commands.items()}
        assert {actor for actor, _ in self.mappings} == set(streams)
        assert {command for _, command in self.mappings} <= set(self.commands)
        for actor, last_event, version in self.snapshots:
            assert streams[actor][version - 1] == last_event
        return self

    def _of(self, command: str) -> set[str]:
        return {event for event, _, _, of_command in self.events if of_command == command}


def read_ledger(engine: sa.Engine) -> Ledger:
    """All of it, as one transaction sees it."""
    postgresql = engine.dialect.name == "postgresql"
    with engine.connect() as connection:
        begin = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ" if postgresql else "BEGIN"
        connection.exec_driver_sql(begin)
        tables = domain.metadata.tables
        commands, events, maps, snapshots = (tables[name].c for name in TABLES)
        read = Ledger(
            {
                str(command): Command(kind, json.loads(content), key)
                for command, kind, content, key in connection.execute(
                    sa.select(
                        commands.id, commands.type, commands.content, commands.idempotency_key
                    )
                )
            },
            [
                (str(event), str(actor), sequence, str(command))
                for event, actor, sequence, command in connection.execute(
                    sa.select(
                        events.id, events.actor_id, events.sequence, events.command_id
                    ).order_by(events.id)
                )
            ],
            [
                (str(actor), str(command))
                for actor, command in connection.execute(sa.select(maps.actor_id, maps.command_id))
            ],
            [
                (str(actor), str(event), version)
                for actor, event, version in connection.execute(
                    sa.select(snapshots.actor_id, snapshots.last_event, snapshots.version)
                )
            ],
        )
        connection.rollback()
    return read
