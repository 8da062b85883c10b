"""The domain that the kit plays with: an account, a tally, a parcel, a box.

Small enough to be known by heart, and with something of everything: state that is changed and state
that is replaced, commands of one event, of many and of none, rules that say no, bugs.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any
from uuid import UUID

import spry_sqla as spry

# An account: state that is changed ---------------------------------------------------------------


@dataclass
class Account(spry.Actor):
    owner: str = ""
    balance: int = 0
    entries: list[int] = field(default_factory=list)

    def identifiers(self) -> spry.Identifiers:
        return {"owner": self.owner}


@dataclass(frozen=True)
class OfAccount(spry.Command):
    owner: str

    def identifiers(self) -> spry.Identifiers:
        return {"owner": self.owner}


@dataclass(frozen=True)
class Open(OfAccount):
    """One event; an error where there is one already."""

    def handle(self, actor: object) -> spry.Decision:
        match actor:
            case Account(owner=""):
                yield Opened(self.owner)
            case Account():
                yield spry.Rejected("the account is open already")


@dataclass(frozen=True)
class Deposit(OfAccount):
    """One event for each amount, for anybody; None where there is no amount."""

    amounts: tuple[int, ...]

    def handle(self, actor: object) -> spry.Decision:
        return [Deposited(self.owner, amount) for amount in self.amounts] or None


@dataclass(frozen=True)
class DepositEach(OfAccount):
    """One event for each amount of a range: thousands, from a command that is small."""

    first: int
    end: int
    by: int = 1

    def handle(self, actor: object) -> spry.Decision:
        return [Deposited(self.owner, amount) for amount in self.amounts] or None

    @property
    def amounts(self) -> range:
        """What is deposited."""
        return range(self.first, self.end, self.by)


@dataclass(frozen=True)
class Withdraw(OfAccount):
    """One event, or two errors where the account does not hold so much."""

    amount: int

    def handle(self, actor: object) -> spry.Decision:
        match actor:
            case Account(balance=balance) if balance < self.amount:
                return [
                    spry.Rejected("the account does not hold that much"),
                    spry.Rejected("sorry"),
                ]
        return Withdrawn(self.amount)


@dataclass(frozen=True)
class Rename(OfAccount):
    """Gives an account another owner, and asks nobody whether that one has an account."""

    to: str

    def handle(self, actor: object) -> spry.Decision:
        match actor:
            case Account(owner=""):
                yield spry.Rejected("there is no account to rename")
            case Account(owner=owner) if owner != self.to:
                yield Renamed(self.to)


@dataclass(frozen=True)
class Meddle(OfAccount):
    """Does what a decision must not do: it changes the actor that it was given."""

    then_deposit: int

    def handle(self, actor: object) -> Iterator[spry.Event | Exception]:
        assert isinstance(actor, Account)
        actor.owner = "meddled with"
        actor.entries.append(666)
        if self.then_deposit:
            yield Deposited(self.owner, self.then_deposit)


@dataclass(frozen=True)
class Stumble(OfAccount):
    """Has a bug: it gives an event, and raises."""

    def handle(self, actor: object) -> Iterator[spry.Event | Exception]:
        yield Deposited(self.owner, 1)
        raise ZeroDivisionError("a bug of the application")


@dataclass(frozen=True)
class Hesitate(OfAccount):
    """Deposits; while it decides, something else happens: see `meanwhile`."""

    amount: int

    def handle(self, actor: object) -> spry.Decision:
        for happen in _meanwhile:
            happen()
        return Deposited(self.owner, self.amount)


@dataclass(frozen=True)
class Misbehave(OfAccount):
    """Gives what no command may give, after an event that is in order."""

    how: str

    def handle(self, actor: object) -> Iterator[Any]:
        yield Deposited(self.owner, 1)
        match self.how:
            case "an event that is not registered":
                yield Lost(self.owner)
            case "an event that cannot be kept":
                yield Kept(self.owner, Contents(exact=Decimal("NaN")))
            case "the class of an exception":
                yield spry.Rejected
            case "a text":
                yield self.how


_meanwhile: list[Callable[[], object]] = []


def meanwhile(happen: Callable[[], object] | None) -> None:
    """What happens while `Hesitate` decides, each time; None for nothing."""
    _meanwhile[:] = [] if happen is None else [happen]


@dataclass(frozen=True)
class Opened(spry.Event):
    owner: str

    def apply(self, actor: object) -> None:
        match actor:
            case Account():
                actor.owner = self.owner


@dataclass(frozen=True)
class Deposited(spry.Event):
    owner: str
    amount: int

    def apply(self, actor: object) -> None:
        match actor:
            case Account():
                actor.owner = actor.owner or self.owner
                actor.balance += self.amount
                actor.entries.append(self.amount)


@dataclass(frozen=True)
class Withdrawn(spry.Event):
    amount: int

    def apply(self, actor: object) -> None:
        match actor:
            case Account():
                actor.balance -= self.amount
                actor.entries.append(-self.amount)


@dataclass(frozen=True)
class Renamed(spry.Event):
    owner: str

    def apply(self, actor: object) -> None:
        match actor:
            case Account():
                actor.owner = self.owner


@dataclass(frozen=True)
class Lost(spry.Event):
    """Registered nowhere."""

    owner: str

    def apply(self, actor: object) -> None:
        """It is never applied."""


# A tally: state that is replaced, under a number of any kind -------------------------------------


class Side(Enum):
    LEFT = "left"
    RIGHT = 2


Number = str | int | bool | UUID | date | datetime | Decimal | Side


@dataclass(frozen=True)
class Tally(spry.Actor):
    number: Number = ""
    count: int = 0

    def identifiers(self) -> spry.Identifiers:
        return {"number": self.number, "kind": "tally"}


@dataclass(frozen=True)
class Count(spry.Command):
    number: Number
    by: int = 1

    def identifiers(self) -> spry.Identifiers:
        return {"kind": "tally", "number": self.number}

    def handle(self, actor: object) -> spry.Decision:
        return Counted(self.number, self.by)


@dataclass(frozen=True)
class Counted(spry.Event):
    number: Number
    by: int

    def apply(self, actor: object) -> Tally | None:
        match actor:
            case Tally():
                return replace(actor, number=self.number, count=actor.count + self.by)
        return None


# A parcel: found under any number of marks -------------------------------------------------------

Marks = tuple[tuple[str, Number], ...]
"""Identifiers in the order in which somebody wrote them."""


@dataclass(frozen=True)
class Parcel(spry.Actor):
    marks: Marks = ()
    scans: int = 0

    def identifiers(self) -> spry.Identifiers:
        return dict(self.marks)


@dataclass(frozen=True)
class Scan(spry.Command):
    marks: Marks

    def identifiers(self) -> spry.Identifiers:
        return dict(self.marks)

    def handle(self, actor: object) -> spry.Decision:
        return Scanned(self.marks)


@dataclass(frozen=True)
class Scanned(spry.Event):
    marks: Marks

    def apply(self, actor: object) -> Parcel | None:
        match actor:
            case Parcel():
                return Parcel(self.marks, actor.scans + 1)
        return None


# A box: values of every kind ----------------------------------------------------------------------


@dataclass(frozen=True)
class Coin:
    worth: Decimal
    side: Side


@dataclass(frozen=True, repr=False)
class Contents:
    """A field for each kind of value that can be kept; it shows those that differ from none."""

    text: str = ""
    whole: int = 0
    truth: bool = False
    real: float = 0.0
    exact: Decimal = Decimal(0)
    moment: datetime | None = None
    day: date | None = None
    hour: time | None = None
    span: timedelta = timedelta(0)
    key: UUID | None = None
    raw: bytes = b""
    side: Side | None = None
    coin: Coin | None = None
    either: int | str | Coin | None = None
    row: tuple[int, str, Decimal] | None = None
    items: list[Decimal] = field(default_factory=list)
    coins: tuple[Coin, ...] = ()
    words: frozenset[str] = frozenset()
    numbers: dict[int, str] = field(default_factory=dict)
    days: dict[date, list[bytes]] = field(default_factory=dict)
    pairs: dict[tuple[int, str], bool] = field(default_factory=dict)
    named: dict[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        shown = ((each.name, repr(getattr(self, each.name))) for each in fields(self))
        usual = {name: repr(value) for name, value in vars(_EMPTY).items()}
        told = ", ".join(f"{name}={text}" for name, text in shown if text != usual[name])
        return f"Contents({told})"


_EMPTY = Contents()


@dataclass
class Box(spry.Actor):
    label: str = ""
    contents: list[Contents] = field(default_factory=list)

    def identifiers(self) -> spry.Identifiers:
        return {"label": self.label}


@dataclass(frozen=True)
class Keep(spry.Command):
    label: str
    contents: Contents

    def identifiers(self) -> spry.Identifiers:
        return {"label": self.label}

    def handle(self, actor: object) -> spry.Decision:
        return Kept(self.label, self.contents)


@dataclass(frozen=True)
class Kept(spry.Event):
    label: str
    contents: Contents

    def apply(self, actor: object) -> None:
        match actor:
            case Box():
                actor.label = self.label
                actor.contents.append(self.contents)


# Together ----------------------------------------------------------------------------------------

OfAccounts = (
    Open | Deposit | DepositEach | Withdraw | Rename | Meddle | Stumble | Hesitate | Misbehave
)
AnyCommand = OfAccounts | Count | Scan | Keep
ACTORS: tuple[type[Any], ...] = (Account, Tally, Parcel, Box)
TYPES = (
    *ACTORS,
    *(Open, Deposit, DepositEach, Withdraw, Rename, Meddle, Stumble, Hesitate, Misbehave),
    *(Count, Scan, Keep),
    *(Opened, Deposited, Withdrawn, Renamed, Counted, Scanned, Kept),
)


def actor_of(command: AnyCommand) -> type[Any]:
    """The actor type that a command is for."""
    match command:
        case Count():
            return Tally
        case Scan():
            return Parcel
        case Keep():
            return Box
    return Account


@cache
def domain(meta: spry.ActorMeta = spry.ActorMeta()) -> spry.Domain:  # noqa: B008  (it is frozen)
    """The domain, its snapshots taken as `meta` says; another `revision` is other code."""
    # The tables are the same whatever `meta` says, and are made once.
    tables = None if meta == spry.ActorMeta() else domain().metadata
    usual = [actor.meta for actor in ACTORS]
    try:
        _set_meta([meta] * len(ACTORS))
        made = spry.Domain(*TYPES, metadata=tables)
        made.prepare()
    finally:
        _set_meta(usual)
    return made


def _set_meta(metas: Iterable[spry.ActorMeta]) -> None:
    actor: type[Any]
    for actor, meta in zip(ACTORS, metas, strict=True):
        actor.meta = meta
