"""Recordings of tones for a service that runs: put into its archive and its list."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection

from ccwhisper.recording.index import Person
from ccwhisper.recording.journal import Start
from ccwhisper.recording.result import Problem, Result
from ccwhisper.store import entries
from ccwhisper.store.database import Database
from ccwhisper.store.recorder import public_id
from tests.browser.centre import Centre
from tests.e2e.tones import COACH, coach, recording
from tests.unit.tapes import Tape

_LONG: dict[Path, Result] = {}


class Recorder:
    """Of one centre."""

    def __init__(self, centre: Centre) -> None:
        self._state = centre.service.directory / "var"
        self._installation = public_id((self._state / "installation").read_text().strip())

    def keep(self, number: int = 1, **more: Any) -> Result:
        """A finished one; see tones.recording."""
        headset = more.pop("headset", "Acme 40")
        made = recording(self._state / "recordings" / "archive", number, **more)
        with self._writing() as connection:
            entries.keep(connection, self._installation, made, {each.agent: headset for each in made.agents})
        return made

    def long(self) -> Result:
        """Ten minutes with a coach, made once for all tests."""
        if self._state not in _LONG:
            _LONG[self._state] = self.keep(100, seconds=600.0, coaches=(coach(COACH, [(0.0, 590.0)]),))
        with self._writing() as connection:
            entries.keep(connection, self._installation, _LONG[self._state], {})
        return _LONG[self._state]

    def tape(self, seconds: float) -> Tape:
        """What a switch and a service leave of a call, for the service that runs to find."""
        return Tape(self._state / "recordings", seconds, str(uuid4()))

    def failed(self, name: str, reason: str, at: float = 1_790_000_500.0) -> None:
        """One that could not be made."""
        start = Start(at, name, "fs1", "leg", "x", "support@default", "inbound", "+49", "K. Tanaka", "off")
        who = [Person("1002", "Agent 1002")]
        with self._writing() as connection:
            entries.note(connection, self._installation, name, "failed", Problem("disk_full", reason), start, who)

    def clear(self) -> None:
        """There were none."""
        with self._writing() as connection:
            for table in ("recording", "recording_person", "recording_comment"):
                connection.exec_driver_sql(f"DELETE FROM {table}")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        database = Database.sqlite(self._state / "ccwhisper.db")
        with database.engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection
        database.close()
