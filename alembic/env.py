"""The library's own Alembic environment: a reference domain, on whose tables the tests run.

`alembic -x url=postgresql+psycopg://localhost/test upgrade head`; by default on an SQLite file.
Whoever calls Alembic from Python may hand over a connection, as `config.attributes["connection"]`.
"""

import sqlalchemy as sa

from alembic import context
from tests.domains.reference import METADATA

URL = context.get_x_argument(as_dictionary=True).get("url", "sqlite:///reference.db")


def migrate(connection: sa.Connection) -> None:
    context.configure(connection=connection, target_metadata=METADATA)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    context.configure(url=URL, target_metadata=METADATA, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
elif (given := context.config.attributes.get("connection")) is not None:
    migrate(given)
else:
    with sa.create_engine(URL, poolclass=sa.NullPool).connect() as opened:
        migrate(opened)
