"""The library's own Alembic environment: migrations of a reference domain, which the tests run.

`alembic -x url=postgresql+psycopg://localhost/test upgrade head`; by default on an SQLite file.
"""

import sqlalchemy as sa

from alembic import context
from tests.domains import player

URL = context.get_x_argument(as_dictionary=True).get("url", "sqlite:///reference.db")
METADATA = player.domain().metadata

if context.is_offline_mode():
    context.configure(url=URL, target_metadata=METADATA, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    engine = sa.create_engine(URL, poolclass=sa.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=METADATA)
        with context.begin_transaction():
            context.run_migrations()
