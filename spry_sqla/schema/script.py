"""The DDL of an actor as a script that a person can read and run."""

import sqlalchemy as sa

from spry_sqla.schema.tables import ActorTables, SharedTables
from spry_sqla.schema.triggers import statements_for


def script(shared: SharedTables, of_actor: ActorTables, dialect: sa.Dialect) -> str:
    """Everything that makes an actor's tables and what they need, for psql or sqlite3."""
    tables = [
        *(shared.transactions, shared.format, shared.epochs),
        *(of_actor.commands, of_actor.events, of_actor.id_map),
        *(of_actor.links, of_actor.snapshots),
    ]
    statements = dict.fromkeys(
        statement for table in tables for statement in statements_for(table, dialect)
    )
    return "\n\n".join(f"{statement};" for statement in statements) + "\n"
