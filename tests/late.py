"""A run takes as much as it has time for, and says what it left out.

On two cores there is time for all of it. On a machine that is so slow, or so busy, that the run has
taken twelve minutes, the long tests that are left are skipped, and the kit goes on with its quick
profile.
"""

import time

import pytest

OPTION = "--late-after"
_IN_BRIEF = "in brief"


class Late:
    """Whether a run is late; each worker of pytest-xdist asks its own clock."""

    def __init__(self, after: float) -> None:
        self._end = time.monotonic() + after

    def is_brief(self, item: pytest.Item) -> bool:
        """Whether a test is to do with less than it could; that it did is told at the end."""
        brief = time.monotonic() > self._end
        if brief:
            item.user_properties.append((_IN_BRIEF, ""))
        return brief

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: (_is_long(item), "brief" in getattr(item, "fixturenames", ())))

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if time.monotonic() > self._end and _is_long(item):
            pytest.skip(f"a long test, and the run is late ({OPTION}); --thorough runs all")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        brief = [
            report
            for reports in terminalreporter.stats.values()
            for report in reports
            if getattr(report, "when", "") == "call"
            and (_IN_BRIEF, "") in map(tuple, report.user_properties)
        ]
        if brief:
            terminalreporter.write_line(
                f"properties tried with the quick profile only, for the run is late ({OPTION}): "
                f"{len(brief)}; --thorough tries all in full"
            )


def _is_long(item: pytest.Item) -> bool:
    return item.get_closest_marker("long") is not None
