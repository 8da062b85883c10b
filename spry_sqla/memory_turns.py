"""Tasks take turns at a store in memory: one that is in a transaction lets the others wait."""

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from spry_sqla.memory import MemoryAdapter, in_own_transaction
from spry_sqla.operations import Append, Read


class MemoryTurns:
    """A MemoryAdapter, awaited; also its transactions, one after another."""

    def __init__(self, adapter: MemoryAdapter) -> None:
        self._adapter = adapter
        self._owner: asyncio.Task[Any] | None = None
        # A lock belongs to an event loop, and a storage may serve one `asyncio.run` after another.
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )

    async def perform(self, operation: Read | Append) -> Any:
        """Answer one operation. Raises StorageUnavailable within a transaction of this task."""
        self._refuse_owner()
        async with self._lock():
            return self._adapter.perform(operation)

    async def begin(self) -> None:
        """Begin a transaction."""
        self._refuse_owner()
        await self._lock().acquire()
        self._owner = asyncio.current_task()

    async def answer(self, operation: Read | Append) -> Any:
        """Answer one operation in the transaction that has begun."""
        return self._adapter.answer(operation)

    async def commit(self) -> None:
        """End it, and keep what was done."""
        self._adapter.keep()
        self._end()

    async def rollback(self) -> None:
        """End it, and undo what was done."""
        self._adapter.undo()
        self._end()

    def _end(self) -> None:
        self._owner = None
        self._lock().release()

    def _refuse_owner(self) -> None:
        if self._owner is not None and self._owner is asyncio.current_task():
            raise in_own_transaction()

    def _lock(self) -> asyncio.Lock:
        return self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
