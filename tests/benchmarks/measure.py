"""Measure contenders interleaved, so that what disturbs one disturbs all; only ratios are read.

A chunk does the same operations in each round, and each is timed by itself. What an operation takes
is its median over the rounds, so that a disk or a machine that stalls now and then does not decide.
"""

import gc
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, median
from time import perf_counter

Chunk = Callable[[], list[float]]
"""Do a portion of work, prepared untimed, and return the seconds of each of its operations."""


@dataclass(frozen=True)
class Times:
    """Seconds of each operation, in each round, by contender."""

    rounds: Mapping[str, list[list[float]]]

    def ratio(self, one: str, other: str) -> float:
        """How many times longer `one` took than `other`."""
        return self._seconds(one) / self._seconds(other)

    def rate(self, name: str) -> float:
        """Operations per second, for context."""
        return 1 / self._seconds(name)

    def fastest(self, names: list[str]) -> str:
        return min(names, key=self._seconds)

    def _seconds(self, name: str) -> float:
        """The mean of the operations' medians."""
        return fmean(median(same) for same in zip(*self.rounds[name], strict=True))


def interleaved(contenders: Mapping[str, Chunk], rounds: int) -> Times:
    """A round is one chunk of each; the order turns over from round to round. One warms up."""
    seconds: dict[str, list[list[float]]] = {name: [] for name in contenders}
    order = list(contenders)
    for number in range(-1, rounds):
        gc.collect()
        for name in order:
            taken = contenders[name]()
            if number >= 0:
                seconds[name].append(taken)
        order.reverse()
        if number % 2:
            order = order[1:] + order[:1]
    return Times(seconds)


def timed(works: Iterable[Callable[[], object]], operations: int = 1) -> list[float]:
    """Seconds of each work, by the `operations` that it consists of."""
    seconds = []
    for work in works:
        start = perf_counter()
        work()
        seconds.append((perf_counter() - start) / operations)
    return seconds
