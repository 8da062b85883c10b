"""What an application is shown, searched for ids of the library."""

import re
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import spry_sqla as spry
from spry_conformance.lab import Broken

_LIKE_AN_ID = re.compile(
    r"(?<![0-9a-f])[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}(?![0-9a-f])",
    re.IGNORECASE,
)


def texts_of(outcome: Any) -> Iterator[str]:
    """What can be read of an answer or an error, its causes and notes included."""
    if isinstance(outcome, list):
        for each in outcome:
            yield from texts_of(each)
    elif isinstance(outcome, spry.Results):
        yield from (repr(outcome), str(outcome))
        for error in outcome.errors:
            yield from texts_of(error)
    elif isinstance(outcome, BaseException):
        yield from _texts_of_error(outcome)
    else:
        yield from (repr(outcome), str(outcome))


def _texts_of_error(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        # What a driver says is its own; what the library makes of it is the application's.
        if isinstance(error, spry.SpryError):
            yield from (str(error), repr(error), repr(vars(error)), repr(error.args))
            yield from getattr(error, "__notes__", ())
        error = error.__cause__ or error.__context__


def expect_none_of(ids: Iterable[str], shown: Iterable[tuple[str, str]], *, given: str) -> None:
    """Raises Broken where a text shows an id, or what looks like one and was not `given`."""
    forms = {form for each in ids for form in _forms(UUID(each))}
    wanted = re.compile("|".join(map(re.escape, sorted(forms))) or "(?!)", re.IGNORECASE)
    for what, text in shown:
        if found := wanted.search(text):
            raise Broken(f"{what}: an id of the library is shown, as {found[0]!r}, in {text!r}")
        for like in _LIKE_AN_ID.finditer(text):
            if like[0] not in given:
                raise Broken(f"{what}: what looks like an id is shown: {like[0]!r}, in {text!r}")


def _forms(id: UUID) -> Iterator[str]:
    yield from (id.hex, str(id), str(id.int), repr(id.bytes)[2:-1])
