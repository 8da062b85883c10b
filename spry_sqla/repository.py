"""What an application calls: one line per method, for both worlds."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

from spry_sqla.drivers import AsyncPerform, Perform, run, run_async, stream, stream_async
from spry_sqla.envelope import Envelope, seal
from spry_sqla.errors import UnusableIdentifiers, UnusableValue
from spry_sqla.handling import handle_many
from spry_sqla.model import CommandLike, HistoryEntry, Identifiers, Results, Scalar
from spry_sqla.reading import Context, actors, fetch, history

A = TypeVar("A")


class Repository(Generic[A]):
    """Actors of one type. `storage.repository(Player)` makes one; it may be shared by threads.

    Every method raises StorageClosed, StorageUnavailable or StorageFailure when the storage fails,
    and UnusableIdentifiers before anything is sent when identifiers cannot identify.
    """

    def __init__(self, context: Context[A], perform: Perform) -> None:
        self._context = context
        self._perform = perform

    def handle(
        self,
        command: CommandLike,
        *,
        idempotency_key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Results[A]:
        """Let a command decide on its actor and store what follows, all of it or nothing.

        `idempotency_key` is unique per actor type: the same key with the same command answers with
        the first outcome. `metadata` is stored with the command.

        Errors that the command gives are in the results. Raised: what the command's `handle` or an
        event's `apply` raises; KeyReused; NotRegistered; UnusableValue; ConcurrencyError when
        other writers were first at every attempt; ClockTooFarAhead; StoredDataError. Nothing is
        stored then. StorageUnavailable says so when it is not known whether it was stored.
        """
        envelope = seal(self._context, command, idempotency_key, metadata)
        return run(handle_many(self._context, (envelope,)), self._perform)[0]

    def handle_many(
        self,
        commands: Iterable[CommandLike],
        *,
        idempotency_keys: Iterable[str | None] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> list[Results[A]]:
        """Handle commands in their order with one load and one atomic append.

        Each command sees the effects of those before it; one that gives errors stores nothing and
        does not hinder the others. `idempotency_keys` are one per command, `metadata` goes with
        each. Returns one Results per command; raises as `handle` does, and nothing of the batch is
        stored then.
        """
        envelopes = _seal_all(self._context, commands, idempotency_keys, metadata)
        return run(handle_many(self._context, envelopes), self._perform)

    def fetch(
        self,
        identifiers: Identifiers | None = None,
        /,
        *,
        version: int | None = None,
        at: datetime | None = None,
        **names: Scalar,
    ) -> A:
        """The state of an actor; the zero state where it has no events.

        Give one mapping, or keywords (a mapping where a name is `version` or `at`). `version=n` is
        the state after its first n events (all, where it has fewer), `at=` the state at an aware
        time. Raises StoredDataError.
        """
        wanted = _named(identifiers, names)
        return run(fetch(self._context, wanted, version=version, at=at), self._perform).state

    def get(self, identifiers: Identifiers | None = None, /, **names: Scalar) -> A | None:
        """The state of an actor, None where it has no events."""
        replay = run(fetch(self._context, _named(identifiers, names)), self._perform)
        return replay.state if replay.version else None

    def exists(self, identifiers: Identifiers | None = None, /, **names: Scalar) -> bool:
        """Whether an actor has events."""
        return run(fetch(self._context, _named(identifiers, names)), self._perform).version > 0

    def history(
        self, identifiers: Identifiers | None = None, /, **names: Scalar
    ) -> Iterator[HistoryEntry]:
        """Each event of an actor, with its version, time, command and metadata; read in pages."""
        return stream(history(self._context, _named(identifiers, names)), self._perform)

    def actors(self) -> Iterator[dict[str, Scalar]]:
        """The identifiers, those given last, of each actor that there is now, the oldest first."""
        return stream(actors(self._context), self._perform)


class AsyncRepository(Generic[A]):
    """As `Repository`, awaited. Tasks may share one."""

    def __init__(self, context: Context[A], perform: AsyncPerform) -> None:
        self._context = context
        self._perform = perform

    async def handle(
        self,
        command: CommandLike,
        *,
        idempotency_key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Results[A]:
        """See `Repository.handle`."""
        envelope = seal(self._context, command, idempotency_key, metadata)
        return (await run_async(handle_many(self._context, (envelope,)), self._perform))[0]

    async def handle_many(
        self,
        commands: Iterable[CommandLike],
        *,
        idempotency_keys: Iterable[str | None] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> list[Results[A]]:
        """See `Repository.handle_many`."""
        envelopes = _seal_all(self._context, commands, idempotency_keys, metadata)
        return await run_async(handle_many(self._context, envelopes), self._perform)

    async def fetch(
        self,
        identifiers: Identifiers | None = None,
        /,
        *,
        version: int | None = None,
        at: datetime | None = None,
        **names: Scalar,
    ) -> A:
        """See `Repository.fetch`."""
        wanted = _named(identifiers, names)
        work = fetch(self._context, wanted, version=version, at=at)
        return (await run_async(work, self._perform)).state

    async def get(self, identifiers: Identifiers | None = None, /, **names: Scalar) -> A | None:
        """See `Repository.get`."""
        work = fetch(self._context, _named(identifiers, names))
        replay = await run_async(work, self._perform)
        return replay.state if replay.version else None

    async def exists(self, identifiers: Identifiers | None = None, /, **names: Scalar) -> bool:
        """See `Repository.exists`."""
        work = fetch(self._context, _named(identifiers, names))
        return (await run_async(work, self._perform)).version > 0

    def history(
        self, identifiers: Identifiers | None = None, /, **names: Scalar
    ) -> AsyncIterator[HistoryEntry]:
        """See `Repository.history`."""
        return stream_async(history(self._context, _named(identifiers, names)), self._perform)

    def actors(self) -> AsyncIterator[dict[str, Scalar]]:
        """See `Repository.actors`."""
        return stream_async(actors(self._context), self._perform)


def _named(identifiers: Identifiers | None, names: Mapping[str, Scalar]) -> Identifiers:
    if identifiers is None:
        return names
    if names:
        raise UnusableIdentifiers("identifiers come as one mapping or as keywords, not as both")
    return identifiers


def _seal_all(
    context: Context[Any],
    commands: Iterable[CommandLike],
    keys: Iterable[str | None] | None,
    metadata: Mapping[str, Any] | None,
) -> list[Envelope]:
    if not isinstance(commands, Iterable):
        raise UnusableValue(
            f"handle_many takes several commands, and was given a {type(commands).__qualname__}; "
            "hand a single one to handle"
        )
    commands = list(commands)
    if isinstance(keys, str):
        raise UnusableValue("idempotency_keys= are one per command, and not one text")
    by_command = [None] * len(commands) if keys is None else list(keys)
    if len(by_command) != len(commands):
        raise UnusableValue("idempotency_keys= must be as many as the commands")
    return [
        seal(context, command, key, metadata)
        for command, key in zip(commands, by_command, strict=True)
    ]
