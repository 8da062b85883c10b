"""Tables of another format: what an application meets when a version of the library changes them.

There is one format yet; the next version, which makes tables of format 2, is made here.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

import spry_sqla as spry
from tests.migrations.project import Failed, Project, contents, model, run_script

ROOT = Path(__file__).parents[2]

STEP = """
def _second(tables, bind):
    for table in tables:
        path = placed(table, bind).sql
        if mark_of(table).kind == "links":
            bind.execute(sa.DDL(f"ALTER TABLE {path} ADD COLUMN tenant TEXT"))
        if mark_of(table).kind == "commands":
            bind.execute(sa.DDL(f"UPDATE {path} SET idempotency_key = 'from format 1'"))


from spry_sqla.schema.placing import mark_of, placed
STEPS = {2: _second}
"""

USE = """
import model, sqlalchemy as sa, spry_sqla as spry
with spry.Storage(sa.create_engine(URL), model.domain) as storage:
    actors = storage.repository(ACTOR)
    print([each.event for each in actors.history(name="Ada")], actors.exists(name="Bob"))
    actors.handle(COMMAND("Bob")).unwrap()
"""


@dataclass
class Version:
    """A version of the library, and a user's project whose commands run with it."""

    library: Path
    project: Project

    def alembic(self, *commands: str) -> str:
        """Run commands of `alembic`, one after the other, in one process."""
        each = [command.split() for command in commands]
        return self.python("-c", f"from alembic.config import main; [*map(main, {each!r})]")

    def revision(self, *then: str) -> str:
        """Autogenerate a migration, then run commands; its own ones for up and for down."""
        self.alembic("revision --autogenerate -m tenants", *then)
        (script,) = (self.project.folder / "migrations" / "versions").glob("*_tenants.py")
        return script.read_text().split("def upgrade", 1)[1]

    def use(self, actor: str, command: str) -> str:
        """Open a Storage, read what Ada did, and make Bob; what was printed. Raises Failed."""
        text = USE.replace("URL", repr(self.project.url))
        text = text.replace("ACTOR", f"model.{actor}").replace("COMMAND", f"model.{command}")
        return self.python("-c", text)

    def python(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.project.folder, env={**os.environ, "PYTHONPATH": str(self.library)},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        if done.returncode:
            raise Failed(done.stdout + done.stderr)
        return done.stdout


@pytest.fixture
def project(tmp_path: Path, database_url: str) -> Project:
    """A project migrated with this version, in which Ada is made."""
    project = Project(tmp_path, database_url)
    project.write(model("Player"))
    project.migrate()
    module = project.module()
    engine = sa.create_engine(project.url, poolclass=sa.NullPool)
    with spry.Storage(engine, module.domain) as storage:
        storage.repository(module.Player).handle(module.MakePlayer("Ada")).unwrap()
    return project


@pytest.fixture
def following(tmp_path: Path, project: Project) -> Version:
    """The next version: its links have one more column, and old commands a key."""
    library = tmp_path / "next"
    shutil.copytree(ROOT / "spry_sqla", library / "spry_sqla")
    package = library / "spry_sqla"
    for name, old, new in (
        ("schema/placing.py", "\nFORMAT = 1\n", "\nFORMAT = 2\n"),
        (
            "schema/tables.py",
            '_text("child_type"),',
            '_text("child_type"), _text("tenant", nullable=True),',
        ),
        ("migrations/upgrades.py", "\nSTEPS: Mapping[int, Step] = {}\n", STEP),
    ):
        text = (package / name).read_text()
        assert old in text
        (package / name).write_text(text.replace(old, new))
    return Version(library, project)


def test_older_tables_are_upgraded_and_newer_ones_refused(following: Version) -> None:
    project = following.project
    older = r"TablesOutdated: spry_format .* of format 1, older than the format 2 .*; upgrade them"
    with pytest.raises(Failed, match=older) as caught:
        following.use("Player", "MakePlayer")
    assert "`alembic revision --autogenerate`, then `alembic upgrade head`" in str(caught.value)
    with pytest.raises(Failed, match=r"upgrade_spry_tables"):
        following.alembic("check")

    commands = following.revision("upgrade head", "check")
    assert commands.count("op.") == 2
    assert "op.upgrade_spry_tables('Player', format=2, from_format=1)" in commands

    assert following.use("Player", "MakePlayer") == "[PlayerMade(name='Ada')] False\n"
    engine = sa.create_engine(project.url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        keys = sa.text("SELECT idempotency_key FROM player_commands ORDER BY id")
        assert connection.scalars(keys).all() == ["from format 1", None]
        versions = sa.text("SELECT version FROM spry_format ORDER BY version")
        assert connection.scalars(versions).all() == [1, 2]
        with pytest.raises(sa.exc.DBAPIError, match="append-only"):
            connection.execute(sa.text("UPDATE player_commands SET idempotency_key = NULL"))

    newer = "of format 2, newer than the format 1 .*deploy the version of spry_sqla that made them"
    with pytest.raises(spry.TablesOutdated, match=newer):
        spry.Storage(engine, project.module().domain)
    with pytest.raises(spry.TablesOutdated, match=newer):
        project.alembic("check")
    with pytest.raises(Failed, match=r"format 2 cannot be made tables of format 1 again.*backup"):
        following.alembic("downgrade -1")


def test_newer_tables_are_refused_in_autocommit_too(tmp_path: Path, database_url: str) -> None:
    """There are no savepoints on PostgreSQL then."""
    project = Project(tmp_path, database_url)
    project.write(model("Player"))
    project.migrate()
    project.edit('prefix="sqlalchemy.",', 'prefix="sqlalchemy.", isolation_level="AUTOCOMMIT",')
    project.alembic("check")
    with sa.create_engine(project.url, poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text("INSERT INTO spry_format (version) VALUES (2)"))

    with pytest.raises(spry.TablesOutdated, match="of format 2, newer than the format 1"):
        project.alembic("check")


@pytest.mark.long
def test_an_upgrade_beside_a_renaming_and_a_new_actor_and_as_a_script(following: Version) -> None:
    project = following.project
    first = project.alembic("heads").split()[0]
    project.write(model("Hero<Player", "Team"))

    commands = following.revision().split("def downgrade")[0]

    calls = [line.strip() for line in commands.splitlines() if "op." in line]
    assert calls == [
        "op.upgrade_spry_tables('Player', format=2, from_format=1)",
        "op.rename_actor_tables('Player', 'Hero', format=2)",
        "op.create_actor_tables('Team', format=2)",
    ]
    run_script(project.url, following.alembic(f"upgrade {first}:head --sql"))
    following.alembic("check")
    assert "name='Ada'" in following.use("Hero", "MakeHero")
    assert "tenant" in contents(project.url)


def test_a_format_of_another_version_is_refused(tmp_path: Path, sqlite_url: str) -> None:
    project = Project(tmp_path, sqlite_url)
    project.write(model("Player"))
    project.revision()
    (script,) = (tmp_path / "migrations" / "versions").glob("*.py")
    script.write_text(script.read_text().replace("format=1", "format=10"))
    with pytest.raises(Exception, match=r"format 10.*makes format 1; run it with the version"):
        project.alembic("upgrade", "head")
    assert contents(sqlite_url) == ""
