"""What the command prints, and how it ends."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, NoReturn

import click

from ccwhisper.cli.client import Refused


class Exit(IntEnum):
    """How the command ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    FORBIDDEN = 3
    NOT_FOUND = 4
    CONFLICT = 5
    UNAVAILABLE = 6
    INTERRUPTED = 130


EXIT_CODES = """\b
Exit codes:
  0    done
  1    refused or failed; the code is printed
  2    wrong usage
  3    not authorised, or the token does not permit it
  4    no such call, agent or session
  5    not now: the state of the call or session forbids it
  6    the service or the switch cannot be reached
  130  interrupted before it was done"""

_BY_STATUS = {
    0: Exit.UNAVAILABLE,
    401: Exit.FORBIDDEN,
    403: Exit.FORBIDDEN,
    404: Exit.NOT_FOUND,
    409: Exit.CONFLICT,
    502: Exit.UNAVAILABLE,
    503: Exit.UNAVAILABLE,
    504: Exit.UNAVAILABLE,
}

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(value: object) -> str:
    """Text for a terminal. Whatever could move the cursor, colour the screen or turn the reading direction is shown
    as its number: callers choose their own names."""
    return "".join(f"\\u{{{ord(char):x}}}" if unicodedata.category(char) in _UNSEEN else char for char in str(value))


class Output:
    """Lines for people, or JSON for programs."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def record(self, value: Mapping[str, Any], line: str) -> None:
        """One thing: as JSON on one line, or as its line."""
        click.echo(_json(value) if self.as_json else line)

    def table(
        self, whole: Mapping[str, Any], heads: Sequence[str], rows: Iterable[Sequence[object]], none: str
    ) -> None:
        """Many things: the whole answer as JSON, or a table."""
        if self.as_json:
            click.echo(_json(whole))
            return
        cells = [[visible(cell) for cell in row] for row in rows]
        if not cells:
            click.echo(none)
            return
        widths = [max(len(row[i]) for row in (list(heads), *cells)) for i in range(len(heads))]
        for row in (list(heads), *cells):
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def stage(self, line: str) -> None:
        """Progress, which is nothing for programs."""
        if not self.as_json:
            click.echo(line)

    def note(self, line: str) -> None:
        """Something to know, beside the result."""
        click.echo(line, err=True)

    def problem(self, code: str, message: str, retry: bool = False) -> None:
        """What went wrong, in the form of the API's errors."""
        if self.as_json:
            said = {"error": {"code": code, "message": message, "retry": retry}}
            click.echo(_json(said), err=True)
        else:
            click.echo(f"{visible(message)} [{visible(code)}]", err=True)

    def fail(self, error: Refused) -> NoReturn:
        """Say why not, and end."""
        self.problem(error.code, error.message, error.retry)
        raise SystemExit(_BY_STATUS.get(error.status, Exit.FAILED))


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value).replace("\x7f", "\\u007f")  # everything else that a terminal obeys is escaped already
