"""Appends: all rows in one statement, under the condition that actors are where they were.

The rows go in as one JSON parameter per table, so that the text stays the same for any number of
rows (one cached plan); measured, it is the fastest way at every size.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from spry_sqla.operations import Append, Holds, Position
from spry_sqla.schema import ActorTables
from spry_sqla.schema.types import JsonText, UtcDateTime
from spry_sqla.sql.fused_postgresql.probes import (
    ONE,
    owner_of,
    recordset,
    targets_of,
    used_keys,
)
from spry_sqla.sql.statements import Statements, first_origin, json_text
from spry_sqla.stores import KeyTaken

_PARTS = ("commands", "events", "mappings", "links", "snapshots")


def append(cursor: Any, of_actor: Statements, operation: Append) -> None:
    """Write all of an append. Raises KeyTaken where an actor is not where it relies on."""
    rows = {part: records for part in _PARTS if (records := getattr(operation, part))}
    parts = tuple(rows)
    positions = operation.relies_on
    few, keys = min(len(positions), 2), operation.keys if positions else []
    statement = of_actor.special(
        ("append", parts, few, bool(keys)),
        lambda: appending(of_actor.tables, parts, positions=few, keys=bool(keys)),
    )
    values: dict[str, Any] = {part: json_text(records) for part, records in rows.items()}
    if positions:
        values.update(_sent_positions(positions, keys))
    cursor.execute(statement.text, statement.parameters(values))
    if positions and cursor.fetchone() is not None:
        raise KeyTaken


def holds(cursor: Any, of_actor: Statements, operation: Holds) -> bool:
    """Answer whether positions hold, by an append of nothing that relies on them."""
    few, keys = min(len(operation.positions), 2), operation.keys
    statement = of_actor.special(
        ("append", (), few, bool(keys)),
        lambda: appending(of_actor.tables, (), positions=few, keys=bool(keys)),
    )
    values = _sent_positions(operation.positions, keys)
    cursor.execute(statement.text, statement.parameters(values))
    return cursor.fetchone() is None


def _sent_positions(positions: Sequence[Position], keys: Sequence[str]) -> dict[str, Any]:
    sent: list[dict[str, Any]] = [
        {
            "n": n,
            "digest": each.digest,
            "native_id": each.native_id,
            "expected": each.actor_id,
            "head": each.head,
        }
        for n, each in enumerate(positions)
    ]
    values: dict[str, Any] = {"origin": positions[0].origin}
    values.update(sent[0] if len(sent) == 1 else {"targets": json_text(sent)})
    if keys:
        values["keys"] = json_text(keys)
    return values


def appending(
    tables: ActorTables, parts: tuple[str, ...], *, positions: int = 0, keys: bool = False
) -> sa.ClauseElement:
    """All rows of an append, in one statement with a data-modifying CTE for each table.

    It relies on no position, one, or several (2), and where it has `keys` on their being unused:
    where that is not so, nothing is written, and there is a row.
    """
    query: sa.Select[Any] = sa.select(ONE)
    moved: sa.CTE | None = None
    if positions:
        moved = _moved(tables, single=positions == 1, keys=keys)
        query = sa.select(ONE).select_from(moved).limit(ONE)
    for part in parts:
        table = tables.id_map if part == "mappings" else getattr(tables, part)
        columns = [column for column in table.columns if column.name != "transaction"]
        rows = recordset(part, [sa.column(c.name, _sent(c)) for c in columns])
        wanted = sa.select(*(_received(rows.c[column.name], column) for column in columns))
        if moved is not None:
            wanted = wanted.where(~sa.exists(sa.select(ONE).select_from(moved)))
        insert = sa.insert(table).from_select([column.name for column in columns], wanted)
        query = query.add_cte(insert.cte(f"new_{part}"))
    return query


def _moved(tables: ActorTables, *, single: bool, keys: bool) -> sa.CTE:
    """A row for each actor that is not where it is relied on, and for each key that is used.

    Three probes of indexes for an actor, in scalar subqueries: joined they take longer (measured).
    """
    target, digest = targets_of("expected", "head", single=single)
    origin = sa.bindparam("origin", type_=sa.Text())
    owner = owner_of(tables, target, digest)
    reached = owner.with_only_columns(owner.selected_columns.actor_id).scalar_subquery()
    # The ends of the stream by origin: where both are of this one, all is.
    newest = tables.events.alias("h")
    head = (
        sa.select(sa.case((newest.c.origin == origin, newest.c.id)))
        .where(newest.c.actor_id == target.c.expected)
        .order_by(newest.c.origin.desc(), newest.c.sequence.desc())
        .limit(ONE)
        .correlate(target)
        .scalar_subquery()
    )
    first = first_origin(tables, target.c.expected, target)
    holds = sa.and_(
        sa.func.coalesce(reached, target.c.native_id) == target.c.expected,
        head == target.c.head,
        first == origin,
    )
    moved = sa.select(ONE).select_from(target).where(holds.is_not(sa.true()))
    used = [sa.select(ONE).select_from(used_keys(tables))] if keys else []
    return sa.union_all(moved, *used).cte("moved")


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
