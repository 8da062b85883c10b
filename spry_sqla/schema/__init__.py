"""The tables of actors, their names, and the guards that keep them append-only."""

from spry_sqla.schema.inspection import guarded, guards_differ
from spry_sqla.schema.names import LIMIT, Mark, shortened, snake_case, table_name
from spry_sqla.schema.renaming import move
from spry_sqla.schema.script import script
from spry_sqla.schema.tables import (
    FORMAT,
    ActorTables,
    JsonText,
    SharedTables,
    UtcDateTime,
    actor_tables,
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
)

__all__ = [
    "FORMAT",
    "LIMIT",
    "ActorTables",
    "JsonText",
    "Mark",
    "SharedTables",
    "UtcDateTime",
    "actor_tables",
    "guard",
    "guarded",
    "guards_differ",
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
    "table_name",
    "unguard",
]
