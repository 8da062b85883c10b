"""What PostgreSQL does its own way: ids, times and JSON, autocommit, its errors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from spry_sqla.sql.faults import Fault

NAME = "postgresql"


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
    if state in ("22P05", "22021"):
        return Fault.ENCODING
    if state.startswith(("08", "57P")) or state in ("53300", "28000", "28P01", "3D000"):
        return Fault.LOST
    return Fault.REFUSED


def describe(error: BaseException) -> str:
    """An error's name and state; its message may hold values."""
    state = _sqlstate(error)
    return (
        type(error).__name__
        + (f", SQLSTATE {state}" if state else "")
        + (_OF_A_POOLER if state in ("26000", "42P05") else "")
    )


_OF_A_POOLER = (
    "; a pooler that does not keep prepared statements, such as pgbouncer in transaction mode, "
    'wants connect_args={"prepare_threshold": None}'
)


def quotes_rows(error: BaseException) -> bool:
    """Whether an error may quote a row: a violated constraint's does, and what was not encoded."""
    return _sqlstate(error)[:2] in ("22", "23") or isinstance(error, UnicodeError)


def _sqlstate(error: BaseException) -> str:
    # psycopg 3 and asyncpg call it sqlstate, psycopg2 pgcode.
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""


@contextmanager
def reading(connection: Any) -> Iterator[None]:
    """Autocommit, given back as it was found.

    A transaction that is open was begun by an event hook of the engine, whose settings must stay:
    it is committed. Left open, it would take our rows with it when the connection is given back.
    """
    driver = connection.dbapi_connection
    found = driver.autocommit
    if not found and _in_transaction(driver):
        driver.commit()
    try:
        if not found:
            # A task may be cancelled when this has been done, and before it goes on.
            driver.autocommit = True
        yield
    except BaseException as error:
        if _is_at_work(driver):
            # A signal's handler has raised where the driver waited. The server is told to stop;
            # whether it did so in time nobody knows, and what it answers nobody must read.
            with suppress(Exception):
                driver.cancel()
            connection.invalidate(error)
        elif _gone(driver):  # such as the driver does where it could not cancel a statement
            connection.invalidate(error)
        raise
    finally:
        if not (found or _gone(driver)):
            driver.autocommit = False


def write(connection: Any, work: Callable[[Any], None]) -> None:
    """Do some work, given a cursor, in one transaction."""
    with reading(connection):
        cursor = connection.cursor()
        try:
            cursor.execute("BEGIN")
            try:
                work(cursor)
                cursor.execute("COMMIT")
            except BaseException:
                # On a broken connection there is nothing to undo, and it is the first error that
                # says so.
                if not _gone(connection.dbapi_connection):
                    with suppress(Exception):
                        cursor.execute("ROLLBACK")
                raise
        finally:
            cursor.close()


def begin_within(connection: Any, cursor: Any) -> None:
    """The driver begins by itself."""


def autocommits(driver: Any) -> bool:
    """Whether each statement on a connection is a transaction."""
    return bool(driver.autocommit)


def failed_before(error: BaseException) -> bool:
    """Whether a statement was refused because one before it has failed in its transaction."""
    return _sqlstate(error) == "25P02"


def has_lost(connection: Any) -> bool:
    """Whether a statement has failed in the transaction that is open, or was left at work."""
    status = _transaction_status(connection.driver_connection)
    if status is not None:
        return status in (_AT_WORK, _IN_ERROR)
    if getattr(connection.dbapi_connection, "_transaction", connection) is None:
        # A task was cancelled in asyncpg's BEGIN: it is open, or about to be, and nobody ends it.
        return True
    cursor = connection.cursor()
    try:
        cursor.execute("SELECT 1")
    except Exception:  # noqa: BLE001  (asyncpg does not tell in another way)
        return True
    finally:
        cursor.close()
    return False


_AT_WORK = 1
"""PQTRANS_ACTIVE of libpq."""

_IN_ERROR = 3
"""PQTRANS_INERROR of libpq."""


def _transaction_status(driver: Any) -> int | None:
    """As libpq has it, in psycopg 3 and psycopg2; None where a driver does not say."""
    driver = _unwrapped(driver)
    if (pgconn := getattr(driver, "pgconn", None)) is not None:
        return int(pgconn.transaction_status)
    if (ask := getattr(driver, "get_transaction_status", None)) is not None:
        return int(ask())
    return None


def _is_at_work(driver: Any) -> bool:
    """Whether the answer to a statement has not come."""
    return _transaction_status(driver) == _AT_WORK


def _gone(driver: Any) -> bool:
    driver = _unwrapped(driver)
    # asyncpg has a method for it.
    return bool(driver.closed if hasattr(driver, "closed") else driver.is_closed())


def _in_transaction(driver: Any) -> bool:
    # Where a driver does not say: to commit what is not open costs nothing.
    return _transaction_status(driver) != 0


def _unwrapped(driver: Any) -> Any:
    """The driver's connection in what SQLAlchemy makes of an asynchronous one."""
    return getattr(driver, "_connection", driver)
