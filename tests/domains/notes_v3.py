"""The notebook of today: every type has another name, and a note has an author."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import spry_sqla as spry


@dataclass
class Journal(spry.Actor, name="Notebook"):
    meta = spry.ActorMeta(snapshot_frequency=3)
    title: str = ""
    lines: list[tuple[str, str]] = field(default_factory=list)

    def identifiers(self) -> spry.Identifiers:
        return {"title": self.title}


@dataclass(frozen=True)
class Write(spry.Command, version=2, aliases=("Jot",)):
    title: str
    text: str
    author: str

    def identifiers(self) -> spry.Identifiers:
        return {"title": self.title}

    @classmethod
    def upcast(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        return {**content, "author": "unknown"}

    def handle(self, actor: object) -> spry.Decision:
        yield Written(self.title, self.text.split("\n"), self.author)


@dataclass(frozen=True)
class Written(spry.Event, name="written", version=3, aliases=("Jotted",)):
    title: str
    lines: list[str]
    author: str

    @classmethod
    def upcast(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        if version < 2:
            content = {"title": content["title"], "lines": content["text"].split("\n")}
        if version < 3:
            content = {**content, "author": "unknown"}
        return content

    def apply(self, actor: object) -> None:
        match actor:
            case Journal():
                actor.title = self.title
                actor.lines.extend((line, self.author) for line in self.lines)


@cache
def domain() -> spry.Domain:
    return spry.Domain(Journal, Write, Written)
