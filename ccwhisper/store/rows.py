"""Rows of the trail into a database, and out of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Row as Found
from sqlalchemy.exc import SQLAlchemyError

from ccwhisper.coaching.errors import Invalid, Unavailable
from ccwhisper.coaching.trail import Filter, Page, Row
from ccwhisper.store.database import Database
from ccwhisper.store.tables import AUDIT

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"([0-9]{1,17})\.([0-9]{1,18})")
_WORDS = ("action", "refusal", "actor", "name", "session", "agent", "call", "node", "detail", "origin")
_SAME = ("actor", "agent", "call", "session", "action")


def insert(database: Database, rows: Sequence[Row]) -> None:
    """Add rows, in their order, all or none; what is there already stays as it is. Raises SQLAlchemyError."""
    made: Any = sqlite.insert(AUDIT) if database.engine.dialect.name == "sqlite" else postgresql.insert(AUDIT)
    statement = made.on_conflict_do_nothing(index_elements=["installation", "epoch", "seq"])
    with database.engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(statement, [_record(row) for row in rows])


def search(database: Database, wanted: Filter, after: str | None = None, limit: int = 100) -> Page:
    """The newest rows, or those that follow `after`, which is the `next` of another page. Raises Invalid
    (`cursor_invalid`) and Unavailable (`store_unavailable`)."""
    query = select(AUDIT).where(*_conditions(wanted)).order_by(AUDIT.c.at.desc(), AUDIT.c.id.desc()).limit(limit + 1)
    try:
        with database.engine.connect() as connection:
            found = connection.execute(_from(query, after)).all()
    except SQLAlchemyError as error:
        raise Unavailable("store_unavailable", "The audit trail cannot be read at this moment.") from error
    rows = tuple(map(_row, found[:limit]))
    return Page(rows, _cursor(found[limit - 1]) if len(found) > limit else None)


def _record(row: Row) -> dict[str, Any]:
    return {**asdict(row), "permissions": " ".join(row.permissions), "roles": " ".join(row.roles)}


def _row(found: Found[Any]) -> Row:
    values = dict(found._mapping)
    del values["id"]
    return Row(**{**values, "permissions": tuple(found.permissions.split()), "roles": tuple(found.roles.split())})


def _conditions(wanted: Filter) -> Iterator[ColumnElement[bool]]:
    if wanted.since is not None:
        yield AUDIT.c.at >= wanted.since
    if wanted.until is not None:
        yield AUDIT.c.at < wanted.until
    for name in _SAME:
        value = getattr(wanted, name)
        if value is not None:
            yield AUDIT.c[name] == value
    if wanted.refused is not None:
        yield AUDIT.c.refusal.is_not(None) if wanted.refused else AUDIT.c.refusal.is_(None)
    if wanted.text is not None:
        text = wanted.text.lower()
        yield or_(false(), *(func.lower(AUDIT.c[name]).contains(text, autoescape=True) for name in _WORDS))


def _from(query: Select[Any], after: str | None) -> Select[Any]:
    if after is None:
        return query
    found = _CURSOR.fullmatch(after)
    if not found:
        raise Invalid("cursor_invalid", "after: is not what an answer gave as next.")
    at, number = _EPOCH + timedelta(microseconds=int(found[1])), int(found[2])
    return query.where(or_(AUDIT.c.at < at, and_(AUDIT.c.at == at, AUDIT.c.id < number)))


def _cursor(found: Found[Any]) -> str:
    return f"{(found.at - _EPOCH) // timedelta(microseconds=1)}.{found.id}"
