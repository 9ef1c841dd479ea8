"""What is set for queues at run time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Forward. There is no way back but the backup."""
    op.create_table(
        "policy",
        sa.Column("installation", sa.Text, primary_key=True),
        sa.Column("queue", sa.Text, primary_key=True),
        sa.Column("said", sa.Text, nullable=False),
    )
