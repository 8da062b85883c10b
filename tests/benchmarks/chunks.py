"""Portions of work: each prepares untimed, works, and returns the seconds of its operations."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from uuid import uuid4

from tests.benchmarks.game import CreatePlayer, Hit
from tests.benchmarks.measure import Chunk, timed
from tests.benchmarks.places import Contender

Handle = Callable[[CreatePlayer | Hit], object]
THREADS = 8


@dataclass(frozen=True)
class Size:
    """How much is done: for the table, or for a quick look."""

    rounds: int = 21
    players: int = 10
    hits: int = 20
    stored: int = 1_000_000


QUICK = Size(rounds=5, players=3, hits=12, stored=50_000)


def hitting(handle: Handle, size: Size) -> Chunk:
    """New players, then each is hit in turn; only the hits are timed."""

    def chunk() -> list[float]:
        names = _created(handle, size.players)
        hits = [Hit(name, points) for points in range(size.hits) for name in names]
        return timed(partial(handle, hit) for hit in hits)

    return chunk


def hitting_async(
    handle: Callable[[CreatePlayer | Hit], Awaitable[object]], size: Size, runner: asyncio.Runner
) -> Chunk:
    async def create(names: list[str]) -> None:
        for name in names:
            await handle(CreatePlayer(name))

    async def hit(names: list[str]) -> list[float]:
        seconds = []
        for points in range(size.hits):
            for name in names:
                start = perf_counter()
                await handle(Hit(name, points))
                seconds.append(perf_counter() - start)
        return seconds

    def chunk() -> list[float]:
        names = [uuid4().hex for _ in range(size.players)]
        runner.run(create(names))
        return runner.run(hit(names))

    return chunk


def fetching(contender: Contender, name: str, events: int) -> Chunk:
    times = max(2, 1_000 // events)
    return lambda: timed([partial(contender.fetch, name)] * times)


def crowd(handles: Sequence[Handle], pool: ThreadPoolExecutor, size: Size, *, one: bool) -> Chunk:
    """Threads that begin together; the time until the last of them is done."""
    hits = size.hits // 4 if one else size.hits

    def chunk() -> list[float]:
        names = _created(handles[0], 1) * THREADS if one else _created(handles[0], THREADS)

        def hit(number: int) -> None:
            for points in range(hits):
                handles[number](Hit(names[number], points))

        return timed([lambda: list(pool.map(hit, range(THREADS)))], THREADS * hits)

    return chunk


def batches(contender: Contender, *, one_by_one: bool = False) -> Chunk:
    def singly(commands: Sequence[Hit]) -> None:
        for command in commands:
            contender.handle(command)

    def chunk() -> list[float]:
        names = [uuid4().hex for _ in range(100)]
        contender.handle_many([CreatePlayer(name) for name in names])
        hits = [[Hit(name, points) for name in names] for points in range(10)]
        work = singly if one_by_one else contender.handle_many
        return timed((partial(work, batch) for batch in hits), 100)

    return chunk


def grow(contender: Contender, name: str, events: int) -> None:
    """A player of that many events, in a few appends."""
    contender.handle(CreatePlayer(name))
    for start in range(1, events, 1_000):
        contender.handle_many([Hit(name, 1) for _ in range(start, min(start + 1_000, events))])


def _created(handle: Handle, players: int) -> list[str]:
    names = [uuid4().hex for _ in range(players)]
    for name in names:
        handle(CreatePlayer(name))
    return names
