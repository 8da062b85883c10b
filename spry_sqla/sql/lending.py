"""Lends connections of an engine's pool, one for one operation, in each of three worlds.

A plain engine in the caller's thread; a plain engine in a worker thread, one hop per operation; an
asynchronous engine under `run_sync`. Where all connections are one (SQLite in memory), borrowers
take turns.
"""

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

import sqlalchemy as sa
from sqlalchemy.pool import Pool, PoolProxiedConnection, SingletonThreadPool, StaticPool

from spry_sqla.errors import StorageError, StorageUnavailable
from spry_sqla.operations import Append, Read, Unavailable
from spry_sqla.sql.adapter import SqlAdapter, unavailable

if TYPE_CHECKING:  # it needs greenlet, which a plain installation does not bring
    from sqlalchemy.ext.asyncio import AsyncEngine

R = TypeVar("R")


class Lender:
    """Connections of an Engine, in the caller's thread."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._thread = threading.get_ident()
        self._in_memory = isinstance(engine.pool, StaticPool | SingletonThreadPool)
        _engines.add(engine)

    def answer(self, adapter: SqlAdapter, operation: Read | Append) -> Any:
        """Perform an operation; Unavailable where no connection can be had or it broke."""
        if self._in_memory:
            return self.lend(lambda connection: adapter.perform(connection, operation))
        try:
            connection = self._engine.raw_connection()
        except Exception as error:  # noqa: BLE001  (what is not the pool's or the driver's is raised)
            return Unavailable(_refused(self._engine, error), nothing_stored=True)
        try:
            answer = adapter.perform(connection, operation)
        finally:
            connection.close()
        if type(answer) is Unavailable and not answer.nothing_stored:
            _outdate(self._engine.pool)
        return answer

    def lend(self, use: Callable[[PoolProxiedConnection], R]) -> R:
        """Check a connection out for a function. Raises StorageUnavailable."""
        pool = self._engine.pool
        if isinstance(pool, SingletonThreadPool) and self._thread != threading.get_ident():
            raise StorageError(
                "this SQLite database in memory belongs to the thread that opened its storage; "
                "for several threads make the engine with spry_sqla.sqlite_engine(':memory:'), or "
                "with poolclass=StaticPool and connect_args={'check_same_thread': False}"
            )
        with _turn(pool):
            try:
                connection = self._engine.raw_connection()
            except Exception as error:
                raise _refused(self._engine, error) from error
            try:
                return use(connection)
            finally:
                connection.close()


class ThreadLender:
    """Connections of an Engine, in worker threads of the event loop."""

    def __init__(self, engine: sa.Engine) -> None:
        self._lender = Lender(engine)
        # A database in this thread's memory is nowhere else, and never waits.
        self._here = isinstance(engine.pool, SingletonThreadPool)

    async def answer(self, adapter: SqlAdapter, operation: Read | Append) -> Any:
        """As `Lender.answer`. What was begun when the task is cancelled ends by itself, whole."""
        return await self._hop(lambda: self._lender.answer(adapter, operation))

    async def lend(self, use: Callable[[PoolProxiedConnection], R]) -> R:
        """As `Lender.lend`."""
        return await self._hop(lambda: self._lender.lend(use))

    async def _hop(self, work: Callable[[], R]) -> R:
        if self._here:
            return work()
        return await asyncio.get_running_loop().run_in_executor(None, work)


class AsyncLender:
    """Connections of an AsyncEngine."""

    def __init__(self, engine: "AsyncEngine") -> None:
        self._engine = engine
        _engines.add(engine.sync_engine)

    async def answer(self, adapter: SqlAdapter, operation: Read | Append) -> Any:
        """As `Lender.answer`."""
        try:
            answer = await self.lend(lambda connection: adapter.perform(connection, operation))
        except StorageUnavailable as error:
            return Unavailable(error, nothing_stored=True)
        if isinstance(answer, Unavailable) and not answer.nothing_stored:
            _outdate(self._engine.sync_engine.pool)
        return answer

    async def lend(self, use: Callable[[PoolProxiedConnection], R]) -> R:
        """As `Lender.lend`."""
        async with _async_turn(self._engine.sync_engine.pool):
            connection = self._engine.connect()
            try:
                await connection.start()
            except Exception as error:
                raise _refused(self._engine.sync_engine, error) from error
            try:
                return await connection.run_sync(lambda plain: use(plain.connection))
            finally:
                await asyncio.shield(connection.close())


def sqlite_engine(database: str = ":memory:", **options: Any) -> sa.Engine:
    """An Engine for a SQLite file, or for a database in memory that threads can share.

    A file is set to WAL, so that readers and a writer do not wait for each other, with every
    commit on the disk (`synchronous=FULL`); a lock is waited for up to 30 s. `options` go to
    `sqlalchemy.create_engine`.
    """
    arguments = {"timeout": 30, "check_same_thread": False, **options.pop("connect_args", {})}
    in_memory = database == ":memory:"
    if in_memory:
        options.setdefault("poolclass", StaticPool)
    url = sa.URL.create("sqlite", database=database)
    engine = sa.create_engine(url, connect_args=arguments, **options)
    if not in_memory:

        @sa.event.listens_for(engine, "connect")
        def set_up(driver: Any, record: Any) -> None:
            driver.execute("PRAGMA journal_mode=WAL")
            driver.execute("PRAGMA synchronous=FULL")

    return engine


def _refused(engine: sa.Engine, error: Exception) -> StorageUnavailable:
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    dbapi: Any = engine.dialect.dbapi
    if isinstance(cause, dbapi.Error | OSError | sa.exc.TimeoutError):
        refused = unavailable(type(cause).__name__)
        refused.__cause__ = error
        return refused
    raise error


def _outdate(pool: Pool) -> None:
    """One connection broke: the others of the pool may be as dead; each is replaced when next used.

    It is what SQLAlchemy does where it sees a connection break; it has no public name.
    """
    if not isinstance(pool, StaticPool | SingletonThreadPool):
        pool._invalidate(None)  # type: ignore[arg-type]


# Turns ------------------------------------------------------------------------------------------

_locks: WeakKeyDictionary[Pool, threading.Lock] = WeakKeyDictionary()
_async_locks: WeakKeyDictionary[Pool, asyncio.Lock] = WeakKeyDictionary()


def _turn(pool: Pool) -> AbstractContextManager[Any]:
    if not isinstance(pool, StaticPool):
        return nullcontext()
    return _locks.setdefault(pool, threading.Lock())


def _async_turn(pool: Pool) -> AbstractAsyncContextManager[Any]:
    if not isinstance(pool, StaticPool):
        return nullcontext()
    return _async_locks.setdefault(pool, asyncio.Lock())


# Fork -------------------------------------------------------------------------------------------

_engines: WeakSet[sa.Engine] = WeakSet()
_of_parent: list[Pool] = []
"""Kept, for a child must not even close what it has inherited: sqlite.org/howtocorrupt.html, 2.6"""


def _leave_connections_to_parent() -> None:
    # A socket shared by two processes mixes their answers; SQLite forbids it, too.
    # https://docs.sqlalchemy.org/en/21/core/pooling.html#using-connection-pools-with-multiprocessing-or-os-fork
    for engine in list(_engines):
        if not isinstance(engine.pool, StaticPool | SingletonThreadPool):
            _of_parent.append(engine.pool)
            engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_connections_to_parent)
