"""Tries a property on an adapter: draws histories, plays each in a lab, and finds the smallest."""

import os
import random
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from traceback import format_exception

from hypothesis import HealthCheck, Phase, example, given, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.errors import Flaky

from spry_conformance.adapter import Adapter
from spry_conformance.history import History, known_histories
from spry_conformance.lab import Broken, Lab
from spry_conformance.properties import Property

PROFILES = {"quick": 0.2, "default": 1.0, "thorough": 15.0}
"""Profile → how many times the tries of the default one; two tries at least."""

NOT_EACH_TIME = " (not each time that the history is played, as it goes with threads)"


class Verdict(Enum):
    """How a property fared."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_CLAIMED = "not claimed"


@dataclass(frozen=True)
class Outcome:
    """How a property fared on an adapter.

    `tried` counts histories, `seconds` what they took. Of a failure: `seen` says what was not as
    promised, `history` is the smallest that shows it, `trace` where the error came from. `lacking`
    are capabilities that are not claimed: needed ones, or, of what was tried, ones that would have
    made it try more.
    """

    property: Property
    adapter: str
    verdict: Verdict
    tried: int = 0
    seconds: float = 0.0
    seed: int | None = None
    seen: str = ""
    history: History | None = None
    trace: str = ""
    lacking: tuple[str, ...] = ()

    def tell(self) -> str:
        """A failure in full."""
        assert self.history is not None
        return "\n".join(
            [
                f"{self.property.title} does not hold on {self.adapter}",
                f"promised: {self.property.promise}",
                f"seen:     {self.seen}",
                "the smallest history that shows it:",
                str(self.history),
                "",
                "to play it again, save this line as history.json, and run",
                "`spry-conformance replay history.json module:adapter`:",
                self.history.to_json(),
                "",
                self.trace,
            ]
        )


def seed_of(given_seed: int | None) -> int:
    """The seed that was asked for; in CI always the same one, elsewhere a new one."""
    if given_seed is not None:
        return given_seed
    return 0 if os.environ.get("CI") else random.randrange(2**32)


def run(
    property: Property,
    adapter: Adapter,
    *,
    profile: str = "default",
    with_seed: int | None = None,
    database: Path | None = None,
    shrink: bool = True,
) -> Outcome:
    """Try a property. `database` is a folder where failures are kept, to be tried first next time.

    Without `shrink` the first history that fails is told, however long it is.

    What goes wrong is in the outcome; raised is KeyError for an unknown profile.
    """
    lacking = tuple(adapter.lacks(sorted(property.needs)))
    if lacking:
        return Outcome(property, adapter.name, Verdict.NOT_CLAIMED, lacking=lacking)
    without = tuple(adapter.lacks(sorted(property.uses)))
    started, seeded = time.perf_counter(), seed_of(with_seed)
    tried, failed = 0, History(property.number, ())
    wrong: BaseException | None = None

    @seed(seeded)
    @settings(
        # The first that hypothesis draws is the smallest, which shows little.
        max_examples=max(2, round(property.tries * PROFILES[profile])),
        database=None if database is None else _kept(database / adapter.name / property.number),
        derandomize=False,  # as the profile of hypothesis may have it in CI: it refuses a database
        deadline=None,
        print_blob=False,
        report_multiple_bugs=False,
        phases=(Phase.explicit, Phase.reuse, Phase.generate, *[Phase.shrink] * shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(history=property.histories_on(adapter))
    def holds(history: History) -> None:
        nonlocal tried, failed, wrong
        tried += 1
        try:
            play(property, adapter, history)
        except BaseException as error:
            failed, wrong = history, error  # the last one that hypothesis tries is the smallest
            raise

    for each in known_histories().get(property.number, ()):
        holds = example(history=each)(holds)
    try:
        holds()
    except Exception as error:  # noqa: BLE001  (whatever it is, the property does not hold)
        return Outcome(
            property,
            adapter.name,
            Verdict.FAILED,
            tried,
            time.perf_counter() - started,
            seeded,
            seen(wrong or error) + NOT_EACH_TIME * isinstance(error, Flaky),
            failed,
            "".join(format_exception(error)),
            without,
        )
    seconds = time.perf_counter() - started
    return Outcome(property, adapter.name, Verdict.PASSED, tried, seconds, seeded, lacking=without)


def play(property: Property, adapter: Adapter, history: History) -> None:
    """Play one history. Raises where the promise is broken."""
    with Lab(adapter) as lab:
        property.check(lab, history.steps)


def _kept(folder: Path) -> DirectoryBasedExampleDatabase:
    folder.mkdir(parents=True, exist_ok=True)
    return DirectoryBasedExampleDatabase(folder)


def seen(error: BaseException) -> str:
    """What was seen, in one sentence."""
    if isinstance(error, Broken):
        return str(error)
    return f"{type(error).__name__}: {error}"
