"""What must be refused, each with one error on every adapter, before anything is written.

A history names a case by a text: values that cannot be kept cannot be kept in a history either.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import spry_sqla as spry
from spry_conformance.domain import (
    Account,
    Box,
    Coin,
    Contents,
    Count,
    Deposit,
    Keep,
    Lost,
    Misbehave,
    Open,
    Parcel,
    Scan,
    Side,
    Tally,
)
from spry_conformance.faces import Face

KEY = "refused"
"""Every command that is refused comes with this idempotency key, which stays unused."""

OWNER = "Ada"
"""Whose account refused commands are for."""


@dataclass(frozen=True)
class Refusal:
    """What is tried on a storage, and the error that must be raised."""

    error: type[spry.SpryError]
    attempt: Callable[[Face], object]


REFUSALS: dict[str, Refusal] = {}


# Identifiers -------------------------------------------------------------------------------------


class _Text(str):
    """Text that would come back as another type."""

    __slots__ = ()


class _Mood(Enum):
    """An Enum whose values cannot identify."""

    GOOD = 1.5


class _Odd(tzinfo):
    """A time zone of the application's."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(hours=1)

    def dst(self, moment: datetime | None) -> None:
        return None

    def tzname(self, moment: datetime | None) -> str:
        return "odd"


_HUGE = 10**4_000
_NUMBERS: dict[str, Any] = {
    "1.0": 1.0,
    "0.5": 0.5,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "None": None,
    "a list": ["a"],
    "a tuple": ("a",),
    "a dict": {"a": 1},
    "a set": {"a"},
    "bytes": b"a",
    "a time": time(12),
    "a timedelta": timedelta(1),
    "a complex number": 1j,
    "a function": print,
    "a class": str,
    "a Decimal NaN": Decimal("NaN"),
    "a Decimal infinity": Decimal("-Infinity"),
    "a lone surrogate": "\ud800",
    "a lone surrogate within text": "a\udfffb",
    "text of a subclass": _Text("a"),
    "an Enum of floats": _Mood.GOOD,
    "an int of 4,001 digits": _HUGE,
    "a datetime before year 1 in UTC": datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
    "a datetime after year 9999 in UTC": datetime.max.replace(tzinfo=timezone(-timedelta(hours=1))),
}
_NAMES: dict[str, Any] = {
    "no identifiers": {},
    "an empty name": {"": "a"},
    "a name that is no text": {1: "a"},
    "a name that is None": {None: "a"},
    "a name that is bytes": {b"a": "a"},
    "a name with a lone surrogate": {"\ud800": "a"},
    "two names that are one in NFC": {"\u00e9": 1, "e\u0301": 2},
    "pairs instead of a mapping": [("a", 1)],
    "a text instead of a mapping": "a",
    "a number instead of a mapping": 7,
    "one good and one bad identifier": {"a": "a", "b": 1.5},
}


def _asking(ask: str, identifiers: Any) -> Callable[[Face], object]:
    def attempt(face: Face) -> object:
        parcels = face.repository(Parcel)
        match ask:
            case "history":
                return list(parcels.history(identifiers))
            case "exists":
                return parcels.exists(identifiers)
            case "get":
                return parcels.get(identifiers)
        return parcels.fetch(identifiers)

    return attempt


def _identifiers() -> Iterator[tuple[str, Callable[[Face], object]]]:
    unusable = {name: {"number": value} for name, value in _NUMBERS.items()} | _NAMES
    for place, (name, identifiers) in enumerate(unusable.items()):
        ask = ("fetch", "get", "exists", "history")[place % 4]
        yield f"{ask} by {name}", _asking(ask, identifiers)
    for name, value in _NUMBERS.items():
        yield f"a command for {name}", _handling(Tally, Count(value))
    yield "a command without identifiers", _handling(Parcel, Scan(()))
    yield "a command for an empty name", _handling(Parcel, Scan((("", "a"),)))
    yield (
        "fetch by a mapping and by keywords",
        lambda face: face.repository(Account).fetch({"owner": OWNER}, kind="account"),
    )


# Values ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stranger:
    """A class that is registered nowhere."""

    name: str = "a"


class _Hue(Enum):
    """An Enum that is registered nowhere."""

    RED = "red"


_FIELDS: dict[str, dict[str, Any]] = {
    "a Decimal NaN": {"exact": Decimal("NaN")},
    "a Decimal sNaN": {"exact": Decimal("sNaN")},
    "a Decimal infinity": {"exact": Decimal("Infinity")},
    "a float NaN": {"real": float("nan")},
    "a float infinity": {"real": float("inf")},
    "a float minus infinity": {"real": float("-inf")},
    "a lone surrogate": {"text": "\ud800"},
    "a lone surrogate in a set": {"words": frozenset({"\udfff"})},
    "a lone surrogate as a key": {"pairs": {(1, "\ud83d"): True}},
    "a number for a text": {"text": 1},
    "a text for a number": {"whole": "1"},
    "a truth for a number": {"whole": True},
    "a float for a number": {"whole": 1.0},
    "a number for a truth": {"truth": 1},
    "a float for a Decimal": {"exact": 1.0},
    "None for a text": {"text": None},
    "a text for a datetime": {"moment": "2020-01-01"},
    "a datetime for a date": {"day": datetime(2020, 1, 1, tzinfo=UTC)},
    "a date for a datetime": {"moment": date(2020, 1, 1)},
    "a time zone of its own": {"moment": datetime(2020, 1, 1, tzinfo=_Odd())},
    "a text for a UUID": {"key": str(UUID(int=1))},
    "a bytearray for bytes": {"raw": bytearray(b"a")},
    "a value for a member": {"side": "left"},
    "a tuple for a list": {"items": (Decimal(1),)},
    "a list for a tuple": {"coins": []},
    "a set for a frozenset": {"words": {"a"}},
    "text of a subclass": {"text": _Text("a")},
    "a stranger": {"coin": _Stranger()},
    "a NaN deep within": {"coins": (Coin(Decimal("NaN"), Side.LEFT),)},
    "a row that is too short": {"row": (1, "a")},
}
_LOOP: list[Any] = []
_LOOP.append(_LOOP)
_METADATA: dict[str, Any] = {
    "a NaN": {"a": float("nan")},
    "an infinity": {"a": float("inf")},
    "a Decimal NaN deep within": {"a": {"b": [Decimal("NaN")]}},
    "a lone surrogate": {"a": "\ud800"},
    "a name with a lone surrogate": {"\ud800": 1},
    "a name that is no text": {1: "a"},
    "a complex number": {"a": 1j},
    "an object": {"a": object()},
    "a function": {"a": print},
    "a stranger": {"a": _Stranger()},
    "an Enum that is not registered": {"a": _Hue.RED},
    "a list that holds itself": {"a": _LOOP},
    "text of a subclass": {"a": _Text("a")},
    "pairs instead of a mapping": [("a", 1)],
    "a text instead of a mapping": "a",
}
_KEYS: dict[str, Any] = {
    "an empty key": "",
    "a key of 256 characters": "k" * 256,
    "a key with a NUL": "k\0",
    "a key with a lone surrogate": "k\ud800",
    "a key that is a number": 7,
    "a key that is bytes": b"k",
    "a key that is text of a subclass": _Text("k"),
}
_DEPOSIT = Deposit(OWNER, (1,))


def _handling(
    actor: type[Any], command: Any, key: Any = KEY, metadata: Any = None
) -> Callable[[Face], object]:
    return lambda face: face.repository(actor).handle(
        command, idempotency_key=key, metadata=metadata
    )


def _batch(
    actor: type[Any], *commands: Any, keys: Any = None, metadata: Any = None
) -> Callable[[Face], object]:
    usual = [KEY] + [None] * (len(commands) - 1)
    return lambda face: face.repository(actor).handle_many(
        commands, idempotency_keys=usual if keys is None else keys, metadata=metadata
    )


def _values() -> Iterator[tuple[str, Callable[[Face], object]]]:
    fine = Keep(OWNER, Contents())
    for name, fields in _FIELDS.items():
        command = Keep(OWNER, Contents(**fields))
        yield f"a command that holds {name}", _handling(Box, command)
        yield f"a batch whose last command holds {name}", _batch(Box, fine, command)
    for name, metadata in _METADATA.items():
        yield f"metadata with {name}", _handling(Account, _DEPOSIT, metadata=metadata)
    for name, key in _KEYS.items():
        yield name, _handling(Account, _DEPOSIT, key)
        yield f"{name}, in a batch", _batch(Account, _DEPOSIT, _DEPOSIT, keys=[KEY, key])
    yield "fewer keys than commands", _batch(Account, _DEPOSIT, _DEPOSIT, keys=[KEY])
    yield "one text for all keys", _batch(Account, _DEPOSIT, _DEPOSIT, keys="ab")
    yield (
        "an event that cannot be kept",
        _handling(Account, Misbehave(OWNER, "an event that cannot be kept")),
    )
    yield (
        "a batch whose last event cannot be kept",
        _batch(Account, _DEPOSIT, Misbehave(OWNER, "an event that cannot be kept")),
    )
    for version in (-1, 1.0, "1", True):
        yield f"fetch at version {version!r}", _as_of(version=version)
    yield "fetch at a naive time", _as_of(at=datetime(2020, 1, 1))  # noqa: DTZ001
    yield "fetch at a text", _as_of(at="2020-01-01")


def _as_of(**when: Any) -> Callable[[Face], object]:
    return lambda face: face.repository(Account).fetch(owner=OWNER, **when)


# Classes -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Unasked(spry.Command):
    """A command that is registered nowhere."""

    def identifiers(self) -> spry.Identifiers:
        return {"owner": OWNER}

    def handle(self, actor: object) -> spry.Decision:
        return None


@dataclass
class _Nobody(spry.Actor):
    """An actor that is registered nowhere."""

    def identifiers(self) -> spry.Identifiers:
        return {"owner": OWNER}


def _classes() -> Iterator[tuple[str, type[spry.SpryError], Callable[[Face], object]]]:
    yield "a command that is not registered", spry.NotRegistered, _handling(Account, _Unasked())
    yield (
        "a batch with a command that is not registered",
        spry.NotRegistered,
        _batch(Account, _DEPOSIT, _Unasked()),
    )
    yield (
        "an actor that is not registered",
        spry.NotRegistered,
        lambda face: face.repository(_Nobody).fetch(owner=OWNER),
    )
    yield "an event instead of a command", spry.NotRegistered, _handling(Account, Lost(OWNER))
    for how, error in (
        ("an event that is not registered", spry.NotRegistered),
        ("the class of an exception", spry.DefinitionError),
        ("a text", spry.DefinitionError),
    ):
        yield f"a command that gives {how}", error, _handling(Account, Misbehave(OWNER, how))
        yield (
            f"a batch whose last command gives {how}",
            error,
            _batch(Account, Open(OWNER), _DEPOSIT, Misbehave(OWNER, how)),
        )


REFUSALS |= {name: Refusal(spry.UnusableIdentifiers, attempt) for name, attempt in _identifiers()}
REFUSALS |= {name: Refusal(spry.UnusableValue, attempt) for name, attempt in _values()}
REFUSALS |= {name: Refusal(error, attempt) for name, error, attempt in _classes()}
