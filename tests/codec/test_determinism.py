"""Equal states are equal bytes, in every process."""

import os
import subprocess
import sys

PROGRAM = """
import dataclasses, datetime, decimal, enum, uuid
from spry_sqla.codec import OpenCodec, codec_for

class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"

@dataclasses.dataclass(frozen=True)
class Item:
    name: str
    tags: frozenset[str]

@dataclasses.dataclass
class State:
    words: set[str]
    either: set[str | int | bytes | None]
    items: set[Item]
    colors: frozenset[Color]
    nested: frozenset[frozenset[str]]
    default: frozenset[str] = frozenset("abc")

words = {f"word{n}" for n in range(30)}
state = State(words, words | {1, b"x", None}, {Item(w, frozenset(words)) for w in words},
              frozenset(Color), frozenset({frozenset(words), frozenset("ab")}))
codec = codec_for(State)
print(codec.encode(state))
print(codec.encode(codec.copy(state)))
print(codec.encode(codec.decode(codec.encode(state))))
print(codec.shape)
print(OpenCodec([Color]).encode({"a": words, "b": {Color.RED, Color.BLUE, 1}}))
"""


def run(seed: int) -> bytes:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
    ).stdout


def test_bytes_and_shape_do_not_depend_on_the_hash_seed() -> None:
    first, second = run(1), run(2)

    assert first == second
    encoded, copied, again, *_ = first.splitlines()
    assert encoded == copied == again
