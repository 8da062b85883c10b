"""The floor's statements on psycopg: one SELECT, one data-modifying CTE, both prepared, autocommit.

A single command goes in as plain parameters (`VALUES`), a batch as one JSON parameter per table
(`jsonb_to_recordset`): each is the faster of the two at its size.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec
import psycopg
import sqlalchemy as sa

import spry_sqla as spry
from tests.benchmarks.floor import ORIGIN, Found, Rows
from tests.benchmarks.game import State

_TABLES = ("commands", "events", "id_map", "snapshots")


class PostgresLink:
    taken = psycopg.errors.UniqueViolation

    def __init__(self, url: str, domain: spry.Domain, actor: type[State]) -> None:
        parts = sa.make_url(url)
        self._connection = psycopg.connect(
            host=str(parts.query["host"]),
            port=str(parts.query["port"]),
            user=parts.username,
            dbname=parts.database,
            autocommit=True,
            prepare_threshold=0,
        )
        self._cursor = self._connection.cursor()
        kind = domain.actor(actor)
        self._fingerprint = kind.fingerprint
        self._tables: list[sa.Table] = [getattr(kind.tables, name) for name in _TABLES]
        names = {name: table.name for name, table in zip(_TABLES, self._tables, strict=True)}
        self._one = _LOAD.format(
            wanted="(SELECT %s::bytea AS digest) AS wanted", origin=ORIGIN, **names
        )
        self._many = _LOAD.format(
            wanted="unnest(%s::bytea[]) AS wanted (digest)", origin=ORIGIN, **names
        )
        self._appends: dict[Any, str] = {}

    def close(self) -> None:
        self._connection.close()

    def load(self, digest: bytes) -> Found | None:
        rows = self._cursor.execute(self._one, (digest, self._fingerprint)).fetchall()
        return _found(rows) if rows else None

    def load_many(self, digests: Sequence[bytes]) -> dict[bytes, Found]:
        wanted = list(dict.fromkeys(digests))
        rows = self._cursor.execute(self._many, (wanted, self._fingerprint)).fetchall()
        by_digest = groupby(rows, key=itemgetter(0))
        return {digest: _found(list(of_digest)) for digest, of_digest in by_digest}

    def append(self, rows: Rows) -> None:
        if len(rows.commands) == 1:
            self._cursor.execute(self._values(rows), [value for part in rows for row in part
                                                      for value in row])  # fmt: skip
            return
        parameters = [
            msgspec.json.encode([_named(table, row) for row in part]).decode()
            for table, part in zip(self._tables, rows, strict=True)
        ]
        self._cursor.execute(self._recordsets(), parameters)

    def _values(self, rows: Rows) -> str:
        """One row in `commands`, and those that there are in the others."""
        shape = tuple(map(len, rows))
        text = self._appends.get(shape)
        if text is None:
            text = _chain(
                f"INSERT INTO {table.name} ({', '.join(_names(table))}) VALUES "
                + ", ".join([f"({', '.join(['%s'] * len(list(_names(table))))})"] * count)
                for table, count in zip(self._tables, shape, strict=True)
                if count
            )
            self._appends[shape] = text
        return text

    def _recordsets(self) -> str:
        text = self._appends.get("many")
        if text is None:
            text = _chain(
                f"INSERT INTO {table.name} ({', '.join(_names(table))}) "
                f"SELECT {', '.join(_received(column) for column in _columns(table))} "
                f"FROM jsonb_to_recordset(%s::jsonb) AS rows ({', '.join(_sent(table))})"
                for table in self._tables
            )
            self._appends["many"] = text
        return text


_LOAD = """
SELECT wanted.digest, owner.actor_id::text, snapshot.state::text, snapshot.version,
       event.type, event.content::text
FROM {wanted}
JOIN {id_map} AS owner ON owner.digest = wanted.digest
LEFT JOIN LATERAL (
    SELECT state, version FROM {snapshots}
    WHERE actor_id = owner.actor_id AND fingerprint = %s
    ORDER BY last_event DESC, id DESC LIMIT 1
) AS snapshot ON true
LEFT JOIN LATERAL (
    SELECT type, content FROM {events}
    WHERE actor_id = owner.actor_id AND origin = '{origin}'
    AND sequence > coalesce(snapshot.version, 0) ORDER BY sequence
) AS event ON true
"""


def _found(rows: list[tuple[Any, ...]]) -> Found:
    _, actor_id, state, version, type_, _ = rows[0]
    snapshot = None if state is None else (state, version)
    return Found(actor_id, snapshot, [row[4:] for row in rows] if type_ is not None else ())


def _chain(inserts: Iterable[str]) -> str:
    return ", ".join(
        ("WITH " if n == 0 else "") + f"part{n} AS ({insert})" for n, insert in enumerate(inserts)
    ) + " SELECT 1"  # fmt: skip


def _columns(table: sa.Table) -> Iterator[sa.Column[Any]]:
    return (column for column in table.columns if column.name != "transaction")


def _names(table: sa.Table) -> Iterator[str]:
    return (f'"{column.name}"' for column in _columns(table))


def _named(table: sa.Table, row: tuple[Any, ...]) -> dict[str, Any]:
    pairs = zip(_columns(table), row, strict=True)
    return {
        column.name: value.hex() if isinstance(value, bytes) else value for column, value in pairs
    }


def _sent(table: sa.Table) -> Iterator[str]:
    for column in _columns(table):
        json_or_bytes = column.name in {"content", "metadata", "seen", "identifiers", "state",
                                        "vector", "linked", "digest"}  # fmt: skip
        type_ = "text" if json_or_bytes else str(column.type.compile(_DIALECT))
        yield f'"{column.name}" {type_}'


def _received(column: sa.Column[Any]) -> str:
    if column.name == "digest":
        return "decode(digest, 'hex')"
    type_ = column.type.compile(_DIALECT)
    return f'"{column.name}"::{type_}'


_DIALECT = sa.create_engine("postgresql+psycopg://").dialect
