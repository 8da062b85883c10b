"""The names of tables, constraints, indexes, triggers and functions, made from stored names.

PostgreSQL cuts a name at 63 bytes in silence, so that two long names would share one table; here a
long name is shortened before the database sees it, with a hash that keeps it apart from others.
SQLite has no limit: the names are the same on both.
"""

import hashlib
import unicodedata
from dataclasses import dataclass, field
from itertools import pairwise

from spry_sqla.errors import DefinitionError

LIMIT = 63
"""Bytes of UTF-8 in a name: `NAMEDATALEN - 1` of PostgreSQL."""

_HASHED = 8
_RESERVED = "sqlite_"


@dataclass(frozen=True, slots=True)
class Mark:
    """Whose a table is, in `table.info["spry"]`: what tells our tables from the host's."""

    prefix: str
    kind: str
    """The fixed last part of the table's name: `events`, `spry_epochs` …"""
    actor: str | None
    """The stored name of the actor; None for the tables that all actors share."""
    aliases: tuple[str, ...] = field(default=(), compare=False)
    """Former stored names of the actor."""


def snake_case(name: str) -> str:
    """The stored name of an actor as part of a table's name.

    >>> [snake_case(name) for name in ("PlayerCharacter", "HTTPServer", "game.Player-2")]
    ['player_character', 'http_server', 'game_player_2']
    """
    return "".join(_words(unicodedata.normalize("NFC", name))).lower()


def _words(name: str) -> list[str]:
    kept = [char if _belongs(char) else "_" for char in name]
    parts = kept[:1]
    for place, (before, char) in enumerate(pairwise(kept), start=1):
        after = kept[place + 1] if place + 1 < len(kept) else ""
        if _starts_word(before, char, after):
            parts.append("_")
        parts.append(char)
    return parts


def _belongs(char: str) -> bool:
    # Vowel signs of Indic scripts and the like are marks, not letters, and change the word.
    return char.isalnum() or unicodedata.category(char).startswith("M")


def _starts_word(before: str, char: str, after: str) -> bool:
    if not _is_capital(char) or before == "_":
        return False
    return not _is_capital(before) or after.islower()


def _is_capital(char: str) -> bool:
    return char.isupper() or char.istitle()


def table_name(prefix: str, actor: str, kind: str) -> str:
    """The name of one of an actor's tables: prefix, snake-cased actor, kind.

    Raises DefinitionError for a name or a prefix that no database can store.
    """
    checked("an actor", actor)
    return _table(prefix, f"{snake_case(actor)}_{kind}")


def shared_name(prefix: str, kind: str) -> str:
    """The name of a table or a function that all actors of one schema and prefix share."""
    return _table(prefix, kind)


def _table(prefix: str, rest: str) -> str:
    name = _checked_prefix(prefix) + rest
    if name.lower().startswith(_RESERVED):
        raise DefinitionError(
            f"the table name {name!r} begins with {_RESERVED!r}, which SQLite keeps to itself: "
            f"choose another prefix"
        )
    return shortened(name)


def _checked_prefix(prefix: str) -> str:
    # SQLAlchemy reads the names of SQLite's constraints out of the texts of their tables, and would
    # not know these again: every comparison would find them changed.
    if prefix and any(_breaks_texts(char) for char in checked("a prefix", prefix)):
        raise DefinitionError(
            f"the prefix {prefix!r} holds a double quote or a control character, by which Alembic "
            "could not compare tables on SQLite: choose another one, such as 'game_'"
        )
    return prefix


def _breaks_texts(char: str) -> bool:
    return char == '"' or unicodedata.category(char) == "Cc"


def checked_schema(schema: str | None) -> str | None:
    """The schema itself, or DefinitionError: it is the user's name and is never shortened."""
    if schema is not None:
        checked("a schema", schema)
        if len(schema.encode()) > LIMIT:
            raise DefinitionError(
                f"the schema's name {schema!r} has more than {LIMIT} bytes, at which PostgreSQL "
                f"cuts a name: choose a shorter one"
            )
    return schema


def checked(what: str, name: str) -> str:
    """The name itself, or DefinitionError if it is empty, holds NUL, or is not Unicode text."""
    if not isinstance(name, str):
        raise DefinitionError(f"the name of {what} must be a str, not {type(name).__name__}")
    if not name:
        raise DefinitionError(f"the name of {what} is empty")
    if "\0" in name:
        raise DefinitionError(f"the name of {what}, {name!r}, holds a NUL character")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise DefinitionError(f"the name of {what}, {name!r}, holds a lone surrogate") from error
    return name


def shortened(name: str) -> str:
    """The name, or its beginning with a hash of all of it where it has more than 63 bytes."""
    encoded = name.encode()
    if len(encoded) <= LIMIT:
        return name
    # A character that the limit would split is left out as a whole.
    beginning = encoded[: LIMIT - _HASHED - 1].decode(errors="ignore")
    return f"{beginning}_{hashlib.sha256(encoded).hexdigest()[:_HASHED]}"


def same_to_sqlite(name: str) -> str:
    """A key that is equal for names that SQLite takes for one: ASCII letters have no case there."""
    return "".join(char.lower() if char.isascii() else char for char in name)
