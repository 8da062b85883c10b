"""A task may be cancelled at any await, and leaves nothing behind: with a pool of one connection.

Each await in turn is cancelled, at two moments: while it waits, and when its answer has just come,
so that what was asked for was done and nobody was told.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import await_only

import spry_sqla as spry
from spry_conformance.cancelling import cancelled_at
from tests.faults.domain import Add, Counter, domain
from tests.faults.ledger import read_ledger
from tests.faults.waiting import LONG, until_async

pytestmark = pytest.mark.long

MOST = 400
"""Steps after which a call would have ended long ago."""

# Where a call may run ----------------------------------------------------------------------------


@dataclass
class World:
    """A storage on a pool of one connection, and a way to look at it from outside."""

    engine: AsyncEngine | sa.Engine
    outside: sa.Engine | None

    @property
    def pool(self) -> sa.Pool:
        return _plain(self.engine).pool

    def storage(self) -> spry.AsyncStorage:
        return spry.AsyncStorage(self.engine, domain)

    async def forget_connection(self) -> None:
        """Have none; but the one to a database in memory is the database."""
        if self.outside is not None:
            await _dispose(self.engine)

    async def come_to_rest(self) -> None:
        """The connection comes back to the pool, and holds no transaction and no lock."""
        pool = self.pool
        if isinstance(pool, QueuePool):
            await until_async(lambda: pool.checkedout() == 0, "the connection is in the pool")
        if self.outside is None:
            return
        with self.outside.connect() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                connection.rollback()
                return
            begun = connection.execute(
                sa.text(
                    "SELECT state, query FROM pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'"
                )
            ).all()
            assert not begun


OPTIONS: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 5}


@pytest.fixture(
    params=[
        *("psycopg", "psycopg with a hook", "psycopg in a thread", "aiosqlite"),
        *("sqlite in a thread", "aiosqlite memory"),
    ]
)
def make_world(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], World]:
    name: str = request.param
    if name.startswith("psycopg"):
        url = request.getfixturevalue("postgres_url")
        asynchronous = url
    else:
        url = f"sqlite:///{tmp_path / 'test.db'}"
        asynchronous = url.replace("sqlite:", "sqlite+aiosqlite:")

    def make() -> World:
        if name.endswith("memory"):
            return World(create_async_engine("sqlite+aiosqlite://"), None)
        outside = sa.create_engine(
            url,
            connect_args={"timeout": 0} if url.startswith("sqlite") else {},
        )
        if name.endswith("thread"):
            return World(sa.create_engine(url, **OPTIONS), outside)
        engine = create_async_engine(asynchronous, **OPTIONS)
        if name.endswith("hook"):
            sa.event.listen(engine.sync_engine, "checkin", _clear_up)
        return World(engine, outside)

    return make


def _clear_up(driver: Any, _: object) -> None:
    """The application's own: it has to wait for the server when the connection goes back."""
    if driver is not None:
        driver.cursor().execute("RESET search_path")
        driver.commit()


@asynccontextmanager
async def opened(make_world: Callable[[], World]) -> AsyncIterator[World]:
    world = make_world()
    if isinstance(world.engine, AsyncEngine):
        async with world.engine.begin() as connection:
            await connection.run_sync(domain.metadata.create_all)
    else:
        domain.metadata.create_all(world.engine)
    try:
        yield world
    finally:
        await _dispose(world.engine)
        if world.outside is not None:
            world.outside.dispose()


Call = Callable[[spry.AsyncStorage], Coroutine[Any, Any, object]]

# What is cancelled -------------------------------------------------------------------------------


async def handle(storage: spry.AsyncStorage) -> None:
    await storage.repository(Counter).handle(Add("ada", parts=2))


async def handle_with_key(storage: spry.AsyncStorage) -> None:
    await storage.repository(Counter).handle(Add("ada", parts=2), idempotency_key="the key")


async def handle_many(storage: spry.AsyncStorage) -> None:
    await storage.repository(Counter).handle_many(
        [Add("ada", parts=2), Add("eve", parts=2), Add("ada", parts=2)]
    )


async def fetch(storage: spry.AsyncStorage) -> None:
    await storage.repository(Counter).fetch(name="ada")


async def history(storage: spry.AsyncStorage) -> None:
    async for _ in storage.repository(Counter).history(name="ada"):
        pass


async def check(storage: spry.AsyncStorage) -> None:
    await storage.check()


@pytest.mark.parametrize("answered", [False, True], ids=["while it waits", "when it is answered"])
@pytest.mark.parametrize(
    ("call", "begin"),
    [
        (handle, "connected"),
        (handle, "not connected"),
        (handle_with_key, "connected"),
        (handle_many, "connected"),
        (fetch, "connected"),
        (fetch, "not connected"),
        (history, "connected"),
        (check, "not connected"),
    ],
)
def test_a_call_cancelled_at_each_await_leaves_nothing_behind(
    make_world: Callable[[], World], call: Call, begin: str, answered: bool
) -> None:
    async def cancel_each() -> int:
        async with opened(make_world) as world:
            storage = world.storage()
            counters = storage.repository(Counter)
            await counters.handle(Add("ada"))
            for step in range(1, MOST):
                if begin == "not connected":
                    await world.forget_connection()
                reached: list[int] = []
                work = cancelled_at(step, answered, call(storage), reached)
                with suppress(asyncio.CancelledError):
                    await asyncio.create_task(work)
                if not reached:
                    versions = [entry.version async for entry in counters.history(name="ada")]
                    assert versions == list(range(1, versions[-1] + 1))
                    return step - 1
                await world.come_to_rest()

                # Another one works, and what is there is whole.
                before = await counters.fetch(name="ada")
                after = (await counters.handle(Add("ada"))).unwrap()
                assert after.total == before.total + 1
                if world.outside is not None:
                    read_ledger(world.outside).check()
        raise AssertionError("it never ended")

    async def bounded() -> int:
        async with asyncio.timeout(4 * LONG):
            return await cancel_each()

    assert asyncio.run(bounded()) >= 1


# Abandoned and given up ---------------------------------------------------------------------------


def test_a_history_that_is_abandoned_holds_no_connection(make_world: Callable[[], World]) -> None:
    async def abandon() -> None:
        async with opened(make_world) as world:
            counters = world.storage().repository(Counter)
            await counters.handle(Add("ada", parts=5))

            entries = counters.history(name="ada")
            async for entry in entries:
                assert entry.version == 1
                # In the midst of it the only connection serves others.
                assert (await counters.handle(Add("ada"))).ok
                break
            await world.come_to_rest()

            assert (await counters.fetch(name="ada")).total == 6

    asyncio.run(abandon())


def test_a_task_that_waits_for_a_connection_may_be_cancelled(
    make_world: Callable[[], World],
) -> None:
    async def give_up() -> None:
        async with opened(make_world) as world:
            counters = world.storage().repository(Counter)
            await counters.handle(Add("ada"))

            many = [asyncio.create_task(counters.handle(Add("ada"))) for _ in range(8)]
            await asyncio.sleep(0)
            for task in many[::2]:
                task.cancel()
            answers = await asyncio.wait_for(asyncio.gather(*many, return_exceptions=True), LONG)

            await world.come_to_rest()
            assert all(isinstance(answer, spry.Results) for answer in answers[1::2])
            state = await counters.fetch(name="ada")
            assert 5 <= state.total <= 9
            versions = [entry.version async for entry in counters.history(name="ada")]
            assert versions == list(range(1, state.total + 1))

    asyncio.run(give_up())


async def _dispose(engine: AsyncEngine | sa.Engine) -> None:
    if isinstance(engine, AsyncEngine):
        await engine.dispose()
    else:
        engine.dispose()


def _plain(engine: AsyncEngine | sa.Engine) -> sa.Engine:
    return engine.sync_engine if isinstance(engine, AsyncEngine) else engine


@pytest.mark.parametrize("moment", ["checkin", "reset"])
def test_what_the_application_does_when_a_connection_goes_back_is_not_cancelled(
    postgres_url: str, moment: str
) -> None:
    ended: list[str] = []

    async def cancel() -> None:
        reached, go_on = asyncio.Event(), asyncio.Event()

        def clear_up(*_: object) -> None:
            reached.set()
            try:
                await_only(go_on.wait())
            except BaseException as error:
                ended.append(type(error).__name__)
                raise
            ended.append("whole")

        engine = create_async_engine(postgres_url, **OPTIONS)
        async with engine.begin() as connection:
            await connection.run_sync(domain.metadata.create_all)
        counters = spry.AsyncStorage(engine, domain).repository(Counter)
        await counters.handle(Add("ada"))
        sa.event.listen(engine.sync_engine, moment, clear_up)

        task = asyncio.create_task(counters.handle(Add("ada")))
        await reached.wait()
        task.cancel()
        await asyncio.wait([task])
        go_on.set()
        await until_async(lambda: ended, "the connection goes back")

        assert ended == ["whole"]
        assert (await counters.fetch(name="ada")).total == 2
        await engine.dispose()

    asyncio.run(cancel())
