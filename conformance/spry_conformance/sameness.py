"""What it means that a value came back the same: equal, of one type, and what `==` does not see.

Scale of a Decimal, sign of a zero, fold and time zone, order of a dict, all the way down.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import zip_longest
from typing import Any
from uuid import UUID

from spry_conformance.lab import Broken


def expect_same(found: object, expected: object, what: str) -> None:
    """Raises Broken, which names the first part that differs."""
    for where, one, other in _differences(found, expected, ""):
        raise Broken(f"{what}{where}: expected {_shown(other)}, and found {_shown(one)}")


def same(one: object, other: object) -> bool:
    """Whether two values are the same."""
    return not any(True for _ in _differences(one, other, ""))


Difference = tuple[str, object, object]
_NOTHING = object()
_PLAIN = frozenset([str, int, bool, bytes, date, timedelta, UUID])
"""What has no more to it than `==` sees."""


def _differences(one: Any, other: Any, at: str) -> Iterator[Difference]:
    if one is other:
        return
    if type(one) is not type(other):
        yield at, one, other
    elif type(one) in _PLAIN:
        if one != other:
            yield at, one, other
    elif is_dataclass(one):
        for each in fields(one):
            parts = getattr(one, each.name), getattr(other, each.name)
            yield from _differences(*parts, f"{at}.{each.name}")
    elif isinstance(one, list | tuple):
        yield from _in_turn(one, other, at)
    elif isinstance(one, dict):
        yield from _in_turn([*one.items()], [*other.items()], at)
    elif isinstance(one, set | frozenset):
        yield from _in_turn(_sorted(one), _sorted(other), at)
    elif one != other or _unseen(one) != _unseen(other):
        yield at, one, other


def _in_turn(one: Sequence[Any], other: Sequence[Any], at: str) -> Iterator[Difference]:
    for place, (mine, theirs) in enumerate(zip_longest(one, other, fillvalue=_NOTHING)):
        yield from _differences(mine, theirs, f"{at}[{place}]")


def _sorted(values: Iterable[Any]) -> list[Any]:
    return sorted(values, key=lambda value: (type(value).__name__, repr(value)))


def _unseen(value: Any) -> object:
    """What two equal values may differ in."""
    match value:
        case float():
            return math.copysign(1, value)
        case Decimal():
            return value.as_tuple()
        case datetime() | time():
            # Two moments are equal whose zones differ, and in one zone whatever their fold.
            naive = value.replace(tzinfo=None, fold=0)
            return naive, value.fold, type(value.tzinfo), value.tzinfo
    return None


def _shown(value: object) -> str:
    if value is _NOTHING:
        return "nothing"
    fold = " with fold=1" * (isinstance(value, datetime | time) and value.fold)
    text = repr(value) + fold
    shown = text if len(text) < 400 else f"{text[:200]} … {text[-100:]}"
    return f"{shown} ({type(value).__name__})"
