"""Every kind of class that can be a state, on every backend."""

from typing import Any

import pytest

from tests.backends import Backend
from tests.domains import counters
from tests.domains.counters import FROZEN, STATES, Count, Counted


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_state_of_any_kind_of_class_works(backend: Backend, state: type[Any]) -> None:
    store = backend.start(counters.domain())
    kept = store.repository(state)

    assert kept.fetch(owner="ada") == state()
    results = kept.handle_many([Count("ada", by) for by in (1, 2, 3)])

    notes: Any = ("+1", "+2", "+3") if state in FROZEN else ["+1", "+2", "+3"]
    assert [type(each.modified) for each in results] == [state] * 3
    assert [each.original.count for each in results] == [0, 1, 3]
    assert results[-1].modified == state(owner="ada", count=6, notes=notes)
    assert kept.fetch(owner="ada") == results[-1].modified
    assert kept.fetch(owner="ada", version=2).count == 3
    assert [entry.event for entry in kept.history(owner="ada")] == [
        Counted("ada", by) for by in (1, 2, 3)
    ]


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_state_of_any_kind_of_class_is_kept_in_snapshots(
    backend: Backend, state: type[Any]
) -> None:
    store = backend.start(counters.domain())
    kept = store.repository(state)

    for by in range(11):
        kept.handle(Count("ada", by))

    assert backend.count(store.domain.actor(state), "snapshots") >= 1
    assert kept.fetch(owner="ada").count == 55
    assert len(kept.fetch(owner="ada").notes) == 11


def test_actors_of_several_types_with_the_same_identifiers_do_not_meet(backend: Backend) -> None:
    store = backend.start(counters.domain())

    for by, state in enumerate(STATES):
        store.repository(state).handle(Count("ada", by))

    assert [store.repository(state).fetch(owner="ada").count for state in STATES] == list(
        range(len(STATES))
    )
