"""Tasks take turns at a store in memory: one that is in a transaction lets the others wait."""

import asyncio
from typing import Any

from spry_sqla import memory
from spry_sqla.errors import StorageError
from spry_sqla.memory import in_own_transaction, in_transaction_of_others
from spry_sqla.operations import Append, Read
from spry_sqla.units import Adapter, AdapterUnit, answer


class MemoryTurns:
    """An adapter in memory, awaited; also its transactions, one after another."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._unit = AdapterUnit(adapter)
        self._owner: asyncio.Task[Any] | None = None
        # A lock belongs to an event loop, and a storage may serve one `asyncio.run` after another.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()

    async def perform(self, operation: Read | Append) -> Any:
        """Answer one operation.

        Raises StorageUnavailable within a transaction of this task, or where one of another task
        does not end in time.
        """
        await self._acquire()
        try:
            return answer(self._adapter, operation)
        finally:
            self._lock.release()

    async def begin(self) -> None:
        """Begin a transaction."""
        await self._acquire()
        try:
            self._unit.begin()
        except BaseException:
            self._lock.release()
            raise
        self._owner = asyncio.current_task()

    async def answer(self, operation: Read | Append) -> Any:
        """Answer one operation in the transaction that has begun."""
        await asyncio.sleep(0)  # tasks overlap where nothing is waited for, as they do elsewhere
        return self._unit.answer(operation)

    async def commit(self) -> None:
        """End it, and keep what was done."""
        self._unit.commit()
        self._end()

    async def rollback(self) -> None:
        """End it, and undo what was done."""
        self._unit.rollback()
        self._end()

    def _end(self) -> None:
        self._owner = None
        self._lock.release()

    async def _acquire(self) -> None:
        self._use(asyncio.get_running_loop())
        if self._owner is not None and self._owner is asyncio.current_task():
            raise in_own_transaction()
        try:
            async with asyncio.timeout(memory.WAIT):
                await self._lock.acquire()
        except TimeoutError:
            raise in_transaction_of_others("task") from None

    def _use(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is self._loop:
            return
        if self._lock.locked():
            if self._loop is not None and not self._loop.is_closed():
                raise StorageError(
                    "this storage in memory is in use by another event loop; give each a storage "
                    "of its own"
                )
            self._unit.rollback()  # of a transaction that its loop has left behind
        self._loop, self._lock, self._owner = loop, asyncio.Lock(), None
