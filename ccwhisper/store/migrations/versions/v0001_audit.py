"""The audit trail, and the triggers that keep it append-only.

The types are spelt out, and not taken from `tables`: this step stays what it is when the tables have gone on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_MOMENT = sa.DateTime(timezone=True).with_variant(sa.DateTime(), "sqlite")

_SQLITE = (
    """
    CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
    """,
    """
    CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
    """,
    # INSERT OR REPLACE deletes without the trigger of a deletion.
    """
    CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit
    WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
      OR EXISTS (SELECT 1 FROM audit WHERE installation = NEW.installation AND epoch = NEW.epoch AND seq = NEW.seq)
    BEGIN SELECT RAISE(IGNORE); END
    """,
)

_POSTGRESQL = (
    """
    CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$
    """,
    """
    CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_append_only()
    """,
    """
    CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()
    """,
)


def upgrade() -> None:
    """Forward. There is no way back but the backup."""
    op.create_table(
        "audit",
        sa.Column("id", _NUMBER, primary_key=True),
        sa.Column("installation", sa.Text, nullable=False),
        sa.Column("epoch", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("switch_at", _MOMENT),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("refusal", sa.Text),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("permissions", sa.Text, nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("session", sa.Text),
        sa.Column("agent", sa.Text),
        sa.Column("call", sa.Text),
        sa.Column("node", sa.Text),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        sa.UniqueConstraint("installation", "epoch", "seq", name="audit_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_at", "audit", ["at", "id"])
    op.create_index("audit_actor", "audit", ["actor", "at"])
    op.create_index("audit_agent", "audit", ["agent", "at"])
    op.create_index("audit_call", "audit", ["call"])
    op.create_index("audit_session", "audit", ["session"])
    for statement in _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL:
        op.execute(statement)
