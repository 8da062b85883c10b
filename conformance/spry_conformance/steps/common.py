"""Steps that all properties share: commands and reads, opened again, several at once."""

from dataclasses import dataclass

import spry_sqla as spry
from spry_conformance.domain import AnyCommand

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
        return told + by(self.origin)


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
        return told + by(self.origin)


@dataclass(frozen=True)
class Fetch:
    """An account is fetched, as it is now or was at a version."""

    owner: str
    version: int | None = None
    origin: str = MAIN

    def __str__(self) -> str:
        version = "" if self.version is None else f" at version {self.version}"
        return f"fetch owner={self.owner!r}{version}{by(self.origin)}"


@dataclass(frozen=True)
class Reopen:
    """All storages are closed; the code may be another, with other snapshots."""

    revision: int = 0
    snapshot_frequency: int = 10
    snapshot_during_read: bool = False
    snapshot_during_write: bool = True

    def __str__(self) -> str:
        return (
            f"open again, as revision {self.revision}, a snapshot every "
            f"{self.snapshot_frequency} events"
            + ", also by reads" * self.snapshot_during_read
            + ", not by writes" * (not self.snapshot_during_write)
        )

    @property
    def meta(self) -> spry.ActorMeta:
        """What snapshots are like from here."""
        return spry.ActorMeta(
            snapshot_frequency=self.snapshot_frequency,
            snapshot_during_read=self.snapshot_during_read,
            snapshot_during_write=self.snapshot_during_write,
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


def by(origin: str) -> str:
    """Whose storage does it, where it is not the main one's."""
    return "" if origin == MAIN else f" at {origin}"
