"""The registered types of an application: stored names, versions, upcasts, tables.

`Domain` reads actors, commands and events off their classes, refuses what cannot work, and makes
the tables. Contents are read and written here by name and version; what they mean is `replay`'s.
"""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, partial
from types import ModuleType
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import MetaData

from spry_sqla.codec import Codec, OpenCodec, codec_for
from spry_sqla.codec.classes import has_fields
from spry_sqla.errors import (
    DefinitionError,
    DuplicateName,
    NotRegistered,
    UnknownType,
    UnreadableContent,
)
from spry_sqla.fingerprint import Code
from spry_sqla.model import (
    Actor,
    ActorLike,
    ActorMeta,
    Command,
    CommandLike,
    Event,
    EventLike,
    Stored,
)
from spry_sqla.records import tag_of
from spry_sqla.schema import ActorTables, SharedTables, actor_tables, shared_tables

A = TypeVar("A")
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Kind(Generic[T]):
    """A registered class and how it is stored."""

    cls: type[T]
    name: str
    version: int
    aliases: tuple[str, ...]
    codec: Codec[T]

    def decode(self, content: str, version: int, *, table: str) -> T:
        """The object that a stored content of some version stands for.

        Raises UnreadableContent when it is no JSON, or does not fit the class or its version. What
        an `upcast` raises is left as it is.
        """
        if version == self.version:
            return self.codec.decode(content)
        if version > self.version:
            raise UnreadableContent(
                f"{table} holds {self.name} of version {version}, newer than version "
                f"{self.version} of {self.cls.__qualname__}; deploy the newer code"
            )
        upcast: Callable[[Any, int], Any] | None = getattr(self.cls, "upcast", None)
        if upcast is None:
            raise UnreadableContent(
                f"{table} holds {self.name} of version {version}, older than version "
                f"{self.version} of {self.cls.__qualname__}; give the class a class method "
                "upcast(cls, content, version) that brings it up to date"
            )
        older = self.codec.parse(content)
        try:
            newest = upcast(older, version)
        except Exception as error:
            error.add_note(
                f"raised by {self.cls.__qualname__}.upcast for a content of version {version} in "
                f"{table}"
            )
            raise
        if not isinstance(newest, dict):
            raise UnreadableContent(
                f"{self.cls.__qualname__}.upcast answered with {type(newest).__name__} for version "
                f"{version}; it must return the content as a dict"
            )
        return self.codec.decode_builtins(newest)


@dataclass(frozen=True, eq=False)
class ActorKind(Kind[A]):
    """A registered actor type, its tables and how its snapshots are recognised."""

    meta: ActorMeta
    tables: ActorTables
    events: tuple[Kind[Any], ...]
    code: Code

    def zero(self) -> A:
        """The state of an actor that has no events."""
        return self.cls()

    @cached_property
    def fingerprint(self) -> str:
        """Names the code that replays this actor; computed at first use, when it is all there."""
        return self.code.fingerprint(
            self.cls,
            revision=self.meta.revision,
            shapes=[
                self.codec.shape,
                *(f"{kind.name} {kind.version} {kind.codec.shape}" for kind in self.events),
            ],
        )


class Domain:
    """The actors, commands and events of an application, and their tables.

    `types` are the classes, in any order; an Enum among them is known to identifiers and metadata.
    Tables are made in `metadata` (a new MetaData by default), in the database schema `schema`
    (None for the default one), each with `prefix` before its name: of any characters but double
    quotes and control characters.

    Raises DefinitionError (UnusableType, DuplicateName) when a class cannot work, naming it.
    """

    def __init__(
        self,
        *types: type,
        metadata: MetaData | None = None,
        schema: str | None = None,
        prefix: str = "",
    ) -> None:
        self.metadata = MetaData() if metadata is None else metadata
        self.schema = schema
        self.prefix = prefix
        sorted_types: dict[type, list[type]] = {Actor: [], Command: [], Event: [], Enum: []}
        for cls in types:
            of_role = sorted_types[_role(cls)]
            if cls not in of_role:
                of_role.append(cls)
        for cls in sorted_types[Actor]:
            _check_zero(cls)

        self._commands = _Register("command", [_kind(cls) for cls in sorted_types[Command]])
        self._events = _Register("event", [_kind(cls) for cls in sorted_types[Event]])
        self.decoders: dict[str, Callable[[str], Any]] = {
            tag_of(name, kind.version): kind.codec.native or kind.codec.decode
            for name, kind in self._events.names.items()
        }
        """Tag → a quick decoder of events; MISFIT is for `decode_event`."""
        states = _Register("actor", [_kind(cls) for cls in sorted_types[Actor]])
        self.shared: SharedTables = shared_tables(self.metadata, schema=schema, prefix=prefix)
        events = tuple(sorted(self._events.kinds, key=lambda kind: kind.name))
        code = Code(
            (kind.cls for kind in states.kinds),
            (kind.cls for kind in events),
        )
        self._actors = _Register(
            "actor", [self._actor(kind, events, code) for kind in states.kinds]
        )

        reached = {
            cls
            for register in (self._actors, self._commands, self._events)
            for kind in register.kinds
            for cls in kind.codec.classes
        } | set(sorted_types[Enum])
        self.open_codec = OpenCodec(reached)
        self.enums = _enums(reached)

    @classmethod
    def of(
        cls,
        *modules: ModuleType,
        metadata: MetaData | None = None,
        schema: str | None = None,
        prefix: str = "",
    ) -> "Domain":
        """A domain of all actors, commands and events that are defined in `modules`.

        What counts inherits Actor, Command, Event or Enum, or has their methods and fields. Not
        counted are classes that are imported, protocols and abstract classes, and generic classes
        and those that lack a method where another class there inherits them.

        Raises DefinitionError for what is no module, and as the constructor does.
        """
        found = [
            value
            for module in modules
            for value in _classes(module)
            if value.__module__ == module.__name__ and _has_role(value)
        ]
        types = [
            value
            for value in found
            if not (
                (_missing_method(value) or getattr(value, "__parameters__", None))
                and any(other is not value and issubclass(other, value) for other in found)
            )
        ]
        return cls(*types, metadata=metadata, schema=schema, prefix=prefix)

    @property
    def actors(self) -> list[ActorKind[Any]]:
        """The registered actor types."""
        return self._actors.kinds

    def actor(self, cls: type[A]) -> ActorKind[A]:
        """The registered actor type of a state class. Raises NotRegistered."""
        kind: ActorKind[A] = self._actors.of(cls)
        return kind

    def actor_named(self, name: str) -> ActorKind[Any]:
        """The registered actor type of a stored name. Raises KeyError."""
        return self._actors.names[name]

    def command(self, cls: type[T]) -> Kind[T]:
        """The registered command type of a class. Raises NotRegistered."""
        kind: Kind[T] = self._commands.of(cls)
        return kind

    def event(self, cls: type[T]) -> Kind[T]:
        """The registered event type of a class. Raises NotRegistered."""
        kind: Kind[T] = self._events.of(cls)
        return kind

    def is_event(self, value: object) -> bool:
        """Whether a value is an event of this domain."""
        return type(value) in self._events.classes

    def decode_event(self, name: str, version: int, content: str, table: str) -> Any:
        """The event of a stored row. Raises UnknownType, UnreadableContent."""
        kind = self._events.names.get(name)
        if kind is None:
            raise _unknown("event", name, table)
        return kind.decode(content, version, table=table)

    def decode_command(self, name: str, version: int, content: str, table: str) -> Any:
        """The command of a stored row. Raises UnknownType, UnreadableContent."""
        kind = self._commands.names.get(name)
        if kind is None:
            raise _unknown("command", name, table)
        return kind.decode(content, version, table=table)

    def same_command(
        self, kind: Kind[Any], content: str, name: str, version: int, stored: str
    ) -> bool:
        """Whether a command's content says what a stored one said, older versions upcast."""
        if self._commands.names.get(name) is not kind:
            return False
        if version == kind.version and content == stored:
            return True
        # Fields may have come since, and mappings that are equal may differ in their order.
        before = kind.decode(stored, version, table=kind.name)
        again = kind.codec.encode(before)
        if _in_order(again) == _in_order(content):
            return True
        # Where keys are no texts, a mapping is a list, and only the values tell it from another.
        return _in_order(again, lists=True) == _in_order(content, lists=True) and bool(
            before == kind.decode(content, kind.version, table=kind.name)
        )

    def prepare(self) -> None:
        """Compute the fingerprints, now that the application's modules are complete."""
        for kind in self.actors:
            _ = kind.fingerprint

    def _actor(self, kind: Kind[Any], events: tuple[Kind[Any], ...], code: Code) -> ActorKind[Any]:
        meta = getattr(kind.cls, "meta", None)
        return ActorKind(
            kind.cls,
            kind.name,
            kind.version,
            kind.aliases,
            kind.codec,
            meta=meta if isinstance(meta, ActorMeta) else ActorMeta(),
            tables=actor_tables(
                self.metadata,
                kind.name,
                schema=self.schema,
                prefix=self.prefix,
                shared=self.shared,
                aliases=kind.aliases,
            ),
            events=events,
            code=code,
        )


K = TypeVar("K", bound=Kind[Any])


class _Register(Generic[K]):
    """Types of one role, by class and by every name they are stored under."""

    def __init__(self, role: str, kinds: list[K]) -> None:
        self.role = role
        self.kinds = kinds
        self.classes: dict[type, K] = {kind.cls: kind for kind in self.kinds}
        self.names: dict[str, K] = {}
        for kind in self.kinds:
            for name in (kind.name, *kind.aliases):
                other = self.names.setdefault(name, kind)
                if other is not kind:
                    raise DuplicateName(
                        f"the {role}s {_path(other.cls)} and {_path(kind.cls)} would both be "
                        f"stored as {name!r}; give one of them another name="
                    )

    def of(self, cls: type) -> Any:
        if not isinstance(cls, type):
            raise NotRegistered(
                f"a {type(cls).__qualname__} was given where the class of a registered {self.role} "
                "is wanted; give the class itself"
            )
        kind = self.classes.get(cls)
        if kind is None:
            raise NotRegistered(
                f"{_path(cls)} is no {self.role} of this domain; pass the class to Domain(...)"
            )
        return kind


def _role(cls: object) -> type:
    if not isinstance(cls, type):
        raise DefinitionError(
            f"Domain takes classes, and was given a {type(cls).__name__}; for a whole module use "
            "Domain.of(module)"
        )
    for role in (Command, Event, Actor):
        if issubclass(cls, role):
            if missing := _missing_method(cls):
                raise DefinitionError(f"{_path(cls)} defines no {missing}(); add the method")
            return role
    if issubclass(cls, Enum):
        return Enum
    if issubclass(cls, CommandLike):
        return Command
    if issubclass(cls, EventLike):
        return Event
    if issubclass(cls, ActorLike):
        return Actor
    raise DefinitionError(
        f"{_path(cls)} is neither an actor (identifiers), nor a command (identifiers, handle), nor "
        "an event (apply); inherit spry_sqla.Actor, Command or Event, or add the methods"
    )


def _classes(module: object) -> list[type]:
    if not isinstance(module, ModuleType):
        raise DefinitionError(
            f"Domain.of takes modules, and was given a {type(module).__name__}; give classes to "
            "Domain(...)"
        )
    return [value for value in vars(module).values() if isinstance(value, type)]


def _has_role(cls: type) -> bool:
    if cls in (Actor, Command, Event) or inspect.isabstract(cls):
        return False
    if getattr(cls, "_is_protocol", False):  # typing.is_protocol comes with Python 3.13
        return False
    if issubclass(cls, Actor | Command | Event | Enum):
        return True
    return issubclass(cls, CommandLike | EventLike | ActorLike) and has_fields(cls)


_METHODS: dict[type, tuple[str, ...]] = {
    Command: ("identifiers", "handle"),
    Event: ("apply",),
    Actor: ("identifiers",),
}


def _missing_method(cls: type) -> str | None:
    for role, methods in _METHODS.items():
        if issubclass(cls, role):
            for method in methods:
                found = getattr(cls, method)
                if found is getattr(role, method) or getattr(found, "__isabstractmethod__", False):
                    return method
    return None


def _kind(cls: type[Any]) -> Kind[Any]:
    said = vars(cls).get("__spry__", Stored())
    name = said.name if said.name is not None else cls.__name__
    for each in (name, *said.aliases):
        if not isinstance(each, str) or not each or not each.isprintable():
            raise DefinitionError(
                f"{_path(cls)} cannot be stored under the name {each!r}; a stored name is "
                "printable text"
            )
    if type(said.version) is not int or said.version < 1:
        raise DefinitionError(f"the version of {_path(cls)} must be a whole number from 1")
    _check_methods(cls)
    return Kind(cls, name, said.version, said.aliases, codec_for(cls))


def _check_methods(cls: type) -> None:
    for name in _METHODS.get(_role(cls), ()):
        method = getattr(cls, name)
        if not callable(method):
            raise DefinitionError(
                f"{_path(cls)}.{name} is a {type(method).__name__}, and must be a method"
            )
        if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
            raise DefinitionError(
                f"{_path(cls)}.{name} is asynchronous, and must be a plain method: it decides on "
                "what it is given, and waits for nothing"
            )
    upcast = inspect.getattr_static(cls, "upcast", None)
    if inspect.isfunction(upcast):
        raise DefinitionError(
            f"{_path(cls)}.upcast must be a class method: put @classmethod above it"
        )


def _check_zero(cls: type) -> None:
    try:
        cls()
    except Exception as error:
        raise DefinitionError(
            f"{_path(cls)}() failed: the zero state of an actor is its class called with nothing, "
            "so every field needs a default"
        ) from error


def _enums(classes: Iterable[type]) -> dict[str, type[Enum]]:
    enums: dict[str, type[Enum]] = {}
    for cls in sorted(classes, key=_path):
        if issubclass(cls, Enum) and enums.setdefault(cls.__name__, cls) is not cls:
            raise DuplicateName(
                f"the enums {_path(enums[cls.__name__])} and {_path(cls)} share a name, and "
                "identifiers could not tell them apart; rename one of them"
            )
    return enums


def _in_order(content: str, *, lists: bool = False) -> bytes:
    """The content with its objects, and at will its lists, in an order of their own."""
    parsed = msgspec.json.decode(content)
    ordered: bytes = msgspec.json.encode(_sorted(parsed) if lists else parsed, order="sorted")
    return ordered


def _sorted(parsed: Any) -> Any:
    if isinstance(parsed, dict):
        return {key: _sorted(value) for key, value in parsed.items()}
    if isinstance(parsed, list):
        each = map(_sorted, parsed)
        return sorted(each, key=partial(msgspec.json.encode, order="sorted"))
    return parsed


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _unknown(role: str, name: str, table: str) -> UnknownType:
    return UnknownType(
        f"{table} holds the {role} type {name!r}, which is not registered; pass its class to "
        "Domain(...), or give the class that replaces it aliases=(...) with this name"
    )
