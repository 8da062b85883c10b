"""What was reported as stored is stored, and stays as it is: processes are really killed."""

from typing import Any

from hypothesis import strategies as st

from spry_conformance.crash import play_until_killed
from spry_conformance.domain import Account, Box, Contents, DepositEach, Keep, Open
from spry_conformance.lab import Broken, Lab, expect
from spry_conformance.properties.registry import promise
from spry_conformance.steps import Crash, Handle, HandleMany
from spry_conformance.strategies import handles, histories

OWNERS = ("Ada", "Bob")


def _batch(place: int, sizes: tuple[int, ...]) -> HandleMany:
    """Deposits that tell by their amounts which batch and which event of it they are."""
    first = 1000 * (place + 1)
    return HandleMany(
        tuple(
            DepositEach(OWNERS[which % 2], first + 100 * which, first + 100 * which + size)
            for which, size in enumerate(sizes)
        )
    )


_sizes = st.lists(st.sampled_from([1, 2, 60]), min_size=1, max_size=4).map(tuple)
crashes = st.builds(
    Crash,
    st.lists(_sizes, min_size=1, max_size=6).map(
        lambda drawn: tuple(_batch(place, sizes) for place, sizes in enumerate(drawn))
    ),
    st.integers(0, 5),
    st.sampled_from([0, 0, 300, 10_000, 50_000]),
)


@promise(
    "P08",
    "what-was-reported-survives",
    "What was reported as stored survives a killed process, and everything else is there wholly or "
    "not at all.",
    steps=st.tuples(crashes, crashes),
    needs=["durable"],
    tries=8,
)
def what_was_reported_survives(lab: Lab, steps: tuple[Any, ...]) -> None:
    lab.do(Handle(Open("Ada")))
    there: dict[str, list[int]] = {owner: [] for owner in OWNERS}
    for step in steps:
        lab.close_all()
        done = play_until_killed(
            lab.adapter, lab.domain, step.batches, reports=step.reports, spins=step.spins
        )
        possible = [_after(there, step.batches[:count]) for count in range(len(step.batches) + 1)]
        # A batch may be stored whose report was never sent; none after it.
        _expect_one_of(possible[done : done + 2], lab, done)
        # Killed in the midst of a commit, a process may leave one that is there from the next
        # writer on: LMDB tells readers of it last of all.
        lab.do(Handle(DepositEach("Eve", 0, 1)))
        there = _expect_one_of(possible[done : done + 2], lab, done)
    _work_on(lab, there)


def _expect_one_of(
    possible: list[dict[str, list[int]]], lab: Lab, done: int
) -> dict[str, list[int]]:
    """What is there. Raises Broken where it is nothing that is possible."""
    found = {owner: list(lab.accounts.fetch(owner=owner).entries) for owner in OWNERS}
    if found not in possible:
        raise Broken(
            f"{done} batches were reported as stored when the process was killed, and the "
            f"deposits that are there are {found}"
        )
    return found


def _after(before: dict[str, list[int]], batches: tuple[HandleMany, ...]) -> dict[str, list[int]]:
    after = {owner: list(entries) for owner, entries in before.items()}
    commands: list[Any] = [command for batch in batches for command in batch.commands]
    for command in commands:
        after[command.owner] += command.amounts
    return after


def _work_on(lab: Lab, there: dict[str, list[int]]) -> None:
    """Raises Broken where those who come after cannot work as if nothing had been."""
    for owner, entries in there.items():
        results = lab.do(Handle(DepositEach(owner, 7, 8)))
        expect(results.modified.entries, [*entries, 7], f"the deposits of {owner!r} afterwards")
        sequences = [event.sequence for event in lab.rows(owner=owner).events]
        expect(sequences, list(range(1, len(sequences) + 1)), f"the sequences of {owner!r}")


@promise(
    "P09",
    "rows-are-guarded",
    "The store itself refuses to change or to delete what is stored.",
    steps=histories(handles, most=5),
    needs=["guarded"],
    tries=5,
)
def rows_are_guarded(lab: Lab, steps: tuple[Any, ...]) -> None:
    lab.do(Handle(Open("Ada")))
    lab.do(Handle(Keep("a box", Contents())))
    for step in steps:
        try:
            lab.do(step)
        except Exception:  # noqa: BLE001, S112  (what a command raises is for other properties)
            continue
    before = lab.rows(owner="Ada"), lab.rows(Box, label="a box")
    assert lab.adapter.tamper is not None
    for actor in (Account, Box):
        attempts = list(lab.adapter.tamper(lab.storage().storage, actor))
        if not attempts:
            raise Broken("`tamper` gives no attempts, so that nothing is known of the guards")
        for place, attempt in enumerate(attempts):
            try:
                attempt()
            except Exception:  # noqa: BLE001, S112  (refused, as it must be)
                continue
            raise Broken(f"attempt {place} of `tamper` on {actor.__name__} was not refused")
    lab.reopen()
    expect((lab.rows(owner="Ada"), lab.rows(Box, label="a box")), before, "the rows afterwards")
