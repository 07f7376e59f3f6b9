"""Column types and the few forms that columns have here."""

from datetime import UTC, datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Text,
    TypeDecorator,
)
from sqlalchemy import text as sql_text
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Options(TypedDict, total=False):
    """What a column may be beside its name and type."""

    primary_key: bool
    nullable: bool
    unique: bool
    index: bool
    server_default: str  # for rows that are older than the column


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: aware when it goes in, aware and in UTC when it comes back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return SQLite's text form without a zone, which sorts as the moments do."""
        return dialect.type_descriptor(DateTime(timezone=dialect.name != "sqlite"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment in UTC. Raises ValueError for a naive one."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("the store takes only datetimes with a zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the moment, aware, in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class SafeText(TypeDecorator[str]):
    """Text from anywhere: what no database can hold (NUL, lone surrogates) is replaced.

    A peer's padding must not make a row unwritable, for then its image would never be indexed.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return `value` as every database takes it."""
        del dialect
        if value is None:
            return None
        return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _never_null(options: Options) -> Options:
    return {"nullable": False, **options}


BigId = BigInteger().with_variant(Integer(), "sqlite")


def key() -> Column[Any]:
    """Return the numbered primary key."""
    return Column("id", BigId, primary_key=True, autoincrement=True)


def text(name: str, **options: Unpack[Options]) -> Column[Any]:
    """Return a text that is always there."""
    return Column(name, SafeText, **_never_null(options))


def maybe_text(name: str, *, index: bool = False) -> Column[Any]:
    """Return a text that may be missing."""
    return Column(name, SafeText, nullable=True, index=index)


def moment(name: str) -> Column[Any]:
    """Return a moment that is always there."""
    return Column(name, UtcDateTime, nullable=False)


def maybe_moment(name: str) -> Column[Any]:
    """Return a moment that may be missing."""
    return Column(name, UtcDateTime, nullable=True)


def count(name: str, **options: Unpack[Options]) -> Column[Any]:
    """Return a whole number."""
    return Column(name, BigInteger, **_never_null(options))


def number(name: str, *, nullable: bool = False) -> Column[Any]:
    """Return a real number in double precision."""
    return Column(name, Double, nullable=nullable)


def flag(name: str) -> Column[Any]:
    """Return a truth."""
    return Column(name, Boolean, nullable=False)


def data(name: str, *, nullable: bool = False) -> Column[Any]:
    """Return plain data that no query looks into."""
    return Column(name, JSON(none_as_null=True), nullable=nullable)


def refers(name: str, target: str, **options: Unpack[Options]) -> Column[Any]:
    """Return a reference to another row's number."""
    return Column(name, BigId, ForeignKey(target), **_never_null(options))


def code(prefix: str) -> tuple[Column[Any], Column[Any], Column[Any]]:
    """Return the three columns of a coded concept."""
    return text(f"{prefix}_value"), text(f"{prefix}_scheme"), text(f"{prefix}_meaning")


def index_of_some(name: str, column: str, condition: str) -> Index:
    """Return an index of only the rows that meet `condition`."""
    rows = sql_text(condition)
    return Index(name, column, sqlite_where=rows, postgresql_where=rows)
