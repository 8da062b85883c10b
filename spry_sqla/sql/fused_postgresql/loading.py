"""Loads: a statement for streams of one origin, and one for streams of any.

Nearly every stream has events of one origin, and then a load is five probes of indexes and one
range, joined: `runs`. What is no run is seen by it and asked for again with `streams`, which walks
the origins and probes each for an event that makes a snapshot divergent.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa

from spry_sqla.operations import Load, Loaded, Loading, Owner, Run, StoredSnapshot
from spry_sqla.records import StoredEvent
from spry_sqla.schema import ActorTables
from spry_sqla.sql import postgresql
from spry_sqla.sql.fused_postgresql.probes import (
    ONE,
    owner_of,
    targets_of,
    used_keys,
)
from spry_sqla.sql.postgresql import at, hex_id
from spry_sqla.sql.statements import (
    Statements,
    bounds,
    first_origin,
    json_text,
    run_after,
    stored_event,
    usable_snapshots,
)
from spry_sqla.stores import merge, vector_of

KEY = -1
"""What rows about idempotency keys have in the place of a target's number."""
MAPPING, SNAPSHOT, EVENT = range(3)
"""Kinds of rows of `streams`: per target whom it reaches, its snapshot, its events."""

_KEY: sa.ColumnElement[int] = sa.literal_column(str(KEY))


def load(cursor: Any, of_actor: Statements, operation: Load) -> Loading:
    """Answer a load: by runs, and by streams where one has several origins."""
    if operation.until is None:
        answer = _load_runs(operation, _rows(cursor, of_actor, operation, runs))
        if answer is not None:
            return answer
    return _load_streams(operation, _rows(cursor, of_actor, operation, streams))


def _rows(cursor: Any, of_actor: Statements, operation: Load, build: Any) -> list[Any]:
    snapshots = operation.fingerprint is not None
    bounded = operation.version is not None or operation.until is not None
    keys = bool(operation.keys)
    single = len(operation.targets) == 1
    statement = of_actor.special(
        (build, single, snapshots, bounded, keys),
        lambda: build(
            of_actor.tables, single=single, snapshots=snapshots, bounded=bounded, keys=keys
        ),
    )
    values: dict[str, Any] = {"origin": operation.origin, "limit": operation.limit}
    if single:
        values["digest"], values["native_id"] = operation.targets[0]
    else:
        targets = [
            {"n": n, "digest": target.digest, "native_id": target.native_id}
            for n, target in enumerate(operation.targets)
        ]
        values["targets"] = json_text(targets)
    if snapshots:
        values["fingerprint"] = operation.fingerprint
    if bounded:
        values.update(bounds(operation.version, operation.until))
    if keys:
        values["keys"] = json_text(operation.keys)
    cursor.execute(statement.text, statement.parameters(values))
    rows: list[Any] = cursor.fetchall()
    return rows


# Streams of one origin --------------------------------------------------------------------------


def runs(
    tables: ActorTables, *, single: bool, snapshots: bool, bounded: bool, keys: bool
) -> sa.ClauseElement:
    """Rows (n, header, sequence, tag, content), in no order.

    A target has a row for each event that its snapshot does not cover, or one without an event.
    Where those events are a run, the first row has a `_Header` as a JSON array: one value, for each
    column costs for each row.
    """
    origin = sa.bindparam("origin", type_=sa.Text())
    actor = _actors(tables, single=single)
    newest = _newest(tables, actor)
    found: Any = actor.outerjoin(newest, sa.true())
    header: list[Any] = [actor.c.mapping, actor.c.owner, actor.c.claimed, *newest.c]
    covered: sa.ColumnElement[Any] = sa.literal_column("0")
    if snapshots:
        usable = usable_snapshots(
            tables, postgresql, actor.c.actor_id, None, bounded=bounded
        ).lateral("usable")
        found = found.outerjoin(usable, sa.true())
        header += usable.c
        # Of a run it is the sequence; what the vector says is compared with it when it is read.
        covered = sa.func.coalesce(usable.c.version, covered)
    run = run_after(tables, actor.c.actor_id, origin, covered, more=["sequence"]).lateral("run")
    is_first = sa.or_(run.c.sequence.is_(None), run.c.sequence == covered + ONE)
    query = sa.select(
        actor.c.n,
        sa.case((is_first, sa.cast(sa.func.json_build_array(*header), sa.Text()))).label("header"),
        run.c.sequence,
        run.c.tag,
        sa.cast(run.c.content, sa.Text()),
    ).select_from(found.outerjoin(run, sa.true()))
    if not keys:
        return query
    blank, number = sa.cast(sa.null(), sa.Text()), sa.cast(sa.null(), sa.BigInteger())
    used = used_keys(tables)
    return query.union_all(sa.select(_KEY, blank, number, *used.c))


class _Header(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What is known of a target: whom it reaches, its newest event, its newest usable snapshot."""

    mapping: str | None
    owner: str | None
    claimed: int
    head: str | None
    head_sequence: int | None
    others: bool | None
    """Whether the stream has events of other origins."""
    snapshot: str | None = None
    state: msgspec.Raw = msgspec.Raw()
    vector: msgspec.Raw = msgspec.Raw()
    version: int | None = None
    last_event: str | None = None

    def stored(self) -> StoredSnapshot | None:
        """The snapshot, if there is one."""
        if self.snapshot is None or self.version is None or self.last_event is None:
            return None
        return StoredSnapshot(
            _hex(self.snapshot),
            bytes(self.state).decode(),
            bytes(self.vector).decode(),
            self.version,
            _hex(self.last_event),
        )


_header = msgspec.json.Decoder(_Header).decode


def _hex(uuid: str) -> str:
    return uuid.replace("-", "")


def _load_runs(operation: Load, rows: list[Any]) -> Loading | None:
    """What the rows say; None where a stream is no run."""
    previous = {}
    if operation.keys:
        previous = _previous(row[3:5] for row in rows if row[0] == KEY)
        rows = [row for row in rows if row[0] != KEY]
    single = len(operation.targets) == 1
    if len(rows) > 1:
        rows.sort(key=itemgetter(2) if single else itemgetter(0, 2))
    each = [rows] if single else [[*group] for _, group in groupby(rows, itemgetter(0))]
    actors: list[Loaded] = []
    for of_target in each:
        _, text, sequence, _, _ = of_target[0]
        if text is None:
            return None
        events = [] if sequence is None else [*map(itemgetter(3, 4), of_target)]
        header = _header(text)
        snapshot = header.stored()
        covered = 0 if snapshot is None else snapshot.version
        if header.others or covered + len(events) != (header.head_sequence or 0):
            return None
        vector = vector_of(snapshot)  # empty where it cannot be read: who replays passes it over
        if vector and vector.get(operation.origin) != covered:
            return None
        mapping = None if header.mapping is None else _hex(header.mapping)
        owner = Owner(
            None if header.owner is None else _hex(header.owner), bool(header.claimed), mapping
        )
        run = Run(operation.origin, _hex(header.head or ""), events)
        actors.append(Loaded(owner, snapshot, [], False, run))
    return Loading(actors, previous)


# Streams of any origins -------------------------------------------------------------------------


def streams(
    tables: ActorTables, *, single: bool, snapshots: bool, bounded: bool, keys: bool
) -> sa.ClauseElement:
    """Rows (n, kind, number, small, and five texts), in no order.

    The events are a range of index (actor_id, origin, sequence) for each origin.
    """
    event, actor = tables.events.c, _actors(tables, single=single)
    ordered = sa.select(event.origin).order_by(event.origin).limit(ONE)
    first = ordered.where(event.actor_id == actor.c.actor_id).scalar_subquery()
    origin = sa.select(actor.c.n, actor.c.actor_id, first.label("value")).cte(
        "origin", recursive=True
    )
    following = ordered.where(
        event.actor_id == origin.c.actor_id, event.origin > origin.c.value
    ).scalar_subquery()
    origin = origin.union_all(
        sa.select(origin.c.n, origin.c.actor_id, following).where(origin.c.value.is_not(None))
    )

    reaches = hex_id(actor.c.mapping), hex_id(actor.c.owner)
    rows = [_row(actor.c.n, MAPPING, sa.null(), actor.c.claimed, *reaches)]
    reached: Any = origin
    covered: sa.ColumnElement[Any] = sa.literal_column("0")
    if snapshots:
        of_actor = (
            sa.select(origin.c.value)
            .where(origin.c.n == actor.c.n, origin.c.value.is_not(None))
            .correlate(actor)
            .lateral("each_origin")
        )
        usable = usable_snapshots(
            tables, postgresql, actor.c.actor_id, of_actor, bounded=bounded
        ).lateral("usable")
        snapshot = (
            sa.select(actor.c.n, *usable.c)
            .select_from(actor.join(usable, sa.true()))
            .cte("snapshot")
            .prefix_with("MATERIALIZED")
        )
        rows.append(
            _row(
                snapshot.c.n,
                SNAPSHOT,
                snapshot.c.version,
                ONE,
                hex_id(snapshot.c.id),
                snapshot.c.state,
                snapshot.c.vector,
                hex_id(snapshot.c.last_event),
            )
        )
        reached = origin.outerjoin(snapshot, snapshot.c.n == origin.c.n)
        covered = at(snapshot.c.vector, origin.c.value)
    after = (
        sa.select(*stored_event(tables, postgresql))
        .where(
            event.actor_id == origin.c.actor_id,
            event.origin == origin.c.value,
            event.sequence > covered,
        )
        .order_by(event.sequence)
        .limit(sa.bindparam("limit", type_=sa.Integer()))
        .lateral("event")
    )
    texts = after.c.id, after.c.origin, after.c.seen, after.c.type, after.c.content
    rows.append(
        _row(origin.c.n, EVENT, after.c.sequence, after.c.type_version, *texts).select_from(
            reached.join(after, sa.true())
        )
    )
    if keys:
        rows.append(_row(_KEY, 0, ONE, ONE, *used_keys(tables).c))
    return sa.union_all(*rows)


def _load_streams(operation: Load, rows: list[Any]) -> Loading:
    rows.sort(key=itemgetter(0, 1, 4))
    actors: list[Loaded] = []
    for n, of_target in groupby(rows, key=itemgetter(0)):
        if n == KEY:
            continue
        owner, snapshot, events = Owner(None, False, None), None, []
        for _, kind, number, small, one, two, three, four, five in of_target:
            if kind == EVENT:
                events.append(StoredEvent(one, two, number, three, four, small, five))
            elif kind == MAPPING:
                owner = Owner(two, bool(small), one)
            else:
                snapshot = StoredSnapshot(one, two, three, number, four)
        actors.append(Loaded(owner, snapshot, *_cut(events, operation.limit)))
    return Loading(actors, _previous(row[4:6] for row in rows if row[0] == KEY))


def _cut(events: list[StoredEvent], limit: int) -> tuple[list[StoredEvent], bool]:
    if len(events) < limit:
        return events, False
    by_origin: dict[str, list[StoredEvent]] = {}
    for event in events:
        by_origin.setdefault(event.origin, []).append(event)
    return merge(list(by_origin.values()), limit)


# Parts of both ----------------------------------------------------------------------------------


def _newest(tables: ActorTables, actor: sa.CTE) -> sa.FromClause:
    """The newest event of an actor in the last origin, and whether there are `others`."""
    head, origin = tables.events.alias("h"), sa.bindparam("origin", type_=sa.Text())
    # The ends of the stream by origin: where both are of this one, all is.
    first = first_origin(tables, actor.c.actor_id, actor)
    others = sa.or_(head.c.origin != origin, first != origin)
    return (
        sa.select(head.c.id, head.c.sequence, others.label("others"))
        .where(head.c.actor_id == actor.c.actor_id)
        .order_by(head.c.origin.desc(), head.c.sequence.desc())
        .limit(ONE)
        .lateral("newest")
    )


def _actors(tables: ActorTables, *, single: bool) -> sa.CTE:
    """Whom each target reaches: its mapping, and else its native id."""
    target, digest = targets_of(single=single)
    claim = tables.id_map.alias("claim")
    owner = owner_of(tables, target, digest).lateral("owner")
    origin = sa.bindparam("origin", type_=sa.Text())
    claimed = sa.or_(
        sa.func.coalesce(owner.c.origin == origin, sa.false()),
        _is_there(target, claim.c.digest == digest, claim.c.origin == origin),
    )
    return (
        sa.select(
            target.c.n,
            owner.c.id.label("mapping"),
            owner.c.actor_id.label("owner"),
            sa.func.coalesce(owner.c.actor_id, target.c.native_id).label("actor_id"),
            sa.cast(claimed, sa.Integer()).label("claimed"),
        )
        .select_from(target.outerjoin(owner, sa.true()))
        .cte("actor")
    )


def _is_there(outer: sa.FromClause, *conditions: sa.ColumnElement[bool]) -> Any:
    """Whether a row is there, by one probe for each row of `outer`.

    An EXISTS would, where many rows ask, be made a hash of all of the table.
    """
    probe = sa.select(ONE).where(*conditions).limit(ONE).correlate(outer).scalar_subquery()
    return probe.is_not(None)


def _previous(of_keys: Iterable[Sequence[str]]) -> dict[str, str]:
    return {key: command_id for command_id, key in sorted(map(tuple, of_keys), reverse=True)}


def _row(n: Any, kind: int, number: Any, small: Any, *given: Any) -> sa.Select[Any]:
    """Five texts at most."""
    number = sa.cast(number, sa.BigInteger())
    small = sa.cast(small, sa.Integer())
    blank = sa.cast(sa.null(), sa.Text())
    columns = [n, sa.literal_column(str(kind)), number, small]
    columns += [sa.cast(text, sa.Text()) for text in given]
    columns += [blank] * (5 - len(given))
    return sa.select(*(column.label(f"c{at}") for at, column in enumerate(columns)))
