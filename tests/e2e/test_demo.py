"""The demo as a user runs it: keys at a terminal, what its screen shows, what the API says, and what is left."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from ccwhisper.cli.client import Client, Refused
from ccwhisper.cli.demo.process import SimulatorError, SimulatorProcess
from ccwhisper.cli.demo.script import Script
from ccwhisper.proof.service import ServiceProcess
from ccwhisper.proof.steps import STEPS

from .glass import PATIENCE, Glass

pytestmark = pytest.mark.e2e

DEMO = (sys.executable, "-W", "error", "-m", "ccwhisper", "demo")
MARK = "CCW_TEST_MARK"
UP, DOWN = "\x1b[A", "\x1b[B"
CTRL_C, CTRL_Z = "\x03", "\x1a"


class Traces:
    """What a demo leaves: files in a directory of its own, processes with a mark in their environment."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.env = {"TMPDIR": str(directory), MARK: uuid.uuid4().hex}
        self._client: Client | None = None

    def api(self) -> Client:
        """The API with the token that the demo gives to a second terminal."""
        if self._client is None:
            (file,) = self.directory.glob("ccwhisper-service-*/env")
            assert file.stat().st_mode & 0o077 == 0
            values = dict(line.removeprefix("export ").partition("=")[::2] for line in file.read_text().splitlines())
            (url,), (token,) = (shlex.split(values[name]) for name in ("CCWHISPER_URL", "CCWHISPER_TOKEN"))
            self._client = Client(url, token)
        return self._client

    def close(self) -> None:
        if self._client:
            self._client.close()

    def processes(self) -> list[str]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.env[MARK]:
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue  # it has ended, or is nobody's business
        return found

    def assert_none(self) -> None:
        assert self.processes() == []
        assert list(self.directory.iterdir()) == []


@pytest.fixture
def traces(tmp_path: Path) -> Iterator[Traces]:
    made = Traces(tmp_path)
    yield made
    made.close()


@contextmanager
def view(traces: Traces, columns: int = 80, lines: int = 24, **env: str) -> Iterator[Glass]:
    """A demo at a terminal, once the opening call is coached."""
    with Glass(DEMO, columns, lines, {**traces.env, **env}) as glass:
        glass.until("Nobody hears you. Press w")
        yield glass


def session(client: Client) -> dict[str, Any]:
    (only,) = client.get("sessions")["sessions"]
    return dict(only)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)


def ears(text: str) -> dict[str, list[str]]:
    """The rows of who hears whom: caller, agent, Carla, beep."""
    return {line.split(" hears ")[0].strip(): line.split(" hears ")[1].split() for line in text.splitlines()
            if " hears " in line and line.split(" hears ")[1].strip()[:1] in "·y–"}  # fmt: skip


# --- the view --------------------------------------------------------------------------------------------------------


def test_within_seconds_a_call_is_coached(traces: Traces) -> None:
    with view(traces) as glass:
        text = glass.until(lambda text: "Agent 1001 and Ada Ahorn" in text and "yes" in text)
        assert "SIMULATED SWITCH: for trying, not for production" in text
        assert "you: listen · nobody hears you" in text
        assert text.splitlines()[-1].endswith("q quit")
        assert session(traces.api())["mode"] == "listen"
        glass.until(lambda text: sum("Agent 10" in line for line in text.splitlines()[:13]) > 3)  # lively calls
        glass.press("q")
        assert glass.end() == 0
        assert glass.restored
        assert glass.screen.lines[1] == "The demo has ended; nothing of it is left."
    traces.assert_none()


def test_keys_change_the_mode_and_who_hears_whom(traces: Traces) -> None:
    rows = {
        "listen": (["·", "yes", "–"], ["yes", "·", "–"], ["yes", "yes", "·"]),
        "whisper": (["·", "yes", "–"], ["yes", "·", "yes"], ["yes", "yes", "·"]),
        "barge": (["·", "yes", "yes"], ["yes", "·", "yes"], ["yes", "yes", "·"]),
    }
    with view(traces) as glass:
        client = traces.api()

        def shows(mode: str) -> Callable[[str], bool]:
            def check(text: str) -> bool:
                heard = ears(text)
                now = tuple(heard[who][:3] for who in ("caller", "Agent 1001", "Carla (you)") if who in heard)
                return now == rows[mode]

            return check

        for key, mode, words in (
            ("w", "whisper", "whisper · Agent 1001 hears you"),
            ("b", "barge", "barge · Agent 1001 and the caller hear you"),
            ("l", "listen", "listen · nobody hears you"),
            ("W", "whisper", "whisper · Agent 1001 hears you"),
        ):
            glass.press(key)
            glass.until(words)
            glass.until(shows(mode))
            assert session(client)["mode"] == mode
        # Only the agent hears the beep, which is shown for a while.
        assert ears(glass.until(lambda text: "yes" in ears(text).get("Agent 1001", [""])[-1]))["caller"][-1] == "–"
        glass.press("m")
        glass.until("· muted")
        glass.until(shows("listen"))
        assert session(client)["muted"] is True
        glass.press("m")
        glass.until(lambda text: "muted" not in text)
        glass.press("x")
        glass.until("you are not on this call")
        assert client.get("sessions")["sessions"] == []
        glass.press("m")
        glass.until("First listen")


def test_the_space_bar_is_heard_for_as_long_as_it_is_held(traces: Traces) -> None:
    with view(traces) as glass:
        client = traces.api()
        glass.press(" ")
        glass.until("p makes it push-to-talk")
        glass.press("w")
        glass.until("Agent 1001 hears you")
        glass.press("p")
        glass.until("push-to-talk, not held")
        identifier = session(client)["id"]
        for _ in range(40):  # as a keyboard repeats; longer than a press that is not said again is good for
            glass.press(" ")
            glass.read(0.05)
            time.sleep(0.04)
        assert client.get("sessions", identifier)["gate"] == "agent"
        assert "push-to-talk, held" in glass.screen.text
        glass.until("push-to-talk, not held")
        assert client.get("sessions", identifier)["gate"] == "closed"
        glass.press("p")
        glass.until("microphone open")


def test_another_call_is_chosen_and_coached_instead(traces: Traces) -> None:
    with view(traces) as glass:
        client = traces.api()
        glass.until(lambda text: len(client.get("calls")["calls"]) > 1 and "Agent 10" in text.splitlines()[5])
        glass.press(DOWN)
        glass.until("you are on another call: Agent 1001, listen")
        glass.press("k")
        glass.until("you: listen")
        glass.press("j")
        glass.until("you are on another call")
        first = session(client)
        glass.press("w")
        glass.until(lambda text: "you: whisper · Agent 10" in text)
        second = session(client)
        assert second["call"] != first["call"]
        assert client.get("sessions", first["id"])["reason"] == "coach_left"
        glass.press(UP)
        glass.until("you are on another call")


def test_take_over_and_hang_up(traces: Traces) -> None:
    with view(traces) as glass:
        glass.press("t")
        glass.until("You and Ada Ahorn; Agent 1001 has been released")
        glass.until(lambda text: ears(text).get("caller", [])[:3] == ["·", "–", "yes"])
        assert "Agent 1001 hears  " not in glass.screen.text.replace("Agent 1001 hears you", "") or not ears(
            glass.screen.text
        ).get("Agent 1001")
        glass.press("l")
        glass.until("You are on the phone with the caller: x hangs up.")
        glass.press("x")
        glass.until("The call that you took over has ended.")
        assert traces.api().get("sessions")["sessions"] == []


def test_a_second_terminal_drives_it_too(traces: Traces) -> None:
    with view(traces) as glass:
        glass.press("?")
        text = glass.until("KEYS")
        assert "Any key: back" in text
        (file,) = traces.directory.glob("ccwhisper-service-*/env")
        assert f". {file}" in text.replace("\n ", "")  # however long it is
        done = subprocess.run(
            ["sh", "-c", f". {file} && ccwhisper barge 1001"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        glass.press("?")
        glass.until("you: barge · Agent 1001 and the caller hear you")


# --- the terminal ----------------------------------------------------------------------------------------------------


def test_a_large_terminal_shows_more(traces: Traces) -> None:
    with view(traces, 120, 40) as glass:
        glass.press("w")
        text = glass.until("you on 1001  whisper · Agent 1001 hears you")
        assert "LATELY" in text
        glass.resize(80, 24)
        glass.until(lambda text: "LATELY" not in text and "q quit" in text)
        glass.resize(60, 20)
        glass.until(lambda text: text.split("\n")[0] == "80 x 24 are needed.")
        glass.resize(100, 30)
        glass.until("LATELY")


def test_only_what_has_changed_is_painted(traces: Traces) -> None:
    with view(traces) as glass:
        age = re.compile(r" \d:\d\d ")
        before = age.findall(glass.until("0:02"))
        glass.written = ""
        glass.until(lambda text: age.findall(text)[0] != before[0])
        # A second of five looks: ages, and calls that come and go. A whole picture has 1,900 characters.
        assert 0 < len(glass.written) < 1900
        assert "\x1b[2J" not in glass.written
        glass.written = ""
        glass.press("\x0c")
        glass.until(lambda _text: "\x1b[2J" in glass.written)


def test_without_colour(traces: Traces) -> None:
    with view(traces, NO_COLOR="1") as glass:
        assert glass.screen.styles == set()
        assert "▸ Agent 1001" in glass.screen.text
    with view(Traces(traces.directory)) as glass:
        assert glass.screen.styles


def test_a_terminal_that_knows_no_unicode(traces: Traces) -> None:
    with view(traces, PYTHONIOENCODING="ascii") as glass:
        assert "> Agent 1001" in glass.screen.text
        assert glass.screen.text.isascii()


def test_the_terminal_is_given_back_while_it_is_stopped(traces: Traces) -> None:
    with view(traces) as glass:
        demo = psutil.Process(glass.process.pid)
        glass.press(CTRL_Z)
        until(lambda: demo.status() == psutil.STATUS_STOPPED)
        glass.read()
        assert glass.restored
        demo.send_signal(signal.SIGCONT)
        glass.until("you: listen")
        glass.press("q")
        assert glass.end() == 0
    traces.assert_none()


@pytest.mark.parametrize("size", [(79, 24), (80, 23)])
def test_a_terminal_that_is_too_small_gets_lines(traces: Traces, size: tuple[int, int]) -> None:
    with Glass(DEMO, *size, traces.env) as glass:
        assert glass.end() == 0
        assert "As promised in all 6 steps." in glass.screen.text
        assert "smaller than 80 x 24" in glass.written
        assert 1049 not in glass.screen.modes
    traces.assert_none()


# --- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["ctrl-c", "SIGTERM", "ctrl-d"])
def test_nothing_is_left(traces: Traces, how: str) -> None:
    with view(traces) as glass:
        assert len(traces.processes()) == 3
        if how == "SIGTERM":
            glass.process.terminate()
        else:
            glass.press({"ctrl-c": CTRL_C, "ctrl-d": "\x04"}[how])
        assert glass.end() == 0
        assert glass.restored
    traces.assert_none()


def test_nothing_is_left_of_a_closed_terminal(traces: Traces) -> None:
    with view(traces) as glass:
        glass.hang_up()
        assert glass.process.wait(PATIENCE) == 0
    traces.assert_none()


@pytest.mark.parametrize("started", [1, 2, 3])
def test_interrupted_while_it_starts(traces: Traces, started: int) -> None:
    with Glass(DEMO, env=traces.env) as glass:
        until(lambda: len(traces.processes()) >= started)
        glass.process.terminate()
        code = glass.end()
        assert "Traceback" not in glass.written
        assert glass.restored
        # Before its first line of Python ran it is the signal itself that ends it.
        assert code in (130, -signal.SIGTERM) if started == 1 else code == 130
    traces.assert_none()


def test_a_service_that_dies_ends_it(traces: Traces) -> None:
    with view(traces) as glass:
        (service,) = (each for each in psutil.process_iter() if "serve" in each.cmdline()
                      and each.environ().get(MARK) == traces.env[MARK])  # fmt: skip
        service.kill()
        assert glass.end() == 1
        assert glass.restored
        assert "[service_unreachable]" in glass.screen.text.replace("\n", "")
    traces.assert_none()


# --- by itself -------------------------------------------------------------------------------------------------------


def ran(
    traces: Traces | None, *arguments: str, command: tuple[str, ...] = DEMO, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *arguments], env={**os.environ, **(traces.env if traces else {}), **env}, capture_output=True,
        stdin=subprocess.DEVNULL, check=False, text=True, timeout=60,
    )  # fmt: skip


def test_the_steps_as_json_and_without_the_phones_libraries(traces: Traces) -> None:
    without = "import sys; sys.modules['numpy'] = None; from ccwhisper.cli import main; main(['demo', '--json'])"
    done = ran(traces, command=(sys.executable, "-W", "error", "-c", without))
    assert (done.returncode, done.stderr) == (0, "")
    *steps, summary = map(json.loads, done.stdout.splitlines())
    assert [each["step"] for each in steps] == [step.name for step in STEPS]
    assert all(each["kept"] and each["faults"] == [] for each in steps)
    assert [(each["session"] or {}).get("gate") for each in steps] == [
        None, "closed", "agent", "everyone", "closed", "closed",
    ]  # fmt: skip
    assert "carla" not in steps[2]["levels_dbfs"]["caller"]
    assert steps[2]["levels_dbfs"]["agent"]["carla"] == pytest.approx(-16, abs=0.5)
    assert steps[2]["beep_frames"]["agent"] in range(5, 12)
    assert steps[2]["beep_frames"]["caller"] == 0
    assert summary == {"kept": True, "looks": 6, "wrong": 0, "simulated": True}
    traces.assert_none()


def test_the_steps_as_lines(traces: Traces) -> None:
    done = ran(traces)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stdout.startswith("Starting a simulated switch (for trying, not for production)")
    assert "whisper: the agent hears Carla, the caller does not" in done.stdout
    assert "As promised in all 6 steps." in done.stdout


class Misled(Client):
    """A coach whose every request to whisper is one to barge in."""

    def put(self, *path: str, body: Any) -> dict[str, Any]:
        return super().put(*path, body={"mode": "barge"} if body == {"mode": "whisper"} else body)


@pytest.mark.parametrize(
    ("extra", "client", "faults"),
    [
        ("", Client, []),
        ("", Misled, ["caller hears carla", "the caller heard somebody else for", "mode barge, gate everyone"]),
        ("[queue.default]\nbeep = { on = [] }\n", Client, ["the agent does not hear the beep"]),
        ("[queue.default]\nbeep = { on = ['listen', 'whisper'] }\n", Client, ["agent hears the beep"]),
    ],
)
def test_a_broken_promise_is_noticed(extra: str, client: type[Client], faults: list[str]) -> None:
    with SimulatorProcess("--ring", "0.02") as switch:
        switch.start()
        with ServiceProcess(switch, extra, agents=("1001", "1002")) as service:
            mine = client(service.url, service.token("carla", devices=[f"9001@{switch.domain}"]))
            script = Script(switch.sim, mine)
            found = [fault for step in STEPS[:3] for fault in script.enter(step).faults]
            mine.close()
    assert bool(found) == bool(faults)
    for fault in faults:
        assert any(fault in each for each in found), found


def test_lost_frames_are_noticed() -> None:
    with SimulatorProcess("--ring", "0.02") as switch:
        switch.start()
        with ServiceProcess(switch, agents=("1001", "1002")) as service:
            mine = Client(service.url, service.token("carla", devices=[f"9001@{switch.domain}"]))
            script = Script(switch.sim, mine)
            agent = next(leg["leg"] for leg in switch.sim("legs") if leg["party"] == "1001")

            def sim(command: str) -> Any:
                if command.startswith("legs"):  # once the coach is there: a beep without a jitter buffer to hide it
                    switch.api(f"uuid_jitterbuffer {agent} 0")
                    switch.api(f"uuid_displace {agent} start tone_stream://v=-13;%(200,0,1400) 0 mux")
                return switch.sim(command)

            script._sim = sim
            faults = script.enter(STEPS[1]).faults
            mine.close()
    assert any("the caller lost" in fault for fault in faults), faults
    assert "agent hears the beep" in faults


def test_what_the_simulator_refuses_is_an_error() -> None:
    with SimulatorProcess() as switch:
        with pytest.raises(SimulatorError, match="does not run"):
            switch.sim("legs")
        switch.start()
        with pytest.raises(SimulatorError, match="no user"):
            switch.sim("call 7777")
    with SimulatorProcess("--no-such-option") as broken, pytest.raises(SimulatorError, match="--no-such-option"):
        broken.start()


def test_the_token_permits_coaching_only(traces: Traces) -> None:
    with view(traces):
        client = traces.api()
        assert client.get("me")["devices"] == ["9001@ccwhisper.local"]
        with pytest.raises(Refused):
            client.post("sessions", body={"agent": "1001", "device": "9002@ccwhisper.local"})


# --- FreeSWITCH ------------------------------------------------------------------------------------------------------


def test_a_switch_that_is_not_there() -> None:
    done = ran(None, "--switch", "freeswitch", FREESWITCH_BIN="/nowhere/freeswitch")
    assert done.returncode == 6
    assert done.stdout == ""
    assert done.stderr == "FREESWITCH_BIN=/nowhere/freeswitch is not a program.\n"


@pytest.mark.parametrize("option", [("--keep",), ("--pace", "1")])
def test_options_that_need_a_real_switch(option: tuple[str, ...]) -> None:
    done = ran(None, *option)
    assert done.returncode == 2
    assert "--switch freeswitch" in done.stderr
