"""Run the logic: give each operation that a generator yields to a storage, and the answer back.

One driver per world, four functions in all; nothing else in the library knows which world it is in.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

from spry_sqla.operations import Emit, Operation, Stream, Work

T = TypeVar("T")
Perform = Callable[[Operation], Any]
AsyncPerform = Callable[[Operation], Awaitable[Any]]


def run(work: Work[T], perform: Perform) -> T:
    """Run to the end and return what the logic returns. What `perform` raises is raised in it."""
    try:
        operation = next(work)
        while True:
            try:
                answer = perform(operation)
            except BaseException as error:
                operation = work.throw(error)
            else:
                operation = work.send(answer)
    except StopIteration as done:
        result: T = done.value
        return result


async def run_async(work: Work[T], perform: AsyncPerform) -> T:
    """As `run`, awaiting each answer."""
    try:
        operation = next(work)
        while True:
            try:
                answer = await perform(operation)
            except BaseException as error:
                operation = work.throw(error)
            else:
                operation = work.send(answer)
    except StopIteration as done:
        result: T = done.value
        return result


def stream(work: Stream, perform: Perform) -> Iterator[Any]:
    """Iterate over what a long read emits; between two items nothing is held open."""
    answer: Any = None
    while True:
        try:
            step = work.send(answer)
        except StopIteration:
            return
        if isinstance(step, Emit):
            yield from step.items
            answer = None
        else:
            answer = perform(step)


async def stream_async(work: Stream, perform: AsyncPerform) -> AsyncIterator[Any]:
    """As `stream`, awaiting each answer."""
    answer: Any = None
    while True:
        try:
            step = work.send(answer)
        except StopIteration:
            return
        if isinstance(step, Emit):
            for item in step.items:
                yield item
            answer = None
        else:
            answer = await perform(step)
