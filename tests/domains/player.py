"""The game of the design: players are made, hit, renamed; some commands are meant to go wrong."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache

import spry_sqla as spry


@dataclass
class Player(spry.Actor):
    name: str = ""
    hit_points: int = 0
    wounds: list[int] = field(default_factory=list)

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}


@dataclass(frozen=True)
class OfPlayer(spry.Command):
    name: str

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}


@dataclass(frozen=True)
class CreatePlayer(OfPlayer):
    """Yields one event, or an error where the name is taken."""

    def handle(self, actor: object) -> spry.Decision:
        match actor:
            case Player(name=""):
                yield PlayerCreated(self.name)
            case Player():
                yield spry.Rejected("the name is taken")


@dataclass(frozen=True)
class Hit(OfPlayer):
    """Returns one event; an error where there is nobody; None where there is nothing to do."""

    points: int

    def handle(self, actor: object) -> spry.Decision:
        match actor:
            case Player(name=""):
                return spry.Rejected("there is nobody to hit")
            case Player() if self.points:
                return PlayerHit(self.points)
        return None


@dataclass(frozen=True)
class Beat(OfPlayer):
    """Returns a list of any number of events."""

    blows: tuple[int, ...]

    def handle(self, actor: object) -> spry.Decision:
        match actor:
            case Player(name=""):
                return [spry.Rejected("there is nobody to beat"), spry.Rejected("be gentle")]
        return [PlayerHit(points) for points in self.blows]


@dataclass(frozen=True)
class Rename(OfPlayer):
    """Gives a player another name, and asks nobody whether it is taken."""

    to: str

    def handle(self, actor: object) -> spry.Decision:
        match actor:
            case Player(name=""):
                yield spry.Rejected("there is nobody to rename")
            case Player(name=name) if name != self.to:
                yield PlayerRenamed(self.to)


@dataclass(frozen=True)
class Curse(OfPlayer):
    """Does what a decision must not do: it changes the actor it was given."""

    deadly: bool

    def handle(self, actor: object) -> Iterator[spry.Event | Exception]:
        assert isinstance(actor, Player)
        actor.name = "cursed"
        actor.wounds.append(666)
        if self.deadly and actor.hit_points:
            yield PlayerHit(actor.hit_points)


@dataclass(frozen=True)
class Stumble(OfPlayer):
    """Has a bug: it gives an event, and raises."""

    def handle(self, actor: object) -> Iterator[spry.Event | Exception]:
        yield PlayerHit(1)
        raise ZeroDivisionError("a bug of the application")


@dataclass(frozen=True)
class Weigh(OfPlayer):
    """Carries a value that can perhaps not be kept."""

    weight: Decimal

    def handle(self, actor: object) -> spry.Decision:
        return None


@dataclass(frozen=True)
class PlayerCreated(spry.Event):
    name: str

    def apply(self, actor: object) -> None:
        match actor:
            case Player():
                actor.name, actor.hit_points = self.name, 100


@dataclass(frozen=True)
class PlayerHit(spry.Event):
    points: int

    def apply(self, actor: object) -> None:
        match actor:
            case Player():
                actor.hit_points = max(0, actor.hit_points - self.points)
                actor.wounds.append(self.points)


@dataclass(frozen=True)
class PlayerRenamed(spry.Event):
    name: str

    def apply(self, actor: object) -> None:
        match actor:
            case Player():
                actor.name = self.name


TYPES = (
    *(Player, CreatePlayer, Hit, Beat, Rename, Curse, Stumble, Weigh),
    *(PlayerCreated, PlayerHit, PlayerRenamed),
)


@cache
def domain(meta: spry.ActorMeta = spry.ActorMeta()) -> spry.Domain:  # noqa: B008  (it is frozen)
    """The domain, its snapshots taken as `meta` says: what another release of the code would be."""
    usual, Player.meta = Player.meta, meta
    try:
        made = spry.Domain(*TYPES)
        made.prepare()
    finally:
        Player.meta = usual
    return made
