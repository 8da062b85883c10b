"""Every storage behind one plain face, so that each test runs unchanged on all of them.

A `Backend` keeps the data: `start` throws away what it holds, `open` opens it again as another
process would. Asynchronous ones are driven to the end of each call on an event loop of their own.
"""

import asyncio
import itertools
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, Unpack

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import spry_sqla as spry
from spry_sqla.adapters import AdapterStorage, MemoryAdapter
from spry_sqla.base import Settings
from spry_sqla.domain import ActorKind
from spry_sqla.memory_turns import MemoryTurns
from spry_sqla.operations import Append, Read
from spry_sqla.sql.adapter import SqlAdapter
from spry_sqla.sql.lending import Lender

_STORES = {"commands": "commands", "events": "events", "id_map": "maps", "snapshots": "snapshots"}
A = TypeVar("A")
T = TypeVar("T")


class Repo(Protocol[A]):
    """What `Repository` and, awaited, `AsyncRepository` offer."""

    def handle(
        self,
        command: Any,
        *,
        idempotency_key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> spry.Results[A]: ...

    def handle_many(
        self,
        commands: Iterable[Any],
        *,
        idempotency_keys: Iterable[str | None] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> list[spry.Results[A]]: ...

    def fetch(
        self,
        identifiers: spry.Identifiers | None = None,
        /,
        *,
        version: int | None = None,
        at: datetime | None = None,
        **names: spry.Scalar,
    ) -> A: ...

    def get(
        self, identifiers: spry.Identifiers | None = None, /, **names: spry.Scalar
    ) -> A | None: ...

    def exists(
        self, identifiers: spry.Identifiers | None = None, /, **names: spry.Scalar
    ) -> bool: ...

    def history(
        self, identifiers: spry.Identifiers | None = None, /, **names: spry.Scalar
    ) -> Iterable[spry.HistoryEntry]: ...

    def actors(self) -> Iterable[dict[str, spry.Scalar]]: ...


class Store(Protocol):
    """An open storage."""

    domain: spry.Domain

    def repository(self, actor: type[A]) -> Repo[A]: ...

    def perform(self, operation: Read | Append) -> Any:
        """Answer an operation without the logic: how rows of a foreign origin are put in."""
        ...

    def rival(self, first: Callable[[Append], Append | None]) -> None:
        """Let another writer be first at each append, with what `first` makes of it (or None)."""
        ...

    def close(self) -> None: ...


class Backend(ABC):
    """Somewhere to keep data; also the base of those here, each of which says how."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    def start(self, domain: spry.Domain, **settings: Unpack[Settings]) -> Store:
        """An empty storage for a domain."""
        self.clear(domain)
        return self.open(domain, **settings)

    @abstractmethod
    def clear(self, domain: spry.Domain) -> None:
        """Throw all data away and make the tables."""

    @abstractmethod
    def open(self, domain: spry.Domain, **settings: Unpack[Settings]) -> Store:
        """A storage on the data that is there."""

    @abstractmethod
    def count(self, actor: ActorKind[Any], part: str) -> int:
        """How many rows an actor's table has: `commands`, `events`, `id_map` or `snapshots`."""

    @abstractmethod
    def stop(self) -> None:
        """Let go of everything."""


# Plain and awaited ------------------------------------------------------------------------------


class PlainStore:
    def __init__(self, storage: spry.Storage | AdapterStorage) -> None:
        self.domain = storage.domain
        self._storage = storage

    def repository(self, actor: type[A]) -> Repo[A]:
        return self._storage.repository(actor)

    def perform(self, operation: Read | Append) -> Any:
        return self._storage._answer(operation)

    def rival(self, first: Callable[[Append], Append | None]) -> None:
        answer = self._storage._answer

        def answer_later(operation: Read | Append) -> Any:
            if isinstance(operation, Append) and (rival := first(operation)) is not None:
                answer(rival)
            return answer(operation)

        self._storage._answer = answer_later

    def close(self) -> None:
        self._storage.close()


class AwaitedStore:
    def __init__(
        self, runner: asyncio.Runner, storage: spry.AsyncStorage | spry.AsyncMemoryStorage
    ) -> None:
        self.domain = storage.domain
        self._runner = runner
        self._storage = storage

    def repository(self, actor: type[A]) -> Repo[A]:
        return AwaitedRepository(self._runner, self._storage.repository(actor))

    def perform(self, operation: Read | Append) -> Any:
        async def answer() -> Any:
            return await self._storage._answer(operation)

        return self._runner.run(answer())

    def rival(self, first: Callable[[Append], Append | None]) -> None:
        answer = self._storage._answer

        async def answer_later(operation: Read | Append) -> Any:
            if isinstance(operation, Append) and (rival := first(operation)) is not None:
                await answer(rival)
            return await answer(operation)

        self._storage._answer = answer_later

    def close(self) -> None:
        self._runner.run(self._storage.close())


class AwaitedRepository(Generic[A]):
    def __init__(self, runner: asyncio.Runner, repository: spry.AsyncRepository[A]) -> None:
        self._runner = runner
        self._repository = repository

    def handle(self, command: Any, **options: Any) -> spry.Results[A]:
        return self._runner.run(self._repository.handle(command, **options))

    def handle_many(self, commands: Iterable[Any], **options: Any) -> list[spry.Results[A]]:
        return self._runner.run(self._repository.handle_many(commands, **options))

    def fetch(self, *identifiers: Any, **names: Any) -> A:
        return self._runner.run(self._repository.fetch(*identifiers, **names))

    def get(self, *identifiers: Any, **names: Any) -> A | None:
        return self._runner.run(self._repository.get(*identifiers, **names))

    def exists(self, *identifiers: Any, **names: Any) -> bool:
        return self._runner.run(self._repository.exists(*identifiers, **names))

    def history(self, *identifiers: Any, **names: Any) -> Iterator[spry.HistoryEntry]:
        return self._each(self._repository.history(*identifiers, **names))

    def actors(self) -> Iterator[dict[str, spry.Scalar]]:
        return self._each(self._repository.actors())

    def _each(self, items: AsyncIterator[T]) -> Iterator[T]:
        while True:
            try:
                yield self._runner.run(_next(items))
            except StopAsyncIteration:
                return


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


# Memory -----------------------------------------------------------------------------------------


class InMemory(Backend):
    """Opened again, it has the records that it had: two storages share one adapter."""

    def __init__(self, name: str, *, awaited: bool) -> None:
        super().__init__(name)
        self._runner = asyncio.Runner() if awaited else None
        self._adapter: MemoryAdapter

    def clear(self, domain: spry.Domain) -> None:
        self._adapter = MemoryAdapter()

    def open(self, domain: spry.Domain, **settings: Unpack[Settings]) -> Store:
        adapter = self._adapter
        if self._runner is None:
            return PlainStore(AdapterStorage(adapter, domain, **settings))
        awaited = spry.AsyncMemoryStorage(domain, **settings)
        awaited._turns = MemoryTurns(adapter)
        awaited._answer = awaited._turns.perform
        return AwaitedStore(self._runner, awaited)

    def count(self, actor: ActorKind[Any], part: str) -> int:
        store: Any = getattr(self._adapter.stores_of(actor.name), _STORES[part])
        return len(store.by_id if part == "events" else store._by_id)

    def stop(self) -> None:
        if self._runner is not None:
            self._runner.close()


# Databases --------------------------------------------------------------------------------------


class OnEngine(Backend):
    """A plain Engine, with `Storage`; with `AsyncStorage`, in a thread; or without fused SQL."""

    def __init__(
        self, name: str, place: "Place", *, threaded: bool = False, composed: bool = False
    ) -> None:
        super().__init__(name)
        self._place = place
        self._composed = composed
        self._runner = asyncio.Runner() if threaded else None
        self._engine: sa.Engine | None = None

    def clear(self, domain: spry.Domain) -> None:
        old, self._engine = self._engine, None
        self._engine = self._place.empty(old, domain)

    def open(self, domain: spry.Domain, **settings: Unpack[Settings]) -> Store:
        assert self._engine is not None
        if self._runner is not None:
            return AwaitedStore(self._runner, spry.AsyncStorage(self._engine, domain, **settings))
        storage = spry.Storage(self._engine, domain, **settings)
        if self._composed:
            adapter = SqlAdapter(domain, self._engine.dialect, composed=True)
            storage._answer = partial(Lender(self._engine).answer, adapter)
        return PlainStore(storage)

    def count(self, actor: ActorKind[Any], part: str) -> int:
        assert self._engine is not None
        with self._engine.connect() as connection:
            return connection.scalars(_counting(actor, part)).one()

    def stop(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
        if self._runner is not None:
            self._runner.close()
        self._place.leave()


class OnAsyncEngine(Backend):
    """An AsyncEngine, with `AsyncStorage`."""

    def __init__(self, name: str, place: "Place") -> None:
        super().__init__(name)
        self._place = place
        self._runner = asyncio.Runner()
        self._engine: AsyncEngine | None = None

    def clear(self, domain: spry.Domain) -> None:
        old, self._engine = self._engine, None
        self._engine = self._runner.run(self._place.empty_async(old, domain))

    def open(self, domain: spry.Domain, **settings: Unpack[Settings]) -> Store:
        assert self._engine is not None
        storage = spry.AsyncStorage(self._engine, domain, **settings)
        self._runner.run(storage.check())
        return AwaitedStore(self._runner, storage)

    def count(self, actor: ActorKind[Any], part: str) -> int:
        async def counted(engine: AsyncEngine) -> int:
            async with engine.connect() as connection:
                return (await connection.scalars(_counting(actor, part))).one()

        assert self._engine is not None
        return self._runner.run(counted(self._engine))

    def stop(self) -> None:
        if self._engine is not None:
            self._runner.run(self._engine.dispose())
        self._runner.close()
        self._place.leave()


def _counting(actor: ActorKind[Any], part: str) -> sa.Select[int]:
    return sa.select(sa.func.count()).select_from(getattr(actor.tables, part))


class Place(Protocol):
    """Where a database is, and how to come to an empty one with the tables of a domain."""

    def empty(self, old: sa.Engine | None, domain: spry.Domain) -> sa.Engine: ...

    async def empty_async(self, old: AsyncEngine | None, domain: spry.Domain) -> AsyncEngine: ...

    def leave(self) -> None: ...


def migrate(engine: sa.Engine, domain: spry.Domain) -> None:
    """Make the tables as a migration does that autogenerate has written."""
    with engine.begin() as connection:
        context = MigrationContext.configure(connection)
        script = produce_migrations(context, domain.metadata)
        assert script.upgrade_ops is not None
        for operation in script.upgrade_ops.ops:
            Operations(context).invoke(operation)


def create(engine: sa.Engine, domain: spry.Domain) -> None:
    """Make the tables as SQLAlchemy does."""
    domain.metadata.create_all(engine)


class SqliteFiles:
    """A new file each time."""

    def __init__(self, make: Callable[[sa.Engine, spry.Domain], None] = create) -> None:
        self._make = make
        self._folder = Path(tempfile.mkdtemp(prefix="spry-sqlite-"))
        self._numbers = itertools.count()

    def empty(self, old: sa.Engine | None, domain: spry.Domain) -> sa.Engine:
        if old is not None:
            old.dispose()
        engine = _quick(sa.create_engine(f"sqlite:///{self._next()}"))
        self._make(engine, domain)
        return engine

    async def empty_async(self, old: AsyncEngine | None, domain: spry.Domain) -> AsyncEngine:
        if old is not None:
            await old.dispose()
        engine = create_async_engine(f"sqlite+aiosqlite:///{self._next()}")
        _quick(engine.sync_engine)
        return await _with_tables(engine, domain)

    def leave(self) -> None:
        shutil.rmtree(self._folder)

    def _next(self) -> Path:
        number = next(self._numbers)
        (self._folder / f"{number - 1}.db").unlink(missing_ok=True)
        return self._folder / f"{number}.db"


class SqliteMemory:
    """A new database in memory each time."""

    def empty(self, old: sa.Engine | None, domain: spry.Domain) -> sa.Engine:
        if old is not None:
            old.dispose()
        engine = spry.sqlite_engine(":memory:")
        domain.metadata.create_all(engine)
        return engine

    async def empty_async(self, old: AsyncEngine | None, domain: spry.Domain) -> AsyncEngine:
        if old is not None:
            await old.dispose()
        return await _with_tables(create_async_engine("sqlite+aiosqlite://"), domain)

    def leave(self) -> None:
        pass


class PostgresSchemas:
    """A schema for each set of tables in one database, whose rows are thrown away each time."""

    def __init__(
        self, url: str, name: str, make: Callable[[sa.Engine, spry.Domain], None] = create
    ) -> None:
        self._make = make
        self._url = url
        self._name = name
        self._schemas: dict[frozenset[str], str] = {}
        self._admin = sa.create_engine(url)

    def empty(self, old: sa.Engine | None, domain: spry.Domain) -> sa.Engine:
        schema, options = self._emptied(domain)
        if old is not None:
            if old.url.query.get("application_name") == schema:
                return old
            old.dispose()
        return sa.create_engine(self._addressed(schema), connect_args=options)

    async def empty_async(self, old: AsyncEngine | None, domain: spry.Domain) -> AsyncEngine:
        schema, options = self._emptied(domain)
        if old is not None:
            if old.url.query.get("application_name") == schema:
                return old
            await old.dispose()
        return create_async_engine(self._addressed(schema), connect_args=options)

    def leave(self) -> None:
        self._admin.dispose()

    def _addressed(self, schema: str) -> sa.URL:
        return sa.make_url(self._url).update_query_dict({"application_name": schema})

    def _emptied(self, domain: spry.Domain) -> tuple[str, dict[str, str]]:
        tables = frozenset(domain.metadata.tables)
        new = tables not in self._schemas
        schema = self._schemas.setdefault(tables, f"{self._name}_{len(self._schemas)}")
        # What is durable is not for these tests to say, and a commit need not wait for a disk.
        options = {"options": f"-csearch_path={schema} -csynchronous_commit=off"}
        if new:
            with self._admin.begin() as connection:
                connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
            engine = sa.create_engine(self._addressed(schema), connect_args=options)
            self._make(engine, domain)
            engine.dispose()
        with self._admin.begin() as connection:
            for table in (table for actor in domain.actors for table in _tables(actor)):
                if new:
                    # That rows cannot be deleted is for other tests to see.
                    connection.exec_driver_sql(
                        f'ALTER TABLE {schema}."{table}" DISABLE TRIGGER USER'
                    )
                connection.exec_driver_sql(f'DELETE FROM {schema}."{table}"')
        return schema, options


def _tables(actor: ActorKind[Any]) -> list[str]:
    of_actor = actor.tables
    tables = (
        *(of_actor.commands, of_actor.events, of_actor.id_map),
        *(of_actor.links, of_actor.snapshots),
    )
    return [table.name for table in tables]


def _quick(engine: sa.Engine) -> sa.Engine:
    """Commits that wait for no disk: what is durable is not for these tests to say."""

    @sa.event.listens_for(engine, "connect")
    def set_up(driver: Any, record: Any) -> None:
        cursor = driver.cursor()
        cursor.execute("PRAGMA synchronous=OFF")
        cursor.close()

    return engine


async def _with_tables(engine: AsyncEngine, domain: spry.Domain) -> AsyncEngine:
    async with engine.begin() as connection:
        await connection.run_sync(domain.metadata.create_all)
    return engine


# All of them ------------------------------------------------------------------------------------

BACKENDS: dict[str, Callable[[Callable[[], str]], Backend]] = {
    "memory": lambda url: InMemory("memory", awaited=False),
    "memory-async": lambda url: InMemory("memory-async", awaited=True),
    "sqlite": lambda url: OnEngine("sqlite", SqliteFiles()),
    "sqlite-memory": lambda url: OnEngine("sqlite-memory", SqliteMemory()),
    "sqlite-composed": lambda url: OnEngine("sqlite-composed", SqliteFiles(), composed=True),
    "sqlite-thread": lambda url: OnEngine("sqlite-thread", SqliteFiles(), threaded=True),
    "aiosqlite": lambda url: OnAsyncEngine("aiosqlite", SqliteFiles()),
    "aiosqlite-memory": lambda url: OnAsyncEngine("aiosqlite-memory", SqliteMemory()),
    "postgresql": lambda url: OnEngine("postgresql", PostgresSchemas(url(), "plain")),
    "postgresql-async": lambda url: OnAsyncEngine("postgresql-async", PostgresSchemas(url(), "a")),
    "postgresql-composed": lambda url: OnEngine(
        "postgresql-composed", PostgresSchemas(url(), "composed"), composed=True
    ),
    "sqlite-migrated": lambda url: OnEngine("sqlite-migrated", SqliteFiles(migrate)),
    "postgresql-migrated": lambda url: OnEngine(
        "postgresql-migrated", PostgresSchemas(url(), "migrated", migrate)
    ),
}
"""Name → how to make it, given the URL of a PostgreSQL database, which is only asked for there."""
