"""Measure contenders interleaved, so that what disturbs one disturbs all; only ratios are read."""

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter

Chunk = Callable[[], float]
"""Do a portion of work, prepared untimed, and return the seconds of one operation."""


@dataclass(frozen=True)
class Times:
    """Seconds per operation, a list entry per round, by contender."""

    rounds: Mapping[str, list[float]]

    def ratio(self, one: str, other: str) -> float:
        """How many times longer `one` took than `other`: the median of the rounds' ratios."""
        pairs = zip(self.rounds[one], self.rounds[other], strict=True)
        return median(mine / theirs for mine, theirs in pairs)

    def rate(self, name: str) -> float:
        """Operations per second, for context."""
        return 1 / median(self.rounds[name])

    def fastest(self, names: list[str]) -> str:
        return min(names, key=lambda name: median(self.rounds[name]))


def interleaved(contenders: Mapping[str, Chunk], rounds: int) -> Times:
    """A round is one chunk of each; the order turns over from round to round. One warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
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


def timed(work: Callable[[], object], operations: int) -> float:
    """Seconds of one operation of `work`, which does `operations` of them."""
    start = perf_counter()
    work()
    return (perf_counter() - start) / operations
