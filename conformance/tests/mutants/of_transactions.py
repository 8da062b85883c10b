"""Faults of transactions and of cancelled tasks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import get_ident
from types import TracebackType
from typing import Any

import spry_sqla as spry
from mutants.registry import CLAIMS, MUTANTS, Mutant, in_memory, mutant
from spry_conformance import Adapter as KitAdapter
from spry_sqla.adapters import (
    Adapter,
    AdapterStorage,
    Append,
    Appended,
    AsyncAdapterStorage,
    MemoryAdapter,
    Read,
    UnitOfWork,
)
from spry_sqla.memory import MemoryUnit, in_own_transaction
from spry_sqla.threads import ThreadUnit
from spry_sqla.transactions import AsyncTransaction
from spry_sqla.units import AdapterUnit

# The storage's own transaction -------------------------------------------------------------------


class CommittedUnit(MemoryUnit):
    def commit(self) -> None:
        self._adapter.journal.forget()
        super().commit()

    def nested(self) -> "CommittedUnit":
        return CommittedUnit(self._adapter, within=True)


@mutant("P43", "commits each command of a transaction by itself")
class CommitsEachCommand(MemoryAdapter):
    def begin(self, *, write: bool) -> CommittedUnit:
        super().begin(write=write)
        return CommittedUnit(self)


class UnitWithoutSavepoints(MemoryUnit):
    def nested(self) -> "UnitWithoutSavepoints":
        return UnitWithoutSavepoints(self._adapter, within=True)

    def rollback(self) -> None:
        if not self._within:
            super().rollback()


@mutant("P43", "keeps half of a command that conflicts within a transaction")
class HasNoSavepoints(MemoryAdapter):
    def begin(self, *, write: bool) -> UnitWithoutSavepoints:
        super().begin(write=write)
        return UnitWithoutSavepoints(self)


class UnitThatUndoesAll(MemoryUnit):
    def nested(self) -> "UnitThatUndoesAll":
        made = UnitThatUndoesAll(self._adapter, within=True)
        made._mark = 0
        return made


@mutant("P43", "undoes all of a transaction where one command conflicts")
class UndoesAll(MemoryAdapter):
    def begin(self, *, write: bool) -> UnitThatUndoesAll:
        super().begin(write=write)
        return UnitThatUndoesAll(self)


class ReadingUnit(MemoryUnit):
    def commit(self) -> None: ...

    def rollback(self) -> None: ...


@mutant("P43", "lets others read what is not committed")
class ReadsWithoutWaiting(MemoryAdapter):
    def begin(self, *, write: bool) -> MemoryUnit:
        return super().begin(write=write) if write else ReadingUnit(self, within=True)


# The application's transaction -------------------------------------------------------------------


class MemoryCaller:
    """A transaction of the application's on stores in memory, and its savepoints."""

    def __init__(self, adapter: MemoryAdapter, storage: AdapterStorage) -> None:
        self._adapter = adapter
        self._units: list[UnitOfWork] = [adapter.begin(write=True)]
        self._open = True
        self.storage = spry.Joined(storage.domain, storage.settings, self._answer)

    def _answer(self, operation: Read | Append) -> Any:
        within = AdapterUnit(self._adapter)
        within._unit = self._units[-1]
        return within.answer(operation)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        self._units.append(self._units[-1].nested())
        try:
            yield
        except BaseException:
            self._units.pop().rollback()
            raise
        self._units.pop().commit()

    def commit(self) -> None:
        self._open = False
        self._units[0].commit()

    def rollback(self) -> None:
        if self._open:
            self._open = False
            self._units[0].rollback()


def joinable(make_caller: Callable[..., MemoryCaller] = MemoryCaller) -> KitAdapter:
    """An adapter in memory that can be joined."""

    @contextmanager
    def caller(storage: Any) -> Iterator[MemoryCaller]:
        begun = make_caller(storage._adapter, storage)
        try:
            yield begun
        finally:
            begun.rollback()

    return in_memory(capabilities=CLAIMS | {"joinable"}, caller=caller, name=make_caller.__name__)


class CommitsWhatItJoins(MemoryCaller):
    def _answer(self, operation: Read | Append) -> Any:
        answered = super()._answer(operation)
        if isinstance(operation, Append):
            self._adapter.journal.forget()
        return answered


class LosesSavepoints(MemoryCaller):
    @contextmanager
    def savepoint(self) -> Iterator[None]:
        yield


MUTANTS += [
    Mutant("P43", "commits the application's transaction", lambda: joinable(CommitsWhatItJoins)),
    Mutant("P43", "knows no savepoints of the application", lambda: joinable(LosesSavepoints)),
]

AWAITED = CLAIMS | {"async"}

# Cancelled tasks ---------------------------------------------------------------------------------


class Impatient(MemoryAdapter):
    """Waits for a lock for a moment only, so that one who is held up tells it soon."""

    def begin(self, *, write: bool) -> MemoryUnit:
        if self._owner == get_ident() or not self._lock.acquire(timeout=0.3):
            raise in_own_transaction()
        self._owner = get_ident()
        return MemoryUnit(self)


class KeepsItOpen(AsyncTransaction):
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # `except Exception` does not see that a task is cancelled.
        if error is None or isinstance(error, Exception):
            await super().__aexit__(kind, error, traceback)


class CommitsIt(AsyncTransaction):
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):
            await super().__aexit__(kind, error, traceback)
        else:
            await super().__aexit__(None, None, None)


def with_transactions(kind: type[AsyncTransaction]) -> type[AsyncAdapterStorage]:
    """A storage whose transactions are of this kind."""

    class Storage(AsyncAdapterStorage):
        def transaction(self, *, retry: int = 0) -> AsyncTransaction:
            return kind(self, lambda: ThreadUnit(AdapterUnit(self._adapter)), retry)

    return Storage


class AppendsInTwoSteps(AsyncAdapterStorage):
    """Awaits the one half, and then the other, each in a unit of work of its own."""

    def __init__(self, adapter: Adapter, domain: spry.Domain, **settings: Any) -> None:
        super().__init__(adapter, domain, **settings)
        self._whole, self._answer = self._answer, self._in_halves

    async def _in_halves(self, operation: Read | Append) -> Any:
        if not isinstance(operation, Append):
            return await self._whole(operation)
        halves = [
            Append(operation.actor, operation.commands, operation.events[:1], operation.mappings),
            Append(operation.actor, events=operation.events[1:], snapshots=operation.snapshots),
        ]
        first = await self._whole(halves[0])
        return await self._whole(halves[1]) if isinstance(first, Appended) else first


MUTANTS += [
    Mutant("P44", fault, partial(in_memory, Impatient, storage=storage, capabilities=AWAITED))
    for fault, storage in (
        ("keeps the transaction of a cancelled task open", with_transactions(KeepsItOpen)),
        ("commits the transaction of a cancelled task", with_transactions(CommitsIt)),
        ("awaits two halves of an append, one after the other", AppendsInTwoSteps),
    )
]
