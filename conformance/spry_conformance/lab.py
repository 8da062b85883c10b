"""Where a history is played: an adapter with its data thrown away, and the storages opened on it.

The lab plays the steps that all properties share. What a property sees that is not as promised, it
tells by `Broken`.
"""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, NamedTuple, Self, TypeVar

import spry_sqla as spry
from spry_conformance.adapter import Adapter
from spry_conformance.domain import Account, actor_of, domain
from spry_conformance.faces import AwaitedFace, Face, close, face
from spry_conformance.steps import MAIN, AtOnce, Fetch, Handle, HandleMany, InTurns, Reopen
from spry_sqla.adapters import (
    Append,
    EventRecord,
    Load,
    Loading,
    Read,
    ReadHistory,
    StoredSnapshot,
    perform_async,
    target_of,
)

T = TypeVar("T")

SECONDS = 60.0
"""How long what is done at once may take at most."""

SWITCHES = 1e-5
"""Seconds after which Python lets another thread go on: so short that threads meet."""


class Broken(AssertionError):
    """Something was not as promised; the text says what was seen."""


@dataclass(frozen=True)
class Call:
    """A step that was done beside others: what it answered, and when.

    `begun` and `ended` are places in one order of all beginnings and ends: what ended before
    another began was before it.
    """

    program: int
    step: Handle | HandleMany | Fetch
    outcome: Any
    begun: int
    ended: int


class Rows(NamedTuple):
    """What is stored of an actor: events in the order of ids, and the newest usable snapshot."""

    actor_id: str
    events: list[EventRecord]
    snapshot: StoredSnapshot | None


class Lab:
    """An adapter at the beginning: without data. To be closed, as a context manager."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.domain = domain()
        self.runner = asyncio.Runner()
        self._opened: list[Face] = []
        self._of_origin: dict[str, Face] = {}
        self._done = count()

    def __enter__(self) -> Self:
        self.adapter.reset()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.close_all()
        finally:
            self.runner.close()

    # Storages ------------------------------------------------------------------------------------

    def open(self, origin: str = MAIN, of: spry.Domain | None = None) -> Face:
        """One more storage on the data, closed with the lab."""
        made = face(self.adapter.open(of or self.domain, origin), self.runner)
        made.forget()  # an adapter may open one storage again and again
        self._opened.append(made)
        return made

    def storage(self, origin: str = MAIN) -> Face:
        """The storage of an origin, opened when it is first asked for."""
        if origin not in self._of_origin:
            self._of_origin[origin] = self.open(origin)
        return self._of_origin[origin]

    @property
    def accounts(self) -> Any:
        """The repository of accounts, of the main origin."""
        return self.storage().repository(Account)

    def close_all(self) -> None:
        """Close every storage; the next one that is asked for is opened anew."""
        while self._opened:
            close(self._opened.pop(), self.adapter.close, self.runner)
        self._of_origin.clear()

    def reopen(self, step: Reopen = Reopen()) -> None:  # noqa: B008  (it is frozen)
        """Close every storage, and go on with other code on the same data."""
        self.close_all()
        self.domain = domain(step.meta)

    # Steps ---------------------------------------------------------------------------------------

    def do(self, step: Handle | HandleMany | Fetch, at: Face | None = None) -> Any:
        """Do one step and answer with what it answers; what it raises is raised.

        Of commands, every other one decides on what the storage remembers.
        """
        storage = at or self.storage(step.origin)
        if next(self._done) % 2 == 0:
            storage.forget()
        match step:
            case Handle(command, key, metadata):
                repository = storage.repository(actor_of(command))
                return repository.handle(command, idempotency_key=key, metadata=metadata)
            case HandleMany(commands, keys, _, metadata):
                return storage.repository(actor_of(commands[0])).handle_many(
                    commands, idempotency_keys=keys or None, metadata=metadata
                )
            case Fetch(owner, version):
                return storage.repository(Account).fetch(owner=owner, version=version)

    def at_once(self, step: AtOnce) -> list[Call]:
        """Do programs at the same time, each at a storage of its own; in the order of ends.

        Tasks, where storages are awaited, and threads where not. An outcome is what a step answered
        or the exception that it raised.
        """
        programs = [program for program in step.programs if program]
        storages = [self.open(program[0].origin) for program in programs]
        moments = count()
        if any(isinstance(storage, AwaitedFace) for storage in storages):
            tasks = [
                _play_awaiting(moments, place, storage.storage, program)
                for place, (storage, program) in enumerate(zip(storages, programs, strict=True))
            ]
            played = self.runner.run(_gathered(tasks))
        else:
            played = in_threads(
                partial(self._play, moments, place, storage, program)
                for place, (storage, program) in enumerate(zip(storages, programs, strict=True))
            )
        return sorted((call for calls in played for call in calls), key=lambda call: call.ended)

    def in_turns(self, step: InTurns) -> list[Call]:
        """Do steps one after another, at several storages that are open all the while."""
        moments, storages = count(), {who: self.open() for who, _ in step.turns}
        return [
            call
            for who, each in step.turns
            for call in self._play(moments, who, storages[who], (each,))
        ]

    def perform_at_once(self, operations: Sequence[Read | Append]) -> list[Any]:
        """Answer operations at the same time, each at a storage of its own."""
        storages = [self.open() for _ in operations]
        pairs = list(zip(storages, operations, strict=True))
        if any(isinstance(storage, AwaitedFace) for storage in storages):
            answers = [perform_async(each.storage, operation) for each, operation in pairs]
            return self.runner.run(_gathered(answers))
        return in_threads(partial(each.perform, operation) for each, operation in pairs)

    def _play(self, moments: Iterator[int], place: int, storage: Face, program: Any) -> list[Call]:
        calls = []
        for each in program:
            begun = next(moments)
            outcome = outcome_of(self.do, each, storage)
            calls.append(Call(place, each, outcome, begun, next(moments)))
        return calls

    # What is there -------------------------------------------------------------------------------

    def rows(self, actor: type[Any] = Account, at: Face | None = None, **names: Any) -> Rows:
        """What is stored of the actor that identifiers reach."""
        storage = at or self.storage()
        kind = storage.domain.actor(actor)
        target = target_of(storage.domain, actor, names)
        loading: Loading = storage.perform(Load(kind.name, MAIN, (target,), kind.fingerprint))
        (loaded,) = loading.actors
        actor_id = loaded.owner.actor_id or target.native_id
        page = storage.perform(ReadHistory(kind.name, actor_id, {}))
        return Rows(actor_id, page.events, loaded.snapshot)


def in_threads(works: Iterable[Callable[[], T]]) -> list[T]:
    """What works answer that begin at one moment, each in a thread of its own."""
    works = list(works)
    start = threading.Barrier(len(works) or 1, timeout=SECONDS)

    def begin(work: Callable[[], T]) -> T:
        start.wait()
        return work()

    usual = sys.getswitchinterval()
    sys.setswitchinterval(SWITCHES)
    try:
        with ThreadPoolExecutor(len(works) or 1) as threads:
            return list(threads.map(begin, works, timeout=SECONDS))
    finally:
        sys.setswitchinterval(usual)


async def _gathered(tasks: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    async with asyncio.timeout(SECONDS):
        return await asyncio.gather(*tasks)


async def _play_awaiting(
    moments: Iterator[int], place: int, storage: Any, program: Any
) -> list[Call]:
    calls = []
    for each in program:
        begun = next(moments)
        try:
            outcome = await do_awaited(storage, each)
        except Exception as error:  # noqa: BLE001  (it is the outcome)
            outcome = error
        calls.append(Call(place, each, outcome, begun, next(moments)))
    return calls


async def do_awaited(storage: Any, step: Handle | HandleMany | Fetch) -> Any:
    """As `Lab.do`, for a task: at a storage that is awaited."""
    match step:
        case Handle(command, key, metadata):
            repository = storage.repository(actor_of(command))
            return await repository.handle(command, idempotency_key=key, metadata=metadata)
        case HandleMany(commands, keys, _, metadata):
            return await storage.repository(actor_of(commands[0])).handle_many(
                commands, idempotency_keys=keys or None, metadata=metadata
            )
        case Fetch(owner, version):
            return await storage.repository(Account).fetch(owner=owner, version=version)


def outcome_of(work: Callable[..., Any], *arguments: Any) -> Any:
    """What work answers, or the exception that it raises."""
    try:
        return work(*arguments)
    except Exception as error:  # noqa: BLE001  (it is the outcome)
        return error


def expect(found: object, expected: object, what: str) -> None:
    """Raises Broken where something is not what it should be."""
    if found != expected:
        raise Broken(f"{what}: expected {expected!r}, and found {found!r}")


@contextmanager
def raising(kind: type[BaseException], what: str) -> Iterator[None]:
    """Raises Broken where the block does not raise an error of this kind."""
    try:
        yield
    except kind:
        return
    except Exception as error:
        raise Broken(
            f"{what}: expected {kind.__name__}, and {type(error).__name__} came"
        ) from error
    raise Broken(f"{what}: expected {kind.__name__}, and nothing was raised")
