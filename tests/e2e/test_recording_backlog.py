"""The queue of recordings over real files and the worker's real processes: what lies there is made, what cannot be made
is listed with the reason, and nothing is lost, whoever dies."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import gevent
import pytest

from ccwhisper.coaching.errors import Conflict, NotFound, Unavailable
from ccwhisper.recording import house, process, work
from ccwhisper.recording import journal as log
from ccwhisper.recording.backlog import Asked, Backlog, Where
from ccwhisper.recording.index import Entry, EntryPage, Person, State, Wanted
from ccwhisper.recording.job import Job
from ccwhisper.recording.places import digest
from ccwhisper.recording.process import Processes
from ccwhisper.recording.result import Problem, Result, Track, decoded
from ccwhisper.store.database import Database
from ccwhisper.store.recordings import Recordings
from tests.e2e.backlog_process import AT_ONCE
from tests.unit.tapes import ID, Tape, killed
from tests.unit.test_recording_result import RESULT

pytestmark = pytest.mark.e2e

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


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(process, "_COMMAND", AT_ONCE)
    made = Scene(tmp_path)
    yield made
    for each in made.backlogs:
        each.stop()


def test_a_recording_that_is_over_is_made_and_its_raw_tracks_go(scene: Scene) -> None:
    scene.tape().write()
    scene.open()
    until(lambda: ID in scene.index.ready)
    until(lambda: not scene.left())
    result = scene.index.ready[ID]
    assert scene.states()[-1] == ("working", None)
    assert scene.index.people[ID] == (Person("1001", "Ada"),)
    assert result.file == f"2026/11/21/{ID}.mp4"
    assert (scene.archive / result.file).stat().st_size == result.size
    assert decoded((scene.archive / result.file).with_suffix(".json").read_bytes()) == result
    assert (scene.archive / str(result.peaks)).exists()
    assert scene.litter() == []


def test_a_recording_that_goes_on_is_left_alone(scene: Scene) -> None:
    scene.goes_on = True
    tape = scene.tape()
    tape.write(over=False)
    backlog = scene.open()
    until(lambda: scene.states() == [("recording", None)])
    with pytest.raises(Conflict) as refused:
        backlog.discard(ID)
    assert refused.value.code == "recording_busy"
    scene.goes_on = None  # its switch is away: nobody knows
    until(lambda: scene.states()[-1] == ("recording", "node_unavailable"))
    assert tape.call.exists()
    scene.goes_on = False  # it is back, and the call is not
    until(lambda: ID in scene.index.ready)


def test_what_a_service_left_is_made_by_the_next(scene: Scene) -> None:
    names = [str(UUID(int=number)) for number in range(3)]
    for name in names:
        scene.tape(name).write()
    scene.open(workers=2)
    until(lambda: set(scene.index.ready) == set(names))
    until(lambda: not scene.left())


def test_a_missing_track_is_listed_and_tried_again(scene: Scene) -> None:
    tape = scene.tape()
    content = tape.call.read_bytes()
    tape.call.unlink()
    tape.write()
    scene.open()
    until(lambda: ("failed", "track_missing") in scene.states())
    assert scene.left()
    tape.call.write_bytes(content)
    until(lambda: ID in scene.index.ready)


def test_a_folder_that_vanished_is_listed_and_tried_again(scene: Scene) -> None:
    scene.tape().write()
    away = scene.raws.with_name("away")
    scene.raws.rename(away)
    scene.open()
    until(lambda: ("failed", "place_unreachable") in scene.states())
    away.rename(scene.raws)
    until(lambda: ID in scene.index.ready)


def test_an_archive_that_cannot_be_written_costs_nothing(scene: Scene) -> None:
    scene.tape().write()
    scene.archive.rmdir()  # a disk that is not mounted
    scene.open()
    until(lambda: ("failed", "place_unreachable") in scene.states())
    assert len(scene.left()) == 3
    assert not scene.archive.exists()
    scene.archive.mkdir()
    until(lambda: ID in scene.index.ready)


@pytest.mark.parametrize("room", [300, 5000, 15_000])
def test_a_full_disk_is_reported_and_nothing_is_deleted(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """The system refuses the worker files of more bytes than these: their header, their sound, and what is copied to
    put the index in front."""
    scene.tape().write()
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))"
    script = f"{limited}; from ccwhisper.recording import work; work.main()"
    with monkeypatch.context() as full:
        full.setattr(process, "_COMMAND", (sys.executable, "-c", script))
        scene.open()
        until(lambda: ("failed", "disk_full") in scene.states())
    assert ID not in scene.index.ready
    assert len(scene.left()) == 3
    until(lambda: ID in scene.index.ready and not scene.left())
    assert scene.litter() == []


def refuse(tape: Tape) -> None:
    tape.call.unlink()
    tape.say(log.Problem(0.0, "not_recorded", "Cannot open", tape.call.name))
    tape.lines = [line for line in tape.lines if not isinstance(line, log.Begun)]
    tape.journal.write_bytes(b"".join(log.encoded(line) for line in tape.lines))


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda tape: tape.call.write_bytes(b""), "track_empty"),
        (lambda tape: tape.call.write_bytes(b"no sound" * 10), "track_unreadable"),
        (lambda tape: tape.journal.write_bytes(b"nothing\n"), "journal_broken"),
        (
            lambda tape: tape.journal.write_bytes(tape.journal.read_bytes().replace(b"-call.wav", b"/../x")),
            "journal_broken",
        ),
        (refuse, "not_recorded"),
    ],
)
def test_what_can_never_be_made_is_listed_until_somebody_says_so(
    scene: Scene, spoil: Callable[[Tape], object], code: str
) -> None:
    tape = scene.tape()
    tape.write()
    spoil(tape)
    backlog = scene.open()
    until(lambda: ("failed", code) in scene.states())
    assert scene.index.starts[ID] is not None
    count = len(scene.states())
    other = str(UUID(int=1))
    scene.tape(other).write()
    backlog.wake()
    until(lambda: other in scene.index.ready)
    assert len(scene.states()) == count
    backlog.retry(ID)
    until(lambda: len(scene.states()) > count)
    until(lambda: scene.states()[-1] == ("failed", code))
    backlog.discard(ID)
    assert scene.left() == []
    with pytest.raises(NotFound):
        backlog.retry(ID)


def test_a_track_that_is_still_written_is_waited_for(scene: Scene) -> None:
    tape = scene.tape()
    killed(tape.call)
    tape.write()
    scene.open()
    until(lambda: ("failed", "track_open") in scene.states())
    long_ago = time.time() - 3600
    os.utime(tape.call, (long_ago, long_ago))
    until(lambda: ID in scene.index.ready)
    assert [each.code for each in scene.index.ready[ID].problems] == ["track_unfinished"]


def test_an_index_that_is_away_holds_up_no_work(scene: Scene) -> None:
    scene.index.away = True
    scene.tape().write()
    scene.open()
    until(lambda: list(scene.archive.rglob("*.json")))
    until(lambda: scene.left() == [f"{ID}.jsonl"])
    scene.index.away = False
    until(lambda: ID in scene.index.ready)
    until(lambda: not scene.left())


def test_one_that_was_deleted_meanwhile_is_gone(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene.index, "keep", lambda _result: False)
    scene.tape().write()
    scene.open()
    until(lambda: scene.erased == [ID])
    until(lambda: not scene.left())


def begun(scene: Scene) -> None:
    """What a worker leaves that was killed before it came to the result."""
    day = scene.archive / "2026/11/21"
    room = scene.archive / f".{ID}.part"
    for folder in (day, room):
        folder.mkdir(parents=True)
    for path in (day / f"{ID}.mp4", day / f"{ID}.peaks", day / f".{ID}.mp4.part", room / f"{ID}.mp4"):
        path.write_bytes(b"sound")
    (scene.archive / "another.mp4").write_bytes(b"sound")


@pytest.mark.parametrize("broken", [False, True])
def test_what_is_deleted_is_gone_everywhere(scene: Scene, broken: bool) -> None:
    scene.goes_on = True
    journal = scene.tape().write(over=False)
    (scene.raws / f"{ID}-call.wav.sha256").write_bytes(b"0" * 64)
    begun(scene)
    backlog = scene.open()
    until(lambda: scene.states() == [("recording", None)])
    backlog.stop()
    if broken:
        journal.write_bytes(b"nothing\n")
    scene.goes_on = False
    backlog = scene.open(look=3600.0, workers=0)
    backlog.discard(ID)
    assert scene.left() == []
    assert [path.name for path in scene.archive.rglob("*") if path.is_file()] == ["another.mp4"]


def test_what_was_deleted_is_not_made(scene: Scene) -> None:
    """By a service that died then, or while its files could not be reached."""
    scene.index.deleted.add(ID)
    scene.tape().write()
    begun(scene)
    scene.open()
    until(lambda: not scene.left())
    assert [path.name for path in scene.archive.rglob("*") if path.is_file()] == ["another.mp4"]
    assert scene.states() == [("working", None)]


def test_nobody_begins_with_what_is_being_deleted(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    go = scene.folder / "go"
    wait = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n"
    scene.tape().write()
    backlog = scene.open(workers=0)
    until(lambda: scene.states() == [("waiting", None)])
    backlog._workers = 1
    monkeypatch.setattr(process, "_COMMAND", (sys.executable, "-c", wait + AT_ONCE[2]))
    deleting = gevent.spawn(backlog.discard, ID)
    until(lambda: backlog._processes._running)
    for _ in range(5):
        backlog.wake()
        gevent.sleep(0)
        with pytest.raises(Conflict):
            backlog.discard(ID)
    go.touch()
    deleting.get()
    until(lambda: not scene.left())
    assert scene.states() == [("waiting", None)]


def test_what_another_service_works_on_is_not_deleted(scene: Scene) -> None:
    journal = scene.tape().write()
    backlog = scene.open(workers=0)
    with journal.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Conflict) as refused:
            backlog.discard(ID)
        assert refused.value.code == "recording_busy"
        assert len(scene.left()) == 3
    backlog.discard(ID)
    assert scene.left() == []


def test_a_journal_that_a_full_disk_kept_empty_is_read_when_it_is_written(scene: Scene) -> None:
    journal = scene.tape().write()
    content = journal.read_bytes()
    journal.write_bytes(b"")
    scene.open()
    until(lambda: ("failed", "journal_broken") in scene.states())
    journal.write_bytes(content)
    until(lambda: ID in scene.index.ready)


def test_a_place_that_is_away_holds_up_no_other(scene: Scene) -> None:
    away, orphan = scene.folder / "away", str(UUID(int=1))
    for path in (scene.tape(orphan).call, scene.raws / f"{orphan}-s1.wav"):
        os.utime(path, (0.0, 0.0))
    scene.tape().write()
    scene.open(away, scene.raws)
    until(lambda: ID in scene.index.ready)
    until(lambda: ("failed", "journal_missing") in scene.states(orphan))
    until(lambda: not [name for name in scene.left() if ID in name])
    missing = scene.tape(str(UUID(int=2)))
    missing.write()
    (scene.raws / f"{missing.name}-s1.wav").unlink()
    until(lambda: ("failed", "place_unreachable") in scene.states(missing.name))
    assert missing.call.exists()


def test_a_look_that_hangs_holds_up_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = "import sys\nif '\"scan\"' in (said := sys.stdin.read()): import time; time.sleep(3600)\n"
    rest = "import io\nsys.stdin = io.StringIO(said)\n"
    monkeypatch.setattr(process, "_COMMAND", (sys.executable, "-c", hangs + rest + AT_ONCE[2]))
    scene.open()
    until(lambda: scene.backlogs[0]._processes._running)
    scene.tape().write()
    until(lambda: ID in scene.index.ready)


def test_what_was_not_done_in_time_lets_the_others_go_first(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, asked = Processes.run, []

    def run(self: Processes, job: Job) -> dict[str, Any]:
        if ID not in job.journal:
            return whole(self, job)
        asked.append(job.do)
        return {"ok": False, "code": "worker_hung", "text": "", "final": False}

    monkeypatch.setattr(Processes, "run", run)
    scene.tape().write()
    backlog = scene.open()
    until(lambda: ("failed", "worker_hung") in scene.states())
    for number in range(3):
        name = str(UUID(int=number))
        scene.tape(name).write()
        until(lambda name=name: name in scene.index.ready)
    assert asked == ["make"]
    backlog.retry(ID)
    until(lambda: asked == ["make", "make"])


@pytest.mark.parametrize("begun", [True, False])
def test_a_coachs_track_that_may_still_come_is_waited_for(scene: Scene, begun: bool) -> None:
    tape = scene.tape()
    if not begun:
        tape.lines = [line for line in tape.lines if not (isinstance(line, log.Begun) and "s1" in line.file)]
    journal = tape.write()
    track = scene.raws / f"{ID}-s1.wav"
    content = track.read_bytes()
    track.unlink()
    scene.open()
    if begun:
        until(lambda: ("failed", "track_missing") in scene.states())
        assert tape.call.exists()
        track.write_bytes(content)
        until(lambda: ID in scene.index.ready)
        assert len(scene.index.ready[ID].tracks) == 2
    else:  # the switch may never have begun it, and nobody sends it from elsewhere
        until(lambda: ID in scene.index.ready)
        assert "track_missing" in [each.code for each in scene.index.ready[ID].problems]
    assert journal.parent.exists()


def test_a_coachs_track_that_never_comes_is_told(scene: Scene) -> None:
    journal = scene.tape().write()
    (scene.raws / f"{ID}-s1.wav").unlink()
    long_ago = time.time() - 2 * work.AWAITED
    os.utime(journal, (long_ago, long_ago))
    scene.open()
    until(lambda: ID in scene.index.ready)
    assert [each.code for each in scene.index.ready[ID].problems] == ["track_missing"]


def test_a_coachs_track_whose_time_cannot_be_is_kept(scene: Scene) -> None:
    tape = scene.tape()
    tape.lines = [
        replace(line, at=line.at + 1e8) if isinstance(line, log.Begun) and "s1" in line.file else line
        for line in tape.lines
    ]
    tape.write()
    scene.open()
    until(lambda: ID in scene.index.ready)
    until(lambda: scene.left() == [f"{ID}-s1.wav"])
    assert [each.code for each in scene.index.ready[ID].problems] == ["track_astray"]


def test_a_coachs_track_that_came_too_late_is_not_deleted(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    call, late = scene.tape().call, scene.raws / f"{ID}-late.wav"
    call.rename(late)
    (scene.raws / f"{ID}-s1.wav").unlink()
    scene.index.entries = [listed(ID, 0)]
    scene.index.ready = {ID: replace(RESULT, id=ID)}
    os.utime(late, (0.0, 0.0))
    scene.open()
    until(lambda: "was made before these raw tracks came" in caplog.text)
    assert late.exists()


def test_raw_tracks_of_what_was_deleted_go_whenever_they_come(scene: Scene) -> None:
    scene.tape()
    scene.index.entries = [listed(ID, 0, state="deleted")]
    scene.open()
    until(lambda: not scene.left())
    assert scene.states() == []


def test_raw_tracks_that_cannot_be_deleted_keep_nothing_else(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object) -> None:
        raise Unavailable("archive_unavailable", "It cannot be reached.")

    monkeypatch.setattr(Backlog, "_clear", refuse)
    old = str(UUID(int=1))
    for path in (scene.tape().call, scene.raws / f"{ID}-s1.wav"):
        os.utime(path, (0.0, 0.0))
    scene.days = {"sales": 30}
    scene.index.entries = [listed(ID, 1), listed(old, 31)]
    scene.index.ready = {name: replace(RESULT, id=name, tracks=RESULT.tracks[:1]) for name in (ID, old)}
    (scene.raws / f"{ID}-s1.wav").unlink()
    scene.open()
    until(lambda: scene.told == [old])
    assert scene.left() == [f"{ID}-call.wav"]


def test_raw_tracks_of_which_nobody_knows_are_listed(scene: Scene) -> None:
    orphan, fresh, ready = (str(UUID(int=number)) for number in (1, 2, 3))
    for name in (orphan, fresh, ready):
        scene.tape(name)
    long_ago = time.time() - 7200
    for path in scene.raws.iterdir():
        if fresh not in path.name:
            os.utime(path, (long_ago, long_ago))
    scene.index.entries = [listed(ready, 0)]
    scene.index.ready = {ready: replace(RESULT, id=ready, tracks=(Track(0, "call", "Call", "und", 2, "aac"), LEFT))}
    (scene.raws / "somebody-elses.wav").write_bytes(b"")
    scene.open()
    until(lambda: ("failed", "journal_missing") in scene.states(orphan))
    until(lambda: not [name for name in scene.left() if ready in name])  # its file is there; these were left over
    assert fresh not in scene.index.states
    assert ready not in scene.index.states
    start = scene.index.starts[orphan]
    assert start is not None
    assert start.at == pytest.approx(long_ago, abs=1)
    assert (scene.raws / f"{orphan}-call.wav").exists()
    assert (scene.raws / "somebody-elses.wav").exists()


def test_what_was_kept_long_enough_goes(scene: Scene) -> None:
    scene.days = {"sales": 30}
    old, young, other, broken = (str(UUID(int=number)) for number in range(4))
    tape = scene.tape(broken)
    scene.index.entries = [
        listed(old, 31), listed(young, 29), listed(other, 400, "support"), listed(broken, 31, state="failed")
    ]  # fmt: skip
    scene.index.ready = {name: replace(RESULT, id=name) for name in (old, young, other)}
    scene.open()
    until(lambda: set(scene.told) >= {old, broken})
    assert scene.erased == [old]
    assert scene.index.deleted == {old, broken}
    assert not tape.call.exists()


def test_what_cannot_be_deleted_is_not_said_to_be(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house, "KEEPING", 0.0)
    scene.days = {"sales": 30}
    scene.index.entries = [listed(ID, 31, state="failed")]
    away = scene.raws.with_name("away")
    scene.raws.rename(away)
    scene.open()
    until(lambda: scene.asked > 3)
    assert scene.told == []
    assert scene.index.deleted == set()
    away.rename(scene.raws)
    until(lambda: scene.told)


def test_a_worker_has_none_of_the_services_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CCWHISPER_JWT_SECRET", "CCW_S3_KEY", "CCW_OTHER", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "a-secret")
    monkeypatch.setattr(
        process, "_COMMAND", (sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))")
    )
    had = Processes().run(Job("scan", (), {"key_env": "CCW_S3_KEY"}))
    assert {name for name, value in had.items() if value == "a-secret"} == {"CCW_S3_KEY", "HTTPS_PROXY"}
    assert had["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(
    ("script", "code", "text"),
    [
        (
            "import sys; sys.stdin.read(); raise ValueError('broken\x1b')",
            "worker_failed",
            "the process ended with 1: ValueError: broken",
        ),
        (
            "import os, sys; sys.stdin.read(); os.kill(os.getpid(), 9)",
            "worker_failed",
            "the process ended with -9: no reason",
        ),
        ("import sys; sys.stdin.read(); import time; time.sleep(3600)", "worker_hung", "it was not done in 0 s"),
    ],
)
def test_a_process_that_fails_says_how(monkeypatch: pytest.MonkeyPatch, script: str, code: str, text: str) -> None:
    monkeypatch.setattr(process, "_COMMAND", (sys.executable, "-c", script))
    outcome = Processes(patience=0.4 if "sleep" in script else PATIENCE).run(Job("scan", (), {}))
    assert (outcome["ok"], outcome["code"], outcome["final"]) == (False, code, False)
    assert outcome["text"].startswith(text)


def test_a_process_that_cannot_be_ended_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What waits for a disk that is gone dies when that comes back; its child stands for it here."""
    number = tmp_path / "number"
    script = (
        "import os, pathlib, time\n"
        "if os.fork():\n"
        "    time.sleep(3600)\n"
        f"pathlib.Path({str(number)!r}).write_text(str(os.getpid()))\n"
        "time.sleep(3600)\n"
    )
    monkeypatch.setattr(process, "_COMMAND", (sys.executable, "-c", script))
    assert Processes(patience=2.0).run(Job("scan", (), {}))["code"] == "worker_hung"
    os.kill(int(number.read_text()), signal.SIGKILL)  # it is still there


def test_no_process_outlives_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    processes = Processes()
    processes.stop()
    assert processes.run(Job("scan", (), {}))["code"] == "worker_failed"


# --- killed at random --------------------------------------------------------------------------------------------


def job(scene: Scene, name: str = ID) -> Job:
    journal = str(scene.journals / f"{name}.jsonl")
    return Job("make", (str(scene.raws),), {}, str(scene.archive), journal, room=str(scene.folder / "room"))


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from ccwhisper.recording import mp4, places, work

left = int(sys.argv[1])
work.NICE = 0

def step():
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1

def stepping(owner, name):
    whole = getattr(owner, name)
    def wrapped(*given, **more):
        step()
        found = whole(*given, **more)
        step()
        return found
    setattr(owner, name, wrapped)

for owner, name in (
    (mp4, "verify"), (Path, "replace"), (places.Folder, "remove")
):
    stepping(owner, name)
work.main()
"""


@pytest.mark.timeout(600)
def test_a_worker_that_dies_at_any_step_has_lost_nothing(tmp_path: Path) -> None:
    """Before and after each step: either the raw tracks are there, or the file is, whole, and the result with it."""
    outcomes = set()
    for number in range(100):
        (tmp_path / str(number)).mkdir()
        scene = Scene(tmp_path / str(number))
        scene.tape(seconds=2.0).write()
        command = [sys.executable, "-c", KILLED_AT, str(number)]
        ended = subprocess.run(command, input=job(scene).dumped(), capture_output=True, check=False)
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        written = [
            decoded(path.read_bytes()) for path in scene.archive.rglob("*.json") if ".part" not in path.as_posix()
        ]
        for result in written:
            assert digest(scene.archive / result.file) == result.sha256
            assert (scene.archive / str(result.peaks)).exists()
        if not written:
            assert len(scene.left()) == 3, "a raw track is gone, and no file is there"
        outcomes.add((len(written), len(scene.left())))
        assert work.done(job(scene))["result"]["tracks"]
        assert scene.left() == [f"{ID}.jsonl"]
        assert scene.litter() == []
    assert outcomes == {(0, 3), (1, 3), (1, 2), (1, 1)}, "it was killed at every step"


def test_two_at_once_are_one(scene: Scene) -> None:
    """A worker that a service left behind, and the one of the service that came after."""
    scene.tape(seconds=60.0).write()
    both = [subprocess.Popen(AT_ONCE, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    for each in both:
        assert each.stdin is not None
        each.stdin.write(job(scene).dumped())
        each.stdin.close()
    said = []
    for each in both:
        assert each.stdout is not None
        said.append(each.stdout.read())
        each.stdout.close()
        each.wait()
    # The other was busy, or so late that it found it done.
    assert any(b'"ok": true' in each for each in said)
    assert all(b'"ok": true' in each or b'"code": "busy"' in each for each in said)
    assert scene.left() == [f"{ID}.jsonl"]
    assert Processes().run(job(scene))["ok"]


@pytest.mark.timeout(600)
def test_whoever_is_killed_nothing_is_lost(scene: Scene) -> None:
    """Services and their workers end at any moment of the work on 32 recordings; then one is let."""
    names = [str(UUID(int=number)) for number in range(32)]
    for name in names:
        scene.tape(name, seconds=3.0).write()
    broken = names[::8]
    for name in broken:
        (scene.raws / f"{name}-call.wav").write_bytes(b"no sound" * 10)
    database = Database.sqlite(scene.folder / "index.db")
    database.upgrade()
    index = Recordings(database, "an installation")
    index.start()
    chance = random.Random(7)
    for number in range(10):
        service = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.backlog_process", str(scene.folder)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2], start_new_session=True,
        )  # fmt: skip
        assert service.stdout is not None
        assert service.stdout.readline() == b"started\n"
        gevent.sleep(chance.uniform(0.1, 1.2))
        if number % 2:
            os.killpg(service.pid, signal.SIGKILL)  # and all its workers
        else:
            service.kill()
        service.wait()
        service.stdout.close()

    def listed(state: State) -> int:
        return len(index.search(Wanted(state=state), None, 200).entries)

    before = listed("ready")
    assert before < len(names) - len(broken), "all was done before anybody was killed: this shows nothing"
    scene.index = index
    scene.open(workers=2)
    for number in range(before, len(names) - len(broken)):  # of a busy machine nothing is asked but that it goes on
        until(lambda number=number: listed("ready") > number)
    until(lambda: listed("failed") == len(broken))
    assert listed("ready") == len(names) - len(broken)
    for entry in index.search(Wanted(), None, 200).entries:
        _, result = index.one(entry.id)
        if result is None:
            assert entry.problem is not None
            assert (entry.id in broken, entry.problem.code) == (True, "track_unreadable")
        else:
            assert digest(scene.archive / result.file) == result.sha256
            assert len(result.tracks) == 2
    until(lambda: len(scene.left()) == 3 * len(broken))
    until(lambda: scene.litter() == [])
    scene.backlogs[0].stop()
    index.stop()
    database.close()
