"""Recordings whose file is still to be made, a few at a time, and what becomes of those that are kept long enough.

What is to be done is what lies in the folder of journals; there is no other list. A journal goes when the index knows
its recording as finished, so that whoever starts next finds what is left, whatever has died meanwhile. Nothing here
disturbs a call, and nothing makes the hub wait.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import gevent
from gevent.event import Event
from gevent.threadpool import ThreadPool

from ccwhisper.coaching.errors import CoachingError, Conflict, NotFound, Unavailable
from ccwhisper.recording import journal as log
from ccwhisper.recording.house import House, unknown
from ccwhisper.recording.index import Entry, Person, Shelf, State
from ccwhisper.recording.job import Job
from ccwhisper.recording.process import Processes
from ccwhisper.recording.result import Problem, Result, load

logger = logging.getLogger(__name__)

LOOK: Final = 5.0
"""Seconds between looks into the folder of journals."""

PAUSES: Final = (10.0, 3600.0)
"""Seconds until a recording is tried again, at first and at most."""

HUNG: Final = 86400.0
"""Seconds until one is that was not done in time: it has kept the others waiting."""

STILL: Final = 30.0
"""Seconds for which a journal without an end must not have changed before its call is taken to be over."""


@dataclass(frozen=True, slots=True)
class Where:
    """Places and wishes, as `work.Job` has them."""

    journals: Path
    raws: tuple[str, ...]
    archive: str
    room: Path
    access: Mapping[str, Any] = field(default_factory=dict)
    wish: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom the queue of work asks. `goes_on` says of a recording (node, id) whether the switch records it: None while
    that is not known. `keep_days` is for how many days a queue's recordings are kept, None: for ever. `erase` deletes
    the files of a recording, and may raise Unavailable or NotFound; `erased` is told of one that was kept long
    enough."""

    goes_on: Callable[[str, str], bool | None]
    keep_days: Callable[[str | None], int | None]
    erase: Callable[[Result], None]
    erased: Callable[[Entry], None]


@dataclass
class _Item:
    """A journal. `said` is what the index was told last."""

    path: Path
    stamp: tuple[int, int] = (0, 0)  # when it was changed, and its size
    journal: log.Journal | None = None
    broken: str = ""
    said: object = None
    tries: int = 0
    due: float = 0.0
    busy: bool = False
    failure: Problem | None = None


class Backlog:
    """One for a service. `workers` processes at a time."""

    def __init__(
        self,
        where: Where,
        shelf: Shelf,
        asked: Asked,
        workers: int = 1,
        pauses: tuple[float, float] = PAUSES,
        look: float = LOOK,
        still: float = STILL,
    ) -> None:
        self._where = where
        self._shelf = shelf
        self._asked = asked
        self._workers = workers
        self._pauses = pauses
        self._look_seconds = look
        self._still = still
        self._items: dict[str, _Item] = {}
        self._processes = Processes()
        self._house = House(
            shelf,
            asked,
            scan=lambda: self._apply(self._processes.run, self._job("scan")),
            known=self._items,
            clear=lambda recording: self._clear(recording, "discard"),
            discard=self.discard,
        )
        self._pool: ThreadPool | None = None
        self._wake = Event()
        self._greenlets: list[gevent.Greenlet[..., None]] = []
        self._working = 0

    def start(self) -> None:
        """Work from now on, first on what a former life has left."""
        self._pool = ThreadPool(self._workers + 2)
        self._greenlets = [gevent.spawn(self._run)]

    def stop(self) -> None:
        """End what runs; it is done again."""
        self._processes.stop()
        gevent.killall(self._greenlets, timeout=5)
        if self._pool is not None:
            with suppress(gevent.Timeout), gevent.Timeout(1):  # a look into a folder may hang
                self._pool.kill()

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    def retry(self, recording: str) -> None:
        """Try one that has failed now. Raises NotFound."""
        item = self._items.get(recording)
        if item is None:
            raise NotFound("recording_not_found", "There are no raw tracks of such a recording.")
        item.due = 0.0
        self.wake()

    def discard(self, recording: str) -> None:
        """Its raw tracks, its journal and what was begun of its file are gone. Raises Conflict (`recording_busy`) while
        it is worked on, or the call is up, and Unavailable."""
        item = self._items.get(recording)
        if item is None:
            self._drop(recording)
            return
        if item.busy or (item.journal and not self._over(item)):
            raise Conflict("recording_busy", "The recording is not finished yet; it can be deleted then.")
        item.busy = True  # nobody begins with it now
        try:
            self._drop(recording)
        finally:
            item.busy = False

    def _drop(self, recording: str) -> None:
        self._clear(recording, "erase")
        self._apply(self._journal(recording).unlink, True)
        self._items.pop(recording, None)

    def _clear(self, recording: str, do: Literal["discard", "erase"]) -> None:
        job = self._job(do, recording=recording, journal=str(self._journal(recording)))
        outcome = self._apply(self._processes.run, job)
        if outcome["ok"]:
            return
        if outcome["code"] == "busy":
            raise Conflict("recording_busy", "The recording is not finished yet; it can be deleted then.")
        logger.warning("what there is of recording %s is not deleted: %s", recording, outcome["text"])
        raise Unavailable("archive_unavailable", "The files of the recording cannot be reached.")

    def _journal(self, recording: str) -> Path:
        return self._where.journals / f"{recording}.jsonl"

    # --- looking -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        keeps_house = False
        while True:
            self._wake.clear()
            try:
                self._look()
            except Unavailable:  # the index has said so; what can be done without it is done
                pass
            except Exception:
                logger.exception("the queue of recordings stumbled")
            if not keeps_house:  # now that it is known what is to be done
                keeps_house = True
                self._greenlets.append(gevent.spawn(self._house.run))
            self._wake.wait(self._look_seconds)

    def _look(self) -> None:
        self._apply(self._read)
        for name, item in sorted(self._items.items(), key=lambda each: each[1].due):
            if self._working >= self._workers:
                break
            if not item.busy and time.monotonic() >= item.due and (item.journal is None or self._over(item)):
                item.busy = True
                self._working += 1
                self._greenlets = [each for each in self._greenlets if not each.dead]
                self._greenlets.append(gevent.spawn(self._work, name, item))
        for name, item in list(self._items.items()):
            if not item.busy:
                self._tell(name, item, *self._state(item))

    def _state(self, item: _Item) -> tuple[State, Problem | None]:
        if item.journal and not self._over(item):
            lost = self._asked.goes_on(item.journal.start.node, item.journal.start.id) is None
            return "recording", Problem("node_unavailable", "its switch is not connected") if lost else None
        if item.failure and time.monotonic() < item.due:
            return "failed", item.failure
        return "waiting", item.failure

    def _read(self) -> None:
        """The journals that are new or have changed. In a native thread."""
        found = {path.stem: path for path in log.journals(self._where.journals)}
        for gone in set(self._items) - set(found):
            if not self._items[gone].busy:
                self._items.pop(gone, None)
        for name, path in found.items():
            item = self._items.setdefault(name, _Item(path))
            if item.busy:
                continue
            try:
                about = path.stat()
                if (about.st_mtime_ns, about.st_size) != item.stamp:
                    item.stamp = about.st_mtime_ns, about.st_size
                    item.failure, item.tries, item.due = None, 0, 0.0  # what could not be done may be possible now
                    item.journal, item.broken = log.read(path), ""
            except log.JournalBroken as error:
                item.journal, item.broken = None, str(error)
            except OSError as error:
                logger.warning("the journal %s cannot be read: %s", path, error.strerror or error)

    def _over(self, item: _Item) -> bool:
        """Whether nothing more is recorded. Without an end it is when nobody knows of it any more: the call was over
        before a service came back to see it."""
        assert item.journal is not None  # noqa: S101 - asked of those only
        if item.journal.over:
            return True
        start = item.journal.start
        quiet = time.time() - item.stamp[0] / 1e9 >= self._still
        return quiet and self._asked.goes_on(start.node, start.id) is False

    def _tell(self, name: str, item: _Item, state: State, problem: Problem | None = None) -> bool:
        """False when somebody has deleted it."""
        journal = item.journal
        people = _agents(journal) if journal else ()
        said = (state, problem, people)
        if item.said == said:
            return True
        there = self._shelf.state(name, state, problem, journal.start if journal else _nobody(name, item), people)
        item.said = said
        return there

    # --- working -----------------------------------------------------------------------------------------------------

    def _work(self, name: str, item: _Item) -> None:
        try:
            self._try(name, item)
        except CoachingError as error:  # the index is away, or files: what is made stays, and is told again
            logger.warning("recording %s waits: %s", name, error.message)
            self._later(item)
        except Exception:
            logger.exception("recording %s", name)
            self._later(item)
        finally:
            item.busy = False
            self._working -= 1
            self._wake.set()

    def _try(self, name: str, item: _Item) -> None:
        there = True
        with suppress(Unavailable):  # it is worked on all the same
            there = self._tell(name, item, "working")
        if not there:
            self._drop(name)
            return
        if item.journal is None:
            self._failed(name, item, Problem("journal_broken", item.broken), final=True)
            return
        outcome = self._apply(self._processes.run, self._job("make", journal=str(item.path)))
        if outcome["ok"]:
            for text in outcome["left"]:
                logger.warning("raw tracks of recording %s stay where they are: %s", name, text)
            self._done(name, item, load(outcome["result"]))
        elif outcome["code"] == "busy":
            item.due = time.monotonic() + self._pauses[0]
        else:
            self._failed(name, item, Problem(outcome["code"], outcome["text"]), outcome["final"])

    def _done(self, name: str, item: _Item, result: Result) -> None:
        if not self._shelf.keep(result):
            with suppress(NotFound):
                self._asked.erase(result)  # somebody has deleted it meanwhile
        self._apply(item.path.unlink, True)
        self._items.pop(name, None)
        logger.info("recording %s is ready: %.0f s, %d tracks", name, result.duration, len(result.tracks))

    def _failed(self, name: str, item: _Item, problem: Problem, final: bool) -> None:
        if item.failure != problem:
            logger.warning("recording %s cannot be made: %s (%s)", name, problem.text, problem.code)
        item.failure = problem
        self._later(item)
        if problem.code == "worker_hung":
            item.due = time.monotonic() + HUNG
        if final:
            item.due = float("inf")  # until its journal changes, somebody says so, or the service starts anew
        self._tell(name, item, "failed", problem)

    def _later(self, item: _Item) -> None:
        first, longest = self._pauses
        item.due = time.monotonic() + min(first * 2**item.tries, longest)
        item.tries = min(item.tries + 1, 30)

    def _job(self, do: Any, **more: Any) -> Job:
        where = self._where
        return Job(do, where.raws, where.access, where.archive, room=str(where.room), wish=where.wish, **more)

    def _apply(self, work: Callable[..., Any], *given: Any) -> Any:
        assert self._pool is not None  # noqa: S101 - started
        return self._pool.apply(work, given)


def _agents(journal: log.Journal) -> tuple[Person, ...]:
    names = {line.agent: line.name for line in journal.lines if isinstance(line, log.Party)}
    return tuple(Person(agent, name) for agent, name in names.items())


def _nobody(name: str, item: _Item) -> log.Start:
    return unknown(name, item.stamp[0] / 1e9 or time.time())
