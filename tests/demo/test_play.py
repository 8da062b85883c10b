"""How rows of a file of flights are understood."""

from datetime import datetime
from pathlib import Path

import pytest

from spry_sqla.demo.flights import CancelFlight, DepartFlight, LandFlight, ScheduleFlight
from spry_sqla.demo.play import (
    COLUMNS,
    FlightsUnreadable,
    Row,
    aircraft_commands,
    flight_commands,
    read_flights,
)

ON_TIME = {
    "year": "2013",
    "month": "1",
    "day": "1",
    "carrier": "UA",
    "flight": "1545",
    "origin": "EWR",
    "dest": "IAH",
    "tailnum": "N14228",
    "sched_dep_time": "515",
    "dep_time": "517",
    "sched_arr_time": "819",
    "arr_time": "830",
    "dep_delay": "2",
    "arr_delay": "11",
    "air_time": "227",
    "distance": "1400",
}


def read(folder: Path, *changes: dict[str, str]) -> list[Row]:
    """The rows of a file that differ from a flight on time as told."""
    rows = [{**ON_TIME, **change} for change in changes]
    lines = [",".join(row[column] for column in COLUMNS) for row in rows]
    file = folder / "flights.csv"
    file.write_text("\n".join([",".join(COLUMNS), *lines, ""]))
    return read_flights(file)


def test_a_number_is_hours_and_minutes(tmp_path: Path) -> None:
    (row,) = read(tmp_path, {})

    assert row.departs == datetime(2013, 1, 1, 5, 15)
    assert row.departed == datetime(2013, 1, 1, 5, 17)
    assert row.landed == datetime(2013, 1, 1, 8, 30)


@pytest.mark.parametrize(
    ("scheduled", "actual", "delay", "departed"),
    [
        ("2359", "30", "31", datetime(2013, 1, 2, 0, 30)),
        ("5", "2355", "-10", datetime(2012, 12, 31, 23, 55)),
        ("2300", "2400", "60", datetime(2013, 1, 2)),
        ("900", "641", "1301", datetime(2013, 1, 2, 6, 41)),
    ],
)
def test_a_departure_past_midnight(
    tmp_path: Path, scheduled: str, actual: str, delay: str, departed: datetime
) -> None:
    (row,) = read(
        tmp_path, {"sched_dep_time": scheduled, "dep_time": actual, "dep_delay": delay,
                   "sched_arr_time": "800", "arr_time": "NA", "arr_delay": "NA"}
    )  # fmt: skip

    assert row.departed == departed


@pytest.mark.parametrize(
    ("scheduled", "actual", "delay", "landed"),
    [
        ("400", "350", "-10", datetime(2013, 1, 2, 3, 50)),
        ("2355", "2400", "5", datetime(2013, 1, 2)),
        ("2355", "10", "15", datetime(2013, 1, 2, 0, 10)),
        ("2355", "110", "NA", datetime(2013, 1, 2, 1, 10)),
        ("2355", "2350", "NA", datetime(2013, 1, 1, 23, 50)),
    ],
)
def test_an_arrival_the_next_day(
    tmp_path: Path, scheduled: str, actual: str, delay: str, landed: datetime
) -> None:
    (row,) = read(
        tmp_path, {"sched_dep_time": "2100", "dep_time": "2102",
                   "sched_arr_time": scheduled, "arr_time": actual, "arr_delay": delay}
    )  # fmt: skip

    assert row.landed == landed


def test_rows_come_in_the_order_in_which_they_left_or_should_have(tmp_path: Path) -> None:
    rows = read(
        tmp_path,
        {"flight": "1", "dep_time": "600", "dep_delay": "45"},
        {"flight": "2", "dep_time": "NA", "sched_dep_time": "530", "dep_delay": "NA"},
        {"flight": "3"},
    )

    assert [row.flight.number for row in rows] == [3, 2, 1]


def test_the_commands_of_a_flight_that_is_flown(tmp_path: Path) -> None:
    (row,) = read(tmp_path, {})

    assert [type(command) for _, command in flight_commands(row)] == [
        ScheduleFlight,
        DepartFlight,
        LandFlight,
    ]
    assert [key for key, _ in aircraft_commands(row, set())] == [
        "N14228 register",
        "N14228 UA 1545 EWR 2013-01-01 fly",
    ]
    assert len(list(aircraft_commands(row, {"N14228"}))) == 1


def test_the_commands_of_a_flight_that_is_cancelled_with_no_aircraft_known(tmp_path: Path) -> None:
    unknown = {"dep_time": "NA", "dep_delay": "NA", "arr_time": "NA", "arr_delay": "NA"}
    (row,) = read(tmp_path, {**unknown, "tailnum": "NA"})

    assert [type(command) for _, command in flight_commands(row)] == [ScheduleFlight, CancelFlight]
    assert list(aircraft_commands(row, set())) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"month": "13"}, "month"),
        ({"flight": "x"}, "flight is 'x'"),
        ({"sched_dep_time": "2500"}, "not a time of day"),
        ({"dep_time": "565"}, "not a time of day"),
        ({"dep_delay": "3"}, "dep_time is not its scheduled time and its delay together"),
        ({"distance": "NA"}, "distance"),
        ({"carrier": "UA,UA"}, "cells"),
    ],
)
def test_a_row_that_cannot_be_understood(
    tmp_path: Path, change: dict[str, str], reason: str
) -> None:
    with pytest.raises(FlightsUnreadable, match=f"line 2: .*{reason}"):
        read(tmp_path, change)
