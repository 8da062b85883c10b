"""Transactions that are begun here, each on a connection of its own."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from spry_sqla.errors import StorageError, StorageFailure
from spry_sqla.operations import Append, Read
from spry_sqla.sql import postgresql
from spry_sqla.sql.joining import Adapters, Joiner
from spry_sqla.sql.lending import refused

if TYPE_CHECKING:  # it needs greenlet, which a plain installation does not bring
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

R = TypeVar("R")


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
            self._connection = _transactional(connection)
            self._connection.begin()
        except BaseException:
            connection.close()
            raise

    def answer(self, operation: Read | Append) -> Any:
        """See `Joiner.answer`."""
        return Joiner(self._engine, self._adapters, self._connection).answer(operation)

    def commit(self) -> None:
        """Commit and give the connection back. Raises ConcurrencyError, StorageUnavailable."""
        with self._connection:
            _commit(self._connection, self._adapters)

    def rollback(self) -> None:
        """Roll back and give the connection back."""
        self._connection.close()


class ThreadUnit:
    """As `SqlUnit`, awaited: in worker threads of the event loop."""

    def __init__(self, engine: sa.Engine, adapters: Adapters) -> None:
        self._unit = SqlUnit(engine, adapters)

    async def begin(self) -> None:
        """See `SqlUnit.begin`."""
        beginning = asyncio.ensure_future(asyncio.to_thread(self._unit.begin))
        try:
            await asyncio.shield(beginning)
        except asyncio.CancelledError:
            await asyncio.wait([beginning])
            if beginning.exception() is None:
                await self.rollback()
            raise

    async def answer(self, operation: Read | Append) -> Any:
        """See `SqlUnit.answer`."""
        return await self._hop(lambda: self._unit.answer(operation))

    async def commit(self) -> None:
        """See `SqlUnit.commit`."""
        await self._hop(self._unit.commit)

    async def rollback(self) -> None:
        """See `SqlUnit.rollback`."""
        await self._hop(self._unit.rollback)

    async def _hop(self, work: Callable[[], R]) -> R:
        """To its end, also when the task is cancelled: two threads must not use one connection."""
        working = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            await asyncio.wait([working])
            raise


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
            await connection.run_sync(_transactional)
            await connection.begin()
        except BaseException:
            await asyncio.shield(connection.close())
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
            await asyncio.shield(self._connection.close())

    async def rollback(self) -> None:
        """See `SqlUnit.rollback`."""
        await self._connection.close()


def _refuse_one(engine: sa.Engine) -> None:
    if isinstance(engine.pool, StaticPool | SingletonThreadPool):
        raise StorageError(
            "a transaction needs a connection of its own, and this engine has one for all; make "
            "the engine with spry_sqla.sqlite_engine(':memory:')"
        )


def _transactional(connection: sa.Connection) -> sa.Connection:
    """The connection of an engine in AUTOCOMMIT, without that."""
    option = connection.get_execution_options().get("isolation_level")
    if "AUTOCOMMIT" in (option, getattr(connection.dialect, "_on_connect_isolation_level", None)):
        level = connection.dialect.default_isolation_level or "SERIALIZABLE"
        return connection.execution_options(isolation_level=level)
    return connection


def _commit(connection: sa.Connection, adapters: Adapters) -> None:
    if postgresql.has_failed(connection.connection.dbapi_connection):
        # Its COMMIT would be a ROLLBACK, in silence.
        raise StorageFailure(
            "a statement of this transaction failed before, so nothing of it was stored; let the "
            "error of that statement end the transaction"
        )
    try:
        connection.commit()
    except sa.exc.DBAPIError as error:
        cause = error.orig
        meaning = adapters.of(None).lost_at_commit(cause) if isinstance(cause, Exception) else None
        if meaning is None:
            raise
        raise meaning from error
