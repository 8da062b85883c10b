"""What PostgreSQL does its own way: one statement for a load, one for an append.

Both run in autocommit: a statement is a transaction, so an append is one round trip and one fsync.
Rows go in as one JSON parameter per table, so that the text stays the same for any number of rows
(one cached plan); measured, it is the fastest way at every size.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from spry_sqla.schema import ActorTables
from spry_sqla.schema.tables import JsonText, UtcDateTime
from spry_sqla.sql.faults import Fault
from spry_sqla.sql.statements import stored_event, usable_snapshots

NAME = "postgresql"

PARTS = ("commands", "events", "mappings", "links", "snapshots")


def hex_id(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """The text of a uuid without its hyphens."""
    return sa.func.replace(
        sa.cast(column, sa.Text()), sa.literal_column("'-'"), sa.literal_column("''")
    )


def utc(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """The time at UTC, whatever the session's zone."""
    return sa.func.to_char(
        sa.func.timezone(sa.literal_column("'UTC'"), column),
        sa.literal_column("'YYYY-MM-DD HH24:MI:SS.US\"+00:00\"'"),
    )


def each(parameter: str) -> sa.FromClause:
    """The rows of `jsonb_array_elements_text`."""
    texts = sa.cast(sa.bindparam(parameter, type_=sa.Text()), JSONB)
    values = sa.func.jsonb_array_elements_text(texts)
    return values.table_valued(sa.column("value", sa.Text())).render_derived(
        name=f"each_{parameter}"
    )


def at(vector: sa.ColumnElement[Any], origin: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """`->>`, guarded: the cast raises an error for what is no number."""
    raw = sa.cast(vector, sa.JSON())
    text = raw.op("->>", return_type=sa.Text())(origin)
    return sa.case(
        (text.op("~")(sa.literal_column("'^[0-9]{1,18}$'")), sa.cast(text, sa.BigInteger())),
        else_=sa.literal_column("0"),
    )


def generated(events: sa.Table) -> set[str]:
    """The transaction number is a column default."""
    return {"transaction"}


def fault_of(error: BaseException) -> Fault:
    """What a driver's error means. Source: postgresql.org/docs/current/errcodes-appendix.html."""
    state = _sqlstate(error)
    if state == "23505":
        return Fault.TAKEN
    if state in ("40001", "40P01"):
        return Fault.DEADLOCK
    if state == "55P03":
        return Fault.BUSY
    if state in ("42P01", "42883", "3F000"):
        return Fault.NO_TABLE
    if state == "42703":
        return Fault.NO_COLUMN
    if state.startswith(("08", "57P")) or state in ("53300", "28000", "28P01", "3D000"):
        return Fault.LOST
    return Fault.REFUSED


def describe(error: BaseException) -> str:
    """An error's name and state; its message may hold values."""
    state = _sqlstate(error)
    return type(error).__name__ + (f", SQLSTATE {state}" if state else "")


def _sqlstate(error: BaseException) -> str:
    # psycopg 3 and asyncpg call it sqlstate, psycopg2 pgcode.
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""


@contextmanager
def reading(connection: Any) -> Iterator[None]:
    """Autocommit, given back as it was found."""
    driver = connection.dbapi_connection
    if driver.autocommit:
        yield
        return
    driver.autocommit = True
    try:
        yield
    finally:
        if not _gone(driver):
            driver.autocommit = False


writing = reading


def _gone(driver: Any) -> bool:
    inner = getattr(driver, "_connection", driver)
    return bool(inner.closed)


def append(tables: ActorTables, parts: tuple[str, ...]) -> sa.ClauseElement:
    """All rows of an append, in one statement with a data-modifying CTE for each table."""
    query: sa.Select[Any] = sa.select(sa.literal_column("1"))
    for part in parts:
        table = tables.id_map if part == "mappings" else getattr(tables, part)
        columns = [column for column in table.columns if column.name != "transaction"]
        rows = _recordset(part, [sa.column(c.name, _sent(c)) for c in columns])
        insert = sa.insert(table).from_select(
            [column.name for column in columns],
            sa.select(*(_received(rows.c[column.name], column) for column in columns)),
        )
        query = query.add_cte(insert.cte(f"new_{part}"))
    return query


def _recordset(parameter: str, columns: list[Any]) -> sa.FromClause:
    rows = sa.func.jsonb_to_recordset(sa.cast(sa.bindparam(parameter, type_=sa.Text()), JSONB))
    return rows.table_valued(*columns).render_derived(name=f"each_{parameter}", with_types=True)


def _sent(column: sa.Column[Any]) -> sa.types.TypeEngine[Any]:
    """The type in which a column's value stands in a JSON record."""
    if isinstance(column.type, JsonText | sa.LargeBinary):
        return sa.Text()
    return column.type


def _received(value: sa.ColumnElement[Any], column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    if isinstance(column.type, JsonText):
        return sa.cast(value, sa.JSON())
    if isinstance(column.type, sa.LargeBinary):
        return sa.func.decode(value, sa.literal_column("'base64'"))
    if isinstance(column.type, UtcDateTime):
        return sa.type_coerce(value, column.type)
    return value


def load(
    tables: ActorTables, flavor: Any, *, snapshots: bool, bounded: bool, keys: bool
) -> sa.ClauseElement:
    """All that `Load` asks for, in rows (target, kind, …) of four kinds, in no order.

    MAPPING per target; KEY per idempotency key that was used (target -1); SNAPSHOT; EVENT, read
    as a range of index (actor_id, origin, sequence) for each origin.
    """
    mapping, event = tables.id_map.c, tables.events.c
    target = _recordset(
        "targets",
        [
            sa.column("n", sa.Integer()),
            sa.column("digest", sa.Text()),
            sa.column("native_id", sa.Uuid()),
        ],
    )
    digest = sa.func.decode(target.c.digest, sa.literal_column("'base64'"))
    owner = (
        sa.select(mapping.id, mapping.actor_id)
        .where(mapping.digest == digest)
        .order_by(mapping.actor_id != target.c.native_id, mapping.id)
        .limit(sa.literal_column("1"))
        .lateral("owner")
    )
    claim = tables.id_map.alias("claim")
    claimed = sa.exists().where(
        claim.c.digest == digest, claim.c.origin == sa.bindparam("origin", type_=sa.Text())
    )
    actor = (
        sa.select(
            target.c.n,
            owner.c.id.label("mapping"),
            owner.c.actor_id.label("owner"),
            sa.func.coalesce(owner.c.actor_id, target.c.native_id).label("actor_id"),
            sa.cast(claimed, sa.Integer()).label("claimed"),
        )
        .select_from(target.outerjoin(owner, sa.true()))
        .cte("actor")
    )

    ordered = sa.select(event.origin).order_by(event.origin).limit(sa.literal_column("1"))
    first = ordered.where(event.actor_id == actor.c.actor_id).scalar_subquery()
    origin = sa.select(actor.c.n, actor.c.actor_id, first.label("value")).cte(
        "origin", recursive=True
    )
    following = ordered.where(
        event.actor_id == origin.c.actor_id, event.origin > origin.c.value
    ).scalar_subquery()
    origin = origin.union_all(
        sa.select(origin.c.n, origin.c.actor_id, following).where(origin.c.value.is_not(None))
    )

    rows = [
        sa.select(
            *_row(
                actor.c.n, _MAPPING, hex_id(actor.c.mapping), hex_id(actor.c.owner), actor.c.claimed
            )
        )
    ]
    reached: Any = origin
    covered: sa.ColumnElement[Any] = sa.literal_column("0")
    if snapshots:
        of_actor = (
            sa.select(origin.c.value)
            .where(origin.c.n == actor.c.n, origin.c.value.is_not(None))
            .correlate(actor)
            .lateral("each_origin")
        )
        usable = usable_snapshots(
            tables, flavor, actor.c.actor_id, of_actor, bounded=bounded
        ).lateral("usable")
        snapshot = (
            sa.select(actor.c.n, *usable.c)
            .select_from(actor.join(usable, sa.true()))
            .cte("snapshot")
            .prefix_with("MATERIALIZED")
        )
        rows.append(
            sa.select(
                *_row(
                    snapshot.c.n,
                    _SNAPSHOT,
                    snapshot.c.id,
                    snapshot.c.last_event,
                    snapshot.c.version,
                    snapshot.c.vector,
                    content=snapshot.c.state,
                )
            )
        )
        reached = origin.outerjoin(snapshot, snapshot.c.n == origin.c.n)
        covered = at(snapshot.c.vector, origin.c.value)
    after = (
        sa.select(*stored_event(tables, flavor))
        .where(
            event.actor_id == origin.c.actor_id,
            event.origin == origin.c.value,
            event.sequence > covered,
        )
        .order_by(event.sequence)
        .limit(sa.bindparam("limit", type_=sa.Integer()))
        .lateral("event")
    )
    rows.append(
        sa.select(
            *_row(
                origin.c.n,
                _EVENT,
                after.c.id,
                after.c.origin,
                after.c.sequence,
                after.c.seen,
                after.c.type,
                after.c.type_version,
                after.c.content,
            )
        ).select_from(reached.join(after, sa.true()))
    )
    if keys:
        command = tables.commands.c
        key = each("keys")
        rows.append(
            sa.select(
                *_row(sa.literal_column("-1"), _KEY, hex_id(command.id), command.idempotency_key)
            ).select_from(tables.commands.join(key, command.idempotency_key == key.c.value))
        )
    return sa.union_all(*rows)


MAPPING, KEY, SNAPSHOT, EVENT = range(4)
_MAPPING: Any
_KEY: Any
_SNAPSHOT: Any
_EVENT: Any
_MAPPING, _KEY, _SNAPSHOT, _EVENT = (sa.literal_column(str(kind)) for kind in range(4))


def _row(
    n: Any,
    kind: Any,
    id: Any,
    origin: Any,
    sequence: Any = None,
    seen: Any = None,
    type: Any = None,
    type_version: Any = None,
    content: Any = None,
) -> list[sa.ColumnElement[Any]]:
    empty: dict[str, Any] = {
        "sequence": sa.BigInteger(),
        "seen": sa.Text(),
        "type": sa.Text(),
        "type_version": sa.Integer(),
        "content": sa.Text(),
    }
    given = (sequence, seen, type, type_version, content)
    rest = [
        (sa.cast(sa.null(), empty[name]) if value is None else value).label(name)
        for name, value in zip(empty, given, strict=True)
    ]
    return [n.label("n"), kind.label("kind"), id.label("id"), origin.label("origin"), *rest]
