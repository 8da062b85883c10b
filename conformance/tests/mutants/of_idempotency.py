"""Faults of idempotency and of batches."""

from collections.abc import Sequence
from itertools import groupby

from msgspec.structs import replace

from mutants.registry import mutant, stores
from spry_sqla.adapters import (
    CommandRecord,
    EventRecord,
    Load,
    Loading,
    MemoryAdapter,
    UnitOfWork,
)
from spry_sqla.memory import MemoryCommands, MemoryEvents, MemoryStores


class LosesKeys(MemoryCommands):
    def lose_keys(self) -> None:
        self._by_key.clear()


@mutant("P31", "keeps the keys in the process, not with the data")
class KeepsKeysInTheProcess(stores(commands=LosesKeys)):  # type: ignore[misc]
    def check(self) -> None:
        """A storage is made."""
        super().check()
        for of_actor in self._stores.values():
            of_actor.commands.lose_keys()


@mutant("P31", "takes keys that differ in case for one another, as a collation may")
class FoldsKeys(MemoryCommands):
    def append(self, commands: Sequence[CommandRecord]) -> None:
        super().append(
            [
                replace(each, idempotency_key=each.idempotency_key.casefold())
                if each.idempotency_key
                else each
                for each in commands
            ]
        )

    def with_keys(self, keys: Sequence[str]) -> dict[str, str]:
        folded = super().with_keys([key.casefold() for key in keys])
        return {key: folded[key.casefold()] for key in keys if key.casefold() in folded}


@mutant("P32", "looks keys up, and does not claim them as unique")
class ClaimsNoKeys(MemoryCommands):
    def append(self, commands: Sequence[CommandRecord]) -> None:
        for command in commands:
            self._journal.claim(self._by_id, command.id, command)
            if command.idempotency_key is not None:
                by_origin = self._by_key.setdefault(command.idempotency_key, {})
                if command.origin not in by_origin:
                    self._journal.claim(by_origin, command.origin, command.id)


@mutant("P32", "has one set of keys for all actor types")
class SharesKeys(MemoryAdapter):
    def stores_of(self, actor: str) -> MemoryStores:
        made = super().stores_of(actor)
        made.commands = next(iter(self._stores.values())).commands
        return made


@mutant("P33", "loads the actors of a batch in the order of its index", attempts=3)
class LoadsInItsOwnOrder(MemoryAdapter):
    def load(self, unit: UnitOfWork, operation: Load) -> Loading:
        targets = tuple(sorted(operation.targets))
        return super().load(unit, replace(operation, targets=targets))


@mutant("P33", "keeps the metadata of the first command of a batch only")
class KeepsMetadataOfTheFirst(MemoryCommands):
    def append(self, commands: Sequence[CommandRecord]) -> None:
        first, *others = commands
        super().append([first, *(replace(each, metadata=None) for each in others)])


@mutant("P33", "keeps one actor's part of a batch where another one's conflicts")
class CommitsActorByActor(MemoryEvents):
    def append(self, events: Sequence[EventRecord]) -> None:
        for _, of_actor in groupby(events, key=lambda event: event.actor_id):
            super().append(list(of_actor))
            self._journal.forget()
