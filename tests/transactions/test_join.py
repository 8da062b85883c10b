"""`storage.join`: commands in the caller's own transaction, with its own rows."""

import asyncio
import sqlite3
from contextlib import closing, suppress
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

import spry_sqla as spry
from tests.domains.player import CreatePlayer, Player
from tests.faults.domain import Add, Counter
from tests.transactions.shop import (
    App,
    AwaitedApp,
    Note,
    Overtaken,
    PlainApp,
    domain,
    notes,
    total,
)


def insert(text: str) -> sa.Insert:
    return sa.insert(Note).values(text=text)


# One transaction --------------------------------------------------------------------------------


def test_one_commit_for_rows_and_events(app: App) -> None:
    with app.session() as session:
        session.add(Note(text="ours"))
        joined = app.join(session)
        assert joined.repository(Counter).handle(Add("c", 2)).unwrap().total == 2
        assert joined.repository(Counter).fetch(name="c").total == 2
        assert joined.repository(Counter).handle(Add("c", 3)).unwrap().total == 5
        assert joined.repository(Player).handle(CreatePlayer("Ada")).ok
        assert session.in_transaction()
        assert (notes(app.engine), total(app.engine)) == ([], 0)
        app.do(session.commit())
    assert (notes(app.engine), total(app.engine)) == (["ours"], 5)


def test_one_rollback_for_rows_and_events(app: App) -> None:
    with app.session() as session:
        session.add(Note(text="ours"))
        app.do(session.flush())
        app.join(session).repository(Counter).handle(Add("c"))
        app.do(session.rollback())
        session.add(Note(text="after"))
        app.join(session).repository(Counter).handle(Add("c", 7))
        app.do(session.commit())
    assert (notes(app.engine), total(app.engine)) == (["after"], 7)


def test_on_a_connection(app: App) -> None:
    with app.connection() as connection:
        counters = app.join(connection).repository(Counter)
        counters.handle(Add("c"))
        assert connection.in_transaction()
        app.do(connection.rollback())
        app.do(connection.execute(insert("ours")))
        counters.handle(Add("c", 4))
        assert total(app.engine) == 0
        app.do(connection.commit())
    assert (notes(app.engine), total(app.engine)) == (["ours"], 4)


def test_what_is_closed_without_a_commit_is_not_stored(app: App) -> None:
    with app.connection() as connection:
        app.join(connection).repository(Counter).handle(Add("c"))
    with app.session() as session:
        app.join(session).repository(Counter).handle(Add("c"))
    assert total(app.engine) == 0


@pytest.mark.parametrize("on_connection", [False, True], ids=["session", "connection"])
def test_in_a_savepoint_of_the_caller(app: App, on_connection: bool) -> None:
    with app.connection() if on_connection else app.session() as joined:
        counters = app.join(joined).repository(Counter)
        counters.handle(Add("c", 1))
        nested = app.do(joined.begin_nested())
        app.do(joined.execute(insert("given up")))
        counters.handle(Add("c", 10))
        app.do(nested.rollback())
        assert counters.fetch(name="c").total == 1
        nested = app.do(joined.begin_nested())
        app.do(joined.execute(insert("kept")))
        counters.handle(Add("c", 100))
        app.do(nested.commit())
        app.do(joined.commit())
    assert (notes(app.engine), total(app.engine)) == (["kept"], 101)


def test_a_savepoint_that_is_released_is_not_committed(app: App) -> None:
    """By default sqlite3 would: begun first in the savepoint, it would end with it."""
    with app.session() as session:
        nested = app.do(session.begin_nested())
        session.add(Note(text="secret"))
        app.join(session).repository(Counter).handle(Add("c"))
        app.do(nested.commit())
        app.do(session.rollback())
    assert (notes(app.engine), total(app.engine)) == ([], 0)


def test_savepoints_of_the_application_alone_are_real(app: App) -> None:
    with app.session() as session:
        nested = app.do(session.begin_nested())
        session.add(Note(text="secret"))
        app.do(nested.commit())
        app.do(session.rollback())
    assert notes(app.engine) == []


def test_errors_of_a_command_store_nothing_and_leave_the_transaction(app: App) -> None:
    with app.session() as session:
        session.add(Note(text="ours"))
        players = app.join(session).repository(Player)
        assert players.handle(CreatePlayer("Ada")).ok
        assert not players.handle(CreatePlayer("Ada")).ok
        app.do(session.commit())
    assert notes(app.engine) == ["ours"]


def test_an_idempotency_key_holds_within_and_after(app: App) -> None:
    with app.session() as session:
        counters = app.join(session).repository(Counter)
        counters.handle(Add("c", 5), idempotency_key="k")
        assert counters.handle(Add("c", 5), idempotency_key="k").modified.total == 5
        app.do(session.commit())
        assert counters.handle(Add("c", 5), idempotency_key="k").modified.total == 5
        app.do(session.commit())
    assert total(app.engine) == 5


# Conflicts --------------------------------------------------------------------------------------


def test_a_conflict_is_raised_at_once_and_the_transaction_goes_on(app: App) -> None:
    others = spry.Storage(app.engine, domain).repository(Counter)
    calls = []

    def add_first() -> None:
        calls.append(1)
        others.handle(Add("c", 10))

    with app.session() as session:
        Overtaken.by_another[:] = [add_first]
        counters = app.join(session).repository(Counter)

        with pytest.raises(spry.ConcurrencyError, match="another writer to Counter was first"):
            counters.handle(Overtaken("c", 1))

        assert len(calls) == 1
        session.add(Note(text="after"))
        assert counters.handle(Add("c", 2)).unwrap().total == 12
        app.do(session.commit())
    assert (notes(app.engine), total(app.engine)) == (["after"], 12)


def test_above_read_committed_only_a_new_transaction_helps(postgres_url: str) -> None:
    with closing(PlainApp(postgres_url)) as app, app.engine.connect() as connection:
        strict = connection.execution_options(isolation_level="REPEATABLE READ")
        counters = app.storage.join(strict).repository(Counter)
        assert counters.fetch(name="c").total == 0
        app.storage.repository(Counter).handle(Add("c", 10))

        for _ in range(2):
            with pytest.raises(spry.ConcurrencyError):
                counters.handle(Add("c", 1))

        strict.rollback()
        assert counters.handle(Add("c", 1)).unwrap().total == 11
        strict.commit()
        assert total(app.engine) == 11


def test_a_conflict_in_a_transaction_that_has_read_before(sqlite_url: str) -> None:
    """SQLite: who has read before another wrote can no longer write in that transaction."""
    with closing(PlainApp(sqlite_url)) as app, app.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        connection.exec_driver_sql("BEGIN")
        connection.execute(sa.select(Note.text)).all()
        app.storage.repository(Counter).handle(Add("c", 10))

        with pytest.raises(spry.ConcurrencyError):
            app.storage.join(connection).repository(Counter).handle(Add("c", 1))

        connection.rollback()
        assert app.storage.join(connection).repository(Counter).handle(Add("c", 1)).ok
        connection.commit()
        assert total(app.engine) == 11


def test_a_conflict_with_a_writer_that_holds_the_file(sqlite_url: str) -> None:
    """Without WAL who has read before does not wait for its turn, and could not get it."""
    with closing(PlainApp(sqlite_url)) as app, app.engine.connect() as connection:
        counters = app.storage.join(connection).repository(Counter)
        connection.exec_driver_sql("BEGIN")
        connection.execute(sa.select(Note.text)).all()
        other = sqlite3.connect(str(app.engine.url.database), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(spry.ConcurrencyError):
            counters.handle(Add("c", 1))

        other.close()
        assert counters.handle(Add("c", 1)).ok
        connection.commit()
        assert total(app.engine) == 1


def test_a_load_that_fails_leaves_the_transaction(postgres_url: str) -> None:
    with closing(PlainApp(postgres_url)) as app, Session(app.engine) as session:
        session.add(Note(text="ours"))
        counters = app.storage.join(session).repository(Counter)
        counters.handle(Add("c", 5))
        with app.engine.begin() as other:
            other.execute(sa.text("LOCK TABLE player_events"))
            session.execute(sa.text("SET LOCAL lock_timeout = '10ms'"))
            with pytest.raises(spry.StorageUnavailable):
                app.storage.join(session).repository(Player).fetch(name="Ada")
        session.commit()
        assert (notes(app.engine), total(app.engine)) == (["ours"], 5)


def test_a_cancelled_command_leaves_no_commit_that_stores_nothing(postgres_url: str) -> None:
    """Whatever is told as committed is there."""
    with closing(AwaitedApp(postgres_url)) as app:

        async def work(awaits: int) -> bool:
            async with AsyncSession(app.awaited) as session:
                session.add(Note(text=f"note {awaits}"))
                await session.flush()
                counters = app.storage.join(session).repository(Counter)
                task = asyncio.ensure_future(counters.handle(Add("c")))
                for _ in range(awaits):
                    await asyncio.sleep(0)
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                try:
                    await session.commit()
                except sa.exc.SQLAlchemyError:
                    return False
                return True

        for awaits in range(12):
            told = app.do(work(awaits))
            assert (f"note {awaits}" in notes(app.engine)) is told


def no_savepoint_of_ours_is_open(app: App, session: Any) -> None:
    nested = app.do(session.begin_nested())
    unknown = 'savepoint "spry_sqla" does not exist|no such savepoint: spry_sqla'
    with pytest.raises(sa.exc.DBAPIError, match=unknown):
        app.do(session.execute(sa.text("RELEASE SAVEPOINT spry_sqla")))
    app.do(nested.rollback())


def test_savepoints_of_ours_end_with_the_work(app: App) -> None:
    others = spry.Storage(app.engine, domain).repository(Counter)
    with app.session() as session:
        counters = app.join(session).repository(Counter)
        Overtaken.by_another[:] = [lambda: others.handle(Add("c", 10))]
        with pytest.raises(spry.ConcurrencyError):
            counters.handle(Overtaken("c", 1))
        no_savepoint_of_ours_is_open(app, session)

        counters.handle(Add("c", 2))
        no_savepoint_of_ours_is_open(app, session)

        counters.fetch(name="c")
        no_savepoint_of_ours_is_open(app, session)
        app.do(session.commit())
    assert total(app.engine) == 12


def test_a_read_that_fails_before_a_transaction_of_sqlite_has_begun_leaves_the_connection(
    sqlite_url: str,
) -> None:
    with closing(PlainApp(sqlite_url)) as app, Session(app.engine) as session:
        with app.engine.begin() as other:
            other.execute(sa.text("DROP TABLE player_events"))

        with pytest.raises(spry.TablesMissing):
            app.storage.join(session).repository(Player).fetch(name="Ada")

        session.add(Note(text="after"))
        session.commit()
        assert notes(app.engine) == ["after"]


# What cannot be joined --------------------------------------------------------------------------


def test_a_closed_connection_is_refused(database_url: str) -> None:
    with closing(PlainApp(database_url)) as app:
        with app.engine.connect() as connection:
            counters = app.storage.join(connection).repository(Counter)
        with pytest.raises(spry.StorageError, match="is closed"):
            counters.handle(Add("c"))


def test_another_database_is_refused(database_url: str) -> None:
    elsewhere = sa.create_engine("sqlite://")
    with closing(PlainApp(database_url)) as app, Session(elsewhere) as session:
        with pytest.raises(spry.StorageError, match="bound to another database"):
            app.storage.join(session).repository(Counter).handle(Add("c"))
        assert total(app.engine) == 0
    elsewhere.dispose()


def test_two_databases_in_memory_are_not_one() -> None:
    one, other = spry.sqlite_engine(), sa.create_engine("sqlite://")
    domain.metadata.create_all(one)
    domain.metadata.create_all(other)
    storage = spry.Storage(one, domain)
    with Session(other) as session, pytest.raises(spry.StorageError, match="another database"):
        storage.join(session).repository(Counter).handle(Add("c"))
    with Session(one) as session:
        storage.join(session).repository(Counter).handle(Add("c"))
        session.commit()
    assert storage.repository(Counter).fetch(name="c").total == 1
    one.dispose()
    other.dispose()


@pytest.mark.parametrize("what", [None, "session", object(), sa.create_engine("sqlite://")])
def test_what_is_no_transaction_is_refused(sqlite_url: str, what: Any) -> None:
    refused = pytest.raises(spry.StorageError, match="join takes a Session or a Connection")
    with closing(PlainApp(sqlite_url)) as app, refused:
        app.storage.join(what)


def test_the_other_world_is_refused(sqlite_url: str) -> None:
    with closing(AwaitedApp(sqlite_url)) as app, closing(PlainApp(sqlite_url)) as plain:
        with (
            app.session() as session,
            pytest.raises(spry.StorageError, match=r"AsyncStorage\.join"),
        ):
            plain.storage.join(session)  # type: ignore[arg-type]
        with plain.session() as other, pytest.raises(spry.StorageError, match=r"; Storage\.join"):
            app.storage.join(other)  # type: ignore[arg-type]


def test_a_closed_storage_joins_nothing(sqlite_url: str) -> None:
    with closing(PlainApp(sqlite_url)) as app, app.session() as session:
        app.storage.close()
        with pytest.raises(spry.StorageClosed):
            app.storage.join(session)


# Around it --------------------------------------------------------------------------------------


def test_tenants_by_the_connection_s_own_translation(postgres_url: str) -> None:
    engine = sa.create_engine(postgres_url, poolclass=NullPool)
    for tenant in ("one", "two"):
        domain.metadata.create_all(engine.execution_options(schema_translate_map={None: tenant}))
    storage = spry.Storage(engine.execution_options(schema_translate_map={None: "one"}), domain)
    with engine.connect() as connection:
        of_two = connection.execution_options(schema_translate_map={None: "two"})
        storage.join(of_two).repository(Counter).handle(Add("c", 2))
        of_two.commit()
    assert storage.repository(Counter).fetch(name="c").total == 0
    with engine.begin() as connection:
        of_two = connection.execution_options(schema_translate_map={None: "two"})
        assert storage.join(of_two).repository(Counter).fetch(name="c").total == 2


def test_a_connection_that_breaks_loses_all_of_the_transaction(postgres_url: str) -> None:
    with closing(PlainApp(postgres_url)) as app, Session(app.engine) as session:
        counters = app.storage.join(session).repository(Counter)
        counters.handle(Add("c"))
        pid = session.scalar(sa.text("SELECT pg_backend_pid()"))
        with app.engine.connect() as other:
            other.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        with pytest.raises(spry.StorageUnavailable):
            counters.handle(Add("c"))
        session.rollback()
        assert counters.handle(Add("c", 3)).ok
        session.commit()
        assert total(app.engine) == 3


def test_an_async_storage_on_a_plain_engine_joins_too(database_url: str) -> None:
    with closing(AwaitedApp(database_url)) as app, app.session() as session:
        storage = spry.AsyncStorage(app.engine, domain)
        counters = storage.join(session).repository(Counter)
        app.do(counters.handle(Add("c", 6)))
        assert total(app.engine) == 0
        app.do(session.commit())
        assert total(app.engine) == 6
