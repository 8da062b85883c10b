"""Rows by the million: valid ones, as the library would have written them, loaded in bulk.

`players` actors of `events` events each, one command per event, spread over time: the rows of an
actor lie far apart, as they do where many actors live at once. A snapshot after every tenth event
where the actor's type takes them.
"""

import sqlite3
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import count, islice
from typing import Any, NamedTuple

import psycopg

import spry_sqla as spry
from spry_sqla.domain import ActorKind
from spry_sqla.identity import actor_id, canonical, digest
from tests.benchmarks.game import State

_ORIGIN = "main"
_TICKS_TO_1970 = 0x01B21DD213814000
_DAY = 24 * 3600 * 10_000_000
_TAIL = "b0b0b0b0b0b0b0b0"
_PORTION = 20_000


class Row(NamedTuple):
    """A row of one of the actor's tables."""

    table: str
    values: tuple[Any, ...]


def name_of(player: int) -> str:
    return f"stock-{player}"


def rows(kind: ActorKind[Any], players: int, events: int) -> Iterator[Row]:
    """All rows, in the order in which they would have been written."""
    ticks = count(time.time_ns() // 100 + _TICKS_TO_1970 - _DAY)
    now = datetime.now(UTC).isoformat(" ", "microseconds")
    meta = kind.meta
    every = meta.snapshot_frequency if meta.snapshot_during_write else 0
    texts = [canonical({"name": name_of(player)}) for player in range(players)]
    ids = [actor_id(kind.name, text) for text in texts]
    for sequence in range(1, events + 1):
        before = sequence - 1
        seen = f'{{"{_ORIGIN}":{before}}}' if before else "{}"
        vector = f'{{"{_ORIGIN}":{sequence}}}'
        for player in range(players):
            name, actor = name_of(player), ids[player]
            command_id, event_id = _id(ticks), _id(ticks)
            if before:
                command, event = "Hit", "PlayerHit"
                content, fact = f'{{"name":"{name}","points":1}}', '{"points":1}'
            else:
                command, event = "CreatePlayer", "PlayerCreated"
                content = fact = f'{{"name":"{name}"}}'
            yield Row("commands", (command_id, command, 1, content, None, None, _ORIGIN, actor,
                                   before, seen, now, now))  # fmt: skip
            yield Row("events", (event_id, actor, _ORIGIN, sequence, None, event, 1, fact,
                                 command_id, command, kind.name, actor, before, now))  # fmt: skip
            if not before:
                text = texts[player]
                yield Row("id_map", (_id(ticks), digest(text), text, actor, _ORIGIN, command_id,
                                     now))  # fmt: skip
            if every and sequence % every == 0:
                state = f'{{"name":"{name}","hit_points":{1_000_000 - before}}}'
                yield Row("snapshots", (_id(ticks), actor, state, kind.fingerprint, vector, None,
                                        None, command_id, event_id, sequence, now))  # fmt: skip


def stock_sqlite(
    path: str, domain: spry.Domain, actor: type[State], players: int, events: int
) -> None:
    """In one transaction; its number is that of one row in `spry_transactions`."""
    kind = domain.actor(actor)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("BEGIN")
    transactions = domain.shared.transactions.name
    number = connection.execute(f"INSERT INTO {transactions} (since) VALUES ('')").lastrowid
    for portion in _portions(rows(kind, players, events)):
        for table, many in portion.items():
            if table == "events":
                many = [(*values, number) for values in many]  # noqa: PLW2901
            marks = ", ".join("?" * len(many[0]))
            name = getattr(kind.tables, table).name
            connection.executemany(f"INSERT INTO {name} VALUES ({marks})", many)
    connection.execute("COMMIT")
    connection.execute("ANALYZE")
    connection.close()


def stock_postgres(
    conninfo: str,
    domain: spry.Domain,
    actor: type[State],
    players: int,
    events: int,
    *,
    analyze: bool = True,
) -> None:
    """By COPY, then VACUUM ANALYZE, as autovacuum would have done in that time."""
    kind = domain.actor(actor)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for portion in _portions(rows(kind, players, events)):
            for table, many in portion.items():
                target = getattr(kind.tables, table)
                columns = [c.name for c in target.columns if c.name != "transaction"]
                names = ", ".join(f'"{name}"' for name in columns)
                with connection.cursor().copy(f"COPY {target.name} ({names}) FROM STDIN") as copy:
                    for values in many:
                        copy.write_row(values)
        if analyze:
            connection.execute("VACUUM ANALYZE")


def _portions(made: Iterable[Row]) -> Iterator[dict[str, list[tuple[Any, ...]]]]:
    made = iter(made)
    while portion := list(islice(made, _PORTION)):
        by_table: dict[str, list[tuple[Any, ...]]] = {}
        for row in portion:
            by_table.setdefault(row.table, []).append(row.values)
        yield by_table


def _id(ticks: Iterator[int]) -> str:
    tick = f"{next(ticks):015x}"
    return f"{tick[:12]}6{tick[12:]}{_TAIL}"
