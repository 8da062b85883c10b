"""Reads a file of flights and plays it: each row becomes commands with idempotency keys.

The keys are what makes a play repeatable: a second one, or one that goes on after the first was
stopped at whatever moment, gets the first outcomes and stores nothing twice. Figures are left to
`report`.
"""

import csv
import gzip
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeAlias, TypeVar

import spry_sqla as spry
from spry_sqla.demo import flights

COLUMNS = (
    *("year", "month", "day", "carrier", "flight", "origin", "dest", "tailnum"),
    *("sched_dep_time", "dep_time", "sched_arr_time", "arr_time", "dep_delay", "arr_delay"),
    *("air_time", "distance"),
)
UNKNOWN = "NA"
DAY = timedelta(days=1)
BATCH = 50
"""Rows whose commands are handled and stored together."""

A = TypeVar("A")


class FlightsUnreadable(Exception):
    """The file of flights cannot be read, or does not hold what it should."""


@dataclass(frozen=True, slots=True)
class Row:
    """One flight, as the file has it. None is what the file does not know."""

    line: int
    flight: flights.FlightNumber
    destination: str
    tail: str | None
    departs: datetime
    arrives: datetime
    departed: datetime | None
    landed: datetime | None
    delay: int | None
    """Minutes from `departs` to `departed`, as published."""
    minutes: int | None
    """Minutes in the air."""
    miles: int


# --- Reading --------------------------------------------------------------------------------------


def read_flights(path: Path) -> list[Row]:
    """Read a file of flights (CSV, or CSV.gz), in the order in which they left or should have.

    Raises FlightsUnreadable where the file is not there, lacks columns, or has a row that cannot
    be understood; the message names the line.
    """
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig", newline="")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8-sig", newline="")
        ) as text:
            rows = list(_rows(text, path))
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise FlightsUnreadable(f"cannot read {path}: {reason}") from error
    if not rows:
        raise FlightsUnreadable(f"{path} holds no flights")
    return sorted(rows, key=lambda row: (row.departed or row.departs, row.line))


def _rows(lines: Iterator[str], path: Path) -> Iterator[Row]:
    reader = csv.DictReader(lines)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise FlightsUnreadable(f"{path} lacks the columns {', '.join(missing)}")
    for cells in reader:
        try:
            if None in cells or None in cells.values():
                raise ValueError("it has not as many cells as there are columns")
            yield _row(reader.line_num, cells)
        except (ValueError, OverflowError) as error:
            raise FlightsUnreadable(f"{path}, line {reader.line_num}: {error}") from error


def _row(line: int, cells: dict[str, str]) -> Row:
    midnight = datetime(_number(cells, "year"), _number(cells, "month"), _number(cells, "day"))
    departs = midnight + _clock(cells, "sched_dep_time")
    arrives = midnight + _clock(cells, "sched_arr_time")
    if arrives < departs:
        arrives += timedelta(days=1)
    delay = _number_if_known(cells, "dep_delay")
    departed = _moment(cells, "dep_time", departs, delay, not_before=departs - timedelta(hours=12))
    landed = None
    if departed is not None:
        # Not known of a flight that landed elsewhere first.
        late = _number_if_known(cells, "arr_delay")
        landed = _moment(cells, "arr_time", arrives, late, not_before=departed)
    return Row(
        line=line,
        flight=flights.FlightNumber(
            cells["carrier"], _number(cells, "flight"), cells["origin"], midnight.date()
        ),
        destination=cells["dest"],
        tail=cells["tailnum"] if _known(cells, "tailnum") else None,
        departs=departs,
        arrives=arrives,
        departed=departed,
        landed=landed,
        delay=delay,
        minutes=_number_if_known(cells, "air_time"),
        miles=_number(cells, "distance"),
    )


def _known(cells: dict[str, str], column: str) -> bool:
    return cells[column] not in ("", UNKNOWN)


def _number(cells: dict[str, str], column: str) -> int:
    try:
        return int(cells[column])
    except ValueError:
        raise ValueError(f"{column} is {cells[column]!r}, which is not a number") from None


def _number_if_known(cells: dict[str, str], column: str) -> int | None:
    return _number(cells, column) if _known(cells, column) else None


def _clock(cells: dict[str, str], column: str) -> timedelta:
    """Time since midnight, from hours and minutes in one number: 517 is 05:17, 2400 is 24:00."""
    hours, minutes = divmod(_number(cells, column), 100)
    time = timedelta(hours=hours, minutes=minutes)
    if not (timedelta() <= time <= DAY and minutes < 60):
        raise ValueError(f"{column} is {cells[column]!r}, which is not a time of day")
    return time


def _moment(
    cells: dict[str, str],
    column: str,
    scheduled: datetime,
    delay: int | None,
    not_before: datetime,
) -> datetime | None:
    """The day and time that a clock time means: its delay tells the day, or else it comes next."""
    if not _known(cells, column):
        return None
    earliest = not_before if delay is None else scheduled + timedelta(minutes=delay)
    since_midnight = earliest - earliest.replace(hour=0, minute=0)
    moment = earliest + (_clock(cells, column) - since_midnight) % DAY
    if delay is not None and moment != earliest:
        raise ValueError(f"{column} is not its scheduled time and its delay together")
    return moment


# --- Playing --------------------------------------------------------------------------------------

Command: TypeAlias = (
    flights.ScheduleFlight
    | flights.DepartFlight
    | flights.LandFlight
    | flights.CancelFlight
    | flights.RegisterAircraft
    | flights.FlyLeg
)


@dataclass(slots=True)
class Tally:
    """What became of the commands, by the name of their type."""

    handled: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)

    def add(self, command: Command, errors: Sequence[Exception]) -> None:
        name = type(command).__name__
        self.handled[name] += 1
        self.accepted[name] += not errors
        self.rejected[name] += bool(errors)
        self.reasons.extend(map(str, errors))


def flight_commands(row: Row) -> Iterator[tuple[str, Command]]:
    """The commands for the flight of a row, each with its idempotency key."""
    flight = row.flight
    yield (
        f"{flight} schedule",
        flights.ScheduleFlight(flight, row.destination, row.departs, row.arrives),
    )
    if row.departed is None:
        yield f"{flight} cancel", flights.CancelFlight(flight)
    else:
        yield f"{flight} depart", flights.DepartFlight(flight, row.departed)
    if row.landed is not None:
        yield f"{flight} land", flights.LandFlight(flight, row.landed)


def aircraft_commands(row: Row, seen: set[str]) -> Iterator[tuple[str, Command]]:
    """The commands for the aircraft of a row; none where the file does not know it.

    `seen` holds the tail numbers that were registered by rows before, and gets this one.
    """
    if row.tail is None:
        return
    if row.tail not in seen:
        seen.add(row.tail)
        yield f"{row.tail} register", flights.RegisterAircraft(row.tail)
    if row.departed is not None:
        leg = flights.Leg(row.flight, row.destination, row.departed, row.minutes)
        yield f"{row.tail} {row.flight} fly", flights.FlyLeg(row.tail, leg, row.miles)


def play(storage: spry.Storage, rows: Sequence[Row], file: str, tally: Tally) -> Iterator[int]:
    """Hand the commands of the rows to the repositories, batch by batch.

    Outcomes are added to `tally`; yields how many rows each batch had, when it is stored.
    """
    of_flights = storage.repository(flights.Flight)
    of_aircraft = storage.repository(flights.Aircraft)
    seen: set[str] = set()
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        of_flight = [pair for row in batch for pair in flight_commands(row)]
        of_tail = [pair for row in batch for pair in aircraft_commands(row, seen)]
        _handle(of_flights, of_flight, file, tally)
        _handle(of_aircraft, of_tail, file, tally)
        yield len(batch)


def _handle(
    repository: spry.Repository[A], commands: list[tuple[str, Command]], file: str, tally: Tally
) -> None:
    """Handle commands with their keys: in one batch, or each alone where one of them cannot be.

    A key that was used for another command (the file now says something else than what was played
    before) counts as rejected.
    """
    metadata = {"file": file}
    keys = [key for key, _ in commands]
    try:
        results = repository.handle_many(
            [command for _, command in commands], idempotency_keys=keys, metadata=metadata
        )
    except spry.KeyReused:
        pass
    else:
        for (_, command), result in zip(commands, results, strict=True):
            tally.add(command, result.errors)
        return
    for key, command in commands:
        try:
            errors = repository.handle(command, idempotency_key=key, metadata=metadata).errors
        except spry.KeyReused:
            errors = [spry.Rejected(f"{key}: another file said something else of it before")]
        tally.add(command, errors)
