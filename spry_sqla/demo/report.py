"""What the demo shows at the end: figures from replayed actors beside those of the file.

Nothing is taken from tables of its own: each actor is fetched, that is replayed from its events.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

import spry_sqla as spry
from spry_sqla.demo import flights
from spry_sqla.demo.play import Row, Tally

COMMANDS = (
    flights.ScheduleFlight,
    flights.DepartFlight,
    flights.LandFlight,
    flights.CancelFlight,
    flights.RegisterAircraft,
    flights.FlyLeg,
)


@dataclass(slots=True)
class Figures:
    """What can be said about some flights."""

    scheduled: int = 0
    cancelled: int = 0
    departed: int = 0
    landed: int = 0
    delay: timedelta = timedelta()
    """The departure delays of all that departed, together."""
    aircraft: int = 0

    @property
    def mean_delay(self) -> float:
        """The mean departure delay in minutes; 0.0 where nothing departed."""
        return self.delay / timedelta(minutes=1) / self.departed if self.departed else 0.0

    def lines(self) -> Iterator[tuple[str, str]]:
        """Each figure by its name, as text."""
        yield "flights scheduled", f"{self.scheduled:,}"
        yield "cancelled", f"{self.cancelled:,}"
        yield "departed", f"{self.departed:,}"
        yield "landed", f"{self.landed:,}"
        yield "departed, no arrival time", f"{self.departed - self.landed:,}"
        yield "mean departure delay, minutes", f"{self.mean_delay:.2f}"
        yield "aircraft seen", f"{self.aircraft:,}"


def figures_of_file(rows: Iterable[Row]) -> Figures:
    """The figures as the file has them."""
    figures = Figures()
    tails = set()
    for row in rows:
        figures.scheduled += 1
        figures.cancelled += row.departed is None
        figures.departed += row.departed is not None
        figures.landed += row.landed is not None
        figures.delay += timedelta(minutes=row.delay or 0)
        tails.add(row.tail)
    figures.aircraft = len(tails - {None})
    return figures


def replay(
    storage: spry.Storage, rows: Sequence[Row], tails: Sequence[str], figures: Figures
) -> Iterator[None]:
    """Replay each flight and each aircraft, one a step, and add it to `figures`."""
    of_flights = storage.repository(flights.Flight)
    for row in rows:
        flight = of_flights.fetch(row.flight.identifiers())
        figures.scheduled += flight.departs is not None
        figures.cancelled += flight.cancelled
        figures.departed += flight.departed is not None
        figures.landed += flight.landed is not None
        figures.delay += flight.delay or timedelta()
        yield
    of_aircraft = storage.repository(flights.Aircraft)
    for tail in tails:
        figures.aircraft += of_aircraft.fetch(tail=tail).tail == tail
        yield


def tails_of(rows: Iterable[Row]) -> list[str]:
    """The tail numbers in a file, each once."""
    return list(dict.fromkeys(row.tail for row in rows if row.tail is not None))


def commands_stored(engine: sa.Engine) -> dict[str, int]:
    """How many commands of each type the database holds."""
    stored: dict[str, int] = {}
    with engine.connect() as connection:
        for name in ("flight_commands", "aircraft_commands"):
            column = flights.domain.metadata.tables[name].c.type
            counts = sa.select(column, sa.func.count()).group_by(column)
            stored.update((kind, count) for kind, count in connection.execute(counts))
    return stored


def show(
    console: Console,
    tally: Tally,
    stored: dict[str, int],
    file: Figures,
    replayed: Figures,
) -> None:
    """Print what was handled, and the figures of the file beside those of the replayed actors."""
    table = Table("command", title="Commands", title_justify="left")
    for name in ("handled", "stored", "already there", "rejected"):
        table.add_column(name, justify="right")
    totals = [0, 0, 0, 0]
    for command in COMMANDS:
        name = command.__name__
        new = stored.get(name, 0)
        row = [
            tally.handled[name],
            new,
            tally.accepted[name] - new,
            tally.rejected[name],
        ]
        totals = [total + value for total, value in zip(totals, row, strict=True)]
        table.add_row(name, *(f"{value:,}" for value in row))
    table.add_section()
    table.add_row("together", *(f"{value:,}" for value in totals))
    console.print(table)
    for reason in tally.reasons[:5]:
        console.print(f"Rejected: {reason}", highlight=False, markup=False, soft_wrap=True)
    if len(tally.reasons) > 5:
        console.print(f"… and {len(tally.reasons) - 5:,} more", highlight=False)

    table = Table("figure", title="Figures", title_justify="left")
    table.add_column("in the file", justify="right")
    table.add_column("replayed", justify="right")
    for (name, expected), (_, found) in zip(file.lines(), replayed.lines(), strict=True):
        table.add_row(name, expected, found, style=None if expected == found else "bold red")
    console.print(table)
