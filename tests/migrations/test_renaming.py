"""An actor under another name: its tables are found and renamed, never made anew."""

from pathlib import Path

import pytest
import sqlalchemy as sa

import spry_sqla as spry
from tests.migrations.conftest import Start
from tests.migrations.project import Failed, Project, as_created, contents, engine_of, model


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
    assert contents(project.url) == before
    project.alembic("upgrade", "head")
    renamed = contents(project.url)
    assert renamed == as_created(project)


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
    renamed = contents(project.url)
    assert renamed == as_created(project)


@pytest.mark.long
def test_a_renamed_actor_in_a_schema(tmp_path: Path, postgres_url: str) -> None:
    project = Project(tmp_path, postgres_url)
    project.write(model("Player", schema="game"))
    project.configure("include_schemas=True")
    in_use(project)
    project.write(model("Hero<Player", schema="game"))
    assert "op.rename_actor_tables('Player', 'Hero', schema='game'" in project.migrate()
    assert_ada_is_there(project)


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
