"""Every storage behind one plain face, so that a property is written once for both worlds.

What is awaited is driven to the end of each call on an event loop of its own.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import spry_sqla as spry
from spry_sqla.adapters import Append, Read, composed, forget, observe, perform, perform_async

A = TypeVar("A")
T = TypeVar("T")

SEVERAL = 50


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


class Face(Protocol):
    """An open storage."""

    storage: Any
    domain: spry.Domain

    def repository(self, actor: type[A]) -> Repo[A]: ...

    def perform(self, operation: Read | Append) -> Any:
        """Answer one operation without the logic: rows of a foreign origin, stale appends."""
        ...

    def transaction(self) -> AbstractContextManager["Face"]:
        """Several commands in one transaction."""
        ...

    def composed(self) -> "Face":
        """The same data, with operations composed from the four stores."""
        ...

    def forget(self) -> None:
        """Let the next commands load."""
        ...

    def observed(self, see: Callable[[Read | Append, Any], object]) -> "Face":
        """The same data; each operation and its answer are told."""
        ...

    def close(self) -> None: ...


class PlainFace:
    """A storage that is not awaited."""

    def __init__(self, storage: Any) -> None:
        self.storage = storage
        self.domain: spry.Domain = storage.domain

    def repository(self, actor: type[A]) -> Repo[A]:
        repository: Repo[A] = self.storage.repository(actor)
        return repository

    def perform(self, operation: Read | Append) -> Any:
        return perform(self.storage, operation)

    @contextmanager
    def transaction(self) -> Iterator["PlainFace"]:
        with self.storage.transaction() as joined:
            yield PlainFace(joined)

    def composed(self) -> "PlainFace":
        return PlainFace(composed(self.storage))

    def forget(self) -> None:
        forget(self.storage)

    def observed(self, see: Callable[[Read | Append, Any], object]) -> "PlainFace":
        return PlainFace(observe(self.storage, see))

    def close(self) -> None:
        self.storage.close()


class AwaitedFace:
    """A storage that is awaited, on a loop that it shares with those that came from it."""

    def __init__(self, storage: Any, runner: asyncio.Runner) -> None:
        self.storage = storage
        self.domain: spry.Domain = storage.domain
        self.runner = runner

    def repository(self, actor: type[A]) -> Repo[A]:
        return AwaitedRepository(self.runner, self.storage.repository(actor))

    def perform(self, operation: Read | Append) -> Any:
        return self.runner.run(perform_async(self.storage, operation))

    @contextmanager
    def transaction(self) -> Iterator["AwaitedFace"]:
        transaction = self.storage.transaction()
        # `__aenter__` and `__aexit__` must run in one task, for a lock may belong to it.
        joined = self.runner.run(transaction.__aenter__())
        try:
            yield AwaitedFace(joined, self.runner)
        except BaseException as error:
            self.runner.run(transaction.__aexit__(type(error), error, None))
            raise
        self.runner.run(transaction.__aexit__(None, None, None))

    def composed(self) -> "AwaitedFace":
        return AwaitedFace(composed(self.storage), self.runner)

    def forget(self) -> None:
        forget(self.storage)

    def observed(self, see: Callable[[Read | Append, Any], object]) -> "AwaitedFace":
        return AwaitedFace(observe(self.storage, see), self.runner)

    def close(self) -> None:
        self.runner.run(self.storage.close())


class AwaitedRepository(Generic[A]):
    """An AsyncRepository whose calls are awaited to their end."""

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
        while several := self._runner.run(_next(items)):
            yield from several


async def _next(items: AsyncIterator[T]) -> list[T]:
    """Several at a time, for to run a loop costs more than an item."""
    several: list[T] = []
    async for item in items:
        several.append(item)
        if len(several) == SEVERAL:
            break
    return several


def close(opened: Face, also: Callable[[Any], Any] | None, runner: asyncio.Runner) -> None:
    """Close a storage, and let go of what `Adapter.close` knows of, which may be awaited."""
    opened.close()
    closing = None if also is None else also(opened.storage)
    if asyncio.iscoroutine(closing):
        runner.run(closing)


def face(storage: Any, runner: asyncio.Runner) -> Face:
    """The face of what `Adapter.open` gave, which may be awaited itself."""
    if asyncio.iscoroutine(storage):
        storage = runner.run(storage)
    if not hasattr(storage, "__aenter__"):
        return PlainFace(storage)
    return AwaitedFace(storage, runner)
