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

    def __str__(self) -> str:
        keys = f" with the keys {self.keys!r}" if self.keys else ""
        return f"handle many {list(self.commands)!r}{keys}{_by(self.origin)}"


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


Step = Handle | HandleMany | Fetch | Reopen | AtOnce


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
