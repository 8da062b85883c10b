"""What a table needs beside its columns: append-only guards, functions, first rows.

`create_all` makes them through events, under a lock, so that any number of processes may run it
at once. Where no events run (Alembic, printed DDL) `statements_before`, `statements_after` and
`statements_for` give the same texts: plain SQL for `op.execute(DDL(…))` or a file.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.mock import MockConnection
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from spry_sqla.errors import StorageFailure
from spry_sqla.schema import names
from spry_sqla.schema.names import Mark

FORMAT = 1
"""The format of the tables that this version of the library makes: the row of `spry_format`."""

FORMAT_TABLE = "spry_format"
EPOCHS_TABLE = "spry_epochs"
TRANSACTIONS_TABLE = "spry_transactions"

TRANSACTION_FUNCTION = "spry_transaction"
"""PostgreSQL: gives the number of the transaction at work."""

REFUSE_FUNCTION = "spry_refuse"
"""PostgreSQL: what the guards' triggers call."""

REPLACE_REFUSED = "stored_rows_are_never_replaced"
"""SQLite: the constraint that an `INSERT OR REPLACE` runs into; its error shows this name."""

REFUSED = "55000"
"""PostgreSQL: the SQLSTATE of a refusal, `object_not_in_prerequisite_state`, as for a view."""

_LOCK = int.from_bytes(b"sprysqla")
"""PostgreSQL: the advisory lock under which the schema is made."""

_FIRST_ROWS = {
    FORMAT_TABLE: f'INSERT INTO {{table}} ("version") VALUES ({FORMAT}) ON CONFLICT DO NOTHING',
    EPOCHS_TABLE: 'INSERT INTO {table} ("epoch", "offset") VALUES (0, 0) ON CONFLICT DO NOTHING',
}


# For every dialect ------------------------------------------------------------------------------


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
    return _all(On(table, table.schema), dialect)


def guard(table: sa.Table, bind: "_Bind") -> None:
    """Make the guards of a table anew, with the functions, defaults and rows that come with it."""
    on = placed(table, bind)
    run(_unguarded(on, bind.dialect), bind)
    run(after(on, bind.dialect), bind)
    if made_on(table, bind.dialect):
        run(_dialect(bind.dialect).defaults(on), bind)


def unguard(table: sa.Table, bind: "_Bind") -> None:
    """Drop the guards of a table, so that its rows can be changed."""
    run(_unguarded(placed(table, bind), bind.dialect), bind)


@contextmanager
def whole(bind: "_Bind") -> Iterator[None]:
    """Let SQLite do all that is run within, or nothing of it, in whatever transaction there is.

    Left to the driver, each statement there commits by itself: a process that is killed in between
    would leave a table without guards, which the next `create_all` takes for made.
    """
    begun = bind.dialect.name == "sqlite" and _sqlite_begun(bind)
    try:
        yield
    except BaseException:
        if begun:
            run(["ROLLBACK"], bind)
        raise
    if begun:
        run(["COMMIT"], bind)


def install(table: sa.Table) -> None:
    """Let `create_all`, `drop_all` and `Table.create` do what the table needs."""
    event.listen(table, "before_create", _before_create)
    event.listen(table, "after_create", _after_create)
    event.listen(table, "before_drop", _before_drop)
    event.listen(table, "after_drop", _after_drop)


def in_use(table: sa.Table, bind: "_Bind") -> bool:
    """Whether the table is shared, and an actor's table needs it and what belongs to it.

    The other tables of a `drop_all` are gone by then: they depend on the shared ones.
    """
    on = placed(table, bind)
    if on.mark.actor is not None or isinstance(bind, MockConnection):
        return False
    return bool(bind.scalar(_dialect(bind.dialect).users(on)))


_Bind: TypeAlias = sa.Connection | MockConnection
"""What `create_all` runs on; a MockConnection (`create_mock_engine`) only shows the texts."""


@dataclass(frozen=True, slots=True)
class On:
    """A table of ours in the schema where it really is: a translation may put it elsewhere."""

    table: sa.Table
    schema: str | None

    @property
    def mark(self) -> Mark:
        return mark_of(self.table)

    def path(self, name: str) -> str:
        """The SQL of the name of something in the table's schema."""
        return path_of(self.schema, name)

    def main_path(self, name: str) -> str:
        """As `path`, on SQLite: without a schema it would look into attached databases, too."""
        return path_of(self.schema or "main", name)

    def shared(self, kind: str) -> str:
        """The SQL of the name of a table or function that the table shares with others."""
        return self.path(names.shared_name(self.mark.prefix, kind))

    @property
    def sql(self) -> str:
        return self.path(self.table.name)


@dataclass(frozen=True, slots=True)
class _Dialect:
    """What differs between databases."""

    without: frozenset[str]
    before: Callable[[str | None], list[str]]
    after: Callable[[On], list[str]]
    unguarded: Callable[[On], list[str]]
    defaults: Callable[[On], list[str]]
    """Sets the defaults that use functions of ours: these are lost where a hand drops those."""
    before_drop: Callable[[On], list[str]]
    after_drop: Callable[[On], list[str]]
    users: Callable[[On], sa.TextClause]
    """Counts the guards of tables that are not shared themselves."""
    begin: Callable[[On, _Bind], None]
    """Makes what follows safe beside other processes that do the same."""
    finish: Callable[[On, _Bind], None]


def _dialect(dialect: sa.Dialect) -> _Dialect:
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


def _all(on: On, dialect: sa.Dialect) -> list[str]:
    if not made_on(on.table, dialect):
        return []
    made: list[ExecutableDDLElement] = [CreateTable(on.table, if_not_exists=True)]
    made += [CreateIndex(index, if_not_exists=True) for index in sorted_indexes(on.table)]
    return [
        *statements_before(on.schema, dialect),
        *(_compiled(ddl, on, dialect) for ddl in made),
        *after(on, dialect),
    ]


def sorted_indexes(table: sa.Table) -> list[sa.Index]:
    return sorted(table.indexes, key=lambda index: str(index.name))


def _compiled(ddl: ExecutableDDLElement, on: On, dialect: sa.Dialect) -> str:
    # With this style of parameters a percent sign in a name stays one.
    plain = cast("type[DefaultDialect]", type(dialect))(paramstyle="named")
    if on.schema == on.table.schema:
        return str(ddl.compile(dialect=plain)).strip()
    moved = {on.table.schema: on.schema}
    compiled = ddl.compile(dialect=plain, schema_translate_map=moved, render_schema_translate=True)
    return str(compiled).strip()


def mark_of(table: sa.Table) -> Mark:
    """The mark of one of our tables."""
    mark = table.info["spry"]
    assert isinstance(mark, Mark)
    return mark


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def path_of(schema: str | None, name: str) -> str:
    """The SQL of a name in a schema."""
    return _quoted(name) if schema is None else f"{_quoted(schema)}.{_quoted(name)}"


# Events -----------------------------------------------------------------------------------------


def _before_create(table: sa.Table, bind: _Bind, **_: Any) -> None:
    _dialect(bind.dialect).begin(placed(table, bind), bind)


def _after_create(table: sa.Table, bind: _Bind, **_: Any) -> None:
    _dialect(bind.dialect).finish(placed(table, bind), bind)


def _before_drop(table: sa.Table, bind: _Bind, **_: Any) -> None:
    if not in_use(table, bind):
        run(_dialect(bind.dialect).before_drop(placed(table, bind)), bind)


def _after_drop(table: sa.Table, bind: _Bind, **_: Any) -> None:
    if not in_use(table, bind):
        run(_dialect(bind.dialect).after_drop(placed(table, bind)), bind)


def placed(table: sa.Table, bind: _Bind) -> On:
    """The table where the bind's `schema_translate_map` puts it."""
    return On(table, bind.schema_for_object(table))


def run(statements: Iterable[str], bind: _Bind) -> None:
    for statement in statements:
        # DDL formats its text once with %, and doubles what is left where the driver asks for it.
        bind.execute(sa.DDL(statement.replace("%", "%%")))  # type: ignore[no-untyped-call]


def _nothing(_on: On) -> list[str]:
    return []


def _counted(on: On, found: str, *, needed: str) -> sa.TextClause:
    kinds = (FORMAT_TABLE, EPOCHS_TABLE, TRANSACTIONS_TABLE)
    shared = [names.shared_name(on.mark.prefix, kind) for kind in kinds]
    return sa.text(f"SELECT count(*) FROM {found}").bindparams(
        sa.bindparam("needed", needed), sa.bindparam("shared", shared, expanding=True)
    )


# PostgreSQL -------------------------------------------------------------------------------------


def _postgresql_before(schema: str | None) -> list[str]:
    if schema is None:
        return []
    # CREATE SCHEMA IF NOT EXISTS asks for the right to make schemas even where there is one.
    create = literal(f"CREATE SCHEMA {_quoted(schema)}")
    return [
        block(
            f"IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = {literal(schema)}) "
            f"THEN EXECUTE {create}; END IF"
        )
    ]


def _postgresql_after(on: On) -> list[str]:
    functions = {FORMAT_TABLE: _refuse_function, EPOCHS_TABLE: _transaction_function}
    function = functions.get(on.mark.kind, _nothing)
    return [*function(on), *_postgresql_guards(on)]


def _refuse_function(on: On) -> list[str]:
    return [
        (
            f"CREATE OR REPLACE FUNCTION {on.shared(REFUSE_FUNCTION)}() RETURNS trigger "
            f"LANGUAGE plpgsql AS $$ BEGIN "
            f"RAISE EXCEPTION 'table %.% is append-only: % is refused', "
            f"TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP USING ERRCODE = '{REFUSED}', "
            f"HINT = 'What is stored has happened: append another event instead.'; END $$"
        )
    ]


def _transaction_function(on: On) -> list[str]:
    # A body in this form is parsed when the function is made, and then knows its table by number:
    # an apply worker of logical replication runs it with an empty search_path.
    return [
        (
            f"CREATE OR REPLACE FUNCTION {on.shared(TRANSACTION_FUNCTION)}() RETURNS bigint "
            f"LANGUAGE sql STABLE RETURN pg_current_xact_id()::text::bigint + "
            f'(SELECT "offset" FROM {on.sql} ORDER BY "epoch" DESC LIMIT 1)'
        )
    ]


POSTGRESQL_GUARDS = {
    "spry_refuse": ("UPDATE OR DELETE OR TRUNCATE", "STATEMENT"),
    "spry_refuse_row": ("UPDATE OR DELETE", "ROW"),
}
"""PostgreSQL: the triggers of a table, each with the actions that it refuses, and its level.

The one for each statement also stops TRUNCATE, and statements that touch no row; an apply worker of
logical replication fires only triggers for each row.
"""


def _postgresql_guards(on: On) -> list[str]:
    made = []
    for name, (actions, level) in POSTGRESQL_GUARDS.items():
        made += [
            (
                f"CREATE OR REPLACE TRIGGER {name} BEFORE {actions} ON {on.sql} "
                f"FOR EACH {level} EXECUTE FUNCTION {on.shared(REFUSE_FUNCTION)}()"
            ),
            # Also in the role of a replica.
            f"ALTER TABLE {on.sql} ENABLE ALWAYS TRIGGER {name}",
        ]
    return made


def _postgresql_unguarded(on: On) -> list[str]:
    return [f"DROP TRIGGER IF EXISTS {name} ON {on.sql}" for name in POSTGRESQL_GUARDS]


def _postgresql_defaults(on: On) -> list[str]:
    if on.mark.kind != "events":
        return []
    function = on.shared(TRANSACTION_FUNCTION)
    return [f'ALTER TABLE {on.sql} ALTER COLUMN "transaction" SET DEFAULT {function}()']


def _postgresql_before_drop(on: On) -> list[str]:
    if on.mark.kind != EPOCHS_TABLE:
        return []
    return [f"DROP FUNCTION IF EXISTS {on.shared(TRANSACTION_FUNCTION)}()"]


def _postgresql_after_drop(on: On) -> list[str]:
    if on.mark.kind != FORMAT_TABLE:
        return []
    return [f"DROP FUNCTION IF EXISTS {on.shared(REFUSE_FUNCTION)}()"]


def _postgresql_users(on: On) -> sa.TextClause:
    # A trigger knows its function by number: it is the same for tables in other schemas.
    return _counted(
        on,
        "pg_catalog.pg_trigger JOIN pg_catalog.pg_class ON pg_class.oid = tgrelid "
        "WHERE tgfoid = to_regproc(:needed) AND relname NOT IN :shared",
        needed=on.shared(REFUSE_FUNCTION),
    )


def _postgresql_begin(on: On, bind: _Bind) -> None:
    # CREATE … IF NOT EXISTS and CREATE OR REPLACE fail in PostgreSQL where two run at once.
    if _locked(bind):
        run(statements_before(on.schema, bind.dialect), bind)
    else:
        # In autocommit the lock is gone with its statement, so all goes into one.
        parts = [_LOCKING, *(f"EXECUTE {literal(part)}" for part in _all(on, bind.dialect))]
        run([block("; ".join(parts))], bind)


def _postgresql_finish(on: On, bind: _Bind) -> None:
    if _held(bind):
        run(after(on, bind.dialect), bind)


_LOCKING = f"PERFORM pg_advisory_xact_lock({_LOCK})"

_HELD = sa.text(
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 "
    f"AND classid = {_LOCK >> 32} AND objid = {_LOCK & 0xFFFFFFFF} AND pid = pg_backend_pid())"
)


def _locked(bind: _Bind) -> bool:
    """Take the lock until the transaction ends; False if that was the end of the statement."""
    if isinstance(bind, MockConnection) or not _held(bind):
        run([block(_LOCKING)], bind)
    return _held(bind)


def _held(bind: _Bind) -> bool:
    return isinstance(bind, MockConnection) or bool(bind.scalar(_HELD))


def block(body: str, *, declare: str = "") -> str:
    """The SQL of a block of PL/pgSQL, with the variables that it needs."""
    variables = f"DECLARE {declare}; " if declare else ""
    return f"DO {literal(f'{variables}BEGIN {body}; END')}"


def literal(text: str) -> str:
    """The SQL of a text, whatever `standard_conforming_strings` says."""
    quoted = text.replace("'", "''")
    return f"E'{escaped}'" if (escaped := quoted.replace("\\", "\\\\")) != quoted else f"'{quoted}'"


# SQLite -----------------------------------------------------------------------------------------


def _sqlite_before(_schema: str | None) -> list[str]:
    return []


def _sqlite_after(on: On) -> list[str]:
    return [
        f"CREATE TRIGGER IF NOT EXISTS {on.path(name)} {body}"
        for name, body in _sqlite_guards(on).items()
    ]


def _sqlite_unguarded(on: On) -> list[str]:
    return [f"DROP TRIGGER IF EXISTS {on.main_path(name)}" for name in _sqlite_guards(on)]


def sqlite_guards(table: sa.Table) -> dict[str, str]:
    """SQLite: the triggers of a table, each with what follows its name in its text."""
    return _sqlite_guards(On(table, table.schema))


def _sqlite_guards(on: On) -> dict[str, str]:
    bodies = {
        "update": _sqlite_refusal(on, "UPDATE"),
        "delete": _sqlite_refusal(on, "DELETE"),
        "replace": _sqlite_no_replace(on),
    }
    return {names.shortened(f"{on.table.name}_no_{what}"): body for what, body in bodies.items()}


def _sqlite_refusal(on: On, action: str) -> str:
    name = on.table.name
    message = _sqlite_literal(f"table {name} is append-only: {action} is refused")
    return f"BEFORE {action} ON {_quoted(name)} BEGIN SELECT RAISE(ABORT, {message}); END"


def _sqlite_no_replace(on: On) -> str:
    """REPLACE deletes rows and fires no trigger for it; so it must fail before.

    A statement inside of a trigger takes the conflict clause of the statement that fired it, where
    that has one (https://sqlite.org/lang_createtrigger.html). This one breaks a CHECK: in a plain
    INSERT that is ignored, as written here; in a REPLACE a CHECK aborts. So it does where somebody
    writes OR ABORT, OR FAIL or OR ROLLBACK, of which a plain INSERT has no need.

    To look for the keys in the trigger instead would cost the same, and would break
    ON CONFLICT DO NOTHING. Measured: 1 µs for each row, 1 to 2.5 % of a durable command.
    """
    name = on.table.name
    helper = names.shared_name(on.mark.prefix, TRANSACTIONS_TABLE)
    # The helper's own trigger must not answer the row that is sent to break the CHECK.
    when = 'WHEN NEW."id" IS NOT 0 ' if on.mark.kind == TRANSACTIONS_TABLE else ""
    return (
        f"BEFORE INSERT ON {_quoted(name)} {when}BEGIN "
        f'INSERT OR IGNORE INTO {_quoted(helper)} ("id", "since") VALUES (0, \'\'); END'
    )


def _sqlite_users(on: On) -> sa.TextClause:
    master = on.path("sqlite_master").replace(":", r"\:")  # no parameter begins in a name
    return _counted(
        on,
        f"{master} WHERE type = 'trigger' AND instr(sql, :needed) AND tbl_name NOT IN :shared",
        needed=f"INTO {_quoted(names.shared_name(on.mark.prefix, TRANSACTIONS_TABLE))} ",
    )


def _sqlite_begin(_on: On, bind: _Bind) -> None:
    if _sqlite_begun(bind) and isinstance(bind, sa.Connection):
        bind.info[_OURS] = True


def _sqlite_begun(bind: _Bind) -> bool:
    """Begin a transaction if none is open; True if nobody but us will commit it."""
    if isinstance(bind, MockConnection):
        return False
    driver = bind.connection.driver_connection
    if getattr(driver, "in_transaction", True):
        return False
    run(["BEGIN IMMEDIATE"], bind)
    return _is_autocommit(driver)


def _sqlite_finish(on: On, bind: _Bind) -> None:
    run(after(on, bind.dialect), bind)
    if not isinstance(bind, MockConnection) and bind.info.pop(_OURS, False):
        run(["COMMIT"], bind)


_OURS = "spry_sqla transaction"
"""In `Connection.info`: True while a transaction is open that nobody but us will commit."""


def _is_autocommit(driver: Any) -> bool:
    return driver.isolation_level is None or getattr(driver, "autocommit", None) is True


def _sqlite_literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_DIALECTS = {
    "postgresql": _Dialect(
        without=frozenset({TRANSACTIONS_TABLE}),
        before=_postgresql_before,
        after=_postgresql_after,
        unguarded=_postgresql_unguarded,
        defaults=_postgresql_defaults,
        before_drop=_postgresql_before_drop,
        after_drop=_postgresql_after_drop,
        users=_postgresql_users,
        begin=_postgresql_begin,
        finish=_postgresql_finish,
    ),
    "sqlite": _Dialect(
        without=frozenset(),
        before=_sqlite_before,
        after=_sqlite_after,
        unguarded=_sqlite_unguarded,
        defaults=_nothing,
        before_drop=_nothing,
        after_drop=_nothing,
        users=_sqlite_users,
        begin=_sqlite_begin,
        finish=_sqlite_finish,
    ),
}
