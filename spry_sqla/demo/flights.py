"""The demo's domain: flights that are scheduled, leave, land or are cancelled, and their aircraft.

Times are those on the clocks of the airports, as published, without a zone: a departure on New
York's clock, an arrival on the clock of the destination. How rows of a file become commands is
left to `play`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import spry_sqla as spry


@dataclass(frozen=True)
class FlightNumber:
    """Which flight: a number is flown once a day from one airport."""

    carrier: str = ""
    number: int = 0
    origin: str = ""
    day: date = date.min

    def identifiers(self) -> spry.Identifiers:
        return {
            "carrier": self.carrier,
            "flight": self.number,
            "origin": self.origin,
            "date": self.day,
        }

    def __str__(self) -> str:
        return f"{self.carrier} {self.number} {self.origin} {self.day}"


# --- Flight ---------------------------------------------------------------------------------------


@dataclass
class Flight(spry.Actor):
    """One flight on one day."""

    flight: FlightNumber = FlightNumber()
    destination: str = ""
    departs: datetime | None = None
    arrives: datetime | None = None
    departed: datetime | None = None
    landed: datetime | None = None
    cancelled: bool = False

    def identifiers(self) -> spry.Identifiers:
        return self.flight.identifiers()

    @property
    def delay(self) -> timedelta | None:
        """How long after its time it left; negative when it left early."""
        if self.departs is None or self.departed is None:
            return None
        return self.departed - self.departs


@dataclass(frozen=True)
class ScheduleFlight(spry.Command):
    """Put a flight on the timetable."""

    flight: FlightNumber
    destination: str
    departs: datetime
    arrives: datetime

    def identifiers(self) -> spry.Identifiers:
        return self.flight.identifiers()

    def handle(self, actor: object) -> Iterator[spry.Event | Exception]:
        match actor:
            case Flight(departs=None):
                yield FlightScheduled(self.flight, self.destination, self.departs, self.arrives)
            case Flight():
                yield spry.Rejected(f"{self.flight} is scheduled already")


@dataclass(frozen=True)
class DepartFlight(spry.Command):
    """Let a flight leave."""

    flight: FlightNumber
    at: datetime

    def identifiers(self) -> spry.Identifiers:
        return self.flight.identifiers()

    def handle(self, actor: object) -> Iterator[spry.Event | Exception]:
        match actor:
            case Flight(departs=None):
                yield spry.Rejected(f"{self.flight} is not scheduled")
            case Flight(cancelled=True):
                yield spry.Rejected(f"{self.flight} is cancelled and cannot depart")
            case Flight(departed=None):
                yield FlightDeparted(self.at)
            case Flight():
                yield spry.Rejected(f"{self.flight} has departed already")


@dataclass(frozen=True)
class LandFlight(spry.Command):
    """Let a flight arrive."""

    flight: FlightNumber
    at: datetime

    def identifiers(self) -> spry.Identifiers:
        return self.flight.identifiers()

    def handle(self, actor: object) -> Iterator[spry.Event | Exception]:
        match actor:
            case Flight(departed=None):
                yield spry.Rejected(f"{self.flight} has not departed and cannot land")
            case Flight(landed=None):
                yield FlightLanded(self.at)
            case Flight():
                yield spry.Rejected(f"{self.flight} has landed already")


@dataclass(frozen=True)
class CancelFlight(spry.Command):
    """Take a flight off."""

    flight: FlightNumber

    def identifiers(self) -> spry.Identifiers:
        return self.flight.identifiers()

    def handle(self, actor: object) -> Iterator[spry.Event | Exception]:
        match actor:
            case Flight(departs=None):
                yield spry.Rejected(f"{self.flight} is not scheduled")
            case Flight(cancelled=True):
                yield spry.Rejected(f"{self.flight} is cancelled already")
            case Flight(departed=None):
                yield FlightCancelled()
            case Flight():
                yield spry.Rejected(f"{self.flight} has departed and cannot be cancelled")


@dataclass(frozen=True)
class FlightScheduled(spry.Event):
    flight: FlightNumber
    destination: str
    departs: datetime
    arrives: datetime

    def apply(self, actor: object) -> None:
        match actor:
            case Flight():
                actor.flight, actor.destination = self.flight, self.destination
                actor.departs, actor.arrives = self.departs, self.arrives


@dataclass(frozen=True)
class FlightDeparted(spry.Event):
    at: datetime

    def apply(self, actor: object) -> None:
        match actor:
            case Flight():
                actor.departed = self.at


@dataclass(frozen=True)
class FlightLanded(spry.Event):
    at: datetime

    def apply(self, actor: object) -> None:
        match actor:
            case Flight():
                actor.landed = self.at


@dataclass(frozen=True)
class FlightCancelled(spry.Event):
    def apply(self, actor: object) -> None:
        match actor:
            case Flight():
                actor.cancelled = True


# --- Aircraft -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Leg:
    """A flight away from New York: when it left, and for how long it was in the air, if known."""

    flight: FlightNumber
    destination: str
    departed: datetime
    minutes: int | None

    @property
    def back(self) -> datetime:
        """The earliest that the aircraft can leave New York again.

        It has to fly back, and the wind is never so good that this takes less than half as long.
        """
        return self.departed + 1.5 * timedelta(minutes=self.minutes or 0)

    def excludes(self, other: "Leg") -> bool:
        """Whether no aircraft can have flown both."""
        return self.departed < other.back and other.departed < self.back


@dataclass
class Aircraft(spry.Actor):
    """An aircraft, known by its tail number."""

    tail: str = ""
    miles: int = 0
    legs: list[Leg] = field(default_factory=list)

    def identifiers(self) -> spry.Identifiers:
        return {"tail": self.tail}


@dataclass(frozen=True)
class RegisterAircraft(spry.Command):
    """Enter an aircraft that is seen for the first time."""

    tail: str

    def identifiers(self) -> spry.Identifiers:
        return {"tail": self.tail}

    def handle(self, actor: object) -> Iterator[spry.Event | Exception]:
        match actor:
            case Aircraft(tail=""):
                yield AircraftRegistered(self.tail)
            case Aircraft():
                yield spry.Rejected(f"{self.tail} is registered already")


@dataclass(frozen=True)
class FlyLeg(spry.Command):
    """Record that an aircraft flew a flight."""

    tail: str
    leg: Leg
    miles: int

    def identifiers(self) -> spry.Identifiers:
        return {"tail": self.tail}

    def handle(self, actor: object) -> Iterator[spry.Event | Exception]:
        match actor:
            case Aircraft(tail=""):
                yield spry.Rejected(f"{self.tail} is not registered")
            case Aircraft():
                flown = next((leg for leg in actor.legs if leg.excludes(self.leg)), None)
                if flown is None:
                    yield LegFlown(self.leg, self.miles)
                else:
                    yield spry.Rejected(
                        f"{self.tail} cannot have left for {self.leg.destination} as "
                        f"{self.leg.flight} at {self.leg.departed:%H:%M}: it left for "
                        f"{flown.destination} at {flown.departed:%H:%M} and cannot be back "
                        f"before {flown.back:%H:%M}"
                    )


@dataclass(frozen=True)
class AircraftRegistered(spry.Event):
    tail: str

    def apply(self, actor: object) -> None:
        match actor:
            case Aircraft():
                actor.tail = self.tail


@dataclass(frozen=True)
class LegFlown(spry.Event):
    leg: Leg
    miles: int

    def apply(self, actor: object) -> None:
        match actor:
            case Aircraft():
                actor.legs.append(self.leg)
                actor.miles += self.miles


domain = spry.Domain(
    *(Flight, ScheduleFlight, DepartFlight, LandFlight, CancelFlight),
    *(FlightScheduled, FlightDeparted, FlightLanded, FlightCancelled),
    *(Aircraft, RegisterAircraft, FlyLeg, AircraftRegistered, LegFlown),
)
