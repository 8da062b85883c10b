"""Copies that share no mutable part, made by the types of the values, whatever annotations say.

A part that occurs twice is copied once, so that what changes it later changes it in both places, in
the copy as in the original. Cached properties are left out, for the copy may change. What no rule
here knows goes to `copy.deepcopy`.

A rule calls no more functions for each level than encoding does, so that what can be encoded is
not too deep to copy.
"""

import copy
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Final, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from spry_sqla.codec.attributes import HASH, caches_hash, caches_of, slots_of
from spry_sqla.codec.plans import DEEP, Refused

Memo: TypeAlias = dict[int, Any]
"""Copies by the ids of what they are copies of, as `copy.deepcopy` keeps them."""
Copy = Callable[[Any, Memo], Any]

ATOMS: Final = (
    *(str, int, bool, float, complex, bytes, type(None), type(...), type(NotImplemented)),
    *(Decimal, datetime, date, time, timedelta, timezone, ZoneInfo, UUID, range),
)


class Copier:
    """Copies values of the classes that it is given, and of the built-in types."""

    def __init__(self, classes: Iterable[type]) -> None:
        classes = tuple(classes)
        self.atoms = frozenset((*ATOMS, *(cls for cls in classes if issubclass(cls, Enum))))
        self.rules: dict[type, Copy] = {
            list: self._list,
            dict: self._dict,
            set: lambda value, memo: {self.inner(each, memo) for each in value},
            bytearray: lambda value, _: bytearray(value),
            tuple: self._tuple,
            frozenset: self._frozenset,
        }
        for cls in classes:
            if cls not in self.atoms and not issubclass(cls, dict):  # a TypedDict is a dict
                self.rules[cls] = self._rule(cls)

    def __call__(self, value: Any) -> Any:
        try:
            return self.inner(value, {})
        except RecursionError:  # very deep, or it holds itself
            pass
        try:
            return copy.deepcopy(value)
        except RecursionError:
            reason = DEEP
        except Exception as error:  # noqa: BLE001  # a class may do anything here
            reason = _uncopied(value, error)
        raise Refused(reason)

    def inner(self, value: Any, memo: Memo) -> Any:
        kind = type(value)
        if kind in self.atoms:
            return value
        copied = memo.get(id(value))
        if copied is None:
            rule = self.rules.get(kind, copy.deepcopy)
            copied = memo[id(value)] = rule(value, memo)
        return copied

    def _list(self, value: list[Any], memo: Memo) -> list[Any]:
        atoms, inner = self.atoms, self.inner
        return [each if type(each) in atoms else inner(each, memo) for each in value]

    def _dict(self, value: dict[Any, Any], memo: Memo) -> dict[Any, Any]:
        atoms, inner = self.atoms, self.inner
        return {
            (key if type(key) in atoms else inner(key, memo)): (
                each if type(each) in atoms else inner(each, memo)
            )
            for key, each in value.items()
        }

    def _tuple(self, value: tuple[Any, ...], memo: Memo) -> tuple[Any, ...]:
        copies = self._list(value, memo)  # type: ignore[arg-type]
        if all(map(_is, copies, value)):
            return value
        return tuple(copies)

    def _frozenset(self, value: frozenset[Any], memo: Memo) -> frozenset[Any]:
        elements = list(value)
        copies = self._list(elements, memo)
        return value if all(map(_is, copies, elements)) else frozenset(copies)

    def _rule(self, cls: type) -> Copy:
        if issubclass(cls, tuple):
            return self._named_tuple
        if isinstance(cls, type(msgspec.Struct)):
            return self._struct(cls)
        if hasattr(cls, "__deepcopy__") and not hasattr(cls, "__pydantic_fields__"):
            return copy.deepcopy
        return self._object(cls)

    def _named_tuple(self, value: Any, memo: Memo) -> Any:
        copies = self._list(value, memo)
        return value if all(map(_is, copies, value)) else tuple.__new__(type(value), copies)

    def _struct(self, cls: Any) -> Copy:
        names = cls.__struct_fields__
        frozen = is_frozen(cls)
        put = msgspec.structs.force_setattr
        atoms, inner = self.atoms, self.inner
        caches = caches_of(cls)

        def rule(value: Any, memo: Memo) -> Any:
            new = value.__copy__()
            extra = getattr(value, "__dict__", {})  # which __copy__ leaves behind
            same = not extra
            name, part = "", None
            try:
                for name in names:
                    part = getattr(value, name)
                    if type(part) not in atoms:
                        other = inner(part, memo)
                        if other is not part:
                            put(new, name, other)
                            same = False
                for name, part in extra.items():
                    if name not in caches:
                        new.__dict__[name] = inner(part, memo)
            except Exception as error:  # noqa: BLE001  # see _refusal
                refusal = _refusal(name, part, error)
            else:
                return value if frozen and same else new
            raise refusal

        return rule

    def _object(self, cls: Any) -> Copy:
        new, atoms, inner = object.__new__, self.atoms, self.inner
        slots, caches = slots_of(cls), caches_of(cls)
        frozen = is_frozen(cls)
        hashed = caches_hash(cls)
        has_dict = cls.__dictoffset__ != 0
        simple = has_dict and not slots and not caches

        def parts(value: Any) -> tuple[dict[str, Any], bool]:
            """What it holds, and whether nothing that can change was left out."""
            held = dict(value.__dict__) if has_dict else {}
            for name, slot in slots.items():
                try:
                    held[name] = slot.__get__(value)
                except AttributeError:  # a slot that was never set
                    continue
            left_out = [held.pop(name) for name in caches if name in held]
            return held, all(type(each) in atoms for each in left_out)

        def made(held: dict[str, Any]) -> Any:
            copied = new(cls)
            for name, slot in slots.items():
                if name in held:
                    slot.__set__(copied, held.pop(name))
            if has_dict:
                copied.__dict__.update(held)
            if hashed:
                object.__setattr__(copied, HASH, None)
            return copied

        def rule(value: Any, memo: Memo) -> Any:
            held, same = (value.__dict__.copy(), True) if simple else parts(value)
            name, part = "", None
            try:
                for name, part in held.items():
                    if type(part) not in atoms:
                        other = inner(part, memo)
                        if other is not part:
                            held[name] = other
                            same = False
            except Exception as error:  # noqa: BLE001  # see _refusal
                refusal = _refusal(name, part, error)
            else:
                return value if frozen and same else made(held)
            raise refusal

        return rule


def _uncopied(value: Any, error: Exception) -> str:
    return (
        f"a {type(value).__qualname__} cannot be copied ({type(error).__qualname__}); "
        "keep it out of the class"
    )


def _refusal(name: str, part: Any, error: Exception) -> Exception:
    """What to raise for a part that could not be copied, whatever its class did."""
    if isinstance(error, RecursionError):
        return error
    refused = error if isinstance(error, Refused) else Refused(_uncopied(part, error))
    return refused.at(f".{name}")


def _is(one: Any, other: Any) -> bool:
    return one is other


def is_frozen(cls: Any) -> bool:
    """Whether the attributes of its objects cannot be set."""
    if isinstance(cls, type(msgspec.Struct)):
        return bool(cls.__struct_config__.frozen)
    if hasattr(cls, "__dataclass_params__"):
        return bool(cls.__dataclass_params__.frozen)
    if hasattr(cls, "__attrs_attrs__"):
        return "frozen" in cls.__setattr__.__name__
    return hasattr(cls, "model_config") and bool(cls.model_config.get("frozen"))
