"""The peer, `eventsourcing`: the same game as it would be written with it, in each of its modes.

Its aggregates are addressed by an id derived from the name, as ours are; its events hold the same
fields. It stores no commands, so it writes one row per command (and one per snapshot) where the
floor writes two. SQLite: its own defaults for a file, WAL and `synchronous=FULL`. PostgreSQL: its
own defaults, but for a pool of as many connections as there are threads. Modes: `plain`;
`snapshots`, taken after every tenth event, as ours are by default; `cache`, its aggregate cache
with fast-forward and deep copies, as it is by default when given a size.
"""

# Where types are checked the peer need not be there.
# mypy: disallow-subclassing-any=False, disallow-untyped-decorators=False

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import sqlalchemy as sa
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError

from tests.benchmarks.game import CreatePlayer, Hit

PLAIN, SNAPSHOTS, CACHE = MODES = ("plain", "snapshots", "cache")


class PeerPlayer(Aggregate):
    @event("Created")
    def __init__(self, name: str) -> None:
        self.name = name
        self.hit_points = 1_000_000

    @staticmethod
    def create_id(name: str) -> UUID:
        return uuid5(NAMESPACE_URL, name)

    @event("WasHit")
    def hit(self, points: int) -> None:
        self.hit_points -= points


class Game(Application[UUID]):
    pass


class GameWithSnapshots(Application[UUID]):
    snapshotting_intervals = {PeerPlayer: 10}  # noqa: RUF012


class Peer:
    """One application in one mode; its threads share it."""

    def __init__(self, environment: dict[str, str], mode: str) -> None:
        if mode == CACHE:
            environment = {**environment, "AGGREGATE_CACHE_MAXSIZE": "1000"}
        game = GameWithSnapshots if mode == SNAPSHOTS else Game
        self._app = game(env=environment)

    def handle(self, command: CreatePlayer | Hit) -> None:
        while True:
            try:
                self._app.save(self._decide(command))
                return
            except IntegrityError:
                continue

    def handle_many(self, commands: Sequence[CreatePlayer | Hit]) -> None:
        """Several commands in one transaction: `save` takes several aggregates."""
        players: dict[str, Any] = {}
        for command in commands:
            players[command.name] = self._decide(command, players.get(command.name))
        self._app.save(*players.values())

    def _decide(self, command: CreatePlayer | Hit, player: Any = None) -> Any:
        if isinstance(command, CreatePlayer):
            return PeerPlayer(command.name)
        if player is None:
            player = self.fetch(command.name)
        player.hit(command.points)
        return player

    def fetch(self, name: str) -> Any:
        return self._app.repository.get(PeerPlayer.create_id(name))

    def close(self) -> None:
        self._app.close()


def sqlite_peer(path: Path, mode: str) -> Peer:
    return Peer({"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)}, mode)


def postgres_peer(url: str, mode: str, *, threads: int = 1) -> Peer:
    parts = sa.make_url(url)
    return Peer(
        {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": str(parts.database),
            "POSTGRES_HOST": str(parts.query["host"]),
            "POSTGRES_PORT": str(parts.query["port"]),
            "POSTGRES_USER": str(parts.username),
            "POSTGRES_PASSWORD": "",
            "POSTGRES_POOL_SIZE": str(max(5, threads)),
        },
        mode,
    )


def memory_peer(mode: str) -> Peer:
    return Peer({"PERSISTENCE_MODULE": "eventsourcing.popo"}, mode)
