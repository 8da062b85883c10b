"""As `test_transaction`, awaited: in each world in which a storage can be."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

import spry_sqla as spry
from tests.faults.domain import Add, Counter
from tests.transactions.shop import PlainApp, domain


class Oops(Exception):
    pass


WAYS = [
    *("memory", "sqlite engine", "postgresql async"),
    *(pytest.param(way, marks=pytest.mark.long) for way in ("aiosqlite", "postgresql engine")),
]


@pytest.fixture(params=WAYS)
def awaited(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Makes an asynchronous storage, in a running loop."""
    if request.param == "memory":
        yield lambda: spry.AsyncMemoryStorage(domain)
        return
    kind = "sqlite" if "sqlite" in request.param else "postgresql"
    url = request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[kind])
    with closing(PlainApp(url)) as app:
        if request.param.endswith("engine"):
            yield lambda: spry.AsyncStorage(app.engine, domain)
        else:
            parsed = sa.make_url(url)
            if kind == "sqlite":
                parsed = parsed.set(drivername="sqlite+aiosqlite")
            yield lambda: spry.AsyncStorage(
                create_async_engine(parsed, poolclass=sa.NullPool), domain
            )


def test_all_or_none(awaited: Any) -> None:
    async def work() -> None:
        storage = awaited()
        async with storage.transaction() as transaction:
            await transaction.repository(Counter).handle(Add("a", 1))
            await transaction.repository(Counter).handle(Add("b", 2))
            await transaction.repository(Counter).handle(Add("a", 3))
        with pytest.raises(Oops):
            async with storage.transaction() as transaction:
                await transaction.repository(Counter).handle(Add("a", 100))
                raise Oops
        counters = storage.repository(Counter)
        assert [(await counters.fetch(name=name)).total for name in "ab"] == [4, 2]

    asyncio.run(work())


def test_a_decorated_function_runs_again_as_a_whole(awaited: Any) -> None:
    async def work() -> None:
        storage: spry.AsyncStorage = awaited()

        @storage.transaction(retry=200)
        async def move(transaction: spry.JoinedAsync, by: int) -> None:
            counters = transaction.repository(Counter)
            await counters.handle(Add("left", -by))
            await counters.handle(Add("right", by))

        await asyncio.gather(*(move(by) for by in (1, 2, 3, 4)))
        counters = storage.repository(Counter)
        assert [(await counters.fetch(name=name)).total for name in ("left", "right")] == [-10, 10]

    asyncio.run(work())


def test_a_cancelled_task_stores_nothing_and_keeps_nothing(awaited: Any) -> None:
    async def work() -> None:
        storage = awaited()
        handled, never = asyncio.Event(), asyncio.Event()

        async def half() -> None:
            async with storage.transaction() as transaction:
                await transaction.repository(Counter).handle(Add("a", 100))
                handled.set()
                await never.wait()

        task = asyncio.create_task(half())
        await handled.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await storage.repository(Counter).handle(Add("a", 1))).unwrap().total == 1

    asyncio.run(work())


def test_tasks_that_use_one_transaction_at_the_same_moment_are_told_so(awaited: Any) -> None:
    async def work() -> None:
        storage = awaited()
        async with storage.transaction() as transaction:
            counters = transaction.repository(Counter)
            told = await asyncio.gather(
                *(counters.handle(Add(name)) for name in "abc"), return_exceptions=True
            )
            await counters.handle(Add("d"))
        assert [type(each) for each in told] == [spry.Results, *[spry.StorageError] * 2]
        assert "at the same moment" in str(told[1])
        counters = storage.repository(Counter)
        assert [await counters.exists(name=name) for name in "abcd"] == [True, False, False, True]

    asyncio.run(work())


def test_one_that_has_ended_or_begun_is_refused(awaited: Any) -> None:
    async def work() -> None:
        storage = awaited()
        once = storage.transaction()
        async with once as transaction:
            counters = transaction.repository(Counter)
            with pytest.raises(spry.StorageError, match="begun already"):
                await once.__aenter__()
        with pytest.raises(spry.StorageError, match="has ended"):
            await counters.handle(Add("a"))
        assert not await storage.repository(Counter).exists(name="a")

    asyncio.run(work())


def test_a_closed_storage_begins_none(awaited: Any) -> None:
    async def work() -> None:
        storage = awaited()
        await storage.close()
        storage.transaction()

    with pytest.raises(spry.StorageClosed):
        asyncio.run(work())


@pytest.mark.parametrize("awaited", [False, True], ids=["in a thread", "aiosqlite"])
def test_the_tables_are_checked_before_the_first_transaction(awaited: bool, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    plain = sa.create_engine(url)
    domain.metadata.create_all(plain)
    with plain.begin() as connection:
        connection.execute(sa.insert(domain.shared.format).values(version=99))

    async def main() -> None:
        engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"))
        storage = spry.AsyncStorage(engine if awaited else plain, domain)
        try:
            async with storage.transaction():
                pytest.fail("it must not begin")
        finally:
            await engine.dispose()

    with pytest.raises(spry.TablesOutdated):
        asyncio.run(main())
    plain.dispose()
