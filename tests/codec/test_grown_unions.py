"""What was stored before a union had its newest member is read by its form, or not at all."""

from dataclasses import dataclass, make_dataclass
from datetime import date
from functools import cache
from typing import Any
from uuid import UUID

import pytest

from spry_sqla.codec import codec_for
from spry_sqla.errors import UnreadableContent


@dataclass(frozen=True)
class Card:
    number: str


@dataclass(frozen=True)
class Iban:
    iban: str
    holder: str = ""


@dataclass(frozen=True)
class Voucher:
    number: str


@dataclass(frozen=True)
class Cash:
    till: int = 1


@cache
def paid(by: Any) -> Any:
    """A payment, in the release that has this annotation."""
    return make_dataclass("Paid", [("by", by)])


UUID_1 = UUID(int=1)


@pytest.mark.parametrize(
    ("before", "after", "value"),
    [
        (Card, Card | Iban, Card("4711")),
        (Iban, Card | Iban, Iban("DE02", "Ada")),
        (Card | None, Card | Iban | None, Card("4711")),
        (Card | str, Card | Iban | str, Card("4711")),
        (list[Card], list[Card | Iban], [Card("4711")]),
        (Card, Card | dict[str, int], Card("4711")),
        (dict[str, int] | None, dict[str, int] | int | None, {"a": 1}),
        (UUID, UUID | date, UUID_1),
        (tuple[int, ...], tuple[int, ...] | set[str], (1, 2)),
        (Card | Iban, Card | Iban | Cash, Iban("DE02")),
    ],
    ids=str,
)
def test_what_only_one_member_fits_is_of_that_member(before: Any, after: Any, value: Any) -> None:
    written = codec_for(paid(before)).encode(paid(before)(value))

    assert codec_for(paid(after)).decode(written).by == value


@pytest.mark.parametrize(
    ("before", "after", "value"),
    [
        (Card, Card | Voucher, Card("4711")),
        (Card, Card | Cash, Card("4711")),
        (tuple[int, ...], tuple[int, ...] | set[int], (1, 2)),
    ],
    ids=str,
)
def test_what_fits_two_members_is_not_guessed(before: Any, after: Any, value: Any) -> None:
    written = codec_for(paid(before)).encode(paid(before)(value))

    with pytest.raises(UnreadableContent, match="upcast"):
        codec_for(paid(after)).decode(written)


@pytest.mark.parametrize("after", [Cash | Iban, Cash | Iban | None, dict[str, Cash] | int])
def test_a_member_that_is_gone_is_not_read_as_one_that_has_only_defaults(after: Any) -> None:
    written = codec_for(paid(Card | Iban)).encode(paid(Card | Iban)(Card("4711")))

    with pytest.raises(UnreadableContent):
        codec_for(paid(after)).decode(written)
