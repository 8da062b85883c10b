"""What an application can see, in plain Python: the model that every adapter is compared with.

It keeps events as objects, in lists, and knows nothing of ids, records, snapshots or databases.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, TypeAlias, TypeVar

import spry_sqla as spry
from spry_conformance.steps import Fetch, Handle, HandleMany

A = TypeVar("A", bound=spry.Actor)
Name: TypeAlias = frozenset[tuple[str, type, Any]]


@dataclass(frozen=True)
class Fact:
    """An event, and why it is there."""

    event: Any
    command: Any
    metadata: Mapping[str, Any]


@dataclass(eq=False)
class Life(Generic[A]):
    """One actor: what happened to it, and what it was called, the last name last."""

    facts: list[Fact] = field(default_factory=list)
    names: list[spry.Identifiers] = field(default_factory=list)


class Model(Generic[A]):
    """A repository of one actor type."""

    def __init__(self, actor: type[A]) -> None:
        self.actor = actor
        self._owners: dict[Name, Life[A]] = {}
        self._lives: list[Life[A]] = []
        self._first: dict[str, tuple[Any, spry.Results[A]]] = {}

    def do(self, step: Handle | HandleMany | Fetch) -> Any:
        """What a step must answer; what it must raise is raised."""
        match step:
            case Handle(command, key, metadata):
                return self.handle(command, key, metadata)
            case HandleMany(commands, keys, _, metadata):
                return self.handle_many(commands, keys or [None] * len(commands), metadata)
            case Fetch(owner, version):
                return self.fetch({"owner": owner}, version)

    def handle(
        self, command: Any, key: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> spry.Results[A]:
        return self.handle_many([command], [key], metadata)[0]

    def handle_many(
        self,
        commands: Sequence[Any],
        keys: Sequence[str | None],
        metadata: Mapping[str, Any] | None = None,
    ) -> list[spry.Results[A]]:
        """One after the other, and all of it or nothing."""
        if any(not _can_be_kept(command) for command in commands):
            raise spry.UnusableValue
        owners, first = dict(self._owners), dict(self._first)
        lengths = [(life, len(life.facts), len(life.names)) for life in self._lives]
        try:
            return [
                self._handle(command, key, metadata or {})
                for command, key in zip(commands, keys, strict=True)
            ]
        except Exception:
            self._owners, self._first = owners, first
            self._lives = [life for life, _, _ in lengths]
            for life, facts, names in lengths:
                del life.facts[facts:], life.names[names:]
            raise

    def fetch(self, identifiers: spry.Identifiers, version: int | None = None) -> A:
        return self._replay([fact.event for fact in self.history(identifiers)[:version]])

    def history(self, identifiers: spry.Identifiers) -> list[Fact]:
        life = self._owners.get(name_of(identifiers))
        return [] if life is None else life.facts

    def actors(self) -> list[spry.Identifiers]:
        """What each actor was called last, in the order in which they came to be."""
        return [life.names[-1] for life in self._lives]

    def names(self) -> list[list[spry.Identifiers]]:
        """Everything that each actor was ever called, in order."""
        return [list(life.names) for life in self._lives]

    def _handle(
        self, command: Any, key: str | None, metadata: Mapping[str, Any]
    ) -> spry.Results[A]:
        if key in self._first:
            first, results = self._first[key]
            if first != command:
                raise spry.KeyReused
            return results
        results = self._decide(command, metadata)
        if key is not None and results.events:
            self._first[key] = command, results
        return results

    def _decide(self, command: Any, metadata: Mapping[str, Any]) -> spry.Results[A]:
        original = self.fetch(command.identifiers())
        decided = _listed(command.handle(deepcopy(original)))
        errors = [each for each in decided if isinstance(each, Exception)]
        if errors or not decided:
            return spry.Results(original, original, [], errors)

        life = self._owners.get(name_of(command.identifiers())) or Life()
        modified = self._replay([fact.event for fact in life.facts] + decided)
        gained = [] if life.facts else [command.identifiers()]
        called = _called(modified)
        if called is not None and called != _called(original):
            gained.append(modified.identifiers())
        owners = [self._owners.get(name_of(each), life) for each in gained]
        if any(owner is not life for owner in owners):
            return spry.Results(original, original, [], [spry.IdentifiersTaken()])

        life.facts += [Fact(event, command, metadata) for event in decided]
        for identifiers in gained:
            if self._owners.setdefault(name_of(identifiers), life) is life:
                self._call(life, identifiers)
        return spry.Results(original, modified, decided)

    def _call(self, life: Life[A], identifiers: spry.Identifiers) -> None:
        if name_of(identifiers) in map(name_of, life.names):
            return  # an earlier name is had already
        if not life.names:
            self._lives.append(life)
        life.names.append(identifiers)

    def _replay(self, events: Iterable[Any]) -> A:
        state = self.actor()
        for event in events:
            changed = event.apply(state)
            state = state if changed is None else changed
        return state


def name_of(identifiers: spry.Identifiers) -> Name:
    """What identifiers are when they are the same ones: text in NFC, types apart."""
    return frozenset(
        (_nfc(name), type(value), _nfc(value) if isinstance(value, str) else value)
        for name, value in identifiers.items()
    )


def _called(state: spry.Actor) -> Name | None:
    """What a state calls itself; the zero state of an actor need not be able to say."""
    try:
        identifiers = state.identifiers()
    except Exception:  # noqa: BLE001  (whatever a class of the author's may raise)
        return None
    usable = identifiers and all(value is not None for value in identifiers.values())
    return name_of(identifiers) if usable else None


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _listed(decision: Any) -> list[Any]:
    if decision is None:
        return []
    return list(decision) if isinstance(decision, Iterable) else [decision]


def _can_be_kept(command: Any) -> bool:
    values = vars(command).values()
    return not any(isinstance(value, Decimal) and value.is_nan() for value in values)
