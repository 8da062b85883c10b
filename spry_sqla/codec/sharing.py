"""Parts that a value holds twice: JSON makes two of one, and a later change reaches only one.

What cannot change may be shared. The walk asks each part once and keeps no text until it found one.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any, TypeAlias

from spry_sqla.codec.attributes import caches_of, slots_of
from spry_sqla.codec.copying import ATOMS, is_frozen

Step: TypeAlias = "tuple[Step, str] | None"
"""How a part was reached: how its owner was, and the step from there."""

Parts: TypeAlias = Callable[[Any], Iterable[tuple[str, Any]]]


class Sharing:
    """Finds shared parts in values of the classes that it is given, and of the built-in types."""

    def __init__(self, classes: Iterable[type]) -> None:
        classes = tuple(classes)
        self._atoms = frozenset((*ATOMS, *(cls for cls in classes if issubclass(cls, Enum))))
        self._parts: dict[type, Parts] = {
            list: _elements,
            tuple: _elements,
            set: _elements,
            frozenset: _elements,
            dict: _items,
            bytearray: lambda _: (),
        }
        self._fixed: set[type] = {tuple, frozenset}
        for cls in classes:
            if cls not in self._atoms and not issubclass(cls, dict):  # a TypedDict is a dict
                self._parts[cls] = _attributes(cls)
                if issubclass(cls, tuple) or is_frozen(cls):
                    self._fixed.add(cls)

    def __call__(self, value: Any) -> tuple[str, str] | None:
        """Two paths to one object that may change, as `.last` and `.lines[]`, or None."""
        atoms, parts_of, fixed = self._atoms, self._parts, self._fixed
        seen: dict[int, Step] = {}
        waiting: list[tuple[Any, Step]] = [(value, None)]
        while waiting:
            owner, way = waiting.pop()
            kind = type(owner)
            if kind not in parts_of:
                continue
            # What cannot change may be shared; what it holds is looked at each time.
            if kind not in fixed:
                if id(owner) in seen:
                    first, second = sorted((_path(seen[id(owner)]), _path(way)))
                    return first, second
                seen[id(owner)] = way
            waiting += [
                (part, (way, step))
                for step, part in parts_of[kind](owner)
                if type(part) not in atoms
            ]
        return None


def _elements(value: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    return (("[]", each) for each in value)


def _items(value: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, each in value.items():
        yield "{}", key
        yield "{}", each


def _attributes(cls: Any) -> Parts:
    names = getattr(cls, "__struct_fields__", getattr(cls, "_fields", ()))
    caches = caches_of(cls)
    slots = [
        (f".{name}", slot)
        for name, slot in slots_of(cls).items()
        if name not in caches and name not in (*names, "__pydantic_fields_set__")
    ]
    has_dict = cls.__dictoffset__ != 0

    def parts(value: Any) -> Iterator[tuple[str, Any]]:
        for name in names:
            yield f".{name}", getattr(value, name)
        for step, slot in slots:
            try:
                yield step, slot.__get__(value)
            except AttributeError:  # never set
                continue
        if has_dict:
            for name, each in value.__dict__.items():
                if name not in caches:
                    yield f".{name}", each

    return parts


def _path(way: Step) -> str:
    steps = []
    while way is not None:
        way, step = way
        steps.append(step)
    return "".join(reversed(steps))
