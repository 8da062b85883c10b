"""Cancels the task of a step at one of its awaits: while it waits, or when it was just answered."""

import asyncio
import types
from collections.abc import Coroutine, Generator
from contextlib import suppress
from typing import Any

import spry_sqla as spry
from spry_conformance.lab import do_awaited
from spry_conformance.steps import Cancelled, Fetch, Handle, HandleMany, InTransaction


async def ended_before(storage: Any, step: Cancelled) -> bool:
    """Do a step and cancel it; whether it has ended before its await came."""
    reached: list[int] = []
    work = _played(storage, step)
    task = asyncio.create_task(cancelled_at(step.at, step.answered, work, reached))
    await asyncio.wait([task])
    if reached:
        task.cancelled() or task.exception()  # looked at, so that nobody complains
        return False
    await task
    return True


async def _played(storage: Any, step: Cancelled) -> None:
    if not isinstance(step.step, InTransaction):
        with suppress(spry.KeyReused):
            await do_awaited(storage, step.step)
        return
    async with storage.transaction() as within:
        for each in step.step.steps:
            if isinstance(each, Handle | HandleMany | Fetch):
                with suppress(spry.KeyReused):
                    await do_awaited(within, each)


async def cancelled_at(
    at: int, answered: bool, work: Coroutine[Any, Any, object], reached: list[int]
) -> None:
    """Run a coroutine, and cancel its task at one of its awaits, which is then `reached`."""
    await _driven(at, answered, work, reached)


@types.coroutine
def _driven(
    at: int, answered: bool, work: Coroutine[Any, Any, object], reached: list[int]
) -> Generator[Any, Any, None]:
    task = asyncio.current_task()
    assert task is not None
    count, error = 0, None
    while True:
        try:
            awaited = work.send(None) if error is None else work.throw(error)
        except StopIteration:
            return
        count += 1
        if count == at:
            reached.append(at)
            if answered and awaited is not None:
                # It runs before the task is told of the answer, for the task asks only now.
                awaited.add_done_callback(lambda _: task.cancel())
            else:
                task.cancel()
        try:
            yield awaited
            error = None
        except BaseException as thrown:  # noqa: BLE001  (what is thrown in is handed on)
            error = thrown
