import asyncio
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import ExecutableDDLElement

from tests.processes import Barrier, in_processes
from tests.schema.conftest import Connect
from tests.schema.rooms import Room, room, store


def check(engine: sa.Engine, made: Room) -> None:
    """The tables are there, with their guards, functions and first rows, and can be used."""
    with engine.begin() as connection:
        for player in made.actors:
            store(connection, player.events)
    with engine.connect() as connection:
        assert connection.scalars(sa.select(made.shared.format.c.version)).all() == [1]
        assert connection.scalars(sa.select(made.shared.epochs.c.epoch)).all() == [0]
    for table in made.metadata.tables.values():
        if "spry" in table.info and sa.inspect(engine).has_table(table.name, table.schema):
            with engine.begin() as connection:
                there = connection.scalar(sa.select(sa.func.count()).select_from(table))
            if there or engine.dialect.name == "postgresql":
                with engine.begin() as connection, pytest.raises(sa.exc.DBAPIError):
                    connection.execute(sa.delete(table))


# One caller -------------------------------------------------------------------------------------


@pytest.mark.parametrize("checkfirst", [True, False])
def test_twice_is_as_good_as_once(engine: sa.Engine, checkfirst: bool) -> None:
    made = room("Player", "Guild")

    made.metadata.create_all(engine, checkfirst=checkfirst)
    made.metadata.create_all(engine, checkfirst=checkfirst)

    check(engine, made)


def test_a_second_actor_comes_later(engine: sa.Engine) -> None:
    room("Player").metadata.create_all(engine)
    made = room("Player", "Guild")

    made.metadata.create_all(engine)

    check(engine, made)


def test_only_some_tables(engine: sa.Engine) -> None:
    made = room("Player", "Guild")
    guild = [table for table in made.metadata.tables.values() if "guild" in table.name]
    others = [table for table in made.metadata.tables.values() if table not in guild]

    made.metadata.create_all(engine, tables=others)
    assert not sa.inspect(engine).has_table("guild_events")
    for table in guild:
        table.create(engine)

    check(engine, made)


def test_the_hosts_own_tables_are_made_beside_ours(engine: sa.Engine) -> None:
    class Base(orm.DeclarativeBase):
        pass

    class Invoice(Base):
        __tablename__ = "invoice"
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)

    made = room(metadata=Base.metadata)
    Base.metadata.create_all(engine)
    Base.metadata.create_all(engine)

    check(engine, made)
    with orm.Session(engine) as session, session.begin():
        session.add(Invoice(id=1))
    with orm.Session(engine) as session, session.begin():
        for invoice in session.scalars(sa.select(Invoice)):
            session.delete(invoice)


def test_all_can_be_dropped_and_made_again(engine: sa.Engine) -> None:
    made = room("Player", "Guild")
    made.metadata.create_all(engine)
    check(engine, made)

    made.metadata.drop_all(engine)
    assert sa.inspect(engine).get_table_names() == []
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            left = sa.text("SELECT count(*) FROM pg_proc WHERE proname LIKE 'spry%'")
            assert connection.scalar(left) == 0
    made.metadata.create_all(engine)
    check(engine, made)


def test_what_others_share_stays_when_some_are_dropped(engine: sa.Engine) -> None:
    made, other, apart = room("Player"), room("Guild"), room("Player", prefix="x_")
    for each in (made, other, apart):
        each.metadata.create_all(engine)
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(sa.insert(made.shared.transactions).values(id=7))

    other.metadata.drop_all(engine)
    assert not sa.inspect(engine).has_table("guild_events")
    check(engine, made)
    check(engine, apart)
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            assert connection.scalars(sa.select(made.shared.transactions.c.id)).all() == [7]
    other.metadata.create_all(engine)
    check(engine, other)

    for each in (other, made):
        each.metadata.drop_all(engine)
    left = sa.inspect(engine).get_table_names()
    assert left
    assert all(name.startswith("x_") for name in left)
    apart.metadata.drop_all(engine)
    assert sa.inspect(engine).get_table_names() == []


def test_what_is_in_another_schema_shares_nothing(postgres_url: str, connect: Connect) -> None:
    engine = connect(postgres_url)
    made, apart = room("Player"), room("Player", schema="game")
    for each in (made, apart):
        each.metadata.create_all(engine)

    made.metadata.drop_all(engine)

    assert sa.inspect(engine).get_table_names() == []
    check(engine, apart)


def test_in_autocommit_too(database_url: str, connect: Connect) -> None:
    engine = connect(database_url, isolation_level="AUTOCOMMIT")
    made = room()

    made.metadata.create_all(engine)
    made.metadata.create_all(engine)

    check(engine, made)
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        assert engine.dialect.name != "sqlite" or not driver.in_transaction


def test_what_fails_half_way_leaves_nothing(engine: sa.Engine) -> None:
    made = room()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    event.listen(made.player.links, "after_create", fail)
    with pytest.raises(RuntimeError):
        made.metadata.create_all(engine)

    assert sa.inspect(engine).get_table_names() == []
    event.remove(made.player.links, "after_create", fail)
    made.metadata.create_all(engine)
    check(engine, made)


def test_a_table_whose_guards_fail_is_not_left_without_in_autocommit(
    database_url: str, connect: Connect
) -> None:
    engine = connect(database_url, isolation_level="AUTOCOMMIT")
    made = room()

    @event.listens_for(engine, "before_cursor_execute")
    def fail(*arguments: object) -> None:
        if "player_links" in str(arguments[2]) and "TRIGGER" in str(arguments[2]):
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        made.metadata.create_all(engine)
    assert not sa.inspect(engine).has_table("player_links")

    event.remove(engine, "before_cursor_execute", fail)
    made.metadata.create_all(engine)
    check(engine, made)


def test_what_failed_in_autocommit_ends_with_it(database_url: str, connect: Connect) -> None:
    """The next to have the connection has its own transaction, whole."""
    engine = connect(database_url, pool_size=1, max_overflow=0)
    made = room()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    event.listen(made.player.links, "before_create", fail)
    with engine.connect() as connection, pytest.raises(RuntimeError):
        made.metadata.create_all(connection.execution_options(isolation_level="AUTOCOMMIT"))
    with engine.begin() as connection:
        made.metadata.drop_all(connection)

    with pytest.raises(RuntimeError), engine.begin() as connection:
        made.metadata.create_all(connection)
    assert sa.inspect(engine).get_table_names() == []

    event.remove(made.player.links, "before_create", fail)
    with engine.connect() as connection:
        made.metadata.create_all(connection.execution_options(isolation_level="AUTOCOMMIT"))
    check(engine, made)


@pytest.mark.parametrize("isolation_level", ["AUTOCOMMIT", "SERIALIZABLE"])
def test_an_index_of_the_host_on_a_table_of_ours(
    database_url: str, isolation_level: Any, connect: Connect
) -> None:
    engine = connect(database_url, isolation_level=isolation_level)
    made = room()
    sa.Index("by_type", made.player.events.c.type)

    made.metadata.create_all(engine)
    made.metadata.create_all(engine)

    check(engine, made)
    indexes = sa.inspect(engine).get_indexes("player_events")
    assert "by_type" in {index["name"] for index in indexes}


@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN IMMEDIATE"])
def test_with_sqlalchemys_recipe_for_transactions_on_sqlite(
    sqlite_url: str, begin: str, connect: Connect
) -> None:
    engine = begun_by_hand(connect(sqlite_url), begin)
    made = room()

    made.metadata.create_all(engine)
    made.metadata.create_all(engine)

    check(engine, made)


def begun_by_hand(engine: sa.Engine, begin: str) -> sa.Engine:
    @event.listens_for(engine, "connect")
    def _(connection: Any, _: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def test_in_memory(connect: Connect) -> None:
    engine = connect("sqlite://")
    made = room()

    made.metadata.create_all(engine)

    check(engine, made)


async def create_all_async(url: str, made: Room) -> None:
    engine = create_async_engine(url)
    for _ in range(2):
        async with engine.begin() as connection:
            await connection.run_sync(made.metadata.create_all)
    await engine.dispose()


def test_through_an_async_engine(database_url: str, connect: Connect) -> None:
    made = room()
    url = database_url.replace("sqlite://", "sqlite+aiosqlite://")

    asyncio.run(create_all_async(url, made))

    check(connect(database_url), made)


def test_a_translated_schema_gets_all_of_it(postgres_url: str, connect: Connect) -> None:
    made = room()
    engine = connect(postgres_url)
    moved = engine.execution_options(schema_translate_map={None: "tenant"})

    made.metadata.create_all(moved)

    with moved.begin() as connection:
        store(connection, made.player.events)
    assert sa.inspect(engine).get_table_names() == []
    with engine.connect() as connection:
        where = sa.text(
            "SELECT DISTINCT pronamespace::regnamespace::text FROM pg_proc "
            "WHERE proname LIKE 'spry%'"
        )
        assert connection.scalars(where).all() == ["tenant"]


def test_a_role_that_may_not_make_schemas_can_use_one_that_is_there(
    postgres_url: str, connect: Connect
) -> None:
    engine = connect(postgres_url)
    database = engine.url.database
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE ROLE role_{database} LOGIN"))
        connection.execute(sa.text(f"CREATE SCHEMA game AUTHORIZATION role_{database}"))
    plain = connect(engine.url.set(username=f"role_{database}"))
    made = room(schema="game")

    made.metadata.create_all(plain)

    check(plain, made)


@pytest.mark.parametrize("dialect", ["postgresql+psycopg", "sqlite"])
def test_a_mock_engine_shows_every_text(dialect: str) -> None:
    shown: list[str] = []

    def show(element: ExecutableDDLElement, *_: object) -> None:
        shown.append(str(element.compile(dialect=mock.dialect)))

    mock = sa.create_mock_engine(f"{dialect}://", show)
    room(schema="game").metadata.create_all(mock, checkfirst=False)

    text = "\n".join(shown)
    assert "CREATE TABLE IF NOT EXISTS game.player_events" in text
    assert "CREATE INDEX IF NOT EXISTS" in text
    assert "TRIGGER" in text


# Many at once -----------------------------------------------------------------------------------

PROCESSES = 8
ROUNDS = 4


@pytest.mark.long
def test_eight_processes_at_once(database_url: str, tmp_path: Path, connect: Connect) -> None:
    """Each round has new tables; all processes make them, from the same moment on."""
    if database_url.startswith("postgresql"):
        urls = [database_url] * ROUNDS
        schemas = ["game", None, "game", None]
    else:
        urls = [f"sqlite:///{tmp_path / f'{number}.db'}" for number in range(ROUNDS)]
        schemas = [None] * ROUNDS
    with connect(urls[-1]).connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    autocommit = [False, False, True, True]
    work = list(zip(urls, schemas, autocommit, strict=True))

    in_processes(PROCESSES, _create_all, work)

    for number, (url, schema, _) in enumerate(work):
        check(connect(url), _round(number, schema))


def _create_all(_: int, barrier: Barrier, work: list[tuple[str, str | None, bool]]) -> None:
    try:
        for number, (url, schema, autocommit) in enumerate(work):
            made = _round(number, schema)
            engine = sa.create_engine(url, **_options(url, autocommit=autocommit))
            barrier.wait()
            made.metadata.create_all(engine)
            engine.dispose()
    except BaseException:
        barrier.abort()
        raise


def _options(url: str, *, autocommit: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"} if autocommit else {}
    if url.startswith("sqlite"):
        # Eight in a row on a busy machine may take longer than the driver's five seconds.
        options["connect_args"] = {"timeout": 120}
    return options


def _round(number: int, schema: str | None) -> Room:
    return room(schema=schema, prefix=f"r{number}_")
