"""The notebook a release later: notes have lines, and the event says so."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import spry_sqla as spry


@dataclass
class Notebook(spry.Actor):
    meta = spry.ActorMeta(snapshot_frequency=3)
    title: str = ""
    lines: list[str] = field(default_factory=list)

    def identifiers(self) -> spry.Identifiers:
        return {"title": self.title}


@dataclass(frozen=True)
class Jot(spry.Command):
    title: str
    text: str

    def identifiers(self) -> spry.Identifiers:
        return {"title": self.title}

    def handle(self, actor: object) -> spry.Decision:
        yield Jotted(self.title, self.text.split("\n"))


@dataclass(frozen=True)
class Jotted(spry.Event, version=2):
    title: str
    lines: list[str]

    @classmethod
    def upcast(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        return {"title": content["title"], "lines": content["text"].split("\n")}

    def apply(self, actor: object) -> None:
        match actor:
            case Notebook():
                actor.title = self.title
                actor.lines.extend(self.lines)


@cache
def domain() -> spry.Domain:
    return spry.Domain(Notebook, Jot, Jotted)
