"""What autogenerate finds: actors whose tables or guards are missing, changed or renamed.

Alembic has compared the tables by then. What it found about ours is replaced: tables are made with
what belongs to them, and those of an actor that is gone from the code stay, since what they hold
cannot be made again.
"""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa
from alembic.operations import ops
from alembic.operations.ops import UpgradeOps
from alembic.util import PriorityDispatchResult

from spry_sqla.migrations.operations import (
    CreateActorGuards,
    CreateActorTables,
    CreateSpryGuards,
    CreateSpryTables,
    Operation,
    RenameActorTables,
    RestoreActorTables,
    RestoreSpryTables,
)
from spry_sqla.schema import Mark, guarded, guards_differ, made_on, shapes, table_name

if TYPE_CHECKING:  # Alembic is still being imported when it imports this
    from alembic.autogenerate.api import AutogenContext

_Path: TypeAlias = tuple[str | None, str]
_Place: TypeAlias = tuple[str | None, str]
"""Schema and prefix: what actors share tables in."""


def compare(
    context: "AutogenContext", upgrade_ops: UpgradeOps, schemas: set[str | None]
) -> PriorityDispatchResult:
    """Replace what Alembic found about our tables."""
    dialect = _connection(context).dialect
    if dialect.name not in ("postgresql", "sqlite"):
        return PriorityDispatchResult.CONTINUE
    ours = {_named(context, table): table for table in _wanted(context)}
    places = {path: _placed(context, table) for path, table in ours.items()}
    missing = {path for path, place in places.items() if not _has(context, place)}
    # Alembic takes tables in other schemas for missing where it was not told to look there, and
    # never looks where a schema_translate_map puts them.
    replaced = {path for path, place in places.items() if path != place} | {
        _path(context, found.schema, found.table_name)
        for found in upgrade_ops.ops
        if isinstance(found, ops.CreateTableOp)
    }
    upgrade_ops.ops = [
        found for found in upgrade_ops.ops if not _is_ours(context, found, ours.keys(), replaced)
    ]
    groups: dict[tuple[_Place, str | None], list[sa.Table]] = {}
    for table in ours.values():
        if made_on(table, dialect):
            mark = _mark(table)
            groups.setdefault(((table.schema, mark.prefix), mark.actor), []).append(table)
    upgrade_ops.ops[:0] = [
        found
        for (place, actor), tables in groups.items()
        for found in _differences(context, place, actor, tables, missing)
    ]
    return PriorityDispatchResult.CONTINUE


def _differences(
    context: "AutogenContext",
    place: _Place,
    actor: str | None,
    tables: list[sa.Table],
    missing: set[_Path],
) -> Iterator[Operation]:
    where: dict[str, Any] = {"schema": place[0], "prefix": place[1]}
    lacking = [_named(context, table) in missing for table in tables]
    if all(lacking):
        if actor is None:
            yield CreateSpryTables(**where)
        elif (old := _former(context, place, tables)) is not None:
            yield RenameActorTables(old, actor, **where)
        else:
            yield CreateActorTables(actor, **where)
    elif any(lacking):
        yield RestoreSpryTables(**where) if actor is None else RestoreActorTables(actor, **where)
    elif any(guards_differ(table, _connection(context)) for table in tables):
        yield CreateSpryGuards(**where) if actor is None else CreateActorGuards(actor, **where)


def _former(context: "AutogenContext", place: _Place, tables: list[sa.Table]) -> str | None:
    """A former name of the actor under which all of its tables are there."""
    schema, prefix = place
    registered = {table.name for table in context.sorted_tables if table.schema == schema}
    there, _ = _placed(context, tables[0])
    for alias in _mark(tables[0]).aliases:
        former = [table_name(prefix, alias, _mark(table).kind) for table in tables]
        if registered.isdisjoint(former) and all(_has(context, (there, name)) for name in former):
            return alias
    return None


def _is_ours(
    context: "AutogenContext", found: Any, known: Collection[_Path], replaced: set[_Path]
) -> bool:
    """Whether Alembic found something that is not its business."""
    if not isinstance(found, ops.CreateTableOp | ops.DropTableOp | ops.ModifyTableOps):
        return False
    path = _path(context, found.schema, found.table_name)
    if path in known:
        return path in replaced
    return not isinstance(found, ops.CreateTableOp) and (
        guarded(_connection(context), *path) or _is_shaped_as_ours(context, path)
    )


def _is_shaped_as_ours(context: "AutogenContext", path: _Path) -> bool:
    """Whether a table has the columns of one of ours, whose guards were dropped."""
    schema, name = path
    if not _has(context, path):
        return False
    columns = sa.inspect(_connection(context)).get_columns(name, schema=schema)
    return frozenset(column["name"] for column in columns) in shapes()


def _wanted(context: "AutogenContext") -> list[sa.Table]:
    return [
        table
        for table in context.sorted_tables
        if isinstance(table.info.get("spry"), Mark)
        and context.run_object_filters(table, table.name, "table", False, None)
    ]


def _mark(table: sa.Table) -> Mark:
    mark = table.info["spry"]
    assert isinstance(mark, Mark)
    return mark


def _has(context: "AutogenContext", path: _Path) -> bool:
    schema, name = path
    return bool(sa.inspect(_connection(context)).has_table(name, schema=schema))


def _connection(context: "AutogenContext") -> sa.Connection:
    assert context.connection is not None
    return context.connection


def _named(context: "AutogenContext", table: sa.Table) -> _Path:
    """Where a table is by its metadata, and to Alembic."""
    return _path(context, table.schema, table.name)


def _placed(context: "AutogenContext", table: sa.Table) -> _Path:
    """Where a table really is: a `schema_translate_map` may put it elsewhere."""
    return _path(context, _connection(context).schema_for_object(table), table.name)


def _path(context: "AutogenContext", schema: str | None, name: str) -> _Path:
    """Where a table is; None is the default schema, whether or not it is named."""
    default = _connection(context).dialect.default_schema_name
    return (None if schema == default else schema, name)
