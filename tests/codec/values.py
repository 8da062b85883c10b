"""Strategies for annotations with values that fit them, and what it means to be the same value."""

import dataclasses
import enum
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NewType, TypeVar, Union
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import msgspec
import pydantic
from hypothesis import strategies as st


class Color(enum.Enum):
    RED = "red"
    BLUE = "bleu"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Suit(enum.StrEnum):
    HEART = "♥"
    SPADE = "s"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Point(enum.Enum):
    ORIGIN = (0, 0)
    UNIT = (1, 1)


class Mixed(enum.Enum):
    ONE = 1
    TWO = "2"


class Ratio(enum.Enum):
    HALF = 0.5


Word = NewType("Word", str)
T = TypeVar("T")


@dataclasses.dataclass(frozen=True, slots=True)
class Money:
    amount: Decimal
    currency: str = "EUR"


@attrs.frozen
class Place:
    _name: str
    at: datetime | None = None


class Leg(msgspec.Struct, frozen=True, rename="camel", tag="leg"):
    from_where: Place
    price: Money | int


class Pair(NamedTuple):
    left: int
    right: str | None = None


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True)
    level: int = pydantic.Field(alias="Level", default=0)


text = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["", "\0", "2020-01-01", "$int", "e\u0301", "\u2028", '"\\', "😀", "P1D", "1.0"]
)
offsets = st.one_of(
    st.just(UTC),
    st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m))),
    st.integers(-86399, 86399).map(lambda s: timezone(timedelta(seconds=s))),
    st.integers(-86399999999, 86399999999).map(lambda u: timezone(timedelta(microseconds=u))),
    st.sampled_from(["Europe/Berlin", "UTC", "Asia/Kathmandu", "America/New_York"]).map(ZoneInfo),
)
folds = st.sampled_from([0, 0, 1])
integers = st.integers() | st.sampled_from([2**53 + 1, 2**63, -(2**64), 10**40, 10**3000, 0, 1])
floats = st.floats(allow_nan=False, allow_infinity=False) | st.just(-0.0)
SCALARS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, text),
    (int, integers),
    (bool, st.booleans()),
    (float, floats | st.integers(-5, 5)),
    (type(None), st.none()),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False) | st.just(Decimal("1E+9"))),
    (
        datetime,
        st.builds(
            lambda at, zone, fold: at.replace(tzinfo=zone, fold=fold),
            st.datetimes(),
            st.none() | offsets,
            folds,
        ),
    ),
    (date, st.dates()),
    (
        time,
        st.builds(
            lambda at, zone, fold: at.replace(tzinfo=zone, fold=fold),
            st.times(),
            st.none() | offsets,
            folds,
        ),
    ),
    (timedelta, st.timedeltas()),
    (UUID, st.uuids()),
    (bytes, st.binary(max_size=8)),
    (Color, st.sampled_from(Color)),
    (Size, st.sampled_from(Size)),
    (Suit, st.sampled_from(Suit)),
    (Right, st.integers(0, 3).map(Right)),
    (Point, st.sampled_from(Point)),
    (Mixed, st.sampled_from(Mixed)),
    (Ratio, st.sampled_from(Ratio)),
    (Word, text),
    (Annotated[int, "points"], integers),
    (Literal["a", "b"], st.sampled_from(["a", "b"])),
    (Literal[1, True, "x"] | None, st.sampled_from([1, True, "x", None])),
    (Literal[Color.RED, b"x"], st.sampled_from([Color.RED, b"x"])),
]
_money = st.builds(Money, SCALARS[5][1], text)
_place = st.builds(Place, text, st.none() | SCALARS[6][1])
CLASSES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (Money, _money),
    (Place, _place),
    (Leg, st.builds(Leg, _place, _money | integers)),
    (Pair, st.builds(Pair, integers, st.none() | text)),
    (Model, integers.map(lambda level: Model.model_construct(Level=level))),
]
hashables = st.sampled_from(SCALARS + CLASSES)
anything = hashables | st.just((bytearray, st.binary(max_size=5).map(bytearray)))


def of(origin: Any, *arguments: Any) -> Any:
    """`origin[arguments]`, for what is known only at run time."""
    return origin[arguments if len(arguments) > 1 else arguments[0]]


def _deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    pairs = st.tuples(inner, inner)
    return st.one_of(
        inner.map(lambda a: (of(list, a[0]), st.lists(a[1], max_size=3))),
        inner.map(lambda a: (of(tuple, a[0], ...), st.lists(a[1], max_size=3).map(tuple))),
        pairs.map(lambda p: (of(tuple, p[0][0], p[1][0]), st.tuples(p[0][1], p[1][1]))),
        hashables.map(lambda a: (of(set, a[0]), st.sets(a[1], max_size=4))),
        hashables.map(lambda a: (of(frozenset, a[0]), st.frozensets(a[1], max_size=4))),
        st.tuples(hashables, inner).map(
            lambda p: (of(dict, p[0][0], p[1][0]), st.dictionaries(p[0][1], p[1][1], max_size=3))
        ),
        inner.map(lambda a: (of(Sequence, a[0]), _listed(a[1]) | _listed(a[1]).map(tuple))),
        hashables.map(lambda a: (of(AbstractSet, a[0]), st.sets(a[1]) | st.frozensets(a[1]))),
        inner.map(lambda a: (of(Mapping, str, a[0]), st.dictionaries(text, a[1], max_size=3))),
        inner.map(lambda a: (a[0] | None if a[0] is not None else a[0], st.none() | a[1])),
        st.lists(inner, min_size=2, max_size=4).map(
            lambda many: (of(Union, *(each[0] for each in many)), st.one_of([e[1] for e in many]))
        ),
    )


def _listed(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(values, max_size=3)


annotated = st.recursive(anything, _deeper, max_leaves=5)
"""An annotation, and a strategy of values that fit it."""


def make_class(kind: str, fields: dict[str, Any]) -> Any:
    """A class of one kind with these fields."""
    match kind:
        case "dataclass":
            return dataclasses.make_dataclass("Made", fields.items())
        case "frozen dataclass":
            return dataclasses.make_dataclass("Made", fields.items(), frozen=True, slots=True)
        case "attrs":
            names = {name: attrs.field(type=each) for name, each in fields.items()}
            return attrs.make_class("Made", names)
        case "struct":
            return msgspec.defstruct("Made", list(fields.items()), rename="upper")
        case "model":
            config = pydantic.ConfigDict(arbitrary_types_allowed=True)
            parts: dict[str, Any] = {name: (each, ...) for name, each in fields.items()}
            return pydantic.create_model("Made", __config__=config, **parts)
    raise ValueError(kind)


KINDS = ["dataclass", "frozen dataclass", "attrs", "struct", "model"]


def make_value(cls: Any, values: dict[str, Any]) -> Any:
    if hasattr(cls, "model_construct"):
        return cls.model_construct(**values)
    return cls(**values)


def parts_of(value: Any) -> dict[str, Any] | None:
    """The fields of an instance, or None."""
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    if hasattr(value, "__pydantic_fields__"):
        return dict(value.__dict__)
    if hasattr(value, "__attrs_attrs__"):
        return {each.name: getattr(value, each.name) for each in value.__attrs_attrs__}
    if dataclasses.is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    return None


def same(one: Any, other: Any) -> bool:
    """Equal in value and type, all the way down, with what `==` does not see."""
    if type(one) is not type(other):
        return False
    parts = parts_of(one)
    if parts is not None:
        return same(parts, parts_of(other))
    if isinstance(one, float):
        return bool(one == other) and math.copysign(1, one) == math.copysign(1, other)
    if isinstance(one, Decimal):
        return bool(one.as_tuple() == other.as_tuple())
    if isinstance(one, datetime | time):
        zones = one.tzinfo, other.tzinfo
        naive = one.replace(tzinfo=None), other.replace(tzinfo=None)
        return bool(
            naive[0] == naive[1]
            and one.fold == other.fold
            and type(zones[0]) is type(zones[1])
            and zones[0] == zones[1]
        )
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same([*one.items()], [*other.items()])
    if isinstance(one, set | frozenset):
        return one == other and all(any(same(a, b) for b in other) for a in one)
    return bool(one == other)
