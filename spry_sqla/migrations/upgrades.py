"""What turns tables of one format into those of the next.

A version of the library that makes tables of another format brings a step with it. Autogenerate
finds databases of an older format, and writes `op.upgrade_spry_tables`, which runs the steps.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine.mock import MockConnection

Step: TypeAlias = Callable[[Sequence[sa.Table], sa.Connection | MockConnection], None]
"""Changes tables of the format before, without their guards, which are made anew afterwards.

It is given the tables as this version of the library makes them: the shared ones, then five for
each actor. It also runs offline, where it can ask the database nothing.
"""

STEPS: Mapping[int, Step] = {}
"""Format → the step to it from the format before. There is no format but the first yet."""
