"""Code that must not pass: each marked line is an error for mypy and for basedpyright.

The text after the mark is a part of mypy's message, or its code.
"""

from dataclasses import dataclass

import sqlalchemy as sa

import spry_sqla as spry


@dataclass
class Player(spry.Actor):
    name: str = ""

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}


@dataclass
class Boat(spry.Actor):
    name: str = ""

    def identifiers(self) -> str:  # E: override
        return self.name


@dataclass(frozen=True)
class Create(spry.Command):
    name: str

    def identifiers(self) -> spry.Identifiers:
        return {"name": [self.name]}  # E: dict-item

    def handle(self, actor: object) -> spry.Decision:
        yield Created(self.name)


@dataclass(frozen=True)
class Alter(spry.Command):
    name: str

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}

    def handle(self, actor: object) -> spry.Decision:
        return self.name, self.name  # E: return-value


@dataclass(frozen=True)
class Remove(spry.Command):
    name: str

    def handle(self) -> spry.Decision:  # E: override
        yield Created(self.name)


@dataclass(frozen=True)
class Created(spry.Event):
    name: str

    def apply(self, actor: object) -> None:
        pass


@dataclass(frozen=True)
class Removed(spry.Event):
    def apply(self) -> None:  # E: override
        pass


def wrong(engine: sa.Engine) -> None:
    domain = spry.Domain(Player, Create, Created)
    spry.Domain(Player())  # E: arg-type
    spry.Storage("sqlite:///game.db", domain)  # E: arg-type
    spry.Storage(engine)  # E: call-arg
    spry.ActorMeta(frequency=3)  # E: call-arg

    players = spry.Storage(engine, domain).repository(Player)
    players.fetch(name="Ada").title  # E: attr-defined
    players.get(name="Ada").name  # E: union-attr
    players.handle(Create("Ada")).modified.title  # E: attr-defined
    players.handle(Created("Ada"))  # E: arg-type
    players.handle(Create("Ada"), "key")  # E: call-arg
    players.handle(Create("Ada"), idempotency_key=1)  # E: arg-type
    players.fetch(name=1.5)  # E: arg-type
    players.fetch(["Ada"])  # E: arg-type
    players.fetch(name="Ada", version="1")  # E: arg-type
    for entry in players.history(name="Ada"):
        entry.version = 2  # E: misc


async def wrong_async(engine: sa.Engine) -> None:
    storage = spry.AsyncStorage(engine, spry.Domain(Player))
    players = storage.repository(Player)
    players.fetch(name="Ada").name  # E: attr-defined
    for entry in players.history(name="Ada"):  # E: attr-defined
        pass
