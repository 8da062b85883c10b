"""What is measured, and how. A case is a function of a place; it gives rows of the table.

`handle`: players that were just created are hit in turn, so that streams have 1 to 20 events and
every contender writes its snapshots while they grow; the least, the mean and the most of what a
load finds is the same for all. Peers are given all their modes, and the fastest is compared.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy.ext.asyncio import AsyncEngine

from tests.benchmarks.chunks import (
    THREADS,
    Handle,
    Size,
    batches,
    crowd,
    fetching,
    grow,
    hitting,
    hitting_async,
)
from tests.benchmarks.game import Hit, Plain, Player
from tests.benchmarks.measure import Times, interleaved
from tests.benchmarks.peer import CACHE, MODES, PLAIN, SNAPSHOTS
from tests.benchmarks.places import Place, PostgresPlace, SqlitePlace
from tests.benchmarks.report import Row

LOADING = "nothing remembered"
"""Ours with `cache_size=0`."""


def handle(place: Place, size: Size) -> Iterator[Row]:
    """One command after another on players with 1 to 20 events."""
    goals = {"SQLite": (1.5, 1.6), "PostgreSQL": (1.35, 2.0), "memory": (None, None)}
    floor_goal, peer_goal = goals[place.name]
    contenders = {"floor": hitting(place.floor(place.database(), Player).handle, size)}
    for mode in MODES:
        contenders[mode] = hitting(place.peer(mode).handle, size)
    contenders["ours"] = hitting(place.ours(place.database(), Player).handle, size)
    loading = place.ours(place.database(), Player, cache_size=0)
    contenders[LOADING] = hitting(loading.handle, size)
    times = interleaved(contenders, size.rounds)
    yield _row("handle", place.name, times, floor_goal, peer_goal)
    yield _row("handle", place.name, times, who=LOADING)


def handle_async(place: SqlitePlace | PostgresPlace, size: Size) -> Iterator[Row]:
    """The same, awaited one after another; the floor is the synchronous one."""
    with asyncio.Runner() as runner:
        chunks = {
            "floor": hitting(place.floor(place.database(), Player).handle, size),
            "sync": hitting(place.ours(place.database(), Player).handle, size),
        }
        ways = place.ours_async(Player)
        for name, (repository, _, _) in ways.items():
            chunks[name] = hitting_async(repository.handle, size, runner)
        times = interleaved(chunks, size.rounds)
        for name, (_, engine, goal) in ways.items():
            if isinstance(engine, AsyncEngine):
                runner.run(engine.dispose())
            yield Row(
                f"handle, async ({name})",
                place.name,
                times.ratio(name, "floor"),
                goal,
                context={"of ours, sync": times.ratio(name, "sync")},
            )


def fetch(place: Place, size: Size) -> Iterator[Row]:
    """A player of 10, 100 and 1,000 events, every one of them replayed; so does the peer."""
    floor = place.floor(place.database(), Plain)
    ours, peer = place.ours(place.database(), Plain), place.peer(PLAIN)
    loading = place.ours(place.database(), Plain, cache_size=0)
    for events in (10, 100, 1_000):
        for contender in (floor, ours, loading, peer):
            grow(contender, f"n{events}", events)
        contenders = {
            "floor": fetching(floor, f"n{events}", events),
            PLAIN: fetching(peer, f"n{events}", events),
            "ours": fetching(ours, f"n{events}", events),
            LOADING: fetching(loading, f"n{events}", events),
        }
        times = interleaved(contenders, size.rounds)
        goals = (1.5, 5.0) if events == 100 else (None, None)
        work = f"fetch, {events:,} events, no snapshot"
        yield _row(work, place.name, times, *goals)
        yield _row(work, place.name, times, who=LOADING)


def fetch_snapshot(place: Place, size: Size) -> Iterator[Row]:
    """A player with a snapshot and 5 events after it; of 10,000 also against a floor with 10."""
    floor, ten = place.floor(place.database(), Player), place.floor(place.database(), Plain)
    ours = place.ours(place.database(), Player)
    loading = place.ours(place.database(), Player, cache_size=0)
    peers = {mode: place.peer(mode) for mode in (SNAPSHOTS, CACHE)}
    grow(ten, "ten", 10)
    for events in (10, 100, 1_000, 10_000):
        name = f"n{events}"
        contenders = {}
        all_of_them = {"floor": floor, **peers, "ours": ours, LOADING: loading}
        for label, contender in all_of_them.items():
            grow(contender, name, events)
            for points in range(5):
                contender.handle(Hit(name, points))
            contenders[label] = fetching(contender, name, 10)
        contenders["ten"] = fetching(ten, "ten", 10)
        times = interleaved(contenders, size.rounds)
        work = f"fetch, {events:,} events, snapshot"
        peer_goal = 3.0 if events == 10_000 else None
        yield _row(work, place.name, times, peer_goal=peer_goal)
        yield _row(work, place.name, times, who=LOADING)
        if events == 10_000:
            ratio = times.ratio("ours", "ten")
            work = "fetch, 10,000 events, snapshot; floor replays 10"
            yield Row(work, place.name, ratio, 1.5)


def threads(place: Place, size: Size) -> Iterator[Row]:
    """8 threads, each on its own player, then all on one; who comes second decides again."""
    goals = (1.5, 5.0) if place.name == "PostgreSQL" else (None, None)
    url = place.database()
    floors = [place.floor(url, Player).handle for _ in range(THREADS)]
    ours = place.ours(place.database(), Player, threads=THREADS).handle
    peers: dict[str, Handle] = {mode: place.peer(mode, threads=THREADS).handle for mode in MODES}
    with ThreadPoolExecutor(THREADS) as pool:
        for work, one, goal in (
            ("8 threads on distinct actors", False, goals),
            ("8 threads on one actor", True, (None, None)),
        ):
            times = interleaved(
                {
                    "floor": crowd(floors, pool, size, one=one),
                    **{mode: crowd([peers[mode]] * THREADS, pool, size, one=one) for mode in MODES},
                    "ours": crowd([ours] * THREADS, pool, size, one=one),
                },
                max(3, size.rounds // 3),
            )
            yield _row(work, place.name, times, *goal)


def handle_many(place: Place, size: Size) -> Iterator[Row]:
    """1,000 commands on 100 players, 100 at a time, each of another player.

    The peer has no batch of commands. It is measured twice: saving after every command, and, by
    hand, saving 100 aggregates in one transaction; the goal is against the first.
    """
    peers = {mode: place.peer(mode) for mode in MODES}
    by_hand = {f"{mode}, by hand": place.peer(mode) for mode in MODES}
    times = interleaved(
        {
            "floor": batches(place.floor(place.database(), Player)),
            **{mode: batches(peer, one_by_one=True) for mode, peer in peers.items()},
            **{mode: batches(peer) for mode, peer in by_hand.items()},
            "ours": batches(place.ours(place.database(), Player)),
        },
        max(3, size.rounds // 4),
    )
    yield _row("handle_many, 1,000 in batches of 100", place.name, times, None, 10.0)
    best = times.fastest(list(by_hand))
    yield Row("the same; peer saves 100 aggregates at once", place.name,
              peer=times.ratio(best, "ours"), peer_mode=best)  # fmt: skip


def _row(
    work: str,
    where: str,
    times: Times,
    floor_goal: float | None = None,
    peer_goal: float | None = None,
    who: str = "ours",
) -> Row:
    best = times.fastest([mode for mode in MODES if mode in times.rounds])
    return Row(
        work if who == "ours" else f"{work}; {who}",
        where,
        times.ratio(who, "floor"),
        floor_goal,
        times.ratio(best, who),
        peer_goal,
        best,
        {"floor/s": times.rate("floor")},
    )
