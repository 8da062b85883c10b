"""Migrations as scripts for a DBA, with Alembic's other templates; the `spry schema` command."""

import os
import subprocess
import sys
from contextlib import chdir
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from spry_sqla.cli import app
from tests.migrations.project import Failed, Project, contents, model, run_script

ROOT = Path(__file__).parents[2]


def test_a_script_makes_what_the_migration_makes(tmp_path: Path, database_url: str) -> None:
    assert_the_script_equals(Project(tmp_path, database_url), None)


@pytest.mark.long
def test_so_does_one_with_a_schema(tmp_path: Path, postgres_url: str) -> None:
    assert_the_script_equals(Project(tmp_path, postgres_url), "Facts")


def assert_the_script_equals(project: Project, schema: str | None) -> None:
    project.write(model("Player", "Team", prefix="per%cent_", schema=schema))
    project.migrate()
    migrated = contents(project.url)
    project.alembic("downgrade", "base")
    before = contents(project.url)
    run_script(project.url, "DROP TABLE alembic_version;")

    run_script(project.url, project.alembic("upgrade", "head", "--sql"))
    assert contents(project.url) == migrated
    project.alembic("check")

    head = project.alembic("heads").split()[0]
    run_script(project.url, project.alembic("downgrade", f"{head}:base", "--sql"))
    assert contents(project.url) == before


@pytest.mark.long
def test_a_renaming_as_a_script(tmp_path: Path, database_url: str) -> None:
    project = Project(tmp_path, database_url)
    project.write(model("Player"))
    project.migrate()
    first = project.alembic("heads").split()[0]
    project.write(model("Hero<Player"))
    project.migrate()
    renamed = contents(project.url)
    project.alembic("downgrade", "-1")

    run_script(project.url, project.alembic("upgrade", f"{first}:head", "--sql"))

    assert contents(project.url) == renamed


@pytest.mark.long
@pytest.mark.parametrize("template", ["async", "pyproject", "pyproject_async"])
def test_with_another_template(tmp_path: Path, database_url: str, template: str) -> None:
    url = sa.make_url(database_url)
    if "async" in template and url.get_backend_name() == "sqlite":
        url = url.set(drivername="sqlite+aiosqlite")
    project = Project(tmp_path, url.render_as_string(hide_password=False), template)
    project.write(model("Player"))

    assert "op.create_actor_tables('Player', format=1)" in project.migrate()

    project.alembic("downgrade", "base")
    project.alembic("upgrade", "head")
    project.alembic("check")


@pytest.mark.long
def test_the_command_itself(tmp_path: Path, sqlite_url: str) -> None:
    """In a process of its own, as a user runs it: Alembic finds the plugin by its entry point."""
    project = Project(tmp_path, sqlite_url)
    project.write(model("Player"))
    for arguments in (["revision", "--autogenerate", "-m", "x"], ["upgrade", "head"], ["check"]):
        done = subprocess.run(
            [sys.executable, "-m", "alembic.config", *arguments],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
            text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert "player_events" in contents(sqlite_url)


def test_older_alembics_iterate_over_a_plugin() -> None:
    """Before 1.20.1, and fail to be imported where they cannot."""
    (point,) = entry_points(group="alembic.plugins", name="alembic.autogenerate.spry_sqla")
    assert [each.setup for each in point.load()] == [point.load().setup]


# spry schema ------------------------------------------------------------------------------------


def spry(folder: Path, *arguments: str) -> tuple[int, str, str]:
    sys.modules.pop("model", None)
    with chdir(folder):
        said = CliRunner().invoke(app, ["schema", *arguments])
    return said.exit_code, said.stdout, said.stderr


def test_the_ddl_of_an_actor(tmp_path: Path, database_url: str) -> None:
    project = Project(tmp_path, database_url)
    project.write(model("Player", "Team"))
    kind = sa.make_url(database_url).get_backend_name()
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    module = project.module()
    tables = [table for table in module.domain.metadata.sorted_tables if "team" not in table.name]
    module.domain.metadata.create_all(engine, tables=tables)
    made = contents(database_url)
    module.domain.metadata.drop_all(engine, tables=tables)

    code, text, _ = spry(tmp_path, "Player", "--domain", "model:domain", "--dialect", kind)

    assert code == 0
    run_script(database_url, text)
    run_script(database_url, text)
    assert contents(database_url) == made
    code, said, _ = spry(tmp_path, "Player", "--domain", "model:domain", "--dialect", kind,
                         "--output", "player.sql")  # fmt: skip
    assert (code, said) == (0, "")
    assert (tmp_path / "player.sql").read_text() == text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Player", "--domain", "model"], "give module and name, such as shop.model:domain"),
        (["Player", "--domain", "nowhere:domain"], "'nowhere' cannot be imported"),
        (["Player", "--domain", "ends:domain"], "'ends' cannot be imported: 3"),
        (["Player", "--domain", "model:nothing"], "model has nothing by the name of 'nothing'"),
        (["Player", "--domain", "model:Base"], "by the name of 'Base'; give it a spry_sqla.Domain"),
        (["Players", "--domain", "model:domain"], "no actor 'Players'; it has Player"),
        (["Player", "--domain", "model:domain", "--output", "no/folder.sql"], "cannot be written"),
    ],
)
def test_a_mistake_is_told_in_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "model.py").write_text(model("Player"))
    (tmp_path / "ends.py").write_text("import sys\n\nsys.exit(3)\n")
    code, printed, complaint = spry(tmp_path, *arguments)
    assert code in (1, 2)
    assert printed == ""
    assert said in complaint
    assert len(complaint.splitlines()) == 1


@pytest.mark.long
def test_failed_commands_are_seen(tmp_path: Path, sqlite_url: str) -> None:
    project = Project(tmp_path, sqlite_url)
    project.write(model("Player"))
    with pytest.raises(Failed, match="New upgrade operations detected"):
        project.alembic("check")
