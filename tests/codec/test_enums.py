"""A member of an Enum is stored in its own form, which no other member changes."""

from dataclasses import dataclass, make_dataclass
from enum import Enum
from functools import cache
from typing import Any, Literal

import msgspec
import pytest

from spry_sqla.codec import OpenCodec, codec_for
from spry_sqla.errors import UnreadableContent, UnusableType

BEFORE = {
    "texts": {"RED": "red", "BLUE": "bleu"},
    "integers": {"RED": 1, "BLUE": 0},
    "mixed": {"RED": "red", "BLUE": 2},
    "unusual": {"RED": (1, 2), "BLUE": None},
}
NEW = {"a text": "other", "an integer": 7, "None": None, "a tuple": (3,), "a big one": 2**70}


def grown(before: str, new: str) -> tuple[Any, Any]:
    """An Enum, and the same with a new member."""
    members = BEFORE[before]
    return Enum("Color", members), Enum("Color", {**members, "NEW": NEW[new]})


@cache
def holder(color: Any) -> Any:
    fields: list[tuple[str, Any]] = [
        ("one", color),
        ("maybe", color | None),
        ("some", set[color]),
        ("keys", dict[color, float]),
        ("with_int", color | int),
        ("with_text", color | str),
        ("with_float", color | float),
        ("with_list", dict[color, int] | list[int]),
        ("with_number", dict[color, int] | float),
        ("with_dict", dict[str, int] | color),
    ]
    return make_dataclass("Paint", fields)


def filled(cls: Any, member: Any, *, plain: bool) -> Any:
    by_member = {member: 1}
    if plain:
        return cls(member, None, {member}, {member: 2.5}, 5, "red", 1.0, [1], 1.0, {"a": 1})
    return cls(member, member, {member}, {}, member, member, member, by_member, by_member, member)


@pytest.mark.parametrize("new", NEW)
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("name", ["RED", "BLUE"])
@pytest.mark.parametrize("plain", [True, False])
def test_what_is_stored_outlasts_a_new_member(
    before: str, new: str, name: str, plain: bool
) -> None:
    old, later = grown(before, new)
    written = codec_for(holder(old)).encode(filled(holder(old), old[name], plain=plain))
    cls = holder(later)
    codec: Any = codec_for(cls)

    value = codec.decode(written)

    assert value == filled(cls, later[name], plain=plain)
    assert codec.decode(codec.encode(value)) == value
    assert msgspec.json.decode(codec.encode(value))["one"] == msgspec.json.decode(written)["one"]


@pytest.mark.parametrize("new", NEW)
@pytest.mark.parametrize("before", BEFORE)
def test_the_new_member_comes_back(before: str, new: str) -> None:
    cls = holder(color := grown(before, new)[1])
    codec: Any = codec_for(cls)

    for plain in (True, False):
        value = filled(cls, color["NEW"], plain=plain)
        assert codec.decode(codec.encode(value)) == value


def test_a_member_is_read_by_its_name_where_all_were_written_so() -> None:
    class Color(Enum):
        RED = "red"
        BLUE = 2
        NONE = None

    class Plain(Enum):
        RED = "red"

    for color in (Color, Plain):
        cls = make_dataclass("Paint", [("one", color), ("by", dict[color, int])])  # type: ignore[valid-type]
        codec: Any = codec_for(cls)
        red = color["RED"]

        assert codec.decode('{"one": "RED", "by": {"RED": 1}}') == cls(red, {red: 1})
        assert codec.decode('{"one": "red", "by": [["RED", 1]]}') == cls(red, {red: 1})


def test_a_name_comes_before_what_missing_answers() -> None:
    class Color(Enum):
        RED = "red"
        OTHER = "other"

        @classmethod
        def _missing_(cls, value: object) -> "Color":
            return cls.OTHER

    cls = make_dataclass("Paint", [("one", Color)])
    codec: Any = codec_for(cls)

    assert codec.decode('{"one": "RED"}').one is Color.RED
    assert codec.decode('{"one": "green"}').one is Color.OTHER


def test_a_name_that_is_the_value_of_another_is_refused() -> None:
    class Color(Enum):
        RED = "NONE"
        NONE = None

    with pytest.raises(UnusableType, match=r"^Color\.NONE is kept by its name"):
        codec_for(make_dataclass("Paint", [("one", Color)]))


def test_a_literal_of_a_member_outlasts_a_new_one() -> None:
    old, later = grown("texts", "an integer")

    @cache
    def paint(color: Any) -> Any:
        return make_dataclass("Paint", [("one", Literal[color.RED] | int)])

    written = codec_for(paint(old)).encode(paint(old)(old.RED))

    assert codec_for(paint(later)).decode(written) == paint(later)(later.RED)


def test_without_annotations_a_member_outlasts_a_new_one() -> None:
    old, later = grown("texts", "None")

    assert OpenCodec([later]).decode(OpenCodec([old]).encode(old.RED)) is later.RED


def test_a_text_that_is_neither_is_unreadable() -> None:
    color = grown("texts", "None")[1]

    for content in ('"green"', "true", "3", "1.5"):
        with pytest.raises(UnreadableContent):
            codec_for(make_dataclass("Paint", [("one", color)])).decode(f'{{"one": {content}}}')


class Suit(Enum):
    HEARTS = "x"


class Hue(Enum):
    RED = "x"


@dataclass
class Card:
    mark: Suit | Hue


def test_a_value_that_may_be_a_member_of_two_is_none_of_either() -> None:
    with pytest.raises(UnreadableContent):
        codec_for(Card).decode('{"mark":"x"}')
