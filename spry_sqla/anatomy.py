"""What an object consists of, for a fingerprint: the same in every process, and after any use.

An object's own code is asked as little as can be: for what pickle asks, and what a container holds;
whatever it raises then is no error, and its type must do.
"""

import contextlib
import inspect
import re
import struct
import sys
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

_MISSING = object()
_DEEPEST = 50

_CARRIED = (
    *("__wrapped__", "__func__", "__supertype__", "__value__", "func", "args", "keywords"),
    *("fget", "fset", "fdel", "wrapped", "dispatcher", "registry"),
    *("default", "default_factory", "factory", "validator", "converter", "metadata"),
)
"""Attributes in which the objects of others carry what is the application's: properties, static
and class methods, partial, lru_cache, new types, the field descriptions of attrs and pydantic."""

_VALUES = {
    *("array", "builtins", "calendar", "collections", "datetime", "decimal", "fractions"),
    *("functools", "ipaddress", "json.decoder", "json.encoder", "operator", "statistics"),
    *("string", "textwrap", "types", "uuid", "zoneinfo"),
}
"""Modules of the standard library whose instances are values. Not `random`, whose state is another
in every process, nor `pathlib`: a path names a place."""

_ASKED = {re.Pattern: ("pattern", "flags"), struct.Struct: ("format",)}
"""Types whose instances say what they are by these attributes."""


def plain(value: typing.Any, depth: int = 0) -> str | None:
    """Return one text for a constant that holds plain values only; else None."""
    kind = type(value)
    if kind is int:
        return f"int {value:x}"  # not in decimal, which Python limits to 4,300 digits
    if value is None or value is ... or kind in (str, bool, float, complex, bytes):
        return f"{kind.__name__} {value!r}"
    if kind not in (tuple, list, set, frozenset, dict) or depth == _DEEPEST:
        return None
    texts = []
    for part in value.items() if kind is dict else value:
        text = plain(part, depth + 1)
        if text is None:
            return None
        texts.append(text)
    if kind in (set, frozenset):
        texts.sort()
    return f"{kind.__name__} ({', '.join(texts)})"


def parts_of(item: typing.Any) -> list[object]:
    """Return what an instance of somebody else's class holds, of values and of the application's.

    Of what is neither a value nor a container, nor carries anything, that is nothing.
    """
    kind = type(item)
    if kind in _ASKED:
        return [getattr(item, name) for name in _ASKED[kind]]
    parts = [*carried_by(item, _CARRIED), *_held_by(item)]
    return [*parts, *_reduced(item)] if kind.__module__ in _VALUES else parts


def given_to(values: Iterable[object]) -> list[object]:
    """Return what may have been given to a library, among what the closure of its code holds.

    Its locks and caches are left out: they would change in use.
    """
    given: list[object] = []
    for value in values:
        kind = type(value)
        if kind in (list, tuple):
            given += given_to(typing.cast("list[object]", value))
        elif (
            is_kind(value, (types.FunctionType, type))
            or plain(value) is not None
            or kind.__module__ in _VALUES - {"builtins", "functools"}
        ):
            given.append(value)
    return given


def carried_by(item: object, names: Iterable[str]) -> list[object]:
    """Return those of some attributes that an object has, with their names."""
    carried: list[object] = []
    for name in names:
        # Statically first: there are objects that answer to any name.
        if inspect.getattr_static(item, name, _MISSING) is not _MISSING:
            with contextlib.suppress(Exception):
                carried.append((name, getattr(item, name)))
    return carried


def state_of(item: object) -> Mapping[str, object]:
    """Return the attributes of an instance, from its `__dict__` and its slots."""
    state: dict[str, object] = {}
    with contextlib.suppress(AttributeError):
        state |= object.__getattribute__(item, "__dict__")
    for base in type(item).__mro__:
        for name, descriptor in vars(base).items():
            if is_kind(descriptor, types.MemberDescriptorType):
                with contextlib.suppress(AttributeError):  # not assigned
                    state[name] = descriptor.__get__(item)
    return types.MappingProxyType(
        {name: value for name, value in state.items() if not is_dunder(name)}
    )


def inherited_value(item: typing.Any) -> list[object]:
    """Return the value that an instance of, say, a subclass of str or dict has as such."""
    if is_kind(item, (set, frozenset)):
        return [frozenset(item)]
    bases = [base for base in type(item).__mro__ if base is not object]
    return _reduced(item) if any(base.__module__ in _VALUES for base in bases) else []


def _held_by(item: typing.Any) -> list[object]:
    """What a container of another library holds, such as a sorted dict."""
    kind = type(item)
    if package_of(kind.__module__) in sys.stdlib_module_names:
        return []
    with contextlib.suppress(Exception):
        if issubclass(kind, Mapping):
            return list(item.items())
        if issubclass(kind, AbstractSet):
            return [frozenset(item)]
        if issubclass(kind, Sequence):
            return list(item)
    return []


def _reduced(item: object) -> list[object]:
    """What pickle would take an object apart into."""
    try:
        parts = item.__reduce_ex__(2)
    except Exception:  # noqa: BLE001 - a generator, a lock: its type must do
        return []
    if isinstance(parts, str):
        return [parts]
    make, args, state, members, pairs = (*parts, None, None, None)[:5]
    if type(state) is dict:  # a docstring says nothing about what it does
        state = {name: value for name, value in state.items() if not is_dunder(name)}
    return [make, args, state, list(members or ()), list(pairs or ())]


def is_kind(item: object, kinds: type | tuple[type, ...]) -> bool:
    """Whether an object is of a type, and not whether it says so."""
    return issubclass(type(item), kinds)


def is_dunder(name: object) -> bool:
    """Whether it is a name of Python's own, or a library's in that form."""
    return isinstance(name, str) and name.startswith("__") and name.endswith("__")


def package_of(module: str) -> str:
    """The first name of a module's path."""
    return module.partition(".")[0]
