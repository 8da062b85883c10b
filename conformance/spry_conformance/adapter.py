"""What an adapter's author tells the kit: how to open a storage, and what is claimed for it."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from hypothesis import strategies as st

import spry_sqla as spry

CAPABILITIES = {
    "async": "what `open` gives is awaited; its tasks are cancelled at every await",
    "concurrent": "several storages may be open on the same data at once, in several threads",
    "durable": "what was reported as stored survives the process, however it ends",
    "fused": "some operations are not composed of the four stores, and are compared with those",
    "guarded": "the backend itself refuses to change or delete what is stored; needs `tamper`",
    "joinable": "a storage works within a transaction that the caller began; needs `caller`",
    "measured": "it can be told how much the backend has worked; needs `work`",
    "replicas": "events of other origins are stored and read",
    "transactions": "`storage.transaction()`: several commands, all stored or none",
}
"""What an adapter may claim, and what that means. What it does not claim is not tried."""


class Caller(Protocol):
    """A transaction that the application began, and what joins it.

    Where storages are awaited, the methods may be coroutines, and the context managers asynchronous
    ones.
    """

    storage: Any
    """The joined storage: `storage.join(...)`."""

    def savepoint(self) -> "AbstractContextManager[Any] | AbstractAsyncContextManager[Any]":
        """A savepoint of the application's: undone where its block raises."""
        ...

    def commit(self) -> Any: ...
    def rollback(self) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Own:
    """An actor type of the author's own domain, and a strategy of hypothesis for its commands.

    The commands are valid ones: they and what they lead to can be kept.
    """

    domain: spry.Domain
    actor: type[Any]
    commands: st.SearchStrategy[Any]


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """An adapter, as the kit sees it.

    `open(domain, origin)` gives a storage on the same data each time, plain or awaited, made anew
    from nothing that another process could not have; `reset()` throws the data away; `close`
    lets go of a storage that `open` gave, where its own `close()` is not enough, and may be a
    coroutine function.

    `capabilities` are claims, of CAPABILITIES. Some need more: `tamper(storage, actor)` gives
    attempts to change or delete stored rows of an actor type, each of which must raise;
    `caller(storage)` begins a transaction of the application's on the storage's database;
    `work(storage)` is a number that grows as the backend reads.

    `own` is an actor type of the author's, which is tried beside those of the kit.

    `address` is where a process that starts anew finds this object, as "module:name" (of it, or of
    a function that gives it); without it, what was stored is not replayed in one. Processes that
    are to be killed are forked.

    Raises ValueError for a claim that is not known or lacks what it needs.
    """

    open: Callable[[spry.Domain, str], Any]
    reset: Callable[[], None]
    capabilities: Collection[str] = ()
    close: Callable[[Any], Any] | None = None
    tamper: Callable[[Any, type[Any]], Iterable[Callable[[], object]]] | None = None
    caller: (
        Callable[[Any], AbstractContextManager[Caller] | AbstractAsyncContextManager[Caller]] | None
    ) = None
    work: Callable[[Any], int] | None = None
    own: "Own | None" = None
    address: str | None = None
    name: str = "adapter"

    def __post_init__(self) -> None:
        if unknown := set(self.capabilities) - set(CAPABILITIES):
            raise ValueError(
                f"there is no capability {min(unknown)!r}; there are {', '.join(CAPABILITIES)}"
            )
        for claim, needed in _NEEDED.items():
            if claim in self.capabilities and getattr(self, needed) is None:
                raise ValueError(f"who claims {claim!r} must give {needed}=")

    def lacks(self, needs: Iterable[str]) -> Iterator[str]:
        """Of what a property needs, what is not claimed."""
        return (need for need in needs if need not in self.capabilities)


_NEEDED = {"guarded": "tamper", "joinable": "caller", "measured": "work"}
