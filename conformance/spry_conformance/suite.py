"""The class that an adapter's author inherits: one test for each property."""

import pytest

from spry_conformance.adapter import Adapter
from spry_conformance.plugin import try_property
from spry_conformance.properties import PROPERTIES, Property


class Conformance:
    """Inherit it, and give the fixture `adapter`; pytest then tries every property on it."""

    @pytest.fixture
    def adapter(self) -> Adapter:
        """The adapter to try."""
        raise NotImplementedError("define a fixture `adapter` that gives an Adapter")

    @pytest.fixture
    def conformance_profile(self, request: pytest.FixtureRequest) -> str:
        """The profile of `--conformance-profile`; give another one where it takes too long."""
        profile: str = request.config.getoption("--conformance-profile")
        return profile

    @pytest.mark.parametrize(
        "property", [pytest.param(each, id=f"{each.number}-{each.name}") for each in PROPERTIES]
    )
    def test(
        self,
        request: pytest.FixtureRequest,
        adapter: Adapter,
        conformance_profile: str,
        property: Property,
    ) -> None:
        """Try one property."""
        try_property(request, property, adapter, conformance_profile)
