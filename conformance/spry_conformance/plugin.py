"""The pytest plugin: profiles, the seed, reports.

It does nothing in a session that tries no property. With pytest-xdist the workers try, and what
they found comes to the controller, which reports, with each test's own report.
"""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from spry_conformance.adapter import Adapter
from spry_conformance.properties import Property
from spry_conformance.report import Line, checked, line_of, to_text, write
from spry_conformance.runner import PROFILES, Verdict, run, seed_of

_FOUND = "conformance"
_REPORTS = "--conformance-report"
_SEED = "conformance_seed"
_seed = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the kit."""
    group = parser.getgroup("conformance", "conformance of storage adapters (spry-conformance)")
    group.addoption(
        "--conformance-profile",
        choices=list(PROFILES),
        default="default",
        help="how many histories are tried: about 1, 5 or 60 minutes (default: default)",
    )
    group.addoption(
        "--conformance-seed", type=int, default=None, help="draw the same histories as then"
    )
    group.addoption(
        _REPORTS,
        action="append",
        default=[],
        metavar="FILE",
        help="write a report, .html or .json; may be given several times",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed; collect what is found, but in a worker of pytest-xdist.

    Raises UsageError for a report of a form that there is none of.
    """
    told: dict[str, Any] | None = getattr(config, "workerinput", None)
    if told is not None:
        config.stash[_seed] = told[_SEED]
        return
    config.stash[_seed] = seed_of(config.getoption("--conformance-seed"))
    paths = [config.invocation_params.dir / name for name in config.getoption(_REPORTS)]
    try:
        config.pluginmanager.register(_Collector([checked(path) for path in paths]), _FOUND)
    except ValueError as error:
        raise pytest.UsageError(f"{_REPORTS}: {error}") from None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist the seed, so that one repeats what all have tried."""
    node.workerinput[_SEED] = node.config.stash[_seed]


def try_property(
    request: pytest.FixtureRequest, property: Property, adapter: Adapter, profile: str
) -> None:
    """Try a property as a test: skipped where it is not claimed, failed where it does not hold."""
    config = request.config
    outcome = run(
        property,
        adapter,
        profile=profile,
        with_seed=config.stash[_seed],
        database=Path(config.rootpath) / ".hypothesis" / "conformance",
    )
    line = line_of(outcome, request.node.nodeid.partition("[")[0].rpartition("::")[0])
    request.node.user_properties.append((_FOUND, msgspec.json.encode(line).decode()))
    match outcome.verdict:
        case Verdict.NOT_CLAIMED:
            pytest.skip(f"not claimed: {', '.join(outcome.lacking)}")
        case Verdict.FAILED:
            pytest.fail(outcome.tell(), pytrace=False)


class _Collector:
    """Takes what was found out of the tests' reports, and reports all of it at the end."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self._lines: dict[tuple[str, str, str], Line] = {}
        self._told: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call":
            return
        for name, found in report.user_properties:
            if name == _FOUND:
                line = msgspec.json.decode(str(found), type=Line)
                # A test that was run again has more than one.
                self._lines[line.where, line.adapter, line.number] = line

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        for path in self._paths:
            if not self._lines:
                self._told.append(f"no property was tried, and {path} is not written")
                continue
            try:
                write(path, list(self._lines.values()))
            except OSError as error:
                self._told.append(f"{path} cannot be written: {error.strerror}")
                session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
            else:
                self._told.append(f"report: {path}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._lines and not self._told:
            return
        terminalreporter.section("conformance")
        width = shutil.get_terminal_size((100, 24)).columns
        color = terminalreporter.config.get_terminal_writer().hasmarkup
        terminalreporter.write(to_text(list(self._lines.values()), width, color=color))
        for each in self._told:
            terminalreporter.write_line(each)
