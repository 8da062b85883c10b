"""What the tests of this room share: actors' tables, and rows for them."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from spry_sqla.schema import (
    ActorTables,
    SharedTables,
    UtcDateTime,
    actor_tables,
    shared_tables,
)


@dataclass(frozen=True)
class Room:
    metadata: sa.MetaData
    shared: SharedTables
    actors: Sequence[ActorTables]

    @property
    def player(self) -> ActorTables:
        return self.actors[0]


def room(
    *names: str,
    schema: str | None = None,
    prefix: str = "",
    metadata: sa.MetaData | None = None,
) -> Room:
    """The tables of some actors, by default of one, `Player`."""
    metadata = sa.MetaData() if metadata is None else metadata
    shared = shared_tables(metadata, schema=schema, prefix=prefix)
    actors = [
        actor_tables(metadata, name, schema=schema, prefix=prefix, shared=shared)
        for name in names or ("Player",)
    ]
    return Room(metadata, shared, actors)


def row(table: sa.Table, **values: object) -> dict[str, Any]:
    """A row of a table, with any values where none are given; no transaction number."""
    made = {column.name: _any(column) for column in table.columns if column.name != "transaction"}
    return made | values


def _any(column: sa.Column[Any]) -> object:
    match column.type:
        case sa.Uuid():
            return uuid.uuid4()
        case sa.BigInteger() | sa.Integer():
            return 1
        case sa.Boolean():
            return True
        case sa.LargeBinary():
            return uuid.uuid4().bytes * 2
        case sa.Text():
            return column.name
        case UtcDateTime():
            return datetime(2026, 1, 31, 23, 59, 59, 1, tzinfo=UTC)
        case _:
            return "{}"


def store(connection: sa.Connection, table: sa.Table, **values: object) -> dict[str, Any]:
    """Insert a row, with a transaction number where the database gives none; returns the row."""
    made = row(table, **values)
    if "transaction" in table.columns and connection.dialect.name == "sqlite":
        made["transaction"] = 1
    connection.execute(sa.insert(table), made)
    return made
