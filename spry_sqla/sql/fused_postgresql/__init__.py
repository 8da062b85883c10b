"""PostgreSQL: a whole load in one statement, and what its rows mean; a whole append in one.

Both run in autocommit: a statement is a transaction, so an append is one round trip and one fsync.
Both answer as the four stores would.
"""

from spry_sqla.sql.fused_postgresql.appending import append, holds
from spry_sqla.sql.fused_postgresql.loading import load

__all__ = ["append", "holds", "load"]
