"""The databases that tests run on: a real PostgreSQL, and files of SQLite."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.backends import Backend
from tests.conforming import BACKENDS, InMemory, OnDatabase
from tests.late import OPTION, Late
from tests.postgres import PostgresServer

settings.register_profile("thorough", max_examples=2_000)
"""`pytest --hypothesis-profile=thorough` draws twenty times as many examples."""


_late = pytest.StashKey[Late]()


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


FIRST = ("memory", "sqlite")
"""What the tests of the logic run on in any case; on the other backends it is much the same."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough",
        action="store_true",
        help="cause each fault more often, and be as late as it takes",
    )
    parser.addoption(
        OPTION,
        type=float,
        default=720.0,
        metavar="SECONDS",
        help="begin no long test, and try no property in full, when so much time has passed; "
        "0 is for a brief run (default: 720)",
    )


def pytest_configure(config: pytest.Config) -> None:
    after = math.inf if config.getoption("--thorough") else config.getoption(OPTION)
    config.stash[_late] = Late(after)
    config.pluginmanager.register(config.stash[_late], "late")


@pytest.fixture
def brief(request: pytest.FixtureRequest) -> bool:
    """Whether a test must do with less than it could, for the run is late."""
    return request.config.stash[_late].is_brief(request.node)


@pytest.fixture(scope="session")
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether to repeat by the hundred what else is repeated by the dozen."""
    return bool(request.config.getoption("--thorough"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        each = [
            pytest.param(name, marks=() if name in FIRST else pytest.mark.long) for name in BACKENDS
        ]
        metafunc.parametrize("backend", each, indirect=True, scope="session")


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
