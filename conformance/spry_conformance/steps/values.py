"""Steps of identity and of values: names that are taken, rows that cannot be read, refusals."""

from dataclasses import dataclass

from spry_conformance.domain import Contents


@dataclass(frozen=True)
class MapDigest:
    """A mapping is put in, from a digest that was made up to one of the actors with made-up ids."""

    digest: bytes
    actor: int

    def __str__(self) -> str:
        return f"map the digest {self.digest.hex()} to the made-up actor {self.actor}"


@dataclass(frozen=True)
class Take:
    """An append is put in that gives an account a name, and does not ask whose that is."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"append, without asking, that the account of {self.owner!r} is {self.name!r}, too"


@dataclass(frozen=True)
class Refuse:
    """Something is tried that must be refused: a case of `refusals`."""

    case: str

    def __str__(self) -> str:
        return f"try {self.case}"


@dataclass(frozen=True)
class Spoil:
    """A row is put into an account's stream that the code cannot read: a case of `planted`."""

    owner: str
    case: str

    def __str__(self) -> str:
        return f"put into the stream of the account of {self.owner!r} {self.case}"


@dataclass(frozen=True)
class KeptElsewhere:
    """An event of another origin arrives: something is kept in a box."""

    label: str
    contents: Contents
    origin: str

    def __str__(self) -> str:
        return f"from {self.origin} arrives that {self.label!r} holds {self.contents!r}"


@dataclass(frozen=True)
class Jot:
    """A release of the notebook's code notes something: see `releases`."""

    release: int
    title: str
    lines: tuple[str, ...]
    key: str | None = None

    def __str__(self) -> str:
        key = "" if self.key is None else f" with the key {self.key!r}"
        return f"release {self.release} jots {list(self.lines)!r} in {self.title!r}{key}"
