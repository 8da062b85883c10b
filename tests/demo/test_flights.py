"""The rules of the demo's domain."""

from datetime import date, datetime, timedelta

import pytest

import spry_sqla as spry
from spry_sqla.demo.flights import (
    Aircraft,
    CancelFlight,
    DepartFlight,
    Flight,
    FlightNumber,
    FlyLeg,
    LandFlight,
    Leg,
    RegisterAircraft,
    ScheduleFlight,
    domain,
)

UA_1545 = FlightNumber("UA", 1545, "EWR", date(2013, 1, 1))
SCHEDULE = ScheduleFlight(UA_1545, "IAH", datetime(2013, 1, 1, 5, 15), datetime(2013, 1, 1, 8, 19))
DEPART = DepartFlight(UA_1545, datetime(2013, 1, 1, 5, 17))
LAND = LandFlight(UA_1545, datetime(2013, 1, 1, 8, 30))
CANCEL = CancelFlight(UA_1545)


@pytest.fixture
def storage() -> spry.MemoryStorage:
    return spry.MemoryStorage(domain)


def test_a_flight_from_timetable_to_landing(storage: spry.MemoryStorage) -> None:
    flights = storage.repository(Flight)

    flights.handle(SCHEDULE).unwrap()
    flights.handle(DEPART).unwrap()
    flight = flights.handle(LAND).unwrap()

    assert (flight.destination, flight.landed, flight.cancelled) == ("IAH", LAND.at, False)
    assert flight.delay == timedelta(minutes=2)


@pytest.mark.parametrize(
    ("before", "command", "reason"),
    [
        ([SCHEDULE], SCHEDULE, "is scheduled already"),
        ([], DEPART, "is not scheduled"),
        ([], CANCEL, "is not scheduled"),
        ([], LAND, "has not departed"),
        ([SCHEDULE], LAND, "has not departed"),
        ([SCHEDULE, CANCEL], DEPART, "is cancelled and cannot depart"),
        ([SCHEDULE, CANCEL], CANCEL, "is cancelled already"),
        ([SCHEDULE, CANCEL], LAND, "has not departed"),
        ([SCHEDULE, DEPART], DEPART, "has departed already"),
        ([SCHEDULE, DEPART], CANCEL, "has departed and cannot be cancelled"),
        ([SCHEDULE, DEPART, LAND], LAND, "has landed already"),
    ],
)
def test_what_cannot_be_is_rejected(
    storage: spry.MemoryStorage,
    before: list[spry.Command],
    command: spry.Command,
    reason: str,
) -> None:
    flights = storage.repository(Flight)
    for earlier in before:
        flights.handle(earlier).unwrap()

    result = flights.handle(command)

    assert [type(error) for error in result.errors] == [spry.Rejected]
    assert reason in str(result.errors[0])
    assert result.modified == result.original


def leg(destination: str, hour: int, minutes: int | None) -> FlyLeg:
    flight = FlightNumber("UA", hour, "EWR", date(2013, 1, 1))
    return FlyLeg("N14228", Leg(flight, destination, datetime(2013, 1, 1, hour), minutes), 1400)


def test_an_aircraft_flies_one_leg_after_another(storage: spry.MemoryStorage) -> None:
    aircraft = storage.repository(Aircraft)
    aircraft.handle(RegisterAircraft("N14228")).unwrap()

    aircraft.handle(leg("IAH", 5, 227)).unwrap()
    state = aircraft.handle(leg("ORD", 12, None)).unwrap()

    assert (len(state.legs), state.miles) == (2, 2800)


def test_an_aircraft_is_registered_once_and_before_it_flies(storage: spry.MemoryStorage) -> None:
    aircraft = storage.repository(Aircraft)

    assert not aircraft.handle(leg("IAH", 5, 227)).ok
    assert aircraft.handle(RegisterAircraft("N14228")).ok
    assert not aircraft.handle(RegisterAircraft("N14228")).ok


@pytest.mark.parametrize("hours", [(5, 10), (10, 5)])
def test_an_aircraft_cannot_leave_before_it_can_be_back_in_whatever_order_one_hears_of_it(
    storage: spry.MemoryStorage, hours: tuple[int, int]
) -> None:
    aircraft = storage.repository(Aircraft)
    aircraft.handle(RegisterAircraft("N14228")).unwrap()
    aircraft.handle(leg("IAH", hours[0], 227)).unwrap()

    result = aircraft.handle(leg("ORD", hours[1], 227))

    assert "N14228 cannot have left for ORD" in str(result.errors[0])
