"""Another storage on the same data, in a thread of its own, and on an event loop of its own.

What it is asked to do may have to wait for what the lab has open; so it is begun, and awaited when
that is wanted. Nothing waits for longer than SECONDS.
"""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from spry_conformance.domain import meanwhile
from spry_conformance.faces import Face, close, face
from spry_conformance.lab import SECONDS, Lab, outcome_of
from spry_conformance.steps import MAIN, Fetch, Handle, HandleMany, Overtaken


class Rival:
    """Another storage, as a context manager; it is opened when it is first asked for something."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._thread: ThreadPoolExecutor | None = None
        self._runner: asyncio.Runner
        self._opened: list[Face] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it; it is opened anew when it is asked for something again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.submit(self._close).result(SECONDS)
            thread.shutdown()

    def open(self) -> None:
        """Open it now: where it may have to wait later, for what the lab has open."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "another storage")
            self._thread.submit(self._open).result(SECONDS)

    def begin(self, step: Handle | HandleMany | Fetch) -> "Future[Any]":
        """Begin a step; the outcome is what it answers, or the exception that it raises."""
        self.open()
        assert self._thread is not None
        return self._thread.submit(lambda: outcome_of(self._lab.do, step, self._opened[0]))

    def do(self, step: Handle | HandleMany | Fetch) -> Any:
        """Do a step to its end."""
        return self.begin(step).result(SECONDS)

    def _open(self) -> None:
        self._runner = asyncio.Runner()
        opened = self._lab.adapter.open(self._lab.domain, MAIN)
        self._opened.append(face(opened, self._runner))

    def _close(self) -> None:
        try:
            while self._opened:
                close(self._opened.pop(), self._lab.adapter.close, self._runner)
        finally:
            self._runner.close()


def overtaken(lab: Lab, rival: Rival, step: Overtaken) -> list[tuple[Handle | HandleMany, Any]]:
    """Do both steps of an Overtaken: each with its outcome, in the order in which they came."""
    begun: list[Handle] = []
    done: list[tuple[Handle | HandleMany, Any]] = []

    def once() -> None:
        if not begun:  # the rival's own command may hesitate, too
            begun.append(step.by)
            done.append((step.by, rival.do(step.by)))

    rival.open()
    meanwhile(once)
    try:
        done.append((step.step, outcome_of(lab.do, step.step)))
    finally:
        meanwhile(None)
    if not begun:  # it was answered without a decision
        done.append((step.by, rival.do(step.by)))
    return done
