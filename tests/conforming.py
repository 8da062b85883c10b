"""Our own backends, as the conformance kit sees any adapter.

Each keeps its tables, and throws its rows away as cheaply as it can, for the kit does so a thousand
times: a file of SQLite is copied from one that has the tables, those of PostgreSQL are emptied.
"""

import asyncio
import copy
import itertools
import os
import shutil
import sqlite3
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
import sqlalchemy as sa
from alembic.autogenerate import produce_migrations
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import spry_sqla as spry
from alembic import command
from spry_conformance import Adapter
from spry_sqla.adapters import composed
from spry_sqla.domain import ActorKind

ROOT = Path(__file__).parents[1]

Make = Callable[[sa.Engine, spry.Domain], None]

CLAIMS = frozenset({"concurrent", "replicas", "transactions"})
ON_DATABASES = CLAIMS | {"durable", "fused", "guarded", "joinable"}


def create(engine: sa.Engine, domain: spry.Domain) -> None:
    """Make the tables as SQLAlchemy does."""
    domain.metadata.create_all(engine)


def upgrade(engine: sa.Engine, domain: spry.Domain) -> None:
    """Make the tables with the migrations of the library's own environment, `alembic/`.

    What a test has beyond the domain of that, a migration makes that autogenerate writes.
    """
    config = Config(toml_file=ROOT / "pyproject.toml")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    migrate(engine, domain)


def migrate(engine: sa.Engine, domain: spry.Domain) -> None:
    """Make the tables as a migration does that autogenerate has written."""
    with engine.begin() as connection:
        context = MigrationContext.configure(connection)
        script = produce_migrations(context, domain.metadata)
        assert script.upgrade_ops is not None
        for operation in script.upgrade_ops.ops:
            Operations(context).invoke(operation)


# In memory --------------------------------------------------------------------------------------


class InMemory:
    """What is opened again shares the data of what was opened first."""

    def __init__(self, kind: type[spry.MemoryStorage] | type[spry.AsyncMemoryStorage]) -> None:
        self._kind: Callable[..., Any] = kind
        # What is awaited serves one event loop at a time.
        awaited = kind is spry.AsyncMemoryStorage
        self.claims = CLAIMS - {"concurrent"} | {"async"} if awaited else CLAIMS
        self.reset()

    def reset(self) -> None:
        self._first: Any = None

    def open(self, domain: spry.Domain, origin: str, **settings: Any) -> Any:
        opened = self._kind(domain, sharing=self._first, origin=origin, **settings)
        self._first = self._first or opened
        return opened

    def close(self, storage: Any) -> None:
        """There is nothing to let go of."""

    def count(self, actor: ActorKind[Any], part: str) -> int:
        """How many records a store has of an actor type, asked of the store itself."""
        awaited = "async" in self.claims
        adapter = self._first._turns._adapter if awaited else self._first._adapter
        stores = adapter.stores_of(actor.name)
        if part == "events":
            return len(stores.events.by_id)
        return len(getattr(stores, "maps" if part == "id_map" else part)._by_id)

    def stop(self) -> None:
        """There is nothing to let go of."""

    def adapter(self, name: str) -> Adapter:
        return Adapter(open=self.open, reset=self.reset, capabilities=self.claims, name=name)


# On databases -----------------------------------------------------------------------------------


class _OfThread(threading.local):
    """What is opened is kept for the next time: by each thread, for each has its own event loop."""

    def __init__(self) -> None:
        self.opened: dict[Any, Any] = {}
        self.engine: AsyncEngine | None = None


class OnDatabase(ABC):
    """What is common to SQLite and PostgreSQL: an engine, and storages on it of every kind.

    `world` is "plain", "composed" (from the four stores), "thread" (awaited, on an Engine) or the
    name of the driver of an AsyncEngine.
    """

    engine: sa.Engine
    """The one that tables are made with; of plain storages also the one that they work on."""
    work: Callable[[Any], int] | None = None
    """How much the database has worked, where it tells."""

    def __init__(self, world: str, make: Make) -> None:
        self._world, self._make = world, make
        self._of_thread = _OfThread()
        # Connections are their process's: the kit forks one, to kill it.
        os.register_at_fork(after_in_child=lambda: self.engine.dispose(close=False))
        self.claims = set(ON_DATABASES)
        if world == "composed":
            self.claims -= {"fused"}
        elif world == "thread":
            # There is no awaited connection that could be joined.
            self.claims = self.claims - {"joinable"} | {"async"}
        elif world != "plain":
            self.claims |= {"async"}

    @abstractmethod
    def reset(self) -> None:
        """Throw the data away."""

    @abstractmethod
    def tables(self, domain: spry.Domain) -> None:
        """Make the tables of a domain that are not there."""

    @abstractmethod
    def async_engine(self) -> AsyncEngine:
        """An AsyncEngine on the data, for the thread that asks."""

    def open(self, domain: spry.Domain, origin: str, **settings: Any) -> Any:
        self.tables(domain)
        key = domain, origin, *settings.items()
        opened = self._of_thread.opened
        is_new = key not in opened
        if is_new:
            opened[key] = self._made_on(domain, origin=origin, **settings)
        # A copy's statements are compiled already, and its tables checked.
        if self._of_thread.engine is None or not is_new:
            again = copy.copy(opened[key])
            again._caches = {}
            return again
        return _checked(opened[key])

    def empty(self, domain: spry.Domain) -> bool:
        """Empty the tables of a domain under its storages; False where they are out of reach."""
        if self._of_thread.engine is not None:
            return False
        self.reset()
        self.tables(domain)
        return True

    def _made_on(self, domain: spry.Domain, **settings: Any) -> Any:
        if self._world == "plain":
            return spry.Storage(self.engine, domain, **settings)
        if self._world == "composed":
            return composed(spry.Storage(self.engine, domain, **settings))
        if self._world == "thread":
            return spry.AsyncStorage(self.engine, domain, **settings)
        self._of_thread.engine = self._of_thread.engine or self.async_engine()
        return spry.AsyncStorage(self._of_thread.engine, domain, **settings)

    def close(self, storage: Any) -> Any:
        """Connections of an AsyncEngine belong to an event loop; those of an Engine stay."""
        engine = self._of_thread.engine
        return None if engine is None else engine.dispose()

    def caller(self, storage: Any) -> Any:
        engine = self._of_thread.engine
        return (
            _joined(storage, self.engine) if engine is None else _joined_awaiting(storage, engine)
        )

    def tamper(self, storage: Any, actor: type[Any]) -> Iterator[Callable[[], object]]:
        """What plain SQL could do to the rows of an actor."""
        tables = storage.domain.actor(actor).tables
        for table in (tables.commands, tables.events, tables.id_map):
            for statement in (sa.update(table).values(origin="elsewhere"), sa.delete(table)):
                yield partial(self._execute, statement)

    def adapter(self, name: str) -> Adapter:
        return Adapter(
            open=self.open,
            reset=self.reset,
            close=self.close,
            capabilities=self.claims,
            tamper=self.tamper,
            caller=self.caller,
            work=self.work,
            name=name,
        )

    def count(self, actor: ActorKind[Any], part: str) -> int:
        """How many rows an actor's table has."""
        table = getattr(actor.tables, part)
        with self.engine.connect() as connection:
            return connection.scalars(sa.select(sa.func.count()).select_from(table)).one()

    def stop(self) -> None:
        self.engine.dispose()

    def _execute(self, statement: sa.Executable) -> None:
        with self.engine.begin() as connection:
            connection.execute(statement)


class OnSqlite(OnDatabase):
    """A file of SQLite."""

    def __init__(self, world: str = "plain", make: Make = create) -> None:
        super().__init__(world, make)
        self._folder = Path(tempfile.mkdtemp(prefix="spry-kit-"))
        self._numbers = itertools.count()
        self._templates: dict[frozenset[str], Path] = {}
        self._steps = 0
        if world in ("plain", "composed"):
            self.claims |= {"measured"}
            self.work = lambda _: self._steps  # of SQLite's machine
        self.engine = sa.create_engine(
            "sqlite://", creator=self._connect, poolclass=sa.QueuePool, max_overflow=40
        )
        self.reset()

    def reset(self) -> None:
        self.engine.dispose()
        for old in self._folder.glob("data-*"):
            old.unlink()
        self._path = self._folder / f"data-{next(self._numbers)}.db"
        self._made: set[frozenset[str]] = set()

    def tables(self, domain: spry.Domain) -> None:
        tables = frozenset(domain.metadata.tables)
        if tables in self._made:
            return
        if not self._made and tables in self._templates:
            shutil.copy(self._templates[tables], self._path)
        else:
            self._make(self.engine, domain)
            if not self._made:
                self.engine.dispose()
                self._templates[tables] = self._folder / f"template-{len(self._templates)}.db"
                shutil.copy(self._path, self._templates[tables])
        self._made.add(tables)

    def async_engine(self) -> AsyncEngine:
        engine = create_async_engine(
            "sqlite+aiosqlite://",
            async_creator=lambda: aiosqlite.connect(self._path, timeout=30),
            poolclass=sa.AsyncAdaptedQueuePool,
            max_overflow=40,
        )
        sa.event.listen(engine.sync_engine, "connect", _quick)
        return engine

    def stop(self) -> None:
        super().stop()
        shutil.rmtree(self._folder)

    def _connect(self) -> sqlite3.Connection:
        driver = sqlite3.connect(self._path, timeout=30, check_same_thread=False)
        _quick(driver)
        if "measured" in self.claims:
            driver.set_progress_handler(self._step, 10)
        return driver

    def _step(self) -> None:
        self._steps += 10


class OnSqliteMemory(OnDatabase):
    """A database of SQLite in memory."""

    def __init__(self, world: str = "plain") -> None:
        super().__init__(world, create)
        self.claims -= {"durable"}
        self.engine = spry.sqlite_engine(":memory:")
        self._empty = _Empty()

    def reset(self) -> None:
        with self.engine.connect() as connection:
            self._empty.write_over(connection.connection.driver_connection)

    def tables(self, domain: spry.Domain) -> None:
        if not self._empty.has(domain):
            self._make(self.engine, domain)
            self._empty.make(domain)

    def async_engine(self) -> AsyncEngine:
        raise AssertionError("an AsyncEngine has a database in memory of its own")

    def close(self, storage: Any) -> Any:
        """The data are as long there as the engine is."""


class OnAiosqliteMemory(OnDatabase):
    """A database of SQLite in memory, in the one connection of an AsyncEngine."""

    def __init__(self) -> None:
        super().__init__("aiosqlite", create)
        # One connection for all: nothing comes to the data beside it, and a transaction, which
        # would shut out the rest, is refused.
        self.claims -= {"concurrent", "durable", "guarded", "joinable", "transactions"}
        self._engine = create_async_engine("sqlite+aiosqlite://", connect_args=_ANY_THREAD)
        self._empty = _Empty()
        sa.event.listen(
            self._engine.sync_engine,
            "connect",
            lambda driver, _: self._empty.write_over(driver.driver_connection._conn),
        )
        self.engine = sa.create_engine("sqlite://")  # which nothing is asked of

    def reset(self) -> None:
        asyncio.run(self._engine.dispose())

    def tables(self, domain: spry.Domain) -> None:
        """Only within the event loop: see `open`."""

    async def open(self, domain: spry.Domain, origin: str, **settings: Any) -> Any:
        async with self._engine.begin() as connection:
            if not self._empty.has(domain):
                await connection.run_sync(domain.metadata.create_all)
                self._empty.make(domain)
        opened = super().open(domain, origin, **settings)
        return await opened if asyncio.iscoroutine(opened) else opened

    def async_engine(self) -> AsyncEngine:
        return self._engine

    def close(self, storage: Any) -> Any:
        """The data are as long there as the engine is."""

    def count(self, actor: ActorKind[Any], part: str) -> int:
        return asyncio.run(self._counted(getattr(actor.tables, part)))

    async def _counted(self, table: sa.Table) -> int:
        async with self._engine.connect() as connection:
            return (await connection.scalars(sa.select(sa.func.count()).select_from(table))).one()

    def stop(self) -> None:
        self.reset()
        super().stop()


_ANY_THREAD = {"check_same_thread": False}


class _Empty:
    """A database of SQLite that has the tables of the domains so far, and no rows of theirs."""

    def __init__(self) -> None:
        self._engine = sa.create_engine(
            "sqlite://", poolclass=sa.StaticPool, connect_args=_ANY_THREAD
        )
        self._made: set[frozenset[str]] = set()

    def has(self, domain: spry.Domain) -> bool:
        return frozenset(domain.metadata.tables) in self._made

    def make(self, domain: spry.Domain) -> None:
        create(self._engine, domain)
        self._made.add(frozenset(domain.metadata.tables))

    def write_over(self, other: Any) -> None:
        """Make another database, by a connection of its, as this one is."""
        with self._engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            driver.backup(other)


class OnPostgresql(OnDatabase):
    """A schema of a PostgreSQL database."""

    def __init__(self, url: str, schema: str, world: str = "plain", make: Make = create) -> None:
        super().__init__(world, make)
        self._url, self._schema = sa.make_url(url), schema
        self._made: set[frozenset[str]] = set()
        self.engine = sa.create_engine(
            self._url, connect_args=self._settings("psycopg"), max_overflow=40
        )
        with self.engine.begin() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")

    def reset(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(_EMPTY.replace("SCHEMA", self._schema)))

    def tables(self, domain: spry.Domain) -> None:
        tables = frozenset(domain.metadata.tables)
        if tables not in self._made:
            self._make(self.engine, domain)
            self._made.add(tables)

    def async_engine(self) -> AsyncEngine:
        url = self._url.set(drivername=f"postgresql+{self._world}")
        return create_async_engine(url, connect_args=self._settings(self._world), max_overflow=40)

    def _settings(self, driver: str) -> dict[str, Any]:
        # What is durable when the machine fails is not for the kit to say: no commit waits for it.
        settings = {"search_path": self._schema, "synchronous_commit": "off"}
        if driver == "asyncpg":
            return {"server_settings": settings}
        return {"options": " ".join(f"-c{name}={value}" for name, value in settings.items())}


_EMPTY = """
DO $$
DECLARE
    guard oid := to_regproc('SCHEMA.spry_refuse');
    refusing text := pg_get_functiondef(guard);
    found text;
    filled boolean;
BEGIN
    IF guard IS NULL THEN RETURN; END IF;
    CREATE OR REPLACE FUNCTION SCHEMA.spry_refuse() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN RETURN OLD; END';
    FOR found IN SELECT format('%I.%I', 'SCHEMA', relname) FROM pg_class
        WHERE relnamespace = 'SCHEMA'::regnamespace AND relkind = 'r'
        AND relname NOT IN ('spry_format', 'spry_epochs', 'alembic_version')
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', found) INTO filled;
        IF filled THEN EXECUTE format('DELETE FROM %s', found); END IF;
    END LOOP;
    EXECUTE refusing;
END $$
"""
# The guards let pass for a moment. To disable the triggers would alter each table, and PostgreSQL
# would have to plan anew all that it is asked of them.


def _quick(driver: Any, *_: object) -> None:
    """Commits that wait for no disk: what is durable when the machine fails is not for the kit."""
    cursor = driver.cursor()
    cursor.execute("PRAGMA synchronous=OFF")
    cursor.close()


async def _checked(storage: Any) -> Any:
    await storage.check()
    return copy.copy(storage)


class _Caller:
    """See `spry_conformance.Caller`."""

    def __init__(self, storage: Any, connection: Any) -> None:
        self.storage = storage
        self.savepoint = connection.begin_nested
        self.commit = connection.commit
        self.rollback = connection.rollback


@contextmanager
def _joined(storage: Any, engine: sa.Engine) -> Iterator[Any]:
    with engine.connect() as connection:
        yield _Caller(storage.join(connection), connection)


@asynccontextmanager
async def _joined_awaiting(storage: Any, engine: AsyncEngine) -> AsyncIterator[Any]:
    async with engine.connect() as connection:
        yield _Caller(storage.join(connection), connection)


# All of them ------------------------------------------------------------------------------------

BACKENDS: dict[str, Callable[[Callable[[], str]], InMemory | OnDatabase]] = {
    "memory": lambda url: InMemory(spry.MemoryStorage),
    "memory-async": lambda url: InMemory(spry.AsyncMemoryStorage),
    "sqlite": lambda url: OnSqlite(make=upgrade),
    "sqlite-memory": lambda url: OnSqliteMemory(),
    "sqlite-thread": lambda url: OnSqlite("thread"),
    "aiosqlite": lambda url: OnSqlite("aiosqlite", migrate),
    "postgresql": lambda url: OnPostgresql(url(), "plain", make=upgrade),
    "postgresql-async": lambda url: OnPostgresql(url(), "awaited", "psycopg", migrate),
    "sqlite-composed": lambda url: OnSqlite("composed"),
    "postgresql-composed": lambda url: OnPostgresql(url(), "composed", "composed"),
    "sqlite-memory-thread": lambda url: OnSqliteMemory("thread"),
    "aiosqlite-memory": lambda url: OnAiosqliteMemory(),
}
"""Name → how to make it, given the URL of a PostgreSQL database, which is only asked for there.

Tables are made in every way: by the migrations of `alembic/` (`sqlite`, `postgresql`), by one that
autogenerate writes (`aiosqlite`, `postgresql-async`), the others by `create_all`."""
