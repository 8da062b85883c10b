"""Faults of durability, in an adapter whose records are in memory and in a file, and of guards."""

import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from weakref import finalize

from mutants.registry import CLAIMS, MUTANTS, Mutant
from spry_conformance import Adapter
from spry_sqla.adapters import AdapterStorage, MemoryAdapter
from spry_sqla.memory import Journal, MemoryStores, MemoryUnit


class InFile(MemoryAdapter):
    """Right: all records are in a file, which is replaced by a new one at every commit."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.commits = 0
        self.read()

    def read(self) -> None:
        """Take what is in the file."""
        if self.path.exists():
            kept = pickle.loads(self.path.read_bytes())
            for actor, parts in kept.items():
                stores = self.stores_of(actor)
                for name, values in parts.items():
                    vars(getattr(stores, name)).update(values)

    def write(self) -> None:
        """Replace the file."""
        new = self.path.with_suffix(".new")
        new.write_bytes(self.content())
        new.replace(self.path)

    def content(self) -> bytes:
        """All records."""
        return pickle.dumps({actor: _parts(stores) for actor, stores in self._stores.items()})

    def begin(self, *, write: bool) -> MemoryUnit:
        return _Unit(super().begin(write=write)._adapter, write=write)


class _Unit(MemoryUnit):
    def __init__(self, adapter: Any, *, write: bool) -> None:
        super().__init__(adapter)
        self._write = write

    def commit(self) -> None:
        adapter: Any = self._adapter
        if self._write:
            adapter.commits += 1
            adapter.write()
        super().commit()


def _parts(stores: MemoryStores) -> dict[str, dict[str, Any]]:
    return {
        name: {
            key: value
            for key, value in vars(getattr(stores, name)).items()
            if not isinstance(value, Journal) and key != "_events"
        }
        for name in ("commands", "events", "maps", "snapshots")
    }


class WritesEverySecondTime(InFile):
    def write(self) -> None:
        if self.commits % 2 == 0:
            super().write()


class WritesWhenItIsAskedTo(InFile):
    """As a file does that is flushed when it is closed."""

    def write(self) -> None:
        pass


def in_file(kind: type[InFile] = InFile, **options: Any) -> Adapter:
    """An adapter for the kit."""
    folder = tempfile.mkdtemp(prefix="spry-mutant-")
    path = Path(folder) / "records"

    def reset() -> None:
        path.unlink(missing_ok=True)
        _open.clear()

    _open: dict[int, InFile] = {}

    def open_storage(domain: Any, origin: str) -> AdapterStorage:
        # One for each process, as threads share the records.
        adapter = _open.setdefault(os.getpid(), kind(path))
        return AdapterStorage(adapter, domain, origin=origin)

    def close(storage: Any) -> None:
        _open.clear()

    adapter = Adapter(
        open=open_storage,
        reset=reset,
        close=close,
        capabilities=CLAIMS | {"durable"},
        name=kind.__name__,
        **options,
    )
    # A process that was forked off may have collected it, too, and was first.
    finalize(adapter, shutil.rmtree, folder, ignore_errors=True)
    return adapter


MUTANTS += [
    Mutant(
        "P08", "writes to the disk at every second commit", lambda: in_file(WritesEverySecondTime)
    ),
    Mutant(
        "P08", "leaves to the end what is to be written", lambda: in_file(WritesWhenItIsAskedTo)
    ),
]


# Guards -------------------------------------------------------------------------------------------


def guarded(refuses: Callable[[int], bool]) -> Adapter:
    """Records in memory, and attempts to change them, of which some get through."""
    held = [MemoryAdapter()]

    def reset() -> None:
        held[0] = MemoryAdapter()

    def tamper(storage: Any, actor: type[Any]) -> Iterator[Callable[[], object]]:
        for place in range(3):

            def attempt(place: int = place) -> None:
                if refuses(place):
                    raise PermissionError("rows are never changed")

            yield attempt

    return Adapter(
        open=lambda domain, origin: AdapterStorage(held[0], domain, origin=origin),
        reset=reset,
        capabilities=CLAIMS | {"guarded"},
        tamper=tamper,
        name="guarded",
    )


MUTANTS.append(
    Mutant(
        "P09",
        "lets rows be deleted, and only not be changed",
        lambda: guarded(lambda place: place < 2),
    )
)
