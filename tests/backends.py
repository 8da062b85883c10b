"""Our backends as plain storages, so that each test of behaviour runs unchanged on all of them.

They are those that the conformance kit is run on, behind the kit's plain face.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Unpack

import spry_sqla as spry
from spry_conformance.faces import AwaitedFace, Face, face
from spry_sqla.adapters import Append, Read, Settings
from spry_sqla.domain import ActorKind
from tests.conforming import InMemory, OnDatabase


class Backend:
    """Somewhere to keep data."""

    def __init__(self, kept: InMemory | OnDatabase) -> None:
        self._kept = kept
        self._runner = asyncio.Runner()
        self._opened: list[Any] = []

    def start(self, domain: spry.Domain, **settings: Unpack[Settings]) -> Face:
        """An empty storage for a domain: what the backend held is thrown away."""
        self._close()
        self._kept.reset()
        return self.open(domain, **settings)

    def open(self, domain: spry.Domain, **settings: Unpack[Settings]) -> Face:
        """A storage on the data that is there, as another process would open it."""
        settings.setdefault("origin", "main")
        storage = self._kept.open(domain, **settings)
        self._opened.append(storage)
        return face(storage, self._runner)

    def count(self, actor: ActorKind[Any], part: str) -> int:
        """How many rows an actor's table has: `commands`, `events`, `id_map` or `snapshots`."""
        return self._kept.count(actor, part)

    def empty(self, domain: spry.Domain) -> bool:
        """Empty the tables under the storages that are open; False where nobody could."""
        return isinstance(self._kept, OnDatabase) and self._kept.empty(domain)

    def stop(self) -> None:
        """Let go of everything."""
        self._close()
        self._runner.close()

    def _close(self) -> None:
        for storage in self._opened:
            closing = self._kept.close(storage)
            if closing is not None:
                self._runner.run(closing)
        self._opened.clear()


def let_first(store: Face, rival: Callable[[Append], Append | None]) -> None:
    """Let another writer be first at each append, with what `rival` makes of it (or None)."""
    answer = store.storage._answer
    if isinstance(store, AwaitedFace):

        async def answer_later(operation: Read | Append) -> Any:
            if isinstance(operation, Append) and (first := rival(operation)) is not None:
                await answer(first)
            return await answer(operation)

        store.storage._answer = answer_later
    else:

        def answer_after(operation: Read | Append) -> Any:
            if isinstance(operation, Append) and (first := rival(operation)) is not None:
                answer(first)
            return answer(operation)

        store.storage._answer = answer_after
