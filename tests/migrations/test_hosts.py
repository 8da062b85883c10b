"""What is the host's: its own tables, also those that look like ours, and its indexes on ours."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.migrations.conftest import Start
from tests.migrations.project import Project, as_created, contents, engine_of, model

MEMBER = """

class Member(Base):
    __tablename__ = "member"
    id: Mapped[int] = mapped_column(primary_key=True)
    since: Mapped[str] = mapped_column(sa.String(30), index=True)
"""
"""It has the columns of one of our tables."""


@pytest.mark.long
def test_tables_of_others_are_left_alone(start: Start) -> None:
    """A table of the host that is gone is still dropped, and only that one."""
    project = start(model("Player"))
    project.migrate()
    with engine_of(project).begin() as connection:
        connection.execute(sa.text("CREATE TABLE player_notes (id INTEGER PRIMARY KEY)"))

    commands = project.migrate()

    assert "op.drop_table('player_notes')" in commands
    assert "op.create_table('player_notes'" in commands
    assert "player_events" not in commands
    assert "actor_tables" not in commands


@pytest.mark.parametrize(
    "actors",
    [
        pytest.param((), id="no domain", marks=pytest.mark.long),
        pytest.param(("Player",), id="a domain"),
    ],
)
def test_a_table_of_the_host_that_looks_like_ours_is_the_host_s(
    start: Start, actors: tuple[str, ...]
) -> None:
    project = start(model(*actors) + MEMBER)
    assert "op.create_table('member'" in project.migrate()
    project.write(model(*actors) + MEMBER + "    name: Mapped[str | None]\n")
    assert "op.add_column('member'" in project.migrate()
    project.write(model(*actors))

    commands = project.migrate()

    assert "op.drop_table('member')" in commands
    assert "member" not in contents(project.url)


def test_an_index_of_the_host_on_a_table_of_ours_is_made_with_it(start: Start) -> None:
    own = "\nsa.Index('by_type', domain.metadata.tables['player_events'].c.type)\n"
    project = start(model("Player") + own)

    commands = project.migrate()

    assert commands.count("op.create_index('by_type', 'player_events'") == 1
    assert commands.count("op.create_index(") == 2  # the host's table has one
    migrated = contents(project.url)
    assert migrated == as_created(project)


def test_an_index_of_the_host_in_a_schema_that_alembic_does_not_look_into(
    tmp_path: Path, postgres_url: str
) -> None:
    own = "\nsa.Index('by_type', domain.metadata.tables['game.player_events'].c.type)\n"
    project = Project(tmp_path, postgres_url)
    project.write(model("Player", schema="game") + own)

    assert "op.create_index('by_type', 'player_events'" in project.migrate()


def test_metadata_copied_into_one(start: Start) -> None:
    project = start(model("Player"))
    project.edit(
        "target_metadata = [Base.metadata, domain.metadata]",
        "import sqlalchemy\n"
        "target_metadata = sqlalchemy.MetaData()\n"
        "for each in (Base.metadata, domain.metadata):\n"
        "    for table in each.tables.values():\n"
        "        table.to_metadata(target_metadata)",
    )

    project.migrate()

    migrated = contents(project.url)
    assert migrated == as_created(project)


def test_a_column_that_a_hand_has_dropped_comes_back_by_a_script_that_runs(start: Start) -> None:
    project = start(model("Player"))
    project.migrate()
    with engine_of(project).begin() as connection:
        connection.execute(sa.text("ALTER TABLE player_commands DROP COLUMN metadata"))

    assert "op.add_column('player_commands'" in project.migrate()


@pytest.mark.parametrize(
    "harm",
    [
        "DROP TABLE spry_epochs CASCADE",
        pytest.param(
            'ALTER TABLE player_events ALTER COLUMN "transaction" DROP DEFAULT',
            marks=pytest.mark.long,
        ),
        pytest.param(
            'ALTER TABLE player_events ALTER COLUMN "transaction" SET DEFAULT 1',
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_default_that_a_hand_has_changed_comes_back(
    tmp_path: Path, postgres_url: str, harm: str
) -> None:
    """SQLite's tables have no such default."""
    project = Project(tmp_path, postgres_url)
    project.write(model("Player"))
    project.migrate()
    before = contents(project.url)
    with engine_of(project).begin() as connection:
        connection.execute(sa.text(harm))

    assert "op.create_actor_guards('Player', format=1)" in project.migrate()

    assert contents(project.url) == before


def test_types_are_written_as_the_host_has_it(start: Start) -> None:
    project = start(model("Player"))
    project.configure(
        "render_item=lambda kind, item, _: "
        "'sa.String(length=99)' if kind == 'type' and type(item).__name__ == 'String' else False"
    )

    assert "sa.Column('name', sa.String(length=99)" in project.revision()
