"""The databases that tests run on: a real PostgreSQL, and files of SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.backends import Backend
from tests.conforming import BACKENDS, InMemory, OnDatabase
from tests.postgres import PostgresServer

settings.register_profile("thorough", max_examples=2_000)
"""`pytest --hypothesis-profile=thorough` draws twenty times as many examples."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server; with pytest-xdist one for each worker, which needs no agreement.

    It waits for no disk: no test fails the machine, and a process that is killed loses nothing.
    """
    server = PostgresServer({"fsync": "off", "full_page_writes": "off"})
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of this test."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an SQLite file of this test, which is not there yet."""
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind in turn."""
    name = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture(scope="session")
def backends(request: pytest.FixtureRequest) -> Iterator["Backends"]:
    """Every backend by its name, each made when first asked for."""
    made = Backends(request)
    yield made
    for each in made.values():
        each.stop()


USUAL = ("memory", "sqlite")
"""What the tests of the logic usually run on; every backend is tried by the conformance kit."""

LONG = (
    *("tests/faults/test_busy_sqlite", "tests/faults/test_cancellation"),
    *("tests/faults/test_two_writers", "tests/pools/", "tests/schema/test_tables"),
    *("tests/schema/test_triggers", "tests/demo/test_demo", "tests/demo/test_wheel"),
    *("conformance/examples/", "conformance/tests/test_wheel", "tests/examples/test_killed"),
    "tests/faults/test_atomicity.py::test_no_order_is_luck_on_postgresql",
    "tests/migrations/test_tenants.py::test_what_a_hand_has_changed_is_found_where_it_was",
    "tests/migrations/test_tenants.py::test_each_tenant_is_migrated_and_checked_by_itself",
    "tests/migrations/test_formats.py::test_older_tables_are_upgraded_and_newer_ones_refused[postgr",
)
"""What takes longer than a usual run may, of twenty minutes on two slow cores."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough",
        action="store_true",
        help="run what takes long as well, each behaviour test and the kit on all backends, and "
        "cause each fault more often",
    )


@pytest.fixture(scope="session")
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether to repeat by the hundred what the usual run repeats by the dozen."""
    return bool(request.config.getoption("--thorough"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--thorough"):
        return
    left_out = [item for item in items if _is_thorough(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not _is_thorough(item)]


def _is_thorough(item: pytest.Item) -> bool:
    return item.nodeid.startswith(LONG) or item.get_closest_marker("thorough") is not None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        names = list(BACKENDS) if metafunc.config.getoption("--thorough") else USUAL
        metafunc.parametrize("backend", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest, backends: "Backends") -> Iterator[Backend]:
    """Each backend in turn; `backend.start(domain)` is an empty storage on it."""
    made = Backend(backends[request.param])
    yield made
    made.stop()


class Backends(dict[str, InMemory | OnDatabase]):
    """Backends by name, each made when first asked for; PostgreSQL is started for its own only."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        super().__init__()
        self._request = request
        self._url: str | None = None

    def __missing__(self, name: str) -> InMemory | OnDatabase:
        made = self[name] = BACKENDS[name](self._postgres)
        return made

    def _postgres(self) -> str:
        if self._url is None:
            server: PostgresServer = self._request.getfixturevalue("postgres")
            self._url = server.create_database()
        return self._url
