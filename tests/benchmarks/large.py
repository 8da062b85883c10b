"""What is large: `handle` with a million events stored, and the memory of a replay of a million.

Both are loaded in bulk with rows as the library writes them (`stock`).
"""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from tests.benchmarks.chunks import Size
from tests.benchmarks.game import Hit, Plain, Player
from tests.benchmarks.measure import Chunk, interleaved, timed
from tests.benchmarks.places import Contender, PostgresPlace, SqlitePlace
from tests.benchmarks.report import Row
from tests.benchmarks.stock import name_of

_EVENTS = 20
_FEW = 1_000


def stored(place: SqlitePlace | PostgresPlace, size: Size) -> Iterator[Row]:
    """`handle` on players drawn at random, of 20 events each: 1 M events stored against 1 k.

    Nothing is remembered, else the few would be, and most of the many not. The ratio is ours
    against ours; that of the floor is given beside it: what the database costs.
    """
    chunks: dict[str, Chunk] = {}
    for label, events in (("few", _FEW), ("many", size.stored)):
        ours = partial(place.ours, cache_size=0)
        for contender, make in (("ours", ours), ("floor", place.floor)):
            url = place.database()
            place.stock(url, Player, events // _EVENTS, _EVENTS)
            chunks[f"{contender}, {label}"] = _at_random(
                make(url, Player), events // _EVENTS, size.players * size.hits
            )
    times = interleaved(chunks, size.rounds)
    yield Row(
        f"handle, {size.stored:,} events stored; nothing remembered; 'floor' is ours at {_FEW:,}",
        place.name,
        times.ratio("ours, many", "ours, few"),
        1.2,
        context={"the same for the floor": times.ratio("floor, many", "floor, few")},
    )


def replay_memory(place: SqlitePlace | PostgresPlace, size: Size) -> Iterator[Row]:
    """The most memory that a process holds after a replay of 1 M events, against one of 10 k."""
    grown = []
    for events in (10_000, size.stored):
        url = place.database()
        place.stock(url, Plain, 1, events)
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.replaying", place.name, url, str(events)],
            check=True,
            capture_output=True,
            text=True,
        )
        grown.append(json.loads(done.stdout))
    few, many = grown
    yield Row(
        f"peak memory of a replay of {size.stored:,} events; 'floor' is ours at 10,000",
        place.name,
        many["peak"] / few["peak"],
        context={
            "MiB grown, few": few["grown"],
            "MiB grown, many": many["grown"],
            "MiB in all, many": many["peak"],
        },
    )


def _at_random(contender: Contender, players: int, operations: int) -> Chunk:
    draw = random.Random(1).randrange

    def chunk() -> list[float]:
        hits = [Hit(name_of(draw(players)), points) for points in range(operations)]
        return timed(partial(contender.handle, hit) for hit in hits)

    return chunk
