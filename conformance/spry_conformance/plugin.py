"""The pytest plugin: profiles, the seed, reports.

It does nothing in a session that tries no property.
"""

from pathlib import Path

import pytest

from spry_conformance.adapter import Adapter
from spry_conformance.properties import Property
from spry_conformance.runner import PROFILES, Verdict, run


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
    match outcome.verdict:
        case Verdict.NOT_CLAIMED:
            pytest.skip(f"not claimed: {', '.join(outcome.lacking)}")
        case Verdict.FAILED:
            pytest.fail(outcome.tell(), pytrace=False)
