"""`ccwhisper simulate`: what it says of itself, and that the service and other clients can use it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from ccwhisper.proof.node import AuthenticationRefused, event_socket_api
from ccwhisper.proof.service import ServiceProcess

from .glass import PATIENCE
from .traces import until

pytestmark = pytest.mark.e2e

COMMAND = (sys.executable, "-W", "error", "-m", "ccwhisper", "simulate")
PASSWORD = "a-password-for-the-simulator"


@contextmanager
def running(*options: str, **env: str) -> Iterator[subprocess.Popen[str]]:
    kept = {name: value for name, value in os.environ.items() if name != "CCW_ESL_PASSWORD"}
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", *options], env={**kept, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def told(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    return "".join(lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_people_are_told_is_true(number: signal.Signals) -> None:
    with running("--agents", "3", "--coaches", "1", "--ring", "0", "--domain", "example.org") as process:
        text = told(process)
        assert "SIMULATED SWITCH: for trying and testing, not for production." in text
        assert "1001@example.org to 1003@example.org" in text
        assert re.search(r"coaches +9001@example.org\n", text)
        port = int(re.findall(r"Event Socket +127\.0\.0\.1:(\d+)", text)[0])
        password = re.findall(r"export CCW_ESL_PASSWORD=(\w+)", text)[0]
        (line,) = (line for line in text.splitlines() if line.startswith("  api "))
        commands = re.findall(r"api (sim .+?)(?: {2}|$)", line)
        assert len(commands) == 3
        for command in commands:
            assert not event_socket_api(port, password, command).startswith("-ERR"), command
        (shell,) = (line for line in text.splitlines() if "/dev/tcp/" in line)
        env = {**os.environ, "CCW_ESL_PASSWORD": password}
        said = subprocess.run(
            ["bash", "-c", shell], env=env, capture_output=True, check=True, text=True, timeout=PATIENCE
        )
        assert '"party": "+493023125042"' in said.stdout
        parties = {leg["party"] for leg in json.loads(event_socket_api(port, password, "sim legs"))}
        assert {"+493023125042", "1001"} <= parties
        with pytest.raises(AuthenticationRefused):
            event_socket_api(port, "another", "status")
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0


def test_the_service_runs_on_it() -> None:
    with running("--json", "--ring", "0", "--calls", "4", CCW_ESL_PASSWORD=PASSWORD) as process:
        assert process.stdout
        about = json.loads(process.stdout.readline())
        assert about == {"simulator": True, "host": "127.0.0.1", "port": about["port"], "domain": "ccwhisper.local"}
        node = SimpleNamespace(host="127.0.0.1", esl_port=about["port"], esl_password=PASSWORD, domain=about["domain"])
        with ServiceProcess(node, agents=[str(1001 + at) for at in range(8)]) as service:  # type: ignore[arg-type]
            desk = service.api("desk")
            until(lambda: len(desk.ask("GET", "/calls")["calls"]) >= 2)
            desk.close()


def test_a_port_that_is_taken() -> None:
    with running("--json") as first:
        assert first.stdout
        about = json.loads(first.stdout.readline())
        assert len(about["password"]) >= 16
        done = subprocess.run(
            [*COMMAND, "--port", str(about["port"])], capture_output=True, check=False, text=True, timeout=PATIENCE
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert f"127.0.0.1:{about['port']}: Address already in use. --port 0 takes any free one." in done.stderr


@pytest.mark.parametrize("wrong", [("--calls", "1001"), ("--agents", "0"), ("--port", "x"), ("--loud",)])
def test_wrong_usage(wrong: tuple[str, ...]) -> None:
    done = subprocess.run([*COMMAND, *wrong], capture_output=True, check=False, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize(
    ("typed", "word"), [("ccwhisper sim", "simulate"), ("ccwhisper demo --switch s", "simulator"),
                        ("ccwhisper simulate --ag", "--agents")]
)  # fmt: skip
def test_completion(typed: str, word: str) -> None:
    words = typed.split()
    env = {**os.environ, "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1), "_CCWHISPER_COMPLETE": "bash_complete"}
    done = subprocess.run(COMMAND[:-1], env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert word in done.stdout
