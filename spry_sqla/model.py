"""What an application writes: actors, commands, events, and what it gets back.

The base classes are thin: they carry stored names and defaults. A class that cannot inherit them
is accepted for its methods, and `stored` gives it a name. Everything else about a class is read
off it by `Domain`.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar, runtime_checkable
from uuid import UUID

from spry_sqla.errors import DefinitionError

Scalar: TypeAlias = str | int | bool | UUID | date | datetime | Decimal | Enum
Identifiers: TypeAlias = Mapping[str, Scalar]
"""What an actor is addressed by: a non-empty mapping of names to scalars."""

A = TypeVar("A")
C = TypeVar("C", bound=type)


@dataclass(frozen=True, slots=True)
class ActorMeta:
    """How snapshots of an actor type are taken; the class attribute `meta` of an actor.

    `snapshot_frequency` is the number of events after which a new snapshot is due, at least 1.
    `snapshot_during_read` and `snapshot_during_write` say when a due one is stored;
    `snapshot_during_partition` whether also while a peer is out of reach. `revision` is raised by
    hand when something changes that an `apply` depends on and that its code does not show, such
    as data read from a file: older snapshots are then passed over.

    Raises DefinitionError for a frequency below 1.
    """

    snapshot_frequency: int = 10
    snapshot_during_read: bool = False
    snapshot_during_write: bool = True
    snapshot_during_partition: bool = True
    revision: int = 0

    def __post_init__(self) -> None:
        if type(self.snapshot_frequency) is not int or self.snapshot_frequency < 1:
            raise DefinitionError(
                "ActorMeta.snapshot_frequency must be a whole number from 1; to take no "
                "snapshots, set snapshot_during_write=False"
            )


@dataclass(frozen=True, slots=True)
class Stored:
    """The name, version and former names under which a type is stored."""

    name: str | None = None
    version: int = 1
    aliases: tuple[str, ...] = ()

    @classmethod
    def said(cls, name: str | None, version: int, aliases: Iterable[str]) -> "Stored":
        """As a class says it. Raises DefinitionError for one text in the place of several names."""
        if isinstance(aliases, str):
            raise DefinitionError(
                f"aliases= takes several former names, and was given one text: write ({aliases!r},)"
            )
        return cls(name, version, tuple(aliases))


def stored(
    *, name: str | None = None, version: int = 1, aliases: Iterable[str] = ()
) -> Callable[[C], C]:
    """Decorate a class with its stored name, version (1 and up) and former names.

    It says what the class arguments of `Actor`, `Command` and `Event` say, for classes that
    cannot take those: classes that do not inherit them, and msgspec Structs. It goes above
    `@dataclass`.
    """

    def mark(cls: C) -> C:
        cls.__spry__ = Stored.said(name, version, aliases)  # type: ignore[attr-defined]
        return cls

    return mark


class _Storable:
    __slots__ = ()

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        version: int | None = None,
        aliases: Iterable[str] = (),
        **more: Any,
    ) -> None:
        # Only where something is said: dataclass(slots=True) makes the class anew, without these.
        if name is not None or version is not None or aliases:
            said = Stored.said(name, 1 if version is None else version, aliases)
            cls.__spry__ = said  # type: ignore[attr-defined]
        super().__init_subclass__(**more)


class Actor(_Storable):
    """State, derived from the events of one stream. `Actor()` is its zero state.

    A subclass is a dataclass, attrs class, msgspec Struct or pydantic model whose fields all have
    defaults, and defines `identifiers`.
    """

    __slots__ = ()
    meta: ClassVar[ActorMeta] = ActorMeta()

    def identifiers(self) -> Identifiers:
        """What this actor is addressed by now; it may change in an actor's life."""
        raise DefinitionError(f"{type(self).__name__} defines no identifiers(); add the method")


class Event(_Storable):
    """A fact. A subclass defines `apply`."""

    __slots__ = ()

    def apply(self, actor: Any, /) -> Any:
        """Change the actor that is given, or return a new state; ignore actors of other types."""
        raise DefinitionError(f"{type(self).__name__} defines no apply(); add the method")


@runtime_checkable
class EventLike(Protocol):
    """What the library asks of an event class, whatever it inherits."""

    def apply(self, actor: Any, /) -> Any: ...


Fact: TypeAlias = EventLike | Exception
Decision: TypeAlias = Generator[Fact, Any, Any] | Collection[Fact] | Fact | None
"""What `Command.handle` yields or returns: events and errors, one or many, or nothing. What a
generator returns counts with what it has yielded.

Any other iterable will do, too; this is the union that type checkers take for the return type of a
generator function.
"""


class Command(_Storable):
    """An intent. A subclass defines `identifiers` and `handle`."""

    __slots__ = ()

    def identifiers(self) -> Identifiers:
        """Which actor the command is for."""
        raise DefinitionError(f"{type(self).__name__} defines no identifiers(); add the method")

    def handle(self, actor: Any, /) -> Decision | Iterable[Fact]:
        """Decide: return or yield events and errors; None or nothing where it has no say.

        It may run more than once for one command, when another writer was first.
        """
        raise DefinitionError(f"{type(self).__name__} defines no handle(); add the method")


@runtime_checkable
class ActorLike(Protocol):
    """What the library asks of a state class, whatever it inherits."""

    def identifiers(self) -> Identifiers: ...


@runtime_checkable
class CommandLike(Protocol):
    """What the library asks of a command class, whatever it inherits."""

    def identifiers(self) -> Identifiers: ...

    def handle(self, actor: Any, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Results(Generic[A]):
    """The outcome of one command.

    `original` is the state before and `modified` the state after, equal where nothing happened;
    they share no mutable part. `events` are those that were stored, `errors` what the decision
    gave instead: where there are errors, nothing was stored.
    """

    original: A
    modified: A
    events: list[Any] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether there were no errors."""
        return not self.errors

    def unwrap(self) -> A:
        """Return `modified`; raise the error, or an ExceptionGroup of several."""
        if not self.errors:
            return self.modified
        if len(self.errors) == 1:
            raise self.errors[0]
        raise ExceptionGroup("the command was refused for several reasons", self.errors)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One event of an actor's life, with the command that caused it.

    `version` counts the actor's events from 1; `time` is aware, in UTC; `metadata` is what was
    given with the command.
    """

    version: int
    time: datetime
    event: Any
    command: Any
    metadata: Mapping[str, Any]
