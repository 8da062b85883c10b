"""Copies are equal and share nothing that can change."""

import dataclasses
import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import attrs
import msgspec
import pydantic
import pytest

from spry_sqla.codec import codec_for
from spry_sqla.errors import UnusableValue


@dataclass
class Inner:
    values: list[int] = field(default_factory=list)


@dataclass
class Plain:
    inner: Inner = field(default_factory=Inner)
    many: list[Inner] = field(default_factory=list)
    by_name: dict[str, set[int]] = field(default_factory=dict)
    pair: tuple[int, list[int]] = (0, [])
    name: str = ""

    @cached_property
    def size(self) -> list[int]:
        return [1]


@dataclass(slots=True)
class Slotted:
    inner: Inner = field(default_factory=Inner)
    name: str = ""


@dataclass(frozen=True)
class Frozen:
    inner: Inner = field(default_factory=Inner)
    name: str = ""


@attrs.define
class Attrs:
    inner: Inner = attrs.field(factory=Inner)
    _name: str = ""


class Struct(msgspec.Struct):
    inner: Inner = msgspec.field(default_factory=Inner)
    name: str = ""


class Model(pydantic.BaseModel):
    inner: Inner = pydantic.Field(default_factory=Inner)
    _private: list[int] = pydantic.PrivateAttr(default_factory=list)


@dataclass(frozen=True)
class Event:
    name: str
    numbers: tuple[int, ...] = ()


@pytest.mark.parametrize("cls", [Plain, Slotted, Frozen, Attrs, Struct, Model])
def test_a_copy_shares_no_mutable_part(cls: Any) -> None:
    value = cls()
    value.inner.values.append(1)

    copied = codec_for(cls).copy(value)

    assert type(copied) is cls
    assert copied == value
    copied.inner.values.append(2)
    assert value.inner.values == [1]


def test_containers_are_copied_all_the_way_down() -> None:
    value = Plain(Inner([1]), [Inner([2])], {"a": {3}}, (4, [5]), "x")

    copied = codec_for(Plain).copy(value)

    assert copied == value
    assert copied.many is not value.many
    assert copied.many[0].values is not value.many[0].values
    assert copied.by_name["a"] is not value.by_name["a"]
    assert copied.pair[1] is not value.pair[1]


def test_a_part_that_occurs_twice_is_one_in_the_copy_too() -> None:
    part = Inner([1])
    value = Plain(part, [part, Inner([2])], {"a": {3}}, (4, part.values), "x")

    copied = codec_for(Plain).copy(value)

    assert copied.inner is copied.many[0] is not part
    assert copied.pair[1] is copied.inner.values is not part.values
    assert copied.many[1].values == [2]


def test_undeclared_attributes_are_kept() -> None:
    value = Plain()
    value.extra = [3]  # type: ignore[attr-defined]

    copied = codec_for(Plain).copy(value)

    assert copied.extra == [3]  # type: ignore[attr-defined]
    assert copied.extra is not value.extra  # type: ignore[attr-defined]


@dataclass
class Dated:
    values: list[int] = field(default_factory=list)

    @cached_property
    def total(self) -> int:
        return sum(self.values) if self.values else self.values[0]


@dataclass(frozen=True)
class Sealed:
    values: tuple[int, ...] = ()

    @cached_property
    def total(self) -> list[int]:
        return list(self.values)


@attrs.define
class SlottedDated:
    values: list[int] = attrs.field(factory=list)

    @cached_property
    def total(self) -> int:
        return sum(self.values) if self.values else self.values[0]


class StructDated(msgspec.Struct, dict=True):
    values: list[int] = msgspec.field(default_factory=list)

    @cached_property
    def total(self) -> int:
        return sum(self.values) if self.values else self.values[0]


class ModelDated(pydantic.BaseModel):
    values: list[int] = pydantic.Field(default_factory=list)

    @cached_property
    def total(self) -> int:
        return sum(self.values) if self.values else self.values[0]


DATED = pytest.mark.parametrize("cls", [Dated, SlottedDated, StructDated, ModelDated])


@DATED
def test_a_cached_property_is_not_computed_by_a_copy(cls: Any) -> None:
    copied = codec_for(cls).copy(cls())
    copied.values.append(3)

    assert copied.total == 3


@DATED
def test_a_cached_value_is_not_carried_to_a_copy_that_may_change(cls: Any) -> None:
    value = cls(values=[1])
    assert value.total == 1

    copied = codec_for(cls).copy(value)
    copied.values.append(3)

    assert copied.total == 4
    assert value.total == 1


def test_an_immutable_value_does_not_share_what_it_cached() -> None:
    value = Sealed((1,))
    value.total.append(2)

    assert codec_for(Sealed).copy(value).total == [1]


@attrs.frozen(cache_hash=True)
class SlottedPlace:
    name: str
    pair: tuple[int, list[int]] = attrs.field(default=(0, []), hash=False)


@attrs.frozen(cache_hash=True, slots=False)
class Place:
    name: str
    pair: tuple[int, list[int]] = attrs.field(default=(0, []), hash=False)


@pytest.mark.parametrize("cls", [SlottedPlace, Place])
def test_a_hash_that_attrs_caches_is_computed_anew(cls: Any) -> None:
    codec = codec_for(cls)
    place = cls("a")

    for other in (codec.copy(place), codec.decode(codec.encode(place))):
        assert hash(other) == hash(place)
        assert hash(codec.copy(other)) == hash(place)


def test_private_attributes_of_a_model_are_copied() -> None:
    value = Model()
    value._private.append(1)

    copied = codec_for(Model).copy(value)
    copied._private.append(2)

    assert value._private == [1]


def test_an_immutable_value_is_its_own_copy() -> None:
    event = Event("a", (1, 2))

    assert codec_for(Event).copy(event) is event


def test_values_of_a_wrong_type_are_copied_too() -> None:
    class Odd:
        def __init__(self) -> None:
            self.held = [1]

    value = Plain(name=[Odd()])  # type: ignore[arg-type]

    copied = codec_for(Plain).copy(value)

    assert copied.name[0].held == [1]  # type: ignore[attr-defined]
    assert copied.name[0].held is not value.name[0].held  # type: ignore[attr-defined]


def test_a_value_that_holds_itself_is_copied() -> None:
    value = Plain()
    many: list[Any] = value.many
    many.append(value)

    copied: Any = codec_for(Plain).copy(value)

    assert copied.many[0] is copied


def test_what_cannot_be_copied_is_told() -> None:
    value = Plain()
    value.lock = threading.Lock()  # type: ignore[attr-defined]

    with pytest.raises(UnusableValue, match=r"Plain\.lock: a lock cannot be copied"):
        codec_for(Plain).copy(value)


def test_what_lies_too_deep_to_copy_is_refused() -> None:
    codec = codec_for(Node)

    with pytest.raises(UnusableValue, match=r"^Node: it is nested too deeply"):
        codec.copy(chain(5000))


@pytest.mark.parametrize("cls", ["Node", "SlottedNode", "Tree"])
def test_what_can_be_encoded_is_not_too_deep_to_copy(cls: str) -> None:
    kind: Any = {"Node": Node, "SlottedNode": SlottedNode, "Tree": Tree}[cls]
    codec: Any = codec_for(kind)
    encoded = 0
    for depth in range(20, 1000, 20):
        value = chain(depth, kind)
        try:
            codec.encode(value)
        except UnusableValue:
            break
        encoded = depth
        codec.copy(value)

    assert encoded > 100


@dataclass
class Node:
    inner: "Node | None"
    marks: list[int] = field(default_factory=list)


@dataclass(slots=True)
class SlottedNode:
    inner: "SlottedNode | None"


@dataclass
class Tree:
    inner: "list[Tree]"


def chain(depth: int, cls: Any = Node) -> Any:
    """A value that is nested `depth` times."""
    value = cls([] if cls is Tree else None)
    for _ in range(depth - 1):
        value = cls([value] if cls is Tree else value)
    return value


def test_an_unset_slot_stays_unset() -> None:
    value = Slotted()
    del value.name

    assert not hasattr(codec_for(Slotted).copy(value), "name")


def test_private_slots_are_copied() -> None:
    @dataclasses.dataclass(slots=True)
    class Private:
        __hidden: int = 3

    assert codec_for(Private).copy(Private()) == Private()
    assert codec_for(Private).decode("{}") == Private()


class Open(msgspec.Struct, dict=True):
    """Has room for what it does not declare."""

    a: int = 0

    @cached_property
    def doubled(self) -> int:
        return 2 * self.a


def test_what_a_struct_does_not_declare_is_copied_and_what_it_has_computed_is_not() -> None:
    value: Any = Open(3)
    value.hidden = [1]
    assert value.doubled == 6

    copied: Any = codec_for(Open).copy(value)

    assert copied.hidden == [1]
    assert copied.hidden is not value.hidden
    assert vars(copied) == {"hidden": [1]}


@dataclass(frozen=True)
class Key:
    name: str
    marks: list[int] = field(default_factory=list, hash=False)


@dataclass
class Keyed:
    by_key: dict[Key, int] = field(default_factory=dict)
    keys: set[Key] = field(default_factory=set)


def test_keys_of_dicts_and_elements_of_sets_are_copied() -> None:
    value = Keyed({Key("a"): 1}, {Key("a")})

    copied = codec_for(Keyed).copy(value)
    next(iter(copied.by_key)).marks.append(1)
    next(iter(copied.keys)).marks.append(1)

    assert value == Keyed({Key("a"): 1}, {Key("a")})


@dataclass
class Careful:
    values: list[int] = field(default_factory=list)

    def __deepcopy__(self, memo: Any) -> "Careful":
        return Careful([*self.values, -1])


@dataclass
class HoldsCareful:
    careful: Careful = field(default_factory=Careful)


def test_a_class_that_copies_itself_does_so() -> None:
    assert codec_for(HoldsCareful).copy(HoldsCareful()).careful.values == [-1]
