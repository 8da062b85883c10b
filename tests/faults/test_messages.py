"""Errors of the storage say what is true: which tables, which work, which connection."""

import asyncio
import contextvars
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool, QueuePool, SingletonThreadPool

import spry_sqla as spry
from tests.faults.domain import Add, Counter, domain
from tests.processes import in_threads


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(database_url, pool_size=1, max_overflow=0, pool_timeout=0.05)
    domain.metadata.create_all(engine)
    yield engine
    engine.dispose()


def change(engine: sa.Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text(statement))


def test_a_table_that_is_gone_is_told_with_its_actor(engine: sa.Engine) -> None:
    counters = spry.Storage(engine, domain).repository(Counter)
    change(engine, "DROP TABLE counter_events")

    with pytest.raises(spry.TablesMissing, match="tables of the actor 'Counter' are not all"):
        counters.fetch(name="ada")
    with pytest.raises(spry.TablesMissing, match="no table 'counter_events'"):
        spry.Storage(engine, domain)


@pytest.mark.parametrize("column", ["counter_commands RENAME metadata", "counter_events RENAME id"])
def test_a_column_that_is_gone_means_tables_outdated(engine: sa.Engine, column: str) -> None:
    counters = spry.Storage(engine, domain).repository(Counter)
    change(engine, f"ALTER TABLE {column} TO other")

    with pytest.raises(spry.TablesOutdated, match="a table of the actor 'Counter' lacks"):
        counters.handle(Add("ada"))
    with pytest.raises(spry.TablesOutdated, match="lacks a column"):
        spry.Storage(engine, domain)


@pytest.fixture
def latin1_url(postgres_url: str) -> Iterator[str]:
    """A database whose encoding has few characters."""
    url = sa.make_url(postgres_url)
    name = f"{url.database}_latin1"
    server = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    options = "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
    with server.connect() as connection:
        connection.execute(sa.text(f'CREATE DATABASE "{name}" {options}'))
    yield url.set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.mark.parametrize("encoding", ["latin1", "utf8"], ids=["in the driver", "in the database"])
@pytest.mark.parametrize("joined", [False, True], ids=["alone", "joined"])
def test_a_character_that_the_database_lacks_is_refused_and_not_told(
    latin1_url: str, encoding: str, joined: bool
) -> None:
    engine = sa.create_engine(latin1_url, connect_args={"client_encoding": encoding})
    domain.metadata.create_all(engine)
    storage = spry.Storage(engine, domain)

    with engine.connect() as connection:
        counters = (storage.join(connection) if joined else storage).repository(Counter)
        with pytest.raises(spry.StorageFailure, match="encoding UTF8") as refused:
            counters.handle(Add("\u6f22"))
        counters.handle(Add("\xe9")).unwrap()
        assert counters.fetch(name="\xe9").total == 1
    assert refused.value.__cause__ is None
    assert "\u6f22" not in "".join(traceback.format_exception(refused.value))
    engine.dispose()


def test_a_read_that_is_refused_does_not_speak_of_what_was_stored(tmp_path: Path) -> None:
    file = tmp_path / "test.db"
    engine = sa.create_engine(f"sqlite:///{file}", poolclass=sa.NullPool)
    domain.metadata.create_all(engine)
    counters = spry.Storage(engine, domain).repository(Counter)
    file.write_bytes(b"no database" * 1_000)

    with pytest.raises(spry.StorageFailure, match=r"refused to read \(SQLITE_NOTADB") as refused:
        counters.fetch(name="ada")
    assert "stored" not in str(refused.value)
    with pytest.raises(spry.StorageFailure, match="refused to read"):
        spry.Storage(engine, domain)


def refuse_events(url: str, state: str) -> sa.Engine:
    """An engine on a PostgreSQL where each insert of an event ends in an error of that SQLSTATE."""
    engine = sa.create_engine(url, poolclass=NullPool)
    domain.metadata.create_all(engine)
    change(
        engine,
        "CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{state}'; END $$",
    )
    change(
        engine,
        "CREATE TRIGGER refused BEFORE INSERT ON counter_events "
        "FOR EACH ROW EXECUTE FUNCTION refused()",
    )
    return engine


def test_a_function_that_is_gone_is_told_as_a_table_that_is(postgres_url: str) -> None:
    counters = spry.Storage(refuse_events(postgres_url, "42883"), domain).repository(Counter)

    with pytest.raises(spry.TablesMissing, match="tables of the actor 'Counter' are not all"):
        counters.handle(Add("ada"))


@pytest.mark.parametrize("state", ["26000", "42P05"])
def test_a_prepared_statement_that_is_lost_or_there_already_points_to_the_pooler(
    postgres_url: str, state: str
) -> None:
    counters = spry.Storage(refuse_events(postgres_url, state), domain).repository(Counter)

    with pytest.raises(spry.StorageFailure, match=f"{state}; a pooler.*prepare_threshold"):
        counters.handle(Add("ada"))


def test_a_file_of_sqlite_that_cannot_be_opened_is_a_database_that_cannot_be_reached(
    tmp_path: Path,
) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'test.db'}", pool_size=1)
    domain.metadata.create_all(engine)
    counters = spry.Storage(engine, domain).repository(Counter)
    (tmp_path / "test.db-wal").mkdir()

    with pytest.raises(spry.StorageUnavailable, match=r"cannot be reached \(SQLITE_CANTOPEN"):
        counters.fetch(name="ada")

    (tmp_path / "test.db-wal").rmdir()
    assert counters.handle(Add("ada")).ok
    engine.dispose()


def test_a_pool_that_is_exhausted_says_so(engine: sa.Engine) -> None:
    counters = spry.Storage(engine, domain).repository(Counter)

    with engine.connect(), pytest.raises(spry.StorageUnavailable, match="became free in time"):
        counters.fetch(name="ada")

    assert counters.handle(Add("ada")).ok


# Engines and threads -----------------------------------------------------------------------------


def test_sqlite_engine_takes_a_path(tmp_path: Path) -> None:
    engine = spry.sqlite_engine(tmp_path / "test.db")

    domain.metadata.create_all(engine)

    assert (tmp_path / "test.db").exists()
    engine.dispose()


@pytest.mark.parametrize(
    ("options", "milliseconds"), [({}, 30_000), ({"connect_args": {"timeout": 0.25}}, 250)]
)
@pytest.mark.parametrize("in_memory", [False, True], ids=["file", "memory"])
def test_a_lock_is_waited_for_as_long_as_was_asked_for_or_30_seconds(
    tmp_path: Path, in_memory: bool, options: dict[str, Any], milliseconds: int
) -> None:
    engine = spry.sqlite_engine(":memory:" if in_memory else tmp_path / "test.db", **options)

    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == milliseconds

    engine.dispose()


@pytest.mark.parametrize("in_memory", [False, True], ids=["file", "memory"])
def test_options_of_an_engine_are_those_that_were_given(tmp_path: Path, in_memory: bool) -> None:
    engine = spry.sqlite_engine(
        ":memory:" if in_memory else tmp_path / "test.db", pool_size=1, logging_name="ours"
    )

    assert isinstance(engine.pool, QueuePool)
    assert engine.pool.size() == 1
    assert engine.logging_name == "ours"
    engine.dispose()


@pytest.mark.parametrize("in_memory", [False, True], ids=["file", "memory"])
def test_savepoints_are_real_on_an_engine_of_ours(tmp_path: Path, in_memory: bool) -> None:
    engine = spry.sqlite_engine(":memory:" if in_memory else tmp_path / "test.db")
    change(engine, "CREATE TABLE app (x)")

    with engine.connect() as connection:
        with connection.begin_nested():
            connection.exec_driver_sql("INSERT INTO app VALUES (1)")
        connection.rollback()

        assert connection.exec_driver_sql("SELECT count(*) FROM app").scalar() == 0
    engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file::memory:?uri=1",
        "sqlite:///file:cards?mode=memory&uri=1",
    ],
)
def test_a_database_in_the_memory_of_one_thread_says_so_to_another(url: str) -> None:
    engine = sa.create_engine(url, poolclass=SingletonThreadPool)
    domain.metadata.create_all(engine)
    counters = spry.Storage(engine, domain).repository(Counter)

    with pytest.raises(spry.StorageError, match="belongs to the thread that opened its storage"):
        in_threads(1, lambda _: counters.handle(Add("ada")))

    assert counters.handle(Add("ada")).modified.total == 1
    engine.dispose()


@pytest.mark.parametrize(
    "url", ["sqlite:///{}", "sqlite:///file:{}?mode=memory&cache=shared&uri=1"]
)
def test_threads_share_what_is_no_memory_of_one_thread(tmp_path: Path, url: str) -> None:
    engine = sa.create_engine(url.format(tmp_path / "t.db"), poolclass=SingletonThreadPool)
    domain.metadata.create_all(engine)
    counters = spry.Storage(engine, domain).repository(Counter)

    def work(_: int) -> bool:
        done = counters.handle(Add("ada")).ok
        engine.pool.dispose()
        return done

    assert in_threads(1, work) == [True]
    engine.dispose()


def test_a_worker_thread_has_the_context_of_its_task(tmp_path: Path) -> None:
    tenant = contextvars.ContextVar("tenant", default="nobody")
    seen = set[tuple[str, bool]]()
    engine = spry.sqlite_engine(tmp_path / "test.db")
    domain.metadata.create_all(engine)
    here = threading.get_ident()

    @sa.event.listens_for(engine, "checkout")
    def see(*_: object) -> None:
        seen.add((tenant.get(), threading.get_ident() == here))

    async def work() -> None:
        tenant.set("ada")
        counters = spry.AsyncStorage(engine, domain).repository(Counter)
        assert (await counters.handle(Add("ada"))).ok

    asyncio.run(work())

    assert seen == {("ada", False)}
    engine.dispose()


@pytest.mark.parametrize("part", ["commands", "events", "id_map", "links", "snapshots"])
def test_each_table_is_looked_for_when_a_storage_opens(engine: sa.Engine, part: str) -> None:
    change(engine, f"DROP TABLE counter_{part}")

    with pytest.raises(spry.TablesMissing, match=f"no table 'counter_{part}'"):
        spry.Storage(engine, domain)


def test_each_table_that_actors_share_is_looked_for_when_a_storage_opens(
    engine: sa.Engine,
) -> None:
    shared = ["spry_format", "spry_epochs", "spry_transactions"]
    for table in sorted({*shared} & {*sa.inspect(engine).get_table_names()}):
        change(engine, f"ALTER TABLE {table} RENAME TO taken_away")

        with pytest.raises(spry.TablesMissing, match=f"no table '{table}'"):
            spry.Storage(engine, domain)

        change(engine, f"ALTER TABLE taken_away RENAME TO {table}")
        spry.Storage(engine, domain)


def test_a_file_is_as_durable_as_sqlite_can_make_it(tmp_path: Path) -> None:
    engine = spry.sqlite_engine(tmp_path / "a.db")
    with engine.connect() as connection:
        asked = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous")
        ]
    engine.dispose()

    assert asked == ["wal", 2]  # FULL
