"""The plans of lists, tuples, sets, dicts and unions, made from the plans of what they hold.

A dict whose keys are not all texts is written as pairs, a set in the order of its elements' JSON. A
union tags a member, as `{"$datetime": "…"}`, only where its JSON could be taken for another's.
"""

from collections.abc import Sequence
from typing import Any

from spry_sqla.codec.plans import SCALARS, Convert, Plan, Refused, misfit, unfit, write


def _listed(convert: Convert) -> Convert:
    def each(values: Any) -> list[Any]:
        try:
            return [convert(value) for value in values]
        except Refused as refused:
            refused.at("[]")
            raise

    return each


def sequence_plan(kind: type, element: Plan) -> Plan:
    """A list, or a tuple of any length."""
    name = f"{kind.__name__}[{element.name}{', ...' if kind is tuple else ''}]"
    to_list, from_list = _listed(element.to_json), _listed(element.from_json)

    def to_json(value: Any) -> Any:
        if type(value) is kind:
            return to_list(value)
        raise unfit(name, value, (kind,))

    def from_json(content: Any) -> Any:
        if type(content) is not list:
            raise misfit("list")
        values = from_list(content)
        return values if kind is list else kind(values)

    return Plan(
        name, (kind,), "list", to_json, from_json, native=True, parts=(element,), tag=kind.__name__
    )


def set_plan(kind: type, element: Plan) -> Plan:
    """A set or frozenset."""
    name = f"{kind.__name__}[{element.name}]"
    to_list, from_list = _listed(element.to_json), _listed(element.from_json)
    # Texts and numbers are cheaper to compare as they are, and their order is as good.
    order = None if element in (SCALARS[str], SCALARS[bool]) else write

    def to_json(value: Any) -> Any:
        if type(value) is kind:
            return sorted(to_list(value), key=order)
        raise unfit(name, value, (kind,))

    def from_json(content: Any) -> Any:
        if type(content) is not list:
            raise misfit("list")
        try:
            return kind(from_list(content))
        except TypeError:
            raise Refused(f"an element of {name} has no hash; make its class frozen") from None

    return Plan(
        name, (kind,), "list", to_json, from_json, native=True, parts=(element,), tag=kind.__name__
    )


def fixed_tuple_plan(elements: Sequence[Plan]) -> Plan:
    """A tuple of a fixed length, each place with its own type."""
    parts = tuple(elements)
    name = f"tuple[{', '.join(part.name for part in parts) or '()'}]"

    def each(values: Any, converts: list[Convert]) -> list[Any]:
        place = 0
        result = []
        try:
            for place, convert in enumerate(converts):
                result.append(convert(values[place]))
        except Refused as refused:
            refused.at(f"[{place}]")
            raise
        return result

    outward = [part.to_json for part in parts]
    inward = [part.from_json for part in parts]

    def to_json(value: Any) -> Any:
        if type(value) is not tuple:
            raise unfit(name, value, (tuple,))
        if len(value) != len(parts):
            raise Refused(f"expected {name}, got a tuple of another length")
        return each(value, outward)

    def from_json(content: Any) -> Any:
        if type(content) is list and len(content) == len(parts):
            return tuple(each(content, inward))
        raise misfit(name)

    return Plan(name, (tuple,), "list", to_json, from_json, native=True, parts=parts, tag="tuple")


def dict_plan(key: Plan, value: Plan) -> Plan:
    """A dict: an object where every key is written as a text, else a list of pairs.

    Both are read, for with a new member an Enum may begin or cease to be written as texts.
    """
    name = f"dict[{key.name}, {value.name}]"
    key_to, value_to = key.to_json, value.to_json
    key_from, value_from = key.from_json, value.from_json
    written = "object" if key.keys else "list of pairs"

    def to_json(content: Any) -> Any:
        if type(content) is not dict:
            raise unfit(name, content, (dict,))
        try:
            if key.keys:
                return {key_to(k): value_to(v) for k, v in content.items()}
            return [[key_to(k), value_to(v)] for k, v in content.items()]
        except Refused as refused:
            refused.at("{}")
            raise

    def from_json(content: Any) -> Any:
        if type(content) is dict and (key.keys or key.kinds):
            pairs: Any = content.items()
        elif type(content) is list and not (key.keys and not key.kinds):
            pairs = content
        else:
            raise misfit(written)
        result = {}
        try:
            for pair in pairs:
                if type(pair) is not tuple and (type(pair) is not list or len(pair) != 2):
                    raise misfit(written)
                result[key_from(pair[0])] = value_from(pair[1])
        except TypeError:
            raise Refused(f"a key of {name} has no hash; make its class frozen").at("{}") from None
        except Refused as refused:
            refused.at("{}")
            raise
        return result

    return Plan(
        name,
        (dict,),
        "object" if key.keys else "list",
        to_json,
        from_json,
        native=key.keys,
        parts=(key, value),
        open_object=key.keys,
        kinds=("object", "list") if key.kinds else (),
        tag="dict",
    )


def _tags(members: Sequence[Plan]) -> dict[Plan, str]:
    """The tag of each member that needs one."""
    by_kind: dict[str, list[Plan]] = {}
    for member in members:
        by_kind.setdefault(member.kind, []).append(member)
    natural = [SCALARS[str], SCALARS[int]]
    tagged: list[Plan] = []
    for kind, rivals in by_kind.items():
        if len(rivals) > 1 or kind == "mixed":
            plain = [member for member in rivals if member in natural]
            if not plain and kind == "list":  # of a list and a tuple the list stays as it is
                plain = [member for member in rivals if member.types == (list,)]
            tagged += [member for member in rivals if member not in plain or len(plain) > 1]
    # Beside a tag, or a number written as `{"$int": …}`, no object with any key may stand alone.
    numbers = any(kind in by_kind for kind in ("int", "float"))
    for member in members:
        if member.open_object and member not in tagged and (tagged or numbers):
            tagged.append(member)
    # The short name, so that content stays readable when a `list[int]` becomes a `list[float]`.
    short = [member.tag or member.name for member in tagged]
    full = [member.name for member in tagged]
    return {member: f"${_tag(member, short=short, full=full)}" for member in tagged}


def _tag(member: Plan, *, short: list[str], full: list[str]) -> str:
    tag = member.tag or member.name
    if member.source is not None and (full.count(member.name) > 1 or tag == "int"):
        return f"{member.source.__module__}.{member.source.__qualname__}"
    return tag if short.count(tag) == 1 else member.name


def union_plan(members: Sequence[Plan], *, native: bool = False) -> Plan:
    """One of several members; the first that takes a value writes it.

    `native` says that msgspec reads the untagged members alike and refuses the tags.
    """
    if len(members) == 2 and any(member.kind == "null" for member in members):
        return _optional_plan(*(member for member in members if member.kind != "null"))
    name = " | ".join(member.name for member in members)
    tags = _tags(members)
    by_type = _by_type(members, tags)
    types = tuple(by_type)

    def to_json(value: Any) -> Any:
        refused: Refused | None = None
        for convert, tag in by_type.get(type(value), ()):
            try:
                content = convert(value)
            except Refused as why:
                refused = refused or why
            else:
                return content if tag is None else {tag: content}
        raise refused or unfit(name, value, types)

    return Plan(
        name,
        types,
        "union",
        to_json,
        _union_from_json(name, members, tags),
        native or not tags,
        tuple(members),
        open_object=any(member.open_object for member in members),
    )


def _by_type(
    members: Sequence[Plan], tags: dict[Plan, str]
) -> dict[type, list[tuple[Convert, str | None]]]:
    """Exact type → the ways to write a value of it."""
    found: dict[type, list[tuple[Convert, str | None]]] = {}
    # A float takes an int too, but an int first goes where an int is meant.
    for member in sorted(members, key=lambda member: member is SCALARS[float]):
        for kind in member.types:
            if kind is not int or member is not SCALARS[float] or SCALARS[int] not in members:
                found.setdefault(kind, []).append((member.to_json, tags.get(member)))
    return found


def _union_from_json(name: str, members: Sequence[Plan], tags: dict[Plan, str]) -> Convert:
    by_tag = {tag: member.from_json for member, tag in tags.items()}
    if not any(member.open_object and member not in tags for member in members):
        for member in members:
            if member.kinds:
                by_tag.setdefault(f"${member.tag or member.name}", member.from_json)
    by_kind = _by_kind(members, tags)
    numbers = SCALARS[int] in members or SCALARS[float] in members

    def from_json(content: Any) -> Any:
        kind = _KINDS.get(type(content), "other")
        if kind == "object" and len(content) == 1:
            (tag,) = content
            if tag in by_tag:
                return by_tag[tag](content[tag])
            if tag == "$int" and numbers:
                return SCALARS[int].from_json(content)
        if kind not in by_kind:
            raise misfit(name)
        *doubtful, last = by_kind[kind]
        for convert in doubtful:
            try:
                return convert(content)
            except Refused:
                continue
        return last(content)

    return from_json


def _by_kind(members: Sequence[Plan], tags: dict[Plan, str]) -> dict[str, list[Convert]]:
    """JSON kind → the ways to read it, one after the other.

    Content may have been written without a tag that its member has by now: before the union had
    its newest member, or the Enum.
    """
    found = {member.kind: [member.from_json] for member in members if member not in tags}
    former: dict[str, list[Convert]] = {}
    grows = any(member.kinds for member in members)
    for member in members:
        kinds = (*member.kinds, *(["object"] if grows and member.open_object else []))
        for kind in kinds:
            if kind not in found and member.from_json not in former.get(kind, ()):
                former.setdefault(kind, []).append(member.from_json)
        if not kinds and member in tags and member.kind not in found:
            former.setdefault(member.kind, []).append(_untagged(member.from_json))
    if "float" in found and "int" not in found:  # an upcast may give 1 for 1.0
        enums = former.pop("int", [])
        found["int"] = [*([_only(enums)] if enums else []), *found["float"]]
    found.update((kind, [_only(readers)]) for kind, readers in former.items())
    return found


def _untagged(convert: Convert) -> Convert:
    """What a reader makes of a content that has no tag, that of a former member included."""

    def from_json(content: Any) -> Any:
        if type(content) is dict and any(key.startswith("$") for key in content):
            raise misfit("value of one of its types")
        return convert(content)

    return from_json


def _only(readers: Sequence[Convert]) -> Convert:
    """What the only one of several readers that takes a content makes of it."""

    def from_json(content: Any) -> Any:
        found = []
        for convert in readers:
            try:
                found.append(convert(content))
            except Refused:
                continue
        if len(found) == 1:
            return found[0]
        raise misfit("value of one of its types")

    return readers[0] if len(readers) == 1 else from_json


_KINDS = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    list: "list",
    dict: "object",
}


def _optional_plan(member: Plan) -> Plan:
    to, back = member.to_json, member.from_json

    def to_json(value: Any) -> Any:
        return None if value is None else to(value)

    def from_json(content: Any) -> Any:
        return None if content is None else back(content)

    return Plan(
        f"{member.name} | None",
        (*member.types, type(None)),
        "union",
        to_json,
        from_json,
        native=True,
        parts=(member,),
        open_object=member.open_object,
    )
