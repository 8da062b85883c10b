"""From an annotation to a plan; an annotation that cannot be kept is refused, with what to do."""

import collections
import collections.abc
import sys
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from pathlib import PurePath
from typing import Any, Final

from spry_sqla.codec.classes import Hints, bind, define, has_fields, name_of
from spry_sqla.codec.containers import (
    dict_plan,
    fixed_tuple_plan,
    sequence_plan,
    set_plan,
    union_plan,
)
from spry_sqla.codec.objects import class_plan, typed_dict_plan
from spry_sqla.codec.plans import SCALARS, Plan, choice_plan, enum_plan
from spry_sqla.errors import UnusableType

_ABSTRACT: Final[dict[Any, tuple[Any, ...]]] = {
    collections.abc.Sequence: (list, tuple),
    collections.abc.MutableSequence: (list,),
    collections.abc.Set: (set, frozenset),
    collections.abc.MutableSet: (set,),
    collections.abc.Collection: (list, tuple, set, frozenset),
    collections.abc.Mapping: (dict,),
    collections.abc.MutableMapping: (dict,),
}

_BARE: Final = (list, tuple, set, frozenset, dict, *_ABSTRACT)

_ADVICE: Final[dict[Any, str]] = {
    Any: "say which types it may hold, such as int | str",
    object: "say which types it may hold, such as int | str",
    PurePath: "keep its text in a str",
    complex: "keep its parts in two floats",
    collections.OrderedDict: "use dict, which keeps its order",
    collections.defaultdict: "use dict",
    collections.Counter: "use dict[…, int]",
    collections.deque: "use list",
    collections.abc.Callable: "keep what tells which function it is, such as an Enum",
    collections.abc.Iterable: "use list, or collections.abc.Sequence",
    collections.abc.Iterator: "use list",
    memoryview: "use bytes",
    type: "keep its name in a str",
    BaseException: "keep what it says in fields of a dataclass",
}

_WRAPPERS: Final = [
    getattr(typing, name)
    for name in ("Annotated", "Final", "Required", "NotRequired", "ReadOnly")
    if hasattr(typing, name)
]


_OF_PYDANTIC: Final[dict[str, type]] = {
    **dict.fromkeys(("AwareDatetime", "NaiveDatetime", "PastDatetime", "FutureDatetime"), datetime),
    **dict.fromkeys(("PastDate", "FutureDate"), date),
    "EmailStr": str,
}
"""Annotations of pydantic that are classes, and the type of what it makes of them."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """The values of a Literal that are of one type."""

    type: type
    values: tuple[Any, ...]


def _is_alias(annotation: Any) -> bool:
    """Whether it was made by a `type` statement, or TypeAliasType of typing_extensions."""
    return type(annotation).__name__ == "TypeAliasType" and hasattr(annotation, "__value__")


def _choices(values: tuple[Any, ...]) -> Iterator[Any]:
    """The values of a Literal, one choice for each type of them."""
    by_type: dict[type, list[Any]] = {}
    for value in values:
        by_type.setdefault(type(value), []).append(value)
    for kind, alike in by_type.items():
        yield kind if kind is type(None) else _Choice(kind, tuple(alike))


def _inside(annotation: Any, origin: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """What a NewType, a wrapper such as Annotated, a union or a class of pydantic stands for."""
    if isinstance(annotation, typing.NewType):
        return (annotation.__supertype__,)
    if origin in _WRAPPERS:
        return arguments[:1]
    if origin in (typing.Union, types.UnionType):
        return arguments
    if getattr(annotation, "__module__", "").startswith("pydantic."):
        known = _OF_PYDANTIC.get(getattr(annotation, "__name__", ""))
        return None if known is None else (known,)
    return None


class Plans:
    """The plans of one registered class and of all that its annotations reach."""

    def __init__(self) -> None:
        self._classes: dict[Any, Plan] = {}
        self._open: dict[Any, list[Plan]] = {}

    def of(self, annotation: Any, where: str) -> Plan:
        """Return the plan of an annotation; `where` names the class and field for errors."""
        try:
            hash(annotation)
        except TypeError:  # Annotated with something that has no hash
            return self._build(annotation, where)
        if annotation in self._open:  # a recursive alias: the plan is not there yet
            late = self._late(name_of(annotation))
            self._open[annotation].append(late)
            return late
        self._open[annotation] = []
        plan = self._build(annotation, where)
        for late in self._open.pop(annotation):
            late.to_json, late.from_json, late.parts = plan.to_json, plan.from_json, (plan,)
        return plan

    def of_class(self, cls: type, arguments: tuple[Any, ...] = ()) -> Plan:
        """Return the plan of a class with fields."""
        key = (cls, arguments)
        if key in self._classes:
            return self._classes[key]
        definition = define(cls, arguments)
        names = ", ".join(map(name_of, arguments))
        plan = self._late(f"{cls.__name__}[{names}]" if arguments else cls.__name__)
        plan.kind, plan.source = "object", cls
        self._classes[key] = plan
        parts = [
            self.of(field.annotation, f"{cls.__name__}.{field.name}") for field in definition.fields
        ]
        class_plan(plan, definition, parts)
        return plan

    @staticmethod
    def _late(name: str) -> Plan:
        """A plan that is used by others before it is filled in."""

        def to_json(value: Any) -> Any:
            return plan.to_json(value)

        def from_json(content: Any) -> Any:
            return plan.from_json(content)

        plan = Plan(name, (), "late", to_json, from_json)
        return plan

    def _build(self, annotation: Any, where: str) -> Plan:
        members: list[Any] = []
        for member in self._members(annotation, where, ()):
            if member not in members:
                members.append(member)
        # A Literal beside the type of its values says nothing more than that type.
        members = [
            member
            for member in members
            if not (isinstance(member, _Choice) and member.type in members)
        ]
        plans = [self._single(member, where) for member in members]
        if len(plans) == 1:
            return plans[0]
        abstract = typing.get_origin(annotation) in _ABSTRACT
        return union_plan(plans, native=abstract)

    def _members(self, annotation: Any, where: str, seen: tuple[Any, ...]) -> Iterator[Any]:
        """What an annotation may be: no union, alias, NewType or Literal of several types."""
        origin = typing.get_origin(annotation)
        arguments = typing.get_args(annotation)
        if annotation is None:
            yield type(None)
        elif origin is typing.Literal:
            yield from _choices(arguments)
        elif origin in _ABSTRACT and arguments:
            for kind in _ABSTRACT[origin]:
                yield kind[(*arguments, ...) if kind is tuple else arguments]
        elif _is_alias(annotation) or _is_alias(origin):
            if annotation in seen:
                raise self._refusal(annotation, where, "an alias may not be only itself")
            alias = origin or annotation
            variables = dict(zip(alias.__type_params__, arguments, strict=False))
            value = bind(self._alias_value(alias, where), variables)
            yield from self._members(value, where, (*seen, annotation))
        else:
            inner = _inside(annotation, origin, arguments)
            if inner is None:
                yield annotation
            else:
                for each in inner:
                    yield from self._members(each, where, seen)

    def _alias_value(self, alias: Any, where: str) -> Any:
        try:
            return alias.__value__
        except NameError as error:
            name = error.name
        raise UnusableType(f"{where}: {alias} cannot be resolved ({name} is not known there)")

    def _single(self, annotation: Any, where: str) -> Plan:
        if isinstance(annotation, _Choice):
            return choice_plan(self._single(annotation.type, where), annotation.values)
        origin = typing.get_origin(annotation)
        arguments = typing.get_args(annotation)
        if annotation in SCALARS:
            return SCALARS[annotation]
        if isinstance(annotation, typing.TypeVar):
            raise self._refusal(annotation, where, "bind the type variable, as in Box[int]")
        bare = origin in _BARE and not arguments and annotation != tuple[()]
        if bare or annotation in _BARE:
            raise self._refusal(annotation, where, "say what it holds, as in list[int]")
        if origin in _BARE:
            return self._container(origin, arguments, where)
        if isinstance(annotation if origin is None else origin, type):
            return self._class(origin or annotation, arguments, where, annotation)
        raise self._refusal(annotation, where, _ADVICE.get(annotation, _OTHERWISE))

    def _container(self, origin: Any, arguments: tuple[Any, ...], where: str) -> Plan:
        many = origin is tuple and len(arguments) == 2 and arguments[1] is ...
        parts = [self.of(each, where) for each in (arguments[:1] if many else arguments)]
        if origin is dict:
            return dict_plan(*parts)
        if origin is list or many:
            return sequence_plan(origin, parts[0])
        if origin is tuple:
            return fixed_tuple_plan(parts)
        return set_plan(origin, parts[0])

    def _class(self, cls: type, arguments: tuple[Any, ...], where: str, annotation: Any) -> Plan:
        for known, advice in _ADVICE.items():
            if cls is known or (
                known is not object
                and isinstance(known, type)
                and issubclass(cls, known)
                and known.__module__ != "collections.abc"
            ):
                raise self._refusal(annotation, where, advice)
        if issubclass(cls, Enum):
            if not cls.__members__:
                raise self._refusal(annotation, where, "name an Enum that has members")
            if cls not in self._classes:
                self._classes[cls] = enum_plan(cls)
            return self._classes[cls]
        if typing.is_typeddict(cls):
            return self._typed_dict(cls, arguments, where)
        if issubclass(cls, tuple) and not hasattr(cls, "_fields"):
            raise self._refusal(annotation, where, "use a NamedTuple")
        if getattr(cls, "_is_protocol", False):
            raise self._refusal(annotation, where, "name the classes that it stands for")
        if not has_fields(cls):
            library = cls.__module__.partition(".")[0] in sys.stdlib_module_names
            mend = "keep its text in a str, or its parts in fields" if library else _MEND
            raise self._refusal(annotation, where, mend)
        try:
            return self.of_class(cls, arguments)
        except UnusableType as error:
            text = str(error)
        if text.startswith(f"{cls.__name__} "):  # about the class as a whole, not about a field
            text = f"{where}: {text}"
        raise UnusableType(text)

    def _typed_dict(self, cls: Any, arguments: tuple[Any, ...], where: str) -> Plan:
        key = (cls, arguments)
        if key in self._classes:
            return self._classes[key]
        plan = self._late(cls.__name__)
        plan.kind, plan.source, plan.types = "object", cls, (dict,)
        self._classes[key] = plan
        hints = Hints(cls, arguments)
        parts: dict[str, Plan] = {}
        required = set(cls.__required_keys__)
        for name in (*cls.__required_keys__, *cls.__optional_keys__):
            hint = hints(name)
            inner = hint
            while typing.get_origin(inner) in _WRAPPERS:
                # With postponed annotations Python itself does not see these two.
                if typing.get_origin(inner) is typing.NotRequired:
                    required.discard(name)
                elif typing.get_origin(inner) is typing.Required:
                    required.add(name)
                inner = typing.get_args(inner)[0]
            parts[name] = self.of(hint, f"{cls.__name__}.{name}")
        typed_dict_plan(plan, dict(sorted(parts.items())), required)
        return plan

    @staticmethod
    def _refusal(annotation: Any, where: str, advice: str) -> UnusableType:
        return UnusableType(f"{where}: {name_of(annotation)} cannot be kept; {advice}")


_MEND: Final = "make it a dataclass, attrs class, msgspec Struct or pydantic model"

_OTHERWISE: Final = "use a type that docs/guarantees.md lists under Values"
