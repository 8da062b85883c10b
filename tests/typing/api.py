"""Code as a user writes it: mypy --strict and basedpyright (strict) must find nothing in it.

It is read by the checkers, never run. `assert_type` says what a user's editor should show.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import assert_type

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

import spry_sqla as spry

# --- A domain, in the styles that the library takes ---------------------------------------------


@dataclass
class Player(spry.Actor):
    name: str = ""
    hit_points: int = 0
    bag: list[str] = field(default_factory=list[str])

    meta = spry.ActorMeta(snapshot_frequency=5, snapshot_during_read=True)

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}


@dataclass(frozen=True)
class Account(spry.Actor):
    number: int = 0
    balance: Decimal = Decimal(0)

    def identifiers(self) -> spry.Identifiers:
        return {"number": self.number}


@dataclass(frozen=True)
class CreatePlayer(spry.Command):
    name: str

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}

    def handle(self, actor: object) -> spry.Decision:
        match actor:
            case Player(name=""):
                yield PlayerCreated(self.name)
            case Player():
                yield spry.Rejected("the name is taken")
            case _:
                pass


@dataclass(frozen=True)
class Deposit(spry.Command, name="Paid in", version=2, aliases=["PayIn"]):
    number: int
    amount: Decimal

    def identifiers(self) -> spry.Identifiers:
        return {"number": self.number}

    def handle(self, actor: Account) -> spry.Decision:
        if self.amount <= 0:
            return spry.Rejected("an amount is more than nothing")
        return [Deposited(self.number, self.amount)]


@dataclass(frozen=True)
class Rename:
    """Inherits nothing, names its parameter itself, and says exactly what it yields."""

    name: str

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}

    def handle(self, player: Player) -> "Iterator[PlayerRenamed]":
        yield PlayerRenamed(player.name + "!")


@dataclass(frozen=True)
class Leave(spry.Command):
    name: str

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}

    def handle(self, player: Player) -> Iterable[spry.Event | Exception]:
        return (PlayerCreated(name) for name in player.name)


@dataclass(frozen=True)
class PlayerCreated(spry.Event, version=2):
    name: str

    def apply(self, actor: object) -> None:
        match actor:
            case Player():
                actor.name, actor.hit_points = self.name, 100
            case _:
                pass


@dataclass(frozen=True)
class Deposited(spry.Event):
    number: int
    amount: Decimal

    def apply(self, actor: object) -> object:
        match actor:
            case Account():
                return Account(self.number, actor.balance + self.amount)
            case _:
                return actor


@spry.stored(name="Renamed", version=1)
@dataclass(frozen=True)
class PlayerRenamed:
    """Inherits nothing: it is accepted for its methods."""

    name: str

    def apply(self, actor: Player) -> None:
        actor.name = self.name


domain = spry.Domain(
    Player, Account, CreatePlayer, Deposit, PlayerCreated, Deposited, PlayerRenamed
)
assert_type(domain.metadata, sa.MetaData)

# --- Sync -----------------------------------------------------------------------------------------


def plainly(engine: sa.Engine) -> None:
    domain.metadata.create_all(engine)
    storage = spry.Storage(engine, domain)
    players = storage.repository(Player)
    assert_type(players, spry.Repository[Player])

    result = players.handle(
        CreatePlayer("Ada"), idempotency_key="1", metadata={"user": "eve", "at": datetime.now(UTC)}
    )
    assert_type(result, spry.Results[Player])
    assert_type(result.unwrap(), Player)
    assert_type(result.original, Player)
    assert_type(result.modified.bag, list[str])
    assert_type(result.ok, bool)
    assert_type(result.errors, list[Exception])

    assert_type(players.handle_many([CreatePlayer("Ada")]), list[spry.Results[Player]])
    assert_type(players.fetch(name="Ada"), Player)
    assert_type(players.fetch({"name": "Ada"}), Player)
    assert_type(players.fetch(name="Ada", at=datetime.now(UTC)), Player)
    assert_type(players.fetch({"name": "Ada"}, version=3), Player)
    assert_type(players.get(name="Ada"), Player | None)
    assert_type(players.exists(name="Ada"), bool)
    assert_type(players.actors(), Iterator[dict[str, spry.Scalar]])
    for entry in players.history(name="Ada"):
        assert_type(entry, spry.HistoryEntry)
        assert_type(entry.version, int)
        assert_type(entry.time, datetime)

    accounts = storage.repository(Account)
    assert_type(accounts.fetch(number=1).balance, Decimal)
    storage.close()


def in_memory() -> None:
    players = spry.MemoryStorage(domain).repository(Player)
    assert_type(players.fetch(name="Ada"), Player)
    try:
        players.handle(CreatePlayer("Ada")).unwrap()
    except (spry.KeyReused, spry.ConcurrencyError, spry.SpryError) as error:
        print(error)


# --- Async ----------------------------------------------------------------------------------------


async def awaiting() -> None:
    engine = create_async_engine("postgresql+psycopg://localhost/game")
    async with spry.AsyncStorage(engine, domain) as storage:
        players = storage.repository(Player)
        assert_type(players, spry.AsyncRepository[Player])
        result = await players.handle(CreatePlayer("Ada"), idempotency_key="1")
        assert_type(result, spry.Results[Player])
        many = await players.handle_many([CreatePlayer("Ada")])
        assert_type(many, list[spry.Results[Player]])
        assert_type(await players.fetch(name="Ada"), Player)
        assert_type(await players.get({"name": "Ada"}), Player | None)
        assert_type(await players.exists(name="Ada"), bool)
        assert_type(players.actors(), AsyncIterator[dict[str, spry.Scalar]])
        async for entry in players.history(name="Ada"):
            assert_type(entry, spry.HistoryEntry)


async def awaiting_in_threads(engine: sa.Engine) -> None:
    storage = spry.AsyncStorage(engine, domain)
    await storage.check()
    await storage.close()
    memory = spry.AsyncMemoryStorage(domain)
    assert_type(await memory.repository(Account).fetch(number=1), Account)


asyncio.run(awaiting())
