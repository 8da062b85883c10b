"""Storages: a domain on an engine or in memory, and the repositories of its actors.

A storage answers the operations that the logic yields. It makes no tables, holds nothing while an
application decides, and closes nothing that is not its own.
"""

import asyncio
from collections.abc import Callable, Coroutine
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

import sqlalchemy as sa

from spry_sqla.base import Awaited, Plain, Settings, check_domain
from spry_sqla.domain import Domain
from spry_sqla.errors import StorageError
from spry_sqla.memory import MemoryAdapter
from spry_sqla.memory_turns import MemoryTurns
from spry_sqla.operations import Append, Read
from spry_sqla.sql.adapter import SqlAdapter
from spry_sqla.sql.joining import Adapters, AsyncJoiner, Joiner, checked
from spry_sqla.sql.lending import AsyncLender, Lender, ThreadLender
from spry_sqla.sql.sqlite import keep_savepoints
from spry_sqla.sql.statements import SchemaMap
from spry_sqla.sql.units import AsyncUnit, SqlUnit
from spry_sqla.threads import ThreadUnit
from spry_sqla.transactions import (
    AsyncTransaction,
    Joined,
    JoinedAsync,
    Transaction,
)
from spry_sqla.units import Adapter, AdapterUnit, Composed, answer

if TYPE_CHECKING:  # it needs greenlet, which a plain installation does not bring
    from sqlalchemy.ext.asyncio import AsyncEngine

    from spry_sqla.sql.joining import AsyncTransacted, Transacted


class AdapterStorage(Plain):
    """A domain on an `Adapter`, such as somebody else has written. Threads may share one.

    Raises what the adapter's `check` raises.
    """

    def __init__(self, adapter: Adapter, domain: Domain, **settings: Unpack[Settings]) -> None:
        self._adapter = adapter
        super().__init__(domain, settings, partial(answer, adapter))
        adapter.check()
        domain.prepare()

    def transaction(self, *, retry: int = 0) -> Transaction:
        """See `Storage.transaction`."""
        self._refuse_closed()
        return Transaction(self, lambda: AdapterUnit(self._adapter), retry)

    def _composed(self) -> Self:
        twin = copy(self)
        twin._adapter = Composed(self._adapter)
        twin._answer = partial(answer, twin._adapter)
        return twin


class AsyncAdapterStorage(Awaited):
    """As `AdapterStorage`, awaited: each operation is one hop to a worker thread.

    The adapter is checked by `async with`, by `check()`, or before the first operation.
    """

    def __init__(self, adapter: Adapter, domain: Domain, **settings: Unpack[Settings]) -> None:
        self._adapter = adapter
        self._checked = False
        super().__init__(domain, settings, self._checked_answer)

    async def check(self) -> None:
        """See that the adapter's backend is there. Raises what its `check` raises."""
        self._refuse_closed()
        await asyncio.to_thread(self._adapter.check)
        self.domain.prepare()
        self._checked = True

    def transaction(self, *, retry: int = 0) -> AsyncTransaction:
        """See `AsyncStorage.transaction`."""
        self._refuse_closed()
        return AsyncTransaction(self, lambda: ThreadUnit(AdapterUnit(self._adapter)), retry)

    def _composed(self) -> Self:
        twin = copy(self)
        twin._adapter = Composed(self._adapter)
        twin._answer = twin._checked_answer
        return twin

    async def _checked_answer(self, operation: Read | Append) -> Any:
        if not self._checked:
            await self.check()
        return await asyncio.to_thread(answer, self._adapter, operation)


class MemoryStorage(AdapterStorage):
    """Everything in the memory of this process: for an application's unit tests.

    It takes what the other storages take and refuses what they refuse. Threads may share one; those
    that want to write wait while another is in a transaction. `sharing` is a storage whose data
    this one has too: opened again, perhaps by newer code. Raises StorageError for one of another
    kind.
    """

    def __init__(
        self,
        domain: Domain,
        *,
        sharing: "MemoryStorage | None" = None,
        **settings: Unpack[Settings],
    ) -> None:
        adapter = MemoryAdapter() if sharing is None else _of_kind(MemoryStorage, sharing)._adapter
        super().__init__(adapter, domain, **settings)


class AsyncMemoryStorage(Awaited):
    """As `MemoryStorage`, awaited."""

    def __init__(
        self,
        domain: Domain,
        *,
        sharing: "AsyncMemoryStorage | None" = None,
        **settings: Unpack[Settings],
    ) -> None:
        self._turns: MemoryTurns
        if sharing is None:
            self._turns = MemoryTurns(MemoryAdapter())
        else:
            self._turns = _of_kind(AsyncMemoryStorage, sharing)._turns
        super().__init__(domain, settings, self._turns.perform)

    def transaction(self, *, retry: int = 0) -> AsyncTransaction:
        """See `AsyncStorage.transaction`. Other tasks wait until it ends."""
        self._refuse_closed()
        return AsyncTransaction(self, lambda: self._turns, retry)

    def _composed(self) -> Self:
        return self  # nothing is fused in memory


class Storage(Plain):
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
        check_domain(domain)
        _refuse_awaited(engine)
        _refuse_readonly(engine)
        keep_savepoints(engine)
        self._engine = engine
        self._adapters = Adapters(domain, engine.dialect)
        adapter = self._adapters.of(_schemas(engine))
        lender = Lender(engine)
        super().__init__(domain, settings, partial(lender.answer, adapter))
        lender.check(adapter)
        domain.prepare()

    def join(self, transaction: "Transacted") -> Joined:
        """The repositories of this storage in the transaction of a Session or a Connection.

        What is handled there is stored when the caller commits. Raises StorageError for what cannot
        be joined; for a connection in AUTOCOMMIT, or bound to another database, at its first use.
        """
        self._refuse_closed()
        joiner = Joiner(self._engine, self._adapters, checked(transaction, awaited=False))
        return Joined(self.domain, self.settings, joiner.answer)

    def transaction(self, *, retry: int = 0) -> Transaction:
        """Several commands in one transaction; see `Transaction`.

        Raises DefinitionError for a `retry` that is no whole number from 0.
        """
        self._refuse_closed()
        return Transaction(self, lambda: SqlUnit(self._engine, self._adapters), retry)

    def _composed(self) -> Self:
        twin = copy(self)
        twin._answer = partial(Lender(self._engine).answer, _composed_on(self._engine, self.domain))
        return twin


class AsyncStorage(Awaited):
    """As `Storage`, awaited, on an AsyncEngine or a plain Engine. Tasks may share one.

    On an AsyncEngine each operation is one greenlet: right for PostgreSQL. On a plain Engine it
    is one hop to a worker thread: right for SQLite, whose asynchronous driver hops for each call.
    A constructor cannot wait: the tables are checked by `async with`, by `check()`, or before the
    first operation, which then raise what `Storage` raises.
    """

    def __init__(
        self, engine: "AsyncEngine | sa.Engine", domain: Domain, **settings: Unpack[Settings]
    ) -> None:
        super().__init__(domain, settings, self._checked_answer)
        self._lender: AsyncLender | ThreadLender
        self._make_unit: Callable[[], ThreadUnit | AsyncUnit]
        self._adapters = Adapters(domain, engine.dialect)
        if isinstance(engine, sa.Engine):
            _refuse_awaited(engine)
            self._plain = engine
            self._lender = ThreadLender(engine)
            self._make_unit = lambda: ThreadUnit(SqlUnit(engine, self._adapters))
        elif isinstance(getattr(engine, "sync_engine", None), sa.Engine):
            self._plain = engine.sync_engine
            self._lender = AsyncLender(engine)
            self._make_unit = partial(AsyncUnit, engine, self._adapters)
        else:
            raise StorageError(
                "AsyncStorage takes an AsyncEngine or an Engine of SQLAlchemy, and was given a "
                f"{type(engine).__name__}"
            )
        _refuse_readonly(self._plain)
        keep_savepoints(self._plain)
        self._adapter = self._adapters.of(_schemas(engine))
        self._checked = False

    async def check(self) -> None:
        """See that the database is there and that its tables are those of the domain.

        Raises StorageUnavailable, TablesMissing, TablesOutdated, StorageClosed.
        """
        self._refuse_closed()
        await self._lender.check(self._adapter)
        self.domain.prepare()
        self._checked = True

    def join(self, transaction: "AsyncTransacted") -> JoinedAsync:
        """See `Storage.join`; of an AsyncSession or an AsyncConnection.

        The tables are not checked by what is joined, for that takes a connection of its own.
        """
        self._refuse_closed()
        joiner = AsyncJoiner(self._plain, self._adapters, checked(transaction, awaited=True))
        return JoinedAsync(self.domain, self.settings, joiner.answer)

    def transaction(self, *, retry: int = 0) -> AsyncTransaction:
        """See `Storage.transaction`."""
        self._refuse_closed()
        make = self._make_unit
        return AsyncTransaction(self, lambda: _CheckedUnit(make(), self._check_once), retry)

    def _composed(self) -> Self:
        twin = copy(self)
        twin._adapter = _composed_on(self._plain, self.domain)
        twin._answer = twin._checked_answer
        return twin

    async def _check_once(self) -> None:
        if not self._checked:
            await self.check()

    async def _checked_answer(self, operation: Read | Append) -> Any:
        await self._check_once()
        return await self._lender.answer(self._adapter, operation)


class _CheckedUnit:
    """A unit that begins where the tables have been checked."""

    def __init__(
        self, unit: ThreadUnit | AsyncUnit, check: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        self._unit = unit
        self._check = check
        self.answer, self.commit, self.rollback = unit.answer, unit.commit, unit.rollback

    async def begin(self) -> None:
        await self._check()
        await self._unit.begin()


def _refuse_readonly(engine: sa.Engine) -> None:
    if engine.get_execution_options().get("postgresql_readonly"):
        raise StorageError(
            "the execution option postgresql_readonly has no hold on statements that are their own "
            "transactions; connect as a role that may only read, or with "
            '`connect_args={"options": "-c default_transaction_read_only=on"}`'
        )


def _refuse_awaited(engine: sa.Engine) -> None:
    if engine.dialect.is_async:
        raise StorageError(
            f"the driver {engine.dialect.driver} of this engine is awaited; give the AsyncEngine "
            "that it is of to AsyncStorage"
        )


M = TypeVar("M")


def _of_kind(kind: type[M], sharing: object) -> M:
    if isinstance(sharing, kind):
        return sharing
    raise StorageError(
        f"sharing= takes another {kind.__name__}, and was given a {type(sharing).__name__}"
    )


def _composed_on(engine: sa.Engine, domain: Domain) -> SqlAdapter:
    return SqlAdapter(domain, engine.dialect, schemas=_schemas(engine), composed=True)


def _schemas(engine: "AsyncEngine | sa.Engine") -> SchemaMap:
    schemas: SchemaMap = engine.get_execution_options().get("schema_translate_map")
    return schemas
