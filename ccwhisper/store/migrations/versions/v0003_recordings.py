"""Recordings: what is listed of them, who is on them, and what reviewers say of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_MOMENT = sa.DateTime(timezone=True).with_variant(sa.DateTime(), "sqlite")


def upgrade() -> None:
    """Forward. There is no way back but the backup."""
    op.create_table(
        "recording",
        sa.Column("installation", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("problem", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("queue", sa.Text),
        sa.Column("direction", sa.Text, nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("started_at", _MOMENT, nullable=False),
        sa.Column("duration", sa.Double),
        sa.Column("modes", sa.Text, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.Column("routing", sa.Boolean),
        sa.Column("acoustic", sa.Boolean),
        sa.Column("result", sa.Text),
    )
    op.create_index("recording_at", "recording", ["installation", "started_at", "id"])
    op.create_index("recording_queue", "recording", ["installation", "queue", "started_at"])
    op.create_index("recording_state", "recording", ["installation", "state"])
    op.create_table(
        "recording_person",
        sa.Column("installation", sa.Text, primary_key=True),
        sa.Column("recording", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("person", sa.Text, primary_key=True),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("headset", sa.Text),
        sa.Column("measured", sa.Boolean, nullable=False),
        sa.Column("routing", sa.Boolean, nullable=False),
        sa.Column("acoustic", sa.Boolean, nullable=False),
        sa.Column("level", sa.Double),
    )
    op.create_index("recording_person_of", "recording_person", ["installation", "kind", "person"])
    op.create_table(
        "recording_comment",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("installation", sa.Text, nullable=False),
        sa.Column("recording", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("edited_at", _MOMENT),
        sqlite_autoincrement=True,
    )
    op.create_index("recording_comment_of", "recording_comment", ["installation", "recording", "at"])
