"""A fingerprint of the code that a replay runs: snapshots of another one are passed over.

What counts is the code of the state and event classes, and everything of the application's own
that this code reaches by name: functions, classes, constants, in other modules too. A change that
is found needlessly costs a replay; one that is missed would serve a stale state. So where the two
pull apart, more is included. What code does not show is left to `ActorMeta.revision`.

How it works: everything reached is a node of a graph, with a text of its own and edges to what it
names. The hash of the graph (see `graphs`) depends on nothing else: neither hash seeds nor the
order of imports or of visits have a say.
"""

import dis
import enum
import gc
import importlib
import importlib.util
import inspect
import re
import sys
import threading
import types
import typing
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from spry_sqla.anatomy import (
    carried_by,
    given_to,
    inherited_value,
    is_dunder,
    is_kind,
    package_of,
    parts_of,
    plain,
    state_of,
)
from spry_sqla.graphs import Node, hash_of

if sys.version_info >= (3, 14):
    import annotationlib

_LIBRARY = __name__.partition(".")[0]
_MISSING = object()
_DOCSTRING = 0x4000000  # a code flag since Python 3.14

_NO_CODE = {
    *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__signature__"),
    *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__"),
    *("__firstlineno__", "__static_attributes__", "__conditional_annotations__"),
    *("__orig_bases__", "__parameters__", "__type_params__", "__spry__", "__msgspec_cache__"),
    *("__abstractmethods__", "_abc_impl", "__protocol_attrs__", "__non_callable_proto_members__"),
    "__slotnames__",  # there once an instance was copied or pickled
}
"""Attributes of a class that say nothing about what it does."""

_OF_FIELDS = ("__pydantic_", "__dataclass_", "__attrs_", "__struct_")
"""Beginnings of the attributes in which libraries keep what they know of fields."""

_HOOKS = {"__attrs_pre_init__", "__attrs_init__", "__attrs_post_init__", "_missing_", "_boundary_"}
"""What runs, or counts, among the attributes that libraries keep for themselves."""

_OF_TYPES = {"builtins", "types", "typing", "typing_extensions"}
_CALLABLES = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
)
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_LOADS_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_LOADS_ATTRIBUTE = ("LOAD_ATTR", "LOAD_METHOD")
_LEAVES_TOP = ("NOP", "PUSH_NULL", "POP_TOP", "NOT_TAKEN")


@dataclass(frozen=True, slots=True, eq=False)
class _Code:
    """A code object, the globals that it runs with, and its variables that hold modules."""

    code: types.CodeType
    namespace: dict[str, typing.Any]
    modules: dict[str, types.ModuleType]


@dataclass(slots=True)
class _Described:
    """What an item says itself, what it reaches, and whether the order of that matters."""

    text: str
    reached: Sequence[object] = ()
    ordered: bool = True


class Code:
    """The code of state and event classes, and what it reaches: each thing described once."""

    def __init__(self, states: Iterable[type], events: Iterable[type]) -> None:
        self._events = frozenset(events)
        given = {*states, *self._events}
        self._given = {id(cls) for cls in given}
        self._packages = {package_of(cls.__module__) for cls in given} - {"builtins", _LIBRARY}
        self._own: dict[str, bool] = {}
        # Kept for as long as the numbers: an id is unique only while its object lives.
        self._items: list[object] = []
        self._numbers: dict[int, int] = {}
        self._nodes: dict[int, Node] = {}
        self._lock = threading.Lock()

    def fingerprint(self, state: type, *, revision: int, shapes: Sequence[str]) -> str:
        """Return 32 hexadecimal digits that change when a replay might give another state.

        `shapes` describe the fields and types of the classes, and `revision` is `ActorMeta`'s. The
        order of `shapes` does not matter, nor that of the events.

        The result is the same in every process of one Python version. Call it when the
        application's modules are imported in full: a name that is not defined yet is not followed.
        Modules of the application that are imported inside its functions are imported here.
        """
        python = f"{sys.version_info.major}.{sys.version_info.minor} {sys.implementation.cache_tag}"
        with self._lock:
            code = self._hash((state, self._events))
        whole = "\n".join([python, str(revision), code, *sorted(repr(shape) for shape in shapes)])
        return sha256(whole.encode()).hexdigest()[:32]

    def _hash(self, root: object) -> str:
        """Return the hash of everything that is reached from there."""
        first = self._number(root)
        distances = {first: 0}
        queue = deque(distances)
        while queue:  # breadth first
            number = queue.popleft()
            for edge in self._node(number).edges:
                if edge not in distances:
                    distances[edge] = distances[number] + 1
                    queue.append(edge)
        reached = {number: self._nodes[number] for number in distances}
        return hash_of(reached, distances)[first].hex()

    def _node(self, number: int) -> Node:
        node = self._nodes.get(number)
        if node is None:
            described = self._describe(self._items[number])
            edges = [self._number(item) for item in described.reached]
            text = sha256(described.text.encode("utf-8", "surrogatepass")).digest()
            node = self._nodes[number] = Node(text, edges, described.ordered)
        return node

    def _number(self, item: object) -> int:
        number = self._numbers.setdefault(id(item), len(self._items))
        if number == len(self._items):
            self._items.append(item)
        return number

    def _describe(self, item: object) -> _Described:
        text = plain(item)
        if text is not None:
            return _Described(text)
        # Not `isinstance`, which asks the item: that would wake up proxies and lazy objects.
        kind: typing.Any = type(item)
        known: typing.Any = item
        if kind is _Code:
            return self._describe_code(known)
        if kind in (set, frozenset):
            return _Described(kind.__name__, list(known), ordered=False)
        if kind in (dict, types.MappingProxyType):
            # A proxy shows what grows with imports: a class's attributes, a registry.
            return _Described(kind.__name__, list(known.items()), ordered=kind is dict)
        if kind in (list, tuple):
            return _Described(kind.__name__, known)
        if kind is types.FunctionType:
            return self._describe_function(known)
        if kind is types.MethodType:
            return _Described("method", [known.__func__, known.__self__])
        if _is_module(item):
            return self._describe_module(known)
        if kind.__module__ in _OF_TYPES and typing.get_origin(item) is not None:
            return _Described("generic", [typing.get_origin(item), *typing.get_args(item)])
        if issubclass(kind, type):
            return self._describe_class(known)
        return self._describe_instance(item)

    def _describe_module(self, module: types.ModuleType) -> _Described:
        """Describe a module that is handed around as a value: nobody knows what is used of it."""
        if not self._is_own(module.__name__):
            return _Described(f"module {module.__name__}")
        members = {
            name: value
            for name, value in vars(module).items()
            if not is_dunder(name) and not _is_module(value)
        }
        return _Described("module", [types.MappingProxyType(members)])

    def _describe_function(self, function: types.FunctionType) -> _Described:
        names = function.__code__.co_freevars
        cells = dict(zip(names, map(_content, function.__closure__ or ()), strict=True))
        carried = carried_by(function, ("__wrapped__", "registry"))
        module: str | None = function.__module__
        if module is not None and not self._is_own(module):
            # A decorator of a library: its own code does not count, what it was given does.
            return _Described(_name(function), [*given_to(cells.values()), *carried])
        modules = {name: it for name, it in cells.items() if _is_module(it)}
        code = _Code(function.__code__, function.__globals__, modules)
        others = [it for name, it in cells.items() if name not in modules]
        defaults = [function.__defaults__, function.__kwdefaults__]
        return _Described("function", [code, defaults, others, *carried])

    def _describe_code(self, item: _Code) -> _Described:
        code = item.code
        named = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        lines = [
            f"{code.co_flags & ~_DOCSTRING} {code.co_posonlyargcount} {code.co_argcount} {named}",
            code.co_exceptiontable.hex(),
        ]
        reached: list[object] = []
        instructions = [it for it in dis.get_instructions(code) if it.opname != "EXTENDED_ARG"]
        # Instructions, not bytes: there, a docstring would shift the numbers of the constants.
        for it in instructions:
            argument = plain(it.argval)
            if argument is None and it.opcode in dis.hasconst:
                argument = "as reached"
                nested = isinstance(it.argval, types.CodeType)
                reached.append(
                    _Code(it.argval, item.namespace, item.modules) if nested else it.argval
                )
            lines.append(f"{it.opname} {it.arg if argument is None else argument}")
        for name, value in self._names(instructions, item):
            lines.append(f"reaches {name}")
            reached.append(value)
        return _Described("\n".join(lines), reached)

    def _names(
        self, instructions: Iterable[dis.Instruction], item: _Code
    ) -> Iterator[tuple[str, object]]:
        """Yield what code reaches by name; `item.modules` learns of the modules it imports."""
        top: object = _MISSING  # what an instruction leaves on the stack, where we know it
        source: object = _MISSING  # the module that is imported from
        constants: list[typing.Any] = [0, None]
        for it in instructions:
            before, top = top, _MISSING
            operation, names = it.opname, it.argval if type(it.argval) is tuple else (it.argval,)
            name: typing.Any = names[-1] if names else None
            if operation in _LEAVES_TOP:
                top = before
            elif operation == "IMPORT_NAME":
                top = source = self._imported(name, constants[0], constants[1], item.namespace)
            elif operation == "IMPORT_FROM":
                top = self._member(source, name)
            elif operation == "SWAP":  # in `import a.b.c as c`
                top = source = before
            elif operation in _LOADS_ATTRIBUTE and _is_module(before):
                top = self._member(before, name)
            elif operation.startswith("STORE_") and _is_module(before):
                item.modules[names[0]] = before
            elif _is_module(before):
                yield before.__name__, before
            if operation in ("LOAD_CONST", "LOAD_SMALL_INT"):
                constants = [constants[1], it.argval]
            elif operation.startswith(("LOAD_FAST", "LOAD_DEREF", "STORE_FAST_LOAD_FAST")):
                top = item.modules.get(name, _MISSING)
            elif operation in _LOADS_GLOBAL and not is_dunder(name):
                top = item.modules.get(name, item.namespace.get(name, _MISSING))
            if top is not _MISSING and not _is_module(top):
                yield name, top
                top = _MISSING

    def _imported(
        self, name: str, level: int, names: object, namespace: Mapping[str, typing.Any]
    ) -> object:
        try:
            package = namespace.get("__package__") or namespace.get("__name__")
            absolute = importlib.util.resolve_name("." * level + name, package)
            if not self._is_own(absolute):
                return _MISSING
            module = importlib.import_module(absolute)
        except Exception:  # noqa: BLE001 - whatever it is, the replay would meet it too
            return _MISSING
        return module if names or level else sys.modules[package_of(absolute)]

    def _member(self, module: object, name: str) -> object:
        if not _is_module(module) or not self._is_own(module.__name__):
            return _MISSING
        member = getattr(module, name, _MISSING)
        if member is _MISSING:
            return self._imported(f"{module.__name__}.{name}", 0, (name,), {})
        return member

    def _describe_class(self, cls: type) -> _Described:
        if id(cls) not in self._given and not self._is_own(cls.__module__):
            return _Described(_name(cls))
        members: dict[str, object] = {
            name: value
            for name, value in vars(cls).items()
            if name not in _NO_CODE
            and (name in _HOOKS or not name.startswith(_OF_FIELDS))
            and not is_kind(value, _SLOTS)
        }
        if issubclass(cls, enum.Enum):
            # Its members by their values; what else it keeps of them is for its own use.
            values = {name: it._value_ for name, it in cls.__members__.items()}
            members = {
                name: value
                for name, value in members.items()
                if name not in values and (name in _HOOKS or not _is_sunder(name))
            }
            members["_values_"] = list(values.items())
        # dataclasses and attrs write their defaults, factories and converters into an __init__
        # that is followed like any other code; the others are asked.
        fields = [
            getattr(cls, "__struct_defaults__", ()),
            vars(cls).get("__pydantic_fields__", {}),
        ]
        bases = [base for base in cls.__bases__ if base is not object]
        return _Described(
            f"class {cls.__qualname__}",
            [bases, type(cls), types.MappingProxyType(members), _hints(cls), fields],
        )

    def _describe_instance(self, item: object) -> _Described:
        kind: typing.Any = type(item)
        known: typing.Any = item
        if issubclass(kind, enum.Enum):
            return _Described(f"member {known._name_}", [kind, known._value_])
        if self._is_own(kind.__module__) or (_has_fields(kind) and not _is_ours(kind)):
            return _Described("instance", [kind, state_of(item), *inherited_value(item)])
        if issubclass(kind, _CALLABLES):
            bound_to = getattr(item, "__self__", None)
            is_free = bound_to is None or _is_module(bound_to)
            return _Described(_name(item), [] if is_free else [bound_to])
        parts = [*parts_of(item), *self._functions_in(item)]
        return _Described(f"instance of {_name(kind)}", parts)

    def _functions_in(self, item: object) -> list[object]:
        """The application's functions that an object holds, also where nobody can ask for them."""
        held: list[typing.Any] = [*state_of(item).values(), *gc.get_referents(item)]
        functions = {id(it): it for it in held if type(it) is types.FunctionType}
        return [it for it in functions.values() if it.__module__ and self._is_own(it.__module__)]

    def _is_own(self, module: str) -> bool:
        """Whether a module is the application's own."""
        known = self._own.get(module)
        if known is None:
            known = self._own[module] = self._find_whether_own(module)
        return known

    def _find_whether_own(self, module: str) -> bool:
        package = package_of(module)
        if package in self._packages or package in ("__main__", "__mp_main__"):
            return True
        if package in (_LIBRARY, "builtins") or package in sys.stdlib_module_names:
            return False
        loaded = sys.modules.get(module) or sys.modules.get(package)
        file = getattr(loaded, "__file__", None)
        if loaded is None:
            try:
                spec = importlib.util.find_spec(package)
            except (ImportError, ValueError):
                spec = None
            file = spec.origin if spec else None
        return not file or not re.search(r"[/\\](site|dist)-packages[/\\]", file)


def _content(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return _MISSING


def _hints(cls: type) -> dict[str, object]:
    """Return the types of the fields that a class declares itself, as far as they resolve."""
    namespace = vars(sys.modules.get(cls.__module__, types))
    hints: dict[str, object] = {}
    for name, hint in _annotations(cls).items():
        holder = types.SimpleNamespace(__annotations__={name: hint})
        try:
            hints |= typing.get_type_hints(holder, namespace, dict(vars(cls)), include_extras=True)
        except Exception:  # noqa: BLE001 - an annotation can be any expression
            hints[name] = hint
    return hints


def _annotations(cls: type) -> dict[str, object]:
    if sys.version_info >= (3, 14):
        return annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(cls)


def _has_fields(kind: type) -> bool:
    return any(hasattr(kind, f"{start}fields__") for start in _OF_FIELDS) or hasattr(
        kind, "__attrs_attrs__"
    )


def _is_module(item: object) -> typing.TypeGuard[types.ModuleType]:
    return issubclass(type(item), types.ModuleType)


def _is_ours(kind: type) -> bool:
    return package_of(kind.__module__) == _LIBRARY


def _is_sunder(name: str) -> bool:
    """Whether an Enum keeps it for itself."""
    return len(name) > 2 and name[0] == name[-1] == "_" and "_" not in (name[1], name[-2])


def _name(item: object) -> str:
    module = getattr(item, "__module__", None)
    return f"{module}.{getattr(item, '__qualname__', type(item).__qualname__)}"
