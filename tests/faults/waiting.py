"""Waiting for a condition, and no longer than for it."""

import asyncio
import time
from collections.abc import Callable

LONG = 120.0
"""Seconds in which anything that will happen has happened, also on a very busy machine."""


def until(condition: Callable[[], object], what: str, *, seconds: float = LONG) -> None:
    """Return when the condition holds; fail when it does not come to."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"in {seconds:g} s it did not come to this: {what}"
        time.sleep(0.002)


async def until_async(condition: Callable[[], object], what: str, *, seconds: float = LONG) -> None:
    """As `until`, while other tasks go on."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"in {seconds:g} s it did not come to this: {what}"
        await asyncio.sleep(0.002)
