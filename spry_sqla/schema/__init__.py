"""The tables of actors, their names, and the guards that keep them append-only."""

from spry_sqla.schema.names import LIMIT, Mark, shortened, snake_case
from spry_sqla.schema.tables import (
    FORMAT,
    ActorTables,
    JsonText,
    SharedTables,
    UtcDateTime,
    actor_tables,
    shared_tables,
)
from spry_sqla.schema.triggers import made_on, statements_after, statements_before, statements_for

__all__ = [
    "FORMAT",
    "LIMIT",
    "ActorTables",
    "JsonText",
    "Mark",
    "SharedTables",
    "UtcDateTime",
    "actor_tables",
    "made_on",
    "shared_tables",
    "shortened",
    "snake_case",
    "statements_after",
    "statements_before",
    "statements_for",
]
