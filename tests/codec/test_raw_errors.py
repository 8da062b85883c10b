"""Errors of Python and msgspec do not reach the user; those of the application's own code do."""

import datetime as dt
from dataclasses import dataclass
from typing import Any, cast

import pytest

import spry_sqla as spry
from spry_sqla.clock import ceiling_of
from spry_sqla.domain import Domain


@dataclass(frozen=True)
class Paid(spry.Event, version=2):
    amount: int

    def apply(self, state: "Purse") -> "Purse":
        return state

    @classmethod
    def upcast(cls, content: dict[str, Any], version: int) -> dict[str, Any]:
        return {"amount": content["cents"] // 100}


@dataclass
class Purse(spry.Actor):
    amount: int = 0

    def identifiers(self) -> spry.Identifiers:
        return {}


def test_an_older_row_that_is_no_json_is_unreadable() -> None:
    kind = Domain(Paid, Purse).event(Paid)

    for version in (1, 2):
        with pytest.raises(spry.UnreadableContent, match=r"^Paid: the stored content is not JSON"):
            kind.decode("{", version, table="events")


def test_what_an_upcast_raises_is_left_as_it_is() -> None:
    kind = Domain(Paid, Purse).event(Paid)

    with pytest.raises(KeyError, match="cents"):
        kind.decode("{}", 1, table="events")
    with pytest.raises(TypeError):
        kind.decode('{"cents": null}', 1, table="events")


@pytest.mark.parametrize("time", [dt.date(2020, 1, 1), "2020-01-01", 3, dt.datetime(2020, 1, 1)])
def test_a_ceiling_is_of_an_aware_datetime(time: object) -> None:
    with pytest.raises(spry.UnusableValue, match=r"^at= must be an aware datetime"):
        ceiling_of(cast(dt.datetime, time))
