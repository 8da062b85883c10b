"""Measure and print ratios; needs the peer, which comes with `pip install .[benchmark]`.

The table holds ratios only, each measured interleaved with what it is a ratio of. `--quick` does
less of everything, to see that it works; its ratios are rough.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from tests.benchmarks import cases, large, report
from tests.benchmarks.chunks import QUICK, Size
from tests.benchmarks.places import MemoryPlace, Place, PostgresPlace, SqlitePlace
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
    # `timeout` and the like end a run by a signal that would leave the server and the files behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    size = QUICK if arguments.quick else Size()
    rows = []
    with ExitStack() as stack:
        for name, place in _chosen(arguments, stack):
            for row in CASES[name](place, size):
                print(" | ".join(row.cells()), file=sys.stderr, flush=True)
                rows.append(row)
    if arguments.json:
        arguments.json.write_text(report.as_json(rows) + "\n")
    if arguments.markdown:
        print(report.markdown(rows))
    else:
        report.show(rows)
    print(report.context(rows))


def _chosen(arguments: argparse.Namespace, stack: ExitStack) -> Iterator[tuple[str, Place]]:
    """The cases, each in its places; a place is made when it is first needed."""
    made: dict[str, Place] = {}
    for name in arguments.only or CASES:
        for where in arguments.place or PLACES:
            if where != "memory" or name in _IN_MEMORY:
                if where not in made:
                    made[where] = stack.enter_context(PLACES[where]())
                yield name, made[where]


@contextmanager
def _sqlite() -> Iterator[SqlitePlace]:
    with tempfile.TemporaryDirectory(prefix="spry-benchmarks-") as folder:
        yield SqlitePlace(Path(folder))


@contextmanager
def _postgresql() -> Iterator[PostgresPlace]:
    server = PostgresServer()
    server.start()
    try:
        yield PostgresPlace(server)
    finally:
        server.stop()


PLACES: dict[str, Callable[[], AbstractContextManager[Place]]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "memory": lambda: nullcontext(MemoryPlace()),
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--only", action="append", choices=CASES, help="may be given repeatedly")
    parser.add_argument("--place", action="append", choices=PLACES, help="may be given repeatedly")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there, too")
    parser.add_argument("--markdown", action="store_true", help="print the table of the docs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
