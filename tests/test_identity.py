"""Identifiers: one text for equal ones, another for different ones, and back again."""

import enum
import json
import unicodedata
import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal, localcontext
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import uuid6
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spry_sqla.errors import UnreadableContent, UnusableIdentifiers
from spry_sqla.identity import actor_id, canonical, digest, parse

relaxed = settings(deadline=None, max_examples=60)


class Color(enum.Enum):
    RED = "red"
    BLUE = 2
    PALE = Decimal("1.10")
    NOTHING = None


class Shade(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Suit(enum.StrEnum):
    HEARTS = "he\u0301arts"


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    BOTH = 3


class Twins(enum.Enum):
    COMPOSED = "\u00e9"
    DECOMPOSED = "e\u0301"


ENUMS: dict[str, type[enum.Enum]] = {it.__name__: it for it in (Color, Shade, Size, Suit, Access)}
MEMBERS = [Color.RED, Color.BLUE, Color.PALE, Shade.RED, *Size, *Suit, Access.READ, Access.WRITE]

texts = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["é", "e\u0301", "\u2126", "\u03a9", "1", "true", "2020-01-01", "\0", 'a"\\b', "\u1e9b\u0323"]
)
scalars = st.one_of(
    texts,
    st.integers(),
    st.integers(-2, 2),
    st.sampled_from([2**53 + 1, 2**63, -(2**63), 10**40, -(10**400)]),
    st.booleans(),
    st.uuids(),
    st.dates(),
    st.datetimes(),
    st.datetimes(
        datetime(2, 1, 1),
        datetime(9998, 1, 1),
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
    ),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.sampled_from(["1", "1.0", "1.10", "1.1", "-0", "0", "100", "1E+2", "1E+60"]).map(Decimal),
    st.sampled_from(MEMBERS),
)
names = texts.filter(bool)


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def normal(value: Any) -> tuple[type, Any]:
    """What two values must share to be one identifier, by Python's own equality."""
    if isinstance(value, enum.Enum):
        return type(value), value.name
    if isinstance(value, str):
        return str, nfc(value)
    if isinstance(value, datetime):
        return datetime, (value.tzinfo is None, value.replace(fold=0))
    return type(value), value


def distinct_names(identifiers: dict[str, Any]) -> bool:
    return len({nfc(name) for name in identifiers}) == len(identifiers)


identifiers = st.dictionaries(names, scalars, min_size=1, max_size=4).filter(distinct_names)


@relaxed
@given(scalars, scalars)
@example(1, True)
@example(1, "1")
@example(Decimal(1), 1)
@example(Size.SMALL, 1)
@example(Color.RED, Shade.RED)
@example(Color.RED, "red")
@example(date(2020, 1, 1), datetime(2020, 1, 1))
@example(date(2020, 1, 1), "2020-01-01")
@example(datetime(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC))
@example(datetime(2020, 1, 1, fold=1), datetime(2020, 1, 1))
@example(
    datetime(2020, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), datetime(2020, 1, 1, tzinfo=UTC)
)
@example(Decimal("1.10"), Decimal("1.1"))
@example(Decimal("-0"), Decimal("0E+5"))
@example("e\u0301", "\u00e9")
def test_texts_are_equal_exactly_where_values_are(one: Any, other: Any) -> None:
    equal = canonical({"it": one}) == canonical({"it": other})

    assert equal == (normal(one) == normal(other))


@relaxed
@given(identifiers, st.randoms())
def test_the_order_of_names_does_not_matter(given_: dict[str, Any], random: Any) -> None:
    items = list(given_.items())
    random.shuffle(items)

    assert canonical(dict(items)) == canonical(given_)


@relaxed
@given(identifiers, identifiers)
def test_texts_of_several_identifiers_tell_them_apart(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    def as_set(of: dict[str, Any]) -> set[tuple[str, Any]]:
        return {(nfc(name), normal(value)) for name, value in of.items()}

    assert (canonical(one) == canonical(other)) == (as_set(one) == as_set(other))


@relaxed
@given(identifiers)
def test_a_text_gives_the_identifiers_back(given_: dict[str, Any]) -> None:
    text = canonical(given_)

    back = parse(text, ENUMS)

    assert {name: normal(value) for name, value in back.items()} == {
        nfc(name): normal(value) for name, value in given_.items()
    }
    assert canonical(back) == text


@relaxed
@given(identifiers)
def test_the_text_is_what_the_standard_library_writes(given_: dict[str, Any]) -> None:
    text = canonical(given_)

    again = json.dumps(json.loads(text), ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    assert text == again
    assert text == nfc(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Ada", '"Ada"'),
        ("e\u0301", '"\u00e9"'),
        ('\0\b\x1f\x7f"\\/\u2028', '"\\u0000\\b\\u001f\x7f\\"\\\\/\u2028"'),
        (7, "7"),
        (2**64, "18446744073709551616"),
        (True, "true"),
        (Decimal("1.10"), '{"decimal":"1.1"}'),
        (Decimal("-0.00"), '{"decimal":"0"}'),
        (Decimal("1E+2"), '{"decimal":"100"}'),
        (Decimal("1E+40"), '{"decimal":"1E+40"}'),
        (Decimal("0.00000010"), '{"decimal":"1E-7"}'),
        (
            Decimal("123456789012345678901234567890.5"),
            '{"decimal":"123456789012345678901234567890.5"}',
        ),
        (Decimal("1E-1999999999999999997"), '{"decimal":"1E-1999999999999999997"}'),
        (uuid.UUID(int=1), '{"uuid":"00000000-0000-0000-0000-000000000001"}'),
        (uuid6.UUID(int=1), '{"uuid":"00000000-0000-0000-0000-000000000001"}'),
        (date(1, 2, 3), '{"date":"0001-02-03"}'),
        (datetime(1, 2, 3), '{"datetime":"0001-02-03T00:00:00.000000"}'),
        (datetime(2020, 1, 1, 12, tzinfo=UTC), '{"datetime":"2020-01-01T12:00:00.000000+00:00"}'),
        (
            datetime(2020, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")),
            '{"datetime":"2020-07-01T10:00:00.000000+00:00"}',
        ),
        (Color.RED, '{"enum":["Color","red"]}'),
        (Color.PALE, '{"enum":["Color",{"decimal":"1.1"}]}'),
        (Size.SMALL, '{"enum":["Size",1]}'),
        (Suit.HEARTS, '{"enum":["Suit","h\u00e9arts"]}'),
        (Access.READ, '{"enum":["Access",1]}'),
    ],
)
def test_known_texts(value: Any, text: str) -> None:
    assert canonical({"it": value}) == f'{{"it":{text}}}'


def test_known_digest_and_actor_id() -> None:
    text = canonical({"name": "Ada", "n": 1, "day": date(2020, 1, 1)})

    assert text == '{"day":{"date":"2020-01-01"},"n":1,"name":"Ada"}'
    assert digest(text).hex() == "95854b1aa02408fe314ff6665e64f719f57f0394ee57055cef35b55a2831319c"
    assert actor_id("Player", text) == "0d0c0517611f830e9d955ab5e376e590"
    assert actor_id("Motorist", '{"name":"Adé"}') == "4fa593f3377387ecba647903b77122e7"


@relaxed
@given(st.text(st.characters(exclude_categories=["Cs"])), identifiers)
def test_an_actor_id_is_a_uuid_of_version_8(actor_type: str, given_: dict[str, Any]) -> None:
    derived = actor_id(actor_type, canonical(given_))

    assert uuid.UUID(derived).hex == derived
    assert uuid.UUID(derived).version == 8
    assert uuid.UUID(derived).variant == uuid.RFC_4122


def test_an_actor_id_depends_on_the_type_and_where_it_ends() -> None:
    ids = {actor_id(it, '{"a":1}') for it in ("Player", "player", "Player\0", "Players")}

    assert len(ids) == 4


def test_any_mapping_will_do() -> None:
    assert canonical(MappingProxyType({"name": "Ada"})) == canonical({"name": "Ada"})


def test_the_decimal_context_of_the_application_has_no_say() -> None:
    value = Decimal("12345.678E+40")
    text = canonical({"it": value})

    with localcontext() as context:
        context.prec, context.capitals, context.Emax = 3, 0, 10
        changed = canonical({"it": value})

    assert changed == text
    assert parse(text, {})["it"] == value


class Name(str):
    __slots__ = ()


class Number(int):
    pass


@pytest.mark.parametrize(
    "value",
    [
        *(1.5, float("nan"), None, b"secret", ["secret"], {"secret": 1}, ("secret",), object()),
        *(Decimal("NaN"), Decimal("-Infinity"), Decimal("sNaN"), "secret\ud800", 10**5000),
        *(Name("secret"), Number(17), timedelta(1), str, Color.NOTHING, Twins.COMPOSED),
        *(Access.READ | Access.WRITE, Access(0), Access.BOTH),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_cannot_identify_is_refused_by_name(value: Any) -> None:
    with pytest.raises(UnusableIdentifiers) as refusal:
        canonical({"name": "Ada", "number": value})

    message = str(refusal.value)
    assert "number" in message or "Twins" in message
    assert "secret" not in message
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.mark.parametrize(
    "wrong",
    [{}, None, "name", [("name", "Ada")], {1: "Ada"}, {"": "Ada"}, {Name("name"): 1}, {None: 1}],
    ids=repr,
)
def test_what_is_no_mapping_of_names_is_refused(wrong: Any) -> None:
    with pytest.raises(UnusableIdentifiers):
        canonical(wrong)


def test_two_names_that_are_one_in_nfc_are_refused() -> None:
    with pytest.raises(UnusableIdentifiers, match="two identifiers are called 'é'"):
        canonical({"e\u0301": 1, "\u00e9": 2})


def test_a_name_with_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(UnusableIdentifiers, match="lone surrogate"):
        canonical({"\udc80": 1})


def test_an_enum_that_is_not_known_is_named() -> None:
    with pytest.raises(UnreadableContent, match=r"Domain\(\.\.\., Color\)"):
        parse(canonical({"color": Color.RED}), {})


def test_a_member_that_is_gone_is_named_by_its_enum() -> None:
    with pytest.raises(UnreadableContent, match="Shade") as refusal:
        parse('{"shade":{"enum":["Shade","secret"]}}', ENUMS)

    assert "secret" not in str(refusal.value)


def test_a_member_is_found_by_the_type_of_its_value_too() -> None:
    with pytest.raises(UnreadableContent):
        parse('{"size":{"enum":["Size",true]}}', ENUMS)


@pytest.mark.parametrize(
    "text",
    [
        *("", "secret", "[]", "1", '{"a":null}', '{"a":1.5}', '{"a":["secret"]}', '{"a":{}}'),
        *('{"a":{"decimal":"secret"}}', '{"a":{"uuid":"secret"}}', '{"a":{"date":"secret"}}'),
        *('{"a":{"datetime":"secret"}}', '{"a":{"secret":"1"}}', '{"a":{"enum":["Color"]}}'),
        *('{"a":{"decimal":1}}', '{"a":"\ud800"}', '{"a":{"enum":[1,2]}}'),
    ],
)
def test_a_text_that_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(UnreadableContent) as refusal:
        parse(text, ENUMS)

    assert "secret" not in str(refusal.value)
    assert refusal.value.__suppress_context__


class Odd(uuid.UUID):
    """Shows itself in a way of its own."""

    def __str__(self) -> str:
        return "odd"


def test_a_subclass_of_uuid_is_the_uuid_that_it_equals() -> None:
    assert canonical({"id": Odd(int=1)}) == canonical({"id": uuid.UUID(int=1)})


def test_where_a_decimal_begins_to_be_written_with_an_exponent_is_for_ever() -> None:
    zeros = "0" * 27
    assert canonical({"d": Decimal("1E+27")}) == f'{{"d":{{"decimal":"1{zeros}"}}}}'
    assert canonical({"d": Decimal("1E+28")}) == '{"d":{"decimal":"1E+28"}}'


@pytest.mark.parametrize("sign", [1, -1])
def test_an_int_that_nobody_could_read_again_is_refused(sign: int) -> None:
    with pytest.raises(UnusableIdentifiers, match="3,900 digits"):
        canonical({"n": sign * 10**5000})
