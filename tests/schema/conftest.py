"""Engines of tests, which are closed also when a test fails."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
import sqlalchemy as sa

Connect: TypeAlias = Callable[..., sa.Engine]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Makes an engine for a URL, with the options of `create_engine`."""
    engines: list[sa.Engine] = []

    def connect(url: str | sa.URL, **options: Any) -> sa.Engine:
        engines.append(sa.create_engine(url, **options))
        return engines[-1]

    yield connect
    for engine in engines:
        engine.dispose()


@pytest.fixture
def engine(database_url: str, connect: Connect) -> sa.Engine:
    """An engine on an empty database of each kind in turn."""
    return connect(database_url)
