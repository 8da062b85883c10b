"""What a Domain takes and refuses, before there is any storage."""

from abc import abstractmethod
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Generic, Protocol, TypeVar, cast

import pytest

import spry_sqla as spry

V = TypeVar("V")


@dataclass
class Shelf(spry.Actor):
    name: str = ""

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}


class OfShelf(spry.Command):
    """An abstract base."""

    name: str

    def identifiers(self) -> spry.Identifiers:
        return {"name": self.name}

    @abstractmethod
    def handle(self, actor: Any, /) -> spry.Decision: ...


@dataclass
class Put(OfShelf):
    name: str

    def handle(self, actor: object) -> spry.Decision:
        return PutThere(self.name)


@dataclass
class Said(spry.Event, Generic[V]):
    """A generic base that has all methods."""

    value: V

    def apply(self, actor: Shelf) -> None:
        actor.name = str(self.value)


@dataclass
class PutThere(Said[str]):
    pass


class Applies(Protocol):
    def apply(self, actor: Any) -> Any: ...


class Discount:
    """A helper that looks like an event, and has no fields that could be stored."""

    def __init__(self) -> None:
        self._rate = 1

    def apply(self, price: int) -> int:
        return price - self._rate


def module_of(*classes: type) -> ModuleType:
    module = ModuleType(__name__)
    vars(module).update({cls.__name__: cls for cls in classes})
    return module


def test_a_module_gives_what_can_be_stored_and_leaves_helpers_and_bases_out() -> None:
    module = module_of(Shelf, OfShelf, Put, Said, PutThere, Applies, Discount)

    domain = spry.Domain.of(module)

    shelves = spry.MemoryStorage(domain).repository(Shelf)
    assert shelves.handle(Put("top")).unwrap() == Shelf("top")
    for left_out in (Said, Applies, Discount):
        with pytest.raises(spry.NotRegistered):
            domain.event(left_out)


@pytest.mark.parametrize("wrong", [Shelf, Shelf(), "shelves"])
def test_what_is_no_module_is_refused(wrong: Any) -> None:
    with pytest.raises(spry.DefinitionError, match="takes modules"):
        spry.Domain.of(wrong)


@pytest.mark.parametrize("wrong", [Shelf(), "Shelf", cast("Any", None)])
def test_what_is_no_class_is_refused(wrong: Any) -> None:
    with pytest.raises(spry.DefinitionError, match="takes classes"):
        spry.Domain(wrong)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"attempts": "5"}, "attempts="),
        ({"attempts": 0}, "attempts="),
        ({"origin": 5}, "origin="),
        ({"origin": "a b"}, "origin="),
        ({"max_clock_ahead": "1"}, "max_clock_ahead="),
        ({"max_clock_ahead": float("nan")}, "max_clock_ahead="),
        ({"atempts": 5}, "no setting 'atempts'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: Any, part: str) -> None:
    with pytest.raises(spry.DefinitionError, match=part):
        spry.MemoryStorage(spry.Domain(Shelf), **settings)


@pytest.mark.parametrize("frequency", [0, -1, "5", 1.5])
def test_a_snapshot_frequency_that_cannot_be_is_refused(frequency: Any) -> None:
    with pytest.raises(spry.DefinitionError, match="snapshot_frequency"):
        spry.ActorMeta(snapshot_frequency=frequency)
