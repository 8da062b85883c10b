"""The hybrid logical clock that gives record ids, and the times that ids hold.

An id is greater than every id that the clock gave or was told about, whatever the machine's clock
does: it stands still, runs behind or steps back. So the order of ids is a linear extension of
cause and effect (Kulkarni et al., "Logical Physical Clocks", 2014). Ids are UUIDv6 (RFC 9562) as
32 lowercase hexadecimal digits; the order of the texts is the order of the ids.
"""

import os
import re
import sys
import threading
import time
import weakref
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from spry_sqla.errors import ClockTooFarAhead, StoredDataError, UnusableValue

_EPOCH = 0x01B21DD213814000  # ticks of 100 ns from 1582-10-15 to 1970-01-01
_NEVER = -(1 << 62)
_MILLISECOND = 10_000
_LAST = (1 << 60) - 1
_UNIX = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_is_id = re.compile("[0-9a-f]{12}6[0-9a-f]{3}[89ab][0-9a-f]{15}").fullmatch


class Clock:
    """A source of record ids, for all threads and tasks of a process.

    `now` reads the wall clock, in nanoseconds since 1970.
    """

    def __init__(self, now: Callable[[], int] = time.time_ns) -> None:
        self._now = now
        self._last = 0
        self._drawn = _NEVER
        self._random = ""
        self._lock = threading.Lock()
        _clocks.add(self)

    def next(self) -> str:
        """Return an id greater than every id that this clock gave or was told about."""
        now = self._now() // 100 + _EPOCH
        with self._lock:
            # The random half is drawn anew every millisecond, and not for each id, which would
            # double the cost; nor once per process: a virtual machine that was copied while it
            # ran goes on with the memory of the first, and so with its random half.
            if not 0 <= now - self._drawn < _MILLISECOND:
                self._random = f"{int.from_bytes(os.urandom(8)) >> 2 | 1 << 63:016x}"
                self._drawn = now
            tick = self._last = max(now, self._last + 1)
            random = self._random
        digits = f"{tick:015x}"
        return f"{digits[:12]}6{digits[12:]}{random}"

    def observe(self, id: str, *, bound: float = 60.0) -> None:
        """Tell the clock about an id, so that the next one is greater.

        An id that is news to the clock must not lie more than `bound` seconds in the future.

        Raises ClockTooFarAhead where it does, and StoredDataError where it is no record id; the
        clock is then unchanged.
        """
        tick = _tick(id)
        # Without the lock: the last tick only grows.
        if tick <= self._last:
            return
        ahead = (tick - _EPOCH - self._now() // 100) / 10_000_000
        if ahead > bound:
            raise ClockTooFarAhead(
                f"a stored record is about {ahead:,.0f} seconds ahead of this machine's clock, "
                f"more than the {bound:g} that are allowed, and nothing was stored; check the "
                "clocks of the machines that write here, or raise the setting max_clock_ahead"
            )
        with self._lock:
            self._last = max(self._last, tick)


def time_of(id: str) -> datetime:
    """Return the time in an id: aware, in UTC, cut to microseconds."""
    return _UNIX + timedelta(microseconds=(_tick(id) - _EPOCH) // 10)


def timestamp_of(id: str) -> str:
    """Return the time in an id as the text that records hold, UTC with microseconds."""
    second, tick = divmod(_tick(id) - _EPOCH, 10_000_000)
    return f"{_second(second)}.{tick // 10:06}+00:00"


def ceiling_of(time: datetime) -> str:
    """Return the text such that `id <= ceiling_of(time)` means `time_of(id) <= time`.

    Raises UnusableValue for what is no aware datetime.
    """
    if not isinstance(time, datetime):
        raise UnusableValue(
            f"at= must be an aware datetime, such as datetime.now(timezone.utc), and is of type "
            f"{type(time).__qualname__}"
        )
    if time.utcoffset() is None:
        raise UnusableValue(
            "at= must be an aware datetime, such as datetime.now(timezone.utc), and is a naive one"
        )
    tick = (time - _UNIX) // _MICROSECOND * 10 + 9 + _EPOCH
    if tick < 0:
        return "0" * 32
    digits = f"{min(tick, _LAST):015x}"
    return f"{digits[:12]}6{digits[12:]}bfffffffffffffff"


def _tick(id: str) -> int:
    if not _is_id(id):
        raise StoredDataError(
            "a stored record id is no UUIDv6 of 32 lowercase hexadecimal digits; was its row "
            "written by hand?"
        )
    return int(id[:12] + id[13:16], 16)


@lru_cache(maxsize=256)
def _second(second: int) -> str:
    return (_UNIX + timedelta(seconds=second)).isoformat(" ")[:19]


_clocks: "weakref.WeakSet[Clock]" = weakref.WeakSet()


def _after_fork() -> None:
    # Another thread of the parent may have held a lock, and there is no such thread here.
    for clock in list(_clocks):
        clock._lock = threading.Lock()
        clock._drawn = _NEVER


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)

process_clock = Clock()
"""The one clock of this process."""
