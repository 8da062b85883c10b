"""An actor under another name: its tables are found and renamed, never made anew."""

import re
from pathlib import Path

import pytest
import sqlalchemy as sa

import spry_sqla as spry
from tests.migrations.conftest import Start
from tests.migrations.project import (
    Failed,
    Project,
    as_created,
    contents,
    engine_of,
    model,
    run_script,
)


def begun(start: Start) -> Project:
    """A project that is migrated, and in which the player Ada is made."""
    return in_use(start(model("Player")))


def in_use(project: Project) -> Project:
    """A project as it is when its migration has run, and the player Ada is made."""
    project.migrate()
    module = project.module()
    with spry.Storage(engine_of(project), module.domain) as storage:
        storage.repository(module.Player).handle(module.MakePlayer("Ada")).unwrap()
    return project


def assert_ada_is_there(project: Project, actor: str = "Hero") -> None:
    module = project.module()
    kind = getattr(module, actor)
    with spry.Storage(engine_of(project), module.domain) as storage:
        assert storage.repository(kind).fetch(name="Ada") == kind("Ada")
        storage.repository(kind).handle(getattr(module, f"Make{actor}")("Ada")).unwrap()
        assert len(list(storage.repository(kind).history(name="Ada"))) == 2


def renamings(commands: str) -> list[str]:
    return [line.strip() for line in commands.splitlines() if "op." in line]


def test_a_renamed_actor_keeps_its_rows(start: Start) -> None:
    project = begun(start)
    before = contents(project.url)
    project.write(model("Hero<Player"))

    assert renamings(project.migrate()) == [
        "op.rename_actor_tables('Player', 'Hero', format=1)",
        "op.rename_actor_tables('Hero', 'Player', format=1)",
    ]

    assert_ada_is_there(project)
    project.alembic("downgrade", "-1")
    assert contents(project.url).replace('"', "") == before.replace('"', "")
    project.alembic("upgrade", "head")
    assert_as_created(project)


def apart_from_constraints(contents: str) -> str:
    """Contents without what SQLite cannot rename, the names of constraints, and its quotes."""
    return re.sub(r'CONSTRAINT "?\w+"? (PRIMARY KEY|UNIQUE)', r"\1", contents).replace('"', "")


def assert_as_created(project: Project) -> None:
    renamed = contents(project.url)
    created = as_created(project)
    if project.url.startswith("sqlite"):
        assert apart_from_constraints(renamed) == apart_from_constraints(created)
    else:
        assert renamed == created


OF_THE_HOST = (
    "CREATE TABLE likes (command {type} REFERENCES player_commands (id) ON DELETE {action})",
    "CREATE VIEW players AS SELECT actor_id FROM player_commands",
    "CREATE INDEX by_type ON player_commands (type)",
    "INSERT INTO likes SELECT id FROM player_commands",
)


@pytest.mark.parametrize("action", ["NO ACTION", "CASCADE"])
@pytest.mark.parametrize("offline", [False, True], ids=["online", "script"])
def test_what_of_the_host_refers_to_the_tables_goes_with_them(
    start: Start, action: str, offline: bool
) -> None:
    """Keys hold, views show, indexes are there; no row goes, whatever a deletion would do."""
    project = begun(start)
    engine = engine_of(project)
    sqlite = engine.dialect.name == "sqlite"
    with engine.begin() as connection:
        for statement in OF_THE_HOST:
            text = statement.format(type="TEXT" if sqlite else "uuid", action=action)
            connection.execute(sa.text(text))
    project.configure("include_object=lambda it, name, *_: name not in ('likes', 'by_type')")
    if sqlite:
        online = "with connectable.connect() as connection:\n"
        enforce = 'connection.exec_driver_sql("PRAGMA foreign_keys=ON"); connection.commit()\n'
        project.edit(online, f"{online}        {enforce}")
    before = project.alembic("current").split()[0]
    project.write(model("Hero<Player"))
    if offline:
        project.revision()
        script = project.alembic("upgrade", f"{before}:head", "--sql")
        run_script(project.url, f"PRAGMA foreign_keys=ON;\n{script}" if sqlite else script)
    else:
        project.migrate()

    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM players")) == 1
        assert connection.scalar(sa.text("SELECT count(*) FROM likes")) == 1
    seen = sa.inspect(engine)
    assert [key["referred_table"] for key in seen.get_foreign_keys("likes")] == ["hero_commands"]
    assert "by_type" in {index["name"] for index in seen.get_indexes("hero_commands")}
    assert_ada_is_there(project)


def likes(table: str, options: str = "ondelete='cascade'") -> str:
    key = f'sa.ForeignKey("{table}.id", name="likes_event", {options})'
    return (
        '\nsa.Table("likes", Base.metadata, sa.Column("id", sa.Integer, primary_key=True), '
        f'sa.Column("event", sa.Uuid, {key}))\n'
    )


@pytest.mark.parametrize(
    "options",
    [
        "ondelete='cascade'",
        "ondelete='NO ACTION', onupdate='no action'",
        "deferrable=True, initially='IMMEDIATE'",
    ],
)
def test_a_foreign_key_in_the_model_of_the_host_is_not_made_anew(
    start: Start, options: str
) -> None:
    """SQLite could not, and there is no need: the one that is there goes with the table."""
    project = start(model("Player", within=True) + likes("player_events", options))
    project.edit("[Base.metadata, domain.metadata]", "Base.metadata")
    in_use(project)
    project.write(model("Hero<Player", within=True) + likes("hero_events", options))

    assert renamings(project.migrate()) == [
        "op.rename_actor_tables('Player', 'Hero', format=1)",
        "op.rename_actor_tables('Hero', 'Player', format=1)",
    ]

    seen = sa.inspect(engine_of(project))
    assert [key["referred_table"] for key in seen.get_foreign_keys("likes")] == ["hero_events"]
    project.write(model("Hero<Player", within=True) + likes("customer", options))
    assert "op.create_foreign_key" in project.revision()  # what is no renaming is found as ever


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("onupdate='CASCADE'", "onupdate='SET NULL'"),
        ("ondelete='CASCADE'", "ondelete='SET NULL'"),
        ("deferrable=True", "onupdate='NO ACTION'"),
        ("deferrable=True, initially='DEFERRED'", "deferrable=True"),
    ],
)
def test_a_foreign_key_that_is_to_do_something_else_is_made_anew(
    start: Start, before: str, after: str
) -> None:
    project = start(model("Player", within=True) + likes("player_events", before))
    project.edit("[Base.metadata, domain.metadata]", "Base.metadata")
    project.migrate()
    project.write(model("Hero<Player", within=True) + likes("hero_events", after))

    assert "op.create_foreign_key('likes_event'" in project.revision()


BY_TYPE = "sa.Index('by_type', domain.metadata.tables['{place}_events'].c.type)\n"


def test_an_index_in_the_model_of_the_host_is_not_made_anew(start: Start) -> None:
    project = start(model("Player") + BY_TYPE.format(place="player"))
    in_use(project)
    project.write(model("Hero<Player") + BY_TYPE.format(place="hero"))

    assert "by_type" not in project.migrate()

    indexes = sa.inspect(engine_of(project)).get_indexes("hero_events")
    assert "by_type" in {index["name"] for index in indexes}


def test_an_index_whose_name_follows_the_actor_s_is_made_anew(start: Start) -> None:
    own = "sa.Index('ix_{place}', domain.metadata.tables['{place}_events'].c.type)\n"
    project = start(model("Player") + own.format(place="player"))
    in_use(project)
    before = contents(project.url)
    project.write(model("Hero<Player") + own.format(place="hero"))

    project.migrate()  # and nothing is left to do

    assert_as_created(project)
    project.alembic("upgrade", "head")
    project.alembic("downgrade", "-1")
    assert contents(project.url).replace('"', "") == before.replace('"', "")


def with_index(actor: str, table: str, index: str) -> str:
    """A model of one actor, on whose commands the host has an index named after them."""
    place = f"domain.metadata.tables[{f'{table}_commands'!r}].c"
    return model(actor) + f"sa.Index('ix_{table}', {index.replace('it.', f'{place}.')})\n"


UNIQUE = "it.idempotency_key, it.type, unique=True"
OF_A_PART = "it.type, postgresql_where=it.origin == 'a', sqlite_where=it.origin == 'a'"
ON_POSTGRESQL = {
    "with more in it": "it.type, postgresql_include=['origin']",
    "descending": "it.type.desc()",
    "of an expression": "sa.func.lower(it.type), it.origin",
}


@pytest.mark.parametrize("index", [UNIQUE, OF_A_PART], ids=["unique", "of a part"])
def test_an_index_that_is_made_anew_comes_back_as_it_was(start: Start, index: str) -> None:
    assert_comes_back(start(with_index("Player", "player", index)), index)


@pytest.mark.parametrize("index", ON_POSTGRESQL.values(), ids=ON_POSTGRESQL.keys())
def test_an_index_that_is_made_anew_comes_back_as_it_was_on_postgresql(
    tmp_path: Path, postgres_url: str, index: str
) -> None:
    """Of SQLite's indexes SQLAlchemy does not see what these have."""
    project = Project(tmp_path, postgres_url)
    project.write(with_index("Player", "player", index))
    assert_comes_back(project, index)


def assert_comes_back(project: Project, index: str) -> None:
    project.revision()
    project.alembic("upgrade", "head")
    before = contents(project.url)
    project.write(with_index("Hero<Player", "hero", index))

    project.revision()
    project.alembic("upgrade", "head")

    renamed = contents(project.url)
    assert "ix_hero" in renamed
    assert "ix_player" not in renamed
    project.alembic("downgrade", "-1")
    assert contents(project.url).replace('"', "") == before.replace('"', "")


def test_an_index_of_an_expression_on_sqlite_keeps_its_name(
    tmp_path: Path, sqlite_url: str
) -> None:
    """SQLAlchemy does not see it there, and says so; it goes with its table."""
    index = "sa.func.lower(it.type)"
    project = Project(tmp_path, sqlite_url)
    project.write(with_index("Player", "player", index))
    project.module().domain.metadata.create_all(engine_of(project))
    project.write(with_index("Hero<Player", "hero", index))

    unseen = pytest.warns(sa.exc.SAWarning, match="expression-based index ix_player")
    with pytest.warns(UserWarning, match="expression-based index 'ix_hero'"), unseen:
        project.revision()

    project.alembic("upgrade", "head")
    assert re.search(r"ix_player \| hero_commands \|.*lower\(type\)", contents(project.url))


def test_rows_under_two_names_are_not_passed_over(start: Start) -> None:
    """Whichever of two former names were taken, what is under the other would be out of sight."""
    project = start(model("Player", "Team"))
    project.migrate()
    module = project.module()
    with spry.Storage(engine_of(project), module.domain) as storage:
        storage.repository(module.Player).handle(module.MakePlayer("Ada")).unwrap()
        storage.repository(module.Team).handle(module.MakeTeam("A")).unwrap()
    both = "aliases=('Team', 'Player',)"
    project.write(model("Hero<Player").replace("aliases=('Player',)", both))

    with pytest.raises(spry.StorageFailure, match="rows in the tables of 'Team' and of 'Player'"):
        project.revision()


def test_rows_under_two_names_are_not_passed_over_in_a_schema(
    tmp_path: Path, postgres_url: str
) -> None:
    project = Project(tmp_path, postgres_url)
    project.write(model("Player", "Team", schema="game"))
    in_use(project)
    module = project.module()
    with spry.Storage(engine_of(project), module.domain) as storage:
        storage.repository(module.Team).handle(module.MakeTeam("A")).unwrap()
    both = "aliases=('Team', 'Player',)"
    project.write(model("Hero<Player", schema="game").replace("aliases=('Player',)", both))

    with pytest.raises(spry.StorageFailure, match="rows in the tables of 'Team' and of 'Player'"):
        project.revision()


def test_rows_under_the_new_name_and_a_former_one_are_not_passed_over(start: Start) -> None:
    project = begun(start)
    project.write(model("Hero"))  # without the alias
    project.migrate()
    module = project.module()
    with spry.Storage(engine_of(project), module.domain) as storage:
        storage.repository(module.Hero).handle(module.MakeHero("Bob")).unwrap()
    project.write(model("Hero<Player"))

    with pytest.raises(spry.StorageFailure, match="rows in the tables of 'Hero' and of 'Player'"):
        project.revision()


def test_the_tables_of_an_actor_are_nobody_s_former_ones(start: Start) -> None:
    """`player`, which Hero was called, is another name than `Player`, and makes the same tables."""
    project = begun(start)
    project.write(model("Player", "Hero<player"))

    commands = project.migrate()

    assert "op.create_actor_tables('Hero', format=1)" in commands
    assert "rename_actor_tables" not in commands
    assert_ada_is_there(project, "Player")


def test_what_a_hand_has_dropped_of_guards_and_indexes_comes_back(start: Start) -> None:
    project = begun(start)
    with engine_of(project).begin() as connection:
        guard = "spry_refuse ON player_events"
        if connection.dialect.name == "sqlite":
            guard = "player_events_no_update"
        connection.execute(sa.text(f"DROP TRIGGER {guard}"))
        connection.execute(sa.text("DROP INDEX player_events_command_idx"))
    project.write(model("Hero<Player"))
    project.revision()
    project.alembic("upgrade", "head")
    if project.url.startswith("postgresql"):  # the index lacks, as it did before
        assert "hero_events_command_idx" in project.migrate()
    project.alembic("check")
    assert_as_created(project)


@pytest.mark.parametrize("autocommit", [False, True])
def test_a_renaming_that_fails_leaves_all_as_it_was(start: Start, autocommit: bool) -> None:
    """Here the fourth of five tables lacks."""
    project = begun(start)
    project.write(model("Hero<Player"))
    project.revision()
    engine = engine_of(project)
    if autocommit:
        if engine.dialect.name != "sqlite":
            pytest.skip("PostgreSQL keeps each statement by itself in AUTOCOMMIT, as it is told")
        project.edit('prefix="sqlalchemy.",', 'prefix="sqlalchemy.", isolation_level="AUTOCOMMIT",')
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE player_links"))
    before = contents(project.url)

    with pytest.raises(sa.exc.DBAPIError, match="player_links"):
        project.alembic("upgrade", "head")

    assert contents(project.url) == before


@pytest.mark.parametrize("name", ["H", "A" + "b" * 40, "Ü" * 25, "Rock'n%Roll"])
@pytest.mark.long
def test_any_name_becomes_what_create_all_makes(start: Start, name: str) -> None:
    """Also where PostgreSQL cuts the names that it makes of ours."""
    head = "class Player(spry.Actor"
    project = start(model("Player"))
    project.migrate()
    named = f"{head}, name={name!r}, aliases=('Player',)"
    project.write(model("Player").replace(head, named))
    assert "op.rename_actor_tables('Player'" in project.migrate()
    assert_as_created(project)


@pytest.mark.long
def test_a_renamed_actor_in_a_schema(tmp_path: Path, postgres_url: str) -> None:
    project = Project(tmp_path, postgres_url)
    project.write(model("Player", schema="game"))
    project.configure("include_schemas=True")
    in_use(project)
    project.write(model("Hero<Player", schema="game"))
    assert "op.rename_actor_tables('Player', 'Hero', schema='game'" in project.migrate()
    assert_ada_is_there(project)


def test_before_the_renaming_in_a_schema_a_storage_says_so_too(
    tmp_path: Path, postgres_url: str
) -> None:
    project = Project(tmp_path, postgres_url)
    project.write(model("Player", schema="game"))
    in_use(project)
    project.write(model("Hero<Player", schema="game"))
    module, engine = project.module(), engine_of(project)
    module.domain.metadata.create_all(engine)

    with pytest.raises(spry.TablesOutdated, match=r"'Hero' has stored is in 'game\.player_events'"):
        spry.Storage(engine, module.domain)


def test_an_index_in_a_schema_that_alembic_does_not_look_into_is_left(
    tmp_path: Path, postgres_url: str
) -> None:
    project = Project(tmp_path, postgres_url)
    project.write(model("Player", schema="game"))
    project.migrate()
    with engine_of(project).begin() as connection:
        connection.execute(sa.text("CREATE INDEX by_type ON game.player_events (type)"))
    project.write(model("Hero<Player", schema="game"))

    assert "drop_index" not in project.migrate()

    assert "CREATE INDEX by_type ON game.hero_events" in contents(project.url)


def test_before_the_renaming_a_storage_says_what_is_to_be_done(start: Start) -> None:
    project = begun(start)
    project.write(model("Hero<Player"))
    module, engine = project.module(), engine_of(project)
    told = "what the actor 'Hero' has stored is in 'player_events'.*`alembic revision"

    with pytest.raises(spry.TablesOutdated, match=told):
        spry.Storage(engine, module.domain)
    module.domain.metadata.create_all(engine)  # as an application may do each time it starts
    with pytest.raises(spry.TablesOutdated, match=told):
        spry.Storage(engine, module.domain)

    with pytest.raises(Failed, match="rename_actor_tables"):
        project.alembic("check")
    assert "op.rename_actor_tables('Player', 'Hero', format=1)" in project.migrate()
    assert_ada_is_there(project)


def test_what_older_code_stores_after_the_renaming_is_not_passed_over(start: Start) -> None:
    project = begun(start)
    older, engine = project.module(), engine_of(project)
    project.write(model("Hero<Player"))
    project.migrate()
    newer = project.module()

    older.domain.metadata.create_all(engine)
    spry.Storage(engine, newer.domain).close()  # empty tables hide nothing
    with spry.Storage(engine, older.domain) as storage:
        storage.repository(older.Player).handle(older.MakePlayer("Bob")).unwrap()

    with pytest.raises(spry.TablesOutdated, match="'Hero' are in 'player_events', too"):
        spry.Storage(engine, newer.domain)


def test_tables_that_hold_rows_are_not_replaced_by_a_renaming(start: Start) -> None:
    project = begun(start)
    project.write(model("Hero<Player"))
    commands = project.revision()
    assert "rename_actor_tables" in commands
    text = model("Hero")  # without the alias
    project.write(text)
    module, engine = project.module(), engine_of(project)
    module.domain.metadata.create_all(engine)
    with spry.Storage(engine, module.domain) as storage:
        storage.repository(module.Hero).handle(module.MakeHero("Bob")).unwrap()
    before = contents(project.url)

    with pytest.raises(spry.StorageFailure, match="is there already and holds rows"):
        project.alembic("upgrade", "head")

    assert contents(project.url) == before
    with spry.Storage(engine, module.domain) as storage:
        assert storage.repository(module.Hero).exists(name="Bob")


def test_what_a_hand_has_dropped_is_restored_before(start: Start) -> None:
    """Snapshots can be made again; that they lack does not make an actor a new one."""
    project = begun(start)
    with engine_of(project).begin() as connection:
        connection.execute(sa.text("DROP TABLE player_snapshots"))
    project.write(model("Hero<Player"))

    commands = project.migrate().split("def downgrade")[0]

    assert renamings(commands) == [
        "op.restore_actor_tables('Player', format=1)",
        "op.rename_actor_tables('Player', 'Hero', format=1)",
    ]
    assert_ada_is_there(project)


@pytest.mark.long
def test_a_name_after_another(start: Start) -> None:
    project = begun(start)
    project.write(model("Hero<Player"))
    project.migrate()
    chain = model("Legend<Player")
    for was, old in (("Player", "Hero"), ("MakePlayer", "MakeHero"), ("PlayerMade", "HeroMade")):
        chain = chain.replace(f"aliases=({was!r},)", f"aliases=({old!r}, {was!r})")
    project.write(chain)

    assert "op.rename_actor_tables('Hero', 'Legend', format=1)" in project.migrate()

    assert_ada_is_there(project, "Legend")
