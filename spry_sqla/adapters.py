"""All that the author of a storage adapter imports: the contract, its vocabulary, the storages.

An adapter is a subclass of `Adapter`: it begins units of work, and gives the four stores within
each. The rest is there: `AdapterStorage(adapter, domain)` has repositories and transactions.
"""

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, TypeVar

from spry_sqla.base import Awaited, Base, Plain, Settings
from spry_sqla.clock import process_clock, timestamp_of
from spry_sqla.domain import Domain
from spry_sqla.identity import actor_id, canonical, digest
from spry_sqla.memory import MemoryAdapter
from spry_sqla.model import Scalar
from spry_sqla.operations import (
    NO_ID,
    PAGE,
    ActorPage,
    Append,
    Appended,
    Conflict,
    EventPage,
    Head,
    HistoryPage,
    Holds,
    Load,
    Loaded,
    Loading,
    Owner,
    Position,
    Read,
    ReadActors,
    ReadCommands,
    ReadEvents,
    ReadHistory,
    Resolve,
    Run,
    StoredSnapshot,
    Target,
    Unavailable,
)
from spry_sqla.records import (
    CommandRecord,
    EventRecord,
    LinkRecord,
    MappingRecord,
    SnapshotRecord,
    StoredEvent,
    tag_of,
)
from spry_sqla.storage import AdapterStorage, AsyncAdapterStorage
from spry_sqla.stores import (
    CommandStore,
    EventStore,
    KeyTaken,
    MapStore,
    SnapshotStore,
    Stores,
    holds,
    vector_of,
)
from spry_sqla.units import Adapter, UnitOfWork

S = TypeVar("S", bound=Base)

__all__ = [
    "NO_ID",
    "PAGE",
    "ActorPage",
    "Adapter",
    "AdapterStorage",
    "Append",
    "Appended",
    "AsyncAdapterStorage",
    "CommandRecord",
    "CommandStore",
    "Conflict",
    "EventPage",
    "EventRecord",
    "EventStore",
    "Head",
    "HistoryPage",
    "Holds",
    "KeyTaken",
    "LinkRecord",
    "Load",
    "Loaded",
    "Loading",
    "MapStore",
    "MappingRecord",
    "MemoryAdapter",
    "Owner",
    "Position",
    "Read",
    "ReadActors",
    "ReadCommands",
    "ReadEvents",
    "ReadHistory",
    "Resolve",
    "Run",
    "Settings",
    "SnapshotRecord",
    "SnapshotStore",
    "StoredEvent",
    "StoredSnapshot",
    "Stores",
    "Target",
    "Unavailable",
    "UnitOfWork",
    "composed",
    "forget",
    "holds",
    "new_id",
    "observe",
    "perform",
    "perform_async",
    "tag_of",
    "target_of",
    "timestamp_of",
    "vector_of",
]


def perform(storage: Plain, operation: Read | Append) -> Any:
    """Answer one operation without the logic around it: for tests, and for tools that move rows.

    Raises what the storage raises.
    """
    return storage._perform(operation)


async def perform_async(storage: Awaited, operation: Read | Append) -> Any:
    """As `perform`, awaited."""
    return await storage._perform(operation)


def composed(storage: S) -> S:
    """A storage on the same data that answers every operation from the four stores alone.

    It is slower, and the same: what an adapter has in fewer steps is compared with it.
    """
    return storage._composed()


def forget(storage: Base) -> None:
    """Let a storage forget the actors that it remembers, so that the next commands load them.

    For tests: what is stored it finds out by itself.
    """
    storage._forget()


def observe(storage: S, see: Callable[[Read | Append, Any], object]) -> S:
    """A storage on the same data that tells `see` each operation and what it was answered.

    For tests that count what the logic asks for and what an adapter answers.
    """
    twin: Any = copy(storage)
    answer = twin._answer
    if isinstance(storage, Awaited):

        async def answer_seen(operation: Read | Append) -> Any:
            answered = await answer(operation)
            see(operation, answered)
            return answered

        twin._answer = answer_seen
    else:

        def answer_and_tell(operation: Read | Append) -> Any:
            answered = answer(operation)
            see(operation, answered)
            return answered

        twin._answer = answer_and_tell
    seen: S = twin
    return seen


def target_of(domain: Domain, actor: type[Any], identifiers: Mapping[str, Scalar]) -> Target:
    """Whom an operation is for. Raises NotRegistered, UnusableIdentifiers."""
    text = canonical(identifiers)
    return Target(digest(text), actor_id(domain.actor(actor).name, text))


def new_id() -> str:
    """The id of a new record, greater than every id that this process has read."""
    return process_clock.next()
