"""SQLite in memory, which the application uses, too: neither loses what the other has stored."""

import asyncio
import gc
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

import spry_sqla as spry
from spry_sqla.sql import turns
from tests.faults.domain import Add, Counter, domain
from tests.faults.ledger import read_ledger
from tests.faults.waiting import LONG
from tests.processes import in_threads

COMMANDS = 200


def static() -> sa.Engine:
    return sa.create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )


def of_thread() -> sa.Engine:
    return sa.create_engine("sqlite://")


@pytest.fixture(params=[spry.sqlite_engine, static], ids=["sqlite_engine", "StaticPool"])
def engine(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    engine: sa.Engine = request.param()
    domain.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture(params=[static, of_thread], ids=["StaticPool", "SingletonThreadPool"])
def one(request: pytest.FixtureRequest) -> Iterator[sa.Engine]:
    """An engine whose connection in a thread is always the same."""
    engine: sa.Engine = request.param()
    domain.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE app (x)")
    yield engine
    engine.dispose()


def count(engine: sa.Engine) -> Any:
    with engine.connect() as connection:
        return connection.exec_driver_sql("SELECT count(*) FROM app").scalar()


# Threads -----------------------------------------------------------------------------------------


@contextmanager
def busy_application(engine: sa.Engine) -> Iterator[list[int]]:
    """The application reads and writes in another thread; gives the numbers it has stored."""
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE app (x)")
    stop, stored = threading.Event(), list[int]()

    def work() -> None:
        while not stop.is_set():
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1").scalar()
            with engine.begin() as connection:
                connection.exec_driver_sql("INSERT INTO app VALUES (1)")
            stored.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield stored
    finally:
        stop.set()
        thread.join(LONG)


def test_what_is_reported_as_stored_is_there_beside_a_busy_application(engine: sa.Engine) -> None:
    counters = spry.Storage(engine, domain).repository(Counter)

    with busy_application(engine) as stored:
        for number in range(COMMANDS):
            assert counters.handle(Add(f"counter {number}")).ok

    assert all(counters.exists(name=f"counter {number}") for number in range(COMMANDS))
    assert len(read_ledger(engine).check().commands) == COMMANDS
    assert count(engine) == len(stored)


def test_eight_threads_write_beside_a_busy_application(engine: sa.Engine) -> None:
    counters = spry.Storage(engine, domain).repository(Counter)

    def work(writer: int) -> int:
        return sum(
            counters.handle(Add(f"counter {writer}")).ok + counters.handle(Add("all")).ok
            for _ in range(10)
        )

    with busy_application(engine):
        assert in_threads(8, work) == [20] * 8

    assert counters.fetch(name="all").total == 80
    assert len(read_ledger(engine).check().commands) == 160


def test_a_connection_that_is_lent_twice_hinders_nobody(engine: sa.Engine) -> None:
    counters = spry.Storage(engine, domain).repository(Counter)

    with engine.connect() as outer:
        with engine.connect() as inner:
            assert counters.handle(Add("ada")).ok
            inner.exec_driver_sql("SELECT 1")
        assert counters.handle(Add("ada")).ok
        outer.exec_driver_sql("SELECT 1")

    assert in_threads(2, lambda _: counters.handle(Add("ada")).ok) == [True, True]


def test_a_connection_that_another_thread_keeps_ends_in_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = static()
    domain.metadata.create_all(engine)
    counters = spry.Storage(engine, domain).repository(Counter)
    monkeypatch.setattr(turns, "WAIT", 0.05)

    with engine.connect(), pytest.raises(spry.StorageUnavailable, match="kept it for"):
        in_threads(1, lambda _: counters.handle(Add("ada")).ok)

    assert counters.handle(Add("ada")).modified.total == 1
    engine.dispose()


# In the application's transaction ----------------------------------------------------------------


def test_within_a_transaction_on_the_one_connection_all_is_refused(one: sa.Engine) -> None:
    counters = spry.Storage(one, domain).repository(Counter)

    with one.begin() as connection:
        connection.exec_driver_sql("INSERT INTO app VALUES (1)")
        with pytest.raises(spry.StorageError, match="end it first"):
            counters.fetch(name="ada")
        with pytest.raises(spry.StorageError, match="end it first"):
            counters.handle(Add("ada"))
        with pytest.raises(spry.StorageError, match="end it first"):
            spry.Storage(one, domain)

    assert count(one) == 1
    assert not counters.exists(name="ada")
    assert counters.handle(Add("ada")).modified.total == 1


def test_a_storage_that_is_opened_in_a_transaction_does_not_end_it(one: sa.Engine) -> None:
    with one.begin() as connection:
        connection.exec_driver_sql("INSERT INTO app VALUES (1)")
        with pytest.raises(spry.StorageError, match="end it first"):
            spry.Storage(one, domain)

    assert count(one) == 1


# Tasks -------------------------------------------------------------------------------------------


async def opened() -> AsyncEngine:
    engine = create_async_engine("sqlite+aiosqlite://")
    async with engine.begin() as connection:
        await connection.run_sync(domain.metadata.create_all)
        await connection.exec_driver_sql("CREATE TABLE app (x)")
    return engine


async def count_async(engine: AsyncEngine, table: str = "app") -> Any:
    async with engine.connect() as connection:
        return (await connection.exec_driver_sql(f"SELECT count(*) FROM {table}")).scalar()


def test_what_is_reported_as_stored_is_there_beside_busy_tasks() -> None:
    async def work() -> None:
        engine = await opened()
        counters = spry.AsyncStorage(engine, domain).repository(Counter)
        stored, writing = 0, True

        async def application() -> None:
            nonlocal stored
            while writing:
                await count_async(engine)
                async with engine.begin() as connection:
                    await connection.exec_driver_sql("INSERT INTO app VALUES (1)")
                    await asyncio.sleep(0)
                stored += 1

        busy = asyncio.create_task(application())
        for number in range(COMMANDS):
            assert (await counters.handle(Add(f"counter {number}"))).ok
        writing = False
        await busy

        for number in range(COMMANDS):
            assert await counters.exists(name=f"counter {number}")
        assert await count_async(engine, "counter_commands") == COMMANDS
        assert await count_async(engine, "counter_events") == COMMANDS
        assert await count_async(engine) == stored
        await engine.dispose()

    asyncio.run(work())


def test_within_a_tasks_own_transaction_all_is_refused() -> None:
    async def work() -> None:
        engine = await opened()
        counters = spry.AsyncStorage(engine, domain).repository(Counter)
        assert (await counters.handle(Add("ada"))).ok

        async with engine.begin() as connection:
            await connection.exec_driver_sql("INSERT INTO app VALUES (1)")
            with pytest.raises(spry.StorageError, match="end it first"):
                await counters.handle(Add("ada"))
            with pytest.raises(spry.StorageError, match="end it first"):
                await counters.fetch(name="ada")

        assert await count_async(engine) == 1
        assert (await counters.handle(Add("ada"))).modified.total == 2
        await engine.dispose()

    asyncio.run(work())


def test_a_cancelled_task_leaves_the_database_in_memory_whole() -> None:
    async def work() -> None:
        engine = await opened()
        counters = spry.AsyncStorage(engine, domain).repository(Counter)
        await counters.handle(Add("ada"))

        for turn in range(20):
            task = asyncio.create_task(counters.handle(Add("ada")))
            for _ in range(turn):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

        assert await count_async(engine, "counter_commands") == await count_async(
            engine, "counter_events"
        )
        assert (await counters.handle(Add("ada"))).ok
        await engine.dispose()

    asyncio.run(work())


def test_an_engine_in_memory_serves_one_event_loop_after_another() -> None:
    engine = create_async_engine("sqlite+aiosqlite://")
    storage = spry.AsyncStorage(engine, domain)

    async def at_once() -> int:
        async with engine.begin() as connection:
            await connection.run_sync(domain.metadata.create_all)
        counters = storage.repository(Counter)
        await asyncio.gather(*(counters.handle(Add("ada")) for _ in range(3)))
        return (await counters.fetch(name="ada")).total

    assert [asyncio.run(at_once()) for _ in range(3)] == [3, 6, 9]
    asyncio.run(engine.dispose())


# The life of a database in memory ----------------------------------------------------------------


def test_an_engine_in_memory_that_has_no_connection_yet_has_no_tables() -> None:
    async def use() -> None:
        engine = create_async_engine("sqlite+aiosqlite://")
        counters = spry.AsyncStorage(engine, domain).repository(Counter)
        with pytest.raises(spry.TablesMissing):
            await counters.fetch(name="a")
        async with engine.begin() as connection:
            await connection.run_sync(domain.metadata.create_all)
        assert (await counters.handle(Add("a"))).ok
        await engine.dispose()
        with pytest.raises(spry.TablesMissing):
            await counters.fetch(name="a")
        await engine.dispose()

    asyncio.run(use())


def test_a_database_in_memory_lives_as_long_as_its_engine() -> None:
    engine, other = spry.sqlite_engine(), spry.sqlite_engine(":memory:")
    domain.metadata.create_all(engine)
    counters = spry.Storage(engine, domain).repository(Counter)
    counters.handle(Add("ada"))
    name = str(engine.url.database)

    engine.dispose()
    assert counters.fetch(name="ada").total == 1
    with pytest.raises(spry.TablesMissing):
        spry.Storage(other, domain)
    engine.dispose()
    other.dispose()

    del engine, counters
    gc.collect()
    again = sqlite3.connect(f"{name}?vfs=memdb", uri=True)
    assert again.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    again.close()


def test_a_child_has_a_database_in_memory_of_its_own() -> None:
    engine = spry.sqlite_engine()
    domain.metadata.create_all(engine)
    counters = spry.Storage(engine, domain).repository(Counter)
    counters.handle(Add("ada"))

    pid = os.fork()
    if not pid:
        code = 1
        try:
            code = 0 if counters.handle(Add("ada")).modified.total == 2 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    assert counters.fetch(name="ada").total == 1
    engine.dispose()


def test_a_connection_that_was_given_back_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "WAIT", 0.05)
    engine = static()
    domain.metadata.create_all(engine)
    counters = spry.Storage(engine, domain).repository(Counter)
    kept = engine.raw_connection()
    kept.close()

    assert in_threads(1, lambda _: counters.handle(Add("ada")).ok) == [True]

    assert not kept.is_valid
    engine.dispose()


def test_a_task_does_not_wait_for_ever_for_the_transaction_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "WAIT", 0.05)

    async def work() -> None:
        engine = create_async_engine("sqlite+aiosqlite://")
        async with engine.begin() as connection:
            await connection.run_sync(domain.metadata.create_all)
            await connection.exec_driver_sql("CREATE TABLE app (x)")
        counters = spry.AsyncStorage(engine, domain).repository(Counter)
        await counters.handle(Add("ada"))
        async with engine.begin() as connection:
            await connection.exec_driver_sql("INSERT INTO app VALUES (1)")
            async with asyncio.timeout(LONG):
                with pytest.raises(spry.StorageUnavailable, match="kept it for"):
                    await asyncio.create_task(counters.handle(Add("ada")))
        assert (await counters.handle(Add("ada"))).modified.total == 2
        await engine.dispose()

    asyncio.run(work())
