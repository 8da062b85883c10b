from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.transactions.shop import App, AwaitedApp, PlainApp


@pytest.fixture(params=[PlainApp, AwaitedApp], ids=["sync", "async"])
def app(request: pytest.FixtureRequest, database_url: str) -> Iterator[App]:
    """The application in each world, on each database."""
    make: Callable[[str], Any] = request.param
    with closing(make(database_url)) as app:
        yield app
