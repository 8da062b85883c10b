"""The demo from end to end: read the file, play it, replay the actors, show both.

Stopped at any moment, it goes on where it was at the next run: what is stored is stored whole,
and the keys of the commands tell what that is.
"""

import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import spry_sqla as spry
from spry_sqla.demo import flights, report
from spry_sqla.demo.play import Tally, play, read_flights

DAY = "flights-2013-01-01.csv"


class DatabaseUnusable(Exception):
    """The URL names no database that the demo can run on."""


def run(database: str, file: Path | None, console: Console) -> bool:
    """Play a file (None for the day that the package carries); tell whether the figures agree.

    Raises FlightsUnreadable and DatabaseUnusable before anything is stored; else what SQLAlchemy
    and spry_sqla raise.
    """
    if file is None:
        with resources.as_file(resources.files("spry_sqla.demo") / DAY) as day:
            rows = read_flights(day)
    else:
        rows = read_flights(file)
    name = DAY if file is None else file.name
    engine = _engine(database)
    flights.domain.metadata.create_all(engine)
    tally, replayed = Tally(), report.Figures()
    tails = report.tails_of(rows)
    before = report.commands_stored(engine)
    with (
        spry.Storage(engine, flights.domain) as storage,
        _stoppable() as stop_if_asked,
        _progress(console) as progress,
    ):
        playing = progress.add_task(f"Playing {name}", total=len(rows))
        for count in play(storage, rows, name, tally):
            progress.advance(playing, count)
            stop_if_asked()
        replaying = progress.add_task("Replaying actors", total=len(rows) + len(tails))
        for _ in report.replay(storage, rows, tails, replayed):
            progress.advance(replaying)
            stop_if_asked()
    after = report.commands_stored(engine)
    engine.dispose()

    stored = {kind: count - before.get(kind, 0) for kind, count in after.items()}
    expected = report.figures_of_file(rows)
    report.show(console, tally, stored, expected, replayed)
    for line in _where(engine.url):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return expected == replayed


def _engine(database: str) -> sa.Engine:
    looks = "it looks like sqlite:///flights.db or postgresql+psycopg://user@host/name"
    try:
        url = sa.make_url(database)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise DatabaseUnusable(f"the URL of the database cannot be read; {looks}") from error
    kind = url.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise DatabaseUnusable(f"the demo does not run on {kind}; give another URL: {looks}")
    if url.drivername in ("sqlite", "sqlite+pysqlite") and not url.query:
        return spry.sqlite_engine(url.database or ":memory:")
    try:
        engine = sa.create_engine(url)
    except sa.exc.NoSuchModuleError as error:
        raise DatabaseUnusable(f"there is no driver {url.drivername}; {looks}") from error
    except ImportError as error:
        raise DatabaseUnusable(
            f"the driver of {url.drivername} is not installed ({error}); for PostgreSQL: "
            "pip install 'spry-sqla[postgresql]', and a URL that begins with postgresql+psycopg://"
        ) from error
    if engine.dialect.is_async:
        raise DatabaseUnusable(f"the demo runs without asyncio: {url.drivername} does not; {looks}")
    return engine


@contextmanager
def _stoppable() -> Iterator[Callable[[], None]]:
    """Gives a function that raises KeyboardInterrupt where Ctrl-C was pressed before.

    Python raises it wherever it is: when that is a callback of the garbage collector, it is told
    and forgotten, which Python 3.13 did with one in five. Pressed again, it is raised there.
    """
    pressed: list[int] = []

    def note(number: int, _: object) -> None:
        if pressed:
            raise KeyboardInterrupt
        pressed.append(number)

    def stop_if_asked() -> None:
        if pressed:
            raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # such as ignored, in the background
        yield stop_if_asked
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield stop_if_asked
    finally:
        signal.signal(signal.SIGINT, before)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _where(url: sa.URL) -> list[str]:
    query = "SELECT type, content FROM flight_events LIMIT 5"
    shown = url.render_as_string(hide_password=True)
    if url.get_backend_name() == "postgresql":
        address = sa.URL.create(
            "postgresql",
            username=url.username,
            host=url.host,
            port=url.port,
            database=url.database,
            query=url.query,
        ).render_as_string()
        return [
            f"The data lies in {shown}; look at it:",
            f'  psql {shlex.quote(address)} -c "{query}"',
        ]
    if url.database in (None, "", ":memory:"):
        return ["The data lay in memory and is gone; give --database to keep it."]
    return [
        f"The data lies in {url.database}; look at it:",
        f'  sqlite3 {shlex.quote(url.database)} "{query}"',
    ]
