"""The worker's processes: what they may see, how they fail, and that nothing is lost, whoever is killed, whenever."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import gevent
import pytest

from ccwhisper.recording import process, work
from ccwhisper.recording.index import State, Wanted
from ccwhisper.recording.job import Job
from ccwhisper.recording.places import digest
from ccwhisper.recording.process import Processes
from ccwhisper.recording.result import decoded
from ccwhisper.store.database import Database
from ccwhisper.store.recordings import Recordings
from tests.e2e.backlog import PATIENCE, Scene, until
from tests.e2e.backlog_process import AT_ONCE
from tests.unit.tapes import ID

pytestmark = pytest.mark.e2e


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
