"""The tables, as this version of the service uses them. How they come to be is in migrations/."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine


class Utc(TypeDecorator[datetime]):
    """A moment: timestamptz on PostgreSQL; on SQLite text in UTC, which sorts as time does."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column's type."""
        return dialect.type_descriptor(DateTime(timezone=dialect.name != "sqlite"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


METADATA: Final = MetaData()

AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("installation", Text, nullable=False),
    Column("epoch", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("at", Utc, nullable=False),
    Column("switch_at", Utc),
    Column("action", Text, nullable=False),
    Column("refusal", Text),
    Column("actor", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("permissions", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("session", Text),
    Column("agent", Text),
    Column("call", Text),
    Column("node", Text),
    Column("detail", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("times", Integer, nullable=False),
    UniqueConstraint("installation", "epoch", "seq", name="audit_key"),
    Index("audit_at", "at", "id"),
    Index("audit_actor", "actor", "at"),
    Index("audit_agent", "agent", "at"),
    Index("audit_call", "call"),
    Index("audit_session", "session"),
    sqlite_autoincrement=True,  # no number is given twice, whatever the administrator deletes
)

POLICY: Final = Table(
    "policy",
    METADATA,
    Column("installation", Text, primary_key=True),
    Column("queue", Text, primary_key=True),
    Column("said", Text, nullable=False),
)
