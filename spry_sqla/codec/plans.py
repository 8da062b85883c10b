"""Plans: how a value of one annotation becomes JSON and comes back; the plans of single values.

A plan's `to_json` checks the exact type and returns what `msgspec.json` writes without loss; its
`from_json` takes parsed JSON. Whatever it writes is read alike by msgspec's typed decoder where
`native` is set, or refused by it: unusual values are written in a form that decoder never takes.
Containers, classes and the reading of annotations are left to the modules beside this one.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, Flag
from typing import Any, Final, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from spry_sqla.errors import UnusableType

Convert: TypeAlias = Callable[[Any], Any]

write: Final = msgspec.json.Encoder().encode

INT_LIMIT: Final = 2**2000
"""From here on integers are hexadecimal: Python may be set to refuse texts of 640 digits."""

SAFE_INT: Final = range(-(2**63), 2**63)
"""What msgspec takes as the value of an Enum or Literal."""


class Refused(Exception):
    """A value or content does not fit its plan; the codec adds the class and raises its own error.

    `path` is filled from the inside out while the exception rises: `.price`, `[]`, `.lines`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []

    def at(self, step: str) -> "Refused":
        """Add the step that led here."""
        self.path.append(step)
        return self

    def message(self, root: str) -> str:
        return f"{root}{''.join(reversed(self.path))}: {self.reason}"


@dataclass(slots=True, eq=False)
class Plan:
    """How values of one annotation are kept.

    `types` are the exact types that it takes, `kind` the JSON kind that it writes in the usual
    case, `keys` whether it always writes a text, so that it can be the key of a JSON object.
    `native` speaks of this plan alone: of its `parts` one has to ask in turn.
    """

    name: str
    types: tuple[type, ...]
    kind: str
    to_json: Convert
    from_json: Convert
    native: bool = False
    parts: "tuple[Plan, ...]" = ()
    keys: bool = False
    open_object: bool = False
    """It may write a JSON object with any key at all, one beginning with `$` included."""
    tag: str = ""
    """What a union calls it where it has to; the name where this is empty."""
    kinds: tuple[str, ...] = ()
    """The JSON kinds that it may have written when its Enum had other members."""
    source: type | None = None
    """The class or enum that it is for."""
    shape: str = ""
    """What a fingerprint has to see beside the name."""


def unfit(expected: str, value: Any, types: tuple[type, ...] = ()) -> Refused:
    """Say that a value is of the wrong type, by the names of types only."""
    got = type(value)
    name = got.__qualname__
    if name in (expected, *(each.__qualname__ for each in types)):
        name = f"{name} of module {got.__module__}"
    hint = ""
    if types and isinstance(value, types):
        hint = "; a subclass would not come back as itself: convert the value"
    return Refused(f"expected {expected}, got {name}{hint}")


def misfit(expected: str) -> Refused:
    """Say that stored content is of the wrong kind, without a word of it."""
    return Refused(
        f"the stored content is no {expected}; raise the version of the type and upcast older "
        "contents, or mend the annotation"
    )


def missing() -> Refused:
    """Say that a field which has no default is not in the stored content."""
    return Refused(
        "the stored content has no value for it; give the field a default, or raise the version of "
        "the type and upcast older contents"
    )


def _scalar(kind: type, json_kind: str, to_json: Convert, from_json: Convert) -> Plan:
    keys = kind is str
    return Plan(kind.__name__, (kind,), json_kind, to_json, from_json, native=True, keys=keys)


def check_text(value: str) -> str:
    """Return the text; refuse one that UTF-8 cannot hold."""
    try:
        value.encode()
    except UnicodeEncodeError:
        unusable = True
    else:
        unusable = False
    if unusable:
        raise Refused("the text holds a lone surrogate, which is no character; remove it")
    return value


def _text_to_json(value: Any) -> Any:
    if type(value) is str:
        return value if value.isascii() else check_text(value)
    raise unfit("str", value, (str,))


def _text_from_json(content: Any) -> Any:
    if type(content) is str:
        return content
    raise misfit("str")


def _int_to_json(value: Any) -> Any:
    if type(value) is int:
        return value if -INT_LIMIT < value < INT_LIMIT else {"$int": hex(value)}
    raise unfit("int", value, (int,))


def _int_from_json(content: Any) -> Any:
    if type(content) is int:
        return content
    if type(content) is dict and len(content) == 1:
        number = content.get("$int")
        if type(number) is int:
            return number
        if type(number) is str:
            try:
                return int(number, 16)
            except ValueError:
                pass
    raise misfit("int")


def _float_to_json(value: Any) -> Any:
    if type(value) is float:
        if math.isfinite(value):
            return value
        raise Refused("a float is not finite, and JSON has no form for it; use None or a text")
    if type(value) is int:  # `x: float = 0` is common; as a bare number it would come back a float
        return {"$int": value if -INT_LIMIT < value < INT_LIMIT else hex(value)}
    raise unfit("float", value, (float, int))


def _float_from_json(content: Any) -> Any:
    if type(content) is float and math.isfinite(content):
        return content
    if type(content) is int:
        try:
            return float(content)
        except OverflowError:
            raise misfit("float") from None
    if type(content) is dict:
        return _int_from_json(content)
    raise misfit("float")


def _same(kind: type) -> tuple[Convert, Convert]:
    name = kind.__name__

    def to_json(value: Any) -> Any:
        if type(value) is kind:
            return value
        raise unfit(name, value, (kind,))

    def from_json(content: Any) -> Any:
        try:
            return msgspec.convert(content, kind)
        except (msgspec.ValidationError, ValueError, OverflowError):
            raise misfit(name) from None

    return to_json, from_json


def _decimal_to_json(value: Any) -> Any:
    if type(value) is not Decimal:
        raise unfit("Decimal", value, (Decimal,))
    if not value.is_finite():
        raise Refused("a Decimal is not finite; use None or a text")
    return value


_MOMENT: Final = re.compile(
    r"(?P<text>[^\[]*?)"
    r"(?:(?P<sign>[+-])(?P<h>\d\d):(?P<m>\d\d)(?::(?P<s>\d\d)(?:\.(?P<u>\d{6}))?)?)?"
    r"(?:\[(?P<zone>[^\]=]+)\])?(?P<fold>\[_fold=1\])?"
)


def _offset(found: re.Match[str]) -> timezone | None:
    """The offset of an ISO text; `fromisoformat` takes -00:00:00.5 for UTC."""
    if found["sign"] is None:
        return None
    offset = timedelta(
        hours=int(found["h"]),
        minutes=int(found["m"]),
        seconds=int(found["s"] or 0),
        microseconds=int(found["u"] or 0),
    )
    return timezone(-offset if found["sign"] == "-" else offset)


def _suffix(value: datetime | time) -> str:
    """The part after the ISO text, as RFC 9557 has it; empty where there is nothing to add."""
    zone = value.tzinfo
    fold = "[_fold=1]" if value.fold else ""
    if zone is None or type(zone) is timezone:
        return fold
    if type(zone) is ZoneInfo and zone.key:
        return f"[{zone.key}]{fold}"
    raise Refused(
        f"its tzinfo is a {type(zone).__qualname__}, which cannot be kept; "
        "use datetime.timezone or zoneinfo.ZoneInfo"
    )


def _is_offset(zone: tzinfo) -> bool:
    """Whether it is what pydantic parses a fixed offset into; it comes back as a `timezone`."""
    kind = type(zone)
    return kind.__name__ == "TzInfo" and kind.__module__.partition(".")[0] == "pydantic_core"


def _moment_plan(kind: type[datetime] | type[time]) -> Plan:
    name = kind.__name__

    def to_json(value: Any) -> Any:
        if type(value) is not kind:
            raise unfit(name, value, (kind,))
        zone = value.tzinfo
        if zone is not None and _is_offset(zone):
            zone = timezone(zone.utcoffset(None) or timedelta())
            value = value.replace(tzinfo=zone)
        if (zone is None or zone is UTC) and not value.fold:
            return value
        # msgspec rounds an offset to minutes and drops the name of a zone.
        suffix = _suffix(value)
        return value.isoformat() + suffix

    def from_json(content: Any) -> Any:
        try:
            return msgspec.convert(content, kind)
        except (msgspec.ValidationError, ValueError, OverflowError):
            pass
        found = _MOMENT.fullmatch(content) if type(content) is str else None
        if found is None:
            raise misfit(name)
        zone = found["zone"]
        try:
            offset = _offset(found) if zone is None else ZoneInfo(zone)
            value = kind.fromisoformat(found["text"]).replace(tzinfo=offset)
        except (ValueError, OSError):
            raise misfit(f"{name} of a time zone that is known here") from None
        except KeyError:
            raise Refused(
                "its time zone is not known on this machine; install the tzdata package"
            ) from None
        return value.replace(fold=1) if found["fold"] else value

    return _scalar(kind, "str", to_json, from_json)


def _none_to_json(value: Any) -> Any:
    if value is None:
        return None
    raise unfit("None", value)


def _none_from_json(content: Any) -> Any:
    if content is None:
        return None
    raise misfit("null")


NONE: Final = Plan("None", (type(None),), "null", _none_to_json, _none_from_json, native=True)

SCALARS: Final[dict[type, Plan]] = {
    type(None): NONE,
    str: _scalar(str, "str", _text_to_json, _text_from_json),
    int: _scalar(int, "int", _int_to_json, _int_from_json),
    bool: _scalar(bool, "bool", *_same(bool)),
    float: _scalar(float, "float", _float_to_json, _float_from_json),
    Decimal: _scalar(Decimal, "str", _decimal_to_json, _same(Decimal)[1]),
    datetime: _moment_plan(datetime),
    time: _moment_plan(time),
    date: _scalar(date, "str", *_same(date)),
    timedelta: _scalar(timedelta, "str", *_same(timedelta)),
    UUID: _scalar(UUID, "str", *_same(UUID)),
    bytes: _scalar(bytes, "str", *_same(bytes)),
    bytearray: _scalar(bytearray, "str", *_same(bytearray)),
}
SCALARS[float].types = (float, int)


def _plain(value: Any) -> bool:
    """Whether msgspec takes it as the value of an Enum or Literal, and JSON keeps it."""
    if type(value) is int:
        return value in SAFE_INT
    try:
        return type(value) is str and check_text(value) is value
    except Refused:
        return False


def _answers(cls: type[Enum]) -> bool:
    """Whether an Enum has a `_missing_` of its own, which may answer for any text."""
    below = cls.__mro__[: cls.__mro__.index(Enum)]
    return not issubclass(cls, Flag) and any("_missing_" in vars(base) for base in below)


def enum_plan(cls: type[Enum]) -> Plan:
    """Keep a member by its value where that is a text or an integer, else by its name.

    Each member for itself, so that what is stored outlasts a new member. A text is read as a value,
    then as a name, whichever it was written as; only then is a `_missing_` asked.
    """
    name, names = cls.__name__, cls.__members__
    members = list(names.values())
    flag = issubclass(cls, Flag)
    by_value = {each.value: each for each in members if flag or _plain(each.value)}
    named = frozenset(each.name for each in members if not (flag or _plain(each.value)))
    if clash := sorted(named & by_value.keys()):
        raise UnusableType(
            f"{name}.{clash[0]} is kept by its name, for its value is neither a text nor an "
            "integer, but the name is the value of another member; rename one of them"
        )

    def value_to_json(value: Any) -> Any:
        if type(value) is cls:
            return value._value_
        raise unfit(name, value)

    def to_json(value: Any) -> Any:
        if type(value) is cls:
            return value._name_ if value._name_ in named else value._value_
        raise unfit(name, value)

    def from_json(content: Any) -> Any:
        if type(content) is str or type(content) is int:
            if content in by_value:
                return by_value[content]
            if type(content) is str and content in names:
                return names[content]
            try:
                return cls(content)
            except Exception as error:  # a `_missing_` may raise anything
                raise misfit(f"member of {name}") from error
        raise misfit(f"member of {name}")

    forms = {str if each.name in named else type(each.value) for each in members}
    shown = ",".join(
        key if each.name in named else f"{key}={each.value!r}" for key, each in names.items()
    )
    return Plan(
        name,
        (cls,),
        # Texts and integers mixed: a kind of its own, so that a union always names the enum.
        "str" if forms == {str} else "int" if forms == {int} else "mixed",
        to_json if named else value_to_json,
        from_json,
        native=not named and len(forms) == 1 and not _answers(cls),
        keys=forms == {str},
        kinds=("str", "int"),
        source=cls,
        shape=f"{cls.__qualname__}[{shown}]",
    )


def choice_plan(base: Plan, values: tuple[Any, ...]) -> Plan:
    """Keep one of the values that a Literal lists, all of one type, whose plan is `base`."""
    name = f"Literal[{', '.join(map(repr, values))}]"
    allowed = frozenset(values)

    def to_json(value: Any) -> Any:
        if type(value) in base.types and value in allowed:
            return base.to_json(value)
        raise unfit(name, value)

    def from_json(content: Any) -> Any:
        value = base.from_json(content)
        if value in allowed:
            return value
        raise misfit(name)

    plain = all(map(_plain, values))
    return Plan(
        name,
        base.types,
        base.kind,
        to_json,
        from_json,
        plain,
        (base,),
        keys=base.keys and plain,
        kinds=base.kinds,
        tag=base.tag or base.name,
    )


_parse: Final = msgspec.json.Decoder().decode

MISFIT: Final = (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError)
"""What a decoder of msgspec raises when content is not as expected."""

DEEP: Final = "it is nested too deeply, or holds itself"


def parsed(content: str) -> Any:
    """Parse JSON text."""
    try:
        return _parse(content)
    except RecursionError:
        raise Refused(DEEP) from None
    except MISFIT:
        raise Refused("the stored content is not JSON") from None


def reached_from(plan: Plan) -> Iterator[Plan]:
    """Every plan below this one, once, in the order of the annotations."""
    seen: set[int] = set()
    waiting = list(reversed(plan.parts))
    while waiting:
        each = waiting.pop()
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting.extend(reversed(each.parts))
