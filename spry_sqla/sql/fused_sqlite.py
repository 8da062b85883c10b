"""SQLite: all of a load but its events in one statement, and what its row means.

There is no round trip to save, but each statement costs its calls: with two instead of four, a load
takes two thirds of the time (measured). What is not of one origin is asked of the four stores.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from spry_sqla.operations import (
    Append,
    Holds,
    Load,
    Loaded,
    Loading,
    Owner,
    Position,
    Run,
    StoredSnapshot,
    Target,
)
from spry_sqla.schema import ActorTables
from spry_sqla.sql import sqlite, statements
from spry_sqla.sql.statements import Statements, first_origin, usable_snapshots
from spry_sqla.sql.stores import SqlStores
from spry_sqla.stores import KeyTaken, read, vector_of, write
from spry_sqla.stores import holds as holds_in
from spry_sqla.stores import load as load_from

_ONE: sa.ColumnElement[int] = sa.literal_column("1")


def load(cursor: Any, of_actor: Statements, operation: Load) -> Loading:
    """Answer a load as the four stores would."""
    if operation.version is not None or operation.until is not None:
        loading: Loading = read(SqlStores(cursor, of_actor), operation)
        return loading
    actors = [
        _load_run(cursor, of_actor, operation, target)
        or load_from(SqlStores(cursor, of_actor), operation, target)
        for target in operation.targets
    ]
    # Last: a command whose events were read above is then found by its key, too.
    keys = operation.keys
    return Loading(actors, SqlStores(cursor, of_actor).commands.with_keys(keys) if keys else {})


def _load_run(cursor: Any, of_actor: Statements, operation: Load, target: Target) -> Loaded | None:
    """The actor of a target; None where its stream is no run, or several mappings name it."""
    snapshots = operation.fingerprint is not None
    statement = of_actor.special(
        (reached, snapshots), lambda: reached(of_actor.tables, snapshots=snapshots)
    )
    values: dict[str, Any] = {
        "digest": target.digest,
        "native_id": target.native_id,
        "fingerprint": operation.fingerprint,
    }
    cursor.execute(statement.text, statement.parameters(values))
    rows = cursor.fetchall()
    if len(rows) > 1:
        return None
    ((mapping, owner_id, claimant, head, sequence, last, first, *snapshot),) = rows
    owner = Owner(owner_id, claimant == operation.origin, mapping)
    if head is None:
        return Loaded(owner, None, [], False, Run(operation.origin, "", ()))
    if not first == last == operation.origin:
        return None
    stored, covered = None, 0
    if snapshots and snapshot[0] is not None:
        stored = StoredSnapshot._make(snapshot)
        covered = vector_of(stored).get(operation.origin, 0)
    wanted = sequence - covered
    if not 0 <= wanted <= operation.limit:
        return None
    events: Any = ()
    if wanted:
        statement = of_actor[statements.run]
        values = {
            "actor_id": owner_id or target.native_id,
            "origin": operation.origin,
            "sequence": covered,
            "limit": wanted,
        }
        cursor.execute(statement.text, statement.parameters(values))
        events = cursor.fetchall()
        if len(events) != wanted:
            return None
    return Loaded(owner, stored, [], False, Run(operation.origin, head, events))


def holds(cursor: Any, of_actor: Statements, operation: Holds) -> bool:
    """Answer whether positions hold as the four stores would."""
    return _hold(cursor, of_actor, operation.positions, operation.keys)


def append(cursor: Any, of_actor: Statements, operation: Append) -> None:
    """Write all of an append. Raises KeyTaken."""
    positions = operation.relies_on
    if positions and not _hold(cursor, of_actor, positions, operation.keys):
        raise KeyTaken
    write(SqlStores(cursor, of_actor), operation)


def _hold(
    cursor: Any, of_actor: Statements, positions: Sequence[Position], keys: Sequence[str]
) -> bool:
    statement = of_actor.special(held, lambda: held(of_actor.tables))
    for position in positions:
        values = {
            "digest": position.digest,
            "actor_id": position.actor_id,
            "origin": position.origin,
        }
        cursor.execute(statement.text, statement.parameters(values))
        rows = cursor.fetchall()
        if len(rows) != 1:  # by no name, or by several in several origins: which of them decides?
            return holds_in(SqlStores(cursor, of_actor), positions, keys)
        ((owner_id, head, first),) = rows
        if owner_id != position.actor_id or head != position.head or first != position.origin:
            return False
    return not (keys and SqlStores(cursor, of_actor).commands.with_keys(keys))


def held(tables: ActorTables) -> sa.ClauseElement:
    """Per mapping of a digest whom it reaches, and of an actor where it is.

    (owner), the id of the newest event in the last origin where that is this one, the first origin.
    Probes of indexes alone.
    """
    newest = tables.events.alias("newest")
    actor_id = sa.bindparam("actor_id", type_=sa.Uuid(as_uuid=False))
    origin = sa.bindparam("origin", type_=sa.Text())
    head = (
        sa.select(sa.case((newest.c.origin == origin, sqlite.hex_id(newest.c.id))))
        .where(newest.c.actor_id == actor_id)
        .order_by(newest.c.origin.desc(), newest.c.sequence.desc())
        .limit(_ONE)
        .scalar_subquery()
    )
    digest = sa.bindparam("digest", type_=sa.LargeBinary())
    owner_id, first = sqlite.hex_id(tables.id_map.c.actor_id), first_origin(tables, actor_id)
    return sa.select(owner_id, head, first).where(tables.id_map.c.digest == digest)


def reached(tables: ActorTables, *, snapshots: bool = False) -> sa.ClauseElement:
    """Per mapping of a digest, or once where there is none: whom it reaches, and its newest rows.

    (mapping, owner, origin of the mapping), (id, sequence, origin) of the newest event in the last
    origin, the first origin, and the columns of `StoredSnapshot`. Probes of indexes alone.
    """
    mapping, head = tables.id_map, tables.events.alias("head")
    digest = sa.bindparam("digest", type_=sa.LargeBinary())
    once = sa.select(_ONE).subquery("once")
    actor_id = sa.func.coalesce(
        mapping.c.actor_id, sa.bindparam("native_id", type_=sa.Uuid(as_uuid=False))
    )
    of_actor = tables.events.c.actor_id == actor_id
    newest = (
        sa.select(tables.events.c.id)
        .where(of_actor)
        .order_by(tables.events.c.origin.desc(), tables.events.c.sequence.desc())
        .limit(_ONE)
        .correlate(mapping)
        .scalar_subquery()
    )
    first = first_origin(tables, actor_id, mapping)
    found: Any = once.outerjoin(mapping, mapping.c.digest == digest)
    found = found.outerjoin(head, head.c.id == newest)
    columns = [
        sqlite.hex_id(mapping.c.id),
        sqlite.hex_id(mapping.c.actor_id),
        mapping.c.origin,
        sqlite.hex_id(head.c.id),
        head.c.sequence,
        head.c.origin,
        first,
    ]
    if snapshots:
        snapshot = tables.snapshots.alias("snapshot")
        usable = usable_snapshots(tables, sqlite, actor_id, None, bounded=False)
        the_one = (
            usable.with_only_columns(tables.snapshots.c.id).correlate(mapping).scalar_subquery()
        )
        found = found.outerjoin(snapshot, snapshot.c.id == the_one)
        columns += [
            sqlite.hex_id(snapshot.c.id),
            snapshot.c.state,
            snapshot.c.vector,
            snapshot.c.version,
            sqlite.hex_id(snapshot.c.last_event),
        ]
    return sa.select(*columns).select_from(found)
