"""An account whose number may be of any type that identifies, and whose money is exact."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from uuid import UUID

import spry_sqla as spry


class Branch(Enum):
    NORTH = "north"
    SOUTH = 2


Number = str | int | bool | UUID | date | datetime | Decimal | Branch


@dataclass
class Account(spry.Actor):
    meta = spry.ActorMeta(snapshot_frequency=2)
    number: Number = ""
    balance: Decimal = Decimal(0)
    notes: dict[str, list[str]] = field(default_factory=dict)

    def identifiers(self) -> spry.Identifiers:
        return {"number": self.number}


@dataclass(frozen=True)
class Pay(spry.Command):
    number: Number
    amount: Decimal
    note: str = ""

    def identifiers(self) -> spry.Identifiers:
        return {"number": self.number}

    def handle(self, actor: object) -> spry.Decision:
        match actor:
            case Account(balance=balance) if balance + self.amount < 0:
                yield spry.Rejected("the account does not hold that much")
            case Account():
                yield Paid(self.number, self.amount, self.note)


@dataclass(frozen=True)
class Paid(spry.Event):
    number: Number
    amount: Decimal
    note: str

    def apply(self, actor: object) -> None:
        match actor:
            case Account():
                actor.number = self.number
                actor.balance += self.amount
                actor.notes.setdefault("paid", []).append(self.note)


@cache
def domain() -> spry.Domain:
    return spry.Domain(Account, Pay, Paid)
