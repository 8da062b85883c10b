"""Engines that a storage refuses before it asks anything of them."""

from types import SimpleNamespace

import pytest
import sqlalchemy as sa

import spry_sqla as spry
from tests.domains.player import domain

DRIVER = SimpleNamespace(paramstyle="format", __version__="1.31.6", Error=Exception)


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("mysql+pymysql://nowhere", "'mysql' is not supported; use PostgreSQL or SQLite"),
        ("postgresql+pg8000://nowhere", "pg8000 tells neither .* use psycopg, psycopg2 or asyncpg"),
    ],
)
def test_what_cannot_keep_the_promises_is_refused_by_name(url: str, advice: str) -> None:
    engine = sa.create_engine(url, module=DRIVER)

    with pytest.raises(spry.StorageError, match=advice):
        spry.Storage(engine, domain())


def test_a_driver_of_sqlite_that_hides_conflicts_is_refused_by_name() -> None:
    engine = sa.create_engine("sqlite://")
    engine.dialect.driver = "libsql"  # whose dialect is not installed here

    with pytest.raises(spry.StorageError, match=r"libsql .* use sqlite3 or aiosqlite"):
        spry.Storage(engine, domain())
