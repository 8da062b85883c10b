"""The pytest plugin in an author's project: what it tries, prints, writes and exits with."""

import os
from pathlib import Path

import msgspec
import pytest

from spry_conformance import PROPERTIES

pytest_plugins = ["pytester"]

SUITE = """
import pytest
from mutants import MUTANTS, in_memory
from spry_conformance import Conformance

class TestRight(Conformance):
    @pytest.fixture
    def adapter(self):
        return in_memory(name="right")

class TestWrong(Conformance):
    @pytest.fixture
    def conformance_profile(self, adapter, property):
        return {"append": "quick"}[property.group]

    @pytest.fixture
    def adapter(self):
        return next(each for each in MUTANTS if each.property == "P01").make()
"""
NEEDING = next(each for each in PROPERTIES if each.needs)
QUICK = ("-p", "no:randomly", "--conformance-profile=quick", "--conformance-seed=4")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the author's project import the mutants."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(test_mine=SUITE)
    return pytester


@pytest.mark.parametrize(
    "workers", ["1", *(pytest.param(many, marks=pytest.mark.long) for many in ("0", "2"))]
)
def test_what_is_found_is_reported_also_from_workers(
    project: pytest.Pytester, workers: str
) -> None:
    result = project.runpytest_subprocess(
        "-n", workers, "-k", "P01", *QUICK, "--conformance-report=found.json"
    )

    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    out = result.stdout
    out.fnmatch_lines(["P01 events-keep-their-order does not hold on *"])
    out.fnmatch_lines(["*= conformance =*"])
    out.fnmatch_lines(["conformance of right (test_mine.py::TestRight)*"])
    out.fnmatch_lines(["1 passed, 0 failed, 0 not claimed; seed 4"])
    out.fnmatch_lines([f"report: {project.path / 'found.json'}"])
    results = msgspec.json.decode((project.path / "found.json").read_bytes())["results"]
    verdicts = {line["where"]: (line["verdict"], line["seed"]) for line in results}
    assert verdicts == {
        "test_mine.py::TestRight": ("passed", 4),
        "test_mine.py::TestWrong": ("failed", 4),
    }


def test_what_is_not_claimed_is_skipped_and_says_what_is_missing(
    pytester: pytest.Pytester,
) -> None:
    text = SUITE.replace('name="right"', 'name="right", capabilities=()')
    pytester.makepyfile(test_mine=text)

    result = pytester.runpytest_subprocess(
        "-n0", "-rs", "-k", f"TestRight and {NEEDING.number}", *QUICK
    )

    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"*not claimed: {', '.join(sorted(NEEDING.needs))}*"])


@pytest.mark.long
def test_a_session_that_tries_nothing_is_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_mine(): pass")

    result = pytester.runpytest_subprocess("-n0")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*conformance*=*")

    result = pytester.runpytest_subprocess("-n0", "--conformance-report=found.html")
    result.stdout.fnmatch_lines(["no property was tried, and *found.html is not written"])
    assert not (pytester.path / "found.html").exists()


def test_a_report_of_no_form_is_a_wrong_use(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess("-n0", "--conformance-report=found.pdf")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*a report ends with .html or .json, and found.pdf does not*"])


@pytest.mark.long
def test_a_report_that_cannot_be_written_fails_the_session(project: pytest.Pytester) -> None:
    result = project.runpytest_subprocess(
        "-n0", "-k", "TestRight and P01", *QUICK, "--conformance-report=no/folder.json"
    )

    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*no/folder.json cannot be written: No such file*"])


@pytest.mark.long
def test_a_suite_without_an_adapter_says_what_to_define(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "from spry_conformance import Conformance\n\nclass TestMine(Conformance): pass"
    )

    result = pytester.runpytest_subprocess("-n0", "-k", "P01", *QUICK)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*define a fixture `adapter` that gives an Adapter"])
