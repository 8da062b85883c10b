"""The domain that faults happen to: counters, whose total says how often each addition counted."""

from collections.abc import Iterator
from dataclasses import dataclass

import spry_sqla as spry


@dataclass
class Counter(spry.Actor):
    name: str = ""
    total: int = 0
    additions: int = 0

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}


@dataclass(frozen=True)
class Add(spry.Command):
    """Adds `by` in each of `parts` events; `note` is there to be recognized by."""

    counter: str
    by: int = 1
    parts: int = 1
    note: str = ""

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.counter}

    def handle(self, actor: object) -> Iterator[spry.Event | Exception]:
        match actor:
            case Counter():
                for part in range(self.parts):
                    yield Added(self.counter, self.by, part, self.note)


@dataclass(frozen=True)
class Rename(spry.Command):
    """Fails where there is no such counter."""

    counter: str
    name: str

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.counter}

    def handle(self, actor: object) -> Iterator[spry.Event | Exception]:
        match actor:
            case Counter(name=""):
                yield spry.Rejected(f"there is no counter {self.counter!r}")
            case Counter():
                yield Renamed(self.name)


@dataclass(frozen=True)
class Added(spry.Event):
    counter: str
    by: int
    part: int = 0
    note: str = ""

    def apply(self, actor: object) -> None:
        match actor:
            case Counter():
                actor.name = actor.name or self.counter
                actor.total += self.by
                actor.additions += 1


@dataclass(frozen=True)
class Renamed(spry.Event):
    name: str

    def apply(self, actor: object) -> None:
        match actor:
            case Counter():
                actor.name = self.name


domain = spry.Domain(Counter, Add, Rename, Added, Renamed)
