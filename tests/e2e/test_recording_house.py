"""What is deleted, what was kept long enough, and raw tracks that are away, late or unknown: nothing else goes with
them, and nothing is held up."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from dataclasses import replace
from typing import Any
from uuid import UUID

import gevent
import pytest

from ccwhisper.coaching.errors import Conflict, Unavailable
from ccwhisper.recording import house, process, work
from ccwhisper.recording import journal as log
from ccwhisper.recording.backlog import Backlog
from ccwhisper.recording.job import Job
from ccwhisper.recording.process import Processes
from ccwhisper.recording.result import Problem, Track
from tests.e2e.backlog import LEFT, Scene, listed, until
from tests.e2e.backlog_process import AT_ONCE
from tests.unit.tapes import ID
from tests.unit.test_recording_result import RESULT

pytestmark = pytest.mark.e2e


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


def test_a_part_that_was_left_out_stays_though_another_of_the_coach_is_in_the_file(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    session = next(track.session for track in RESULT.tracks if track.session)
    call, astray = scene.tape().call, scene.raws / f"{ID}-{session}-2.wav"
    call.rename(astray)
    (scene.raws / f"{ID}-s1.wav").unlink()
    scene.index.entries = [listed(ID, 0)]
    scene.index.ready = {ID: replace(RESULT, id=ID, problems=(Problem("track_astray", "…", astray.name),))}
    os.utime(astray, (0.0, 0.0))
    scene.open()
    until(lambda: "was made before these raw tracks came" in caplog.text)
    assert astray.exists()


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
