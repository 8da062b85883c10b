"""The pytest plugin: profiles, the seed, reports.

It does nothing in a session that tries no property. With pytest-xdist the workers try, and what
they found comes to the controller, which reports, with each test's own report.
"""

import shutil
from pathlib import Path

import msgspec
import pytest

from spry_conformance.adapter import Adapter
from spry_conformance.properties import Property
from spry_conformance.report import Line, checked, line_of, to_text, write
from spry_conformance.runner import PROFILES, Verdict, run

_FOUND = "conformance"
_lines = pytest.StashKey[list[Line]]()


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
        "--conformance-report",
        action="append",
        default=[],
        metavar="FILE",
        help="write a report, .html or .json; may be given several times",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin without results. Raises UsageError for a report that cannot be written."""
    config.stash[_lines] = []
    for name in config.getoption("--conformance-report"):
        try:
            checked(Path(name))
        except ValueError as error:
            raise pytest.UsageError(f"--conformance-report: {error}") from None


def try_property(request: pytest.FixtureRequest, property: Property, adapter: Adapter) -> None:
    """Try a property as a test: skipped where it is not claimed, failed where it does not hold."""
    config = request.config
    outcome = run(
        property,
        adapter,
        profile=config.getoption("--conformance-profile"),
        with_seed=config.getoption("--conformance-seed"),
        database=Path(config.rootpath) / ".hypothesis" / "conformance",
    )
    found = msgspec.json.encode(line_of(outcome)).decode()
    request.node.user_properties.append((_FOUND, found))
    match outcome.verdict:
        case Verdict.NOT_CLAIMED:
            pytest.skip(f"not claimed: {', '.join(outcome.lacking)}")
        case Verdict.FAILED:
            pytest.fail(outcome.tell(), pytrace=False)


class _Collector:
    """Takes what was found out of the tests' reports."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self._config.stash[_lines] += [
                msgspec.json.decode(str(found), type=Line)
                for name, found in report.user_properties
                if name == _FOUND
            ]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Collect, but for a worker of pytest-xdist: its controller does."""
    if not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(_Collector(session.config))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, and write the reports that were asked for."""
    config = terminalreporter.config
    lines = config.stash[_lines]
    if not lines:
        return
    terminalreporter.section("conformance")
    width = shutil.get_terminal_size((100, 24)).columns
    terminalreporter.write(to_text(lines, width, color=config.get_terminal_writer().hasmarkup))
    for name in config.getoption("--conformance-report"):
        write(Path(name), lines)
        terminalreporter.write_line(f"report: {name}")
