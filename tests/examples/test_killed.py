"""The box office is killed by SIGKILL in the middle of requests, and started again.

What it had answered is there; of every other request the row and the event are both there, or
neither is; and who got no answer sends the request again with its key and gets one order.
"""

import itertools
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from tests.examples.moments import MOMENTS, in_the_commit
from tests.examples.office import Number, Office
from tests.faults.waiting import until

LIVES = 3
CLIENTS = 6
SHOWS = ("Medea", "Elektra")


@dataclass(frozen=True)
class Request:
    """An order that a client wants, under a key of its own."""

    show: str
    customer: int
    tickets: int
    key: str

    def send(self, client: httpx.Client) -> Number:
        answer = client.post(
            f"/shows/{self.show}/orders",
            json={"customer_id": self.customer, "tickets": self.tickets},
            headers={"Idempotency-Key": self.key},
        )
        assert answer.status_code == 201, answer.text
        order = answer.json()
        assert (order["customer_id"], order["tickets"]) == (self.customer, self.tickets)
        return order["show"], order["number"]


def open_show(office: Office, title: str) -> int:
    """Announce a show with more seats than anyone wants; a customer."""
    with office.client() as client:
        announced = client.post("/shows", json={"title": title, "seats": 100_000})
        made = client.post("/customers", json={"name": "Ada", "email": f"{title}@x.org"})
        assert (announced.status_code, made.status_code) == (201, 201)
        return int(made.json()["id"])


# At a moment that is chosen -----------------------------------------------------------------------


def test_killed_at_a_moment_that_is_chosen_it_keeps_both_or_neither(office: Office) -> None:
    for moment in MOMENTS[office.engine.dialect.name]:
        title = moment.__name__
        request = Request(title, open_show(office, title), 3, key=title)

        with office.client() as client, ThreadPoolExecutor(1) as thread:
            with moment(office.url) as is_reached:
                answer = thread.submit(request.send, client)
                until(is_reached, f"a request is held {title}")
                office.kill()
            with pytest.raises(httpx.TransportError):
                answer.result()
        office.until_let_go()

        ledger = office.ledger().check()
        rows = [row for row in ledger.rows if row.show == title]
        assert len(rows) == ledger.keys.count(title)
        if moment is not in_the_commit:
            assert rows == []
        with office.client() as client:
            assert request.send(client) == (title, 1)
        assert office.ledger().check().keys.count(title) == 1


# At moments of chance -----------------------------------------------------------------------------


@dataclass
class Crowd:
    """Clients who order and bring back until the server is gone, and what they were answered."""

    customer: int
    life: int
    ordered: dict[Number, Request] = field(default_factory=dict)
    brought_back: set[Number] = field(default_factory=set)
    unanswered: list[Request] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    @contextmanager
    def at_work(self, office: Office) -> Iterator[None]:
        """In the block they are at it; who kills the server ends their work."""
        clients = [office.client() for _ in range(CLIENTS)]
        threads = [
            threading.Thread(target=self._order, args=(number, client))
            for number, client in enumerate(clients)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for thread in threads:
                thread.join()
            for client in clients:
                client.close()
        assert self.failures == []

    def until_served(self, count: int) -> None:
        """Return when as many orders were answered."""
        until(lambda: len(self.ordered) >= count or self.failures, "orders are answered")

    def _order(self, number: int, client: httpx.Client) -> None:
        try:
            for each in itertools.count():
                key = f"{self.life}.{number}.{each}"
                request = Request(SHOWS[each % 2], self.customer, 1 + each % 4, key)
                try:
                    order = request.send(client)
                except httpx.TransportError:
                    self.unanswered.append(request)
                    return
                self.ordered[order] = request
                if each % 3 == 0:
                    client.delete(f"/shows/{order[0]}/orders/{order[1]}").raise_for_status()
                    self.brought_back.add(order)
        except httpx.TransportError:
            pass
        except BaseException as error:  # noqa: BLE001  (it is raised by the test)
            self.failures.append(error)


@pytest.mark.long
def test_killed_at_any_moment_rows_and_events_agree(office: Office, thorough: bool) -> None:
    customer, *_ = [open_show(office, title) for title in SHOWS]
    chance = random.Random(5)
    ordered: dict[Number, Request] = {}
    brought_back: set[Number] = set()
    unanswered: list[Request] = []

    for life in range(10 * LIVES if thorough else LIVES):
        crowd = Crowd(customer, life)
        with crowd.at_work(office):
            crowd.until_served(chance.choice([0, 3, 10, 30]))
            moment = time.perf_counter() + chance.random() * 0.05
            while time.perf_counter() < moment:
                pass
            office.kill()
        office.until_let_go()

        ledger = office.ledger().check()
        ordered |= crowd.ordered
        brought_back |= crowd.brought_back
        assert {order: ledger.orders[order].tickets for order in ordered} == {
            order: request.tickets for order, request in ordered.items()
        }
        assert all(ledger.orders[order].taken_back for order in brought_back)
        assert {request.key for request in ordered.values()} <= set(ledger.keys)

        with office.client() as client:
            for request in crowd.unanswered:
                order = request.send(client)
                assert order not in ordered
                ordered[order] = request
        unanswered += crowd.unanswered

    assert unanswered, "nobody was waiting for an answer"
    ledger = office.ledger().check()
    of_the_crowds = [row for row in ledger.rows if row.show in SHOWS]
    assert {(row.show, row.number) for row in of_the_crowds} == set(ordered)
    assert sorted(request.key for request in ordered.values()) == [
        key for key in ledger.keys if key[0].isdigit()
    ]
    with office.client() as client:
        for title in SHOWS:
            sold = sum(row.tickets for row in of_the_crowds
                       if row.show == title and not row.taken_back)  # fmt: skip
            assert client.get(f"/shows/{title}").json()["left"] == 100_000 - sold
