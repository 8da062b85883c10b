"""Transactions that are begun here, each on a connection of its own."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from spry_sqla.errors import StorageError, StorageUnavailable
from spry_sqla.operations import Append, Read
from spry_sqla.sql import postgresql, sqlite
from spry_sqla.sql.adapter import transaction_lost
from spry_sqla.sql.joining import Adapters, Joiner
from spry_sqla.sql.lending import is_one, refused
from spry_sqla.sql.turns import in_transaction

if TYPE_CHECKING:  # it needs greenlet, which a plain installation does not bring
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine


class SqlUnit:
    """A transaction on a connection of an Engine."""

    def __init__(self, engine: sa.Engine, adapters: Adapters) -> None:
        self._engine = engine
        self._adapters = adapters
        self._connection: sa.Connection

    def begin(self) -> None:
        """Check a connection out. Raises StorageUnavailable, and StorageError for a pool of one."""
        _refuse_one(self._engine)
        try:
            connection = self._engine.connect()
        except Exception as error:
            raise refused(self._engine, error) from error
        try:
            self._connection = _begun(connection)
        except BaseException:
            _close(connection)
            raise

    def answer(self, operation: Read | Append) -> Any:
        """See `Joiner.answer`."""
        return Joiner(self._engine, self._adapters, self._connection).answer(operation)

    def commit(self) -> None:
        """Commit and give the connection back. Raises ConcurrencyError, StorageUnavailable."""
        try:
            _commit(self._connection, self._adapters)
        finally:
            _close(self._connection)

    def rollback(self) -> None:
        """Roll back and give the connection back."""
        _close(self._connection)


class AsyncUnit:
    """As `SqlUnit`, on a connection of an AsyncEngine."""

    def __init__(self, engine: "AsyncEngine", adapters: Adapters) -> None:
        self._engine = engine
        self._adapters = adapters
        self._connection: AsyncConnection

    async def begin(self) -> None:
        """See `SqlUnit.begin`."""
        plain = self._engine.sync_engine
        _refuse_one(plain)
        connection = self._engine.connect()
        try:
            await connection.start()
        except Exception as error:
            raise refused(plain, error) from error
        try:
            await connection.run_sync(_begun)
        except BaseException:
            await self._close(connection)
            raise
        self._connection = connection

    async def answer(self, operation: Read | Append) -> Any:
        """See `SqlUnit.answer`."""
        engine = self._engine.sync_engine
        return await self._connection.run_sync(
            lambda plain: Joiner(engine, self._adapters, plain).answer(operation)
        )

    async def commit(self) -> None:
        """See `SqlUnit.commit`."""
        try:
            await self._connection.run_sync(lambda plain: _commit(plain, self._adapters))
        finally:
            await self._close(self._connection)

    async def rollback(self) -> None:
        """See `SqlUnit.rollback`."""
        await self._close(self._connection)

    async def _close(self, connection: "AsyncConnection") -> None:
        # On a broken connection it raises; that it broke was told before.
        with suppress(sa.exc.SQLAlchemyError):
            await asyncio.shield(connection.close())


def _refuse_one(engine: sa.Engine) -> None:
    if is_one(engine.pool):
        in_memory = "with spry_sqla.sqlite_engine(':memory:')"
        pooled = f"without poolclass={type(engine.pool).__name__}"
        advice = in_memory if engine.url.database in (None, "", ":memory:") else pooled
        raise StorageError(
            "a transaction needs a connection of its own, and this engine has one for all; make "
            f"the engine {advice}"
        )


def _begun(connection: sa.Connection) -> sa.Connection:
    """The connection in a transaction; that of an engine in AUTOCOMMIT without it."""
    if sqlite.is_autocommit(connection):
        level = connection.dialect.default_isolation_level or "SERIALIZABLE"
        connection = connection.execution_options(isolation_level=level)
    connection.begin()
    if connection.dialect.name == sqlite.NAME:
        _begin_immediate(connection)
    return connection


def _begin_immediate(connection: sa.Connection) -> None:
    """Wait for the turn to write now: who has read before cannot wait for it later."""
    driver: Any = connection.connection.driver_connection
    if sqlite.autocommits(driver):
        raise StorageError(
            "this engine's connections have autocommit=True, where nothing can be rolled back; "
            "make it without"
        )
    cursor = connection.connection.cursor()
    try:
        if driver.in_transaction:  # begun by an event of the engine, and empty as yet
            cursor.execute("COMMIT")
        cursor.execute("BEGIN IMMEDIATE")
    except Exception as error:
        dbapi: Any = connection.dialect.dbapi
        if not isinstance(error, dbapi.Error):
            raise
        raise StorageUnavailable(
            f"the database stayed locked by others ({sqlite.describe(error)})"
        ) from error
    finally:
        cursor.close()


def _commit(connection: sa.Connection, adapters: Adapters) -> None:
    if connection.invalidated:
        raise transaction_lost("its connection broke, or was cancelled")
    flavor: Any = sqlite if connection.dialect.name == sqlite.NAME else postgresql
    if flavor.has_lost(connection.connection):
        # Its COMMIT would be a ROLLBACK, in silence.
        raise transaction_lost("a statement in it failed before")
    try:
        connection.commit()
    except sa.exc.DBAPIError as error:
        if flavor is sqlite:
            _undo(connection)
        cause = error.orig
        meaning = adapters.of(None).lost_at_commit(cause) if isinstance(cause, Exception) else None
        if meaning is None:
            raise
        raise meaning from error


def _undo(connection: sa.Connection) -> None:
    """Roll back what a COMMIT has refused: for SQLite it is open still, for SQLAlchemy it ended.

    Whoever had the connection next would commit it.
    """
    with suppress(sa.exc.SQLAlchemyError):  # it broke, and what it had begun is no more
        if in_transaction(connection.connection.driver_connection):
            cursor = connection.connection.cursor()
            try:
                cursor.execute("ROLLBACK")
            finally:
                cursor.close()


def _close(connection: sa.Connection) -> None:
    # On a broken connection it raises; that it broke was told before.
    with suppress(sa.exc.SQLAlchemyError):
        connection.close()
