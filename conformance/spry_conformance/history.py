"""Histories: what happens to a storage, step by step, as data.

A property draws one, and plays it; what fails is told as numbered steps, and written down as JSON
that can be played again. A history is an event of this library, written by its own codec.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import spry_sqla as spry
from spry_conformance.domain import TYPES, AnyCommand

MAIN = "main"


@dataclass(frozen=True)
class Handle:
    """A command is handled by the storage of an origin."""

    command: AnyCommand
    key: str | None = None
    metadata: dict[str, str] | None = None
    origin: str = MAIN

    def __str__(self) -> str:
        told = f"handle {self.command!r}"
        if self.key is not None:
            told += f" with the key {self.key!r}"
        if self.metadata is not None:
            told += f" and the metadata {self.metadata!r}"
        return told + _by(self.origin)


@dataclass(frozen=True)
class HandleMany:
    """A batch of commands is handled; `keys` are one per command, or none at all."""

    commands: tuple[AnyCommand, ...]
    keys: tuple[str | None, ...] = ()
    origin: str = MAIN
    metadata: dict[str, str] | None = None

    def __str__(self) -> str:
        told = f"handle many {list(self.commands)!r}"
        if self.keys:
            told += f" with the keys {self.keys!r}"
        if self.metadata is not None:
            told += f" and the metadata {self.metadata!r}"
        return told + _by(self.origin)


@dataclass(frozen=True)
class Fetch:
    """An account is fetched, as it is now or was at a version."""

    owner: str
    version: int | None = None
    origin: str = MAIN

    def __str__(self) -> str:
        version = "" if self.version is None else f" at version {self.version}"
        return f"fetch owner={self.owner!r}{version}{_by(self.origin)}"


@dataclass(frozen=True)
class Reopen:
    """All storages are closed; the code may be another, with other snapshots."""

    revision: int = 0
    snapshot_frequency: int = 10
    snapshot_during_read: bool = False

    def __str__(self) -> str:
        return (
            f"open again, as revision {self.revision}, a snapshot every "
            f"{self.snapshot_frequency} events" + ", also by reads" * self.snapshot_during_read
        )

    @property
    def meta(self) -> spry.ActorMeta:
        """What snapshots are like from here."""
        return spry.ActorMeta(
            snapshot_frequency=self.snapshot_frequency,
            snapshot_during_read=self.snapshot_during_read,
            revision=self.revision,
        )


@dataclass(frozen=True)
class AtOnce:
    """Several do their steps at the same time: threads, or tasks of what is awaited."""

    programs: tuple[tuple[Handle | HandleMany | Fetch, ...], ...]

    def __str__(self) -> str:
        parts = [
            f"\n       {chr(ord('a') + place)}: " + "; ".join(map(str, program))
            for place, program in enumerate(self.programs)
        ]
        return "at once" + "".join(parts)


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
        told = f"append {self.events} events to owner={self.owner!r}{_by(self.origin)}"
        told += f", {self.ahead} beyond the newest" * bool(self.ahead)
        told += ", with early ids" * self.early
        told += f", which had seen {self.seen} of {MAIN}" * bool(self.seen)
        told += "" if self.key is None else f", with the key {self.key!r}"
        return told + ("" if self.mapped is None else f", also as owner={self.mapped!r}")


@dataclass(frozen=True)
class Look:
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

    steps: tuple[Handle | HandleMany | Fetch | Put | Look | Savepoint, ...]
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


Step = (
    Handle
    | HandleMany
    | Fetch
    | Reopen
    | AtOnce
    | Overtaken
    | InTransaction
    | Cancelled
    | SpoilSnapshot
    | OwnCommand
    | Put
)


@dataclass(frozen=True)
class History(spry.Event):
    """The steps of one try of a property, in their order."""

    property: str
    steps: tuple[Step, ...]

    def apply(self, actor: object) -> None:
        """It changes nothing; it is an event in order to be written down."""

    def __str__(self) -> str:
        return "\n".join(f"  {number:>2}. {step}" for number, step in enumerate(self.steps, 1))

    def to_json(self) -> str:
        """One line of JSON."""
        text: str = _codec().encode(self)
        return text

    @classmethod
    def from_json(cls, text: str) -> "History":
        """Raises UnreadableContent for what is no history of this version."""
        history: History = _codec().decode(text)
        return history


def read_history(path: Path) -> History:
    """The history in a file. Raises OSError, UnreadableContent."""
    return History.from_json(path.read_text("utf-8"))


@cache
def _codec() -> Any:
    return spry.Domain(*TYPES, History).event(History).codec


def _by(origin: str) -> str:
    return "" if origin == MAIN else f" at {origin}"
