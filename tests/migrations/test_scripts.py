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


def named(actor: str, stored: str, *others: str) -> str:
    """A model with an actor of another stored name than its class's, and others."""
    return model(actor, *others).replace(
        f"class {actor}(spry.Actor)", f"class {actor}(spry.Actor, name={stored!r})"
    )


def test_an_actor_is_found_by_its_stored_name_or_its_class_s(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(named("Hero", "Legend"))

    for name in ("Hero", "Legend"):
        code, text, _ = spry(tmp_path, name, "--domain", "model:domain")

        assert code == 0
        assert "legend_events" in text


def test_a_stored_name_wins_over_the_class_name_of_another(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(
        named("Hero", "Legend", "Champion").replace(
            "class Champion(spry.Actor)", "class Champion(spry.Actor, name='Hero')"
        )
    )

    code, text, _ = spry(tmp_path, "Hero", "--domain", "model:domain")

    assert code == 0
    assert "hero_events" in text
    assert "legend_events" not in text


def test_the_ddl_is_for_postgresql_where_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(model("Player"))

    asked = spry(tmp_path, "Player", "--domain", "model:domain", "--dialect", "postgresql")

    assert "LANGUAGE plpgsql" in asked[1]
    assert spry(tmp_path, "Player", "--domain", "model:domain") == asked


def in_ascii(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process whose locale knows no character but those of ASCII."""
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    return subprocess.run(
        [sys.executable, "-m", "spry_sqla", "schema", *arguments],
        cwd=folder, env={**os.environ, **locale, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip


def test_a_name_that_the_output_cannot_take_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(named("Road", "Straße"), encoding="utf-8")

    done = in_ascii(tmp_path, "Road", "--domain", "model:domain")

    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert r"is in ascii, which has no '\xdf'; write a file with --output" in line


def test_a_file_of_ddl_is_utf_8_wherever_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(named("Road", "Straße"), encoding="utf-8")
    _, text, _ = spry(tmp_path, "Road", "--domain", "model:domain")

    done = in_ascii(tmp_path, "Road", "--domain", "model:domain", "--output", "road.sql")

    assert (done.returncode, done.stderr) == (0, "")
    assert "straße_events" in text
    assert (tmp_path / "road.sql").read_bytes() == text.encode()


@pytest.mark.parametrize(
    ("code", "arguments", "said"),
    [
        (2, ["Player", "--domain", "model"], "give module and name, such as shop.model:domain"),
        (2, ["Player", "--domain", "nowhere:domain"], "'nowhere' cannot be imported"),
        (2, ["Player", "--domain", "ends:domain"], "'ends' cannot be imported: 3"),
        (2, ["Player", "--domain", "model:nothing"], "model has nothing by the name of 'nothing'"),
        (2, ["Player", "--domain", "model:Base"], "'Base'; give it a spry_sqla.Domain"),
        (2, ["Players", "--domain", "model:domain"], "no actor 'Players'; it has Player"),
        (1, ["Player", "--domain", "model:domain", "--output", "no/f.sql"], "cannot be written"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    tmp_path: Path, code: int, arguments: list[str], said: str
) -> None:
    (tmp_path / "model.py").write_text(model("Player"))
    (tmp_path / "ends.py").write_text("import sys\n\nsys.exit(3)\n")
    ended, printed, complaint = spry(tmp_path, *arguments)
    assert ended == code
    assert printed == ""
    assert said in complaint
    assert len(complaint.splitlines()) == 1


@pytest.mark.long
def test_failed_commands_are_seen(tmp_path: Path, sqlite_url: str) -> None:
    project = Project(tmp_path, sqlite_url)
    project.write(model("Player"))
    with pytest.raises(Failed, match="New upgrade operations detected"):
        project.alembic("check")
