"""The tables of actors, their names, and the guards that keep them append-only."""

from spry_sqla.schema.inspection import (
    ALEMBIC,
    check_format,
    guarded,
    guards_differ,
    has_rows,
    stored_format,
)
from spry_sqla.schema.names import LIMIT, Mark, shortened, snake_case, table_name
from spry_sqla.schema.placing import FORMAT, FORMAT_TABLE
from spry_sqla.schema.renaming import move
from spry_sqla.schema.script import script
from spry_sqla.schema.tables import (
    ActorTables,
    SharedTables,
    actor_tables,
    former_tables,
    index_names,
    shapes,
    shared_tables,
)
from spry_sqla.schema.triggers import (
    guard,
    made_on,
    statements_after,
    statements_before,
    statements_for,
    unguard,
    whole,
)
from spry_sqla.schema.types import JsonText, UtcDateTime

__all__ = [
    "ALEMBIC",
    "FORMAT",
    "FORMAT_TABLE",
    "LIMIT",
    "ActorTables",
    "JsonText",
    "Mark",
    "SharedTables",
    "UtcDateTime",
    "actor_tables",
    "check_format",
    "former_tables",
    "guard",
    "guarded",
    "guards_differ",
    "has_rows",
    "index_names",
    "made_on",
    "move",
    "script",
    "shapes",
    "shared_tables",
    "shortened",
    "snake_case",
    "statements_after",
    "statements_before",
    "statements_for",
    "stored_format",
    "table_name",
    "unguard",
    "whole",
]
