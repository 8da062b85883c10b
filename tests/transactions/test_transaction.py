"""`storage.transaction()`: several commands on several actors, all of them or none."""

import asyncio
import resource
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import spry_sqla as spry
from tests.domains.player import CreatePlayer, Player
from tests.faults.domain import Add, Added, Counter
from tests.processes import in_threads
from tests.transactions.shop import AwaitedApp, PlainApp, domain, total


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "memory":
        yield spry.MemoryStorage(domain)
        return
    name = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    with closing(PlainApp(request.getfixturevalue(name))) as app:
        yield app.storage


def test_all_commands_are_stored(storage: spry.Storage) -> None:
    with storage.transaction() as transaction:
        counters = transaction.repository(Counter)
        counters.handle(Add("a", 1))
        counters.handle(Add("b", 2))
        counters.handle(Add("a", 3))
        assert counters.fetch(name="a").total == 4
        assert transaction.repository(Player).handle(CreatePlayer("Ada")).ok
    counters = storage.repository(Counter)
    assert [counters.fetch(name=name).total for name in "ab"] == [4, 2]
    assert storage.repository(Player).exists(name="Ada")
    assert [entry.version for entry in counters.history(name="a")] == [1, 2]


class Oops(Exception):
    pass


def test_or_none(storage: spry.Storage) -> None:
    storage.repository(Counter).handle(Add("a", 1))
    with pytest.raises(Oops), storage.transaction() as transaction:
        transaction.repository(Counter).handle(Add("a", 10))
        transaction.repository(Counter).handle(Add("b", 10), idempotency_key="k")
        transaction.repository(Player).handle(CreatePlayer("Ada"))
        raise Oops
    counters = storage.repository(Counter)
    assert [counters.fetch(name=name).total for name in "ab"] == [1, 0]
    assert not storage.repository(Player).exists(name="Ada")
    assert list(counters.actors()) == [{"name": "a"}]
    assert counters.handle(Add("b", 3), idempotency_key="k").unwrap().total == 3


def test_a_storage_that_remembers_sees_what_a_transaction_has_stored(
    storage: spry.Storage,
) -> None:
    counters = storage.repository(Counter)
    for number in range(1, 4):
        counters.handle(Add("c"))
        with storage.transaction() as transaction:
            transaction.repository(Counter).handle(Add("c"))
        assert counters.handle(Add("c")).modified.total == 3 * number
    with pytest.raises(Oops), storage.transaction() as transaction:
        transaction.repository(Counter).handle(Add("c"))
        raise Oops
    assert counters.fetch(name="c").total == 9


def test_a_decorated_function_runs_again_as_a_whole(storage: spry.Storage) -> None:
    """Money moves between two counters by several threads: nothing is lost, nothing doubled."""
    runs = []

    @storage.transaction(retry=200)
    def move(transaction: spry.Joined, by: int) -> int:
        runs.append(by)
        counters = transaction.repository(Counter)
        left = counters.handle(Add("left", -by)).unwrap().total
        counters.handle(Add("right", by))
        return left

    def work(number: int) -> None:
        for _ in range(5):
            assert move(number + 1) < 0

    in_threads(4, work)

    counters = storage.repository(Counter)
    assert counters.fetch(name="left").total == -50
    assert counters.fetch(name="right").total == 50
    assert counters.fetch(name="left").additions == 20
    assert len(runs) >= 20


def test_a_conflict_is_raised_where_nothing_is_to_be_retried(postgres_url: str) -> None:
    with closing(PlainApp(postgres_url)) as app:
        storage, turn, done = app.storage, threading.Event(), threading.Event()
        counters = storage.repository(Counter)

        @dataclass(frozen=True)
        class Slow(Add):
            def handle(self, actor: object) -> Iterator[spry.Event | Exception]:
                turn.set()
                assert done.wait(60)
                yield from super().handle(actor)

        slow = spry.Domain(Counter, Slow, Add, Added)

        def other() -> None:
            assert turn.wait(60)
            counters.handle(Add("a", 10))
            done.set()

        thread = threading.Thread(target=other)
        thread.start()
        with (
            pytest.raises(spry.ConcurrencyError, match="was first"),
            spry.Storage(app.engine, slow).transaction() as transaction,
        ):
            transaction.repository(Counter).handle(Add("b", 1))
            transaction.repository(Counter).handle(Slow("a", 1))
        thread.join()
        assert [counters.fetch(name=name).total for name in "ab"] == [10, 0]


def test_the_storage_itself_within_does_not_wait_for_ever(storage: Any) -> None:
    """On SQLite and in memory it would wait for a transaction that waits for it."""
    if isinstance(storage, spry.Storage) and storage._engine.dialect.name == "postgresql":
        with storage.transaction():
            assert storage.repository(Counter).handle(Add("a")).ok
        return
    if isinstance(storage, spry.Storage):
        storage = spry.Storage(
            sa.create_engine(storage._engine.url, connect_args={"timeout": 0.01}), domain
        )
    with storage.transaction() as transaction:
        transaction.repository(Counter).handle(Add("a"))
        with pytest.raises(spry.StorageUnavailable, match="transaction that the application has"):
            storage.repository(Counter).handle(Add("a"))
    assert storage.repository(Counter).fetch(name="a").total == 1


def test_a_transaction_that_has_ended_is_refused(storage: spry.Storage) -> None:
    for fails in (False, True):
        with suppress(Oops), storage.transaction() as transaction:
            counters = transaction.repository(Counter)
            if fails:
                raise Oops
        with pytest.raises(spry.StorageError, match="this transaction has ended"):
            counters.handle(Add("a"))
    assert storage.repository(Counter).fetch(name="a").total == 0


def test_a_failure_that_is_passed_over_leaves_the_rest(postgres_url: str) -> None:
    """PostgreSQL answers the COMMIT of a transaction with a failed statement with ROLLBACK."""
    with closing(PlainApp(postgres_url)) as app:
        with app.engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE player_events RENAME COLUMN seen TO unseen"))
        with app.storage.transaction() as transaction:
            transaction.repository(Counter).handle(Add("a"))
            with pytest.raises(spry.TablesOutdated):
                transaction.repository(Player).fetch(name="Ada")
        assert app.storage.repository(Counter).fetch(name="a").total == 1


@contextmanager
def files_that_do_not_grow(path: str) -> Iterator[None]:
    """Writes beyond some pages fail, as on a broken disk: SQLite ends the whole transaction."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (Path(path).stat().st_size + 80_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@pytest.mark.parametrize("joined", [False, True], ids=["transaction", "joined"])
def test_a_transaction_that_sqlite_has_ended_is_not_committed(
    sqlite_url: str, joined: bool
) -> None:
    with closing(PlainApp(sqlite_url)) as app:
        path = str(app.engine.url.database)
        engine = sa.create_engine(sqlite_url, poolclass=sa.NullPool)
        sa.event.listen(engine, "connect", lambda driver, _: driver.execute("PRAGMA cache_size=1"))
        storage = spry.Storage(engine, domain)

        def work(counters: Any) -> None:
            assert counters.handle(Add("a")).ok
            lost = pytest.raises(spry.StorageUnavailable, match="all of the transaction is lost")
            with files_that_do_not_grow(path), lost:
                counters.handle(Add("b", 1, 200, "x" * 4_000))
            with lost:
                counters.handle(Add("c"))

        if joined:
            with Session(engine) as session:
                work(storage.join(session).repository(Counter))
                with pytest.raises(sa.exc.PendingRollbackError):
                    session.commit()
        else:
            refused = pytest.raises(spry.StorageUnavailable, match="transaction is lost")
            with refused, storage.transaction() as transaction:
                work(transaction.repository(Counter))
        assert [storage.repository(Counter).fetch(name=name).total for name in "abc"] == [0] * 3


def test_many_transactions_at_once_do_not_wait_for_each_other_s_threads(
    database_url: str,
) -> None:
    """More of them than an event loop has worker threads, all on one actor first."""
    with closing(PlainApp(database_url)) as app:

        async def work() -> None:
            storage = spry.AsyncStorage(app.engine, domain)

            @storage.transaction(retry=500)
            async def add(transaction: spry.JoinedAsync, name: str) -> None:
                counters = transaction.repository(Counter)
                await counters.handle(Add("first"))
                await counters.handle(Add(name))

            async with asyncio.timeout(120):
                await asyncio.gather(*(add(f"c{number}") for number in range(12)))
            assert (await storage.repository(Counter).fetch(name="first")).total == 12

        asyncio.run(work())


def test_serializable_transactions_are_run_again(postgres_url: str) -> None:
    """A read that cannot be serialized is a conflict, too."""
    with closing(PlainApp(postgres_url)) as app:
        engine = sa.create_engine(postgres_url, isolation_level="SERIALIZABLE")
        storage = spry.Storage(engine, domain)

        @storage.transaction(retry=500)
        def add(transaction: spry.Joined, read: str, written: str) -> None:
            counters = transaction.repository(Counter)
            by = counters.fetch(name=read).total + 1
            counters.handle(Add(written, by))

        def work(number: int) -> None:
            for _ in range(5):
                add(*("ab" if number % 2 else "ba"))

        in_threads(4, work)
        counters = storage.repository(Counter)
        assert [counters.fetch(name=name).additions for name in "ab"] == [10, 10]
        engine.dispose()
        assert app.engine is not engine


def test_engines_that_begin_by_events(sqlite_url: str) -> None:
    """SQLAlchemy's recipe for sqlite3: transactions there wait for their turn, too."""
    with closing(PlainApp(sqlite_url)) as app:
        engine = sa.create_engine(sqlite_url)

        @sa.event.listens_for(engine, "connect")
        def leave_it(driver: Any, record: Any) -> None:
            driver.isolation_level = None

        @sa.event.listens_for(engine, "begin")
        def begin(connection: sa.Connection) -> None:
            connection.exec_driver_sql("BEGIN")

        storage = spry.Storage(engine, domain)

        @storage.transaction(retry=50)
        def add(transaction: spry.Joined) -> None:
            counters = transaction.repository(Counter)
            counters.fetch(name="a")
            counters.handle(Add("a"))

        in_threads(4, lambda number: [add() for _ in range(5)])
        assert storage.repository(Counter).fetch(name="a").total == 20
        engine.dispose()
        assert app.engine is not engine


def test_the_error_of_a_block_is_kept_where_the_connection_is_gone(postgres_url: str) -> None:
    with closing(PlainApp(postgres_url)) as app:
        with pytest.raises(Oops), app.storage.transaction() as transaction:
            transaction.repository(Counter).handle(Add("a"))
            with app.engine.connect() as other:
                other.execute(sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                ))  # fmt: skip
            raise Oops
        with pytest.raises(spry.StorageUnavailable), app.storage.transaction() as transaction:
            transaction.repository(Counter).handle(Add("a"))
            with app.engine.connect() as other:
                other.execute(sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                ))  # fmt: skip
            with suppress(spry.StorageUnavailable):
                transaction.repository(Counter).handle(Add("a"))
        assert app.storage.repository(Counter).fetch(name="a").total == 0


def test_mistakes(storage: spry.Storage) -> None:
    with pytest.raises(spry.StorageError, match="cannot run again"), storage.transaction(retry=1):
        pass
    for wrong in (-1, 1.5, True, None):
        with pytest.raises(spry.DefinitionError, match="retry= must be a whole number"):
            storage.transaction(retry=wrong)  # type: ignore[arg-type]
    once = storage.transaction()
    with once, pytest.raises(spry.StorageError, match="begun already"), once:
        pass
    with once as again:
        again.repository(Counter).handle(Add("a"))
    assert storage.repository(Counter).fetch(name="a").total == 1


def test_an_engine_in_autocommit_has_transactions_here(database_url: str) -> None:
    with closing(PlainApp(database_url)) as app:
        engine = sa.create_engine(database_url, isolation_level="AUTOCOMMIT")
        storage = spry.Storage(engine, domain)
        with pytest.raises(Oops), storage.transaction() as transaction:
            transaction.repository(Counter).handle(Add("a"))
            raise Oops
        with storage.transaction() as transaction:
            transaction.repository(Counter).handle(Add("a", 2))
        assert storage.repository(Counter).fetch(name="a").total == 2
        engine.dispose()
        app.engine.dispose()


def test_an_engine_in_autocommit_has_transactions_of_the_server_s_isolation(
    postgres_url: str,
) -> None:
    with closing(PlainApp(postgres_url)) as app:
        engine = sa.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
        with spry.Storage(engine, domain).transaction() as transaction:
            counters = transaction.repository(Counter)
            assert counters.fetch(name="a").total == 0

            app.storage.repository(Counter).handle(Add("a"))

            assert counters.fetch(name="a").total == 1
        engine.dispose()


def test_one_connection_for_all_is_refused() -> None:
    engine = sa.create_engine("sqlite://")
    domain.metadata.create_all(engine)
    storage = spry.Storage(engine, domain)
    refused = pytest.raises(spry.StorageError, match="needs a connection of its own")
    with refused, storage.transaction():
        pass
    engine.dispose()


def test_in_memory_of_sqlite() -> None:
    engine = spry.sqlite_engine(":memory:")
    domain.metadata.create_all(engine)
    storage = spry.Storage(engine, domain)
    with storage.transaction() as transaction:
        transaction.repository(Counter).handle(Add("a"))
    assert storage.repository(Counter).fetch(name="a").total == 1
    engine.dispose()


def test_a_closed_storage_begins_none(storage: spry.Storage) -> None:
    storage.close()
    with pytest.raises(spry.StorageClosed):
        storage.transaction()


# Connections go back to the pool -----------------------------------------------------------------


def keep_foreign_keys(driver: Any, _: object) -> None:
    driver.execute("PRAGMA foreign_keys = ON")


def refuse_commits(outside: sa.Engine, engine: sa.Engine) -> None:
    """Let the COMMIT of an event fail, for a rule of the application's that is put off until then.

    SQLite keeps such rules on connections that are made from now on.
    """
    with outside.begin() as connection:
        if outside.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", keep_foreign_keys)
            connection.exec_driver_sql("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
            connection.exec_driver_sql(
                "CREATE TABLE child (id REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"
            )
            connection.exec_driver_sql(
                "CREATE TRIGGER orphan AFTER INSERT ON counter_events "
                "BEGIN INSERT INTO child VALUES (1); END"
            )
        else:
            connection.exec_driver_sql(
                "CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'refused'; END $$"
            )
            connection.exec_driver_sql(
                "CREATE CONSTRAINT TRIGGER refused AFTER INSERT ON counter_events "
                "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refused()"
            )


@pytest.mark.parametrize("make", [PlainApp, AwaitedApp], ids=["sync", "async"])
def test_a_commit_that_is_refused_keeps_no_connection(
    database_url: str, make: Callable[[str], Any]
) -> None:
    with closing(make(database_url)) as app:
        engine: Any = app.awaited.sync_engine if isinstance(app, AwaitedApp) else app.engine
        refuse_commits(app.engine, engine)
        app.do(app.awaited.dispose() if isinstance(app, AwaitedApp) else app.engine.dispose())

        with (
            pytest.raises(spry.StorageUnavailable, match="could not be committed") as told,
            app.transaction() as transaction,
        ):
            transaction.repository(Counter).handle(Add("a"))

        # As long as the error is kept, nothing of it is collected.
        assert told.value.__traceback__ is not None
        assert engine.pool.checkedout() == 0
        # Nor does its connection keep it open, where the next would see it.
        assert app.store.repository(Counter).fetch(name="a").total == 0
        assert total(app.engine, "a") == 0


@pytest.mark.parametrize("make", [PlainApp, AwaitedApp], ids=["plain", "awaited"])
def test_what_a_commit_has_refused_is_not_committed_by_the_next_command(
    sqlite_url: str, make: Callable[..., Any]
) -> None:
    with closing(make(sqlite_url, connect_args={"timeout": 0.01})) as app:
        counters = app.store.repository(Counter)
        for _ in range(3):
            counters.handle(Add("b")).unwrap()
        # Without WAL who reads keeps a COMMIT waiting.
        with closing(sqlite3.connect(app.engine.url.database, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM counter_events").fetchone()
            with (
                pytest.raises(spry.StorageUnavailable, match="could not be committed"),
                app.transaction() as transaction,
            ):
                transaction.repository(Counter).handle(Add("a"))

        counters.handle(Add("b")).unwrap()

        assert total(app.engine, "a") == 0
        assert total(app.engine, "b") == 4


def test_a_transaction_that_cannot_begin_keeps_no_connection(sqlite_url: str) -> None:
    with closing(PlainApp(sqlite_url, connect_args={"timeout": 0.01})) as app:
        other = sqlite3.connect(str(app.engine.url.database), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        with (
            pytest.raises(spry.StorageUnavailable, match="stayed locked") as told,
            app.storage.transaction(),
        ):
            pytest.fail("it must not begin")

        assert told.value.__traceback__ is not None
        assert app.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        other.close()
