"""Copies that share no mutable part, made by the types of the values, whatever annotations say.

A value that occurs twice is copied twice, as it would come back from JSON. What no rule here knows
goes to `copy.deepcopy`.
"""

import copy
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from spry_sqla.codec.plans import Refused

Copy = Callable[[Any], Any]

_ATOMS: Final = (
    *(str, int, bool, float, complex, bytes, type(None), type(...), type(NotImplemented)),
    *(Decimal, datetime, date, time, timedelta, timezone, ZoneInfo, UUID, range),
)


class Copier:
    """Copies values of the classes that it is given, and of the built-in types."""

    def __init__(self, classes: Iterable[type]) -> None:
        classes = tuple(classes)
        self.atoms = frozenset((*_ATOMS, *(cls for cls in classes if issubclass(cls, Enum))))
        self.rules: dict[type, Copy] = {
            list: self._list,
            dict: self._dict,
            set: lambda value: set(map(self.inner, value)),
            bytearray: bytearray,
            tuple: self._tuple,
            frozenset: self._frozenset,
        }
        for cls in classes:
            if cls not in self.atoms and not issubclass(cls, dict):  # a TypedDict is a dict
                self.rules[cls] = self._rule(cls)

    def __call__(self, value: Any) -> Any:
        try:
            return self.inner(value)
        except RecursionError:  # very deep, or it holds itself
            return copy.deepcopy(value)

    def inner(self, value: Any) -> Any:
        kind = type(value)
        if kind in self.atoms:
            return value
        rule = self.rules.get(kind)
        return copy.deepcopy(value) if rule is None else rule(value)

    def _list(self, value: list[Any]) -> list[Any]:
        atoms, inner = self.atoms, self.inner
        return [each if type(each) in atoms else inner(each) for each in value]

    def _dict(self, value: dict[Any, Any]) -> dict[Any, Any]:
        atoms, inner = self.atoms, self.inner
        return {
            (key if type(key) in atoms else inner(key)): (
                each if type(each) in atoms else inner(each)
            )
            for key, each in value.items()
        }

    def _tuple(self, value: tuple[Any, ...]) -> tuple[Any, ...]:
        copies = self._list(value)  # type: ignore[arg-type]
        if all(map(_is, copies, value)):
            return value
        return tuple(copies)

    def _frozenset(self, value: frozenset[Any]) -> frozenset[Any]:
        elements = list(value)
        copies = self._list(elements)
        return value if all(map(_is, copies, elements)) else frozenset(copies)

    def _rule(self, cls: type) -> Copy:
        if issubclass(cls, tuple):
            return self._named_tuple
        if isinstance(cls, type(msgspec.Struct)):
            return self._struct(cls)
        if hasattr(cls, "__deepcopy__") and not hasattr(cls, "__pydantic_fields__"):
            return copy.deepcopy
        return self._object(cls)

    def _named_tuple(self, value: Any) -> Any:
        copies = self._list(value)
        return value if all(map(_is, copies, value)) else tuple.__new__(type(value), copies)

    def _struct(self, cls: Any) -> Copy:
        names = cls.__struct_fields__
        frozen = cls.__struct_config__.frozen
        put = msgspec.structs.force_setattr
        atoms, each = self.atoms, self._part(cls)

        def rule(value: Any) -> Any:
            changed = [
                (name, each(name, part))
                for name in names
                if type(part := getattr(value, name)) not in atoms
            ]
            extra = getattr(value, "__dict__", None)
            if frozen and not extra and all(new is getattr(value, name) for name, new in changed):
                return value
            new = value.__copy__()
            for name, part in changed:
                put(new, name, part)
            if extra:
                new.__dict__.update({name: each(name, part) for name, part in extra.items()})
            return new

        return rule

    def _object(self, cls: Any) -> Copy:
        new, put = object.__new__, object.__setattr__
        atoms, each = self.atoms, self._part(cls)
        slots = _slot_names(cls)
        frozen = _is_frozen(cls)

        def parts(value: Any, copied: Any) -> bool:
            """Copy the parts of `value` into `copied`; whether all are the same objects."""
            same = True
            for name in slots:
                try:
                    part = getattr(value, name)
                except AttributeError:  # a slot that was never set
                    continue
                if type(part) not in atoms:
                    other = each(name, part)
                    same = same and other is part
                    part = other
                put(copied, name, part)
            return same

        def rule(value: Any) -> Any:
            copied = new(cls)
            same = not slots or parts(value, copied)
            held = value.__dict__
            target = copied.__dict__
            target.update(held)
            for name, part in held.items():
                if type(part) not in atoms:
                    other = each(name, part)
                    if other is not part:
                        target[name] = other
                        same = False
            return value if frozen and same else copied

        def slotted(value: Any) -> Any:
            copied = new(cls)
            return value if parts(value, copied) and frozen else copied

        return rule if hasattr(new(cls), "__dict__") else slotted

    def _part(self, cls: type) -> Callable[[str, Any], Any]:
        inner = self.inner

        def part(name: str, value: Any) -> Any:
            try:
                return inner(value)
            except (Refused, RecursionError):
                raise
            except Exception as error:  # noqa: BLE001  # a class may do anything here
                kind = type(error).__qualname__
            raise Refused(
                f"a {type(value).__qualname__} cannot be copied ({kind}); keep it out of the class"
            ).at(f".{name}")

        return part


def _is(one: Any, other: Any) -> bool:
    return one is other


def _is_frozen(cls: Any) -> bool:
    if hasattr(cls, "__dataclass_params__"):
        return bool(cls.__dataclass_params__.frozen)
    if hasattr(cls, "__attrs_attrs__"):
        return "frozen" in cls.__setattr__.__name__
    return hasattr(cls, "model_config") and bool(cls.model_config.get("frozen"))


def _slot_names(cls: type) -> tuple[str, ...]:
    names = []
    for base in cls.__mro__:
        slots = vars(base).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name in ("__dict__", "__weakref__"):
                continue
            private = name.startswith("__") and not name.endswith("__")
            names.append(f"_{base.__name__.lstrip('_')}{name}" if private else name)
    return tuple(dict.fromkeys(names))
