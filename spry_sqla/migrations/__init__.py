"""Alembic: autogenerate writes our tables, with what belongs to them, as operations of their own.

The package is an Alembic plugin (Alembic 1.18 and newer). It is installed as the entry point
`alembic.autogenerate.spry_sqla`: a name that Alembic's default `autogenerate_plugins` matches, so
that an `env.py` needs nothing but `target_metadata`, and that an application can leave out by
name. Alembic loads it while it is being imported itself; so whatever imports Alembic is imported
by `setup`.
"""

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alembic.runtime.plugins import Plugin


class _Modules(ModuleType):
    """Before 1.20.1 Alembic takes what an entry point leads to for a collection of modules."""

    def __iter__(self) -> Iterator[ModuleType]:
        yield self


sys.modules[__name__].__class__ = _Modules


def setup(plugin: "Plugin") -> None:
    """Called by Alembic: register the operations, their texts in scripts, and the comparison."""
    from alembic.util import DispatchPriority

    from spry_sqla.migrations import operations
    from spry_sqla.migrations.compare import compare, ignore_names_of_keys

    operations.register()
    plugin.add_autogenerate_comparator(
        ignore_names_of_keys, "schema", "spry_sqla", priority=DispatchPriority.FIRST
    )
    # After Alembic's own comparison of tables, whose findings about ours it replaces.
    plugin.add_autogenerate_comparator(
        compare, "schema", "spry_sqla", priority=DispatchPriority.LAST
    )
