"""A notebook in three releases of one application: its types change their shapes and names.

A renamed actor keeps its stored name, by `name=`, and with it its rows. The other way, `aliases=`,
has an adapter move the rows, as a migration does for SQL: that is not the kit's.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import spry_sqla as spry

Entry = tuple[int, tuple[str, ...]]
"""The release that wrote, and the lines."""

_META = spry.ActorMeta(snapshot_frequency=2)


@dataclass(frozen=True)
class OfNotebook(spry.Command):
    title: str

    def identifiers(self) -> spry.Identifiers:
        return {"title": self.title}


# The first ---------------------------------------------------------------------------------------


@dataclass
class FirstNotebook(spry.Actor, name="Notebook"):
    meta = _META
    title: str = ""
    notes: list[str] = field(default_factory=list)

    def identifiers(self) -> spry.Identifiers:
        return {"title": self.title}


@dataclass(frozen=True)
class FirstJot(OfNotebook, name="Jot"):
    text: str

    def handle(self, actor: object) -> spry.Decision:
        return FirstJotted(self.title, self.text)


@dataclass(frozen=True)
class FirstJotted(spry.Event, name="Jotted"):
    title: str
    text: str

    def apply(self, actor: object) -> None:
        match actor:
            case FirstNotebook():
                actor.title = self.title
                actor.notes.append(self.text)


# The second: the event has lines -----------------------------------------------------------------


@dataclass
class SecondNotebook(spry.Actor, name="Notebook"):
    meta = _META
    title: str = ""
    lines: list[str] = field(default_factory=list)

    def identifiers(self) -> spry.Identifiers:
        return {"title": self.title}


@dataclass(frozen=True)
class SecondJot(OfNotebook, name="Jot"):
    text: str

    def handle(self, actor: object) -> spry.Decision:
        return SecondJotted(self.title, self.text.split("\n"))


@dataclass(frozen=True)
class SecondJotted(spry.Event, name="Jotted", version=2):
    title: str
    lines: list[str]

    @classmethod
    def upcast(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        return {"title": content["title"], "lines": content["text"].split("\n")}

    def apply(self, actor: object) -> None:
        match actor:
            case SecondNotebook():
                actor.title = self.title
                actor.lines.extend(self.lines)


# The third: everything has another name, and there is an author ----------------------------------


@dataclass
class Journal(spry.Actor, name="Notebook"):
    meta = _META
    title: str = ""
    lines: list[tuple[str, str]] = field(default_factory=list)

    def identifiers(self) -> spry.Identifiers:
        return {"title": self.title}


@dataclass(frozen=True)
class Write(OfNotebook, version=2, aliases=("Jot",)):
    text: str
    author: str

    @classmethod
    def upcast(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        return {**content, "author": "unknown"}

    def handle(self, actor: object) -> spry.Decision:
        return Written(self.title, self.text.split("\n"), self.author)


@dataclass(frozen=True)
class Written(spry.Event, name="written", version=3, aliases=("Jotted",)):
    title: str
    lines: list[str]
    author: str

    @classmethod
    def upcast(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        if version < 2:
            content = {"title": content["title"], "lines": content["text"].split("\n")}
        return {**content, "author": "unknown"}

    def apply(self, actor: object) -> None:
        match actor:
            case Journal():
                actor.title = self.title
                actor.lines.extend((line, self.author) for line in self.lines)


# All of them -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Release:
    """What the code of a release is like.

    `command` and `event` give what stands there for an entry, whichever release up to this one
    wrote it; `state` gives the notebook that holds entries.
    """

    number: int
    actor: type[Any]
    types: tuple[type[Any], ...]
    command: Callable[[str, Entry], Any]
    event: Callable[[str, Entry], Any]
    state: Callable[[str, Sequence[Entry]], Any]

    @cache  # noqa: B019  (there are three)
    def domain(self) -> spry.Domain:
        """The domain of the release."""
        made = spry.Domain(self.actor, *self.types)
        made.prepare()
        return made

    def unreadable(self, entries: Sequence[Entry]) -> type[spry.SpryError] | None:
        """What reading entries must raise: they may be of a later release."""
        for wrote, _ in entries:
            if wrote > self.number:
                return spry.UnknownType if wrote == THIRD else spry.UnreadableContent
        return None


THIRD = 3


def _text(entry: Entry) -> str:
    return "\n".join(entry[1])


def _author(entry: Entry) -> str:
    return "ada" if entry[0] == THIRD else "unknown"


def _lines(entries: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    return ((line, _author(entry)) for entry in entries for line in entry[1])


RELEASES = {
    release.number: release
    for release in (
        Release(
            1,
            FirstNotebook,
            (FirstJot, FirstJotted),
            lambda title, entry: FirstJot(title, _text(entry)),
            lambda title, entry: FirstJotted(title, _text(entry)),
            lambda title, entries: FirstNotebook(title, [_text(entry) for entry in entries]),
        ),
        Release(
            2,
            SecondNotebook,
            (SecondJot, SecondJotted),
            lambda title, entry: SecondJot(title, _text(entry)),
            lambda title, entry: SecondJotted(title, [*entry[1]]),
            lambda title, entries: SecondNotebook(title, [line for line, _ in _lines(entries)]),
        ),
        Release(
            THIRD,
            Journal,
            (Write, Written),
            lambda title, entry: Write(title, _text(entry), _author(entry)),
            lambda title, entry: Written(title, [*entry[1]], _author(entry)),
            lambda title, entries: Journal(title, [*_lines(entries)]),
        ),
    )
}
