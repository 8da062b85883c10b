"""`storage.join` with sessions, engines and connections as applications make them."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

import spry_sqla as spry
from spry_sqla.sql.joining import _same_database
from tests.faults.domain import Add, Counter
from tests.transactions.shop import (
    App,
    AwaitedApp,
    Base,
    Note,
    PlainApp,
    domain,
    notes,
    total,
)


@contextmanager
def session_of(app: App, **options: Any) -> Iterator[Any]:
    """A session of the application's world, with options, bound to its engine but for `binds`."""
    session: Any
    if isinstance(app, AwaitedApp):
        session = AsyncSession(None if "binds" in options else app.awaited, **options)
    else:
        session = Session(None if "binds" in options else app.engine, **options)
    try:
        yield session
    finally:
        app.do(session.close())


def insert(text: str) -> sa.Insert:
    return sa.insert(Note).values(text=text)


# Sessions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("autoflush", "expire"), [(True, False), (False, True)])
def test_rows_and_events_agree_whatever_a_session_flushes_and_expires(
    app: App, autoflush: bool, expire: bool
) -> None:
    with session_of(app, autoflush=autoflush, expire_on_commit=expire) as session:
        note = Note(text="ours")
        session.add(note)
        counters = app.join(session).repository(Counter)
        assert counters.handle(Add("c")).ok
        # A command flushes nothing, as no statement of Core does.
        assert sa.inspect(note).pending
        found = app.do(session.scalars(sa.select(Note.text))).all()
        assert found == (["ours"] if autoflush else [])
        app.do(session.commit())
        assert sa.inspect(note).expired is expire
        app.do(session.refresh(note))
        assert note.text == "ours"
        assert counters.fetch(name="c").total == 1
    assert (notes(app.engine), total(app.engine)) == (["ours"], 1)


def test_a_session_with_several_engines(app: App) -> None:
    elsewhere = sa.create_engine("sqlite://")
    Base.metadata.create_all(elsewhere)
    other: Any = elsewhere
    if isinstance(app, AwaitedApp):
        other = create_async_engine("sqlite+aiosqlite://")

        async def make() -> None:
            async with other.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)

        app.do(make())
    engine = app.awaited if isinstance(app, AwaitedApp) else app.engine
    ours: dict[Any, Any] = dict.fromkeys(domain.metadata.sorted_tables, engine)
    for binds in ({Note: other}, {Note: other} | ours):
        with session_of(app, binds=binds) as session:
            session.add(Note(text=f"elsewhere {len(binds)}"))
            app.join(session).repository(Counter).handle(Add("c"))
            app.do(session.rollback())
            app.join(session).repository(Counter).handle(Add("c"))
            app.do(session.commit())
    assert (notes(app.engine), total(app.engine)) == ([], 2)
    app.do(other.dispose())
    elsewhere.dispose()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_session_that_is_bound_by_its_tables_has_one_connection(
    app: App, elsewhere: bool
) -> None:
    """The storage's engine is another one on the same pool, as that of a tenant is."""
    engine: Any = app.awaited if isinstance(app, AwaitedApp) else app.engine
    derived = engine.execution_options(logging_token="tenant")
    kind: Any = spry.AsyncStorage if isinstance(app, AwaitedApp) else spry.Storage
    storage = kind(derived, domain)
    other: Any = None
    if elsewhere:
        make = create_async_engine if isinstance(app, AwaitedApp) else sa.create_engine
        other = make(engine.url)
    session: Any = (AsyncSession if isinstance(app, AwaitedApp) else Session)(
        other, binds={Note: engine}
    )
    session.add(Note(text="ours"))
    app.do(session.flush())
    joined = storage.join(session).repository(Counter)
    assert app.do(joined.handle(Add("c"))).ok
    assert engine.pool.checkedout() == 1
    app.do(session.commit())
    app.do(session.close())
    if other is not None:
        app.do(other.dispose())
    assert (notes(app.engine), total(app.engine)) == (["ours"], 1)


def test_a_scoped_session_is_the_one_of_the_moment(database_url: str) -> None:
    """As of Flask: joined once, removed after each request."""
    with closing(PlainApp(database_url)) as app:
        scoped = scoped_session(sessionmaker(app.engine))
        counters = app.storage.join(scoped).repository(Counter)
        for text in ("one", "two", "three"):
            scoped.add(Note(text=text))
            counters.handle(Add("c")).unwrap()
            scoped.commit()
            scoped.remove()
            assert total(app.engine) == len(notes(app.engine))
        assert total(app.engine) == 3


def test_an_async_scoped_session_is_the_one_of_the_task(database_url: str) -> None:
    with closing(AwaitedApp(database_url)) as app:
        scoped = async_scoped_session(async_sessionmaker(app.awaited), asyncio.current_task)
        counters = app.storage.join(scoped).repository(Counter)

        async def request(name: str, kept: bool) -> None:
            scoped.add(Note(text=name))
            await counters.handle(Add(name))
            await (scoped.commit() if kept else scoped.rollback())
            await scoped.remove()

        async def work() -> None:
            for name, kept in (("one", True), ("two", False), ("three", True)):
                await asyncio.create_task(request(name, kept))

        app.do(work())
        assert notes(app.engine) == ["one", "three"]
        assert [total(app.engine, name) for name in ("one", "two", "three")] == [1, 0, 1]


def test_a_session_of_an_open_connection(database_url: str) -> None:
    with closing(PlainApp(database_url)) as app:
        with app.engine.connect() as connection, Session(connection) as session:
            app.storage.join(session).repository(Counter).handle(Add("c", 2))
            session.commit()
            connection.commit()
        assert total(app.engine) == 2


def test_a_session_whose_own_method_chooses_its_engine(database_url: str) -> None:
    elsewhere = sa.create_engine("sqlite://")

    class Routing(Session):
        def get_bind(self, *_: Any, **given: Any) -> Any:
            return given.get("bind") or elsewhere

    with closing(PlainApp(database_url)) as app, Routing() as session:
        with pytest.raises(spry.StorageError, match=r"join session\.connection\(bind_arguments"):
            app.storage.join(session).repository(Counter).handle(Add("c"))
        connection = session.connection(bind_arguments={"bind": app.engine})
        app.storage.join(connection).repository(Counter).handle(Add("c"))
        assert total(app.engine) == 0
        session.commit()
        assert total(app.engine) == 1
    elsewhere.dispose()


# Engines ----------------------------------------------------------------------------------------


def test_another_engine_on_the_same_database_will_do(database_url: str) -> None:
    url = sa.make_url(database_url)
    option = {"timeout": "5"} if url.get_backend_name() == "sqlite" else {"application_name": "x"}
    other = sa.create_engine(url.update_query_dict(option), poolclass=NullPool)
    with closing(PlainApp(database_url)) as app, Session(other) as session:
        app.storage.join(session).repository(Counter).handle(Add("c"))
        session.commit()
        assert total(app.engine) == 1


@pytest.mark.parametrize("derived", ["storage's", "session's"])
def test_savepoints_are_real_on_engines_derived_from_one_another(
    sqlite_url: str, derived: str
) -> None:
    """One with other `execution_options` shares pool and events with the one it is made from."""
    engine = sa.create_engine(sqlite_url, poolclass=NullPool)
    Base.metadata.create_all(engine)
    domain.metadata.create_all(engine)
    other = engine.execution_options(logging_token="web")
    mine, yours = (other, engine) if derived == "storage's" else (engine, other)
    storage = spry.Storage(mine, domain)

    with Session(yours) as session:
        with session.begin_nested():
            session.add(Note(text="given up"))
        session.rollback()
    with Session(yours) as session:
        with session.begin_nested():
            session.add(Note(text="kept"))
            storage.join(session).repository(Counter).handle(Add("c"))
        session.commit()

    assert (notes(engine), total(engine)) == (["kept"], 1)


def test_a_savepoint_of_another_engine_is_not_trusted(sqlite_url: str) -> None:
    other = sa.create_engine(sqlite_url, poolclass=NullPool)
    with closing(PlainApp(sqlite_url)) as app, Session(other) as session:
        session.begin_nested()
        with pytest.raises(spry.StorageError, match="whose savepoints are not real ones"):
            app.storage.join(session).repository(Counter).handle(Add("c"))


def test_savepoints_are_real_on_an_engine_whose_session_has_been_joined(sqlite_url: str) -> None:
    other = sa.create_engine(sqlite_url, poolclass=NullPool)
    with closing(PlainApp(sqlite_url)) as app, Session(other) as session:
        assert app.storage.join(session).repository(Counter).fetch(name="c").total == 0

        with session.begin_nested():
            session.add(Note(text="given up"))
        session.rollback()

        assert notes(app.engine) == []


def test_savepoints_are_real_on_an_engine_that_no_storage_has(tmp_path: Any) -> None:
    engine = spry.sqlite_engine(tmp_path / "own.db")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        with session.begin_nested():
            session.add(Note(text="given up"))
        session.rollback()
    assert notes(engine) == []
    engine.dispose()


# Autocommit -------------------------------------------------------------------------------------


def test_a_connection_in_autocommit_is_refused(app: App) -> None:
    with app.connection() as connection:
        loose = app.do(connection.execution_options(isolation_level="AUTOCOMMIT"))
        with pytest.raises(spry.StorageError, match="is in AUTOCOMMIT"):
            app.join(loose).repository(Counter).handle(Add("c"))
    engine = sa.create_engine(app.engine.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    storage = spry.Storage(app.engine, domain)
    with engine.connect() as connection, pytest.raises(spry.StorageError, match="AUTOCOMMIT"):
        storage.join(connection).repository(Counter).fetch(name="c")
    assert total(app.engine) == 0


def test_a_driver_in_autocommit_is_refused_and_one_whose_engine_begins_is_not(
    sqlite_url: str,
) -> None:
    """`isolation_level=None` means both: SQLAlchemy's own recipe begins by an event."""
    loose = sa.create_engine(sqlite_url, connect_args={"isolation_level": None}, poolclass=NullPool)
    with closing(PlainApp(sqlite_url)) as app:
        with loose.connect() as connection:
            connection.execute(insert("at once"))
            for work in ("handle", "fetch"):
                with pytest.raises(spry.StorageError, match="is in AUTOCOMMIT"):
                    counters = app.storage.join(connection).repository(Counter)
                    counters.handle(Add("c")) if work == "handle" else counters.fetch(name="c")
        assert (notes(app.engine), total(app.engine)) == (["at once"], 0)

        sa.event.listen(loose, "begin", lambda begun: begun.exec_driver_sql("BEGIN"))
        with loose.connect() as connection:
            connection.execute(insert("with it"))
            app.storage.join(connection).repository(Counter).handle(Add("c"))
            connection.rollback()
            app.storage.join(connection).repository(Counter).handle(Add("c", 5))
            connection.commit()
        assert (notes(app.engine), total(app.engine)) == (["at once"], 5)


def test_the_application_s_own_savepoints_in_autocommit_stay_as_they_were(sqlite_url: str) -> None:
    with closing(PlainApp(sqlite_url)) as app:
        with app.engine.connect() as connection:
            loose = connection.execution_options(isolation_level="AUTOCOMMIT")
            with loose.begin_nested():
                loose.execute(insert("kept"))
        assert notes(app.engine) == ["kept"]


# What the application has done before -----------------------------------------------------------


@pytest.mark.parametrize("work", ["handle", "fetch"])
def test_a_transaction_that_has_failed_is_left_to_who_began_it(
    postgres_url: str, work: str
) -> None:
    with closing(PlainApp(postgres_url)) as app, Session(app.engine) as session:
        session.execute(insert("before"))
        counters = app.storage.join(session).repository(Counter)
        savepoint = session.begin_nested()
        with pytest.raises(sa.exc.ProgrammingError):
            session.execute(sa.text("SELECT nothing"))

        with pytest.raises(spry.StorageError, match="a statement has failed in the transaction"):
            counters.handle(Add("c")) if work == "handle" else counters.fetch(name="c")

        savepoint.rollback()
        assert counters.handle(Add("c", 2)).ok
        session.commit()
        assert (notes(app.engine), total(app.engine)) == (["before"], 2)


def test_a_session_s_map_of_other_schemas_leaves_the_storage_s_tenant(postgres_url: str) -> None:
    engine = sa.create_engine(postgres_url, poolclass=NullPool)
    for tenant in (None, "north"):
        of_tenant = engine.execution_options(schema_translate_map={None: tenant})
        domain.metadata.create_all(of_tenant)
    storage = spry.Storage(engine.execution_options(schema_translate_map={None: "north"}), domain)
    with engine.connect() as connection:
        other = connection.execution_options(schema_translate_map={"reporting": "rep"})
        storage.join(other).repository(Counter).handle(Add("c", 2))
        other.commit()
    assert storage.repository(Counter).fetch(name="c").total == 2
    assert total(engine) == 0


def test_a_session_that_leads_to_two_tenants_takes_part_with_the_storage_s(
    postgres_url: str,
) -> None:
    engine = sa.create_engine(postgres_url, poolclass=NullPool)
    north, south = (
        engine.execution_options(schema_translate_map={None: tenant})
        for tenant in ("north", "south")
    )
    for tenant in (north, south):
        domain.metadata.create_all(tenant)
    Base.metadata.create_all(north)
    storage = spry.Storage(south, domain)

    binds: Any = {Note: north, **dict.fromkeys(domain.metadata.sorted_tables, south)}
    with Session(binds=binds) as session:
        storage.join(session).repository(Counter).handle(Add("a"))
        session.commit()

    assert storage.repository(Counter).fetch(name="a").total == 1


def test_one_file_is_one_database_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one, other = (
        sa.create_engine(url, poolclass=NullPool)
        for url in ("sqlite:///a.db", f"sqlite:///{tmp_path / 'a.db'}")
    )
    domain.metadata.create_all(one)

    with other.connect() as connection:
        joined = spry.Storage(one, domain).join(connection)
        assert joined.repository(Counter).handle(Add("a")).ok


def engine_of(url: str) -> sa.Engine:
    return sa.create_engine(url, poolclass=NullPool)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("postgresql+psycopg://host:5432/db", "postgresql+psycopg://host:5433/db"),
        ("postgresql+psycopg:///db?host=/run/one", "postgresql+psycopg:///db?host=/run/two"),
        ("postgresql+psycopg://", "postgresql+psycopg://"),  # which only creator= knows
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite:///file:a?uri=1", "sqlite:///file:a?uri=1&mode=memory&cache=shared"),
    ],
)
def test_what_may_be_two_databases_is_not_taken_for_one(one: str, other: str) -> None:
    assert not _same_database(engine_of(one), engine_of(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("postgresql+psycopg://host:5432/db", "postgresql+psycopg:///db?host=host&port=5432"),
        ("postgresql+psycopg:///db?host=/run/one", "postgresql+psycopg://me@/db?host=/run/one"),
        ("sqlite:///file:a?uri=1&cache=shared", "sqlite:///file:a?cache=shared&uri=1"),
    ],
)
def test_one_database_is_one_however_its_url_is_written(one: str, other: str) -> None:
    assert _same_database(engine_of(one), engine_of(other))
