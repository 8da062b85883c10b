"""A command on its way: checked and encoded before anything is sent."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from spry_sqla.domain import Kind
from spry_sqla.errors import UnusableValue
from spry_sqla.identity import canonical
from spry_sqla.operations import Target
from spry_sqla.reading import Context, target_named

A = TypeVar("A")

KEY_LENGTH = 255
"""Characters of an idempotency key at most: what every database can index."""


class Envelope(msgspec.Struct, frozen=True):
    """A command, checked and encoded, on its way."""

    command: Any
    kind: Kind[Any]
    content: str
    target: Target
    identifiers: str
    key: str | None
    metadata: str | None
    received_at: str


def seal(
    context: Context[A],
    command: Any,
    idempotency_key: str | None = None,
    metadata: Any = None,
) -> Envelope:
    """Check and encode a command before anything is sent.

    Raises NotRegistered, UnusableValue, UnusableIdentifiers.
    """
    kind = context.domain.command(type(command))
    text = canonical_of(command)
    if idempotency_key is not None:
        _check_text("an idempotency key", idempotency_key)
    if metadata is not None and (
        not isinstance(metadata, Mapping) or not all(type(key) is str for key in metadata)
    ):
        raise UnusableValue("metadata must be a mapping of names (str) to values")
    content, _ = kind.codec.keep(command)
    return Envelope(
        command,
        kind,
        content,
        target_named(context.kind.name, text),
        text,
        idempotency_key,
        context.domain.open_codec.encode(dict(metadata)) if metadata else None,
        datetime.now(UTC).isoformat(" ", "microseconds"),
    )


def canonical_of(addressed: Any) -> str:
    """The canonical text of what something calls itself. Raises UnusableIdentifiers."""
    return canonical(addressed.identifiers())


def _check_text(what: str, text: Any) -> None:
    if type(text) is not str or not 0 < len(text) <= KEY_LENGTH:
        raise UnusableValue(f"{what} must be text (str) of 1 to {KEY_LENGTH} characters")
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise UnusableValue(f"{what} holds a NUL or a lone surrogate, which cannot be kept")
