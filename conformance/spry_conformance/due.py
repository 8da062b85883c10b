"""Which snapshots are due, by the rules of `ActorMeta`, of the accounts that the model has."""

import spry_sqla as spry
from spry_conformance.domain import Account
from spry_conformance.model import Model


class Due:
    """Versions of the newest snapshots, by the rules: (place among actors, revision) → version."""

    def __init__(self) -> None:
        self.meta = spry.ActorMeta()
        self._newest: dict[tuple[int, int], int] = {}

    def newest(self, place: int) -> int:
        """The version of an actor's newest snapshot, for the code that there is now; 0 for none."""
        return self._newest.get((place, self.meta.revision), 0)

    def written(self, place: int, version: int) -> None:
        """An append has brought an actor to a version."""
        if self.meta.snapshot_during_write:
            self._taken_if_due(place, version)

    def read(self, place: int, version: int) -> None:
        """An actor was fetched as it is."""
        if self.meta.snapshot_during_read:
            self._taken_if_due(place, version)

    def taken(self, place: int, version: int) -> None:
        """A snapshot was stored."""
        self._newest[place, self.meta.revision] = max(version, self.newest(place))

    def _taken_if_due(self, place: int, version: int) -> None:
        if version >= self.newest(place) + self.meta.snapshot_frequency:
            self.taken(place, version)


def lengths(model: Model[Account]) -> list[int]:
    """How many events each actor has, the oldest actor first."""
    return [len(model.history(identifiers)) for identifiers in model.actors()]


def place_of(model: Model[Account], owner: str) -> int | None:
    """The place of an actor among those that there are."""
    wanted = model.history({"owner": owner})
    for place, identifiers in enumerate(model.actors()):
        if model.history(identifiers) is wanted:
            return place
    return None
