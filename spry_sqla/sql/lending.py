"""Lends connections of an engine's pool, one for one operation, in each of three worlds.

A plain engine in the caller's thread; a plain engine in a worker thread, one hop per operation; an
asynchronous engine in a greenlet. Where all connections are one (a StaticPool), `turns` says who
may have it.
"""

import asyncio
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import WeakKeyDictionary, WeakSet, finalize

import sqlalchemy as sa
from sqlalchemy.pool import Pool, PoolProxiedConnection, SingletonThreadPool, StaticPool

from spry_sqla.errors import StorageError, StorageUnavailable
from spry_sqla.operations import Append, Read, Unavailable
from spry_sqla.sql import turns
from spry_sqla.sql.adapter import SqlAdapter, exhausted, unavailable
from spry_sqla.sql.sqlite import keep_savepoints
from spry_sqla.sql.turns import Turns

if TYPE_CHECKING:  # it needs greenlet, which a plain installation does not bring
    from sqlalchemy.ext.asyncio import AsyncEngine

R = TypeVar("R")


class Lender:
    """Connections of an Engine, in the caller's thread."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._thread = threading.get_ident()
        self._shared = is_one(engine.pool)
        if isinstance(engine.pool, StaticPool):
            _turns_at(engine.pool)
        _engines.add(engine)

    def answer(self, adapter: SqlAdapter, operation: Read | Append) -> Any:
        """Perform an operation; Unavailable where no connection can be had or it broke."""
        if self._shared:
            return self.lend(lambda connection: adapter.perform(connection, operation))
        try:
            connection = self._engine.raw_connection()
        except Exception as error:  # noqa: BLE001  (what is not the pool's or the driver's is raised)
            return Unavailable(refused(self._engine, error), nothing_stored=True)
        try:
            answer = adapter.perform(connection, operation)
        finally:
            connection.close()
        if type(answer) is Unavailable and not answer.nothing_stored:
            _outdate(self._engine.pool)
        return answer

    def check(self, adapter: SqlAdapter) -> None:
        """As the adapter's; a connection that has broken in the pool is replaced first."""
        if self.lend(adapter.check) is not None:
            _outdate(self._engine.pool)
            if (broken := self.lend(adapter.check)) is not None:
                raise broken

    def lend(self, use: Callable[[PoolProxiedConnection], R]) -> R:
        """Check a connection out for a function. Raises StorageUnavailable.

        Raises StorageError where it is the one on which the caller has a transaction open.
        """
        pool = self._engine.pool
        if isinstance(pool, StaticPool):
            at = _turns_at(pool)
            with at.ours():
                _refuse_transaction(pool, at)
                return self._lend(use)
        if self._thread != threading.get_ident() and _of_one_thread(self._engine):
            raise StorageError(
                "this SQLite database in memory belongs to the thread that opened its storage; "
                "for several threads make the engine with spry_sqla.sqlite_engine(':memory:')"
            )
        return self._lend(use)

    def _lend(self, use: Callable[[PoolProxiedConnection], R]) -> R:
        try:
            connection = self._engine.raw_connection()
        except Exception as error:
            raise refused(self._engine, error) from error
        try:
            if self._shared and _nested(connection) and turns.in_transaction(_driver(connection)):
                raise turns.in_transaction_of_application()
            return use(connection)
        finally:
            connection.close()


class ThreadLender:
    """Connections of an Engine, in worker threads of the event loop."""

    def __init__(self, engine: sa.Engine) -> None:
        self._lender = Lender(engine)
        # A database in this thread's memory is nowhere else, and never waits.
        self._here = _of_one_thread(engine)

    async def answer(self, adapter: SqlAdapter, operation: Read | Append) -> Any:
        """As `Lender.answer`. What was begun when the task is cancelled ends by itself, whole."""
        return await self._hop(lambda: self._lender.answer(adapter, operation))

    async def check(self, adapter: SqlAdapter) -> None:
        """As `Lender.check`."""
        await self._hop(lambda: self._lender.check(adapter))

    async def _hop(self, work: Callable[[], R]) -> R:
        return work() if self._here else await asyncio.to_thread(work)


class AsyncLender:
    """Connections of an AsyncEngine."""

    def __init__(self, engine: "AsyncEngine") -> None:
        from sqlalchemy.util import greenlet_spawn  # noqa: PLC0415  (it needs greenlet, too)

        self._engine = engine
        pool = engine.sync_engine.pool
        if isinstance(pool, StaticPool):
            _turns_at(pool, asyncio.current_task)
        self._hops = engine.dialect.driver == "aiosqlite"
        self._in_greenlet = greenlet_spawn
        self._lender = None if self._hops or is_one(pool) else Lender(engine.sync_engine)
        _engines.add(engine.sync_engine)

    def _in_one(self) -> Lender | None:
        """What lends in one greenlet for all of the work.

        With `AsyncConnection.run_sync` there are three, two of them to check the connection out and
        in, and a task: its return must not be cancelled where it waits. Here it must not wait.
        """
        pool: Any = self._engine.sync_engine.pool
        if not isinstance(pool, sa.AsyncAdaptedQueuePool):
            return None
        return None if pool.dispatch.checkin or pool.dispatch.reset else self._lender

    async def answer(self, adapter: SqlAdapter, operation: Read | Append) -> Any:
        """As `Lender.answer`."""
        if (lender := self._in_one()) is not None:
            return await self._in_greenlet(lender.answer, adapter, operation)
        try:
            answer = await self.lend(lambda connection: adapter.perform(connection, operation))
        except StorageUnavailable as error:
            if isinstance(error.__cause__, sa.exc.TimeoutError):
                raise
            return Unavailable(error, nothing_stored=True)
        if isinstance(answer, Unavailable) and not answer.nothing_stored:
            _outdate(self._engine.sync_engine.pool)
        return answer

    async def check(self, adapter: SqlAdapter) -> None:
        """As `Lender.check`."""
        if await self.lend(adapter.check) is not None:
            _outdate(self._engine.sync_engine.pool)
            if (broken := await self.lend(adapter.check)) is not None:
                raise broken

    async def lend(self, use: Callable[[PoolProxiedConnection], R]) -> R:
        """As `Lender.lend`."""
        if (lender := self._in_one()) is not None:
            return await self._in_greenlet(lender.lend, use)
        pool = self._engine.sync_engine.pool
        if not isinstance(pool, StaticPool):
            return await self._lend(use)
        async with _async_lock(pool):
            if self._hops:
                return await self._lend_in_one_hop(pool, use)
            return await self._lend(use)

    async def _lend(self, use: Callable[[PoolProxiedConnection], R]) -> R:
        connection = self._engine.connect()
        try:
            await connection.start()
        except Exception as error:
            raise refused(self._engine.sync_engine, error) from error
        try:
            if self._hops:
                driver: Any = (await connection.get_raw_connection()).driver_connection
                return await _in_one_hop(driver, lambda: use(_lent(driver)))
            return await connection.run_sync(lambda plain: use(plain.connection))
        finally:
            await asyncio.shield(connection.close())

    async def _lend_in_one_hop(
        self, pool: StaticPool, use: Callable[[PoolProxiedConnection], R]
    ) -> R:
        """All of the work as one call in the driver's thread, between calls of other tasks.

        To keep the application's tasks waiting in the pool would not do: one that is cancelled
        there makes the pool close the connection, and with it the database.
        """
        # The pool makes its connection when it is first asked for; then it must be awaited.
        made = vars(pool).get("connection")
        if made is None or made.driver_connection is None:
            async with self._engine.connect():
                pass
        driver: Any = pool.connection.driver_connection
        at, deadline = _turns_at(pool, asyncio.current_task), time.monotonic() + turns.WAIT
        while True:
            done = await _in_one_hop(driver, lambda: _unless_in_transaction(driver._conn, use))
            if done is not None:
                return done[0]
            if at.has_it():
                raise turns.in_transaction_of_application()
            if time.monotonic() > deadline:
                raise turns.kept_by_others()
            await asyncio.sleep(turns.STEP)


def sqlite_engine(database: str | os.PathLike[str] = ":memory:", **options: Any) -> sa.Engine:
    """An Engine for a SQLite file, or for a database in memory that threads can share.

    A file is set to WAL, so that readers and a writer do not wait for each other, with every
    commit on the disk (`synchronous=FULL`). A database in memory lives as long as its engine, and
    has as many connections as the pool gives; its readers wait for a writer. A lock is waited for
    up to 30 s. Savepoints are real ones (`begin_nested`). `options` go to
    `sqlalchemy.create_engine`.
    """
    arguments = {"timeout": 30, "check_same_thread": False, **options.pop("connect_args", {})}
    name = os.fspath(database)
    if name == ":memory:":
        return _engine_in_memory(connect_args=arguments, **options)
    url = sa.URL.create("sqlite", database=name)
    engine = sa.create_engine(url, connect_args=arguments, **options)
    keep_savepoints(engine)

    @sa.event.listens_for(engine, "connect")
    def set_up(driver: Any, record: Any) -> None:
        driver.execute("PRAGMA journal_mode=WAL")
        driver.execute("PRAGMA synchronous=FULL")

    return engine


def _engine_in_memory(**options: Any) -> sa.Engine:
    # The VFS "memdb" (src/memdb.c of SQLite, since 3.36) shares what has a name that begins with
    # "/" within the process, and lets busy connections wait, as a shared cache would not.
    name = f"file:/spry-{uuid.uuid4().hex}"
    url = sa.URL.create("sqlite", database=name, query={"vfs": "memdb", "uri": "true"})
    engine = sa.create_engine(url, **options)
    keep_savepoints(engine)
    # The database ends with its last connection: this one is closed when the engine is collected.
    keeper = sqlite3.connect(f"{name}?vfs=memdb", uri=True, check_same_thread=False)
    finalize(engine, keeper.close)
    return engine


def refused(engine: sa.Engine, error: Exception) -> StorageUnavailable:
    """The error for a connection that could not be had. Raises what is not the driver's."""
    if isinstance(error, sa.exc.TimeoutError):  # waited for long enough: not to be tried again
        raise exhausted() from error
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    dbapi: Any = engine.dialect.dbapi
    if isinstance(cause, dbapi.Error | OSError):
        failure = unavailable(type(cause).__name__)
        failure.__cause__ = error
        return failure
    raise error


def is_one(pool: Pool) -> bool:
    """Whether all, or all of a thread, have the same connection."""
    return isinstance(pool, StaticPool | SingletonThreadPool)


def _outdate(pool: Pool) -> None:
    """One connection broke: the others of the pool may be as dead; each is replaced when next used.

    It is what SQLAlchemy does where it sees a connection break; it has no public name.
    """
    if not is_one(pool):
        pool._invalidate(None)  # type: ignore[arg-type]


# One connection for all, or one for each thread --------------------------------------------------

_turns: WeakKeyDictionary[Pool, Turns] = WeakKeyDictionary()
_async_locks: WeakKeyDictionary[
    Pool, WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]
] = WeakKeyDictionary()
_first = threading.Lock()


def _turns_at(pool: StaticPool, me: Callable[[], Any] = threading.get_ident) -> Turns:
    with _first:
        if pool not in _turns:
            _turns[pool] = Turns(pool, me)
        return _turns[pool]


def _async_lock(pool: StaticPool) -> asyncio.Lock:
    """A lock belongs to an event loop; an engine may serve one `asyncio.run` after another."""
    of_pool = _async_locks.setdefault(pool, WeakKeyDictionary())
    return of_pool.setdefault(asyncio.get_running_loop(), asyncio.Lock())


def _refuse_transaction(pool: StaticPool, at: Turns) -> None:
    # Before it is checked out: its return to the pool would roll the transaction back.
    driver: Any = pool.connection.dbapi_connection
    # With autocommit=False (Python 3.12) one is always open: then it counts if the caller has it.
    if turns.in_transaction(driver) and (
        at.has_it() or getattr(driver, "autocommit", None) is not False
    ):
        raise turns.in_transaction_of_application()


def _nested(connection: Any) -> bool:
    """Whether a SingletonThreadPool has lent this connection to the thread before."""
    return bool(connection._counter > 1)


def _driver(connection: PoolProxiedConnection) -> Any:
    return connection.dbapi_connection


def _of_one_thread(engine: sa.Engine) -> bool:
    """Whether each thread that connects finds a database in memory of its own."""
    url = engine.url
    in_memory = url.database in (None, "", ":memory:", "file::memory:")
    return (
        isinstance(engine.pool, SingletonThreadPool)
        and (in_memory or url.query.get("mode") == "memory")
        and url.query.get("cache") != "shared"
    )


async def _in_one_hop(driver: Any, work: Callable[[], R]) -> R:
    """Run all of an operation in aiosqlite's thread, instead of a hop for each call.

    It is how aiosqlite itself runs what it has no method for; it has no public name.
    """
    done: R = await driver._execute(work)
    return done


def _lent(driver: Any) -> PoolProxiedConnection:
    return cast("PoolProxiedConnection", _Bare(driver._conn))


def _unless_in_transaction(
    driver: sqlite3.Connection, use: Callable[[PoolProxiedConnection], R]
) -> tuple[R] | None:
    if driver.in_transaction:
        return None
    return (use(cast("PoolProxiedConnection", _Bare(driver))),)


class _Bare:
    """A connection that no pool has lent, as far as an adapter needs it."""

    def __init__(self, driver: sqlite3.Connection) -> None:
        self.dbapi_connection = driver
        self.cursor = driver.cursor

    def invalidate(self, _error: BaseException) -> None:
        """There is no other to replace it by."""


# Fork -------------------------------------------------------------------------------------------

_engines: WeakSet[sa.Engine] = WeakSet()
_of_parent: list[Pool] = []
"""Kept, for a child must not even close what it has inherited: sqlite.org/howtocorrupt.html, 2.6"""


def _leave_connections_to_parent() -> None:
    # A socket shared by two processes mixes their answers; SQLite forbids it, too.
    # https://docs.sqlalchemy.org/en/21/core/pooling.html#using-connection-pools-with-multiprocessing-or-os-fork
    for engine in list(_engines):
        if not is_one(engine.pool):
            _of_parent.append(engine.pool)
            engine.dispose(close=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_connections_to_parent)
