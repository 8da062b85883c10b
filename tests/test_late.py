"""What a late run leaves out, it says."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONG = "tests/schema/test_tables.py::test_a_column_is_nullable_where_the_field_may_be_none"
PROPERTY = "tests/test_conformance.py::TestOurs::test[memory-P01-events-keep-their-order]"


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_late_run_leaves_out_what_is_long_and_tries_properties_in_brief(workers: str) -> None:
    told = _run("--late-after", "0", "-n", workers)
    assert "a long test, and the run is late (--late-after); --thorough runs all" in told
    assert "1 passed, 1 skipped" in told
    assert "with the quick profile only, for the run is late (--late-after): 1;" in told


def test_any_other_run_leaves_out_nothing() -> None:
    told = _run("-n", "0")
    assert "2 passed in" in told
    assert "the run is late" not in told


def _run(*options: str) -> str:
    """What pytest tells of one long test and one property, neither of which fails."""
    command = [sys.executable, "-m", "pytest", *options, LONG, PROPERTY]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout
