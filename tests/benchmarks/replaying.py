"""A process of its own: replays a player and prints how much memory that took, in MiB.

`grown` is how far the greatest resident size rose during the replay, `peak` what it then was.
"""

import json
import resource
import sys
from pathlib import Path

import sqlalchemy as sa

import spry_sqla as spry
from tests.benchmarks.game import Plain, new_domain
from tests.benchmarks.stock import name_of


def main(place: str, url: str, events: str) -> None:
    engine = spry.sqlite_engine(url) if place == "SQLite" else sa.create_engine(url)
    players = spry.Storage(engine, new_domain()).repository(Plain)
    players.fetch(name="nobody")
    before = _peak()
    player = players.fetch(name=name_of(0))
    assert player.hit_points == 1_000_000 - (int(events) - 1)
    print(json.dumps({"grown": _peak() - before, "peak": _peak()}))


def _peak() -> float:
    # Of the two only /proc begins anew with the program: `ru_maxrss` is at first what the process
    # held that started this one.
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (each for each in status.read_text().splitlines() if each.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
