"""Why the database cannot be used."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError


class StoreError(Exception):
    """`code` is stable and for programs, the message is for people: `schema_missing`, `schema_behind`,
    `schema_unknown`, `database_unreachable`, `database_unusable`, `driver_missing`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def why(error: Exception) -> str:
    """An error of the database on one line, without the statement and what was in it."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return next(iter(str(cause).strip().splitlines()), "") or type(cause).__name__
