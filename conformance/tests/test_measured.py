"""Where the work of a backend is measured, what is right passes."""

from mutants import in_memory
from mutants.of_scale import MEASURED, Counting
from mutants.registry import stores
from spry_conformance import PROPERTIES, Verdict, run


def test_a_backend_that_looks_at_what_it_needs_passes() -> None:
    (others_cost_nothing,) = (each for each in PROPERTIES if each.number == "P50")

    outcome = run(others_cost_nothing, in_memory(stores(events=Counting), **MEASURED))

    assert outcome.verdict is Verdict.PASSED, outcome.tell()
