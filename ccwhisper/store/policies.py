"""What is set for queues at run time, in the database. Its history is in the audit trail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from ccwhisper.coaching.errors import Unavailable
from ccwhisper.store.database import Database
from ccwhisper.store.tables import POLICY


def load(database: Database, installation: str) -> dict[str, Any]:
    """By queue, what is set: in the words of the configuration file, or whatever else is found. Raises Unavailable
    (`store_unavailable`)."""
    query = select(POLICY.c.queue, POLICY.c.said).where(POLICY.c.installation == installation)
    try:
        with database.engine.connect() as connection:
            found = connection.execute(query).all()
    except SQLAlchemyError as error:
        raise Unavailable("store_unavailable", "The policies cannot be read at this moment.") from error
    return {queue: _decoded(said) for queue, said in found}


def save(database: Database, installation: str, queue: str, said: Mapping[str, Any] | None) -> None:
    """Keep what is set for a queue, in place of what was; None is nothing. Raises Unavailable (`store_unavailable`)."""
    old = delete(POLICY).where(POLICY.c.installation == installation, POLICY.c.queue == queue)
    try:
        with database.engine.connect().execution_options(writes=True) as connection, connection.begin():
            connection.execute(old)
            if said is not None:
                text = json.dumps(said, ensure_ascii=False)
                connection.execute(insert(POLICY), {"installation": installation, "queue": queue, "said": text})
    except SQLAlchemyError as error:
        raise Unavailable("store_unavailable", "The database cannot keep the policy at this moment.") from error


def _decoded(said: str) -> Any:
    try:
        return json.loads(said)
    except ValueError:
        return None
