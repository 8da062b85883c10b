import time
import uuid

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from spry_sqla.errors import StorageFailure
from spry_sqla.schema import statements_after, statements_before, statements_for
from tests.postgres import PostgresServer
from tests.schema.conftest import Connect
from tests.schema.rooms import Room, room, row, store

pytestmark = pytest.mark.long


@pytest.fixture
def made() -> Room:
    return room()


@pytest.fixture
def engine(database_url: str, made: Room, connect: Connect) -> sa.Engine:
    return created(connect(database_url), made)


@pytest.fixture
def postgres_engine(postgres_url: str, made: Room, connect: Connect) -> sa.Engine:
    return created(connect(postgres_url), made)


@pytest.fixture
def sqlite_engine(sqlite_url: str, made: Room, connect: Connect) -> sa.Engine:
    return created(connect(sqlite_url), made)


def created(engine: sa.Engine, made: Room) -> sa.Engine:
    made.metadata.create_all(engine)
    return engine


def tables(made: Room, engine: sa.Engine) -> list[sa.Table]:
    there = sa.inspect(engine)
    return [table for table in made.metadata.sorted_tables if there.has_table(table.name)]


# Append-only ------------------------------------------------------------------------------------


def test_no_table_lets_a_row_be_changed_or_deleted(engine: sa.Engine, made: Room) -> None:
    for table in tables(made, engine):
        with engine.begin() as connection:
            if table.name.startswith("player"):
                store(connection, table)
            elif table.name == "spry_transactions":
                connection.execute(sa.insert(table))
            before = connection.execute(sa.select(table)).all()
        column = list(table.columns)[-1]

        for statement in (sa.update(table).values({column: column}), sa.delete(table)):
            with engine.begin() as connection, pytest.raises(sa.exc.DBAPIError) as refused:
                connection.execute(statement)
            assert f"{table.name} is append-only" in str(refused.value.orig)

        with engine.connect() as connection:
            assert connection.execute(sa.select(table)).all() == before != []


def test_a_refusal_shows_nothing_of_the_row(engine: sa.Engine, made: Room) -> None:
    events = made.player.events
    with engine.begin() as connection:
        store(connection, events, content='"secret"', type="secret")

    with engine.begin() as connection, pytest.raises(sa.exc.DBAPIError) as refused:
        connection.execute(sa.update(events).values(origin="b"))
    assert "secret" not in str(refused.value)


def test_an_upsert_that_updates_is_refused(engine: sa.Engine, made: Room) -> None:
    events = made.player.events
    with engine.begin() as connection:
        stored = store(connection, events)
    upsert = insert_into(events, engine).on_conflict_do_update(
        index_elements=["id"], set_={"origin": "b"}
    )

    with engine.begin() as connection, pytest.raises(sa.exc.DBAPIError, match="is append-only"):
        connection.execute(upsert, stored)


def test_an_upsert_that_does_nothing_keeps_the_row(engine: sa.Engine, made: Room) -> None:
    events = made.player.events
    with engine.begin() as connection:
        stored = store(connection, events, content="1")
        again = insert_into(events, engine).on_conflict_do_nothing()
        connection.execute(again, stored | {"content": "2"})
        assert connection.scalars(sa.select(events.c.content)).all() == ["1"]


def insert_into(table: sa.Table, engine: sa.Engine) -> postgresql.Insert | sqlite.Insert:
    return sqlite.insert(table) if engine.dialect.name == "sqlite" else postgresql.insert(table)


# PostgreSQL -------------------------------------------------------------------------------------


def test_truncate_is_refused(postgres_engine: sa.Engine, made: Room) -> None:
    for table in tables(made, postgres_engine):
        with (
            postgres_engine.begin() as connection,
            pytest.raises(sa.exc.DBAPIError, match="TRUNCATE is refused") as refused,
        ):
            connection.execute(sa.text(f"TRUNCATE {table.name}"))
        assert isinstance(refused.value.orig, psycopg.errors.ObjectNotInPrerequisiteState)


def test_a_statement_that_would_touch_no_row_is_refused_too(
    postgres_engine: sa.Engine, made: Room
) -> None:
    events = made.player.events
    for statement in (sa.delete(events), sa.update(events).values(origin="b")):
        with (
            postgres_engine.begin() as connection,
            pytest.raises(sa.exc.DBAPIError, match="is append-only"),
        ):
            connection.execute(statement)


def test_the_guard_of_each_row_refuses_alone(postgres_engine: sa.Engine, made: Room) -> None:
    """It is all that an apply worker of logical replication fires."""
    events = made.player.events
    with postgres_engine.begin() as connection:
        store(connection, events)
        connection.execute(sa.text("ALTER TABLE player_events DISABLE TRIGGER spry_refuse"))

    for statement in (sa.delete(events), sa.update(events).values(origin="b")):
        with (
            postgres_engine.begin() as connection,
            pytest.raises(sa.exc.DBAPIError, match="is append-only"),
        ):
            connection.execute(statement)


def test_the_transaction_number_is_the_xid_plus_the_newest_offset(
    postgres_engine: sa.Engine, made: Room
) -> None:
    events, epochs = made.player.events, made.shared.epochs
    xid = sa.text("SELECT pg_current_xact_id()::text::bigint")

    with postgres_engine.begin() as connection:
        for sequence in (1, 2):
            store(connection, events, sequence=sequence)
        numbers = connection.scalars(sa.select(events.c.transaction)).all()
        assert numbers == [connection.scalar(xid)] * 2
    with postgres_engine.begin() as connection:
        connection.execute(sa.insert(epochs), {"epoch": 1, "offset": 5_000_000_000})
        connection.execute(sa.insert(epochs), {"epoch": 2, "offset": 7_000_000_000})
    with postgres_engine.begin() as connection:
        store(connection, events)
        newest = connection.scalar(sa.select(sa.func.max(events.c.transaction)))
        assert newest == 7_000_000_000 + connection.scalar(xid)


@pytest.mark.parametrize("schema", [None, "game"])
def test_all_holds_in_the_role_and_the_path_of_an_apply_worker(
    postgres_url: str, schema: str | None, connect: Connect
) -> None:
    made = room(schema=schema, prefix="x_")
    engine = connect(postgres_url)
    made.metadata.create_all(engine)
    named = made.player.events.to_metadata(sa.MetaData(), schema=schema or "public")

    with engine.connect() as connection:
        connection.execute(sa.text("SET session_replication_role = replica"))
        connection.execute(sa.text("SET search_path = ''"))
        store(connection, named)
        xid = connection.scalar(sa.text("SELECT pg_current_xact_id()::text::bigint"))
        assert connection.scalar(sa.select(named.c.transaction)) == xid
        connection.commit()
        for statement in (
            sa.update(named).values(origin="b"),
            sa.delete(named),
            sa.text(f"TRUNCATE {schema or 'public'}.x_player_events"),
        ):
            with pytest.raises(sa.exc.DBAPIError, match="is append-only"):
                connection.execute(statement)
            connection.rollback()


def test_logical_replication_fills_the_number_and_cannot_change_a_row(connect: Connect) -> None:
    server = PostgresServer({"wal_level": "logical"})
    made = room()
    try:
        server.start()
        urls = [server.create_database() for _ in range(2)]
        source, target = (connect(url) for url in urls)
        for engine in (source, target):
            made.metadata.create_all(engine)
        sent = [column.name for column in made.player.events.columns][:-1]
        with source.begin() as connection:
            # Replication of updates is what a careless publication would do.
            connection.execute(
                sa.text(f"CREATE PUBLICATION p FOR TABLE player_events ({', '.join(sent)})")
            )
            store(connection, made.player.events, origin="copied")
        with source.begin() as connection:
            connection.execute(sa.text("SELECT pg_create_logical_replication_slot('s','pgoutput')"))
        with target.begin() as connection:
            upstream = server.conninfo(str(source.url.database)).replace("'", "''")
            connection.execute(
                sa.text(
                    f"CREATE SUBSCRIPTION s CONNECTION '{upstream}' PUBLICATION p "
                    "WITH (create_slot = false, slot_name = 's', origin = none)"
                )
            )
        wait_for(target, "SELECT count(*) FROM player_events", 1)
        wait_for(target, "SELECT count(*) FROM pg_subscription_rel WHERE srsubstate = 'r'", 1)
        with source.begin() as connection:
            store(connection, made.player.events, origin="applied")
        wait_for(target, "SELECT count(*) FROM player_events", 2)

        # The unique key covers id: an update needs nothing more to be sent.
        with source.begin() as connection:
            for trigger in ("spry_refuse", "spry_refuse_row"):
                connection.execute(sa.text(f"ALTER TABLE player_events DISABLE TRIGGER {trigger}"))
            connection.execute(sa.text("UPDATE player_events SET type = 'changed'"))
        wait_for(target, "SELECT apply_error_count > 0 FROM pg_stat_subscription_stats", True)

        with target.connect() as connection:
            found = connection.execute(sa.select(made.player.events)).all()
        assert {event.type for event in found} == {"type"}
        assert len({event.transaction for event in found}) == 2
        assert all(event.transaction > 0 for event in found)
    finally:
        server.stop()


def wait_for(engine: sa.Engine, query: str, value: object) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with engine.connect() as connection:
            if connection.scalar(sa.text(query)) == value:
                return
        time.sleep(0.05)
    raise AssertionError(f"{query} did not become {value}")


# SQLite -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("recursive", ["OFF", "ON"])
@pytest.mark.parametrize("statement", ["INSERT OR REPLACE", "REPLACE"])
def test_no_table_lets_a_row_be_replaced(
    sqlite_engine: sa.Engine, made: Room, recursive: str, statement: str
) -> None:
    for table in tables(made, sqlite_engine):
        with sqlite_engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA recursive_triggers = {recursive}")
            if table.name.startswith("player"):
                store(connection, table)
            elif table.name == "spry_transactions":
                connection.execute(sa.insert(table))
            connection.commit()
            before = connection.execute(sa.select(table)).all()
            names = ", ".join(f'"{column.name}"' for column in table.columns)
            replace = f'{statement} INTO "{table.name}" ({names}) SELECT * FROM "{table.name}"'

            with pytest.raises(sa.exc.IntegrityError, match="stored_rows_are_never_replaced"):
                connection.exec_driver_sql(replace)
            connection.rollback()
            assert connection.execute(sa.select(table)).all() == before != []


def test_a_row_is_not_replaced_for_its_second_key_either(
    sqlite_engine: sa.Engine, made: Room
) -> None:
    events = made.player.events
    with sqlite_engine.begin() as connection:
        stored = store(connection, events)
    other = row(events, actor_id=stored["actor_id"], origin=stored["origin"], transaction=1)

    with sqlite_engine.begin() as connection, pytest.raises(sa.exc.IntegrityError):
        connection.execute(sa.insert(events).prefix_with("OR REPLACE"), other)
    with sqlite_engine.connect() as connection:
        assert connection.scalar(sa.select(events.c.id)) == stored["id"]


@pytest.mark.parametrize("recursive", ["OFF", "ON"])
def test_a_plain_duplicate_is_told_as_such(
    sqlite_engine: sa.Engine, made: Room, recursive: str
) -> None:
    events = made.player.events
    with sqlite_engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA recursive_triggers = {recursive}")
        stored = store(connection, events)
        for again, column in (
            (row(events, id=stored["id"], transaction=1), "id"),
            (stored | {"id": uuid.uuid4()}, "actor_id"),
        ):
            with pytest.raises(sa.exc.IntegrityError) as refused:
                connection.execute(sa.insert(events), again)
            told = str(refused.value.orig)
            assert told.startswith(f"UNIQUE constraint failed: player_events.{column}")


def test_the_key_of_a_transaction_is_the_one_that_the_driver_tells(
    sqlite_engine: sa.Engine, made: Room
) -> None:
    with sqlite_engine.begin() as connection:
        for number in (1, 2, 3):
            done = connection.exec_driver_sql("INSERT INTO spry_transactions DEFAULT VALUES")
            assert done.lastrowid == number
        store(connection, made.player.events)
        assert connection.scalars(sa.select(made.shared.transactions.c.id)).all() == [1, 2, 3]


# The texts, where no events run -----------------------------------------------------------------

DIALECTS = [sa.make_url(f"{name}://").get_dialect()() for name in ("postgresql+psycopg", "sqlite")]

POSTGRESQL_CATALOG = """
SELECT 'function', proname, pg_get_functiondef(oid), NULL FROM pg_proc
  WHERE pronamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'game'))
UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid), tgenabled::text FROM pg_trigger
UNION ALL SELECT 'constraint', conname, pg_get_constraintdef(oid), NULL FROM pg_constraint
  WHERE conrelid <> 0 AND connamespace <> 'pg_catalog'::regnamespace
UNION ALL SELECT 'index', indexname, indexdef, NULL FROM pg_indexes
  WHERE schemaname IN ('public', 'game')
UNION ALL SELECT 'column', table_name || '.' || column_name,
    concat_ws(' ', data_type, is_nullable, column_default), ordinal_position::text
  FROM information_schema.columns WHERE table_schema IN ('public', 'game')
ORDER BY 1, 2, 3"""

SQLITE_CATALOG = "SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2"


def catalog(engine: sa.Engine) -> list[tuple[object, ...]]:
    query = {"sqlite": SQLITE_CATALOG, "postgresql": POSTGRESQL_CATALOG}[engine.dialect.name]
    with engine.connect() as connection:
        return [
            tuple(" ".join(value.split()) if isinstance(value, str) else value for value in found)
            for found in connection.exec_driver_sql(query)
        ]


def test_the_texts_make_what_create_all_makes(
    database_url: str, connect: Connect, request: pytest.FixtureRequest
) -> None:
    made = room("Player", "Guild", prefix="Odd %d '")
    engine = connect(database_url)
    is_sqlite = engine.dialect.name == "sqlite"
    if is_sqlite:
        by_hand = connect(f"{database_url}2")
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        by_hand = connect(server.create_database())

    percent = "%" if is_sqlite else "%%"

    made.metadata.create_all(engine)
    with by_hand.begin() as connection:
        for _ in range(2):
            for table in made.metadata.sorted_tables:
                for statement in statements_for(table, connection.dialect):
                    connection.exec_driver_sql(statement.replace("%", percent))

    assert catalog(by_hand) == catalog(engine)
    assert len(catalog(engine)) > 50


def test_the_texts_name_the_schema_of_everything() -> None:
    made = room(schema="game")

    for dialect in DIALECTS:
        for table in made.metadata.sorted_tables:
            for statement in statements_after(table, dialect):
                assert '"game".' in statement
    assert ['"game"' in "".join(statements_before("game", one)) for one in DIALECTS] == [
        True,
        False,
    ]
    assert [statements_before(None, one) for one in DIALECTS] == [[], []]


def test_another_database_is_refused_by_name() -> None:
    with pytest.raises(StorageFailure, match=r"postgresql and sqlite.*mysql"):
        statements_for(room().player.events, sa.make_url("mysql+pymysql://").get_dialect()())
