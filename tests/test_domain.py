"""What a Domain takes and refuses, before there is any storage."""

import asyncio
from abc import abstractmethod
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Generic, Protocol, TypeVar, cast

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

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


class Bare(spry.Event):
    """To be given what is wrong."""

    def apply(self, actor: object) -> None: ...


async def awaited(self: Any, actor: object) -> None: ...


async def iterated(self: Any, actor: object) -> Any:
    yield None


@pytest.mark.parametrize(
    ("bases", "members", "where"),
    [
        ((spry.Event,), {"apply": awaited}, r"Wrong\.apply is asynchronous"),
        ((OfShelf,), {"handle": awaited}, r"Wrong\.handle is asynchronous"),
        ((OfShelf,), {"handle": iterated}, r"Wrong\.handle is asynchronous"),
        ((Put,), {"identifiers": property(lambda self: {})}, r"Wrong\.identifiers is a property"),
        ((Bare,), {"upcast": lambda cls, content, version: content}, "put @classmethod above it"),
    ],
)
def test_methods_that_cannot_work_are_refused(
    bases: tuple[type, ...], members: dict[str, Any], where: str
) -> None:
    wrong: type = dataclass(type("Wrong", bases, members))
    with pytest.raises(spry.DefinitionError, match=where):
        spry.Domain(Shelf, wrong)


def test_a_field_may_have_the_name_of_a_method_of_others() -> None:
    @dataclass
    class Account(spry.Actor):
        handle: str = ""
        apply: int = 0

        def identifiers(self) -> spry.Identifiers:
            return {"handle": self.handle}

    account = spry.MemoryStorage(spry.Domain(Account)).repository(Account)
    assert account.fetch(handle="@ada") == Account()


@pytest.mark.parametrize("version", [0, -1, "2", 1.0, True])
def test_a_version_that_cannot_be_is_refused(version: Any) -> None:
    class Marked(Bare, version=version): ...

    with pytest.raises(spry.DefinitionError, match="must be a whole number from 1"):
        spry.Domain(Marked)


def test_one_text_is_not_several_aliases() -> None:
    with pytest.raises(spry.DefinitionError, match=r"write \('Placed',\)"):

        class Marked(Bare, aliases="Placed"): ...

    with pytest.raises(spry.DefinitionError, match=r"write \('Placed',\)"):
        spry.stored(aliases="Placed")(Bare)


@pytest.mark.parametrize("wrong", [Shelf("a"), "Shelf", None, Put])
def test_a_repository_is_of_a_registered_class(wrong: Any) -> None:
    with pytest.raises(spry.NotRegistered):
        spry.MemoryStorage(spry.Domain(Shelf, Put)).repository(wrong)


def test_a_storage_is_of_a_domain() -> None:
    for wrong in (spry.Domain, Shelf, None):
        for make in (
            spry.MemoryStorage,
            spry.AsyncMemoryStorage,
            lambda domain: spry.Storage(sa.create_engine("sqlite://"), domain),
            lambda domain: spry.AsyncStorage(sa.create_engine("sqlite://"), domain),
        ):
            with pytest.raises(spry.DefinitionError, match=r"takes a Domain\(...\)"):
                make(cast("spry.Domain", wrong))


def test_the_plain_engine_within_an_async_one_is_refused() -> None:
    plain = create_async_engine("postgresql+psycopg:///nowhere").sync_engine
    for kind in (spry.Storage, spry.AsyncStorage):
        with pytest.raises(spry.StorageError, match="give the AsyncEngine"):
            kind(plain, spry.Domain(Shelf))


def test_an_engine_whose_option_would_not_hold_is_refused() -> None:
    engine = sa.create_engine("postgresql+psycopg:///nowhere")
    for kind in (spry.Storage, spry.AsyncStorage):
        with pytest.raises(spry.StorageError, match="default_transaction_read_only"):
            kind(engine.execution_options(postgresql_readonly=True), spry.Domain(Shelf))


def test_one_command_is_not_many() -> None:
    shelves = spry.MemoryStorage(spry.Domain(Shelf, Put)).repository(Shelf)
    with pytest.raises(spry.UnusableValue, match="given a Put; hand a single one to handle"):
        shelves.handle_many(cast("Any", Put("a")))


def test_a_transaction_decorates_what_is_awaited_as_its_storage_is() -> None:
    async def later(_: object) -> None: ...

    def now(_: object) -> None: ...

    domain = spry.Domain(Shelf)
    with pytest.raises(spry.DefinitionError, match="later is asynchronous"):
        spry.MemoryStorage(domain).transaction()(cast("Any", later))
    with pytest.raises(spry.DefinitionError, match="write `async def`"):
        asyncio.run(cast("Any", spry.AsyncMemoryStorage(domain).transaction())(now)())


def test_what_an_upcast_raises_says_where() -> None:
    @dataclass(frozen=True)
    class Noted(spry.Event, version=1):
        name: str

        def apply(self, actor: Any) -> None: ...

    @dataclass
    class Note(Put):
        def handle(self, actor: object) -> spry.Decision:
            return Noted(self.name)

    older = spry.MemoryStorage(spry.Domain(Shelf, Note, Noted))
    older.repository(Shelf).handle(Note("a"))

    class Later(Noted, name="Noted", version=2):
        @classmethod
        def upcast(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
            return {"name": content["nobody has it"]}

    newer = spry.MemoryStorage(spry.Domain(Shelf, Note, Later), sharing=older)
    with pytest.raises(KeyError) as raised:
        newer.repository(Shelf).fetch(name="a")
    (note,) = raised.value.__notes__
    assert note.endswith("Later.upcast for a content of version 1 in shelf_events")
