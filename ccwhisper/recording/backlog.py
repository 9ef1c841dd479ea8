"""Recordings whose file is still to be made, a few at a time, and what becomes of those that are kept long enough.

What is to be done is what lies in the folder of journals; there is no other list. A journal goes when the index knows
its recording as finished, so that whoever starts next finds what is left, whatever has died meanwhile. Nothing here
disturbs a call, and nothing makes the hub wait.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

import gevent
from gevent.event import Event
from gevent.threadpool import ThreadPool

from ccwhisper.coaching.errors import CoachingError, Conflict, NotFound, Unavailable
from ccwhisper.coaching.recorded import recording_of
from ccwhisper.recording import journal as log
from ccwhisper.recording.index import Entry, EntryPage, Person, State, Wanted
from ccwhisper.recording.job import Job
from ccwhisper.recording.process import Processes
from ccwhisper.recording.result import Problem, Result, load

logger = logging.getLogger(__name__)

LOOK: Final = 5.0
"""Seconds between looks into the folder of journals."""

KEEPING: Final = 3600.0
"""Seconds between looks for what was kept long enough, and for raw tracks of which nobody knows."""

AGAIN: Final = 60.0
"""Seconds until that is tried again where it could not be done."""

PAUSES: Final = (10.0, 3600.0)
"""Seconds until a recording is tried again, at first and at most."""

STILL: Final = 30.0
"""Seconds for which a journal without an end must not have changed before its call is taken to be over."""

ORPHAN: Final = 3600.0
"""Seconds after which a raw track without a journal is one that nobody knows of."""


_KEPT: Final[tuple[State, ...]] = ("ready", "failed")  # what else there is, is on its way to one of these


class Shelf(Protocol):
    """The list of recordings. Raises Unavailable; makes nobody wait but who asks."""

    def state(
        self,
        recording: str,
        state: State,
        problem: Problem | None = None,
        start: log.Start | None = None,
        agents: Sequence[Person] = (),
    ) -> bool:
        """What is known of one that is not finished; False of one that was deleted."""

    def keep(self, result: Result) -> bool:
        """A finished one; False of one that was deleted."""

    def forget(self, recording: str) -> None:
        """It is deleted."""

    def one(self, recording: str) -> tuple[Entry, Result | None]:
        """Raises NotFound."""

    def search(self, wanted: Wanted, after: str | None = None, limit: int = 50) -> EntryPage:
        """The newest, or those that follow `after`."""


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
        self._kept_at = float("-inf")
        self._processes = Processes()
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
        """Its raw tracks and its journal are gone. Raises Conflict (`recording_busy`) while it is worked on, or the
        call is up, and Unavailable."""
        item = self._items.get(recording)
        if item and (item.busy or (item.journal and not self._over(item))):
            raise Conflict("recording_busy", "The recording is not finished yet; it can be deleted then.")
        outcome = self._apply(self._processes.run, self._job("discard", recording=recording))
        if not outcome["ok"]:
            logger.warning("the raw tracks of recording %s are not deleted: %s", recording, outcome["text"])
            raise Unavailable("archive_unavailable", "The raw tracks cannot be reached.")
        if item:
            self._apply(item.path.unlink, True)
            self._items.pop(recording, None)

    # --- looking -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._wake.clear()
            for step in (self._look, self._keep_house):
                try:
                    step()
                except Unavailable:  # the index has said so; what can be done without it is done
                    continue
                except Exception:
                    logger.exception("the queue of recordings stumbled")
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
            try:
                about = path.stat()
                if (about.st_mtime_ns, about.st_size) != item.stamp:
                    item.journal, item.broken = log.read(path), ""
                    item.stamp = about.st_mtime_ns, about.st_size
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

    def _tell(self, name: str, item: _Item, state: State, problem: Problem | None = None) -> None:
        journal = item.journal
        people = _agents(journal) if journal else ()
        said = (state, problem, people)
        if item.said != said:
            self._shelf.state(name, state, problem, journal.start if journal else _nobody(name, item), people)
            item.said = said

    # --- working -----------------------------------------------------------------------------------------------------

    def _work(self, name: str, item: _Item) -> None:
        try:
            self._try(name, item)
        except Unavailable as error:  # the index: what is made stays, and is told again
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
        with suppress(Unavailable):  # it is worked on all the same
            self._tell(name, item, "working")
        if item.journal is None:
            self._failed(name, item, Problem("journal_broken", item.broken), final=True)
            return
        outcome = self._apply(self._processes.run, self._job("make", journal=str(item.path)))
        if outcome["ok"]:
            self._done(name, item, load(outcome["result"]))
        elif outcome["code"] == "busy":
            item.due = time.monotonic() + self._pauses[0]
        else:
            self._failed(name, item, Problem(outcome["code"], outcome["text"]), outcome["final"])

    def _done(self, name: str, item: _Item, result: Result) -> None:
        if not self._shelf.keep(result):
            self._asked.erase(result)  # somebody has deleted it meanwhile
        self._apply(item.path.unlink, True)
        self._items.pop(name, None)
        logger.info("recording %s is ready: %.0f s, %d tracks", name, result.duration, len(result.tracks))

    def _failed(self, name: str, item: _Item, problem: Problem, final: bool) -> None:
        if item.failure != problem:
            logger.warning("recording %s cannot be made: %s (%s)", name, problem.text, problem.code)
        item.failure = problem
        self._later(item)
        if final:
            item.due = float("inf")  # until somebody says so, or the service starts anew
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

    # --- keeping house -----------------------------------------------------------------------------------------------

    def _keep_house(self) -> None:
        if time.monotonic() - self._kept_at < KEEPING:
            return
        self._kept_at = time.monotonic() - KEEPING + AGAIN  # unless it comes to its end
        self._orphans()
        self._outdated()
        self._kept_at = time.monotonic()

    def _orphans(self) -> None:
        """Raw tracks without a journal are listed; nobody deletes what he does not know."""
        outcome = self._apply(self._processes.run, self._job("scan"))
        if not outcome["ok"]:
            logger.warning("raw tracks cannot be looked for: %s", outcome["text"])
            return
        by_id: dict[str, list[tuple[str, float]]] = {}
        for name, at in outcome["files"]:
            by_id.setdefault(recording_of(name) or "", []).append((name, at))
        for recording, files in by_id.items():
            last = max(at for _, at in files)
            if recording in self._items or time.time() - last < ORPHAN:
                continue
            if self._is_ready(recording):  # its file is there; whoever made it did not come to delete these
                self.discard(recording)
                continue
            names = ", ".join(sorted(name for name, _ in files))
            problem = Problem("journal_missing", f"nothing is known of these raw tracks: {names}")
            self._shelf.state(recording, "failed", problem, _unknown(recording, last))

    def _is_ready(self, recording: str) -> bool:
        try:
            return self._shelf.one(recording)[0].state == "ready"
        except NotFound:
            return False

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
                self.discard(entry.id)
            else:
                self._asked.erase(result)
            self._shelf.forget(entry.id)
        except CoachingError as error:
            logger.warning("recording %s was kept long enough, and is not deleted: %s", entry.id, error.message)
            return
        self._asked.erased(entry)


def _agents(journal: log.Journal) -> tuple[Person, ...]:
    names = {line.agent: line.name for line in journal.lines if isinstance(line, log.Party)}
    return tuple(Person(agent, name) for agent, name in names.items())


def _nobody(name: str, item: _Item) -> log.Start:
    return _unknown(name, item.stamp[0] / 1e9 or time.time())


def _unknown(recording: str, at: float) -> log.Start:
    """What is listed of a recording of which nothing is known but that it was."""
    return log.Start(at, recording, "", "", f"{recording}-call.wav", None, "", "", "", "off")
