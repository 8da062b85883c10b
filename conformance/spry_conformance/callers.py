"""Transactions, plain or awaited, behind one plain face: the storage's own, and the application's.

As in `faces`, what is awaited is driven to the end of each call.
"""

import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from spry_conformance.faces import AwaitedFace, Face, PlainFace
from spry_conformance.lab import Broken, Lab
from spry_conformance.steps import InTransaction


class Undone(Exception):
    """Raised in a block in order that what it did is undone."""


class Begun(Protocol):
    """A transaction that has begun."""

    face: Face
    """The storage, in this transaction."""

    def savepoint(self) -> AbstractContextManager[Any]: ...


class _OfStorage:
    def __init__(self, face: Face) -> None:
        self.face = face

    def savepoint(self) -> AbstractContextManager[Any]:
        """There is none that the application could ask for."""
        return nullcontext()

    def end(self, ends: str) -> None:
        """It ends with its block."""


class _OfApplication:
    def __init__(self, caller: Any, within: Face) -> None:
        self._caller = caller
        self._within = within
        self.face: Face = (
            AwaitedFace(caller.storage, within.runner)
            if isinstance(within, AwaitedFace)
            else PlainFace(caller.storage)
        )

    def savepoint(self) -> AbstractContextManager[Any]:
        return _entered(self._caller.savepoint(), self._within)

    def end(self, ends: str) -> None:
        _run(self._caller.commit() if ends == "commit" else self._caller.rollback(), self._within)


@contextmanager
def in_transaction(lab: Lab, step: InTransaction) -> Iterator[Begun]:
    """The transaction of a step, which ends with the block, as the step says."""
    raises = step.ends == "raise" or (step.ends == "rollback" and not step.joined)
    try:
        with _begun(lab, step) as begun:
            yield begun
            if raises:
                raise Undone
            begun.end(step.ends)
    except Undone:
        return
    if raises:
        raise Broken("what was raised in the block of a transaction did not reach the application")


@contextmanager
def _begun(lab: Lab, step: InTransaction) -> Iterator["_OfStorage | _OfApplication"]:
    storage = lab.storage()
    if not step.joined:
        with storage.transaction() as within:
            yield _OfStorage(within)
        return
    assert lab.adapter.caller is not None
    with _entered(lab.adapter.caller(storage.storage), storage) as caller:
        yield _OfApplication(caller, storage)


@contextmanager
def _entered(manager: Any, face: Face) -> Iterator[Any]:
    """A context manager of either kind."""
    if not isinstance(face, AwaitedFace) or not hasattr(manager, "__aenter__"):
        with manager as value:
            yield value
        return
    value = face.runner.run(manager.__aenter__())
    try:
        yield value
    except BaseException as error:
        if not face.runner.run(manager.__aexit__(type(error), error, None)):
            raise
    else:
        face.runner.run(manager.__aexit__(None, None, None))


def _run(answer: Any, face: Face) -> Any:
    if not inspect.isawaitable(answer):
        return answer
    assert isinstance(face, AwaitedFace)

    async def awaited() -> Any:
        return await answer

    return face.runner.run(awaited())
