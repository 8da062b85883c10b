"""What a database has of our guards, compared with what it should have.

Triggers and functions are compared by content: on SQLite by their texts, on PostgreSQL by what its
catalogs say, and where it keeps a body in parsed form, with the same body parsed again.
"""

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import sqlalchemy as sa

from spry_sqla.errors import TablesOutdated
from spry_sqla.schema import on_postgresql, on_sqlite, triggers
from spry_sqla.schema.names import shared_name
from spry_sqla.schema.on_postgresql import REFUSE_FUNCTION, TRANSACTION_FUNCTION
from spry_sqla.schema.placing import (
    EPOCHS_TABLE,
    FORMAT,
    FORMAT_TABLE,
    mark_of,
    path_of,
    placed,
)

_log = logging.getLogger("spry_sqla")

ALEMBIC = "Alembic: `alembic revision --autogenerate`, then `alembic upgrade head`"
"""What brings tables up to date, for messages."""


def check_format(table: sa.Table, version: int | None) -> None:
    """See that `version`, read from the table of formats, is the format that this code reads.

    Raises TablesOutdated.
    """
    if version == FORMAT:
        return
    age, mend = (
        ("newer", "deploy the version of spry_sqla that made them")
        if version is not None and version > FORMAT
        else ("older", f"upgrade them with {ALEMBIC}")
    )
    raise TablesOutdated(
        f"{table.fullname} says that the tables are of format {version}, {age} than the format "
        f"{FORMAT} that this version of spry_sqla reads; {mend}"
    )


def has_rows(table: sa.Table, connection: sa.Connection) -> bool:
    """Whether a table is there, and holds anything."""
    on = placed(table, connection)
    if not sa.inspect(connection).has_table(table.name, schema=on.schema):
        return False
    return connection.scalar(sa.select(sa.literal(1)).select_from(table).limit(1)) is not None


def guarded(connection: sa.Connection, schema: str | None, table: str) -> bool:
    """Whether a table, whatever its name, has a guard as ours do: it is one of ours."""
    if connection.dialect.name == "sqlite":
        texts = _sqlite_triggers(connection, schema, table).values()
        return any("is append-only: UPDATE is refused" in text for text in texts)
    there = _postgresql_triggers(connection, path_of(schema, table))
    return any(name in there for name in on_postgresql.GUARDS)


def guards_differ(table: sa.Table, connection: sa.Connection) -> bool:
    """Whether the guards of a table that is there are missing or not what they should be."""
    if connection.dialect.name == "sqlite":
        return _sqlite_differ(table, connection)
    return _postgresql_differ(table, connection)


# SQLite -----------------------------------------------------------------------------------------


def _sqlite_differ(table: sa.Table, connection: sa.Connection) -> bool:
    there = _sqlite_triggers(connection, placed(table, connection).schema, table.name)
    return any(
        there.get(name) != f"CREATE TRIGGER {path_of(None, name)} {body}"
        for name, body in on_sqlite.guards(table).items()
    ) or _lacks_first_row(table, connection)


def _sqlite_triggers(connection: sa.Connection, schema: str | None, table: str) -> dict[str, str]:
    master = path_of(schema, "sqlite_master").replace(":", r"\:")
    rows = connection.execute(
        sa.text(f"SELECT name, sql FROM {master} WHERE type = 'trigger' AND tbl_name = :name"),  # noqa: S608
        {"name": table},
    )
    return dict(iter(rows))


# PostgreSQL -------------------------------------------------------------------------------------

_LEVELS = {"STATEMENT": 0, "ROW": 1}
_ACTIONS = {"DELETE": 8, "UPDATE": 16, "TRUNCATE": 32}
_BEFORE = 2
"""Bits of `pg_trigger.tgtype`. Source: src/include/catalog/pg_trigger.h of PostgreSQL."""


def _postgresql_differ(table: sa.Table, connection: sa.Connection) -> bool:
    on = placed(table, connection)
    refuse = on.shared(REFUSE_FUNCTION)
    wanted = {
        name: (
            _LEVELS[level] | _BEFORE | sum(_ACTIONS[action] for action in actions.split(" OR ")),
            "A",
            connection.scalar(_FUNCTION, {"path": f"{refuse}()"}),
            True,
        )
        for name, (actions, level) in on_postgresql.GUARDS.items()
    }
    there = _postgresql_triggers(connection, on.sql)
    if any(there.get(name) != guard for name, guard in wanted.items()):
        return True
    return (
        _function_differs(table, connection)
        or _lacks_first_row(table, connection)
        or _lacks_default(table, connection)
    )


def _lacks_default(table: sa.Table, connection: sa.Connection) -> bool:
    if mark_of(table).kind != "events":
        return False
    on = placed(table, connection)
    function = f"{on.shared(TRANSACTION_FUNCTION)}()"
    return not connection.scalar(_DEFAULT, {"path": on.sql, "function": function})


def _postgresql_triggers(connection: sa.Connection, path: str) -> dict[str, tuple[Any, ...]]:
    rows = connection.execute(
        sa.text(
            "SELECT tgname, tgtype::integer, tgenabled::text, tgfoid::bigint, "
            "tgqual IS NULL AND tgattr::text = '' "
            "FROM pg_catalog.pg_trigger WHERE tgrelid = to_regclass(:path) AND NOT tgisinternal"
        ),
        {"path": path},
    )
    return {name: tuple(found) for name, *found in rows}


def _function_differs(table: sa.Table, connection: sa.Connection) -> bool:
    function = {FORMAT_TABLE: REFUSE_FUNCTION, EPOCHS_TABLE: TRANSACTION_FUNCTION}.get(
        mark_of(table).kind
    )
    if function is None:
        return False
    on = placed(table, connection)
    path = on.shared(function)
    # What the server makes of the same text, which it writes its own way: made, and undone.
    probe = path_of("pg_temp", shared_name("", function))
    text = next(text for text in triggers.after(on, connection.dialect) if path in text)
    try:
        return _bodies_differ(connection, text.replace(path, probe, 1), path, probe)
    except sa.exc.DBAPIError as error:
        # Who may only read, or is in AUTOCOMMIT, can check all but this.
        _log.warning("the body of %s was not compared: %s", function, error.orig)
        return False


def _bodies_differ(connection: sa.Connection, text: str, path: str, probe: str) -> bool:
    with connection.begin_nested() as savepoint:
        connection.execute(sa.DDL(text.replace("%", "%%")))  # type: ignore[no-untyped-call]
        bodies = [
            connection.execute(_BODY, {"path": f"{each}()"}).first() for each in (path, probe)
        ]
        savepoint.rollback()
    return bodies[0] != bodies[1]


_DEFAULT = sa.text(
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_attrdef "
    "JOIN pg_catalog.pg_attribute ON attrelid = adrelid AND attnum = adnum "
    "JOIN pg_catalog.pg_depend ON classid = 'pg_catalog.pg_attrdef'::regclass "
    "AND objid = pg_attrdef.oid AND refclassid = 'pg_catalog.pg_proc'::regclass "
    "WHERE adrelid = to_regclass(:path) AND attname = 'transaction' "
    "AND refobjid = to_regprocedure(:function)::oid)"
)
_FUNCTION = sa.text("SELECT to_regprocedure(:path)::oid::bigint")
_BODY = sa.text(
    "SELECT prosrc, pg_get_function_sqlbody(oid), provolatile, prorettype::bigint "
    "FROM pg_catalog.pg_proc WHERE oid = to_regprocedure(:path)"
)


# Both -------------------------------------------------------------------------------------------


def stored_format(table: sa.Table, connection: sa.Connection) -> int | None:
    """The format in the table of formats; None where it has no row, or may not be read."""
    newest = _asked(connection, table, sa.select(sa.func.max(table.c.version)), otherwise=None)
    return None if newest is None else int(newest)


def _lacks_first_row(table: sa.Table, connection: sa.Connection) -> bool:
    if mark_of(table).kind not in (FORMAT_TABLE, EPOCHS_TABLE):
        return False
    count = sa.select(sa.func.count()).select_from(table)
    return bool(_asked(connection, table, count, otherwise=1) == 0)


def _asked(
    connection: sa.Connection, table: sa.Table, query: sa.Select[Any], *, otherwise: Any
) -> Any:
    try:
        with _apart(connection):
            return connection.scalar(query)
    except sa.exc.DBAPIError as error:
        _log.warning("the rows of %s were not looked at: %s", table.fullname, error.orig)
        return otherwise


def _apart(connection: sa.Connection) -> AbstractContextManager[object]:
    """A savepoint, so that a refusal breaks no transaction; AUTOCOMMIT has none to be broken."""
    driver = connection.connection.dbapi_connection
    assert driver is not None
    autocommit = connection.dialect.detect_autocommit_setting(driver)
    return nullcontext() if autocommit else connection.begin_nested()
