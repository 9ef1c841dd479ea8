"""`ccwhisper recording` against a service."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import av
import pytest

from ccwhisper.coaching.policy import REVIEW
from ccwhisper.recording.journal import Start
from ccwhisper.recording.result import Problem, Result

from .service import Service, token
from .test_cli import Run, environment, ran
from .test_review import made

pytestmark = pytest.mark.e2e


@pytest.fixture
def one(service: Service) -> Result:
    return made(service)


@pytest.fixture
def run(service: Service) -> Run:
    def run(*arguments: str, **claims: Any) -> Any:
        bearer = token(**{"sub": "rita", "permissions": [REVIEW], **claims})
        return ran("recording", *arguments, env=environment(service, bearer))

    return run


def test_a_list_and_one_of_it(one: Result, run: Run) -> None:
    heads, row = run("list").stdout.splitlines()
    assert heads.split()[:2] == ["ID", "STARTED"]
    assert row.split()[0] == one.id
    assert "ready" in row
    assert json.loads(run("list", "--json", "--queue", "another@default").stdout)["recordings"] == []
    assert run("list", "--mode", "barge", "--flagged", "--text", "nothing").stdout == "There are no such recordings.\n"
    shown = run("show", one.id).stdout
    assert all(track.name in shown for track in one.tracks)
    assert all(chapter.text in shown for chapter in one.chapters)
    assert run("show", "none").returncode == 4
    assert run("list", permissions=[]).returncode == 3


def test_files_of_it(one: Result, run: Run, tmp_path: Path) -> None:
    found = {}
    for name, more in (("whole", []), ("call", ["--without-coaches"]), ("coach", ["--track", "1"])):
        path = tmp_path / f"{name}.mp4"
        assert run("export", one.id, str(path), *more).returncode == 0
        with av.open(str(path)) as container:
            found[name] = [each.channels for each in container.streams.audio]
    assert found["whole"] == [track.channels for track in one.tracks]
    assert found["call"] == [2]
    assert found["coach"] == [1]
    assert run("export", one.id, str(tmp_path / "no"), "--track", "9").returncode == 4
    assert run("export", one.id, str(tmp_path / "no"), "--track", "1", "--without-coaches").returncode == 2
    assert run("export", one.id, str(tmp_path / "no" / "where")).returncode == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["call.mp4", "coach.mp4", "whole.mp4"]


def test_a_file_that_broke_off_is_none(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        done = ran("recording", "export", "r1", str(tmp_path / "r1.mp4"), "--url", url, env=environment(None))
        thread.join()
    assert (done.returncode, "broke off" in done.stderr) == (6, True)
    assert list(tmp_path.iterdir()) == []


def test_one_that_could_not_be_made(service: Service, one: Result, run: Run) -> None:
    start = Start(5.0, "r1", "fs1", "leg", "r1-call.wav", "support@default", "inbound", "+1", "Jo\x1b", "off")
    problem = Problem("track_missing", "there is no raw track r1-call.wav")
    service.run(lambda: service.shelves.index.state("r1", "failed", problem, start))
    assert "there is no raw track r1-call.wav" in run("list", "--state", "failed").stdout
    assert "track_missing" in run("show", "r1").stdout
    assert run("retry", "r1").returncode == 0
    assert service.shelves.raw.retried == ["r1"]
    assert run("retry", one.id).returncode == 5
