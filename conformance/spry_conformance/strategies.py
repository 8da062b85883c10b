"""What histories are drawn from: few names, so that they meet, and numbers at the edges."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

from spry_conformance.domain import (
    AnyCommand,
    Deposit,
    Meddle,
    Open,
    Rename,
    Stumble,
    Withdraw,
)
from spry_conformance.steps import Fetch, Handle, HandleMany, Reopen

T = TypeVar("T")

owners = st.sampled_from(["Ada", "Bob", "Zo\u00eb", "Zoe\u0308", ""])
amounts = st.sampled_from([0, 1, 30, 2**70])
keys = st.none() | st.sampled_from(["k1", "k2", "k3"])
metadata = st.none() | st.sampled_from([{}, {"user": "eve"}])

deposits = st.builds(Deposit, owners, st.lists(amounts, max_size=4).map(tuple))
commands: st.SearchStrategy[AnyCommand] = st.one_of(
    st.builds(Open, owners),
    deposits,
    st.builds(Withdraw, owners, amounts),
    st.builds(Rename, owners, owners),
    st.builds(Meddle, owners, st.sampled_from([0, 7])),
    st.builds(Stumble, owners),
)
handles = st.builds(Handle, commands, keys, metadata)
batches = st.lists(st.tuples(commands, keys), min_size=1, max_size=5).map(
    lambda drawn: HandleMany(tuple(command for command, _ in drawn), tuple(key for _, key in drawn))
)
fetches = st.builds(Fetch, owners, st.none() | st.integers(0, 9))
reopenings = st.sampled_from(
    [  # few, for each is a domain of its own, and to make one takes long
        Reopen(0, 1, snapshot_during_read=True),
        Reopen(0, 3),
        Reopen(1, 1),
        Reopen(1, 3, snapshot_during_read=True),
    ]
)
by_writes = st.sampled_from(
    [
        Reopen(0, 1),
        Reopen(0, 1, snapshot_during_read=True),
        Reopen(0, 2),
        Reopen(0, 3, snapshot_during_read=True),
    ]
)
not_by_writes = st.sampled_from(
    [
        Reopen(0, 2, snapshot_during_read=True, snapshot_during_write=False),
        Reopen(0, 1, snapshot_during_write=False),
    ]
)


def most_of(cases: Iterable[T]) -> st.SearchStrategy[tuple[T, ...]]:
    """Nearly all of some cases in each history, so that each run tries each; at the least none."""
    each = [st.sampled_from([(), *[(case,)] * 126]) for case in cases]
    return st.tuples(*each).map(lambda drawn: tuple(case for some in drawn for case in some))


def most_scenes(scenes: Iterable[Sequence[T]]) -> st.SearchStrategy[tuple[T, ...]]:
    """The steps of nearly all of some short histories, one after the other."""
    return most_of(scenes).map(lambda drawn: tuple(step for scene in drawn for step in scene))


def histories(
    *steps: st.SearchStrategy[Any], least: int = 1, most: int = 15
) -> st.SearchStrategy[tuple[Any, ...]]:
    """Histories of so many steps of these kinds."""
    return st.lists(st.one_of(*steps), min_size=least, max_size=most).map(tuple)


def long_histories(*steps: st.SearchStrategy[Any], most: int = 40) -> st.SearchStrategy[Any]:
    """Histories of about fifteen steps, which `histories` seldom draws, and at most so many."""
    some = st.lists(st.one_of(*steps), min_size=1, max_size=5)
    return st.lists(some, min_size=1, max_size=most // 5).map(
        lambda drawn: tuple(step for each in drawn for step in each)
    )
