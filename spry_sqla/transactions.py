"""Repositories in one transaction: the caller's own, or one that is begun here."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import isawaitable, iscoroutinefunction
from threading import Lock
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from spry_sqla.base import Awaited, Plain, Settings
from spry_sqla.domain import Domain
from spry_sqla.errors import ConcurrencyError, DefinitionError, StorageError
from spry_sqla.operations import Append, Read, pauses
from spry_sqla.units import AsyncUnit, Unit, at_work

P = ParamSpec("P")
T = TypeVar("T")


class Joined(Plain):
    """The repositories of a storage, in a transaction that somebody else ends.

    What is handled here is stored when that transaction is committed, and not before. A conflict is
    raised at once, as ConcurrencyError; the transaction is then as it was before the command, and
    can go on. Where the connection breaks, all of the transaction is lost.
    """

    def __init__(
        self, domain: Domain, settings: Settings, answer: Callable[[Read | Append], Any]
    ) -> None:
        super().__init__(domain, {**settings, "attempts": 1, "cache_size": 0}, answer)


class JoinedAsync(Awaited):
    """As `Joined`, awaited."""

    def __init__(
        self, domain: Domain, settings: Settings, answer: Callable[[Read | Append], Awaitable[Any]]
    ) -> None:
        super().__init__(domain, {**settings, "attempts": 1, "cache_size": 0}, answer)


class Transaction:
    """Several commands on several actors, all stored or none.

    As `with storage.transaction() as transaction:`, committed at the end of the block and rolled
    back when it raises; or, with `retry=`, as a decorator of a function whose first argument is
    the transaction: it runs again, at most `retry` times, when another writer was first.

    Raises ConcurrencyError when another writer was first, StorageUnavailable when the database
    cannot be reached; what the block raises, it raises.
    """

    def __init__(self, storage: Plain, make: Callable[[], Unit], retry: int) -> None:
        self._storage = storage
        self._make = make
        self._retry = checked_retry(retry)
        self._unit: Unit | None = None

    def __enter__(self) -> Joined:
        if self._retry:
            raise _cannot_run_again()
        if self._unit is not None:
            raise _entered_twice()
        unit = self._make()
        unit.begin()
        self._unit = unit

        busy = Lock()

        def answer(operation: Read | Append) -> Any:
            if self._unit is not unit:
                raise _ended()
            if not busy.acquire(blocking=False):
                raise at_work()
            try:
                return unit.answer(operation)
            finally:
                busy.release()

        return Joined(self._storage.domain, self._storage.settings, answer)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        unit, self._unit = self._unit, None
        assert unit is not None
        if error is None:
            unit.commit()
        else:
            unit.rollback()

    def __call__(self, work: Callable[Concatenate[Joined, P], T]) -> Callable[P, T]:
        """Decorate a function. Raises DefinitionError for one that is awaited."""
        if iscoroutinefunction(work):
            raise DefinitionError(
                f"{work.__qualname__} is asynchronous, and its work would begin when this "
                "transaction has ended; decorate it with the transaction of an AsyncStorage"
            )

        @wraps(work)
        def run(*arguments: P.args, **named: P.kwargs) -> T:
            waits = pauses(first=0.001, longest=0.25)
            for _ in range(self._retry):
                try:
                    return self._once(work, *arguments, **named)
                except ConcurrencyError:
                    time.sleep(next(waits).seconds)
            return self._once(work, *arguments, **named)

        return run

    def _once(
        self, work: Callable[Concatenate[Joined, P], T], *arguments: P.args, **named: P.kwargs
    ) -> T:
        # One of its own, for the decorated function may run in several threads at once.
        with Transaction(self._storage, self._make, 0) as transaction:
            return work(transaction, *arguments, **named)


class AsyncTransaction:
    """As `Transaction`, with `async with`, and for asynchronous functions."""

    def __init__(self, storage: Awaited, make: Callable[[], AsyncUnit], retry: int) -> None:
        self._storage = storage
        self._make = make
        self._retry = checked_retry(retry)
        self._unit: AsyncUnit | None = None

    async def __aenter__(self) -> JoinedAsync:
        if self._retry:
            raise _cannot_run_again()
        if self._unit is not None:
            raise _entered_twice()
        unit = self._make()
        await unit.begin()
        self._unit = unit

        busy = Lock()

        async def answer(operation: Read | Append) -> Any:
            if self._unit is not unit:
                raise _ended()
            if not busy.acquire(blocking=False):
                raise at_work()
            try:
                return await unit.answer(operation)
            finally:
                busy.release()

        return JoinedAsync(self._storage.domain, self._storage.settings, answer)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        unit, self._unit = self._unit, None
        assert unit is not None
        if error is None:
            await unit.commit()
        else:
            await asyncio.shield(unit.rollback())

    def __call__(
        self, work: Callable[Concatenate[JoinedAsync, P], Awaitable[T]]
    ) -> Callable[P, Awaitable[T]]:
        """Decorate an asynchronous function; another one raises DefinitionError as it runs."""

        @wraps(work)
        async def run(*arguments: P.args, **named: P.kwargs) -> T:
            waits = pauses(first=0.001, longest=0.25)
            for _ in range(self._retry):
                try:
                    return await self._once(work, *arguments, **named)
                except ConcurrencyError:
                    await asyncio.sleep(next(waits).seconds)
            return await self._once(work, *arguments, **named)

        return run

    async def _once(
        self,
        work: Callable[Concatenate[JoinedAsync, P], Awaitable[T]],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        async with AsyncTransaction(self._storage, self._make, 0) as transaction:
            working = work(transaction, *arguments, **named)
            if not isawaitable(working):
                raise DefinitionError(
                    "what is decorated with the transaction of an AsyncStorage must be a function "
                    "that is awaited: write `async def`"
                )
            return await working


def checked_retry(retry: int) -> int:
    """How often to run again. Raises DefinitionError."""
    if type(retry) is not int or retry < 0:
        raise DefinitionError("retry= must be a whole number from 0")
    return retry


def _cannot_run_again() -> StorageError:
    return StorageError(
        "a `with` block cannot run again: with retry= decorate a function that takes the "
        "transaction as its first argument"
    )


def _ended() -> StorageError:
    return StorageError(
        "this transaction has ended; ask storage.transaction() for another one, or use the "
        "repositories of the storage"
    )


def _entered_twice() -> StorageError:
    return StorageError(
        "this transaction has begun already: ask storage.transaction() for another one"
    )
