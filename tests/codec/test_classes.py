"""Each kind of class, with what is peculiar to it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from dataclasses import KW_ONLY, dataclass, field
from datetime import date, datetime, time, timezone
from typing import Any, ClassVar, Generic, NamedTuple, NotRequired, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest

from spry_sqla.codec import codec_for
from spry_sqla.errors import UnreadableContent, UnusableType

T = TypeVar("T")


@dataclass
class Player:
    """`__post_init__` is not idempotent, and would undo what happened since."""

    name: str
    log: list[str] = field(default_factory=list)
    max_points: int = 100
    points: int = field(init=False)
    level: ClassVar[int] = 1
    _: KW_ONLY
    day: dt.date | None = None

    def __post_init__(self) -> None:
        self.name = self.name + "!"
        self.log.append("made")
        self.points = self.max_points
        self.cache: dict[str, int] = {}


@dataclass
class Node:
    value: int
    children: list[Node] = field(default_factory=list)
    by_name: dict[str, Node] = field(default_factory=dict)
    parent: Node | None = None


@dataclass(frozen=True)
class Box(Generic[T]):
    held: T
    more: tuple[T, ...] = ()


@dataclass(frozen=True)
class IntBox(Box[int]):
    label: str = ""


@dataclass
class Shelf:
    numbers: Box[int]
    words: Box[str]
    boxed: Box[Box[str]]
    either: Box[int] | Box[str]


class Extra(TypedDict):
    name: str
    size: NotRequired[int]


class Spot(NamedTuple):
    x: int
    y: int = 5


@dataclass
class Held:
    extra: Extra
    spot: Spot


@attrs.define
class Account:
    _owner: str
    balance: int = attrs.field(converter=int, alias="start", default="7")  # type: ignore[assignment]
    log: list[str] = attrs.field(factory=list)
    twice: int = attrs.field(
        default=attrs.Factory(lambda self: self.balance * 2, takes_self=True), kw_only=True
    )


class Ride(msgspec.Struct, rename="camel", tag=True, forbid_unknown_fields=True):
    start_place: str
    stops: list[str] = []  # Structs copy it

    def __post_init__(self) -> None:
        self.stops.append("end")


class Row(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    a: int
    b: str = "b"


class Hero(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)
    name: str = pydantic.Field(alias="NAME", min_length=3)
    tags: list[str] = []
    _seen: int = pydantic.PrivateAttr(default=4)

    @pydantic.field_validator("name")
    @classmethod
    def _upper(cls, name: str) -> str:
        return name + "?"


def round_trip(value: Any) -> Any:
    codec = codec_for(type(value))
    content = codec.encode(value)
    assert codec.encode(codec.decode(content)) == content
    assert codec.decode(content) == value
    return codec.decode(content)


def test_a_post_init_runs_but_does_not_change_what_was_stored() -> None:
    player = Player("Ada", day=dt.date(2020, 1, 1))
    player.points = 3

    back = round_trip(player)

    assert (back.name, back.log, back.points, back.cache) == ("Ada!", ["made"], 3, {})


def test_a_post_init_may_give_a_field_that_older_content_lacks() -> None:
    assert codec_for(Player).decode('{"name": "Ada", "max_points": 9}').points == 9


def test_a_post_init_that_raises_makes_content_unreadable() -> None:
    @dataclass
    class Strict:
        name: str

        def __post_init__(self) -> None:
            raise ValueError(self.name)

    with pytest.raises(UnreadableContent, match="ValueError") as refused:
        codec_for(Strict).decode('{"name": "s3cr3t"}')
    assert "s3cr3t" not in str(refused.value)
    assert refused.value.__context__ is None


def test_recursive_classes_come_back() -> None:
    round_trip(Node(1, [Node(2), Node(3, [Node(4)])], {"a": Node(5)}, Node(6)))


def test_generic_classes_are_kept_by_what_they_are_bound_to() -> None:
    round_trip(Shelf(Box(1, (2,)), Box("a"), Box(Box("b")), Box("c")))
    round_trip(Shelf(Box(1, (2,)), Box("a"), Box(Box("b")), Box(7)))
    round_trip(IntBox(3, (4,), "five"))


def test_typed_dicts_and_named_tuples_come_back() -> None:
    round_trip(Held({"name": "a"}, Spot(1)))
    back = round_trip(Held({"size": 2, "name": "a"}, Spot(1, 2)))

    assert list(back.extra) == ["size", "name"]
    assert type(back.spot) is Spot
    old = codec_for(Held).decode('{"extra": {"name": "a", "gone": 1}, "spot": {"x": 1}}')
    assert old == Held({"name": "a"}, Spot(1, 5))


def test_attrs_classes_come_back_and_fill_what_is_missing() -> None:
    round_trip(Account("a", start=5, twice=3))

    assert codec_for(Account).decode('{"_owner": "a"}') == Account("a")


def test_structs_are_written_by_their_renamed_fields() -> None:
    ride = Ride("here")
    codec = codec_for(Ride)

    assert codec.encode(ride) == '{"startPlace":"here","stops":["end"]}'
    assert codec.decode(codec.encode(ride)) == ride
    assert codec.decode('{"startPlace":"x","stops":[],"removed":1}').stops == []
    round_trip(Row(a=1))


def test_models_come_back_without_aliases_and_validators() -> None:
    hero = Hero.model_construct(NAME="A", tags=["b"])

    assert codec_for(Hero).encode(hero) == '{"name":"A","tags":["b"]}'
    assert round_trip(hero)._seen == 4
    copied = codec_for(Hero).copy(hero)
    assert copied == hero
    assert copied.tags is not hero.tags


def test_a_field_that_was_removed_is_ignored_and_a_new_one_has_its_default() -> None:
    codec = codec_for(Node)

    assert codec.decode('{"value": 1, "gone": {"x": 1}}') == Node(1)
    assert codec.decode_builtins({"value": 1, "gone": 1}) == Node(1)
    with pytest.raises(UnreadableContent, match=r"Node\.value: .*default.*upcast"):
        codec.decode("{}")


def test_a_shape_changes_with_fields_types_and_defaults() -> None:
    def shape(*fields: Any) -> str:
        return codec_for(dataclasses.make_dataclass("Made", fields)).shape

    shapes = {
        shape(("a", int)),
        shape(("b", int)),
        shape(("a", str)),
        shape(("a", int, 1)),
        shape(("a", int, 2)),
        shape(("a", list[int])),
        shape(("a", Box[int])),
        shape(("a", Box[str])),
        shape(("a", int), ("b", int)),
    }
    assert len(shapes) == 9


def test_the_classes_that_annotations_reach_are_told() -> None:
    assert codec_for(Held).classes == {Extra, Spot}
    assert codec_for(Shelf).classes == {Box}
    assert codec_for(Node).classes == {Node}


def test_an_init_false_field_that_was_never_set_is_told() -> None:
    @dataclass
    class Late:
        points: int = field(init=False)

    with pytest.raises(Exception, match=r"Late\.points: it has no value"):
        codec_for(Late).encode(Late())


def test_a_tag_outlives_what_a_container_holds() -> None:
    narrow = dataclasses.make_dataclass("Made", [("a", "set[int] | list[int] | tuple[int, ...]")])
    wide = dataclasses.make_dataclass("Made", [("a", "set[float] | list[str] | tuple[int, str]")])

    assert codec_for(narrow).encode(narrow({1})) == '{"a":{"$set":[1]}}'
    assert codec_for(narrow).encode(narrow([1])) == '{"a":[1]}'
    assert codec_for(wide).decode('{"a":{"$set":[1]}}') == wide({1.0})


@dataclass
class Counted:
    inner: Counted | None = None
    made: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.made.append(1)


def test_a_post_init_does_not_make_deep_values_slow() -> None:
    value = None
    for _ in range(40):
        value = Counted(value)

    assert round_trip(value).inner.made == [1]


class Roomy(pydantic.BaseModel, extra="allow"):
    name: str = ""


def test_a_model_that_allows_extras_still_does_when_it_has_come_back() -> None:
    codec = codec_for(Roomy)
    again: Any = codec.decode(codec.encode(Roomy(name="a")))

    again.more = 1

    assert again.more == 1


class Booking(pydantic.BaseModel):
    at: datetime
    until: pydantic.AwareDatetime
    opened: pydantic.NaiveDatetime | None = None
    born: pydantic.PastDate | None = None
    daily: time | None = None


@pytest.mark.parametrize("offset", ["Z", "+02:00", "-09:30"])
def test_what_pydantic_parses_from_a_request_comes_back(offset: str) -> None:
    moment = f"2026-01-01T10:00:00.5{offset}"
    body = {"at": moment, "until": moment, "opened": "2026-01-01T10:00:00", "born": "1815-12-10"}
    booking = Booking.model_validate_json(json.dumps({**body, "daily": f"10:00:00{offset}"}))

    restored = round_trip(booking)

    assert type(restored.at.tzinfo) is type(restored.daily.tzinfo) is timezone
    assert restored.at.utcoffset() == restored.until.utcoffset() == booking.at.utcoffset()
    assert restored.daily.utcoffset() == booking.at.utcoffset()
    assert (restored.opened, restored.born) == (datetime(2026, 1, 1, 10), date(1815, 12, 10))


def test_other_classes_of_pydantic_are_refused_as_ever() -> None:
    class Site(pydantic.BaseModel):
        url: pydantic.HttpUrl

    with pytest.raises(UnusableType, match=r"Site\.url"):
        codec_for(Site)
