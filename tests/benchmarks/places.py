"""Where it is measured: SQLite files, a PostgreSQL server, memory; each contender made ready there.

Every contender has a database of its own. SQLite lies in files of a temporary folder (of the real
disk: set TMPDIR where /tmp is none), WAL, `synchronous=FULL`; PostgreSQL has its default, durable
settings and a unix socket.
"""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, Protocol, TypeAlias, Unpack

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import spry_sqla as spry
from spry_sqla.adapters import Settings
from tests.benchmarks.floor import Floor
from tests.benchmarks.floor_memory import MemoryLink
from tests.benchmarks.floor_postgres import PostgresLink
from tests.benchmarks.floor_sqlite import SqliteLink
from tests.benchmarks.game import CreatePlayer, Hit, State, new_domain
from tests.benchmarks.peer import Peer, memory_peer, postgres_peer, sqlite_peer
from tests.benchmarks.stock import stock_postgres, stock_sqlite
from tests.postgres import PostgresServer


class Contender(Protocol):
    """What is measured: the floor, the peer, ours."""

    def handle(self, command: CreatePlayer | Hit) -> object: ...
    def handle_many(self, commands: Sequence[CreatePlayer | Hit]) -> object: ...
    def fetch(self, name: str) -> Any: ...


class Ours:
    """The library, used as its documentation says."""

    def __init__(self, repository: spry.Repository[Any]) -> None:
        self.handle = repository.handle
        self.handle_many = repository.handle_many
        self._fetch = repository.fetch

    def fetch(self, name: str) -> Any:
        return self._fetch(name=name)


Ways: TypeAlias = dict[str, tuple[spry.AsyncRepository[Any], sa.Engine | AsyncEngine, float | None]]
"""Ways to await, by name: the repository, its engine, and the goal."""


class Place(Protocol):
    name: str

    def database(self) -> str:
        """A new database with the tables: its URL."""
        ...

    def floor(self, url: str, actor: type[State]) -> Contender: ...
    def ours(
        self, url: str, actor: type[State], *, threads: int = 1, **settings: Unpack[Settings]
    ) -> Contender: ...
    def peer(self, mode: str, *, threads: int = 1) -> Contender: ...


class SqlitePlace:
    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self._files = (folder / f"{number}.db" for number in count(1))

    def database(self) -> str:
        path = str(next(self._files))
        engine = spry.sqlite_engine(path)
        new_domain().metadata.create_all(engine)
        engine.dispose()
        return path

    def floor(self, url: str, actor: type[State]) -> Contender:
        domain = new_domain()
        return Floor(domain, SqliteLink(url, domain, actor), actor)

    def ours(
        self, url: str, actor: type[State], *, threads: int = 1, **settings: Unpack[Settings]
    ) -> Contender:
        engine = spry.sqlite_engine(url, pool_size=max(5, threads))
        return Ours(spry.Storage(engine, new_domain(), **settings).repository(actor))

    def ours_async(self, actor: type[State]) -> Ways:
        path = self.database()
        plain = spry.sqlite_engine(path)
        hopping = create_async_engine(f"sqlite+aiosqlite:///{self.database()}")
        _durable(hopping)
        return {
            "Engine in a thread": (_awaited(plain, actor), plain, 2.0),
            "aiosqlite": (_awaited(hopping, actor), hopping, None),
        }

    def peer(self, mode: str, *, threads: int = 1) -> Peer:
        return sqlite_peer(next(self._files), mode)

    def stock(self, url: str, actor: type[State], players: int, events: int) -> None:
        stock_sqlite(url, new_domain(), actor, players, events)


class PostgresPlace:
    name = "PostgreSQL"

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    def database(self) -> str:
        url = self._server.create_database()
        engine = sa.create_engine(url)
        new_domain().metadata.create_all(engine)
        engine.dispose()
        return url

    def floor(self, url: str, actor: type[State]) -> Contender:
        domain = new_domain()
        return Floor(domain, PostgresLink(url, domain, actor), actor)

    def ours(
        self, url: str, actor: type[State], *, threads: int = 1, **settings: Unpack[Settings]
    ) -> Contender:
        engine = sa.create_engine(url, pool_size=max(5, threads))
        return Ours(spry.Storage(engine, new_domain(), **settings).repository(actor))

    def ours_async(self, actor: type[State]) -> Ways:
        engine = create_async_engine(self.database())
        return {"AsyncEngine": (_awaited(engine, actor), engine, 1.6)}

    def peer(self, mode: str, *, threads: int = 1) -> Peer:
        return postgres_peer(self._server.create_database(), mode, threads=threads)

    def stock(self, url: str, actor: type[State], players: int, events: int) -> None:
        database = sa.make_url(url).database
        assert database is not None
        stock_postgres(self._server.conninfo(database), new_domain(), actor, players, events)


class MemoryPlace:
    name = "memory"

    def database(self) -> str:
        return ""

    def floor(self, url: str, actor: type[State]) -> Contender:
        return Floor(new_domain(), MemoryLink(), actor)

    def ours(
        self, url: str, actor: type[State], *, threads: int = 1, **settings: Unpack[Settings]
    ) -> Contender:
        return Ours(spry.MemoryStorage(new_domain(), **settings).repository(actor))

    def peer(self, mode: str, *, threads: int = 1) -> Peer:
        return memory_peer(mode)


def _awaited(engine: sa.Engine | AsyncEngine, actor: type[State]) -> spry.AsyncRepository[Any]:
    return spry.AsyncStorage(engine, new_domain()).repository(actor)


def _durable(engine: AsyncEngine) -> None:
    """As `sqlite_engine` sets up its connections."""

    @sa.event.listens_for(engine.sync_engine, "connect")
    def set_up(driver: Any, record: Any) -> None:
        cursor = driver.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()
