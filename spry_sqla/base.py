"""What all storages share: a domain, the settings, repositories; open or closed."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar

from spry_sqla.cache import Cache
from spry_sqla.clock import process_clock
from spry_sqla.domain import Domain
from spry_sqla.errors import DefinitionError, StorageClosed, StorageError
from spry_sqla.operations import Append, Operation, Pause, Read
from spry_sqla.reading import Context
from spry_sqla.repository import AsyncRepository, Repository

A = TypeVar("A")


class Settings(TypedDict, total=False):
    """What every storage takes by keyword.

    `origin` names the replica that the database is (default "main"); `attempts` is how often a
    command decides at most when other writers are first (default 50); `max_clock_ahead` is how
    many seconds in the future a stored id is believed (default 60.0); `cache_size` is how many
    actors of each type are kept in memory as their last commands and reads left them, so that the
    next needs no load (default 1,000; 0 for none). A decision on what is outdated is no attempt;
    with attempts=1 there is none.
    """

    origin: str
    attempts: int
    max_clock_ahead: float
    cache_size: int


@dataclass(frozen=True, slots=True)
class _Checked:
    origin: str = "main"
    attempts: int = 50
    max_clock_ahead: float = 60.0
    cache_size: int = 1_000

    def __post_init__(self) -> None:
        if not _is_name(self.origin):
            raise DefinitionError(
                "origin= must be a name of letters, digits, dots, hyphens and underscores"
            )
        if not _is_number(self.attempts, int) or self.attempts < 1:
            raise DefinitionError("attempts= must be a whole number from 1")
        if not _is_number(self.max_clock_ahead, int, float) or not self.max_clock_ahead >= 0:
            raise DefinitionError("max_clock_ahead= must be seconds, at least 0.0")
        if not _is_number(self.cache_size, int) or self.cache_size < 0:
            raise DefinitionError("cache_size= must be a whole number from 0")


def _is_name(value: object) -> bool:
    return (
        isinstance(value, str)
        and value != ""
        and all(char.isalnum() or char in "._-" for char in value)
    )


def _is_number(value: object, *kinds: type) -> bool:
    return type(value) in kinds


def check_domain(domain: object) -> None:
    """Raises DefinitionError for what is no Domain."""
    if not isinstance(domain, Domain):
        what = domain.__qualname__ if isinstance(domain, type) else f"a {type(domain).__qualname__}"
        raise DefinitionError(f"a storage takes a Domain(...), and was given {what}")


class Base:
    """What all storages share: the domain, the settings, open or closed."""

    def __init__(self, domain: Domain, settings: Settings) -> None:
        check_domain(domain)
        if unknown := settings.keys() - Settings.__annotations__.keys():
            known = ", ".join(Settings.__annotations__)
            raise DefinitionError(f"a storage has no setting {min(unknown)!r}; it has {known}")
        self.domain = domain
        self._settings = _Checked(**settings)
        self._caches: dict[str, Cache[Any]] = {}
        self._told: set[str] = set()
        self._closed = False

    @property
    def settings(self) -> Settings:
        """What the storage was given, and the defaults of the rest."""
        return Settings(
            origin=self._settings.origin,
            attempts=self._settings.attempts,
            max_clock_ahead=self._settings.max_clock_ahead,
            cache_size=self._settings.cache_size,
        )

    @property
    def origin(self) -> str:
        """The name of the replica that this storage writes as."""
        return self._settings.origin

    def _context(self, actor: type[A]) -> Context[A]:
        kind = self.domain.actor(actor)
        return Context(
            self.domain,
            kind,
            self._settings.origin,
            process_clock,
            self._settings.attempts,
            self._settings.max_clock_ahead,
            self._caches.setdefault(kind.name, Cache(self._settings.cache_size)),
            self._told,
        )

    def _forget(self) -> None:
        """Let the next commands load."""
        for cache in self._caches.values():
            cache.clear()

    def _composed(self) -> Self:
        """On the same data, with operations composed from the four stores alone."""
        raise StorageError(
            f"a {type(self).__name__} is not asked for this; ask the storage that it came from"
        )

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StorageClosed(
                f"this {type(self).__name__} was closed; open a new one on the same engine"
            )


class Plain(Base):
    """What is not awaited: repositories on something that answers operations."""

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


class Awaited(Base):
    """What is awaited."""

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
