"""What the library has to know of a class: its fields, their defaults, how one is made anew.

Dataclasses, attrs classes, msgspec Structs and pydantic models are told apart by the attributes
that they carry, so that neither attrs nor pydantic is imported. An object is restored without its
`__init__`, converters and validators: what was stored was valid, and comes back as it was.
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, get_origin, get_type_hints

import msgspec

from spry_sqla.codec.attributes import HASH, caches_hash, slots_of
from spry_sqla.codec.plans import missing
from spry_sqla.errors import UnusableType

Values = dict[str, Any]
Default = Callable[[Any], Any]
"""Given the object so far, or for pydantic the values so far, it makes a field's default."""


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """A field of a class: its name there and in JSON, its annotation, what it is when missing."""

    name: str
    key: str
    annotation: Any
    default: Default | None = None
    late: bool = False
    """Without a default, a `__post_init__` may still give it."""
    shown: str = ""
    """The default, for a fingerprint."""


@dataclasses.dataclass(frozen=True, slots=True)
class Definition:
    """A class as the codec sees it.

    `make` restores an object from the values that were stored, by name. Where `runs_code` is set,
    code of the application's runs in it (a `__post_init__`), which might change what was stored:
    the values are then put in place again with `put`.
    """

    cls: type
    fields: tuple[Field, ...]
    make: Callable[[Values], Any]
    put: Callable[[Any, str, Any], None]
    native: bool
    runs_code: bool = False
    extras: Callable[[Any], bool] | None = None
    """Whether a value holds more than its fields."""


def name_of(annotation: Any) -> str:
    """An annotation as one would write it."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation.__qualname__.rpartition("<locals>.")[2]
    return str(annotation).replace("typing.", "")


def _resolve(base: type, name: str, annotation: Any) -> Any:
    """Evaluate one annotation, postponed or not, as `typing` does for a whole class."""
    module = getattr(sys.modules.get(base.__module__), "__dict__", {})
    own = {each.__name__: each for each in (*getattr(base, "__type_params__", ()), base)}
    holder = type("_", (), {"__annotations__": {name: annotation}, "__module__": base.__module__})
    try:
        hints = get_type_hints(
            holder, globalns={**own, **vars(base), **module}, localns={}, include_extras=True
        )
    except Exception as error:  # noqa: BLE001  # an annotation is any expression
        missing = f" ({error.name} is not known there)" if isinstance(error, NameError) else ""
        problem = f"{name_of(annotation)} cannot be resolved{missing}"
    else:
        return hints[name]
    raise UnusableType(
        f"{base.__name__}.{name}: {problem}; define the types that it names in the module, outside "
        "of functions and of `if TYPE_CHECKING`"
    )


def _bindings(cls: Any, arguments: tuple[Any, ...], found: dict[type, dict[Any, Any]]) -> None:
    own = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=False))
    found[cls] = own
    for base in cls.__dict__.get("__orig_bases__", cls.__bases__):
        origin = get_origin(base) or base
        if origin in (Generic, Protocol) or not isinstance(origin, type):
            continue
        given = getattr(base, "__args__", ()) if origin is not base else ()
        _bindings(origin, tuple(bind(each, own) for each in given), found)


def bind(annotation: Any, variables: Mapping[Any, Any]) -> Any:
    """Put what is bound to type variables in their place."""
    if not variables:
        return annotation
    if annotation in variables:
        return variables[annotation]
    open_ones = getattr(annotation, "__parameters__", ())
    if open_ones and not isinstance(annotation, type):
        return annotation[tuple(variables.get(each, each) for each in open_ones)]
    return annotation


def _annotations(cls: type) -> dict[str, tuple[type, Any]]:
    """Field name → the class that declares it and the annotation as written."""
    found: dict[str, tuple[type, Any]] = {}
    for base in reversed(cls.__mro__):
        try:
            if sys.version_info >= (3, 14):
                declared = base.__annotations__ if base is not object else {}
            else:
                declared = vars(base).get("__annotations__", {})
        except NameError as error:
            problem = f"{error.name} is not known"
        else:
            if not isinstance(declared, dict):  # `type` itself has a descriptor there
                continue
            found.update((name, (base, each)) for name, each in declared.items())
            continue
        raise UnusableType(
            f"{base.__name__}: an annotation cannot be resolved ({problem} there); define the "
            "types that it names in the module, outside of functions and of `if TYPE_CHECKING`"
        )
    return found


class Hints:
    """The annotations of a class, resolved one by one, type variables bound."""

    def __init__(self, cls: type, arguments: tuple[Any, ...]) -> None:
        self.cls = cls
        self.declared = _annotations(cls)
        self.bound: dict[type, dict[Any, Any]] = {}
        _bindings(cls, arguments, self.bound)

    def __call__(self, name: str, otherwise: Any = None) -> Any:
        if name in self.declared:
            base, annotation = self.declared[name]
            return bind(_resolve(base, name, annotation), self.bound.get(base, {}))
        if otherwise is None:
            raise UnusableType(
                f"{self.cls.__name__}.{name} has no annotation; say which type it holds"
            )
        return otherwise

    def stray(self, known: type) -> str | None:
        """A field that is declared below `known`, the class that was decorated."""
        mro = self.cls.__mro__
        below = mro[: mro.index(known)]
        for name, (base, annotation) in self.declared.items():
            if base in below and "ClassVar" not in str(annotation):
                return f"{base.__name__}.{name}"
        return None


def _constant(value: Any) -> Default:
    return lambda _: value


def _factory(make: Callable[[], Any]) -> Default:
    return lambda _: make()


def _maker(cls: type, fields: tuple[Field, ...], hook: str | None) -> Callable[[Values], Any]:
    new, put = object.__new__, object.__setattr__
    hashed = caches_hash(cls)

    def make(values: Values) -> Any:
        restored: Any = new(cls)
        for field in fields:
            if field.name in values:
                put(restored, field.name, values[field.name])
            elif field.default is not None:
                put(restored, field.name, field.default(restored))
        if hook is not None:
            getattr(restored, hook)()
            for field in fields:
                if field.late and field.name not in values and not hasattr(restored, field.name):
                    raise missing().at(f".{field.name}")
        if hashed:  # as the `__init__` of attrs does, after the hook
            put(restored, HASH, None)
        return restored

    return make


def has_fields(cls: type) -> bool:
    """Whether it is a class of one of the kinds that tell their fields."""
    marks = ("__dataclass_fields__", "__attrs_attrs__", "__struct_fields__", "__pydantic_fields__")
    return issubclass(cls, tuple) or any(hasattr(cls, mark) for mark in marks)


def define(cls: type, arguments: tuple[Any, ...] = ()) -> Definition:
    """Read a class; UnusableType where its state cannot be known or kept."""
    hints = Hints(cls, arguments)
    if isinstance(cls, type(msgspec.Struct)):
        return _struct(cls, hints)
    if issubclass(cls, tuple):
        return _named_tuple(cls, hints)
    if hasattr(cls, "__pydantic_fields__") and not hasattr(cls, "__dataclass_fields__"):
        return _model(cls)
    try:
        object.__new__(cls)
    except TypeError:
        problem = True
    else:
        problem = False
    if problem:
        raise UnusableType(
            f"{cls.__name__} is abstract, or inherits from a built-in class; "
            "name the classes that can be made, and keep what a built-in class holds in a field"
        )
    if hasattr(cls, "__attrs_attrs__"):
        return _attrs(cls, hints)
    if hasattr(cls, "__dataclass_fields__"):
        return _dataclass(cls, hints)
    return _empty(cls, hints)


def _no_stray(cls: type, hints: Hints, mark: str, decorator: str) -> None:
    known = next(base for base in cls.__mro__ if mark in vars(base))
    if stray := hints.stray(known):
        raise UnusableType(f"{stray} is no field; put {decorator} above the class that declares it")


def _dataclass(cls: Any, hints: Hints) -> Definition:
    _no_stray(cls, hints, "__dataclass_fields__", "@dataclass")
    hook = "__post_init__" if hasattr(cls, "__post_init__") else None
    for each in cls.__dataclass_fields__.values():
        if getattr(each._field_type, "name", "") == "_FIELD_INITVAR":
            raise UnusableType(
                f"{cls.__name__}.{each.name}: an InitVar is not stored; make it a field"
            )
    fields = []
    for each in dataclasses.fields(cls):
        default: Default | None = None
        shown = ""
        if each.default is not dataclasses.MISSING:
            default, shown = _constant(each.default), _shown(each.default)
        elif each.default_factory is not dataclasses.MISSING:
            default, shown = _factory(each.default_factory), _shown(each.default_factory)
        late = hook is not None and not each.init and default is None
        fields.append(Field(each.name, each.name, hints(each.name), default, late, shown))
    return Definition(
        cls,
        tuple(fields),
        _maker(cls, tuple(fields), hook),
        object.__setattr__,
        native=hook is None
        and cls.__new__ is object.__new__
        and not hasattr(cls, "__pydantic_fields__"),
        runs_code=hook is not None,
    )


def _attrs(cls: Any, hints: Hints) -> Definition:
    _no_stray(cls, hints, "__attrs_attrs__", "@attrs.define")
    hook = "__attrs_post_init__" if hasattr(cls, "__attrs_post_init__") else None
    native = hook is None and cls.__new__ is object.__new__
    native = native and not hasattr(cls, "__attrs_pre_init__") and not caches_hash(cls)
    fields = []
    for each in cls.__attrs_attrs__:
        default: Default | None = None
        plain = each.converter is None and each.validator is None
        if type(each.default).__name__ == "Factory":
            takes_self = each.default.takes_self
            plain = plain and not takes_self
            make = each.default.factory
            default = make if takes_self else _factory(make)
            shown = _shown(make)
        elif each.default is not _nothing(each):
            default, shown = _constant(each.default), _shown(each.default)
        else:
            shown = ""
        if default is not None and each.converter is not None:
            default = _converted(default, each)
        native = native and plain
        late = hook is not None and not each.init and default is None
        annotation = hints(each.name, each.type)
        fields.append(Field(each.name, each.name, annotation, default, late, shown))
    return Definition(
        cls,
        tuple(fields),
        _maker(cls, tuple(fields), hook),
        object.__setattr__,
        native=native,
        runs_code=hook is not None,
    )


def _nothing(attribute: Any) -> Any:
    """The NOTHING of attrs, without importing it."""
    return sys.modules["attr"].NOTHING


def _converted(default: Default, attribute: Any) -> Default:
    """The default as the class's own `__init__` would convert it."""
    converter = attribute.converter
    takes_self = getattr(converter, "takes_self", False)
    takes_field = getattr(converter, "takes_field", False)
    convert = getattr(converter, "converter", converter)

    def make(restored: Any) -> Any:
        more = (restored,) * takes_self + (attribute,) * takes_field
        return convert(default(restored), *more)

    return make


def _struct(cls: Any, hints: Hints) -> Definition:
    names, keys = cls.__struct_fields__, cls.__struct_encode_fields__
    defaults = cls.__struct_defaults__
    required = len(names) - len(defaults)
    fields = []
    for place, (name, key) in enumerate(zip(names, keys, strict=True)):
        has_default = place >= required and defaults[place - required] is not msgspec.NODEFAULT
        # The constructor fills it in; here only whether it can.
        default = _constant(None) if has_default else None
        shown = _shown(defaults[place - required]) if has_default else ""
        fields.append(Field(name, key, hints(name), default, shown=shown))
    hook = hasattr(cls, "__post_init__")
    return Definition(
        cls,
        tuple(fields),
        lambda values: cls(**values),
        msgspec.structs.force_setattr,
        native=not hook and not cls.__struct_config__.array_like,
        runs_code=hook,
    )


def _named_tuple(cls: Any, hints: Hints) -> Definition:
    defaults = cls._field_defaults
    fields = tuple(
        Field(
            name,
            name,
            hints(name),
            _constant(defaults[name]) if name in defaults else None,
            shown=_shown(defaults[name]) if name in defaults else "",
        )
        for name in cls._fields
    )

    def make(values: Values) -> Any:
        return tuple.__new__(cls, ({**defaults, **values}[field.name] for field in fields))

    return Definition(cls, fields, make, object.__setattr__, native=False)


def _model(cls: Any) -> Definition:
    if not cls.__pydantic_complete__:
        cls.model_rebuild(raise_errors=False)
    if not cls.__pydantic_complete__:
        raise UnusableType(
            f"{cls.__name__}: an annotation cannot be resolved; define the types that it names in "
            "the module, or call model_rebuild() first"
        )
    fields = []
    for name, info in cls.__pydantic_fields__.items():
        default = None if info.is_required() else _model_default(info)
        shown = "" if default is None else _shown(info.default_factory or info.default)
        fields.append(Field(name, name, info.annotation, default, shown=shown))
    root = cls.__pydantic_root_model__
    hook = cls.__pydantic_post_init__
    put = object.__setattr__

    def make(values: Values) -> Any:
        restored = cls.__new__(cls)
        given: Values = {}
        for field in fields:
            if field.name in values:
                given[field.name] = values[field.name]
            elif field.default is not None:
                given[field.name] = field.default(given)
        put(restored, "__dict__", given)
        put(restored, "__pydantic_fields_set__", set(values))
        if not root:
            put(restored, "__pydantic_extra__", {} if allows_extras else None)
            put(restored, "__pydantic_private__", None)
        if hook:
            getattr(restored, hook)(None)
        return restored

    allows_extras = cls.model_config.get("extra") == "allow"
    return Definition(
        cls,
        tuple(fields),
        make,
        lambda restored, name, value: restored.__dict__.__setitem__(name, value),
        native=False,
        runs_code=bool(hook),
        extras=(lambda value: bool(value.__pydantic_extra__)) if allows_extras else None,
    )


def _model_default(info: Any) -> Default:
    return lambda given: info.get_default(call_default_factory=True, validated_data=given)


def _empty(cls: type, hints: Hints) -> Definition:
    """A class that declares nothing has nothing to keep."""
    own_init = next(base for base in cls.__mro__ if "__init__" in vars(base))
    if hints.stray(object) or slots_of(cls) or own_init not in (object, Generic, Protocol):
        raise UnusableType(
            f"{cls.__name__} keeps state, but is no dataclass, attrs class, msgspec Struct or "
            "pydantic model; make it a dataclass"
        )
    return Definition(cls, (), _maker(cls, (), None), object.__setattr__, native=False)


def _shown(default: Any) -> str:
    """A default as a fingerprint may see it: the same text in every process."""
    if type(default) in (str, int, bool, float, type(None)):
        return repr(default)
    return getattr(default, "__qualname__", None) or type(default).__qualname__
