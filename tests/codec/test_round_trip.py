"""What goes in comes out, equal in value and type."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spry_sqla.codec import Codec, codec_for

from .values import KINDS, SCALARS, annotated, make_class, make_value, same

FAST = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def check(codec: Codec[Any], value: Any) -> None:
    """A value comes back by every way, and its copies are the same."""
    content = codec.encode(value)
    assert same(value, codec.decode(content))
    parsed = msgspec.json.decode(content)
    assert same(value, codec.decode_builtins(parsed))
    assert parsed == msgspec.json.decode(content), "decoding changed what it was given"
    assert codec.encode(codec.decode(content)) == content
    assert same(value, codec.copy(value))
    if codec.native is not None:
        try:
            native = codec.native(content)
        except msgspec.ValidationError:
            return
        assert same(value, native), "msgspec misread what it should have refused"


@pytest.mark.parametrize("kind", KINDS)
@FAST
@given(data=st.data())
def test_a_value_of_any_annotation_comes_back(kind: str, data: st.DataObject) -> None:
    drawn = data.draw(st.lists(annotated, min_size=1, max_size=2))
    cls = make_class(kind, {f"field_{place}": each[0] for place, each in enumerate(drawn)})
    codec: Codec[Any] = codec_for(cls)

    value = make_value(
        cls, {f"field_{place}": data.draw(each[1]) for place, each in enumerate(drawn)}
    )

    check(codec, value)


@pytest.mark.parametrize(("annotation", "values"), SCALARS, ids=[str(each[0]) for each in SCALARS])
def test_a_single_value_comes_back_alone_and_as_element_and_key(
    annotation: Any, values: st.SearchStrategy[Any]
) -> None:
    cls = make_class(
        "dataclass",
        {
            "one": annotation,
            "many": list[annotation],
            "keys": dict[annotation, int],
            "some": set[annotation],
            "maybe": annotation | None if annotation is not type(None) else None,
        },
    )
    codec: Codec[Any] = codec_for(cls)

    @settings(FAST, max_examples=15)
    @given(values, st.lists(values, max_size=3))
    def every(value: Any, more: list[Any]) -> None:
        check(codec, cls(value, more, dict.fromkeys(more, 1), set(more), None))
        check(codec, cls(value, more, {value: 0}, {value}, value))

    every()


@dataclass
class Weight:
    grams: float = 0.0
    pieces: int = 0


@pytest.mark.parametrize("sign", [1, -1])
def test_integers_have_no_bounds_in_either_direction(sign: int) -> None:
    for value in (Weight(pieces=sign * 2**20_000), Weight(grams=sign * 2**20_000)):
        check(codec_for(Weight), value)
