"""The demo as a user runs it: a process of its own, and nothing of it left afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.live


@contextmanager
def demo(*options: str) -> Iterator[subprocess.Popen[str]]:
    """A running demo. Whatever it started is gone when it has ended, processes and directories alike."""
    command = [sys.executable, "-m", "ccwhisper", "demo", "--switch", "freeswitch", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def directories(processes: list[psutil.Process]) -> list[Path]:
    """The temporary directories that are named in their command lines."""
    words = {word for each in processes for word in each.cmdline() if "/ccwhisper-" in word}
    assert len(words) > 2
    return [Path(word) for word in words]


def test_each_step_is_as_promised(freeswitch: Path) -> None:
    with demo("--pace", "0") as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "As promised in all 6 looks." in output
    assert "\x1b" not in output  # no terminal: plain lines
    assert max(map(len, output.splitlines())) <= 80
    steps = [line.partition(":")[0] for line in output.splitlines() if line[:1].islower() and ": " in line]
    assert steps == ["talk", "listen", "whisper", "barge", "back", "leave"]


def test_it_stays_to_be_driven_from_a_second_terminal_and_leaves_nothing_behind(freeswitch: Path) -> None:
    with demo("--pace", "0", "--keep", "--json") as process:
        assert process.stdout
        records = [json.loads(process.stdout.readline()) for _ in range(8)]
        assert [each["kept"] for each in records[:7]] == [True] * 7
        environment = records[7]["environment"]
        assert oct(os.stat(environment).st_mode & 0o777) == "0o600"
        script = f". {environment} && ccwhisper calls && ccwhisper whisper 1002 && ccwhisper leave"
        done = subprocess.run(["sh", "-c", script], capture_output=True, check=False, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        assert "Agent 1002 hears you" in done.stdout
        started = descendants(process)
        places = directories(started)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        psutil.wait_procs(started, 1)
        assert [each for each in started if each.is_running()] == []
        assert [place for place in places if place.exists()] == []


def test_interrupted_in_the_middle_it_leaves_nothing_behind(freeswitch: Path) -> None:
    with demo("--pace", "0", "--json") as process:
        assert process.stdout
        process.stdout.readline()  # the first step is done, the coach is on his way
        started = descendants(process)
        places = directories(started)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 130
        psutil.wait_procs(started, 1)
        assert [each for each in started if each.is_running()] == []
        assert [place for place in places if place.exists()] == []
