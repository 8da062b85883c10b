"""What an object holds beside its fields is refused where it would not come back, and else left."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import attrs
import msgspec
import pydantic
import pytest

from spry_sqla.codec import codec_for
from spry_sqla.errors import UnusableValue

SECRET = "s3cr3t"


class Bare:
    __slots__ = ("hidden",)


@dataclass
class OnBare(Bare):
    name: str = ""


@attrs.define
class SlottedOnBare(Bare):
    name: str = ""


@dataclass
class Plain:
    name: str = ""

    @cached_property
    def shout(self) -> str:
        return self.name.upper()


@attrs.define(slots=False)
class Attrs:
    name: str = ""


class Struct(msgspec.Struct, dict=True):
    name: str = ""

    @cached_property
    def shout(self) -> str:
        return self.name.upper()


class Model(pydantic.BaseModel):
    name: str = ""
    _note: str = pydantic.PrivateAttr(default="")
    _tags: list[str] = pydantic.PrivateAttr(default_factory=list)

    @cached_property
    def shout(self) -> str:
        return self.name.upper()


class Nothing:
    pass


class Helper:
    def __init__(self) -> None:
        self.seen = [1]


@dataclass
class Derived:
    names: list[str] = field(default_factory=list)
    taken: ClassVar[int] = 0

    def __post_init__(self) -> None:
        self._taken = set(self.names)
        self._helper = Helper()


@dataclass
class Outer:
    one: Plain = field(default_factory=Plain)
    many: list[Plain] = field(default_factory=list)
    by_name: dict[str, Model | None] = field(default_factory=dict)
    derived: tuple[Derived, ...] = ()


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (OnBare, "hidden"),
        (SlottedOnBare, "hidden"),
        (Plain, "note"),
        (Attrs, "note"),
        (Struct, "note"),
        (Nothing, "note"),
        (Model, "_note"),
    ],
)
def test_an_attribute_that_is_no_field_is_refused(cls: Any, name: str) -> None:
    value = cls()
    setattr(value, name, SECRET)

    with pytest.raises(UnusableValue) as refused:
        codec_for(cls).encode(value)

    assert str(refused.value).startswith(f"{cls.__name__}.{name}: it is no field")
    assert SECRET not in str(refused.value)


def test_a_changed_private_attribute_of_a_model_is_refused() -> None:
    model = Model(name="a")
    codec = codec_for(Model)
    assert codec.decode(codec.encode(model)) == model

    model._tags.append("b")

    with pytest.raises(UnusableValue, match=r"^Model\._tags: it is no field"):
        codec.encode(model)


@pytest.mark.parametrize("cls", [Plain, Struct, Model])
def test_a_cached_property_is_no_state(cls: Any) -> None:
    value = cls(name="a")
    assert value.shout == "A"

    assert codec_for(cls).decode(codec_for(cls).encode(value)) == cls(name="a")


def test_a_place_for_more_may_be_empty() -> None:
    assert codec_for(OnBare).encode(OnBare("a")) == '{"name":"a"}'


def test_what_post_init_restores_is_not_refused_until_it_changes() -> None:
    value = Derived(["a"])
    codec = codec_for(Derived)
    assert codec.decode(codec.encode(value))._taken == {"a"}

    value._helper.seen.append(2)
    with pytest.raises(UnusableValue, match=r"^Derived\._helper: "):
        codec.encode(value)

    value = Derived(["a"])
    value._taken.add("b")
    with pytest.raises(UnusableValue, match=r"^Derived\._taken: "):
        codec.encode(value)


def test_it_is_refused_at_any_depth() -> None:
    def tagged(**fields: Any) -> Plain:
        plain = Plain(**fields)
        plain.note = 1  # type: ignore[attr-defined]
        return plain

    derived = Derived()
    derived._taken.add("b")
    private = Model()
    private._note = SECRET
    cases = {
        "Outer.one.note": Outer(one=tagged()),
        "Outer.many[].note": Outer(many=[Plain(), tagged()]),
        "Outer.by_name{}._note": Outer(by_name={"a": None, "b": private}),
        "Outer.derived[]._taken": Outer(derived=(derived,)),
    }

    for path, value in cases.items():
        with pytest.raises(UnusableValue) as refused:
            codec_for(Outer).encode(value)
        assert str(refused.value).startswith(f"{path}: ")


@dataclass(frozen=True)
class Coin:
    name: str


@dataclass(frozen=True)
class Purse:
    coins: list[Coin]


@dataclass
class Player:
    last: Plain | None = None
    every: list[Plain] = field(default_factory=list)
    by_name: dict[str, list[Coin]] = field(default_factory=dict)
    purses: tuple[Purse, ...] = ()
    coins: list[Coin] = field(default_factory=list)


def test_a_mutable_part_that_is_held_twice_is_lost() -> None:
    plain, coins, purse = Plain(), [Coin("a")], Purse([])
    codec = codec_for(Player)
    cases = {
        "Player.every[] and Player.last": Player(plain, [Plain(), plain]),
        "Player.every[] and Player.every[]": Player(None, [plain, plain]),
        "Player.by_name{} and Player.coins": Player(by_name={"a": coins}, coins=coins),
        "Player.purses[].coins and Player.purses[].coins": Player(purses=(purse, purse)),
    }

    for paths, value in cases.items():
        assert codec.lost(value) == paths
        assert codec.lost(codec.decode(codec.encode(value))) is None


def test_what_cannot_change_may_be_held_twice() -> None:
    coin, empty = Coin("a"), ()
    value = Player(None, [Plain(), Plain()], {"a": [coin], "b": [coin]}, empty, [coin, coin])

    assert codec_for(Player).lost(value) is None


def test_a_derived_attribute_may_not_share_what_a_field_holds() -> None:
    @dataclass
    class Indexed:
        every: list[Plain] = field(default_factory=list)

        def __post_init__(self) -> None:
            self._index = {plain.name: plain for plain in self.every}

    codec = codec_for(Indexed)

    assert codec.lost(Indexed([Plain("a")])) == "Indexed._index{} and Indexed.every[]"
    assert codec.lost(Indexed()) is None


def test_a_long_chain_is_looked_at_without_recursion() -> None:
    codec = codec_for(Player)
    value: Any = []
    for _ in range(5000):
        value = [value]

    assert codec.lost(Player(every=value)) is None


@dataclass(frozen=True)
class Key:
    name: str
    marks: list[int] = field(default_factory=list, hash=False)


@dataclass
class Keyed:
    by_key: dict[Key, int]


def test_a_part_that_two_keys_share_is_told() -> None:
    marks = [1]
    assert codec_for(Keyed).lost(Keyed({Key("a", marks): 1, Key("b", marks): 2})) is not None
    assert codec_for(Keyed).lost(Keyed({Key("a", [1]): 1, Key("b", [1]): 2})) is None
