"""The domain of the library's own Alembic environment: what most tests of behaviour are about.

Its actors come from three libraries, as an application's may: the tests' players, and the accounts
and the notebooks of the conformance kit. One MetaData has the tables of all.
"""

import sqlalchemy as sa

import spry_sqla as spry
from spry_conformance import domain, releases
from tests.domains import player

METADATA = sa.MetaData()

PLAYERS = spry.Domain(*player.TYPES, metadata=METADATA)
ACCOUNTS = spry.Domain(*domain.TYPES, metadata=METADATA)
NOTEBOOKS = spry.Domain(*releases.RELEASES[1].types, releases.RELEASES[1].actor, metadata=METADATA)
