"""What autogenerate finds: actors whose tables or guards are missing, changed, renamed or older.

Alembic has compared the tables by then. What it found about ours is replaced: tables are made with
what belongs to them, and those of an actor that is gone from the code stay, since what they hold
cannot be made again.
"""

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa
from alembic.operations import ops
from alembic.operations.ops import UpgradeOps
from alembic.util import PriorityDispatchResult

from spry_sqla.errors import StorageFailure
from spry_sqla.migrations.operations import (
    CreateActorGuards,
    CreateActorTables,
    CreateSpryGuards,
    CreateSpryTables,
    Operation,
    RenameActorTables,
    RestoreActorTables,
    RestoreSpryTables,
    UpgradeSpryTables,
)
from spry_sqla.schema import (
    FORMAT,
    FORMAT_TABLE,
    LIMIT,
    Mark,
    check_format,
    guarded,
    guards_differ,
    has_rows,
    index_names,
    made_on,
    shapes,
    stored_format,
    table_name,
)

if TYPE_CHECKING:  # Alembic is still being imported when it imports this
    from alembic.autogenerate.api import AutogenContext

_Path: TypeAlias = tuple[str | None, str]
_Place: TypeAlias = tuple[str | None, str]
"""Schema and prefix: what actors share tables in."""
_Group: TypeAlias = dict[str | None, list[sa.Table]]
"""The tables of a place by the stored names of their actors; by None those that they share."""


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
    groups: dict[_Place, _Group] = {}
    for table in ours.values():
        if made_on(table, dialect):
            mark = _mark(table)
            group = groups.setdefault((table.schema, mark.prefix), {})
            group.setdefault(mark.actor, []).append(table)
    differences: list[Operation] = []
    for place, group in groups.items():
        upgrades = list(_upgrades(context, place, group, missing))
        if upgrades:  # what Alembic found is what they change
            replaced |= {_named(context, table) for tables in group.values() for table in tables}
        differences += upgrades
        # The shared tables first, with the functions that the others' guards call.
        for actor, tables in sorted(group.items(), key=lambda pair: pair[0] is not None):
            differences += _differences(
                context, place, actor, tables, missing, upgraded=bool(upgrades)
            )
    renamings = list(_renamings(differences))
    renamed = {_named(context, old): _named(context, new) for old, new in renamings}
    was = {_named(context, new): _placed(context, old) for old, new in renamings}
    for found in upgrade_ops.ops:
        if isinstance(found, ops.ModifyTableOps) and (path := _path_of(context, found)) in replaced:
            known = _indexes(context, was.get(path) or places.get(path, path))
            known |= {name for table in ours.values() for name in index_names(table)}
            found.ops = [each for each in found.ops if _is_an_index_of_the_host(each, known)]
        elif isinstance(found, ops.ModifyTableOps):
            found.ops = _without_keys_that_follow(context, found.ops, renamed)
    upgrade_ops.ops = [
        *differences,
        *(found for found in upgrade_ops.ops if not _is_ours(context, found, ours.keys())),
        *_left_indexes(context, renamings, ours),
    ]
    _let_scripts_import_our_types(context)
    return PriorityDispatchResult.CONTINUE


def ignore_names_of_keys(
    context: "AutogenContext", _upgrade_ops: UpgradeOps, _schemas: set[str | None]
) -> PriorityDispatchResult:
    """Let Alembic take a key of ours for the same, whatever its name, on SQLite.

    There a constraint of a table that was renamed keeps its name.
    """
    if _connection(context).dialect.name == "sqlite":
        # What env.py gives as include_object is in this list; Alembic has no other way to it.
        context._object_filters.append(partial(_is_no_key_of_another_name, context))
    return PriorityDispatchResult.CONTINUE


def _is_no_key_of_another_name(
    context: "AutogenContext", item: Any, _name: Any, kind: str, _reflected: bool, same: Any
) -> bool:
    if kind != "unique_constraint" or same is not None:
        return True
    path = _path(context, item.table.schema, item.table.name)
    ours = [
        sorted(constraint.columns.keys())
        for table in _wanted(context)
        if _named(context, table) == path
        for constraint in table.constraints
        if isinstance(constraint, sa.UniqueConstraint)
    ]
    there = context.inspector.get_unique_constraints(path[1], schema=path[0]) if ours else []
    columns = sorted(item.columns.keys())
    return columns not in ours or columns not in [sorted(key["column_names"]) for key in there]


def _let_scripts_import_our_types(context: "AutogenContext") -> None:
    """A column that a hand has changed is written with its type."""
    usual = context.opts.get("render_item")

    def render(kind: str, item: Any, rendering: "AutogenContext") -> Any:
        if kind == "type" and type(item).__module__.startswith("spry_sqla."):
            rendering.imports.add(f"import {type(item).__module__}")
        return usual(kind, item, rendering) if usual else False

    context.opts["render_item"] = render


def _indexes(context: "AutogenContext", path: _Path) -> set[str | None]:
    """The names of the indexes of a table that is there."""
    if not _has(context, path):
        return set()
    schema, name = path
    found = sa.inspect(_connection(context)).get_indexes(name, schema=schema)
    return {index["name"] for index in found}


def _is_an_index_of_the_host(found: Any, known: Collection[str | None]) -> bool:
    """Whether it makes an index that the application puts on a table of ours: an unknown one."""
    return isinstance(found, ops.CreateIndexOp) and found.index_name not in known


def _renamings(differences: list[Operation]) -> Iterator[tuple[sa.Table, sa.Table]]:
    """The tables that are to be renamed, each with what it becomes."""
    for renaming in differences:
        if isinstance(renaming, RenameActorTables):
            old, new = (renaming.tables(actor) for actor in renaming.actors)
            yield from zip(old, new, strict=True)


def _left_indexes(
    context: "AutogenContext",
    renamings: list[tuple[sa.Table, sa.Table]],
    ours: Mapping[_Path, sa.Table],
) -> Iterator[ops.ModifyTableOps]:
    """Drop the indexes that a host has no more on a table that is renamed, and that go with it.

    Where Alembic looks at all, which would find them the next time.
    """
    for old, new in renamings:
        place = _placed(context, old)
        looks = old.schema is None or context.opts.get("include_schemas")
        if place != _named(context, old) or not looks or not _has(context, place):
            continue
        known = {index.name for index in ours[_named(context, new)].indexes} | index_names(old)
        there = sa.Table(
            old.name,
            sa.MetaData(),
            schema=old.schema,
            autoload_with=_connection(context),
            resolve_fks=False,
        )
        # As it is once it is renamed, so that a downgrade makes there what was dropped there.
        moved = there.to_metadata(sa.MetaData(), name=new.name)
        dropped: list[ops.MigrateOperation] = [
            ops.DropIndexOp.from_index(index)
            for index in sorted(moved.indexes, key=lambda index: str(index.name))
            if index.name not in known
            and context.run_object_filters(index, index.name, "index", True, None)
        ]
        if dropped:
            yield ops.ModifyTableOps(new.name, dropped, schema=new.schema)


def _without_keys_that_follow(
    context: "AutogenContext", found: list[Any], renamed: Mapping[_Path, _Path]
) -> list[Any]:
    """What is to be done for a table of the host, whose foreign keys go with a table of ours.

    Alembic drops a key to the table that is there, and makes one to the table that is to be.
    """

    def key(found: Any) -> tuple[Any, ...] | None:
        made = found.reverse() if isinstance(found, ops.DropConstraintOp) else found
        if not isinstance(made, ops.CreateForeignKeyOp):
            return None
        to = _path(context, made.kw.get("referent_schema"), made.referent_table)
        if to not in renamed and to not in renamed.values():
            return None
        where = (tuple(made.local_cols), renamed.get(to, to), tuple(made.remote_cols))
        return (*where, *_rules(made))

    keys = [key(each) for each in found]
    return [each for each, of in zip(found, keys, strict=True) if not of or keys.count(of) == 1]


def _rules(key: ops.CreateForeignKeyOp) -> Iterator[str]:
    """What a foreign key does and when, as Alembic compares it: defaults are the same unsaid."""
    for rule in ("onupdate", "ondelete"):
        yield (key.kw.get(rule) or "no action").lower()
    deferred = (key.kw.get("initially") or "").lower() == "deferred"
    yield "deferred" if deferred else str(bool(key.kw.get("deferrable")))


def _upgrades(
    context: "AutogenContext", place: _Place, group: _Group, missing: set[_Path]
) -> Iterator[Operation]:
    """What brings the tables of a place to the format of this code; before all else is done."""
    for table in group.get(None, []):
        if _mark(table).kind != FORMAT_TABLE or _named(context, table) in missing:
            continue
        version = stored_format(table, _connection(context))
        if version is None or version == FORMAT:
            continue
        if version > FORMAT:
            check_format(table, version)
        actors = [
            old
            for actor, tables in group.items()
            if actor is not None and (old := _stored(context, place, actor, tables, missing))
        ]
        schema, prefix = place
        yield UpgradeSpryTables(*actors, from_format=version, schema=schema, prefix=prefix)


def _stored(
    context: "AutogenContext",
    place: _Place,
    actor: str,
    tables: list[sa.Table],
    missing: set[_Path],
) -> str | None:
    """The name by which an actor has its tables; None where they are still to be made."""
    if all(_named(context, table) in missing for table in tables):
        return _former(context, place, tables)
    return actor


def _differences(
    context: "AutogenContext",
    place: _Place,
    actor: str | None,
    tables: list[sa.Table],
    missing: set[_Path],
    *,
    upgraded: bool,
) -> Iterator[Operation]:
    """What a group of tables lacks; guards are made anew by an upgrade anyway."""
    where: dict[str, Any] = {"schema": place[0], "prefix": place[1]}
    lacking = [_named(context, table) in missing for table in tables]
    if all(lacking):
        if actor is None:
            yield CreateSpryTables(**where)
        elif (old := _former(context, place, tables)) is not None:
            yield from _renaming(context, place, old, actor, tables)
        else:
            yield CreateActorTables(actor, **where)
    elif any(lacking):
        yield RestoreSpryTables(**where) if actor is None else RestoreActorTables(actor, **where)
    elif actor is not None and (old := _left_behind(context, place, tables)) is not None:
        yield from _renaming(context, place, old, actor, tables)
    elif not upgraded and any(guards_differ(table, _connection(context)) for table in tables):
        yield CreateSpryGuards(**where) if actor is None else CreateActorGuards(actor, **where)


def _former(context: "AutogenContext", place: _Place, tables: list[sa.Table]) -> str | None:
    """A former name of the actor under which tables of it are there.

    Raises StorageFailure where several hold rows: a renaming cannot make one of two.
    """
    schema, _ = place
    registered = {table.name for table in context.sorted_tables if table.schema == schema}
    found = {
        alias: names
        for alias in _mark(tables[0]).aliases
        if registered.isdisjoint(names := _names(place, alias, tables))
        and any(_there(context, tables, names))
    }
    holding = [alias for alias, names in found.items() if _hold_rows(context, schema, names)]
    actor = _mark(tables[0]).actor
    if holding and any(has_rows(table, _connection(context)) for table in tables):
        holding.insert(0, str(actor))
    if len(holding) > 1:
        raise StorageFailure(
            f"the actor {actor!r} has rows in the tables of {holding[0]!r} and of {holding[1]!r}, "
            "which was a name of it, and a renaming cannot make one of two; where those are of "
            "another actor, take the alias out of the class"
        )
    return next(iter([*holding, *found]), None)


def _hold_rows(context: "AutogenContext", schema: str | None, names: list[str]) -> bool:
    tables = (sa.Table(name, sa.MetaData(), schema=schema) for name in names)
    return any(has_rows(table, _connection(context)) for table in tables)


def _left_behind(context: "AutogenContext", place: _Place, tables: list[sa.Table]) -> str | None:
    """A former name under which all is stored, where the tables of the new one are empty.

    So `create_all` leaves it, which makes what it does not find.
    """
    old = _former(context, place, tables)
    if old is None or any(has_rows(table, _connection(context)) for table in tables):
        return None
    return old


def _renaming(
    context: "AutogenContext", place: _Place, old: str, new: str, tables: list[sa.Table]
) -> Iterator[Operation]:
    where: dict[str, Any] = {"schema": place[0], "prefix": place[1]}
    if not all(_there(context, tables, _names(place, old, tables))):
        yield RestoreActorTables(old, **where)
    yield RenameActorTables(old, new, **where)


def _names(place: _Place, actor: str, tables: list[sa.Table]) -> list[str]:
    """What the tables are called where the actor has this name."""
    return [table_name(place[1], actor, _mark(table).kind) for table in tables]


def _there(context: "AutogenContext", tables: list[sa.Table], names: list[str]) -> Iterator[bool]:
    """Whether each of these tables is there, beside the others."""
    schema, _ = _placed(context, tables[0])
    return (_has(context, (schema, name)) for name in names)


def _is_ours(context: "AutogenContext", found: Any, known: Collection[_Path]) -> bool:
    """Whether Alembic found something that is not its business."""
    if not isinstance(found, ops.CreateTableOp | ops.DropTableOp | ops.ModifyTableOps):
        return False
    path = _path_of(context, found)
    if path in known:
        return not (isinstance(found, ops.ModifyTableOps) and found.ops)
    if any(_named(context, table) == path for table in context.sorted_tables):
        return False  # the host's
    return guarded(_connection(context), *path) or _is_shaped_as_ours(context, path)


def _is_shaped_as_ours(context: "AutogenContext", path: _Path) -> bool:
    """Whether a table has the columns and the name of one of ours, whose guards were dropped."""
    schema, name = path
    if not _has(context, path):
        return False
    columns = sa.inspect(_connection(context)).get_columns(name, schema=schema)
    there = {column["name"] for column in columns}
    # A long name is shortened, and then does not end with its kind; it has up to three bytes less
    # than it may where its last character would have been split.
    return any(
        shape <= there and (name.endswith(kind) or len(name.encode()) >= LIMIT - 3)
        for shape, kind in shapes().items()
    )


def _path_of(
    context: "AutogenContext", found: ops.CreateTableOp | ops.DropTableOp | ops.ModifyTableOps
) -> _Path:
    """The table that Alembic found something about."""
    return _path(context, found.schema, found.table_name)


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
