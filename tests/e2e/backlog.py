"""A queue of recordings over real files and the worker's real processes, with an index that can be away."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gevent

from ccwhisper.coaching.errors import NotFound, Unavailable
from ccwhisper.recording import journal as log
from ccwhisper.recording.backlog import Asked, Backlog, Where
from ccwhisper.recording.index import Entry, EntryPage, Person, State, Wanted
from ccwhisper.recording.result import Problem, Result, Track
from tests.unit.tapes import ID, Tape

PATIENCE = 120.0
LEFT = Track(1, "coach", "Coach Carl", "und", 1, "aac", "s1")


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        gevent.sleep(0.02)


class Index:
    """The list of recordings, in memory; `away`, it can be asked nothing."""

    def __init__(self) -> None:
        self.away = False
        self.states: dict[str, list[tuple[State, str | None]]] = {}
        self.starts: dict[str, log.Start | None] = {}
        self.people: dict[str, Sequence[Person]] = {}
        self.ready: dict[str, Result] = {}
        self.deleted: set[str] = set()
        self.entries: list[Entry] = []

    def state(
        self,
        recording: str,
        state: State,
        problem: Problem | None = None,
        start: log.Start | None = None,
        agents: Sequence[Person] = (),
    ) -> bool:
        self._reach()
        self.states.setdefault(recording, []).append((state, problem.code if problem else None))
        self.starts[recording], self.people[recording] = start, agents
        return recording not in self.deleted

    def keep(self, result: Result) -> bool:
        self._reach()
        if result.id in self.deleted:
            return False
        self.ready[result.id] = result
        return True

    def forget(self, recording: str) -> None:
        self._reach()
        self.deleted.add(recording)

    def one(self, recording: str) -> tuple[Entry, Result | None]:
        self._reach()
        for entry in self.entries:
            if entry.id == recording:
                return entry, self.ready.get(recording)
        if recording in self.ready:
            return listed(recording, 0), self.ready[recording]
        raise NotFound("recording_not_found", "There is no such recording.")

    def search(self, wanted: Wanted, after: str | None = None, limit: int = 50) -> EntryPage:
        self._reach()
        found = [
            each
            for each in self.entries
            if each.state == wanted.state and (wanted.until is None or each.started_at < wanted.until)
        ]
        at = int(after or 0)
        return EntryPage(tuple(found[at : at + 1]), str(at + 1) if at + 1 < len(found) else None)

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("store_unavailable", "It is away.")


def listed(name: str, days: float, queue: str | None = "sales", state: State = "ready") -> Entry:
    began = datetime.now(UTC) - timedelta(days=days)
    return Entry(name, state, None, "fs1", queue, "inbound", "", "", began, 1.0, (), (), (), None, None, 0)


class Scene:
    """A queue of work, and what it asks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.raws = folder / "raw"
        self.raws.mkdir()
        self.journals = folder / "journal"
        self.journals.mkdir()
        self.archive = folder / "archive"
        self.archive.mkdir()
        self.index: Any = Index()
        self.goes_on: bool | None = False
        self.days: dict[str | None, int] = {}
        self.erased: list[str] = []
        self.told: list[str] = []
        self.asked = 0
        """How often it was asked how long something is kept."""
        self.backlogs: list[Backlog] = []

    def open(self, *places: Path, **more: Any) -> Backlog:
        raws = tuple(map(str, places or [self.raws]))
        where = Where(self.journals, raws, str(self.archive), self.folder / "room")
        asked = Asked(
            lambda _node, _id: self.goes_on,
            self._days,
            lambda result: self.erased.append(result.id),
            lambda entry: self.told.append(entry.id),
        )
        given: dict[str, Any] = {"pauses": (0.05, 0.2), "look": 0.05, "still": 0.0} | more
        backlog = Backlog(where, self.index, asked, **given)
        self.backlogs.append(backlog)
        backlog.start()
        return backlog

    def _days(self, queue: str | None) -> int | None:
        self.asked += 1
        return self.days.get(queue)

    def tape(self, name: str = ID, seconds: float = 6.0) -> Tape:
        tape = Tape(self.folder, seconds, name)
        tape.coach("s1", 1.0, [(2.0, 3.0)])
        return tape

    def left(self) -> list[str]:
        """Files that are neither archived nor a journal's business any more."""
        return sorted(path.name for folder in (self.raws, self.journals) for path in folder.iterdir())

    def litter(self) -> list[Path]:
        return [path for path in self.archive.rglob("*") if ".part" in path.as_posix()]

    def states(self, name: str = ID) -> list[tuple[State, str | None]]:
        return self.index.states.get(name, [])
