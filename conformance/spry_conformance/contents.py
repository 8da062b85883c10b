"""Strategies of values: all fields of a box's contents, and identifiers of every kind."""

from datetime import UTC, timedelta, timezone

from hypothesis import strategies as st

from spry_conformance.domain import Coin, Contents, Number, Side
from spry_conformance.edges import (
    DAYS,
    EXACTS,
    HOURS,
    MOMENTS,
    NUMBERS,
    RAWS,
    REALS,
    SPANS,
    TEXTS,
    UUIDS,
    WHOLES,
)

texts = st.text(max_size=6) | st.sampled_from([text for text in TEXTS if len(text) < 50])
wholes = st.integers() | st.sampled_from(WHOLES)
reals = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(REALS)
exacts = st.decimals(allow_nan=False, allow_infinity=False) | st.sampled_from(EXACTS)
offsets = st.one_of(
    st.none(),
    st.just(UTC),
    st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone),
)
folds = st.sampled_from([0, 0, 1])
moments = st.sampled_from(MOMENTS) | st.builds(
    lambda moment, offset, fold: moment.replace(tzinfo=offset, fold=fold),
    st.datetimes(),
    offsets,
    folds,
)
days = st.dates() | st.sampled_from(DAYS)
hours = st.sampled_from(HOURS) | st.builds(
    lambda hour, offset, fold: hour.replace(tzinfo=offset, fold=fold), st.times(), offsets, folds
)
spans = st.timedeltas() | st.sampled_from(SPANS)
uuids = st.uuids() | st.sampled_from(UUIDS)
raws = st.binary(max_size=8) | st.sampled_from(RAWS)
sides = st.sampled_from(Side)
coins = st.builds(Coin, exacts, sides)

contents: st.SearchStrategy[Contents] = st.builds(
    Contents,
    text=texts,
    whole=wholes,
    truth=st.booleans(),
    real=reals,
    exact=exacts,
    moment=st.none() | moments,
    day=st.none() | days,
    hour=st.none() | hours,
    span=spans,
    key=st.none() | uuids,
    raw=raws,
    side=st.none() | sides,
    coin=st.none() | coins,
    either=st.none() | wholes | texts | coins,
    row=st.none() | st.tuples(wholes, texts, exacts),
    items=st.lists(exacts, max_size=3),
    coins=st.lists(coins, max_size=2).map(tuple),
    words=st.frozensets(texts, max_size=3),
    numbers=st.dictionaries(wholes, texts, max_size=3),
    days=st.dictionaries(days, st.lists(raws, max_size=2), max_size=2),
    pairs=st.dictionaries(st.tuples(wholes, texts), st.booleans(), max_size=2),
)

numbers: st.SearchStrategy[Number] = st.one_of(
    st.sampled_from([number for number in NUMBERS if len(repr(number)) < 100]),
    st.text(max_size=3),
    st.integers(-2, 2),
    st.integers(),
    st.booleans(),
    st.uuids(),
    st.dates(),
    st.datetimes(),
    st.decimals(allow_nan=False, allow_infinity=False, places=2),
    sides,
)
