"""Proves a storage adapter of spry_sqla: the public names, nothing else."""

from spry_conformance.adapter import CAPABILITIES, Adapter, Caller, Own
from spry_conformance.properties import PROPERTIES, Property
from spry_conformance.runner import PROFILES, Outcome, Verdict, run
from spry_conformance.suite import Conformance

__all__ = [
    "CAPABILITIES",
    "PROFILES",
    "PROPERTIES",
    "Adapter",
    "Caller",
    "Conformance",
    "Outcome",
    "Own",
    "Property",
    "Verdict",
    "run",
]
