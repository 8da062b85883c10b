"""One counter, written as each kind of class that a state can be."""

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, ClassVar

import attrs
import msgspec
import pydantic

import spry_sqla as spry


@dataclass
class DataclassCounter(spry.Actor):
    meta = spry.ActorMeta(snapshot_frequency=2)
    owner: str = ""
    count: int = 0
    notes: list[str] = field(default_factory=list)

    def identifiers(self) -> spry.Identifiers:
        return {"owner": self.owner}


@dataclass(frozen=True)
class FrozenCounter(spry.Actor):
    meta = spry.ActorMeta(snapshot_frequency=2)
    owner: str = ""
    count: int = 0
    notes: tuple[str, ...] = ()

    def identifiers(self) -> spry.Identifiers:
        return {"owner": self.owner}


@dataclass(slots=True)
class SlottedCounter(spry.Actor):
    meta: ClassVar[spry.ActorMeta] = spry.ActorMeta(snapshot_frequency=2)
    owner: str = ""
    count: int = 0
    notes: list[str] = field(default_factory=list)

    def identifiers(self) -> spry.Identifiers:
        return {"owner": self.owner}


@attrs.define
class AttrsCounter(spry.Actor):
    meta: ClassVar[spry.ActorMeta] = spry.ActorMeta(snapshot_frequency=2)
    owner: str = ""
    count: int = 0
    notes: list[str] = attrs.Factory(list)

    def identifiers(self) -> spry.Identifiers:
        return {"owner": self.owner}


@attrs.frozen
class FrozenAttrsCounter(spry.Actor):
    meta: ClassVar[spry.ActorMeta] = spry.ActorMeta(snapshot_frequency=2)
    owner: str = ""
    count: int = 0
    notes: tuple[str, ...] = ()

    def identifiers(self) -> spry.Identifiers:
        return {"owner": self.owner}


class StructCounter(msgspec.Struct):
    meta: ClassVar[spry.ActorMeta] = spry.ActorMeta(snapshot_frequency=2)
    owner: str = ""
    count: int = 0
    notes: list[str] = msgspec.field(default_factory=list)

    def identifiers(self) -> spry.Identifiers:
        return {"owner": self.owner}


class FrozenStructCounter(msgspec.Struct, frozen=True):
    meta: ClassVar[spry.ActorMeta] = spry.ActorMeta(snapshot_frequency=2)
    owner: str = ""
    count: int = 0
    notes: tuple[str, ...] = ()

    def identifiers(self) -> spry.Identifiers:
        return {"owner": self.owner}


class ModelCounter(pydantic.BaseModel):
    meta: ClassVar[spry.ActorMeta] = spry.ActorMeta(snapshot_frequency=2)
    owner: str = ""
    count: int = 0
    notes: list[str] = []

    def identifiers(self) -> spry.Identifiers:
        return {"owner": self.owner}


@dataclass
class PlainCounter:
    """Inherits nothing, and says nothing about snapshots."""

    owner: str = ""
    count: int = 0
    notes: list[str] = field(default_factory=list)

    def identifiers(self) -> spry.Identifiers:
        return {"owner": self.owner}


@dataclass(frozen=True)
class Count:
    """Inherits nothing."""

    owner: str
    by: int

    def identifiers(self) -> spry.Identifiers:
        return {"owner": self.owner}

    def handle(self, actor: object) -> Any:
        return Counted(self.owner, self.by)


@dataclass(frozen=True)
class Counted:
    """Inherits nothing; returns a new state where the old one cannot be changed."""

    owner: str
    by: int

    def apply(self, actor: Any) -> Any:
        note = f"+{self.by}"
        if isinstance(actor, FrozenCounter):
            count, notes = actor.count + self.by, (*actor.notes, note)
            return replace(actor, owner=self.owner, count=count, notes=notes)
        if isinstance(actor, FrozenAttrsCounter):
            count, notes = actor.count + self.by, (*actor.notes, note)
            return attrs.evolve(actor, owner=self.owner, count=count, notes=notes)
        if isinstance(actor, FrozenStructCounter):
            count, notes = actor.count + self.by, (*actor.notes, note)
            return msgspec.structs.replace(actor, owner=self.owner, count=count, notes=notes)
        actor.owner = self.owner
        actor.count += self.by
        actor.notes.append(note)
        return None


STATES: list[type[Any]] = [
    *(DataclassCounter, FrozenCounter, SlottedCounter, AttrsCounter, FrozenAttrsCounter),
    *(StructCounter, FrozenStructCounter, ModelCounter, PlainCounter),
]
FROZEN = (FrozenCounter, FrozenAttrsCounter, FrozenStructCounter)


@cache
def domain() -> spry.Domain:
    return spry.Domain(*STATES, Count, Counted)
