"""The plans of what has named fields: instances of classes, and TypedDicts."""

from typing import Any

from spry_sqla.codec.classes import Definition, Values
from spry_sqla.codec.plans import Plan, Refused, misfit, missing, unfit


def class_plan(plan: Plan, definition: Definition, plans: list[Plan]) -> None:
    """Fill in the plan of a class, once those of its fields are there; it may hold itself."""
    cls, name = definition.cls, plan.name
    make, put, extras = definition.make, definition.put, definition.extras
    pairs = list(zip(definition.fields, plans, strict=True))
    outward = [(field.name, field.key, part.to_json) for field, part in pairs]
    inward = [(field, field.name, field.key, part.from_json) for field, part in pairs]

    def to_json(value: Any) -> Any:
        if type(value) is not cls:
            raise unfit(name, value, (cls,))
        if extras is not None and extras(value):
            raise Refused("it holds extra values, which have no annotation; declare them as fields")
        content = {}
        field = ""
        try:
            for field, key, convert in outward:
                content[key] = convert(getattr(value, field))
        except Refused as refused:
            refused.at(f".{field}")
            raise
        except AttributeError:
            unset = field
        else:
            return content
        raise Refused("it has no value; set it, or give it a default").at(f".{unset}")

    def read(content: dict[str, Any]) -> Values:
        values = {}
        field = ""
        try:
            for definition_field, field, key, convert in inward:
                if key in content:
                    values[field] = convert(content[key])
                elif definition_field.default is None and not definition_field.late:
                    raise missing()
        except Refused as refused:
            refused.at(f".{field}")
            raise
        return values

    def from_json(content: Any) -> Any:
        if type(content) is not dict:
            raise misfit("object")
        values = read(content)
        try:
            restored = make(values)
        except Refused:
            raise
        except Exception as error:
            raise Refused(
                f"it cannot be restored: {type(error).__qualname__} from its __post_init__ or a "
                "default; let these accept what was stored earlier"
            ) from None
        if definition.runs_code:
            for field, value in read(content).items():
                put(restored, field, value)
        return restored

    plan.types = (cls,)
    plan.to_json, plan.from_json = to_json, from_json
    plan.native = definition.native
    plan.parts = tuple(plans)
    plan.open_object = any(field.key.startswith("$") for field in definition.fields)
    plan.shape = "{}({})".format(
        name,
        "; ".join(
            f"{field.key}: {part.name}{f' = {field.shown}' if field.shown else ''}"
            for field, part in pairs
        ),
    )


def typed_dict_plan(plan: Plan, parts: dict[str, Plan], required: set[str]) -> None:
    """Fill in the plan of a TypedDict."""
    name = plan.name
    needed = sorted(required)

    def to_json(value: Any) -> Any:
        if type(value) is not dict:
            raise unfit(name, value, (dict,))
        if not parts.keys() >= value.keys():
            raise Refused(f"it has keys that {name} does not declare; declare them")
        content = {}
        key = ""
        try:
            for key, each in value.items():
                content[key] = parts[key].to_json(each)
        except Refused as refused:
            refused.at(f".{key}")
            raise
        for key in needed:
            if key not in content:
                raise Refused("it has no value, and is required").at(f".{key}")
        return content

    def from_json(content: Any) -> Any:
        if type(content) is not dict:
            raise misfit("object")
        value = {}
        key = ""
        try:
            for key, each in content.items():
                if key in parts:
                    value[key] = parts[key].from_json(each)
        except Refused as refused:
            refused.at(f".{key}")
            raise
        for key in needed:
            if key not in value:
                raise missing().at(f".{key}")
        return value

    plan.to_json, plan.from_json = to_json, from_json
    plan.parts = tuple(parts.values())
    plan.open_object = any(key.startswith("$") for key in parts)
    fields = (f"{key}{'' if key in required else '?'}: {parts[key].name}" for key in parts)
    plan.shape = f"{name}({'; '.join(fields)})"
