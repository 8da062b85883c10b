"""Threads and processes that do the same at once, and processes to be killed.

Processes are forked from one that has imported everything and opened nothing, so that two hundred
of them cost little.
"""

import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).parents[1]
SECONDS = 400.0
"""How long threads and processes may take at most."""

_context = multiprocessing.get_context("forkserver")


def in_threads(count: int, work: Callable[[int], T]) -> list[T]:
    """Run `work(0)`, `work(1)` … in threads that begin at the same moment."""
    barrier = threading.Barrier(count, timeout=SECONDS)

    def begin(number: int) -> T:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(begin, range(count), timeout=SECONDS))


def in_processes(count: int, work: Callable[..., T], *arguments: Any) -> list[T]:
    """Run `work(number, barrier, *arguments)` in processes; the barrier is for when to begin."""
    barrier = _context.Barrier(count, timeout=SECONDS)
    with contextlib.ExitStack() as stack:
        readers = [
            stack.enter_context(started(_answer, work, number, barrier, *arguments))[1]
            for number in range(count)
        ]
        answers = [_received(reader) for reader in readers]
    failures = [failure for _, failure in answers if failure is not None]
    # Those that only waited for the one that failed say nothing.
    assert failures == [], min(failures, key=lambda failure: "BrokenBarrierError" in failure)
    return [answer for answer, _ in answers]


@contextlib.contextmanager
def started(
    target: Callable[..., None], *arguments: Any
) -> Iterator[tuple[ForkServerProcess, Connection]]:
    """A process that runs `target(writer, *arguments)`, and the other end of its pipe.

    It is killed at the end of the block if it still runs.
    """
    _start_server()
    reader, writer = _context.Pipe(duplex=False)
    process = _context.Process(target=target, args=(writer, *arguments))
    process.start()
    writer.close()
    try:
        yield process, reader
        reader.close()
    finally:
        process.kill()
        process.join(SECONDS)
        process.close()


def _answer(writer: Connection, work: Callable[..., Any], *arguments: Any) -> None:
    try:
        writer.send((work(*arguments), None))
    except BaseException:  # noqa: BLE001  (it is raised in the parent)
        writer.send((None, traceback.format_exc()))


def _received(reader: Connection) -> tuple[Any, str | None]:
    assert reader.poll(SECONDS), "a process takes too long"
    received: tuple[Any, str | None] = reader.recv()
    return received


def _start_server() -> None:
    """Start the process that others are forked from; it does not take `sys.path` over."""
    multiprocessing.set_forkserver_preload(
        [
            "psycopg",
            "sqlalchemy.dialects.postgresql.psycopg",
            "sqlalchemy.dialects.sqlite.aiosqlite",
            "sqlalchemy.ext.asyncio",
            "tests.faults.domain",
        ]
    )
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


__all__ = ["Barrier", "Connection", "in_processes", "in_threads", "started"]
