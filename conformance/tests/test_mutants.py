"""The kit is tested by what it catches: each mutant by the property that is meant to catch it."""

import pytest

from mutants import MUTANTS, Mutant, in_memory
from spry_conformance import PROPERTIES, Property, Verdict, run

OF = {each.number: each for each in PROPERTIES}
TITLES = [each.title for each in PROPERTIES]


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_mutant_is_caught_by_the_property_that_is_meant_to_catch_it(mutant: Mutant) -> None:
    outcome = run(OF[mutant.property], mutant.make(), shrink=False)

    assert outcome.verdict is Verdict.FAILED, outcome.lacking


@pytest.mark.parametrize("property", PROPERTIES, ids=TITLES)
def test_every_property_has_a_mutant(property: Property) -> None:
    assert property.number in {mutant.property for mutant in MUTANTS}


@pytest.mark.parametrize("awaited", [False, True], ids=["plain", "awaited"])
@pytest.mark.parametrize("property", PROPERTIES, ids=TITLES)
def test_what_the_mutants_are_made_from_is_right(property: Property, awaited: bool) -> None:
    # By few histories: our storages in memory have the same stores, and are tried by all of them.
    outcome = run(property, in_memory(awaited=awaited), profile="quick")

    assert outcome.verdict is not Verdict.FAILED, outcome.tell()
