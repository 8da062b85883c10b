"""Writers that meet: each has loaded before any of them appends, so that all but one are late."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from spry_conformance.domain import meanwhile

SECONDS = 10.0
"""How long one waits for the others, at most."""


@contextmanager
def meeting(writers: int) -> Iterator[None]:
    """Within it, so many threads wait for each other where they first decide on a `Hesitate`.

    Awaited writers, which decide in one thread, are not held up: their loads are asked for before
    any of them goes on.
    """
    barrier = threading.Barrier(writers, timeout=SECONDS)
    here = threading.get_ident()
    met: set[int] = set()

    def meet() -> None:
        me = threading.get_ident()
        if me == here or me in met:
            return
        met.add(me)
        try:
            barrier.wait()
        except threading.BrokenBarrierError:
            return  # another one did not come so far; what it raised is its outcome

    meanwhile(meet)
    try:
        yield
    finally:
        meanwhile(None)
