"""Storages: a domain on an engine or in memory, and the repositories of its actors.

A storage answers the operations that the logic yields. It makes no tables, holds nothing while an
application decides, and closes nothing that is not its own.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypedDict, TypeVar, Unpack

import sqlalchemy as sa

from spry_sqla.clock import process_clock
from spry_sqla.domain import Domain
from spry_sqla.errors import DefinitionError, StorageClosed, StorageError
from spry_sqla.memory import MemoryAdapter
from spry_sqla.operations import Append, Operation, Pause, Read
from spry_sqla.reading import Context
from spry_sqla.repository import AsyncRepository, Repository
from spry_sqla.sql.adapter import SqlAdapter
from spry_sqla.sql.lending import AsyncLender, Lender, ThreadLender
from spry_sqla.sql.statements import SchemaMap

if TYPE_CHECKING:  # it needs greenlet, which a plain installation does not bring
    from sqlalchemy.ext.asyncio import AsyncEngine

A = TypeVar("A")


class Settings(TypedDict, total=False):
    """What every storage takes by keyword.

    `origin` names the replica that the database is (default "main"); `attempts` is how often a
    command decides at most when other writers are first (default 50); `max_clock_ahead` is how
    many seconds in the future a stored id is believed (default 60.0).
    """

    origin: str
    attempts: int
    max_clock_ahead: float


@dataclass(frozen=True, slots=True)
class _Checked:
    origin: str = "main"
    attempts: int = 50
    max_clock_ahead: float = 60.0

    def __post_init__(self) -> None:
        if not _is_name(self.origin):
            raise DefinitionError(
                "origin= must be a name of letters, digits, dots, hyphens and underscores"
            )
        if not _is_number(self.attempts, int) or self.attempts < 1:
            raise DefinitionError("attempts= must be a whole number from 1")
        if not _is_number(self.max_clock_ahead, int, float) or not self.max_clock_ahead >= 0:
            raise DefinitionError("max_clock_ahead= must be seconds, at least 0.0")


def _is_name(value: object) -> bool:
    return (
        isinstance(value, str)
        and value != ""
        and all(char.isalnum() or char in "._-" for char in value)
    )


def _is_number(value: object, *kinds: type) -> bool:
    return type(value) in kinds


class _Base:
    """What all storages share: the domain, the settings, open or closed."""

    def __init__(self, domain: Domain, settings: Settings) -> None:
        if unknown := settings.keys() - Settings.__annotations__.keys():
            known = ", ".join(Settings.__annotations__)
            raise DefinitionError(f"a storage has no setting {min(unknown)!r}; it has {known}")
        self.domain = domain
        self._settings = _Checked(**settings)
        self._closed = False

    @property
    def origin(self) -> str:
        """The name of the replica that this storage writes as."""
        return self._settings.origin

    def _context(self, actor: type[A]) -> Context[A]:
        return Context(
            self.domain,
            self.domain.actor(actor),
            self._settings.origin,
            process_clock,
            self._settings.attempts,
            self._settings.max_clock_ahead,
        )

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StorageClosed(
                f"this {type(self).__name__} was closed; open a new one on the same engine"
            )


class _Plain(_Base):
    def __init__(
        self, domain: Domain, settings: Settings, answer: Callable[[Read | Append], Any]
    ) -> None:
        super().__init__(domain, settings)
        self._answer = answer

    def repository(self, actor: type[A]) -> Repository[A]:
        """The repository of an actor type. Raises NotRegistered."""
        return Repository(self._context(actor), self._perform)

    def close(self) -> None:
        """Refuse further work. An engine stays open: it is the application's."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _perform(self, operation: Operation) -> Any:
        self._refuse_closed()
        if isinstance(operation, Pause):
            time.sleep(operation.seconds)
            return None
        return self._answer(operation)


class _Awaited(_Base):
    def __init__(
        self, domain: Domain, settings: Settings, answer: Callable[[Read | Append], Awaitable[Any]]
    ) -> None:
        super().__init__(domain, settings)
        self._answer = answer

    def repository(self, actor: type[A]) -> AsyncRepository[A]:
        """The repository of an actor type. Raises NotRegistered."""
        return AsyncRepository(self._context(actor), self._perform)

    async def check(self) -> None:
        """See that the storage can work; it does so by itself before it first works."""
        self._refuse_closed()

    async def close(self) -> None:
        """Refuse further work. An engine stays open: it is the application's."""
        self._closed = True

    async def __aenter__(self) -> Self:
        await self.check()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _perform(self, operation: Operation) -> Any:
        self._refuse_closed()
        if isinstance(operation, Pause):
            await asyncio.sleep(operation.seconds)
            return None
        return await self._answer(operation)


class MemoryStorage(_Plain):
    """Everything in the memory of this process: for an application's unit tests.

    It takes what the other storages take and refuses what they refuse. Threads may share one.
    """

    def __init__(self, domain: Domain, **settings: Unpack[Settings]) -> None:
        super().__init__(domain, settings, MemoryAdapter(domain).perform)


class AsyncMemoryStorage(_Awaited):
    """As `MemoryStorage`, awaited."""

    def __init__(self, domain: Domain, **settings: Unpack[Settings]) -> None:
        adapter = MemoryAdapter(domain)

        async def answer(operation: Read | Append) -> Any:
            return adapter.perform(operation)

        super().__init__(domain, settings, answer)


class Storage(_Plain):
    """A domain on a SQLAlchemy Engine, PostgreSQL or SQLite. Threads may share one.

    Raises StorageUnavailable when the database cannot be reached, TablesMissing or TablesOutdated
    when its tables are not those of the domain, StorageError for another kind of database.
    """

    def __init__(self, engine: sa.Engine, domain: Domain, **settings: Unpack[Settings]) -> None:
        if not isinstance(engine, sa.Engine):
            raise StorageError(
                f"Storage takes a sqlalchemy.Engine, and was given a {type(engine).__name__}; for "
                "an AsyncEngine use AsyncStorage"
            )
        adapter = SqlAdapter(domain, engine.dialect, schemas=_schemas(engine))
        lender = Lender(engine)
        super().__init__(domain, settings, partial(lender.answer, adapter))
        lender.lend(adapter.check)
        domain.prepare()


class AsyncStorage(_Awaited):
    """As `Storage`, awaited, on an AsyncEngine or a plain Engine. Tasks may share one.

    On an AsyncEngine each operation is one `run_sync`: right for PostgreSQL. On a plain Engine it
    is one hop to a worker thread: right for SQLite, whose asynchronous driver hops for each call.
    A constructor cannot wait: the tables are checked by `async with`, by `check()`, or before the
    first operation, which then raise what `Storage` raises.
    """

    def __init__(
        self, engine: "AsyncEngine | sa.Engine", domain: Domain, **settings: Unpack[Settings]
    ) -> None:
        super().__init__(domain, settings, self._checked_answer)
        self._lender: AsyncLender | ThreadLender
        if isinstance(engine, sa.Engine):
            self._lender = ThreadLender(engine)
        elif isinstance(getattr(engine, "sync_engine", None), sa.Engine):
            self._lender = AsyncLender(engine)
        else:
            raise StorageError(
                "AsyncStorage takes an AsyncEngine or an Engine of SQLAlchemy, and was given a "
                f"{type(engine).__name__}"
            )
        self._adapter = SqlAdapter(domain, engine.dialect, schemas=_schemas(engine))
        self._checked = False

    async def check(self) -> None:
        """See that the database is there and that its tables are those of the domain.

        Raises StorageUnavailable, TablesMissing, TablesOutdated, StorageClosed.
        """
        self._refuse_closed()
        await self._lender.lend(self._adapter.check)
        self.domain.prepare()
        self._checked = True

    async def _checked_answer(self, operation: Read | Append) -> Any:
        if not self._checked:
            await self.check()
        return await self._lender.answer(self._adapter, operation)


def _schemas(engine: "AsyncEngine | sa.Engine") -> SchemaMap:
    schemas: SchemaMap = engine.get_execution_options().get("schema_translate_map")
    return schemas
