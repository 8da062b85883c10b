"""The properties: what an adapter promises, one by one.

Each has a number and a name that never change, and one sentence of promise.
"""

from spry_conformance.properties.registry import Property, registered

# Each module registers its properties as it is imported.
from spry_conformance.properties import (  # noqa: F401  isort: skip
    append,
    concurrency,
    durability,
    fused,
    idempotency,
    identity,
    relying,
    replay,
    replicas,
    scale,
    snapshots,
    transactions,
    values,
    whole,
)

PROPERTIES: tuple[Property, ...] = registered()

__all__ = ["PROPERTIES", "Property"]
