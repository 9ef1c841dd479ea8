"""What is looked at once an hour: raw tracks of which nobody knows, and recordings that were kept long enough."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Container
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import gevent

from ccwhisper.coaching.errors import CoachingError, NotFound, Unavailable
from ccwhisper.coaching.recorded import recording_of
from ccwhisper.recording.index import Entry, Shelf, State, Wanted
from ccwhisper.recording.journal import Start
from ccwhisper.recording.result import Problem, Result

logger = logging.getLogger(__name__)

KEEPING: Final = 3600.0
"""Seconds between looks."""

AGAIN: Final = 60.0
"""Seconds until the next one where something could not be done."""

ORPHAN: Final = 3600.0
"""Seconds after which a raw track without a journal is one that nobody knows of. Before that, it may have come from
another machine a moment ago."""

_KEPT: Final[tuple[State, ...]] = ("ready", "failed")  # what else there is, is on its way to one of these


class Asked(Protocol):
    """As `backlog.Asked` has them."""

    @property
    def keep_days(self) -> Callable[[str | None], int | None]:
        """For how many days a queue's recordings are kept."""

    @property
    def erase(self) -> Callable[[Result], None]:
        """Deletes the files of one."""

    @property
    def erased(self) -> Callable[[Entry], None]:
        """Is told of one that was kept long enough."""


class House:
    """One for a queue of work. `scan` says what raw tracks there are, as the worker does; `known` are the recordings
    that are worked on; `clear` deletes the raw tracks of one, `discard` all that there is of it. Both raise Conflict
    and Unavailable."""

    def __init__(
        self,
        shelf: Shelf,
        asked: Asked,
        scan: Callable[[], dict[str, Any]],
        known: Container[str],
        clear: Callable[[str], None],
        discard: Callable[[str], None],
    ) -> None:
        self._shelf = shelf
        self._asked = asked
        self._scan = scan
        self._known = known
        self._clear = clear
        self._discard = discard

    def run(self) -> None:
        """For ever. A folder that hangs holds up nothing else."""
        while True:
            done = True
            for step in (self._orphans, self._outdated):
                try:
                    step()
                except Unavailable:  # the index has said so
                    done = False
                except Exception:
                    logger.exception("recordings: keeping house stumbled")
                    done = False
            gevent.sleep(KEEPING if done else AGAIN)

    def _orphans(self) -> None:
        """Raw tracks without a journal are listed; nobody deletes what he does not know."""
        outcome = self._scan()
        for text in outcome["away"] if outcome["ok"] else [outcome["text"]]:
            logger.warning("raw tracks cannot be looked for: %s", text)
        by_id: dict[str, list[tuple[str, float]]] = {}
        for name, at in outcome["files"] if outcome["ok"] else ():
            by_id.setdefault(recording_of(name) or "", []).append((name, at))
        for recording, files in by_id.items():
            if recording not in self._known:
                self._orphan(recording, sorted(name for name, _ in files), max(at for _, at in files))

    def _orphan(self, recording: str, names: list[str], last: float) -> None:
        state, result = self._listed(recording)
        old = time.time() - last >= ORPHAN
        if state == "deleted":  # they have come since, from another machine
            self._without(self._discard, recording)
        elif old and result is not None:
            late = [name for name in names if not _holds(result, name)]
            if late:
                logger.warning("recording %s was made before these raw tracks came: %s", recording, ", ".join(late))
            else:  # its file is there; whoever made it did not come to delete these
                self._without(self._clear, recording)
        elif old and state != "ready":
            problem = Problem("journal_missing", f"nothing is known of these raw tracks: {', '.join(names)}")
            self._shelf.state(recording, "failed", problem, unknown(recording, last))

    def _listed(self, recording: str) -> tuple[State | None, Result | None]:
        try:
            entry, result = self._shelf.one(recording)
        except NotFound:
            return None, None
        return entry.state, result if entry.state == "ready" else None

    def _without(self, work: Callable[[str], None], recording: str) -> None:
        try:
            work(recording)
        except CoachingError as error:
            logger.warning("raw tracks of recording %s are not needed, and not deleted: %s", recording, error.message)

    def _outdated(self) -> None:
        """What a queue keeps is what its policy says today: of recordings that were made before it said so, too."""
        now = datetime.now(UTC)
        for state in _KEPT:
            wanted, after = Wanted(state=state, until=now - timedelta(days=1)), None
            while True:
                page = self._shelf.search(wanted, after, 200)
                for entry in page.entries:
                    days = self._asked.keep_days(entry.queue)
                    if days is not None and entry.started_at < now - timedelta(days=days):
                        self._erase(entry)
                after = page.next
                if after is None:
                    break

    def _erase(self, entry: Entry) -> None:
        try:
            _, result = self._shelf.one(entry.id)
            if result is None:
                self._discard(entry.id)
            else:
                self._asked.erase(result)
            self._shelf.forget(entry.id)
        except CoachingError as error:
            logger.warning("recording %s was kept long enough, and is not deleted: %s", entry.id, error.message)
            return
        self._asked.erased(entry)


def unknown(recording: str, at: float) -> Start:
    """What is listed of a recording of which nothing is known but that it was."""
    return Start(at, recording, "", "", f"{recording}-call.wav", None, "", "", "", "off")


def _holds(result: Result, name: str) -> bool:
    """Whether a raw track is in the file that was made: a coach's that came late, or was left out, is nowhere else."""
    if name in result.left_out:
        return False
    sessions = [track.session for track in result.tracks if track.session]
    mine = [f"{result.id}-call.wav", *(f"{result.id}-{session}" for session in sessions)]
    return name.startswith(tuple(mine))
