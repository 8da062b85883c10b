"""Values without annotations: JSON that says itself what it is.

Texts, numbers, bools, None, lists and dicts with text keys are written as they are; all else is an
object with one key, such as `{"$Decimal": "1.20"}`. Enums and value classes go by their names.
"""

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from spry_sqla.codec.annotations import Plans
from spry_sqla.codec.plans import (
    DEEP,
    SCALARS,
    Plan,
    Refused,
    enum_plan,
    misfit,
    parsed,
    write,
)
from spry_sqla.errors import UnreadableContent, UnusableType, UnusableValue

_PLAIN: Final = (type(None), str, int, bool, float)
_TAGGED: Final = (Decimal, datetime, date, time, timedelta, UUID, bytes, bytearray)
_COLLECTIONS: Final = (tuple, set, frozenset)
_RESERVED: Final = frozenset(
    kind.__name__ for kind in (*_PLAIN, *_TAGGED, *_COLLECTIONS, list, dict)
)


class OpenCodec:
    """Keeps values of any supported type; `classes` are those it may name by `__name__`.

    Classes of one name are refused when a value of theirs is encoded, not before.
    """

    def __init__(self, classes: Iterable[type] = ()) -> None:
        self._named: dict[str, list[type]] = {}
        for cls in classes:
            rivals = self._named.setdefault(cls.__name__, [])
            if cls not in rivals:
                rivals.append(cls)
        self._plans: dict[type, Plan] = {}

    def encode(self, value: Any) -> str:
        """Return JSON text. Raises UnusableValue, which tells where and of which type."""
        try:
            return write(self._to_json(value)).decode()
        except Refused as error:
            refused = error
        except RecursionError:
            refused = Refused(DEEP)
        raise UnusableValue(refused.message("metadata"))

    def decode(self, content: str) -> Any:
        """Return the value. Raises UnreadableContent."""
        try:
            return self._from_json(parsed(content))
        except Refused as error:
            refused = error
        except RecursionError:
            refused = Refused(DEEP)
        raise UnreadableContent(refused.message("metadata"))

    def _to_json(self, value: Any) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return SCALARS[kind].to_json(value)
        if kind in _TAGGED:
            return {f"${kind.__name__}": SCALARS[kind].to_json(value)}
        try:
            if kind is list:
                return [self._to_json(each) for each in value]
            if kind is tuple:
                return {"$tuple": [self._to_json(each) for each in value]}
            if kind in (set, frozenset):
                each_json = [self._to_json(each) for each in value]
                return {f"${kind.__name__}": sorted(each_json, key=write)}
        except Refused as refused:
            refused.at("[]")
            raise
        if kind is dict:
            return self._dict_to_json(value)
        return {f"${kind.__name__}": self._plan(kind).to_json(value)}

    def _dict_to_json(self, value: dict[Any, Any]) -> Any:
        try:
            if all(type(key) is str for key in value) and not (
                len(value) == 1 and next(iter(value)).startswith("$")
            ):
                key_json = SCALARS[str].to_json
                return {key_json(key): self._to_json(each) for key, each in value.items()}
            return {
                "$dict": [[self._to_json(key), self._to_json(each)] for key, each in value.items()]
            }
        except Refused as refused:
            refused.at("{}")
            raise

    def _from_json(self, content: Any) -> Any:
        if type(content) is list:
            return [self._from_json(each) for each in content]
        if type(content) is not dict:
            return content
        if len(content) == 1:
            ((key, held),) = content.items()
            if key.startswith("$"):
                return self._tagged_from_json(key[1:], held, content)
        return {key: self._from_json(each) for key, each in content.items()}

    def _tagged_from_json(self, tag: str, held: Any, content: Any) -> Any:
        if tag == "int":
            return SCALARS[int].from_json(content)
        for kind in _TAGGED:
            if tag == kind.__name__:
                return SCALARS[kind].from_json(held)
        if tag in ("tuple", "set", "frozenset", "dict") and type(held) is not list:
            raise misfit("list")
        try:
            for collection in _COLLECTIONS:
                if tag == collection.__name__:
                    return collection(self._from_json(each) for each in held)
            if tag == "dict":
                return {self._from_json(key): self._from_json(each) for key, each in held}
        except (TypeError, ValueError):
            raise misfit(tag) from None
        known = self._named.get(tag, ())
        if len(known) != 1:
            shown = f" {tag}" if tag.isidentifier() else ""
            raise Refused(f"it names a class{shown} that is not registered, or twice; register it")
        return self._plan(known[0]).from_json(held)

    def _plan(self, kind: type) -> Plan:
        if kind in self._plans:
            return self._plans[kind]
        name = kind.__name__
        known = self._named.get(name, [])
        if kind not in known:
            raise Refused(
                f"a {name} cannot be kept here; use a built-in value, or a class that is "
                "registered or that an annotation of a registered class names"
            )
        if len(known) > 1 or name in _RESERVED:
            raise Refused(f"a {name} cannot be kept here: another class has that name; rename one")
        try:
            plan = enum_plan(kind) if issubclass(kind, Enum) else Plans().of_class(kind)
        except UnusableType as error:
            reason = str(error)
        else:
            self._plans[kind] = plan
            return plan
        raise Refused(reason)
