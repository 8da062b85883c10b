"""What a table needs beside its columns: append-only guards, functions, first rows.

`create_all` makes them through events, under a lock, so that any number of processes may run it
at once. Where no events run (Alembic, printed DDL) `statements_before`, `statements_after` and
`statements_for` give the same texts: plain SQL for `op.execute(DDL(…))` or a file.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from spry_sqla.errors import StorageFailure
from spry_sqla.schema import on_postgresql, on_sqlite
from spry_sqla.schema.placing import (
    EPOCHS_TABLE,
    FORMAT,
    FORMAT_TABLE,
    Bind,
    Dialect,
    On,
    mark_of,
    placed,
    run,
    sorted_indexes,
)

_DIALECTS = {"postgresql": on_postgresql.DIALECT, "sqlite": on_sqlite.DIALECT}

_FIRST_ROWS = {
    FORMAT_TABLE: f'INSERT INTO {{table}} ("version") VALUES ({FORMAT}) ON CONFLICT DO NOTHING',
    EPOCHS_TABLE: 'INSERT INTO {table} ("epoch", "offset") VALUES (0, 0) ON CONFLICT DO NOTHING',
}


def made_on(table: sa.Table, dialect: sa.Dialect) -> bool:
    """Whether the table belongs into a database of this kind at all."""
    return mark_of(table).kind not in _dialect(dialect).without


def statements_before(schema: str | None, dialect: sa.Dialect) -> list[str]:
    """What must be run before tables of ours are made in the schema."""
    return _dialect(dialect).before(schema)


def statements_after(table: sa.Table, dialect: sa.Dialect) -> list[str]:
    """What must be run after one of our tables and its indexes were made; safe to run again.

    Nothing for a table that is not made on this dialect.
    """
    return after(On(table, table.schema), dialect)


def statements_for(table: sa.Table, dialect: sa.Dialect) -> list[str]:
    """Everything that makes one of our tables, in its order; safe to run again."""
    return _all(On(table, table.schema), dialect, sorted_indexes(table))


def guard(table: sa.Table, bind: Bind) -> None:
    """Make the guards of a table anew, with the functions, defaults and rows that come with it."""
    on = placed(table, bind)
    run(_unguarded(on, bind.dialect), bind)
    run(after(on, bind.dialect), bind)
    if made_on(table, bind.dialect):
        run(_dialect(bind.dialect).defaults(on), bind)


def unguard(table: sa.Table, bind: Bind) -> None:
    """Drop the guards of a table, so that its rows can be changed."""
    run(_unguarded(placed(table, bind), bind.dialect), bind)


def whole(bind: Bind) -> AbstractContextManager[object]:
    """Let all that is run within be done, or nothing of it, where SQLite leaves that to us."""
    return _dialect(bind.dialect).whole(bind)


def install(table: sa.Table) -> None:
    """Let `create_all`, `drop_all` and `Table.create` do what the table needs."""
    event.listen(table, "before_create", _before_create)
    event.listen(table, "after_create", _after_create)
    event.listen(table, "before_drop", _before_drop)
    event.listen(table, "after_drop", _after_drop)


def in_use(table: sa.Table, bind: Bind) -> bool:
    """Whether the table is shared, and an actor's table needs it and what belongs to it.

    The other tables of a `drop_all` are gone by then: they depend on the shared ones.
    """
    on = placed(table, bind)
    if on.mark.actor is not None or isinstance(bind, MockConnection):
        return False
    return bool(bind.scalar(_dialect(bind.dialect).users(on)))


def _dialect(dialect: sa.Dialect) -> Dialect:
    found = _DIALECTS.get(dialect.name)
    if found is None:
        known = " and ".join(sorted(_DIALECTS))
        raise StorageFailure(f"there are tables for {known}, and none for {dialect.name}")
    return found


def after(on: On, dialect: sa.Dialect) -> list[str]:
    """What must be run after a table of ours was made."""
    if not made_on(on.table, dialect):
        return []
    rows = [_FIRST_ROWS[on.mark.kind].format(table=on.sql)] if on.mark.kind in _FIRST_ROWS else []
    return rows + _dialect(dialect).after(on)


def _unguarded(on: On, dialect: sa.Dialect) -> list[str]:
    return _dialect(dialect).unguarded(on) if made_on(on.table, dialect) else []


def _all(on: On, dialect: sa.Dialect, indexes: Iterable[sa.Index]) -> list[str]:
    if not made_on(on.table, dialect):
        return []
    made: list[ExecutableDDLElement] = [CreateTable(on.table, if_not_exists=True)]
    made += [CreateIndex(index, if_not_exists=True) for index in indexes]
    return [
        *statements_before(on.schema, dialect),
        *(_compiled(ddl, on, dialect) for ddl in made),
        *after(on, dialect),
    ]


def _compiled(ddl: ExecutableDDLElement, on: On, dialect: sa.Dialect) -> str:
    # With this style of parameters a percent sign in a name stays one.
    plain = cast("type[DefaultDialect]", type(dialect))(paramstyle="named")
    if on.schema == on.table.schema:
        return str(ddl.compile(dialect=plain)).strip()
    moved = {on.table.schema: on.schema}
    compiled = ddl.compile(dialect=plain, schema_translate_map=moved, render_schema_translate=True)
    return str(compiled).strip()


# Events -----------------------------------------------------------------------------------------


def _before_create(table: sa.Table, bind: Bind, **_: Any) -> None:
    on = placed(table, bind)
    # SQLAlchemy makes those of the host afterwards, and would find them there.
    ours = [index for index in sorted_indexes(table) if "spry" in index.info]
    _dialect(bind.dialect).begin(on, bind, lambda: _all(on, bind.dialect, ours))


def _after_create(table: sa.Table, bind: Bind, **_: Any) -> None:
    on = placed(table, bind)
    _dialect(bind.dialect).finish(on, bind, lambda: after(on, bind.dialect))


def _before_drop(table: sa.Table, bind: Bind, **_: Any) -> None:
    if not in_use(table, bind):
        run(_dialect(bind.dialect).before_drop(placed(table, bind)), bind)


def _after_drop(table: sa.Table, bind: Bind, **_: Any) -> None:
    if not in_use(table, bind):
        run(_dialect(bind.dialect).after_drop(placed(table, bind)), bind)
