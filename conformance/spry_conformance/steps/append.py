"""Steps of appending: records by hand, in turns and at once, in a process that is killed."""

from dataclasses import dataclass

from spry_conformance.steps.common import Fetch, Handle, HandleMany


@dataclass(frozen=True)
class InTurns:
    """Several do steps in turns, each at a storage of its own: (who, what), one after another."""

    turns: tuple[tuple[int, Handle | HandleMany | Fetch], ...]

    def __str__(self) -> str:
        parts = [f"\n       {chr(ord('a') + who)}: {step}" for who, step in self.turns]
        return "in turns" + "".join(parts)


@dataclass(frozen=True)
class Spoilt:
    """What is wrong with one record of an append.

    `part` is one of the append's, `place` counts from 0. The record claims a taken "id" or a taken
    unique "key", holds "text" that is no Unicode, or is "no record" at all.
    """

    part: str
    place: int
    how: str

    def __str__(self) -> str:
        what = {
            "id": "claims the id of another one",
            "key": "claims the unique key of another one",
            "text": "holds text that no encoding has",
            "no record": "is none",
        }
        return f"number {self.place} of its {self.part} {what[self.how]}"


@dataclass(frozen=True)
class ByHand:
    """Records of an account are appended, as by a writer that knew it `behind` events ago.

    There are `events` of them, and two of each other kind: commands, mappings, links, snapshots.
    """

    owner: str
    events: int = 1
    behind: int = 0
    spoilt: Spoilt | None = None

    def __str__(self) -> str:
        stale = f", {self.behind} events behind" if self.behind else ""
        spoilt = "" if self.spoilt is None else f"; {self.spoilt}"
        return f"append records for {self.owner!r} with {self.events} events{stale}{spoilt}"


@dataclass(frozen=True)
class Together:
    """Steps in one transaction, which is undone or kept."""

    steps: tuple[Handle | HandleMany | Fetch | ByHand, ...]
    undone: bool = False

    def __str__(self) -> str:
        parts = [f"\n       {place}. {step}" for place, step in enumerate(self.steps, 1)]
        return (
            "in a transaction, which is " + ("undone" if self.undone else "kept") + "".join(parts)
        )


@dataclass(frozen=True)
class Outrun:
    """In a transaction a deposit is decided, and meanwhile another one is stored there."""

    owner: str

    def __str__(self) -> str:
        return f"in a transaction: deposit for {self.owner!r}, overtaken by another one"


@dataclass(frozen=True)
class Race:
    """Writers that know the same version append at once; each number is a writer's events."""

    owner: str
    writers: tuple[int, ...]

    def __str__(self) -> str:
        return f"append at one version of {self.owner!r} at once: {list(self.writers)} events"


@dataclass(frozen=True)
class Crash:
    """A process does the batches one after another, and is killed.

    That is after `reports` of them were reported as done, and `spins` turns of an empty loop.
    """

    batches: tuple[HandleMany, ...]
    reports: int
    spins: int

    def __str__(self) -> str:
        parts = [f"\n       {place}. {each}" for place, each in enumerate(self.batches, 1)]
        return f"a process is killed after {self.reports} reports and {self.spins} turns" + "".join(
            parts
        )
