"""The kit is tested by what it catches: each mutant by the property that is meant to catch it."""

import json
from importlib.resources import files

import pytest

from mutants import MUTANTS, Mutant, in_memory
from spry_conformance import PROPERTIES, Property, Verdict, run
from spry_conformance.history import History
from spry_conformance.runner import play

KNOWN = (files("spry_conformance") / "known.jsonl").read_text("utf-8").splitlines()
NAMED = [
    (mutant, History.from_json(json.dumps(known["history"])))
    for known in map(json.loads, KNOWN)
    for mutant in MUTANTS
    if mutant.property == known["history"]["property"]
    and mutant.fault in known["caught"].split("; ")
]
OF = {each.number: each for each in PROPERTIES}
TITLES = [each.title for each in PROPERTIES]


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_mutant_is_caught_by_the_property_that_is_meant_to_catch_it(mutant: Mutant) -> None:
    outcome = run(OF[mutant.property], mutant.make(), shrink=False)

    assert outcome.verdict is Verdict.FAILED, outcome.lacking


@pytest.mark.parametrize(("mutant", "history"), NAMED, ids=str)
def test_a_known_history_catches_the_mutants_that_it_names(
    mutant: Mutant, history: History
) -> None:
    # Of threads, which do not meet each time that a history is played, one time is enough.
    assert any(_is_caught(mutant, history) for _ in range(20))


def _is_caught(mutant: Mutant, history: History) -> bool:
    try:
        play(OF[mutant.property], mutant.make(), history)
    except Exception:  # noqa: BLE001  (whatever it is, the property does not hold)
        return True
    return False


@pytest.mark.parametrize("property", PROPERTIES, ids=TITLES)
def test_every_property_has_a_mutant(property: Property) -> None:
    assert property.number in {mutant.property for mutant in MUTANTS}


@pytest.mark.parametrize("awaited", [False, True], ids=["plain", "awaited"])
@pytest.mark.parametrize("property", PROPERTIES, ids=TITLES)
def test_what_the_mutants_are_made_from_is_right(property: Property, awaited: bool) -> None:
    # By few histories: our storages in memory have the same stores, and are tried by all of them.
    outcome = run(property, in_memory(awaited=awaited), profile="quick")

    assert outcome.verdict is not Verdict.FAILED, outcome.tell()
