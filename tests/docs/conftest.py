"""Fixtures of other rooms that pages need."""

from tests.pools.conftest import pooled_url

__all__ = ["pooled_url"]
