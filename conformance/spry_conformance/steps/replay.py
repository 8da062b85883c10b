"""Steps of reading, of snapshots from a foreign hand, of events from elsewhere."""

from dataclasses import dataclass

from spry_conformance.domain import AnyCommand


@dataclass(frozen=True)
class Look:
    """A read of an account, of any kind: fetch, get, exists, history or actors.

    A fetch may be as of a version, and of the time of the account's event number `entry`.
    """

    how: str
    owner: str
    version: int | None = None
    entry: int | None = None

    def __str__(self) -> str:
        told = "ask for all actors" if self.how == "actors" else f"{self.how} owner={self.owner!r}"
        if self.version is not None:
            told += f" at version {self.version}"
        return told + (f" at the time of event {self.entry}" if self.entry is not None else "")


@dataclass(frozen=True)
class Forge:
    """A foreign hand puts in a snapshot of an account: the whole state is a balance of `mark`.

    `version` is how many events it says that it holds, all that there are where it is None. `code`
    says whose fingerprint it has: "this", "revision 1", or what is nearly this one. `state` and
    `vector` stand in the row instead of right ones; of an unknown last event nothing is stored.
    """

    owner: str
    mark: int
    version: int | None = None
    code: str = "this"
    state: str | None = None
    vector: str | None = None
    unknown_last: bool = False

    def __str__(self) -> str:
        version = "" if self.version is None else f" of version {self.version}"
        told = f"put in a snapshot of owner={self.owner!r}{version}"
        told += f" whose balance is {self.mark}" if self.state is None else f": {self.state}"
        if self.code != "this":
            told += f", its fingerprint: {self.code}"
        if self.vector is not None:
            told += f", its vector: {self.vector}"
        return told + ", its last event not stored" * self.unknown_last


@dataclass(frozen=True)
class Dawdle:
    """A reader of an account was slow: it stores only now what it took at a version."""

    owner: str
    version: int

    def __str__(self) -> str:
        return f"a slow reader stores its snapshot of owner={self.owner!r} at {self.version}"


@dataclass(frozen=True)
class Lose:
    """An append of a deposit comes too late: another has its place. It brings a snapshot along.

    `then` says whether the same event is stored after all, at the next place.
    """

    owner: str
    then: bool

    def __str__(self) -> str:
        told = f"append a stale deposit, and a snapshot, to owner={self.owner!r}"
        return told + ("; then append it where there is a place" if self.then else "")


@dataclass(frozen=True)
class Abandon:
    """Commands are handled in a transaction that is rolled back."""

    commands: tuple[AnyCommand, ...]

    def __str__(self) -> str:
        return f"handle {list(self.commands)!r} in a transaction, and roll it back"


@dataclass(frozen=True)
class Elsewhere:
    """Another replica makes a deposit to Ada's account, and nobody is told yet.

    It has heard all that the origins in `heard` know of, and its clock stands still, ahead of this
    machine's clock, behind it, or where that was in the beginning, as the replica's name says.
    """

    origin: str
    heard: tuple[str, ...] = ()

    def __str__(self) -> str:
        heard = f", which has heard {', '.join(self.heard)}," if self.heard else ""
        return f"{self.origin}{heard} deposits"


@dataclass(frozen=True)
class Arrive:
    """Of the events from elsewhere that are not here yet, one arrives."""

    which: int

    def __str__(self) -> str:
        return f"of what is not here yet, event {self.which} arrives"


@dataclass(frozen=True)
class Crowd:
    """So many other actors come, each with two events."""

    actors: int

    def __str__(self) -> str:
        return f"{self.actors} other actors come"


@dataclass(frozen=True)
class Long:
    """An account gets so many events, in one append."""

    owner: str
    events: int

    def __str__(self) -> str:
        return f"owner={self.owner!r} gets {self.events} events at once"


@dataclass(frozen=True)
class FreshProcess:
    """Another interpreter opens the data, with another seed of hashes."""

    hash_seed: int

    def __str__(self) -> str:
        return f"open the data in a process whose PYTHONHASHSEED is {self.hash_seed}"
