"""What SQLite does its own way: text ids, JSON functions, BEGIN IMMEDIATE, its errors.

SQLite runs in the process: there is no round trip to save, so an append is made of the stores' own
statements.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import sqlalchemy as sa

from spry_sqla.sql.faults import Fault

NAME = "sqlite"


def hex_id(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Ids are stored as their hexadecimal digits."""
    return sa.type_coerce(column, sa.Text())


def utc(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Times are stored as text."""
    return sa.type_coerce(column, sa.Text())


def each(parameter: str) -> sa.FromClause:
    """The rows of `json_each`."""
    texts = sa.bindparam(parameter, type_=sa.Text())
    return sa.func.json_each(texts).table_valued(sa.column("value", sa.Text()))


def at(vector: sa.ColumnElement[Any], origin: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """`json_extract`, guarded: it raises an error for what is no JSON."""
    path = sa.literal_column("'$.\"'").concat(origin).concat(sa.literal_column("'\"'"))
    number = sa.func.json_extract(vector, path, type_=sa.BigInteger())
    valid = sa.case((sa.func.json_valid(vector), number), else_=sa.null())
    return sa.func.coalesce(valid, sa.literal_column("0"), type_=sa.BigInteger())


def generated(events: sa.Table) -> set[str]:
    """The transaction number is given by hand: the key of a row in `spry_transactions`."""
    return set()


def fault_of(error: BaseException) -> Fault:
    """What a driver's error means. Source: sqlite.org/rescode.html."""
    message = str(error)
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & 0xFF
    if code == sqlite3.SQLITE_BUSY_SNAPSHOT:  # read before another wrote; only in a caller's
        return Fault.DEADLOCK
    if message.startswith("UNIQUE constraint failed"):
        return Fault.TAKEN
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or "is locked" in message:
        return Fault.BUSY
    if primary == sqlite3.SQLITE_CANTOPEN:
        return Fault.LOST
    if message.startswith("no such table"):
        return Fault.NO_TABLE
    if message.startswith("no such column") or " has no column named " in message:
        return Fault.NO_COLUMN
    return Fault.REFUSED


def describe(error: BaseException) -> str:
    """An error's name and message; SQLite's messages hold no values."""
    return f"{getattr(error, 'sqlite_errorname', type(error).__name__)}: {error}"


def quotes_rows(error: BaseException) -> bool:
    """Whether an error's text may quote a row: SQLite's do not."""
    return False


@contextmanager
def reading(connection: Any) -> Iterator[None]:
    """Reads need no transaction: each statement is one, and ends when its rows are fetched."""
    yield


def write(connection: Any, work: Callable[[Any], None]) -> None:
    """Do some work, given a cursor, in one IMMEDIATE transaction.

    A deferred one that reads first fails at once with "database is locked" when another has
    written in between, whatever the timeout; an immediate one waits its turn at the beginning.
    """
    cursor = connection.cursor()
    was_open = False
    try:
        was_open = _begin(cursor)
        try:
            work(cursor)
            cursor.execute("COMMIT")
        except BaseException:
            # A full disk may have rolled back already, and a COMMIT whose task was cancelled may
            # have ended well: then there is no transaction to undo, and SQLite says so.
            with suppress(sqlite3.Error):
                cursor.execute("ROLLBACK")
            raise
    finally:
        if was_open:
            cursor.execute("BEGIN")
        cursor.close()


def begin_within(connection: Any, cursor: Any) -> None:
    """Begin the caller's transaction where the driver has not: before a SAVEPOINT it would not.

    Then a savepoint that is released would be committed. An IMMEDIATE one waits its turn here.
    """
    if not connection.driver_connection.in_transaction:
        cursor.execute("BEGIN IMMEDIATE")


def failed_before(error: BaseException) -> bool:
    """Never: a statement that fails leaves its transaction as it was."""
    return False


def has_lost(connection: Any) -> bool:
    """Whether a transaction that was open is no more: a full disk, say, may end it."""
    return not connection.driver_connection.in_transaction


def autocommits(driver: Any) -> bool:
    """Whether COMMIT does nothing (autocommit=True of Python 3.12).

    `isolation_level=None` does not tell: SQLAlchemy may begin by events.
    """
    return getattr(driver, "autocommit", None) is True


def keep_savepoints(engine: sa.Engine) -> None:
    """Let the savepoints of an engine be what they are elsewhere.

    The sqlite3 module begins a transaction before INSERT, UPDATE and DELETE, and not before
    SAVEPOINT: the release of the first savepoint then commits, in secret. Here one is begun before
    it, as late as can be; nothing else changes for the application.
    https://docs.sqlalchemy.org/en/21/dialects/sqlite.html#pysqlite-serializable
    """
    engine = _first(engine)
    if engine.dialect.name == NAME and not sa.event.contains(engine, "savepoint", _begin_first):
        sa.event.listen(engine, "savepoint", _begin_first)


def _first(engine: sa.Engine) -> sa.Engine:
    """The engine from which `execution_options` has made others, which share its events."""
    # It has no public name.
    while (derived_from := getattr(engine, "_proxied", None)) is not None:
        engine = derived_from
    return engine


def _begin_first(connection: sa.Connection, _name: str) -> None:
    driver: Any = connection.connection.driver_connection
    if not (driver.in_transaction or is_autocommit(connection) or autocommits(driver)):
        cursor = connection.connection.cursor()
        cursor.execute("BEGIN")
        cursor.close()


def has_savepoints(engine: sa.Engine) -> bool:
    """Whether `keep_savepoints` was told of an engine."""
    return engine.dialect.name != NAME or sa.event.contains(
        _first(engine), "savepoint", _begin_first
    )


def begins_nothing(connection: sa.Connection) -> bool:
    """Whether each statement commits although SQLAlchemy has begun a transaction.

    With `isolation_level=None` the driver begins none, and so an event of the engine has to.
    """
    driver: Any = connection.connection.driver_connection
    return driver.isolation_level is None and not driver.in_transaction


def is_autocommit(connection: sa.Connection) -> bool:
    """Whether SQLAlchemy was told to use a connection in AUTOCOMMIT."""
    option = connection.get_execution_options().get("isolation_level")
    if option is None:
        # What create_engine was given has no public name.
        option = getattr(connection.dialect, "_on_connect_isolation_level", None)
    return option == "AUTOCOMMIT"


def _begin(cursor: Any) -> bool:
    """Begin ours; True if the connection was in a transaction, as it shall be again afterwards.

    It is with autocommit=False (Python 3.12), and where an engine's event hook has begun one.
    Nobody else holds a connection that a pool has just lent, so what is open there is a hook's
    settings and temporary tables: a COMMIT keeps them.
    """
    try:
        cursor.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if "within a transaction" not in str(error):
            raise
        cursor.execute("COMMIT")
        cursor.execute("BEGIN IMMEDIATE")
        return True
    return False
