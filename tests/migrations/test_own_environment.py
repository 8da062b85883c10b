"""The library's own Alembic environment, `alembic/`: its migrations, on both databases.

The tests of behaviour and the conformance kit run on the schema that they make.
"""

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from tests.conforming import ROOT, OnDatabase
from tests.conftest import Backends
from tests.domains import player, reference
from tests.migrations.project import alembic, contents


def test_its_migrations_up_and_down(database_url: str) -> None:
    def run(*arguments: str) -> None:
        alembic(ROOT, "-x", f"url={database_url}", *arguments)

    before = contents(database_url)
    run("upgrade", "head")
    run("check")
    migrated = contents(database_url)

    run("downgrade", "base")
    assert contents(database_url) == before
    reference.METADATA.create_all(sa.create_engine(database_url, poolclass=sa.NullPool))
    assert contents(database_url) == migrated


@pytest.mark.parametrize("name", ["sqlite", "postgresql"])
def test_behaviour_is_tested_on_what_they_make(name: str, backends: Backends) -> None:
    backend = backends[name]
    assert isinstance(backend, OnDatabase)
    backend.reset()
    storage = backend.open(player.domain(), "main")
    assert storage.repository(player.Player).handle(player.CreatePlayer("Ada")).ok

    (head,) = ScriptDirectory.from_config(Config(toml_file=ROOT / "pyproject.toml")).get_heads()
    with backend.engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == head
        there = sa.inspect(connection).get_table_names()
    assert {*reference.METADATA.tables} - {*there} <= {"spry_transactions"}  # is SQLite's
