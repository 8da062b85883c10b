"""The box office of docs/examples on a database: its commands, its server, what is stored."""

import json
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import sqlalchemy as sa

from tests.examples.server import ROOT, Server, environment
from tests.faults.locks import outside, pids
from tests.faults.waiting import LONG, until
from tests.processes import SECONDS

PROJECT = ROOT / "docs" / "examples" / "box-office"

Number: TypeAlias = tuple[str, int]
"""A show's title, and the number of an order."""


class Office:
    """A box office on an empty database, not migrated and not started."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.engine = sa.create_engine(url, poolclass=sa.NullPool)
        self.log = folder / "log"
        self._url = url.replace("sqlite:", "sqlite+aiosqlite:")
        self._server: Server | None = None

    @property
    def on_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def alembic(self, *arguments: str) -> str:
        """Run the `alembic` command, as a user does; what it printed."""
        done = subprocess.run(
            ["alembic", *arguments], cwd=PROJECT, env=environment(DATABASE_URL=self._url),
            capture_output=True, text=True, check=False, timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self) -> Server:
        """Start it, in a process of its own."""
        command = ["uvicorn", "box_office.app:app", "--no-access-log"]
        self._server = Server(command, PROJECT, self.log, {"DATABASE_URL": self._url})
        return self._server

    def client(self) -> httpx.Client:
        """A client of the server, which is started where it does not run."""
        server = self._server or self.start()
        # Without `verify`, which reads all certificates of this world, for http as well.
        return httpx.Client(base_url=server.url(), timeout=LONG, trust_env=False, verify=False)

    def kill(self) -> None:
        """Kill the server, with SIGKILL."""
        assert self._server is not None
        self._server.kill()
        self._server = None

    def until_let_go(self) -> None:
        """Return when nothing of a killed server is under way in the database any more."""
        if not self.on_sqlite:
            with outside(self.url, autocommit=True) as watcher:
                until(lambda: not pids(watcher), "the sessions of the dead are gone")

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
        self.engine.dispose()

    def ledger(self) -> "Ledger":
        """What is stored, as one transaction sees it."""
        postgresql = not self.on_sqlite
        with self.engine.connect() as connection:
            begin = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ" if postgresql else "BEGIN"
            connection.exec_driver_sql(begin)
            events, commands, rows = (
                connection.exec_driver_sql(query).all() for query in (EVENTS, COMMANDS, ROWS)
            )
            connection.rollback()
        return Ledger(
            [
                Event(actor, sequence, command, kind, json.loads(content))
                for actor, sequence, command, kind, content in events
            ],
            {str(command): key for command, key in commands},
            [Row(*row) for row in rows],
        )


# What is stored -----------------------------------------------------------------------------------

EVENTS = """
    SELECT CAST(actor_id AS VARCHAR), sequence, CAST(command_id AS VARCHAR), type,
           CAST(content AS VARCHAR)
    FROM show_events ORDER BY id
"""
COMMANDS = "SELECT CAST(id AS VARCHAR), idempotency_key FROM show_commands"
ROWS = "SELECT show, number, customer_id, tickets, taken_back FROM orders"


@dataclass(frozen=True)
class Event:
    actor: str
    sequence: int
    command: str
    type: str
    content: dict[str, Any]


@dataclass(frozen=True)
class Row:
    show: str
    number: int
    customer_id: int
    tickets: int
    taken_back: bool


@dataclass
class Show:
    title: str
    seats: int


@dataclass(frozen=True)
class Ledger:
    """Events of the shows, keys of their commands by id, and rows of orders."""

    events: list[Event]
    commands: dict[str, str | None]
    rows: list[Row]

    @property
    def orders(self) -> dict[Number, Row]:
        return {(row.show, row.number): row for row in self.rows}

    @property
    def keys(self) -> list[str]:
        return sorted(key for key in self.commands.values() if key is not None)

    def check(self) -> "Ledger":
        """Each stream is 1..n, each command has its event, no show is oversold; and the rows are
        those that follow from the events, all of them and no others."""
        shows: dict[str, Show] = {}
        lengths: dict[str, int] = defaultdict(int)
        expected: dict[Number, Row] = {}
        for event in self.events:
            lengths[event.actor] += 1
            assert event.sequence == lengths[event.actor], "a hole, or a repetition"
            content = event.content
            if event.type == "ShowAnnounced":
                shows[event.actor] = Show(content["title"], content["seats"])
                continue
            show = shows[event.actor]
            number = (show.title, content["order"])
            if event.type == "TicketsSold":
                assert number not in expected, "one number for two orders"
                show.seats -= content["tickets"]
                assert show.seats >= 0, "more tickets than seats"
                expected[number] = Row(*number, content["customer"], content["tickets"], False)
            else:
                sold = expected[number]
                assert not sold.taken_back, "taken back twice"
                show.seats += sold.tickets
                expected[number] = Row(*number, sold.customer_id, sold.tickets, True)
        of_events = sorted(event.command for event in self.events)
        assert of_events == sorted(self.commands), "a command without its event, or the reverse"
        assert self.orders == expected, "rows and events do not agree"
        return self
