"""Many at one SQLite database: everybody waits for their turn, and nobody hears "is locked"."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

import spry_sqla as spry
from tests.faults.domain import Add, Counter, domain
from tests.faults.ledger import read_ledger
from tests.faults.waiting import LONG
from tests.processes import Barrier, in_processes, in_threads

pytestmark = pytest.mark.long

PROCESSES = 8
COMMANDS = 50

Open = Callable[[str], sa.Engine]


def with_wal(file: str) -> sa.Engine:
    return spry.sqlite_engine(file)


def with_journal(file: str) -> sa.Engine:
    return sa.create_engine(f"sqlite:///{file}")


on_both = pytest.mark.parametrize("open_engine", [with_wal, with_journal])


@pytest.fixture
def file(tmp_path: Path) -> str:
    return str(tmp_path / "test.db")


@pytest.fixture
def engine(file: str, open_engine: Open) -> Iterator[sa.Engine]:
    engine = open_engine(file)
    domain.metadata.create_all(engine)
    yield engine
    engine.dispose()


# Processes ---------------------------------------------------------------------------------------


def write_to_own_actor(number: int, barrier: Barrier, open_engine: Open, file: str) -> int:
    engine = open_engine(file)
    counters = spry.Storage(engine, domain).repository(Counter)
    barrier.wait()
    stored = [counters.handle(Add(f"counter {number}")).ok for _ in range(COMMANDS)]
    engine.dispose()
    return sum(stored)


@on_both
def test_eight_processes_write_to_one_file(engine: sa.Engine, open_engine: Open, file: str) -> None:
    stored = in_processes(PROCESSES, write_to_own_actor, open_engine, file)

    assert stored == [COMMANDS] * PROCESSES
    counters = spry.Storage(engine, domain).repository(Counter)
    for number in range(PROCESSES):
        assert counters.fetch(name=f"counter {number}").total == COMMANDS
    ledger = read_ledger(engine).check()
    assert len(ledger.events) == PROCESSES * COMMANDS


def write_awaiting(number: int, barrier: Barrier, file: str) -> int:
    async def write() -> int:
        engine = create_async_engine(f"sqlite+aiosqlite:///{file}")
        counters = spry.AsyncStorage(engine, domain).repository(Counter)
        await counters.exists(name="ada")
        barrier.wait()

        async def some(task: int) -> list[bool]:
            name = f"counter {number} {task}"
            return [(await counters.handle(Add(name))).ok for _ in range(COMMANDS // 10)]

        stored = await asyncio.gather(*(some(task) for task in range(4)))
        await engine.dispose()
        return sum(map(sum, stored))

    return asyncio.run(write())


@on_both
def test_processes_write_to_one_file_through_aiosqlite(engine: sa.Engine, file: str) -> None:
    stored = in_processes(4, write_awaiting, file)

    assert stored == [4 * COMMANDS // 10] * 4
    assert len(read_ledger(engine).check().events) == sum(stored)


# Readers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("open_engine", [with_wal])
def test_a_reader_with_an_open_cursor_hinders_nobody(engine: sa.Engine, file: str) -> None:
    counters = spry.Storage(engine, domain).repository(Counter)
    counters.handle_many([Add("ada", parts=1_500), Add("eve", parts=1_500)])
    reader = sqlite3.connect(file, timeout=0)
    cursor = reader.execute("SELECT sequence FROM counter_events ORDER BY id")
    assert cursor.fetchone() == (1,)

    for number in range(1, 21):
        assert counters.handle(Add("ada")).modified.total == 1_500 + number

    assert len(cursor.fetchall()) == 2_999
    reader.close()


@pytest.mark.parametrize("open_engine", [with_wal])
def test_a_history_that_is_read_while_others_write_hinders_nobody(engine: sa.Engine) -> None:
    counters = spry.Storage(engine, domain).repository(Counter)
    counters.handle(Add("ada", parts=10))

    seen = 0
    for entry in counters.history(name="ada"):
        seen = entry.version
        assert counters.handle(Add("ada")).ok

    assert seen == 10
    assert counters.fetch(name="ada").total == 20


@on_both
def test_a_writer_waits_while_another_holds_the_file(engine: sa.Engine, file: str) -> None:
    counters = spry.Storage(engine, domain).repository(Counter)
    counters.handle(Add("ada"))
    other = sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")

    released = threading.Timer(0.5, other.execute, ["ROLLBACK"])
    released.start()
    result = counters.handle(Add("ada"))

    assert result.modified.total == 2
    released.join()
    other.close()


@on_both
def test_a_reader_does_not_wait_while_another_holds_the_file(engine: sa.Engine, file: str) -> None:
    counters = spry.Storage(engine, domain).repository(Counter)
    counters.handle(Add("ada"))
    other = sqlite3.connect(file, timeout=0, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    assert counters.fetch(name="ada").total == 1

    other.execute("ROLLBACK")
    other.close()


def test_a_file_that_stays_locked_ends_in_an_error_that_says_so(file: str) -> None:
    engine = sa.create_engine(f"sqlite:///{file}", connect_args={"timeout": 0.01})
    domain.metadata.create_all(engine)
    counters = spry.Storage(engine, domain, attempts=3).repository(Counter)
    counters.handle(Add("ada"))
    other = sqlite3.connect(file, timeout=0, isolation_level=None)

    other.execute("BEGIN IMMEDIATE")
    with pytest.raises((spry.ConcurrencyError, spry.StorageUnavailable)):
        counters.handle(Add("ada"))
    other.execute("ROLLBACK")

    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(spry.StorageUnavailable, match="locked"):
        counters.fetch(name="ada")
    other.execute("ROLLBACK")
    other.close()

    assert counters.handle(Add("ada")).modified.total == 2
    engine.dispose()


# In memory ---------------------------------------------------------------------------------------


def test_threads_share_a_database_in_memory() -> None:
    engine = spry.sqlite_engine(":memory:")
    domain.metadata.create_all(engine)
    counters = spry.Storage(engine, domain).repository(Counter)

    def work(writer: int) -> int:
        return sum(
            counters.handle(Add(f"counter {writer}")).ok + counters.handle(Add("all")).ok
            for _ in range(10)
        )

    stored = in_threads(8, work)

    assert stored == [20] * 8
    assert counters.fetch(name="all").total == 80
    assert counters.fetch(name="counter 3").total == 10
    assert len(read_ledger(engine).check().events) == 160
    engine.dispose()


@pytest.mark.parametrize("shared", [True, False], ids=["sqlite_engine", "create_engine"])
def test_tasks_share_a_database_in_memory(shared: bool) -> None:
    engine = spry.sqlite_engine(":memory:") if shared else sa.create_engine("sqlite://")
    domain.metadata.create_all(engine)

    async def at_once() -> None:
        counters = spry.AsyncStorage(engine, domain).repository(Counter)
        answers = await asyncio.gather(*(counters.handle(Add("ada")) for _ in range(16)))
        assert all(answer.ok for answer in answers)
        assert (await counters.fetch(name="ada")).total == 16

    asyncio.run(at_once())
    engine.dispose()


def test_tasks_share_a_database_in_memory_through_aiosqlite() -> None:
    async def at_once() -> None:
        engine = create_async_engine("sqlite+aiosqlite://")
        async with engine.begin() as connection:
            await connection.run_sync(domain.metadata.create_all)
        counters = spry.AsyncStorage(engine, domain).repository(Counter)
        answers = await asyncio.gather(*(counters.handle(Add("ada")) for _ in range(16)))
        assert all(answer.ok for answer in answers)
        assert (await counters.fetch(name="ada")).total == 16
        await engine.dispose()

    asyncio.run(at_once())


def test_a_database_in_memory_of_one_thread_says_so_to_another() -> None:
    engine = sa.create_engine("sqlite://")
    domain.metadata.create_all(engine)
    counters = spry.Storage(engine, domain).repository(Counter)
    counters.handle(Add("ada"))

    with (
        ThreadPoolExecutor(1) as threads,
        pytest.raises(spry.StorageError, match=r"sqlite_engine\(':memory:'\)"),
    ):
        threads.submit(counters.handle, Add("ada")).result(LONG)

    assert counters.handle(Add("ada")).modified.total == 2
    engine.dispose()
