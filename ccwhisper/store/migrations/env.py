"""Run by alembic, on the connection that `Database.upgrade` has opened."""

from __future__ import annotations

from alembic import context

from ccwhisper.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
