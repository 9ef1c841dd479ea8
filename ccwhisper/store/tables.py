"""The tables, as this version of the service uses them. How they come to be is in migrations/."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
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

RECORDING: Final = Table(
    "recording",
    METADATA,
    Column("installation", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("problem", Text),  # its code
    Column("reason", Text),  # in words
    Column("node", Text, nullable=False),
    Column("queue", Text),
    Column("direction", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("started_at", Utc, nullable=False),
    Column("duration", Double),  # seconds
    Column("modes", Text, nullable=False),  # each between spaces
    Column("words", Text, nullable=False),  # of cues, in lower case
    Column("routing", Boolean),
    Column("acoustic", Boolean),
    Column("result", Text),  # JSON
    Index("recording_at", "installation", "started_at", "id"),
    Index("recording_queue", "installation", "queue", "started_at"),
    Index("recording_state", "installation", "state"),
)

PERSON: Final = Table(
    "recording_person",
    METADATA,
    Column("installation", Text, primary_key=True),
    Column("recording", Text, primary_key=True),
    Column("kind", Text, primary_key=True),  # agent or coach
    Column("person", Text, primary_key=True),
    Column("place", Integer, nullable=False),  # in the order in which they came
    Column("name", Text, nullable=False),
    Column("headset", Text),
    Column("measured", Boolean, nullable=False),
    Column("routing", Boolean, nullable=False),
    Column("acoustic", Boolean, nullable=False),
    Column("level", Double),  # dB
    Index("recording_person_of", "installation", "kind", "person"),
)

COMMENT: Final = Table(
    "recording_comment",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("installation", Text, nullable=False),
    Column("recording", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("at", Double, nullable=False),  # seconds into the recording
    Column("text", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("edited_at", Utc),
    Index("recording_comment_of", "installation", "recording", "at"),
    sqlite_autoincrement=True,  # what was deleted does not lend its number to another
)
