"""The floor's statements on sqlite3: WAL, `synchronous=FULL`, the module's statement cache."""

import sqlite3
from collections.abc import Sequence

import spry_sqla as spry
from spry_sqla.schema import ActorTables
from tests.benchmarks.floor import ORIGIN, Found, Rows
from tests.benchmarks.game import State


class SqliteLink:
    taken = sqlite3.IntegrityError

    def __init__(self, path: str, domain: spry.Domain, actor: type[State]) -> None:
        self._connection = sqlite3.connect(
            path, timeout=30, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._cursor = self._connection.cursor()
        kind = domain.actor(actor)
        self._fingerprint = kind.fingerprint
        self._made = _Texts(kind.tables, domain.shared.transactions.name)

    def close(self) -> None:
        self._connection.close()

    def load(self, digest: bytes) -> Found | None:
        cursor, texts = self._cursor, self._made
        owner = cursor.execute(texts.owner, (digest,)).fetchone()
        if owner is None:
            return None
        snapshot = cursor.execute(texts.snapshot, (owner[0], self._fingerprint)).fetchone()
        after = 0 if snapshot is None else snapshot[1]
        return Found(owner[0], snapshot, cursor.execute(texts.events, (owner[0], after)).fetchall())

    def load_many(self, digests: Sequence[bytes]) -> dict[bytes, Found]:
        loaded = ((digest, self.load(digest)) for digest in dict.fromkeys(digests))
        return {digest: found for digest, found in loaded if found is not None}

    def append(self, rows: Rows) -> None:
        cursor, texts = self._cursor, self._made
        cursor.execute("BEGIN IMMEDIATE")
        try:
            cursor.execute(texts.transaction, (rows.commands[0][-1],))
            number = (cursor.lastrowid,)
            events = [row + number for row in rows.events]
            for text, many in (
                (texts.commands, rows.commands),
                (texts.insert_events, events),
                (texts.mappings, rows.mappings),
                (texts.snapshots, rows.snapshots),
            ):
                if len(many) == 1:
                    cursor.execute(text, many[0])
                elif many:
                    cursor.executemany(text, many)
            cursor.execute("COMMIT")
        except BaseException:
            cursor.execute("ROLLBACK")
            raise


class _Texts:
    def __init__(self, tables: ActorTables, transactions: str) -> None:
        self.owner = f"SELECT actor_id FROM {tables.id_map.name} WHERE digest = ?"
        self.snapshot = (
            f"SELECT state, version FROM {tables.snapshots.name} "
            "WHERE actor_id = ? AND fingerprint = ? ORDER BY last_event DESC, id DESC LIMIT 1"
        )
        self.events = (
            f"SELECT type, content FROM {tables.events.name} "
            f"WHERE actor_id = ? AND origin = '{ORIGIN}' AND sequence > ? ORDER BY sequence"
        )
        self.transaction = f"INSERT INTO {transactions} (since) VALUES (?)"
        self.commands = _insert(tables.commands.name, 12)
        self.insert_events = _insert(tables.events.name, 15)
        self.mappings = _insert(tables.id_map.name, 7)
        self.snapshots = _insert(tables.snapshots.name, 11)


def _insert(table: str, columns: int) -> str:
    return f"INSERT INTO {table} VALUES ({', '.join('?' * columns)})"
