"""Deliberately broken adapters; each module registers those of one group of properties."""

from mutants import (  # noqa: F401
    of_append,
    of_concurrency,
    of_durability,
    of_idempotency,
    of_identity,
    of_relying,
    of_replay,
    of_replicas,
    of_scale,
    of_snapshots,
    of_transactions,
    of_values,
    of_whole,
)
from mutants.registry import MUTANTS, Mutant, in_memory

__all__ = ["MUTANTS", "Mutant", "in_memory"]
