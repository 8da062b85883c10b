"""What cannot be kept is refused, and told by class, field and type, never by value."""

import collections
import dataclasses
import pathlib
import traceback
from collections.abc import Callable, Iterable
from dataclasses import InitVar, dataclass, field, make_dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from enum import Enum
from typing import (
    Any,
    ClassVar,
    ForwardRef,
    Generic,
    Protocol,
    Required,
    TypedDict,
    TypeVar,
)

import attrs
import pydantic
import pytest

from spry_sqla.codec import codec_for
from spry_sqla.errors import UnreadableContent, UnusableType, UnusableValue

T = TypeVar("T")
OPEN: Any = T
SECRET = "s3cr3t"


class Zone(tzinfo):
    def utcoffset(self, at: datetime | None) -> None:
        return None

    dst = utcoffset

    def tzname(self, at: datetime | None) -> None:
        return None


class Name(str):
    __slots__ = ()


class Shouting(Protocol):
    def shout(self) -> str: ...


@dataclass
class Line:
    price: Decimal
    note: str = ""


@dataclass
class Special(Line):
    pass


@dataclass
class Box(Generic[T]):
    held: T


@dataclass
class Order:
    lines: list[Line] = field(default_factory=list)
    prices: dict[str, float] = field(default_factory=dict)
    pair: tuple[int, str] = (0, "")
    choice: int | Line | None = None
    count: int = 0


@pytest.mark.parametrize(
    "annotation",
    [
        Any,
        object,
        Callable[[int], int],
        pathlib.Path,
        complex,
        collections.OrderedDict[str, int],
        collections.defaultdict[str, int],
        collections.OrderedDict,
        list,
        dict,
        tuple,
        list[Any],
        dict[str, Any],
        int | object,
        OPEN,
        list[OPEN],
        Box,
        "Nowhere",
        list[ForwardRef("Nowhere")],  # type: ignore[misc]
        Iterable[int],
        Name,
        Shouting,
        tzinfo,
        type[int],
        memoryview,
        Exception,
    ],
    ids=str,
)
def test_an_annotation_that_cannot_be_kept_is_refused_at_once(annotation: Any) -> None:
    cls = make_dataclass("Order", [("price", annotation)])

    with pytest.raises(UnusableType) as refused:
        codec_for(cls)

    assert "price" in str(refused.value) or "Box.held" in str(refused.value)
    assert "Order" in str(refused.value) or "Box" in str(refused.value)
    assert ";" in str(refused.value), "it says what to do"


def test_classes_that_hide_their_state_are_refused() -> None:
    class Plain:
        hit_points: int

    class Custom:
        def __init__(self) -> None:
            self.hit_points = 1

    class Undecorated(Line):
        more: int = 0

    @dataclass
    class Initial:
        start: InitVar[int]

    @dataclass
    class Mapping(dict):  # type: ignore[type-arg]
        more: int = 0

    bare = attrs.make_class("Bare", {"name": attrs.field()})

    for cls in (Plain, Custom, Undecorated, Initial, Mapping, bare):
        with pytest.raises(UnusableType, match=cls.__name__):
            codec_for(cls)


def test_a_class_that_declares_nothing_has_nothing_to_keep() -> None:
    class Nothing:
        meta: ClassVar[int] = 3

        def apply(self) -> None: ...

    codec = codec_for(Nothing)

    assert codec.encode(Nothing()) == "{}"
    assert type(codec.decode("{}")) is Nothing


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"lines": [Line(SECRET)]}, "Order.lines[].price"),  # type: ignore[arg-type]
        ({"lines": [Line(Decimal("nan"))]}, "Order.lines[].price"),
        ({"lines": [Special(Decimal(1))]}, "Order.lines[]"),
        ({"lines": (Line(Decimal(1)),)}, "Order.lines"),
        ({"lines": SECRET}, "Order.lines"),
        ({"lines": [Line(Decimal(1), SECRET + "\ud800")]}, "Order.lines[].note"),
        ({"lines": [Line(Decimal(1), Name(SECRET))]}, "Order.lines[].note"),
        ({"prices": {SECRET: float("inf")}}, "Order.prices{}"),
        ({"prices": {SECRET: float("nan")}}, "Order.prices{}"),
        ({"prices": {SECRET: SECRET}}, "Order.prices{}"),
        ({"prices": {SECRET: True}}, "Order.prices{}"),
        ({"prices": {SECRET + "\udfff": 1.0}}, "Order.prices{}"),
        ({"prices": collections.OrderedDict(s3cr3t=1.0)}, "Order.prices"),
        ({"pair": (1, 2)}, "Order.pair[1]"),
        ({"pair": (1, SECRET, 3)}, "Order.pair"),
        ({"choice": SECRET}, "Order.choice"),
        ({"choice": Line(SECRET)}, "Order.choice.price"),  # type: ignore[arg-type]
        ({"count": True}, "Order.count"),
        ({"count": None}, "Order.count"),
        ({"count": 1.0}, "Order.count"),
    ],
    ids=lambda each: each if isinstance(each, str) else None,
)
def test_a_value_that_would_not_come_back_is_refused(change: dict[str, Any], path: str) -> None:
    order = dataclasses.replace(Order(), **change)

    with pytest.raises(UnusableValue) as refused:
        codec_for(Order).encode(order)

    assert str(refused.value).startswith(f"{path}: ")
    assert SECRET not in "".join(traceback.format_exception(refused.value))
    assert refused.value.__context__ is None


def test_a_time_zone_of_ones_own_is_refused() -> None:
    cls = make_dataclass("Meeting", [("at", datetime)])

    with pytest.raises(UnusableValue, match=r"Meeting\.at: its tzinfo is a Zone"):
        codec_for(cls).encode(cls(datetime(2020, 1, 1, tzinfo=Zone())))


def test_extra_values_of_a_model_are_refused() -> None:
    class Loose(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="allow")
        name: str

    with pytest.raises(UnusableValue, match="Loose: it holds extra values"):
        codec_for(Loose).encode(Loose(name="a", other=SECRET))  # type: ignore[call-arg]


def test_values_that_hold_themselves_or_lie_too_deep_are_refused() -> None:
    order = Order()
    order.lines.append(order)  # type: ignore[arg-type]
    with pytest.raises(UnusableValue):
        codec_for(Order).encode(order)

    node = Chain(None)
    node.next = node
    with pytest.raises(UnusableValue, match="nested too deeply"):
        codec_for(Chain).encode(node)


@dataclass
class Chain:
    next: "Chain | None"


def test_what_can_be_encoded_is_not_too_deep_to_decode() -> None:
    codec = codec_for(Chain)
    depth = 100
    deepest = ""
    while depth < 100_000:
        chain = Chain(None)
        for _ in range(depth):
            chain = Chain(chain)
        try:
            deepest = codec.encode(chain)
        except UnusableValue:
            break
        depth = depth * 11 // 10

    codec.decode(deepest)


def test_content_that_is_nested_too_deeply_is_unreadable() -> None:
    content = '{"next": ' * 100_000 + "null" + "}" * 100_000

    with pytest.raises(UnreadableContent, match=r"^Chain: it is nested too deeply"):
        codec_for(Chain).decode(content)


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ("", "Order"),
        (f'{{"{SECRET}"', "Order"),
        (f'"{SECRET}"', "Order"),
        (f'{{"lines": ["{SECRET}"]}}', "Order.lines[]"),
        ('{"lines": [{}]}', "Order.lines[].price"),
        (f'{{"lines": [{{"price": "{SECRET}"}}]}}', "Order.lines[].price"),
        (f'{{"prices": {{"{SECRET}": "{SECRET}"}}}}', "Order.prices{}"),
        (f'{{"count": "{SECRET}"}}', "Order.count"),
        ('{"count": 1.5}', "Order.count"),
        ('{"pair": [1]}', "Order.pair"),
        (f'{{"choice": "{SECRET}"}}', "Order.choice"),
        ('{"prices": {"a": 1e400}}', "Order"),
        ("\ud800", "Order"),
    ],
)
def test_content_that_does_not_fit_is_told_by_class_and_field(content: str, path: str) -> None:
    with pytest.raises(UnreadableContent) as refused:
        codec_for(Order).decode(content)

    assert str(refused.value).startswith(f"{path}: ")
    assert SECRET not in "".join(traceback.format_exception(refused.value))
    assert refused.value.__context__ is None


def test_an_unknown_member_of_an_enum_is_unreadable_and_not_told() -> None:
    class Color(Enum):
        RED = "red"

    cls = make_dataclass("Paint", [("color", Color)])

    with pytest.raises(UnreadableContent, match=r"^Paint\.color: ") as refused:
        codec_for(cls).decode(f'{{"color": "{SECRET}"}}')
    assert SECRET not in "".join(traceback.format_exception(refused.value))


@dataclass
class Loose:
    number: int


@dataclass
class Stored:
    items: set[Loose] = field(default_factory=set)
    grams: float = 0.0
    at: datetime | None = None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"items":[{"number":1}]}', "no hash"),
        ('{"grams":1%s}' % ("0" * 400), "grams"),
        ('{"at":"2020-01-01T00:00:00+01:00[Nowhere/Nope]"}', "tzdata"),
    ],
    ids=["a set of what has no hash", "too large for a float", "a zone that is not known"],
)
def test_content_that_was_written_by_others_is_unreadable(content: str, reason: str) -> None:
    with pytest.raises(UnreadableContent, match=reason):
        codec_for(Stored).decode(content)


class Late(TypedDict, total=False):
    a: "Required[int]"  # as `from __future__ import annotations` has it
    b: int


@dataclass
class HoldsLate:
    late: Late


def test_a_key_that_is_required_is_missed() -> None:
    with pytest.raises(UnusableValue, match="required"):
        codec_for(HoldsLate).encode(HoldsLate({"b": 1}))  # type: ignore[typeddict-item]
