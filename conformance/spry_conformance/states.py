"""States as properties compare them: encoded to text, folded from a history, told by time."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import spry_sqla as spry
from spry_conformance.domain import ACTORS, Account
from spry_conformance.faces import Face
from spry_conformance.lab import Lab, expect, outcome_of
from spry_conformance.steps import Reopen

A = TypeVar("A")


class Someone(NamedTuple):
    """An actor that there is: its type, and what it is called now."""

    actor: type[Any]
    identifiers: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.actor.__name__} {self.identifiers!r}"


def everyone(at: Face) -> Iterator[Someone]:
    """Every actor of every type, the oldest first."""
    for actor in ACTORS:
        for identifiers in at.repository(actor).actors():
            yield Someone(actor, identifiers)


def play(lab: Lab, step: Any) -> Any:
    """Do a step; its answer, or the exception that it raised."""
    if isinstance(step, Reopen):
        return lab.reopen(step)
    return outcome_of(lab.do, step)


def results_of(outcome: Any) -> list[spry.Results[Any]]:
    """The results in what a step answered."""
    if isinstance(outcome, spry.Results):
        return [outcome]
    return outcome if isinstance(outcome, list) else []


def text_of(at: Face, state: Any) -> str:
    """A state as the domain's codec encodes it: the same text is the same state, byte for byte."""
    text: str = at.domain.actor(type(state)).codec.encode(state)
    return text


def fetched(at: Face, who: Someone, /, **as_of: Any) -> str:
    """The text of the state that `fetch` gives."""
    return text_of(at, at.repository(who.actor).fetch(who.identifiers, **as_of))


def fold(actor: type[A], events: Iterable[Any]) -> A:
    """The state that events make of the zero state."""
    state = actor()
    for event in events:
        changed = event.apply(state)
        state = state if changed is None else changed
    return state


def entries_of(at: Face, who: Someone) -> list[spry.HistoryEntry]:
    """The history of an actor."""
    return list(at.repository(who.actor).history(who.identifiers))


def prefix(
    entries: Sequence[spry.HistoryEntry], version: int | None = None, at: datetime | None = None
) -> list[Any]:
    """The events of a history up to a version and a time."""
    return [entry.event for entry in entries[:version] if at is None or entry.time <= at]


def expect_text(at: Face, found: str, events: Iterable[Any], who: Someone, what: str) -> None:
    """Raises Broken where a state's text is not that of the state that events make."""
    expect(found, text_of(at, fold(who.actor, events)), f"{what} of {who}")


def account(owner: str) -> Someone:
    """The account of an owner."""
    return Someone(Account, {"owner": owner})
