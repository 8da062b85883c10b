"""The box office on each database."""

from collections.abc import Iterator

import pytest

from tests.examples.office import Office


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def office(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Office]:
    """A box office whose database is migrated; the tests share it."""
    folder = tmp_path_factory.mktemp("office")
    if request.param == "sqlite":
        url = f"sqlite:///{folder / 'test.db'}"
    else:
        url = request.getfixturevalue("postgres").create_database()
    office = Office(url, folder)
    office.alembic("upgrade", "head")
    yield office
    office.stop()
