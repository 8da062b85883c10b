"""Steps of transactions, of cancelled tasks, of other writers; rows that are put in as they are."""

from dataclasses import dataclass

from spry_conformance.steps.common import MAIN, Fetch, Handle, HandleMany, by


@dataclass(frozen=True)
class Claim:
    """A mapping arrives: another origin had given a name to the account whose own it is."""

    owner: str

    def __str__(self) -> str:
        return f"it arrives that owner={self.owner!r} is the account of that name"


@dataclass(frozen=True)
class Overtaken:
    """While a command decides, which hesitates, another storage handles one.

    So the other one is first, although it was loaded for later.
    """

    step: Handle | HandleMany
    by: Handle

    def __str__(self) -> str:
        return f"{self.step}; while it decides, another storage does: {self.by}"


@dataclass(frozen=True)
class Put:
    """Rows are appended without the logic around it, as another writer would append them.

    `events` of them follow the newest one of the origin, `ahead` sequences beyond it (-1 is stale,
    1 leaves a gap); `early` gives them ids from before the history. `seen` is what they had seen of
    the main origin. `key` is that of their command, `mapped` another owner that is to reach the
    account.
    """

    owner: str
    origin: str = MAIN
    events: int = 1
    ahead: int = 0
    early: bool = False
    seen: int = 0
    key: str | None = None
    mapped: str | None = None

    def __str__(self) -> str:
        told = f"append {self.events} events to owner={self.owner!r}{by(self.origin)}"
        told += f", {self.ahead} beyond the newest" * bool(self.ahead)
        told += ", with early ids" * self.early
        told += f", which had seen {self.seen} of {MAIN}" * bool(self.seen)
        told += "" if self.key is None else f", with the key {self.key!r}"
        return told + ("" if self.mapped is None else f", also as owner={self.mapped!r}")


@dataclass(frozen=True)
class Peek:
    """Another storage fetches an account, while a transaction is open."""

    owner: str

    def __str__(self) -> str:
        return f"another storage fetches owner={self.owner!r}"


@dataclass(frozen=True)
class Savepoint:
    """Steps within a savepoint of the application's, which is kept or undone."""

    steps: tuple[Handle | HandleMany | Fetch | Put, ...]
    kept: bool

    def __str__(self) -> str:
        inner = "; ".join(map(str, self.steps))
        return f"in a savepoint, which is {'kept' if self.kept else 'undone'}: {inner}"


@dataclass(frozen=True)
class InTransaction:
    """Steps in one transaction, which ends by "commit", by "rollback" or since its block raises.

    It is the storage's, or the application's own, which the storage joins.
    """

    steps: tuple[Handle | HandleMany | Fetch | Put | Peek | Savepoint, ...]
    ends: str = "commit"
    joined: bool = False

    def __str__(self) -> str:
        whose = "of the application's, joined," if self.joined else "of the storage's"
        inner = "".join(f"\n       {step}" for step in self.steps)
        return f"in a transaction {whose} which ends by {self.ends}{inner}"


@dataclass(frozen=True)
class Cancelled:
    """The task of a step is cancelled at one of its awaits, counted from 1.

    Cancelled while it waits; or, `answered`, when what it waited for was done and nobody was told.
    """

    step: Handle | HandleMany | Fetch | InTransaction
    at: int
    answered: bool

    def __str__(self) -> str:
        moment = "when it was just answered" if self.answered else "while it waits"
        return f"cancelled at await {self.at}, {moment}: {self.step}"


@dataclass(frozen=True)
class SpoilSnapshot:
    """A newest snapshot is put in whose state no code can read."""

    owner: str
    state: str

    def __str__(self) -> str:
        return f"put in a snapshot of owner={self.owner!r} with the state {self.state!r}"


@dataclass(frozen=True)
class OwnCommand:
    """A command of the author's own domain, by its stored name, in its JSON."""

    type: str
    content: str
    version: int = 1
    key: str | None = None

    def __str__(self) -> str:
        with_key = "" if self.key is None else f" with the key {self.key!r}"
        return f"handle {self.type} {self.content}{with_key}"
