"""The library's own Alembic environment, `alembic/`: its migrations, on both databases."""

from pathlib import Path

import sqlalchemy as sa

import spry_sqla as spry
from tests.domains import player
from tests.migrations.project import alembic, contents

ROOT = Path(__file__).parents[2]


def test_its_migrations_up_and_down(database_url: str) -> None:
    def run(*arguments: str) -> None:
        alembic(ROOT, "-x", f"url={database_url}", *arguments)

    before = contents(database_url)
    run("upgrade", "head")
    run("check")
    migrated = contents(database_url)

    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    players = spry.Storage(engine, player.domain()).repository(player.Player)
    assert players.handle(player.CreatePlayer("Ada")).ok
    assert players.fetch(name="Ada").name == "Ada"

    run("downgrade", "base")
    assert contents(database_url) == before
    player.domain().metadata.create_all(engine)
    assert contents(database_url) == migrated
