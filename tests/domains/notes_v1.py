"""A notebook, as the first release of an application wrote it."""

from dataclasses import dataclass, field
from functools import cache

import spry_sqla as spry


@dataclass
class Notebook(spry.Actor):
    meta = spry.ActorMeta(snapshot_frequency=3)
    title: str = ""
    notes: list[str] = field(default_factory=list)

    def identifiers(self) -> spry.Identifiers:
        return {"title": self.title}


@dataclass(frozen=True)
class Jot(spry.Command):
    title: str
    text: str

    def identifiers(self) -> spry.Identifiers:
        return {"title": self.title}

    def handle(self, actor: object) -> spry.Decision:
        yield Jotted(self.title, self.text)


@dataclass(frozen=True)
class Jotted(spry.Event):
    title: str
    text: str

    def apply(self, actor: object) -> None:
        match actor:
            case Notebook():
                actor.title = self.title
                actor.notes.append(self.text)


@cache
def domain() -> spry.Domain:
    return spry.Domain(Notebook, Jot, Jotted)
