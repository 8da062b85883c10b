"""The clock: ids only grow, whatever the machine's clock and the other threads do."""

import itertools
import os
import threading
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
import uuid6
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spry_sqla.clock import Clock, ceiling_of, process_clock, time_of, timestamp_of
from spry_sqla.errors import ClockTooFarAhead, StoredDataError, UnusableValue

relaxed = settings(deadline=None, max_examples=60)

TICKS_TO_1970 = 0x01B21DD213814000
GOOD = "1ec9414c232a6b00b3c89f6bdeced846"  # the example of RFC 9562, appendix A.5
NOON = 1_750_000_000 * 10**9

readings = st.integers(NOON - 10**12, NOON + 10**12) | st.integers(NOON, NOON + 300)
steps = st.lists(
    st.tuples(st.just("now"), readings)
    | st.tuples(st.just("next"), st.just(0))
    | st.tuples(st.just("observe"), readings),
    max_size=40,
)


def id_at(nanoseconds: int, tail: str = "8000000000000000") -> str:
    digits = f"{nanoseconds // 100 + TICKS_TO_1970:015x}"
    return f"{digits[:12]}6{digits[12:]}{tail}"


class Watch:
    """A wall clock that is set by hand, in nanoseconds."""

    def __init__(self, now: int = NOON) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@relaxed
@given(steps)
def test_ids_grow_under_any_readings_and_observations(steps: list[tuple[str, int]]) -> None:
    watch = Watch()
    clock = Clock(watch)
    greatest = ""

    for step, at in steps:
        if step == "now":
            watch.now = at
        elif step == "observe":
            try:
                clock.observe(id_at(at, "bfffffffffffffff"))
            except ClockTooFarAhead:
                assert at - watch.now > 60 * 10**9
            else:
                greatest = max(greatest, id_at(at, "bfffffffffffffff"))
        else:
            given_ = clock.next()
            assert given_ > greatest
            greatest = given_


def test_ids_are_uuids_of_version_6_as_the_uuid6_package_lays_them_out() -> None:
    before = time.time_ns() // 100
    record = Clock().next()
    after = time.time_ns() // 100

    assert uuid.UUID(record).hex == record
    assert uuid.UUID(record).version == 6
    assert uuid.UUID(record).variant == uuid.RFC_4122
    assert before <= uuid6.UUID(hex=record).time - TICKS_TO_1970 <= after


def test_ids_of_the_uuid6_package_are_understood() -> None:
    record = uuid6.uuid6()

    assert abs(time_of(record.hex) - datetime.now(UTC)) < timedelta(seconds=5)
    Clock().observe(record.hex)


@pytest.mark.parametrize("step", [0, -(10**9), -(10**15)])
def test_a_clock_that_does_not_go_on_gives_ids_one_tick_apart(step: int) -> None:
    watch = Watch()
    clock = Clock(watch)
    first = clock.next()

    watch.now += step
    ticks = [uuid6.UUID(hex=clock.next()).time for _ in range(3)]

    start = uuid6.UUID(hex=first).time
    assert ticks == [start + 1, start + 2, start + 3]


def test_two_clocks_on_the_same_tick_give_different_ids() -> None:
    ids = {Clock(Watch()).next() for _ in range(1000)}

    assert len(ids) == 1000
    assert len({record[:16] for record in ids}) == 1


def test_the_random_half_is_drawn_anew_each_millisecond() -> None:
    watch = Watch()
    clock = Clock(watch)
    halves = []

    for step in (0, 500_000, 1_000_000, -3_000_000):
        watch.now = NOON + step
        halves.append(clock.next()[16:])

    assert halves[0] == halves[1]
    assert len(set(halves)) == 3


def test_an_id_from_too_far_ahead_is_refused_and_changes_nothing() -> None:
    clock = Clock(Watch())
    record = id_at(NOON + 3600 * 10**9)

    with pytest.raises(ClockTooFarAhead, match="about 3,600 seconds ahead") as refusal:
        clock.observe(record)

    assert "max_clock_ahead" in str(refusal.value)
    assert record not in str(refusal.value)
    assert time_of(clock.next()) == time_of(id_at(NOON))


def test_the_bound_is_a_setting_of_each_observation() -> None:
    clock = Clock(Watch())
    record = id_at(NOON + 3600 * 10**9)

    clock.observe(record, bound=3600)

    assert clock.next() > record


def test_an_id_that_is_no_news_is_accepted_after_the_clock_was_set_back() -> None:
    watch = Watch()
    clock = Clock(watch)
    record = clock.next()

    watch.now -= 3600 * 10**9
    clock.observe(record)

    assert clock.next() > record


@pytest.mark.parametrize(
    "wrong",
    [
        *("", "1f0abcdef12367ab", f"{GOOD} ", f"{GOOD}\n", f" {GOOD[1:]}", f"+{GOOD[1:]}"),
        *(GOOD.upper(), f"z{GOOD[1:]}", f"1_{GOOD[2:]}", f"\u0661{GOOD[1:]}"),
        *(f"{GOOD[:12]}8{GOOD[13:]}", f"{GOOD[:16]}c{GOOD[17:]}", str(uuid.UUID(GOOD))),
    ],
)
@pytest.mark.parametrize("use", [Clock().observe, time_of, timestamp_of])
def test_what_is_no_record_id_is_refused(use: Callable[[str], object], wrong: str) -> None:
    with pytest.raises(StoredDataError):
        use(wrong)


def test_threads_share_a_clock() -> None:
    clock = Clock()
    given_: list[list[str]] = [[] for _ in range(8)]

    def work(ids: list[str]) -> None:
        for _ in range(2000):
            ids.append(clock.next())
            clock.observe(ids[-1])

    threads = [threading.Thread(target=work, args=[ids]) for ids in given_]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(ids == sorted(ids) for ids in given_)
    assert len(set(itertools.chain(*given_))) == 16_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_children_of_a_fork_go_on_with_ids_of_their_own() -> None:
    # A wall clock that stands still is the worst case: all of them are on the same ticks.
    clock = Clock(Watch())
    first = clock.next()
    clock._lock.acquire()  # as if another thread were inside
    pipes = []
    for _ in range(4):
        reading, writing = os.pipe()
        if os.fork() == 0:
            try:
                ids = [clock.next() for _ in range(100)] + [process_clock.next()]
                os.write(writing, " ".join(ids).encode())
            finally:
                os._exit(0)
        os.close(writing)
        pipes.append(reading)
    clock._lock.release()
    given_ = [[clock.next() for _ in range(100)] + [process_clock.next()]]

    for reading in pipes:
        with os.fdopen(reading) as pipe:
            given_.append(pipe.read().split())
        os.wait()

    assert [len(ids) for ids in given_] == [101] * 5
    assert all([first, *ids[:100]] == sorted([first, *ids[:100]]) for ids in given_)
    assert len(set(itertools.chain(*given_))) == 505
    assert len({ids[0][16:] for ids in given_}) == 5


times = st.datetimes(
    datetime(1, 1, 2),
    datetime(9999, 12, 30),
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7))]),
)


@relaxed
@given(times, st.integers(0, (1 << 60) - 1), st.integers(-20, 20))
@example(datetime(1, 1, 2, tzinfo=UTC), 0, 0)
@example(datetime(9999, 12, 30, tzinfo=UTC), (1 << 60) - 1, 0)
def test_ids_up_to_the_ceiling_of_a_time_are_those_not_after_it(
    time: datetime, far: int, near: int
) -> None:
    microseconds = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    close = min(max(microseconds * 10 + TICKS_TO_1970 + near, 0), (1 << 60) - 1)

    for tick in (far, close):
        for tail in ("8" + "0" * 15, "b" + "f" * 15):
            digits = f"{tick:015x}"
            record = f"{digits[:12]}6{digits[12:]}{tail}"
            assert (record <= ceiling_of(time)) == (time_of(record) <= time)
            assert len(ceiling_of(time)) == 32


@relaxed
@given(st.integers(0, (1 << 60) - 1))
@example(TICKS_TO_1970 - 1)
@example(0)
def test_the_text_of_a_time_is_its_iso_form(tick: int) -> None:
    digits = f"{tick:015x}"
    record = f"{digits[:12]}6{digits[12:]}8000000000000000"

    assert timestamp_of(record) == time_of(record).isoformat(" ", "microseconds")
    assert timestamp_of(record).endswith("+00:00")


def test_known_times() -> None:
    assert time_of(GOOD) == datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)
    assert timestamp_of(GOOD) == "2022-02-22 19:22:22.000000+00:00"


def test_a_naive_time_has_no_ceiling() -> None:
    with pytest.raises(UnusableValue, match="naive"):
        ceiling_of(datetime(2020, 1, 1))
