"""Values that no annotation describes say themselves what they are."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spry_sqla.codec import OpenCodec
from spry_sqla.errors import UnreadableContent, UnusableValue

from .values import (
    CLASSES,
    SCALARS,
    Color,
    Leg,
    Mixed,
    Model,
    Money,
    Pair,
    Place,
    Point,
    Ratio,
    Right,
    Size,
    Suit,
    make_class,
    same,
)

CODEC = OpenCodec(
    [Color, Size, Suit, Right, Point, Mixed, Ratio, Money, Place, Leg, Pair, Model, Color]
)
leaves = st.one_of([values for _, values in SCALARS + CLASSES])
values = st.recursive(
    leaves | st.binary(max_size=3).map(bytearray),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.sets(leaves, max_size=3),
        st.frozensets(leaves, max_size=3),
        st.dictionaries(st.text(max_size=3) | st.sampled_from(["$int", "$tuple"]), inner),
        st.dictionaries(leaves, inner, max_size=3),
    ),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None)
@given(values)
def test_any_value_comes_back(value: Any) -> None:
    assert same(value, CODEC.decode(CODEC.encode(value)))


def test_usual_values_are_plain_json() -> None:
    assert CODEC.encode({"user": "ada", "n": [1, 2.5, None, True]}) == (
        '{"user":"ada","n":[1,2.5,null,true]}'
    )


@pytest.mark.parametrize(
    "value", [object(), {"a": [float("nan")]}, "\ud800", {"\ud800": 1}, 1j, {1: {2: print}}]
)
def test_what_cannot_be_kept_is_refused(value: Any) -> None:
    with pytest.raises(UnusableValue, match=r"^metadata"):
        CODEC.encode(value)


def test_classes_of_one_name_are_refused_only_when_used() -> None:
    other = make_class("dataclass", {})
    other.__name__ = "Color"
    codec = OpenCodec([Color, other, Size])

    assert codec.decode(codec.encode(Size.SMALL)) is Size.SMALL
    with pytest.raises(UnusableValue, match="another class has that name"):
        codec.encode(Color.RED)


def test_a_class_that_is_not_registered_is_refused() -> None:
    @dataclasses.dataclass
    class Stranger:
        name: str = "s3cr3t"

    with pytest.raises(UnusableValue, match=r"^metadata\{\}: a Stranger cannot be kept") as refused:
        CODEC.encode({"a": Stranger()})
    assert "s3cr3t" not in str(refused.value)
    with pytest.raises(UnreadableContent, match="class Stranger that"):
        CODEC.decode('{"$Stranger": {}}')


def test_a_class_that_is_called_as_a_built_in_one_is_refused() -> None:
    date = dataclasses.make_dataclass("date", [("day", int, 1)])

    with pytest.raises(UnusableValue, match="another class has that name"):
        OpenCodec([date]).encode(date())
