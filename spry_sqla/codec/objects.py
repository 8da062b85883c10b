"""The plans of what has named fields: instances of classes, and TypedDicts."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from spry_sqla.codec.attributes import beside, same
from spry_sqla.codec.classes import Definition, Field, Values
from spry_sqla.codec.copying import Copier
from spry_sqla.codec.plans import (
    Convert,
    Plan,
    Refused,
    misfit,
    missing,
    parsed,
    reached_from,
    unfit,
    write,
)


def class_plan(plan: Plan, definition: Definition, parts: Sequence[Plan]) -> None:
    """Fill in the plan of a class, once those of its fields are there; it may hold itself."""
    fields = definition.fields
    plan.types = (definition.cls,)
    plan.to_json = _taken_apart(plan, definition, parts)
    plan.from_json = _put_together(plan, definition, parts)
    plan.native = definition.native
    plan.parts = tuple(parts)
    plan.tag = definition.cls.__name__
    plan.open_object = any(field.key.startswith("$") for field in fields)
    described = (
        f"{field.key}: {part.name}{f' = {field.shown}' if field.shown else ''}"
        for field, part in zip(fields, parts, strict=True)
    )
    plan.shape = f"{plan.name}({'; '.join(described)})"


def _taken_apart(plan: Plan, definition: Definition, parts: Sequence[Plan]) -> Convert:
    name, cls, extras = plan.name, definition.cls, definition.extras
    held_beside = beside(cls, (field.name for field in definition.fields))
    steps = [
        (field.name, field.key, part.to_json)
        for field, part in zip(definition.fields, parts, strict=True)
    ]

    def to_json(value: Any) -> Any:
        if type(value) is not cls:
            raise unfit(name, value, (cls,))
        if extras is not None and extras(value):
            raise Refused("it holds extra values, which have no annotation; declare them as fields")
        content = {}
        field = ""
        try:
            for field, key, convert in steps:
                content[key] = convert(getattr(value, field))
        except Refused as refused:
            refused.at(f".{field}")
            raise
        except AttributeError:
            unset = Refused("it has no value; set it, or give it a default")
            raise unset.at(f".{field}") from None
        if held_beside is not None and (more := held_beside(value)):
            _check_restored(more, held_beside, plan, content)
        return content

    return to_json


def _check_restored(
    more: Values, held_beside: Callable[[Any], Values], plan: Plan, content: Any
) -> None:
    """Refuse what is no field, unless it comes back by itself, such as from a `__post_init__`."""
    try:
        restored = held_beside(plan.from_json(parsed(write(content).decode())))
    except Refused:
        restored = {}
    for name, each in more.items():
        if name not in restored or not same(each, restored[name]):
            raise Refused(
                "it is no field, and would not come back; declare it as one, or keep it out of "
                "the class"
            ).at(f".{name}")


def _put_together(plan: Plan, definition: Definition, parts: Sequence[Plan]) -> Convert:
    make, put = definition.make, definition.put
    read = _reader(definition.fields, parts)

    @cache
    def copier() -> Copier:  # made late: the parts may not be filled in yet
        return Copier({each.source for each in reached_from(plan) if each.source})

    def from_json(content: Any) -> Any:
        if type(content) is not dict:
            raise misfit("object")
        values = read(content)
        kept = copier()(values) if definition.runs_code else {}
        try:
            restored = make(values)
        except (Refused, RecursionError):
            raise
        except Exception as error:  # noqa: BLE001  # code of the application's ran
            raise Refused(
                f"it cannot be restored: {type(error).__qualname__} from its __post_init__ or a "
                "default; let these accept what was stored earlier"
            ) from None
        for name, value in kept.items():
            put(restored, name, value)
        return restored

    return from_json


def _reader(fields: Sequence[Field], parts: Sequence[Plan]) -> Convert:
    """The values that are stored, by field; Refused where one is missing that has no default."""
    steps = [
        (field.name, field.key, part.from_json, field.default is None and not field.late)
        for field, part in zip(fields, parts, strict=True)
    ]

    def read(content: dict[str, Any]) -> Values:
        values = {}
        name = ""
        try:
            for name, key, convert, required in steps:
                if key in content:
                    values[name] = convert(content[key])
                elif required:
                    raise missing()
        except Refused as refused:
            refused.at(f".{name}")
            raise
        return values

    return read


def typed_dict_plan(plan: Plan, parts: dict[str, Plan], required: set[str]) -> None:
    """Fill in the plan of a TypedDict."""
    name, needed = plan.name, sorted(required)

    def convert(source: dict[str, Any], converts: dict[str, Convert], gap: Refused) -> Values:
        result = {}
        key = ""
        try:
            for key, each in source.items():
                if key in converts:
                    result[key] = converts[key](each)
            for key in needed:
                if key not in result:
                    raise gap
        except Refused as refused:
            refused.at(f".{key}")
            raise
        return result

    outward = {key: part.to_json for key, part in parts.items()}
    inward = {key: part.from_json for key, part in parts.items()}

    def to_json(value: Any) -> Any:
        if type(value) is not dict:
            raise unfit(name, value, (dict,))
        if not parts.keys() >= value.keys():
            raise Refused(f"it has keys that {name} does not declare; declare them")
        return convert(value, outward, Refused("it has no value, and is required"))

    def from_json(content: Any) -> Any:
        if type(content) is not dict:
            raise misfit("object")
        return convert(content, inward, missing())

    plan.to_json, plan.from_json = to_json, from_json
    plan.parts = tuple(parts.values())
    plan.open_object = any(key.startswith("$") for key in parts)
    fields = (f"{key}{'' if key in required else '?'}: {parts[key].name}" for key in parts)
    plan.shape = f"{name}({'; '.join(fields)})"
