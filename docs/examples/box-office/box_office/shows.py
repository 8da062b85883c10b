"""The rule of the house: of a show no more tickets are sold than it has seats.

Nothing here knows of HTTP or of a database.
"""

from dataclasses import dataclass, field

import spry_sqla as spry


class NotThere(spry.Rejected):
    """There is no such show, or no such order."""


@dataclass
class Show(spry.Actor):
    """A show, and the tickets that are sold for it by the number of their order."""

    title: str = ""
    seats: int = 0
    orders: int = 0
    sold: dict[int, int] = field(default_factory=dict)

    def identifiers(self) -> spry.Identifiers:
        return {"title": self.title}

    @property
    def left(self) -> int:
        return self.seats - sum(self.sold.values())


# Commands -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AnnounceShow(spry.Command):
    title: str
    seats: int

    def identifiers(self) -> spry.Identifiers:
        return {"title": self.title}

    def handle(self, show: Show) -> spry.Decision:
        if show.title:
            return spry.Rejected(f"{show.title} is announced already")
        return ShowAnnounced(self.title, self.seats)


@dataclass(frozen=True)
class SellTickets(spry.Command):
    title: str
    customer: int
    tickets: int

    def identifiers(self) -> spry.Identifiers:
        return {"title": self.title}

    def handle(self, show: Show) -> spry.Decision:
        if not show.title:
            return NotThere(f"there is no show {self.title}")
        if self.tickets > show.left:
            return spry.Rejected(f"{show.title} has {show.left} seats left")
        return TicketsSold(show.orders + 1, self.customer, self.tickets)


@dataclass(frozen=True)
class TakeTicketsBack(spry.Command):
    title: str
    order: int

    def identifiers(self) -> spry.Identifiers:
        return {"title": self.title}

    def handle(self, show: Show) -> spry.Decision:
        if not 1 <= self.order <= show.orders:
            return NotThere(f"{self.title} has no order {self.order}")
        if self.order not in show.sold:
            return None  # they are back already
        return TicketsTakenBack(self.order)


# Events -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShowAnnounced(spry.Event):
    title: str
    seats: int

    def apply(self, show: Show) -> None:
        show.title, show.seats = self.title, self.seats


@dataclass(frozen=True)
class TicketsSold(spry.Event):
    order: int
    customer: int
    tickets: int

    def apply(self, show: Show) -> None:
        show.orders = self.order
        show.sold[self.order] = self.tickets


@dataclass(frozen=True)
class TicketsTakenBack(spry.Event):
    order: int

    def apply(self, show: Show) -> None:
        del show.sold[self.order]


domain = spry.Domain(
    Show, AnnounceShow, SellTickets, TakeTicketsBack, ShowAnnounced, TicketsSold, TicketsTakenBack
)
