"""A transaction that is not awaited, for those who await: in a thread of its own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from spry_sqla.operations import Append, Read
from spry_sqla.units import Unit

R = TypeVar("R")


class ThreadUnit:
    """A unit, awaited: in a thread of its own, for others may wait for what it holds."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._thread = ThreadPoolExecutor(1, "spry_sqla transaction")

    async def begin(self) -> None:
        """See `Unit.begin`."""
        begun = False

        def begin() -> None:
            nonlocal begun
            self._unit.begin()
            begun = True

        try:
            await self._hop(begin)
        except BaseException:
            if begun:
                self._thread.submit(self._unit.rollback)
            self._thread.shutdown(wait=False)
            raise

    async def answer(self, operation: Read | Append) -> Any:
        """See `Unit.answer`."""
        return await self._hop(lambda: self._unit.answer(operation))

    async def commit(self) -> None:
        """See `Unit.commit`."""
        try:
            await self._hop(self._unit.commit)
        finally:
            self._thread.shutdown(wait=False)

    async def rollback(self) -> None:
        """See `Unit.rollback`."""
        try:
            await self._hop(self._unit.rollback)
        finally:
            self._thread.shutdown(wait=False)

    async def _hop(self, work: Callable[[], R]) -> R:
        """To its end, however often the task is cancelled meanwhile."""
        working = asyncio.get_running_loop().run_in_executor(self._thread, work)
        cancelled = False
        while not working.done():
            try:
                await asyncio.wait([working])
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            working.exception()  # looked at, so that nobody complains that it was not
            raise asyncio.CancelledError
        return working.result()
