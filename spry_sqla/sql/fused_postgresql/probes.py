"""Parts of the statements of loads and of appends: targets, and probes of indexes for each."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from spry_sqla.schema import ActorTables
from spry_sqla.sql.postgresql import each, hex_id

ONE: sa.ColumnElement[int] = sa.literal_column("1")


def targets_of(*more: str, single: bool) -> tuple[sa.FromClause, sa.ColumnElement[bytes]]:
    """Targets and their digests: of one as parameters, of several as the rows of one.

    `more` are ids that come with them.
    """
    if single:
        # Plain parameters: of a JSON array the planner expects a hundred rows.
        target: sa.FromClause = sa.select(
            sa.literal_column("0").label("n"),
            sa.bindparam("digest", type_=sa.LargeBinary()).label("digest"),
            *(
                sa.bindparam(name, type_=sa.Uuid(as_uuid=False)).label(name)
                for name in ("native_id", *more)
            ),
        ).subquery("target")
        return target, target.c.digest
    columns: dict[str, Any] = {"n": sa.Integer(), "digest": sa.Text(), "native_id": sa.Uuid()}
    columns.update(dict.fromkeys(more, sa.Uuid()))
    target = recordset("targets", [sa.column(name, type_) for name, type_ in columns.items()])
    return target, sa.func.decode(target.c.digest, sa.literal_column("'base64'"))


def owner_of(
    tables: ActorTables, target: sa.FromClause, digest: sa.ColumnElement[bytes]
) -> sa.Select[Any]:
    """(id, actor_id, origin) of the mapping that decides whom a target reaches."""
    mapping = tables.id_map.alias("m")
    return (
        sa.select(mapping.c.id, mapping.c.actor_id, mapping.c.origin)
        .where(mapping.c.digest == digest)
        .order_by(mapping.c.actor_id != target.c.native_id, mapping.c.id)
        .limit(ONE)
        .correlate(target)
    )


def used_keys(tables: ActorTables) -> sa.Subquery:
    """(id, key) of the commands that have used the keys, of at most a thousand origins."""
    command, key = tables.commands.c, each("keys")
    # With a limit, for of a JSON array the planner expects a hundred keys: where it knows little
    # of the table, it would read all of it.
    found = (
        sa.select(command.id, command.idempotency_key)
        .where(command.idempotency_key == key.c.value)
        .order_by(command.idempotency_key, command.origin)
        .limit(sa.literal_column("1000"))
        .correlate(key)
        .lateral("found")
    )
    query = sa.select(hex_id(found.c.id).label("id"), found.c.idempotency_key.label("key"))
    return query.select_from(key.join(found, sa.true())).subquery("used")


def recordset(parameter: str, columns: list[Any]) -> sa.FromClause:
    """The rows of a JSON array of objects."""
    rows = sa.func.jsonb_to_recordset(sa.cast(sa.bindparam(parameter, type_=sa.Text()), JSONB))
    # A short name, for psycopg parses texts of more than 4,096 characters each time.
    return rows.table_valued(*columns).render_derived(name=parameter[0], with_types=True)
