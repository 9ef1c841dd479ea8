"""Rows that wait for the database, in a file that outlives the service: JSON Lines, oldest first."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from ccwhisper.coaching.trail import Row

logger = logging.getLogger(__name__)


class Spill:
    """The file. Rows are taken from its beginning and added at its end; when all are taken it is emptied, not before:
    what is taken twice after a crash is known by its key.

    Raises OSError, and then the file is as it was. For one thread at a time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._taken = 0  # bytes
        self.count = self._recover()

    def _recover(self) -> int:
        """How many rows a former life left. A line that it did not come to the end of is cut off."""
        count = end = 0
        try:
            with self.path.open("r+b") as file:
                for line in file:
                    if line.endswith(b"\n"):
                        count, end = count + 1, end + len(line)
                    else:
                        logger.error("%s ends in the middle of a row, which is lost", self.path)
                file.truncate(end)
        except FileNotFoundError:
            return 0
        return count

    def append(self, rows: Sequence[Row]) -> None:
        """Add rows; they are on the disk when this returns."""
        data = b"".join(_line(row) for row in rows)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab", buffering=0) as file:
            size = os.fstat(descriptor).st_size
            try:
                if file.write(data) != len(data):
                    raise OSError("the disk took only a part")
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)  # half a row would spoil the next one
                raise
        self.count += len(rows)

    def first(self, limit: int) -> tuple[list[Row], int]:
        """Up to `limit` rows from the beginning, and the place behind them, for `take`."""
        rows: list[Row] = []
        place = self._taken
        if not self.path.exists():
            logger.error("%s is gone, and %d rows with it", self.path, self.count)
            self._taken = self.count = 0
            return rows, 0
        with self.path.open("rb") as file:
            file.seek(place)
            while len(rows) < limit and (line := file.readline()):
                place += len(line)
                try:
                    rows.append(_row(line))
                except (ValueError, TypeError, KeyError):
                    logger.exception("a row of %s cannot be read, and is lost", self.path)
                    self.count -= 1
        return rows, place

    def take(self, count: int, place: int) -> None:
        """These rows are in the database."""
        self.count -= count
        self._taken = place
        if self.path.exists() and place >= self.path.stat().st_size:
            os.truncate(self.path, 0)
            self._taken = self.count = 0


def _line(row: Row) -> bytes:
    values = asdict(row)
    for name in ("at", "switch_at"):
        values[name] = values[name] and values[name].isoformat()
    return json.dumps(values).encode() + b"\n"


def _row(line: bytes) -> Row:
    values: dict[str, Any] = json.loads(line)
    for name in ("at", "switch_at"):
        values[name] = values[name] and datetime.fromisoformat(values[name])
    return Row(**{**values, "permissions": tuple(values["permissions"]), "roles": tuple(values["roles"])})
