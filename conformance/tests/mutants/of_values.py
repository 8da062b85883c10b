"""Faults of values."""

import json
import unicodedata
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

import spry_sqla as spry
from mutants.of_identity import storage_mutant
from mutants.registry import mutant
from spry_conformance.domain import TYPES
from spry_sqla.adapters import (
    AdapterStorage,
    CommandRecord,
    EventRecord,
    MappingRecord,
    SnapshotRecord,
    StoredEvent,
)
from spry_sqla.memory import MemoryCommands, MemoryEvents, MemoryMaps, MemorySnapshots
from spry_sqla.repository import Repository

# P17 ---------------------------------------------------------------------------------------------


@mutant("P17", "keeps metadata as flat text")
class FlattensMetadata(MemoryCommands):
    def append(self, commands: Sequence[CommandRecord]) -> None:
        super().append(
            [
                msgspec.structs.replace(
                    each, metadata=each.metadata and _each_value(each.metadata, str)
                )
                for each in commands
            ]
        )


def _each_value(text: str, convert: Callable[[Any], Any]) -> str:
    return json.dumps({name: convert(value) for name, value in json.loads(text).items()})


@mutant("P17", "keeps snapshots in a JSON column that rounds")
class RoundsInSnapshots(MemorySnapshots):
    def append(self, snapshots: Sequence[SnapshotRecord]) -> None:
        super().append(
            [
                msgspec.structs.replace(each, state=_with_rounded_reals(each.state))
                for each in snapshots
            ]
        )


def _with_rounded_reals(text: str) -> str:
    return json.dumps(json.loads(text, parse_float=lambda real: float(f"{float(real):.15g}")))


@mutant("P17", "keeps identifiers as they look")
class LooksOfIdentifiers(MemoryMaps):
    def append(self, mappings: Sequence[MappingRecord]) -> None:
        super().append(
            [
                msgspec.structs.replace(each, identifiers=_each_value(each.identifiers, _looks))
                for each in mappings
            ]
        )


def _looks(value: Any) -> str:
    return str(next(iter(value.values())) if isinstance(value, dict) else value)


# P18 ---------------------------------------------------------------------------------------------


@storage_mutant("P18", "handles a batch one by one")
class OneByOne(AdapterStorage):
    def repository(self, actor: type[Any]) -> Any:
        return _OneByOne(self._context(actor), self._perform)


class _OneByOne(Repository[Any]):
    def handle_many(
        self, commands: Any, *, idempotency_keys: Any = None, metadata: Any = None
    ) -> list[Any]:
        commands = [*commands]
        keys = [None] * len(commands) if idempotency_keys is None else [*idempotency_keys]
        if len(keys) != len(commands) or isinstance(idempotency_keys, str):
            raise spry.UnusableValue
        return [
            self.handle(command, idempotency_key=key, metadata=metadata)
            for command, key in zip(commands, keys, strict=True)
        ]


@storage_mutant("P18", "takes a float that identifies for a Decimal")
class TakesFloats(AdapterStorage):
    def repository(self, actor: type[Any]) -> Any:
        return _TakingFloats(self._context(actor), self._perform)


class _TakingFloats(Repository[Any]):
    def exists(self, identifiers: Any = None, /, **names: Any) -> bool:
        return super().exists(_without_floats(names if identifiers is None else identifiers))

    def get(self, identifiers: Any = None, /, **names: Any) -> Any:
        return super().get(_without_floats(names if identifiers is None else identifiers))

    def fetch(self, identifiers: Any = None, /, **names: Any) -> Any:
        return super().fetch(_without_floats(identifiers), **names)


def _without_floats(identifiers: Any) -> Any:
    if not isinstance(identifiers, dict):
        return identifiers
    return {
        name: Decimal(str(value)) if isinstance(value, float) else value
        for name, value in identifiers.items()
    }


@storage_mutant("P18", "raises ValueError for a key that cannot be kept")
class RaisesItsOwn(AdapterStorage):
    def repository(self, actor: type[Any]) -> Any:
        return _RaisingItsOwn(self._context(actor), self._perform)


class _RaisingItsOwn(Repository[Any]):
    def handle(self, command: Any, *, idempotency_key: Any = None, metadata: Any = None) -> Any:
        if idempotency_key is not None and not idempotency_key:
            raise ValueError("a key must not be empty")
        return super().handle(command, idempotency_key=idempotency_key, metadata=metadata)


# P19 ---------------------------------------------------------------------------------------------


class _Converting(MemoryEvents):
    """Keeps contents in another form."""

    def converted(self, content: str) -> str:
        return content

    def append(self, events: Sequence[EventRecord]) -> None:
        super().append(
            [msgspec.structs.replace(each, content=self.converted(each.content)) for each in events]
        )


@mutant("P19", "drops NUL from texts, as its column cannot hold it")
class DropsNul(_Converting):
    def converted(self, content: str) -> str:
        return content.replace("\\u0000", "")


@mutant("P19", "keeps texts of the first 65,536 characters only")
class KeepsThreeBytes(_Converting):
    def converted(self, content: str) -> str:
        return "".join(char if ord(char) < 0x10000 else "?" for char in content)


@mutant("P19", "keeps texts in NFC")
class Composes(_Converting):
    def converted(self, content: str) -> str:
        return unicodedata.normalize("NFC", content)


@mutant("P19", "keeps numbers as floats where they are large")
class KeepsFloats(_Converting):
    def converted(self, content: str) -> str:
        return json.dumps(json.loads(content, parse_int=_rounded))


def _rounded(text: str) -> int:
    number = int(text)
    return number if abs(number) > 2**1000 else int(float(number))


@mutant("P19", "takes -0.0 for 0.0")
class DropsSigns(_Converting):
    def converted(self, content: str) -> str:
        return content.replace(":-0.0,", ":0.0,")


class _OtherKeys(MemoryCommands):
    """Keeps idempotency keys in another form."""

    def kept(self, key: str) -> str:
        return key

    def append(self, commands: Sequence[CommandRecord]) -> None:
        super().append(
            [
                msgspec.structs.replace(
                    each, idempotency_key=each.idempotency_key and self.kept(each.idempotency_key)
                )
                for each in commands
            ]
        )

    def with_keys(self, keys: Sequence[str]) -> dict[str, str]:
        found = super().with_keys([self.kept(key) for key in keys])
        return {key: found[self.kept(key)] for key in keys if self.kept(key) in found}


@mutant("P19", "cuts idempotency keys to 511 bytes")
class CutsKeys(_OtherKeys):
    def kept(self, key: str) -> str:
        return key.encode()[:511].decode(errors="ignore")


@mutant("P19", "keeps identifiers of up to 255 characters")
class CutsIdentifiers(MemoryMaps):
    def append(self, mappings: Sequence[MappingRecord]) -> None:
        super().append(
            [
                msgspec.structs.replace(
                    each,
                    identifiers=_each_value(
                        each.identifiers,
                        lambda value: value[:255] if isinstance(value, str) else value,
                    ),
                )
                for each in mappings
            ]
        )


# P20 ---------------------------------------------------------------------------------------------


@mutant("P20", "joins its events with a table of the types that it knows")
class SkipsUnknownTypes(MemoryEvents):
    def rows_after(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> list[EventRecord]:
        rows = super().rows_after(actor_id, origin, sequence, limit)
        return [row for row in rows if row.type in _KNOWN]


_KNOWN = {kind.__name__ for kind in TYPES}


@mutant("P20", "compares the names of types in lower case, without blanks")
class FoldsTypes(MemoryEvents):
    def rows_after(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> list[EventRecord]:
        rows = super().rows_after(actor_id, origin, sequence, limit)
        by_fold = {name.lower(): name for name in _KNOWN}
        return [
            msgspec.structs.replace(row, type=by_fold.get(row.type.strip().lower(), row.type))
            for row in rows
        ]


@mutant("P20", "leaves out commands of types that it does not know")
class SkipsUnknownCommands(MemoryCommands):
    def read(self, ids: Sequence[str]) -> list[CommandRecord]:
        return [each for each in super().read(ids) if each.type in _KNOWN]


# P21 ---------------------------------------------------------------------------------------------


@mutant("P21", "reads a run without the versions of its types")
class RunsWithoutVersions(MemoryEvents):
    def run(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> Sequence[tuple[str, str]]:
        rows = super().run(actor_id, origin, sequence, limit)
        return [(tag.partition("\n")[0], content) for tag, content in rows]


@mutant("P21", "has no column for the version of an event's type")
class KeepsNoVersions(MemoryEvents):
    def append(self, events: Sequence[EventRecord]) -> None:
        super().append([msgspec.structs.replace(each, type_version=1) for each in events])


@mutant("P21", "has no column for the version of a command's type")
class KeepsNoVersionsOfCommands(MemoryCommands):
    def append(self, commands: Sequence[CommandRecord]) -> None:
        super().append([msgspec.structs.replace(each, type_version=1) for each in commands])


@mutant("P21", "writes every event of a stream under the newest type's name")
class RenamesTypes(MemoryEvents):
    def after(self, actor_id: str, origin: str, sequence: int, limit: int) -> list[StoredEvent]:
        return super().after(actor_id, origin, sequence, limit)

    def rows_after(
        self, actor_id: str, origin: str, sequence: int, limit: int
    ) -> list[EventRecord]:
        rows = super().rows_after(actor_id, origin, sequence, limit)
        if not any(row.type == "written" for row in rows):
            return rows
        return [msgspec.structs.replace(row, type="written", type_version=3) for row in rows]
