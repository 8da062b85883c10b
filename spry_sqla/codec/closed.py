"""The codec of one registered class.

Its plan encodes, and so checks. To decode, msgspec's typed decoder comes first where it agrees
with the plan; what it refuses is left to the plan, which knows the unusual forms and says where
something does not fit.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import msgspec

from spry_sqla.codec.annotations import Plans
from spry_sqla.codec.copying import Copier
from spry_sqla.codec.plans import DEEP, MISFIT, Refused, parsed, reached_from, write
from spry_sqla.codec.sharing import Sharing
from spry_sqla.errors import UnreadableContent, UnusableValue

T = TypeVar("T")


class Codec(Generic[T]):
    """Keeps values of one class, with all that its annotations reach.

    `shape` describes the class, its fields and their types, the same in every process; `classes`
    are the enums and nested classes that its annotations reach.
    """

    def __init__(self, cls: type[T]) -> None:
        plan = Plans().of_class(cls)
        reached = list(reached_from(plan))
        self.cls = cls
        self.classes: frozenset[type] = frozenset(each.source for each in reached if each.source)
        self.shape: str = "\n".join(
            dict.fromkeys(each.shape for each in (plan, *reached) if each.shape)
        )
        self._to_json = plan.to_json
        self._from_json = plan.from_json
        self._copy = Copier((*self.classes, cls))
        self._shared = Sharing((*self.classes, cls))
        self.native: Callable[[str], T] | None = None
        """Decodes most contents, faster; what it does not take (MISFIT) is for `decode`."""
        if plan.native and all(each.native for each in reached):
            try:
                self.native = msgspec.json.Decoder(cls).decode
            except Exception:  # noqa: BLE001  # msgspec reads annotations in its own way: then without it
                self.native = None

    def encode(self, value: T) -> str:
        """Return JSON text. Raises UnusableValue, which names the field and the type."""
        try:
            return write(self._to_json(value)).decode()
        except Refused as error:
            refused = error
        except RecursionError:
            refused = Refused(DEEP)
        raise UnusableValue(refused.message(self.cls.__name__))

    def keep(self, value: T) -> tuple[str, T]:
        """Return JSON text, and the value that it will be read as.

        Raises UnusableValue, too, where it cannot be read: for what is stored is never taken back.
        """
        content = self.encode(value)
        try:
            return content, self.decode(content)
        except UnreadableContent as error:
            refused = error
        raise UnusableValue(
            f"{refused}, so that it would be stored and never be read; give what its class accepts"
        ) from refused.__cause__

    def decode(self, content: str) -> T:
        """Return the value. Raises UnreadableContent, which names the class and field."""
        if self.native is not None:
            try:
                return self.native(content)
            except MISFIT:
                pass  # unusual values are written in a form that only the plan reads
        return self.decode_builtins(self.parse(content))

    def parse(self, content: str) -> Any:
        """Return the JSON as built-in values, for an upcast. Raises UnreadableContent."""
        try:
            return parsed(content)
        except Refused as error:
            refused = error
        raise UnreadableContent(refused.message(self.cls.__name__))

    def decode_builtins(self, content: Any) -> T:
        """The same from parsed JSON, as an upcast returns it; `content` is not changed."""
        try:
            value: T = self._from_json(content)
        except Refused as error:
            refused = error
        except RecursionError:
            refused = Refused(DEEP)
        else:
            return value
        raise UnreadableContent(refused.message(self.cls.__name__))

    def copy(self, value: T) -> T:
        """Return an equal value that shares no mutable part, undeclared attributes included."""
        try:
            copied: T = self._copy(value)
        except Refused as error:
            refused = error
        else:
            return copied
        raise UnusableValue(refused.message(self.cls.__name__))

    def lost(self, value: T) -> str | None:
        """Return where a value that can be encoded holds one mutable part twice, else None.

        Decoding makes two of it, such as `Player.last and Player.lines[]`, and what changes one
        later would not change the other. It is all that a value loses: `encode` refuses the rest.
        """
        paths = self._shared(value)
        if paths is None:
            return None
        return " and ".join(f"{self.cls.__name__}{path}" for path in paths)


def codec_for(cls: type[T]) -> Codec[T]:
    """Return a codec. Raises UnusableType, which names class, field, annotation and remedy."""
    return Codec(cls)
