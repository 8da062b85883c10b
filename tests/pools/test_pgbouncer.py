"""Behind pgbouncer in transaction mode: no transaction finds what another one left on a session."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

import spry_sqla as spry
from tests.domains.player import CreatePlayer, Player
from tests.faults.domain import Add, Counter
from tests.migrations.project import Project, model
from tests.pools.conftest import SIZE
from tests.pools.sessions import UNPREPARED, end_sessions, sessions
from tests.processes import in_threads
from tests.transactions.shop import App, AwaitedApp, Note, Overtaken, PlainApp, domain, notes

pytestmark = pytest.mark.long


@pytest.fixture(params=[PlainApp, AwaitedApp], ids=["sync", "async"])
def app(request: pytest.FixtureRequest, each_pooled_url: str) -> Iterator[App]:
    make: Callable[..., Any] = request.param
    with closing(make(each_pooled_url, **UNPREPARED)) as app:
        assert len({state["pid"] for state in sessions(app.engine.url, SIZE)}) == SIZE
        yield app


@pytest.fixture
def engine(each_pooled_url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(each_pooled_url, **UNPREPARED)
    domain.metadata.create_all(engine)
    yield engine
    engine.dispose()


def test_a_transaction_finds_another_session(engine: sa.Engine) -> None:
    """The poolers of these tests are what they should be."""
    sessions(engine.url, SIZE)
    pids = []
    with engine.connect() as connection:
        for number in range(SIZE):
            pids.append(connection.scalar(sa.text("SELECT pg_backend_pid()")))
            found = connection.scalar(sa.text("SELECT current_setting('spry.mark', true)"))
            assert not found
            connection.execute(sa.text(f"SET spry.mark = 'left by {number}'"))
            connection.commit()
    assert len(set(pids)) == SIZE


def test_commands_and_reads(app: App) -> None:
    counters = app.store.repository(Counter)

    assert counters.handle(Add("c", 2), idempotency_key="k").unwrap().total == 2
    for _ in range(25):
        counters.handle(Add("c"))
    assert counters.handle(Add("c", 2), idempotency_key="k").modified.total == 2
    results = counters.handle_many([Add("c"), Add("c", 3)])

    assert [result.modified.total for result in results] == [28, 31]
    assert counters.fetch(name="c").total == 31
    assert counters.fetch(name="c", version=2).total == 3
    assert [entry.version for entry in counters.history(name="c")] == list(range(1, 29))
    assert list(counters.actors()) == [{"name": "c"}]
    assert counters.get(name="d") is None


class Oops(Exception):
    pass


def test_transactions(app: App) -> None:
    for _ in range(SIZE):
        with app.transaction() as transaction:
            transaction.repository(Counter).handle(Add("a"))
            transaction.repository(Counter).handle(Add("b", 2))
        with pytest.raises(Oops), app.transaction() as transaction:
            transaction.repository(Counter).handle(Add("a", 100))
            raise Oops

    counters = app.store.repository(Counter)
    assert [counters.fetch(name=name).total for name in "ab"] == [3, 6]


def test_sessions_of_the_application_with_savepoints(app: App) -> None:
    with app.session() as session:
        for number in range(SIZE):
            session.add(Note(text=f"note {number}"))
            counters = app.join(session).repository(Counter)
            counters.handle(Add("c"))
            nested = app.do(session.begin_nested())
            counters.handle(Add("c", 100))
            app.do(nested.rollback())
            nested = app.do(session.begin_nested())
            counters.handle(Add("c", 10))
            app.do(nested.commit())
            app.do(session.commit())

    assert app.store.repository(Counter).fetch(name="c").total == 11 * SIZE
    assert len(notes(app.engine)) == SIZE


def test_errors_are_those_of_a_server(app: App) -> None:
    players = app.store.repository(Player)
    players.handle(CreatePlayer("Ada"), idempotency_key="k")

    assert not players.handle(CreatePlayer("Ada")).ok
    with pytest.raises(spry.KeyReused):
        players.handle(CreatePlayer("Bob"), idempotency_key="k")
    with app.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE player_events RENAME COLUMN seen TO unseen"))
    app.store.forget()  # Ada, for whom it would not ask for the column
    with pytest.raises(spry.TablesOutdated):
        players.fetch(name="Ada")
    with app.session() as session:
        joined = app.join(session)
        with pytest.raises(spry.TablesOutdated):
            joined.repository(Player).fetch(name="Ada")
        assert joined.repository(Counter).handle(Add("c")).ok
        app.do(session.commit())
    assert app.store.repository(Counter).fetch(name="c").total == 1


def test_of_many_clients_nothing_is_lost(engine: sa.Engine) -> None:
    """More of them than the pooler has connections, each with its own engine, on one actor."""

    def work(number: int) -> None:
        mine = sa.create_engine(engine.url, **UNPREPARED)
        storage = spry.Storage(mine, domain, attempts=500)

        @storage.transaction(retry=500)
        def add_twice(transaction: spry.Joined) -> None:
            transaction.repository(Counter).handle(Add("c", 10))
            transaction.repository(Counter).handle(Add(f"c{number}"))

        for _ in range(5):
            storage.repository(Counter).handle(Add("c"))
            add_twice()
        mine.dispose()

    in_threads(2 * SIZE, work)

    state = spry.Storage(engine, domain).repository(Counter).fetch(name="c")
    assert (state.total, state.additions) == (2 * SIZE * 55, 2 * SIZE * 10)


def test_nor_of_many_tasks(engine: sa.Engine) -> None:
    async def work() -> Any:
        mine = create_async_engine(engine.url, **UNPREPARED)
        storage = spry.AsyncStorage(mine, domain, attempts=500)

        async def add() -> None:
            for _ in range(5):
                await storage.repository(Counter).handle(Add("c"))

        await asyncio.gather(*(add() for _ in range(2 * SIZE)))
        state = await storage.repository(Counter).fetch(name="c")
        await mine.dispose()
        return state

    assert asyncio.run(work()).total == 2 * SIZE * 5


def test_another_writer_is_a_conflict(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    others, by_another = spry.Storage(app.engine, domain).repository(Counter), list[Any]()
    monkeypatch.setattr(Overtaken, "by_another", by_another)

    def overtake(by: int) -> None:
        def add() -> None:
            by_another.clear()
            others.handle(Add("c", by))

        by_another.append(add)

    overtake(10)
    assert app.store.repository(Counter).handle(Overtaken("c")).modified.total == 11
    with app.session() as session:
        session.add(Note(text="ours"))
        counters = app.join(session).repository(Counter)
        overtake(20)
        with pytest.raises(spry.ConcurrencyError):
            counters.handle(Overtaken("c"))
        assert counters.handle(Overtaken("c")).modified.total == 32
        app.do(session.commit())

    assert app.store.repository(Counter).fetch(name="c").total == 32
    assert notes(app.engine) == ["ours"]


def test_sessions_that_the_server_ends(app: App) -> None:
    counters = app.store.repository(Counter)
    counters.handle(Add("c"))
    end_sessions(app.engine.url)
    assert counters.handle(Add("c")).modified.total == 2
    with pytest.raises(spry.StorageUnavailable), app.transaction() as transaction:
        transaction.repository(Counter).handle(Add("c", 100))
        end_sessions(app.engine.url)
        transaction.repository(Counter).handle(Add("c", 100))
    assert counters.handle(Add("c")).modified.total == 3


def test_a_cancelled_task_leaves_the_others_in_peace(engine: sa.Engine) -> None:
    """Cancelling goes by another connection, which the pooler brings to the right session."""

    async def work() -> None:
        mine = create_async_engine(engine.url, **UNPREPARED)
        try:
            await cancel_often(spry.AsyncStorage(mine, domain).repository(Counter))
        finally:
            await mine.dispose()

    async def cancel_often(counters: spry.AsyncRepository[Counter]) -> None:
        await counters.handle(Add("c"))
        for awaits in range(12):
            task = asyncio.ensure_future(counters.handle(Add("d")))
            for _ in range(awaits):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await counters.handle(Add("c"))
        assert (await counters.fetch(name="c")).total == 13

    asyncio.run(work())


@pytest.mark.parametrize("level", [None, "SERIALIZABLE", "AUTOCOMMIT"])
def test_nothing_is_left_on_a_session(app: App, level: str | None) -> None:
    before = sessions(app.engine.url, SIZE)
    engine = sa.create_engine(app.engine.url, **UNPREPARED, isolation_level=level)
    plain = spry.Storage(engine, domain)

    for _ in range(4 * SIZE):
        app.store.repository(Counter).handle(Add("c"))
        plain.repository(Counter).handle_many([Add("c"), Add("d")])
        with plain.transaction() as transaction:
            transaction.repository(Counter).handle(Add("c"))
        with app.session() as session:
            app.join(session).repository(Counter).handle(Add("c"))
            app.do(session.commit())
        list(app.store.repository(Counter).history(name="c"))
    engine.dispose()

    assert sessions(app.engine.url, SIZE) == before
    assert {state["prepared"] for state in before} == {0}


def test_migrations(tmp_path: Path, each_pooled_url: str) -> None:
    project = Project(tmp_path, each_pooled_url)
    project.edit(
        "poolclass=pool.NullPool,",
        'poolclass=pool.NullPool,\n        connect_args={"prepare_threshold": None},',
    )
    project.write(model("Player"))

    assert "op.create_actor_tables('Player', format=1)" in project.migrate()


@pytest.mark.parametrize("make", [PlainApp, AwaitedApp], ids=["sync", "async"])
def test_prepared_statements_are_missed_and_the_error_says_how_to_do_without(
    make: Callable[..., Any], pooled_url: str
) -> None:
    """What happens with psycopg's default, where a pooler does not know of them."""
    with closing(make(pooled_url)) as app:
        counters = app.store.repository(Counter)
        with pytest.raises(spry.StorageFailure, match='"prepare_threshold": None'):
            for _ in range(20):
                counters.fetch(name="c")
