"""What a property is, and the list of all."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hypothesis import strategies as st

from spry_conformance.adapter import Adapter, Own
from spry_conformance.history import History
from spry_conformance.lab import Lab
from spry_conformance.steps import Step

Check = Callable[[Lab, tuple[Step, ...]], None]


@dataclass(frozen=True)
class Property:
    """A promise, the histories that try it, and the check that plays one.

    `check` raises where the promise is broken: Broken, or whatever went wrong. `tries` is how many
    histories the default profile draws; `needs` are capabilities, without which it is not tried.
    What it tries only where that is claimed, it `uses`. `own` gives histories of the author's own
    domain, which are tried beside the others.
    """

    number: str
    name: str
    promise: str
    group: str
    steps: st.SearchStrategy[tuple[Step, ...]] = field(repr=False)
    check: Check = field(repr=False)
    needs: frozenset[str]
    tries: int
    uses: frozenset[str] = frozenset()
    own: Callable[[Own], st.SearchStrategy[tuple[Step, ...]]] | None = field(
        default=None, repr=False
    )

    @property
    def title(self) -> str:
        """Number and name, as in `P07 append-is-atomic`."""
        return f"{self.number} {self.name}"

    @property
    def histories(self) -> st.SearchStrategy[History]:
        """What is drawn."""
        return self.steps.map(lambda steps: History(self.number, steps))

    def histories_on(self, adapter: Adapter) -> st.SearchStrategy[History]:
        """What is drawn for an adapter."""
        if self.own is None or adapter.own is None:
            return self.histories
        own = self.own(adapter.own).map(lambda steps: History(self.number, steps))
        return self.histories | own


_all: dict[str, Property] = {}


def promise(
    number: str,
    name: str,
    sentence: str,
    *,
    steps: st.SearchStrategy[tuple[Step, ...]],
    needs: Iterable[str] = (),
    uses: Iterable[str] = (),
    tries: int = 20,
    own: Callable[[Own], st.SearchStrategy[tuple[Step, ...]]] | None = None,
) -> Callable[[Check], Check]:
    """Register the check of a property; its module's name is its group."""

    def register(check: Check) -> Check:
        assert number not in _all, f"{number} is there twice"
        group = check.__module__.rpartition(".")[2]
        _all[number] = Property(
            number,
            name,
            sentence,
            group,
            steps,
            check,
            frozenset(needs),
            tries,
            frozenset(uses),
            own,
        )
        return check

    return register


def registered() -> tuple[Property, ...]:
    """All of them, by their numbers."""
    return tuple(_all[number] for number in sorted(_all))
