"""Faults of replay."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

import spry_sqla as spry
from mutants.registry import CLAIMS, MUTANTS, Mutant, mutant
from spry_conformance import Adapter
from spry_sqla.adapters import (
    AdapterStorage,
    Append,
    Load,
    Loading,
    MappingRecord,
    MemoryAdapter,
    SnapshotRecord,
    StoredSnapshot,
    UnitOfWork,
    new_id,
    timestamp_of,
)
from spry_sqla.memory import MemorySnapshots


def sorted_keys(content: str) -> str:
    """JSON as a column of PostgreSQL's type jsonb gives it: equal, and in another order."""
    return json.dumps(json.loads(content), separators=(",", ":"), sort_keys=True)


@mutant("P22", "keeps the states of snapshots as jsonb, which forgets the order of keys")
class ForgetsOrderOfKeys(MemorySnapshots):
    def append(self, snapshots: Sequence[SnapshotRecord]) -> None:
        replace = msgspec.structs.replace
        super().append([replace(each, state=sorted_keys(each.state)) for each in snapshots])


class Cached(MemoryAdapter):
    """Each storage has an adapter of its own, with a cache, on the stores of a common one."""

    def __init__(self, common: MemoryAdapter) -> None:
        super().__init__()
        self._common = common
        self._cache: dict[str, Loading] = {}

    def begin(self, *, write: bool) -> Any:
        return self._common.begin(write=write)

    def load(self, unit: UnitOfWork, operation: Load) -> Loading:
        asked = repr(operation)
        if asked not in self._cache:
            self._cache[asked] = super().load(unit, operation)
        return self._cache[asked]

    def append(self, unit: UnitOfWork, operation: Append) -> None:
        self._cache.clear()
        super().append(unit, operation)


def caching() -> Adapter:
    held = [MemoryAdapter()]

    def reset() -> None:
        held[0] = MemoryAdapter()

    return Adapter(
        open=lambda domain, origin: AdapterStorage(Cached(held[0]), domain, origin=origin),
        reset=reset,
        capabilities=CLAIMS,
        name="Cached",
    )


MUTANTS.append(
    Mutant("P23", "caches what it has loaded, and forgets it only at appends of its own", caching)
)


class Interned(AdapterStorage):
    """States that are equal are one object, which is given again and again."""

    def repository(self, actor: type[Any]) -> Any:
        repository: Any = super().repository(actor)
        encode = self.domain.actor(actor).codec.encode
        known: dict[str, Any] = {}
        fetch = repository.fetch

        def fetch_interned(*identifiers: Any, **names: Any) -> Any:
            state = fetch(*identifiers, **names)
            return known.setdefault(encode(state), state)

        repository.fetch = fetch_interned
        return repository


class SharesResults(AdapterStorage):
    """The state that was handled is kept, and given as the `original` of the next command."""

    def repository(self, actor: type[Any]) -> Any:
        repository: Any = super().repository(actor)
        handle_many = repository.handle_many

        def handle_many_and_share(*commands: Any, **options: Any) -> Any:
            results = handle_many(*commands, **options)
            for place in range(1, len(results)):
                before, after = results[place - 1], results[place]
                if before.modified == after.original:
                    results[place] = spry.Results(
                        before.modified, after.modified, after.events, after.errors
                    )
            return results

        repository.handle_many = handle_many_and_share
        return repository


def with_storage(kind: type[AdapterStorage]) -> Adapter:
    held = [MemoryAdapter()]

    def reset() -> None:
        held[0] = MemoryAdapter()

    return Adapter(
        open=lambda domain, origin: kind(held[0], domain, origin=origin),
        reset=reset,
        capabilities=CLAIMS,
        name=kind.__name__,
    )


MUTANTS += [
    Mutant("P24", "gives equal states as one object", lambda: with_storage(Interned)),
    Mutant("P24", "gives one state to two results of a batch", lambda: with_storage(SharesResults)),
]


@mutant("P25", "takes snapshots beyond the version that is asked for")
class IgnoresVersion(MemorySnapshots):
    def newest(
        self,
        actor_id: str,
        fingerprint: str,
        origins: Sequence[str],
        version: int | None,
        until: str | None,
    ) -> StoredSnapshot | None:
        return super().newest(actor_id, fingerprint, origins, None, until)


@mutant("P25", "takes snapshots beyond the time that is asked for")
class IgnoresTime(MemorySnapshots):
    def newest(
        self,
        actor_id: str,
        fingerprint: str,
        origins: Sequence[str],
        version: int | None,
        until: str | None,
    ) -> StoredSnapshot | None:
        return super().newest(actor_id, fingerprint, origins, version, None)


@mutant("P26", "gives an actor to whomever is asked for")
class MakesWhatItLooksFor(MemoryAdapter):
    def load(self, unit: UnitOfWork, operation: Load) -> Loading:
        loading = super().load(unit, operation)
        for target, loaded in zip(operation.targets, loading.actors, strict=True):
            if loaded.owner.actor_id is None and loaded.owner.mapping is None:
                mapping_id = new_id()
                mapping = MappingRecord(
                    mapping_id,
                    target.digest,
                    '{"owner":"nobody"}',
                    target.native_id,
                    operation.origin,
                    new_id(),
                    timestamp_of(mapping_id),
                )
                unit.stores(operation.actor).maps.append([mapping])
        return loading


@mutant("P26", "throws a snapshot away once it was read as of a version")
class ThrowsAway(MemorySnapshots):
    def newest(
        self,
        actor_id: str,
        fingerprint: str,
        origins: Sequence[str],
        version: int | None,
        until: str | None,
    ) -> StoredSnapshot | None:
        found = super().newest(actor_id, fingerprint, origins, version, until)
        if found is not None and version is not None:
            self._by_actor[actor_id] = [
                each for each in self._by_actor[actor_id] if each.id != found.id
            ]
        return found
