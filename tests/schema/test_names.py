import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

import spry_sqla as spry
from spry_sqla.errors import DefinitionError, DuplicateName
from spry_sqla.schema import LIMIT, actor_tables, shared_tables, shortened, snake_case
from spry_sqla.schema.names import table_name
from tests.domains.player import Player
from tests.schema.rooms import room


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Player", "player"),
        ("PlayerCharacter", "player_character"),
        ("HTTPServer", "http_server"),
        ("ServerHTTP", "server_http"),
        ("Player2Character", "player2_character"),
        ("already_snake", "already_snake"),
        ("player-character", "player_character"),
        ("game.Player", "game_player"),
        ("A", "a"),
        ("ÄrztlicherBefund", "ärztlicher_befund"),
        ("Игрок", "игрок"),
        ("玩家", "玩家"),
        ("खिलाड़ी", "खिलाड़ी"),
        ("Cafe\N{COMBINING ACUTE ACCENT}", "café"),
    ],
)
def test_an_actor_name_becomes_words_in_lower_case(name: str, expected: str) -> None:
    assert snake_case(name) == expected


def test_a_name_that_fits_stays_as_it_is() -> None:
    assert shortened("a" * LIMIT) == "a" * LIMIT
    assert shortened("é" * (LIMIT // 2)) == "é" * (LIMIT // 2)


def test_a_long_name_ends_in_a_hash_of_all_of_it() -> None:
    one, other = shortened("a" * 70 + "b"), shortened("a" * 70 + "c")

    assert one == "a" * 54 + "_ffe7dc5b"
    assert one != other


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100))
def test_no_name_has_more_than_63_bytes_nor_half_a_character(name: str) -> None:
    short = shortened(name)

    assert len(short.encode()) <= LIMIT
    assert short == name or name.startswith(short[:-9])


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_any_name_without_nul_gives_a_table_name(name: str) -> None:
    assert 0 < len(table_name("x_", name, "events").encode()) <= LIMIT


@pytest.mark.parametrize("bad", ["", "Pla\0yer", "Player\ud800"])
def test_a_name_that_cannot_be_stored_is_refused(bad: str) -> None:
    metadata = sa.MetaData()
    shared = shared_tables(metadata, schema=None, prefix="")

    with pytest.raises(DefinitionError, match="the name of an actor"):
        actor_tables(metadata, bad, schema=None, prefix="", shared=shared)
    with pytest.raises(DefinitionError, match="the name of a schema"):
        shared_tables(sa.MetaData(), schema=bad, prefix="")


@pytest.mark.parametrize("bad", ["Ga\0me", "game\udfff"])
def test_a_prefix_that_cannot_be_stored_is_refused(bad: str) -> None:
    with pytest.raises(DefinitionError, match="the name of a prefix"):
        shared_tables(sa.MetaData(), schema=None, prefix=bad)


@pytest.mark.parametrize("bad", ['Ga"me', "game\n", "ga\tme", "game\x85"])
def test_a_prefix_that_could_not_be_compared_is_refused(bad: str) -> None:
    with pytest.raises(DefinitionError, match="holds a double quote or a control"):
        spry.Domain(Player, prefix=bad)


def test_a_schema_that_the_database_would_cut_is_refused() -> None:
    with pytest.raises(DefinitionError, match="63 bytes"):
        room(schema="é" * 32)


def test_a_name_that_sqlite_keeps_to_itself_is_refused() -> None:
    with pytest.raises(DefinitionError, match="choose another prefix"):
        room("SqliteDatabase")
    with pytest.raises(DefinitionError, match="choose another prefix"):
        room(prefix="SQLite_")
    room("SqliteDatabase", prefix="my_")


def test_two_actors_that_would_share_a_table_are_refused_by_name() -> None:
    with pytest.raises(DuplicateName, match=r"'player_character'.*'PlayerCharacter' has it"):
        room("PlayerCharacter", "player_character")


def test_two_prefixes_that_would_share_a_table_are_refused() -> None:
    metadata = sa.MetaData()
    room("layer", prefix="p", metadata=metadata)

    with pytest.raises(DuplicateName, match="player_commands"):
        room("player", metadata=metadata)


@pytest.mark.parametrize("name", ["player_events", "Player_Events", "spry_epochs"])
def test_a_table_of_the_host_is_never_taken_for_ours(name: str) -> None:
    metadata = sa.MetaData()
    sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True))

    with pytest.raises(DuplicateName, match="not the library's"):
        room(metadata=metadata)


def test_a_refused_actor_leaves_no_table_behind() -> None:
    metadata = sa.MetaData()
    sa.Table("player_snapshots", metadata, sa.Column("id", sa.Integer, primary_key=True))
    shared = shared_tables(metadata, schema=None, prefix="")
    before = set(metadata.tables)

    with pytest.raises(DuplicateName):
        actor_tables(metadata, "Player", schema=None, prefix="", shared=shared)

    assert set(metadata.tables) == before


def test_the_same_actor_twice_in_one_metadata_gets_the_same_tables() -> None:
    metadata = sa.MetaData()
    first, second = room(metadata=metadata), room(metadata=metadata)

    assert first == second


def test_schemas_and_prefixes_keep_actors_apart() -> None:
    metadata = sa.MetaData()
    for schema in (None, "game"):
        for prefix in ("", "a_", "b_"):
            room(schema=schema, prefix=prefix, metadata=metadata)

    assert len(metadata.tables) == 6 * 8


def test_without_a_schema_the_tables_go_where_the_metadata_says() -> None:
    made = room(metadata=sa.MetaData(schema="app"))

    assert made.player.events.schema == made.shared.epochs.schema == "app"


def test_an_actor_is_found_again_in_the_schema_of_the_metadata() -> None:
    metadata = sa.MetaData(schema="app")
    first, second = room(metadata=metadata), room(metadata=metadata)

    assert first == second
    assert room(schema="app", metadata=metadata) == first
