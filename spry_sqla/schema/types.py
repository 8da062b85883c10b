"""What the columns of our tables hold, on each database, and what a database fills in by itself."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from spry_sqla.errors import UnusableValue


class _VerbatimJson(sa.types.UserDefinedType[str]):
    """`json` of PostgreSQL, in and out as the text that was written."""

    cache_ok = True
    # Drivers that ask for the type of a parameter are told; the value stays a str.
    render_bind_cast = True

    def get_col_spec(self, **_: Any) -> str:
        return "JSON"

    def column_expression(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        # Left alone, the driver would hand out dicts and lists, after reading floats as doubles.
        return sa.type_coerce(sa.cast(column, sa.Text), self)


class JsonText(sa.types.TypeDecorator[str]):
    """JSON text that the database can query: `json` on PostgreSQL, TEXT on SQLite; a str to us."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        text = _VerbatimJson() if dialect.name == "postgresql" else sa.Text()
        return dialect.type_descriptor(text)


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """A moment, UTC with microseconds: `timestamptz` on PostgreSQL, on SQLite sortable text."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        stored = sa.Text() if dialect.name == "sqlite" else sa.DateTime(timezone=True)
        return dialect.type_descriptor(stored)

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        if value is None:
            return None
        if value.utcoffset() is None:
            raise UnusableValue("a time without a zone cannot be stored: give it one")
        moment = value.astimezone(UTC)
        if dialect.name == "sqlite":
            return moment.isoformat(" ", "microseconds")
        return moment

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.astimezone(UTC)


# Defaults ---------------------------------------------------------------------------------------


class UtcNow(FunctionElement[datetime]):
    """The database's own clock, in the form in which `UtcDateTime` keeps a moment."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(UtcNow)
def _utc_now(_element: UtcNow, _compiler: SQLCompiler, **_: Any) -> str:
    return "CURRENT_TIMESTAMP"


@compiles(UtcNow, "sqlite")
def _utc_now_sqlite(_element: UtcNow, _compiler: SQLCompiler, **_: Any) -> str:
    return "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000+00:00')"


class TransactionNumber(FunctionElement[int]):
    """The number of the transaction at work: a function on PostgreSQL, given by hand elsewhere."""

    type = sa.BigInteger()
    inherit_cache = False

    def __init__(self, function: str, schema: str | None) -> None:
        super().__init__()
        # A Table, so that a translation of schemas reaches the function's name as it does others.
        self.function = sa.Table(function, sa.MetaData(), schema=schema)


@compiles(TransactionNumber)
def _no_transaction_number(_element: TransactionNumber, _compiler: SQLCompiler, **_: Any) -> str:
    return "NULL"


@compiles(TransactionNumber, "postgresql")
def _transaction_number(element: TransactionNumber, compiler: SQLCompiler, **_: Any) -> str:
    # A default is kept as the function's own number: it does not ask the search_path again.
    return f"{compiler.preparer.format_table(element.function)}()"
