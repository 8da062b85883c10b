"""Faults of identity."""

import unicodedata
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import msgspec

import spry_sqla as spry
from mutants.registry import CLAIMS, MUTANTS, Mutant, mutant, stores
from spry_conformance import Adapter
from spry_sqla.adapters import (
    AdapterStorage,
    EventRecord,
    Head,
    Load,
    Loading,
    MappingRecord,
    MemoryAdapter,
    Owner,
    UnitOfWork,
)
from spry_sqla.memory import MemoryCommands, MemoryEvents, MemoryMaps
from spry_sqla.repository import Repository


def storage_mutant(property: str, fault: str) -> Callable[[type[AdapterStorage]], Any]:
    """Register a storage whose fault is in what it answers, and not in its stores."""

    def register(kind: type[AdapterStorage]) -> type[AdapterStorage]:
        MUTANTS.append(Mutant(property, fault, lambda: _on_memory(kind)))
        return kind

    return register


def _on_memory(kind: type[AdapterStorage]) -> Adapter:
    held = [MemoryAdapter()]

    def reset() -> None:
        held[0] = MemoryAdapter()

    return Adapter(
        open=lambda domain, origin: kind(held[0], domain, origin=origin),
        reset=reset,
        capabilities=CLAIMS,
        name=kind.__name__,
    )


# P11 ---------------------------------------------------------------------------------------------


@storage_mutant("P11", "remembers states by identifiers as they were written, keys in their order")
class RemembersAsWritten(AdapterStorage):
    def repository(self, actor: type[Any]) -> Any:
        return _Remembering(self._context(actor), self._perform)


class _Remembering(Repository[Any]):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._states = _remembered.setdefault((id(arguments[1].__self__), self._context.kind), {})

    def fetch(self, identifiers: Any = None, /, **options: Any) -> Any:
        if options.keys() & {"version", "at"}:
            return super().fetch(identifiers, **options)
        key = _as_written(options if identifiers is None else identifiers)
        if key not in self._states:
            self._states[key] = super().fetch(identifiers, **options)
        return self._context.kind.codec.copy(self._states[key])

    def handle(self, command: Any, **options: Any) -> Any:
        self._states.pop(_as_written(command.identifiers()), None)
        return super().handle(command, **options)

    def handle_many(self, commands: Any, **options: Any) -> Any:
        self._states.clear()
        return super().handle_many(commands, **options)


_remembered: dict[Any, dict[str, Any]] = {}


def _as_written(identifiers: Any) -> str:
    return unicodedata.normalize("NFC", repr(identifiers))


# P12 ---------------------------------------------------------------------------------------------


class _FoldingMaps(MemoryMaps):
    """Takes some digests for the same."""

    def folded(self, digest: bytes) -> bytes:
        return digest

    def append(self, mappings: Sequence[MappingRecord]) -> None:
        super().append(
            [msgspec.structs.replace(each, digest=self.folded(each.digest)) for each in mappings]
        )

    def owners(self, digest: bytes) -> list[tuple[str, str, str]]:
        return super().owners(self.folded(digest))


@mutant("P12", "indexes the first 16 bytes of a digest")
class CutsDigests(_FoldingMaps):
    def folded(self, digest: bytes) -> bytes:
        return digest[:16]


@mutant("P12", "keeps digests in a column that ends at trailing blanks and NULs")
class StripsDigests(_FoldingMaps):
    def folded(self, digest: bytes) -> bytes:
        return digest.rstrip(b" \0")


@mutant("P12", "compares digests as text, whatever their case")
class FoldsCase(_FoldingMaps):
    def folded(self, digest: bytes) -> bytes:
        return digest.lower()


@mutant("P12", "keeps streams under the first half of an actor's id")
class CutsActorIds(MemoryEvents):
    def origins(self, actor_id: str) -> list[str]:
        return super().origins(actor_id[:16])

    def head(self, actor_id: str, origin: str) -> Head:
        return super().head(actor_id[:16], origin)

    def rows_after(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> list[EventRecord]:
        return super().rows_after(actor_id[:16], origin, sequence, limit)

    def append(self, events: Sequence[EventRecord]) -> None:
        super().append(
            [msgspec.structs.replace(each, actor_id=each.actor_id[:16]) for each in events]
        )


@mutant("P12", "answers a load of several actors in the order of their digests", attempts=3)
class AnswersInItsOwnOrder(MemoryAdapter):
    def load(self, unit: UnitOfWork, operation: Load) -> Loading:
        in_order = msgspec.structs.replace(operation, targets=tuple(sorted(operation.targets)))
        return super().load(unit, in_order)


# P13 ---------------------------------------------------------------------------------------------


class _FirstMappingWins(MemoryMaps):
    """On conflict it does nothing."""

    def append(self, mappings: Sequence[MappingRecord]) -> None:
        free = {
            (each.digest, each.origin): each
            for each in reversed(mappings)
            if (each.digest, each.origin) not in self._claims
        }
        super().append([*reversed(free.values())])


@mutant("P13", "draws an actor's id at its first command, and lets the first mapping win")
class DrawsIds(stores(maps=_FirstMappingWins)):  # type: ignore[misc]
    def load(self, unit: UnitOfWork, operation: Load) -> Loading:
        loading: Loading = super().load(unit, operation)
        return loading._replace(
            actors=[
                each
                if each.owner.actor_id or each.run is None or each.run.rows
                else each._replace(owner=Owner(uuid4().hex, False, None))
                for each in loading.actors
            ]
        )


# P14 ---------------------------------------------------------------------------------------------


@mutant("P14", "keeps one mapping for each actor, the newest")
class KeepsTheNewestName(MemoryMaps):
    def owners(self, digest: bytes) -> list[tuple[str, str, str]]:
        newest = {mappings[-1].id for mappings in self._by_actor.values() if mappings}
        return [each for each in super().owners(digest) if each[0] in newest]


@mutant("P14", "keeps one mapping for each actor, the first")
class KeepsTheFirstName(MemoryMaps):
    def owners(self, digest: bytes) -> list[tuple[str, str, str]]:
        first = {mappings[0].id for mappings in self._by_actor.values() if mappings}
        return [each for each in super().owners(digest) if each[0] in first]


# P15 ---------------------------------------------------------------------------------------------


@mutant("P15", "maps a digest that is mapped already once more")
class MapsTwice(MemoryMaps):
    def append(self, mappings: Sequence[MappingRecord]) -> None:
        for each in mappings:
            self._claims.pop((each.digest, each.origin), None)
        super().append(mappings)


@mutant("P15", "passes over a mapping whose digest is mapped, and stores the events")
class PassesOverMappings(_FirstMappingWins):
    pass


# P16 ---------------------------------------------------------------------------------------------


@mutant("P16", "adds the command's id to its metadata")
class AddsIdsToMetadata(MemoryCommands):
    def read(self, ids: Sequence[str]) -> list[Any]:
        return [
            msgspec.structs.replace(
                each,
                metadata=msgspec.json.encode(
                    {**msgspec.json.decode(each.metadata or "{}"), "command_id": each.id}
                ).decode(),
            )
            for each in super().read(ids)
        ]


@storage_mutant("P16", "notes in each error of a load which actors it was for, as UUIDs")
class NotesIds(AdapterStorage):
    def repository(self, actor: type[Any]) -> Any:
        return _Noting(self._context(actor), self._perform)


class _Noting(Repository[Any]):
    def handle(self, command: Any, **options: Any) -> Any:
        asked: list[Load] = []
        perform = self._perform

        def watched(operation: Any) -> Any:
            if isinstance(operation, Load):
                asked.append(operation)
            return perform(operation)

        try:
            return Repository(self._context, watched).handle(command, **options)
        except spry.SpryError as error:
            for operation in asked:
                error.add_note(f"for {UUID(operation.targets[0].native_id)}")
            raise


@storage_mutant("P16", "says in IdentifiersTaken whose they are")
class TellsTheOwner(AdapterStorage):
    def _perform(self, operation: Any) -> Any:
        answer = super()._perform(operation)
        if isinstance(answer, Owner):
            _last_owner[:] = [answer]
        return answer

    def repository(self, actor: type[Any]) -> Any:
        return _Telling(self._context(actor), self._perform)


_last_owner: list[Owner] = []


class _Telling(Repository[Any]):
    def handle(self, command: Any, **options: Any) -> Any:
        results = super().handle(command, **options)
        for error in results.errors:
            if isinstance(error, spry.IdentifiersTaken):
                error.args = (f"{error}; they belong to {_last_owner[0].actor_id}",)
        return results
