"""The database: where it is, and the application's own tables in it."""

import os

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

URL = os.environ.get("DATABASE_URL", "sqlite+aiosqlite:///box_office.db")


class Base(DeclarativeBase):
    """Its metadata is what Alembic compares, beside that of the shows."""


class Customer(Base):
    """Someone who buys tickets."""

    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100))
    email: Mapped[str] = mapped_column(sa.String(100), unique=True)


class Order(Base):
    """An order of tickets: there is one for each event `TicketsSold`."""

    __tablename__ = "orders"
    show: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customers.id"), index=True)
    tickets: Mapped[int]
    taken_back: Mapped[bool] = mapped_column(default=False)
