"""Where an object keeps its attributes, and which of them are neither fields nor caches.

A slot is read by its own descriptor: an attrs class answers for the empty slot of a cached property
with a `__getattr__`, which computes it.
"""

from collections.abc import Callable, Iterable
from functools import cached_property
from types import MemberDescriptorType
from typing import Any, Final

HASH: Final = "_attrs_cached_hash"
"""Where attrs keeps a hash (`cache_hash=True`); None until it is asked for."""


def slots_of(cls: type) -> dict[str, MemberDescriptorType]:
    """The slots of a class and its bases, by the name of the attribute."""
    found: dict[str, MemberDescriptorType] = {}
    for base in cls.__mro__:
        declared = vars(base).get("__slots__", ())
        for name in (declared,) if isinstance(declared, str) else declared:
            private = name.startswith("__") and not name.endswith("__")
            mangled = f"_{base.__name__.lstrip('_')}{name}" if private else name
            slot = vars(base).get(mangled)
            if isinstance(slot, MemberDescriptorType):  # `__dict__` and `__weakref__` are none
                found.setdefault(mangled, slot)
    return found


def caches_of(cls: type) -> frozenset[str]:
    """The names of cached properties, whose values are no state."""
    names = set()
    for base in cls.__mro__:
        names |= {name for name, each in vars(base).items() if isinstance(each, cached_property)}
        if "__attrs_attrs__" in vars(base) and "__slots__" in vars(base):
            # attrs turns cached properties into slots, beside those of its fields.
            fields = {field.name for field in vars(base)["__attrs_attrs__"]}
            names.update(set(vars(base)["__slots__"]) - fields)
    return frozenset(names - {HASH, "__dict__", "__weakref__"})


def caches_hash(cls: type) -> bool:
    """Whether it is an attrs class that keeps its hash."""
    return HASH in getattr(getattr(cls.__hash__, "__code__", None), "co_names", ())


def beside(cls: type, fields: Iterable[str]) -> Callable[[Any], dict[str, Any]] | None:
    """A function from an object to what it holds beside its fields, by name; caches do not count.

    None where objects of the class have no place for more.
    """
    known = frozenset((*fields, *caches_of(cls), HASH))
    slots = slots_of(cls)
    private = slots.get("__pydantic_private__")
    strays = [
        (name, slot)
        for name, slot in slots.items()
        if name not in known and not name.startswith("__pydantic_")
    ]
    has_dict = cls.__dictoffset__ != 0
    if not has_dict and not strays:
        return None

    def held(value: Any) -> dict[str, Any]:
        more: dict[str, Any] = {}
        if has_dict and not known.issuperset(own := value.__dict__):
            more = {name: each for name, each in own.items() if name not in known}
        for name, slot in strays:
            try:
                more[name] = slot.__get__(value)
            except AttributeError:  # never set
                continue
        if private is not None:
            more.update(getattr(value, "__pydantic_private__", None) or {})
        return more

    return held


def same(one: Any, other: Any) -> bool:
    """Whether two values are alike, in type too; those that `==` tells by identity, by attributes.

    Where that cannot be told they are not.
    """
    kind = type(one)
    if one is other or kind is not type(other):
        return one is other
    if kind in (list, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if kind is dict:
        return same([*one.items()], [*other.items()])
    if _is_own(kind, "__eq__"):
        # Only of a class written in Python do the attributes tell all.
        plain = _is_own(kind, "__new__") and _is_own(kind, "__reduce__")
        held = beside(kind, ()) if plain else None
        return held is not None and same(held(one), held(other))
    try:
        return bool(one == other)
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001  # a class may do anything here
        return False


def _is_own(kind: type, method: str) -> bool:
    """Whether a class has a method as `object` defines it."""
    return getattr(kind, method) is getattr(object, method)
