"""The domain of the benchmarks: players that are hit, with snapshots and without."""

from collections.abc import Iterator
from dataclasses import dataclass

import spry_sqla as spry


@dataclass
class Player(spry.Actor):
    """Snapshots as they are by default: after every tenth event."""

    name: str = ""
    hit_points: int = 0

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}


@dataclass
class Plain(spry.Actor):
    """The same without snapshots: every event is replayed."""

    meta = spry.ActorMeta(snapshot_during_write=False)
    name: str = ""
    hit_points: int = 0

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}


State = Player | Plain


@dataclass(frozen=True)
class CreatePlayer(spry.Command):
    name: str

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}

    def handle(self, actor: State) -> Iterator[spry.Event | Exception]:
        if actor.name:
            yield spry.Rejected("the name is taken")
        else:
            yield PlayerCreated(self.name)


@dataclass(frozen=True)
class Hit(spry.Command):
    name: str
    points: int

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}

    def handle(self, actor: State) -> Iterator[spry.Event | Exception]:
        if not actor.name:
            yield spry.Rejected("there is no such player")
        else:
            yield PlayerHit(self.points)


@dataclass(frozen=True)
class PlayerCreated(spry.Event):
    name: str

    def apply(self, actor: State) -> None:
        actor.name, actor.hit_points = self.name, 1_000_000


@dataclass(frozen=True)
class PlayerHit(spry.Event):
    points: int

    def apply(self, actor: State) -> None:
        actor.hit_points -= self.points


def new_domain() -> spry.Domain:
    """A domain of its own for each contender, so that nothing is shared but the code."""
    return spry.Domain(Player, Plain, CreatePlayer, Hit, PlayerCreated, PlayerHit)
