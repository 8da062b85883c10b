"""Identifiers: one canonical JSON text, its digest, and the actor id that derives from it.

Equal identifiers have one text, different ones have different texts, on every machine and for
ever: what is written here is a stored format. Parsed, a text gives identifiers that are equal, in
value and type, to those that it was made of, but for text in another form than NFC.
Which of them reaches which actor is left to the id map.
"""

import hashlib
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from enum import Enum
from functools import lru_cache
from typing import NoReturn
from uuid import UUID

import msgspec

from spry_sqla.errors import UnreadableContent, UnusableIdentifiers
from spry_sqla.model import Scalar

_SCALARS = "a plain str, int, bool, UUID, date, datetime, Decimal, or an Enum of those"
_WORD = 1 << 63
_LARGEST = 1 << 13_000  # Python and msgspec read integers of up to 4,300 digits; these have 3,914.
_EXPANDED = 28
_EXACT = Context(prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX, capitals=1, clamp=0, traps=[])
_encode = msgspec.json.Encoder(order="sorted").encode


def canonical(identifiers: Mapping[str, Scalar]) -> str:
    """Return the one JSON text of these identifiers.

    Names are sorted, text is in NFC, and every value keeps its type: str, int and bool are plain
    JSON; the others are objects of one key, `{"decimal":"1.1"}`, `{"uuid":…}`, `{"date":…}`,
    `{"datetime":…}`, `{"enum":["Color",1]}`. Decimals are written without trailing zeros, aware
    datetimes in UTC. A subclass of UUID counts as the UUID that it equals.

    Raises UnusableIdentifiers for what is empty, no mapping, or holds a name or a value that
    cannot identify.
    """
    # The common case, at a third of the cost: nothing to normalise.
    if type(identifiers) is dict and identifiers:
        for name, value in identifiers.items():
            if type(name) is not str or not name or not name.isascii():
                break
            kind = type(value)
            if kind is str:
                if not value.isascii():
                    break
            elif kind is int:
                if not -_WORD <= value < _WORD:
                    break
            elif kind is not bool:
                break
        else:
            return _encode(identifiers).decode()
    return _encode(_typed_mapping(identifiers)).decode()


def digest(text: str) -> bytes:
    """Return the SHA-256 of a canonical text, 32 bytes."""
    return hashlib.sha256(text.encode()).digest()


def actor_id(actor_type: str, text: str) -> str:
    """Derive the id of the actor of that stored name with these canonical identifiers.

    It is a UUIDv8 (RFC 9562) in 32 hexadecimal digits: the first 122 usable bits of a SHA-256.
    """
    # A canonical text holds no NUL (JSON escapes it), so the last NUL is always the separator.
    drawn = hashlib.sha256(f"{actor_type}\0{text}".encode()).hexdigest()
    variant = "89ab"[int(drawn[16], 16) & 3]
    return f"{drawn[:12]}8{drawn[13:16]}{variant}{drawn[17:32]}"


def parse(text: str, enums: Mapping[str, type[Enum]]) -> dict[str, Scalar]:
    """Return the identifiers that a canonical text was made of; `enums` maps names to classes.

    Raises UnreadableContent where the text is not canonical, or names an enum or one of its
    values that is not known.
    """
    try:
        content = msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.MsgspecError, ValueError):
        _unreadable()
    return {name: _value(name, item, enums) for name, item in content.items()}


def _typed_mapping(identifiers: Mapping[str, Scalar]) -> dict[str, object]:
    if not isinstance(identifiers, Mapping):
        raise UnusableIdentifiers(
            f"identifiers must be a mapping of names to values, not {type(identifiers).__name__}; "
            f'return a dict such as {{"name": self.name}}'
        )
    if not identifiers:
        raise UnusableIdentifiers("identifiers are empty; give at least one name and value")
    typed: dict[str, object] = {}
    for name, value in identifiers.items():
        if type(name) is not str or not name:
            raise UnusableIdentifiers(
                f"a name among the identifiers is an empty text or of type {type(name).__name__}; "
                "names are plain, non-empty str"
            )
        key = _text(name, name)
        if key in typed:
            raise UnusableIdentifiers(
                f"two identifiers are called {key!r} once their names are in Unicode's NFC; "
                "rename one"
            )
        typed[key] = _typed(name, value)
    return typed


def _typed(name: str, value: object) -> object:
    kind = type(value)
    if kind is bool:
        return value
    if isinstance(value, Enum):
        members = _members(type(value))
        if value._name_ not in members:
            raise UnusableIdentifiers(
                f"identifier {name!r} is a member of {kind.__name__} that cannot identify: its "
                f"value must be {_SCALARS}, and no combination of flags; give it such a value, or "
                "use that value itself as the identifier"
            )
        return {"enum": [kind.__name__, msgspec.Raw(members[value._name_])]}
    return _typed_plain(name, value)


def _typed_plain(name: str, value: object) -> object:
    kind = type(value)
    if kind is bool:
        return value
    if isinstance(value, str) and kind is str:
        return _text(name, value)
    if isinstance(value, int) and kind is int:
        if not -_LARGEST < value < _LARGEST:
            raise UnusableIdentifiers(
                f"identifier {name!r} is an int of more than 3,900 digits; use a digest of it"
            )
        return value
    if isinstance(value, Decimal) and kind is Decimal:
        return {"decimal": _decimal(name, value)}
    if isinstance(value, UUID):
        return {"uuid": str(UUID(int=value.int))}
    if isinstance(value, datetime) and kind is datetime:
        return {"datetime": _datetime(name, value)}
    if isinstance(value, date) and kind is date:
        return {"date": value.isoformat()}
    raise UnusableIdentifiers(
        f"identifier {name!r} is of type {kind.__name__}, which cannot identify; convert it to "
        f"{_SCALARS}"
    )


def _text(name: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnusableIdentifiers(
            f"identifier {name!r} of type str has a lone surrogate in its name or value, which "
            "no database keeps; decode the text from its bytes with their true encoding"
        ) from None
    return unicodedata.normalize("NFC", text)


def _decimal(name: str, value: Decimal) -> str:
    if not value.is_finite():
        raise UnusableIdentifiers(
            f"identifier {name!r} is a Decimal that is no finite number; use a finite one"
        )
    if not value:
        return "0"
    # Exact: the application's own decimal context, with its precision and capitals, has no say.
    value = _EXACT.normalize(value)
    _, digits, exponent = value.as_tuple()
    if isinstance(exponent, int) and exponent > 0 and len(digits) + exponent <= _EXPANDED:
        return format(value, "f")  # 100 reads better than 1E+2
    return _EXACT.to_sci_string(value)


def _datetime(name: str, value: datetime) -> str:
    if value.utcoffset() is None:
        return value.replace(tzinfo=None).isoformat(timespec="microseconds")
    try:
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    except OverflowError:
        raise UnusableIdentifiers(
            f"identifier {name!r} is a datetime that lies outside the years 1 to 9999 in UTC; "
            "use a naive one"
        ) from None


@lru_cache(maxsize=1024)
def _members(enum: type[Enum]) -> dict[str, bytes]:
    """Map the names of the members that can identify to the JSON texts of their values."""
    members: dict[str, bytes] = {}
    for member in enum:
        try:
            members[member._name_] = _encode(_typed_plain(member._name_, member._value_))
        except UnusableIdentifiers:
            continue
    if len(set(members.values())) < len(members):
        raise UnusableIdentifiers(
            f"two members of {enum.__name__} have one value once text is in Unicode's NFC; change "
            "one"
        )
    return members


def _value(name: str, item: object, enums: Mapping[str, type[Enum]]) -> Scalar:
    if isinstance(item, str | int):
        return item
    try:
        match item:
            case {"decimal": str(text)}:
                return Decimal(text)
            case {"uuid": str(text)}:
                return UUID(text)
            case {"datetime": str(text)}:
                return datetime.fromisoformat(text)
            case {"date": str(text)}:
                return date.fromisoformat(text)
    except (ValueError, ArithmeticError):
        _unreadable()
    match item:
        case {"enum": [str(enum), value]}:
            return _member(name, enum, value, enums)
    _unreadable()


def _member(name: str, enum: str, value: object, enums: Mapping[str, type[Enum]]) -> Enum:
    if enum not in enums:
        raise UnreadableContent(
            f"the stored identifier {name!r} is a member of the enum {enum}, which is not known; "
            f"pass the enum to the Domain: Domain(..., {enum})"
        )
    stored = _encode(value)
    for member, text in _members(enums[enum]).items():
        if text == stored:
            return enums[enum][member]
    raise UnreadableContent(
        f"the stored identifier {name!r} is a member of the enum {enum} that the enum no longer "
        "has; give one of its members the former value again"
    )


def _unreadable() -> NoReturn:
    # From None: the errors of the parsers quote what they read.
    raise UnreadableContent(
        "stored identifiers are not in the canonical form; was their row written by hand?"
    ) from None
