import uuid
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.schema import conv

from spry_sqla import records
from spry_sqla.schema import FORMAT, LIMIT
from tests.schema.conftest import Connect
from tests.schema.rooms import Room, room, row, store

pytestmark = pytest.mark.long

LONG = ["A" + "b" * 76 + last for last in "cd"]
"""Two names of 78 bytes, which PostgreSQL would cut to one."""

ODD = 'Ga me\'s "100%": \\$$ {x} :y %(z)s'
ODD_PREFIX = ODD.replace('"', "")


def columns(record: type) -> list[str]:
    return list(record.__struct_fields__)  # type: ignore[attr-defined]


def test_columns_are_the_fields_of_the_records_in_their_order() -> None:
    player = room().player

    assert player.commands.columns.keys() == columns(records.CommandRecord)
    assert player.events.columns.keys() == [*columns(records.EventRecord), "transaction"]
    assert player.id_map.columns.keys() == columns(records.MappingRecord)
    assert player.links.columns.keys() == columns(records.LinkRecord)
    assert player.snapshots.columns.keys() == columns(records.SnapshotRecord)


def test_a_column_is_nullable_where_the_field_may_be_none() -> None:
    player = room().player
    kinds = {
        player.commands: records.CommandRecord,
        player.events: records.EventRecord,
        player.id_map: records.MappingRecord,
        player.links: records.LinkRecord,
        player.snapshots: records.SnapshotRecord,
    }

    for table, record in kinds.items():
        optional = {n for n, kind in record.__annotations__.items() if kind == str | None}
        assert {column.name for column in table.columns if column.nullable} == optional


def test_what_is_written_comes_back(engine: sa.Engine) -> None:
    player = room().player
    player.commands.metadata.create_all(engine)
    content = '{"b": 1.10, "a": 1e400,  "n": "\\u0000", "b": 123456789012345678901234567890}'
    moment = datetime(2026, 1, 31, 23, 59, 59, 7, tzinfo=UTC)

    with engine.begin() as connection:
        for table in (player.commands, player.id_map, player.links, player.snapshots):
            made = store(connection, table)
            assert dict(connection.execute(sa.select(table)).mappings().one()) == made
        store(connection, player.events, content=content, created_at=moment, sequence=2**63 - 1)
        stored = connection.execute(sa.select(player.events)).one()

    assert stored.content == content
    assert stored.created_at == moment
    assert stored.created_at.tzinfo is UTC
    assert stored.sequence == 2**63 - 1


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC"])
def test_a_time_of_any_zone_comes_back_as_utc(engine: sa.Engine, zone: str) -> None:
    player = room().player
    player.commands.metadata.create_all(engine)
    moments = [
        datetime(1, 1, 1, 12, tzinfo=UTC),
        datetime(9999, 12, 30, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2026, 7, 1, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    ]

    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text(f"SET timezone = '{zone}'"))
        for number, moment in enumerate(moments):
            store(connection, player.events, sequence=number, created_at=moment)
        ordered = sa.select(player.events.c.created_at).order_by(player.events.c.sequence)
        back = connection.scalars(ordered).all()

    assert back == moments
    assert {moment.tzinfo for moment in back} == {UTC}


def test_a_time_without_a_zone_is_refused(engine: sa.Engine) -> None:
    player = room().player
    player.commands.metadata.create_all(engine)

    with engine.begin() as connection, pytest.raises(sa.exc.StatementError, match="zone"):
        store(connection, player.events, created_at=datetime(2026, 1, 1))


def test_sqlite_keeps_ids_and_times_as_text_that_sorts(sqlite_url: str, connect: Connect) -> None:
    player = room().player
    engine = connect(sqlite_url)
    player.commands.metadata.create_all(engine)
    key = uuid.uuid4()

    with engine.begin() as connection:
        store(connection, player.events, id=key)
        query = "SELECT id, created_at FROM player_events"
        since = connection.scalar(sa.text("SELECT since FROM spry_format"))
        assert connection.execute(sa.text(query)).one() == (
            key.hex,
            "2026-01-31 23:59:59.000001+00:00",
        )

    assert len(since) == len("2026-01-31 23:59:59.000001+00:00")
    assert datetime.fromisoformat(since).utcoffset() == timedelta(0)


def test_the_first_rows_are_there(engine: sa.Engine) -> None:
    shared = room().shared
    shared.format.metadata.create_all(engine)

    with engine.connect() as connection:
        ((version, since),) = connection.execute(sa.select(shared.format))
        (epoch,) = connection.execute(sa.select(shared.epochs.c.epoch, shared.epochs.c.offset))
        now = datetime.now(UTC)

    assert version == FORMAT == 1
    assert epoch == (0, 0)
    assert abs(now - since) < timedelta(minutes=1)


def test_the_transactions_table_is_made_on_sqlite_only(engine: sa.Engine) -> None:
    made = room()
    made.metadata.create_all(engine)
    made.metadata.create_all(engine)

    there = sa.inspect(engine).has_table("spry_transactions")
    assert there == (engine.dialect.name == "sqlite")


def test_sqlite_wants_the_transaction_number_from_the_adapter(
    sqlite_url: str, connect: Connect
) -> None:
    player = room().player
    engine = connect(sqlite_url)
    player.commands.metadata.create_all(engine)

    with engine.begin() as connection, pytest.raises(sa.exc.IntegrityError, match="NOT NULL"):
        connection.execute(sa.insert(player.events), row(player.events))


CONVENTION = {
    "pk": "host_pk_%(table_name)s",
    "uq": "host_uq_%(table_name)s_%(column_0_name)s",
    "ix": "host_ix_%(table_name)s_%(column_0_name)s",
    "ck": "host_ck_%(table_name)s_%(constraint_name)s",
}


def test_the_hosts_naming_convention_does_not_reach_our_names(engine: sa.Engine) -> None:
    plain, host = room(), room(metadata=sa.MetaData(naming_convention=CONVENTION))
    host.metadata.create_all(engine)

    assert all_names(plain) == all_names(host)
    with engine.connect() as connection:
        inspector = sa.inspect(connection)
        for table in host.metadata.tables.values():
            if inspector.has_table(table.name):
                assert inspector.get_pk_constraint(table.name)["name"] == f"{table.name}_pkey"
                there = {index["name"] for index in inspector.get_indexes(table.name)}
                assert {index.name for index in table.indexes} <= there


def all_names(made: Room) -> set[str]:
    names: set[Any] = set()
    for table in made.metadata.tables.values():
        names |= {table.name} | {index.name for index in table.indexes}
        names |= {constraint.name for constraint in table.constraints}
    return names


@pytest.mark.parametrize("names", [LONG, ["玩" * 26, "玩" * 26 + "家"], ["Игрок", "Γίγαντας"]])
@pytest.mark.parametrize("prefix", ["", "p" * 80])
def test_long_and_foreign_names_keep_tables_apart(
    engine: sa.Engine, names: list[str], prefix: str
) -> None:
    made = room(*names, prefix=prefix)
    made.metadata.create_all(engine)
    made.metadata.create_all(engine)

    assert all(len(name.encode()) <= LIMIT for name in all_names(made))
    with engine.begin() as connection:
        for player in made.actors:
            for field in fields(player)[1:]:
                store(connection, getattr(player, field.name))
        for player in made.actors:
            for field in fields(player)[1:]:
                table = getattr(player, field.name)
                assert len(connection.execute(sa.select(table)).all()) == 1
        there = set(sa.inspect(connection).get_table_names())
    assert {table.name for player in made.actors for table in (player.events,)} <= there


@pytest.mark.parametrize(
    ("schema", "prefix"), [("game", ""), (None, ODD_PREFIX), (ODD, ODD_PREFIX), ("Game", "Big_")]
)
def test_names_of_any_characters_are_quoted(
    engine: sa.Engine, schema: str | None, prefix: str
) -> None:
    made = room(schema=schema, prefix=prefix)
    with engine.connect() as connection:
        if schema is not None and connection.dialect.name == "sqlite":
            quoted = schema.replace('"', '""')
            connection.exec_driver_sql(f"ATTACH ':memory:' AS \"{quoted}\"")
            connection.commit()
        made.metadata.create_all(connection)
        connection.commit()
        made.metadata.create_all(connection)
        store(connection, made.player.events)
        connection.commit()
        for statement in (
            sa.update(made.player.events).values(origin="b"),
            sa.delete(made.player.events),
        ):
            with pytest.raises(sa.exc.DBAPIError, match="is append-only"):
                connection.execute(statement)
            connection.rollback()
        assert connection.scalar(sa.select(sa.func.count()).select_from(made.player.events)) == 1
        connection.rollback()
        made.metadata.drop_all(connection)
        connection.commit()
        made.metadata.create_all(connection)


def test_every_name_is_explicit() -> None:
    made = room(metadata=sa.MetaData())

    for table in made.metadata.tables.values():
        for constraint in table.constraints:
            assert isinstance(constraint.name, conv)
        for index in table.indexes:
            assert isinstance(index.name, conv)


def test_each_table_has_the_indexes_that_statements_rely_on() -> None:
    player = room().player

    assert {
        str(index.name): [column.name for column in index.columns]
        for field in fields(player)[1:]
        for index in getattr(player, field.name).indexes
    } == {
        "player_events_transaction_idx": ["transaction", "id"],
        "player_events_command_idx": ["command_id"],
        "player_id_map_actor_idx": ["actor_id", "id"],
        "player_id_map_command_idx": ["command_id"],
        "player_links_parent_idx": ["parent_id", "id"],
        "player_links_child_idx": ["child_type", "child_id", "id"],
        "player_links_command_idx": ["command_id"],
        "player_snapshots_newest_idx": ["actor_id", "last_event", "id"],
    }
