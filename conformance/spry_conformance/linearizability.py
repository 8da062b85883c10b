"""Whether calls that were done at once can be explained by some order of them, one after another.

The order must let each call answer what it answered, and keep those in their order of which one had
ended before the other began. It is searched for as Wing and Gong do ("Testing and Verifying
Concurrent Objects", 1993), with what was tried remembered as Lowe does ("Testing for
linearizability", 2017; so does porcupine): from the same calls done, in the same state, a search
ends the same.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

C = TypeVar("C")
S = TypeVar("S", bound=Hashable)

NEVER = float("inf")


@dataclass(frozen=True)
class Timed(Generic[C]):
    """A call, and the moments of its begin and end; one that has not answered ended NEVER.

    What never ended may have happened at any moment since it began, or not at all.
    """

    call: C
    begun: float
    ended: float = NEVER


@dataclass(frozen=True)
class Explanation(Generic[C]):
    """An order of calls that explains their answers; where it is not `complete`, the longest."""

    complete: bool
    order: tuple[C, ...]
    unexplained: tuple[C, ...]
    """Calls that could come next in the longest order, and could not have answered so."""


def explain(
    calls: Sequence[Timed[C]], initial: S, after: Callable[[S, C], S | None]
) -> Explanation[C]:
    """Search for an order.

    `after` is the state that a call leaves, None where the call could not have answered as it did.
    """
    ended = _bits(place for place, call in enumerate(calls) if call.ended != NEVER)
    longest: tuple[int, ...] = ()
    tried: set[tuple[int, S]] = set()
    paths: list[tuple[int, S, tuple[int, ...]]] = [(0, initial, ())]
    while paths:
        done, state, order = paths.pop()
        if ended & ~done == 0:
            return Explanation(True, tuple(calls[each].call for each in order), ())
        if len(order) > len(longest):
            longest = order
        for following in reversed(_next(calls, done)):
            then = after(state, calls[following].call)
            if then is None:
                continue
            reached = done | 1 << following
            if (reached, then) not in tried:
                tried.add((reached, then))
                paths.append((reached, then, (*order, following)))
    return Explanation(
        False,
        tuple(calls[each].call for each in longest),
        tuple(calls[each].call for each in _next(calls, _bits(longest))),
    )


def _next(calls: Sequence[Timed[C]], done: int) -> list[int]:
    """The calls that began before any of the others that are left had ended."""
    left = [each for each in range(len(calls)) if not done >> each & 1]
    first_end = min(calls[each].ended for each in left)
    return [each for each in left if calls[each].begun <= first_end]


def _bits(places: Iterable[int]) -> int:
    return sum(1 << place for place in places)
