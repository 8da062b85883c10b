"""Measure and print ratios; needs the peer, which comes with `pip install .[benchmark]`.

The table holds ratios only, each measured interleaved with what it is a ratio of. `--quick` does
less of everything, to see that it works; its ratios are rough.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks import cases, large, report
from tests.benchmarks.chunks import QUICK, Size
from tests.benchmarks.places import MemoryPlace, PostgresPlace, SqlitePlace
from tests.postgres import PostgresServer

Case = Callable[[Any, Size], Iterator[report.Row]]

CASES: dict[str, Case] = {
    "handle": cases.handle,
    "async": cases.handle_async,
    "fetch": cases.fetch,
    "snapshot": cases.fetch_snapshot,
    "threads": cases.threads,
    "many": cases.handle_many,
    "stored": large.stored,
    "memory": large.replay_memory,
}
_IN_MEMORY = ("handle",)


def main() -> None:
    arguments = _arguments()
    size = QUICK if arguments.quick else Size()
    with tempfile.TemporaryDirectory(prefix="spry-benchmarks-") as folder:
        server = PostgresServer()
        server.start()
        try:
            places = [SqlitePlace(Path(folder)), PostgresPlace(server), MemoryPlace()]
            rows = list(_measured(arguments.only or list(CASES), arguments.place, places, size))
        finally:
            server.stop()
    if arguments.json:
        arguments.json.write_text(report.as_json(rows) + "\n")
    if arguments.markdown:
        print(report.markdown(rows))
    else:
        report.show(rows)
    print(report.context(rows))


def _measured(
    names: list[str], wanted: str | None, places: list[Any], size: Size
) -> Iterator[report.Row]:
    for name in names:
        for place in places:
            if (wanted and place.name.lower() != wanted) or (
                isinstance(place, MemoryPlace) and name not in _IN_MEMORY
            ):
                continue
            for row in CASES[name](place, size):
                print(" | ".join(row.cells()), file=sys.stderr, flush=True)
                yield row


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--only", action="append", choices=CASES, help="may be given repeatedly")
    parser.add_argument("--place", choices=["sqlite", "postgresql", "memory"])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    parser.add_argument("--markdown", action="store_true", help="print the table of the docs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
