"""Whatever pool an engine has, the same works, and what the pool finds broken nobody notices."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import (
    AsyncAdaptedQueuePool,
    NullPool,
    QueuePool,
    SingletonThreadPool,
    StaticPool,
)

import spry_sqla as spry
from tests.faults.domain import Add, Counter, domain
from tests.pools.sessions import end_sessions
from tests.processes import in_threads
from tests.transactions.shop import App, AwaitedApp, Note, PlainApp

pytestmark = pytest.mark.long

Make = Callable[[pytest.FixtureRequest], Any]


def on(kind: str, make: Callable[..., Any], **options: Any) -> Make:
    """Makes an application on a database of a kind, with options of `create_engine`."""

    def made(request: pytest.FixtureRequest) -> Any:
        name = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}.get(kind)
        url = "sqlite://" if name is None else request.getfixturevalue(name)
        return make(url, **options)

    return made


ANY_THREAD = {"check_same_thread": False}
QUEUES: dict[str, Any] = {
    "sync": (PlainApp, QueuePool),
    "async": (AwaitedApp, AsyncAdaptedQueuePool),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "of five": {},
    "of one": {"pool_size": 1, "max_overflow": 0},
    "with pool_pre_ping": {"pool_pre_ping": True},
}
POOLS = {
    f"{kind}, {world}, {queue.__name__} {name}": on(kind, make, poolclass=queue, **options)
    for kind in ("sqlite", "postgresql")
    for world, (make, queue) in QUEUES.items()
    for name, options in OPTIONS.items()
} | {
    f"{kind}, {world}, NullPool": on(kind, make, poolclass=NullPool)
    for kind in ("sqlite", "postgresql")
    for world, (make, _) in QUEUES.items()
}
ONE_CONNECTION: dict[str, Make] = {
    "memory, sync, SingletonThreadPool": on("memory", PlainApp),
    "memory, sync, StaticPool": on(
        "memory", PlainApp, poolclass=StaticPool, connect_args=ANY_THREAD
    ),
    "memory, async, StaticPool": on("memory", AwaitedApp),
    "sqlite, sync, SingletonThreadPool": on("sqlite", PlainApp, poolclass=SingletonThreadPool),
    "postgresql, sync, StaticPool": on("postgresql", PlainApp, poolclass=StaticPool),
    "postgresql, sync, SingletonThreadPool": on(
        "postgresql", PlainApp, poolclass=SingletonThreadPool
    ),
}


def named(pools: dict[str, Make]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "make",
        [pytest.param(make, id=name) for name, make in pools.items()],
    )


@pytest.fixture
def app(make: Make, request: pytest.FixtureRequest) -> Iterator[App]:
    with closing(make(request)) as app:
        yield app


def notes(app: App) -> list[str]:
    with app.session() as session:
        return [*app.do(session.scalars(sa.select(Note.text)))]


class Oops(Exception):
    pass


@named(POOLS | ONE_CONNECTION)
def test_commands_are_handled_and_joined(app: App) -> None:
    counters = app.store.repository(Counter)

    for _ in range(3):
        assert counters.handle(Add("c")).ok
    for text, by in (("kept", 10), ("given up", 100)):
        with app.session() as session:
            session.add(Note(text=text))
            app.join(session).repository(Counter).handle(Add("c", by))
            app.do(session.commit() if text == "kept" else session.rollback())
    with app.connection() as connection:
        app.join(connection).repository(Counter).handle(Add("c", 1_000))
        app.do(connection.commit())

    assert counters.fetch(name="c").total == 1_013
    assert [entry.version for entry in counters.history(name="c")] == [1, 2, 3, 4, 5]
    assert notes(app) == ["kept"]


@named(POOLS)
def test_transactions_are_whole(app: App) -> None:
    for fails in (False, True, False):
        with pytest.raises(Oops) if fails else ExitStack(), app.transaction() as transaction:
            transaction.repository(Counter).handle(Add("a", 1 + 9 * fails))
            transaction.repository(Counter).handle(Add("b", 1 + 9 * fails))
            if fails:
                raise Oops

    counters = app.store.repository(Counter)
    assert [counters.fetch(name=name).total for name in "ab"] == [2, 2]


@named(ONE_CONNECTION)
def test_one_connection_for_all_has_no_room_for_a_transaction(app: App) -> None:
    with pytest.raises(spry.StorageError, match="needs a connection of its own"):
        app.transaction().__enter__()

    assert app.store.repository(Counter).handle(Add("c")).unwrap().total == 1


@named({name: make for name, make in POOLS.items() if "async" not in name})
def test_threads_share_an_engine(app: App) -> None:
    counters = app.store.repository(Counter)

    in_threads(4, lambda number: [counters.handle(Add("c")) for _ in range(5)])

    assert counters.fetch(name="c").total == 20


# Connections that broke in the pool -------------------------------------------------------------


def handled(app: App) -> None:
    assert app.store.repository(Counter).handle(Add("c")).ok


def in_a_transaction(app: App) -> None:
    with app.transaction() as transaction:
        assert transaction.repository(Counter).handle(Add("c")).ok


def in_a_session(app: App) -> None:
    with app.session() as session:
        assert app.join(session).repository(Counter).handle(Add("c")).ok
        app.do(session.commit())


def on_a_connection(app: App) -> None:
    with app.connection() as connection:
        assert app.join(connection).repository(Counter).handle(Add("c")).ok
        app.do(connection.commit())


WAYS = [handled, in_a_transaction, in_a_session, on_a_connection]


@pytest.mark.parametrize("add", WAYS, ids=lambda add: add.__name__)
@pytest.mark.parametrize("make", [PlainApp, AwaitedApp], ids=["sync", "async"])
def test_with_pre_ping_nobody_notices_that_pooled_connections_broke(
    postgres_url: str, make: Callable[..., Any], add: Callable[[App], None]
) -> None:
    with closing(make(postgres_url, pool_pre_ping=True)) as app:
        with app.connection(), app.connection():
            pass

        for _ in range(2):
            end_sessions(app.engine.url)
            add(app)

        assert app.store.repository(Counter).fetch(name="c").total == 2


def test_an_async_pool_with_a_hook_is_renewed_after_a_restart_too(postgres_url: str) -> None:
    async def work() -> None:
        engine = create_async_engine(postgres_url, pool_size=8)
        sa.event.listen(engine.sync_engine, "checkin", lambda *_: None)
        async with engine.begin() as connection:
            await connection.run_sync(domain.metadata.create_all)
        counters = spry.AsyncStorage(engine, domain).repository(Counter)
        assert (await counters.handle(Add("a"))).unwrap().total == 1
        connections = [await engine.connect() for _ in range(8)]
        for connection in connections:
            await connection.close()

        end_sessions(engine.url)

        assert (await counters.handle(Add("a"))).unwrap().total == 2
        await engine.dispose()

    asyncio.run(work())


def test_an_exhausted_async_pool_is_waited_for_once(tmp_path: Path) -> None:
    waits: list[float] = []

    async def work() -> None:
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{tmp_path / 'a.db'}",
            pool_size=1,
            max_overflow=0,
            pool_timeout=0.01,
        )
        async with engine.begin() as connection:
            await connection.run_sync(domain.metadata.create_all)
        storage = spry.AsyncStorage(engine, domain)
        await storage.check()
        answer = storage._answer

        async def counted(operation: Any) -> Any:
            waits.append(0.01)
            return await answer(operation)

        storage._answer = counted
        async with engine.connect():
            with pytest.raises(spry.StorageUnavailable, match="became free in time"):
                await storage.repository(Counter).fetch(name="a")
        await engine.dispose()

    asyncio.run(work())
    assert len(waits) == 1
