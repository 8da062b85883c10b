"""Databases that are reached through a pooler."""

from collections.abc import Iterator

import pytest

from tests.pools.pgbouncer import PROGRAM, bounced
from tests.pools.pooler import pooled
from tests.postgres import PostgresServer

SIZE = 3
"""Connections that a pooler has to the server."""


@pytest.fixture
def pooled_url(postgres_url: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database, through the tests' own pooler."""
    with pooled(postgres_url, SIZE) as url:
        yield url


@pytest.fixture(params=["pooler", "pgbouncer"])
def each_pooled_url(
    request: pytest.FixtureRequest, postgres_url: str, postgres: PostgresServer
) -> Iterator[str]:
    """The same, and through the real pgbouncer where it is installed."""
    if request.param == "pooler":
        url: str = request.getfixturevalue("pooled_url")
        yield url
        return
    if PROGRAM is None:
        pytest.skip("pgbouncer is not installed; the tests' own pooler stands for it")
    with bounced(postgres_url, SIZE, postgres) as url:
        yield url
