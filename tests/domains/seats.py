"""A seat has a row and a number: two identifiers, in any order."""

from dataclasses import dataclass
from functools import cache

import spry_sqla as spry


@dataclass
class Seat(spry.Actor):
    row: int = 0
    number: str = ""
    reserved: int = 0

    def identifiers(self) -> spry.Identifiers:
        return {"row": self.row, "number": self.number}


@dataclass(frozen=True)
class Reserve(spry.Command):
    row: int
    number: str
    first: str

    def identifiers(self) -> spry.Identifiers:
        if self.first == "row":
            return {"row": self.row, "number": self.number}
        return {"number": self.number, "row": self.row}

    def handle(self, actor: object) -> spry.Decision:
        yield Reserved(self.row, self.number)


@dataclass(frozen=True)
class Reserved(spry.Event):
    row: int
    number: str

    def apply(self, actor: object) -> None:
        match actor:
            case Seat():
                actor.row, actor.number = self.row, self.number
                actor.reserved += 1


@cache
def domain() -> spry.Domain:
    return spry.Domain(Seat, Reserve, Reserved)
