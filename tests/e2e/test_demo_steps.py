"""The demo by itself, where there is no terminal: its steps, its verdicts, and that it notices what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from ccwhisper.cli.client import Client
from ccwhisper.cli.demo.script import Script
from ccwhisper.proof.service import ServiceProcess
from ccwhisper.proof.simulated import SimulatorError, SimulatorProcess
from ccwhisper.proof.steps import STEPS

from .traces import Traces

pytestmark = pytest.mark.e2e

DEMO = (sys.executable, "-W", "error", "-m", "ccwhisper", "demo")


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


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_a_broken_promise_is_an_exit_code(traces: Traces, option: tuple[str, ...]) -> None:
    misled = (
        "from ccwhisper.cli import main; from ccwhisper.cli.demo import simulated; "
        "from tests.e2e.test_demo_steps import Misled; simulated.Client = Misled; main()"
    )
    done = ran(traces, "demo", *option, command=(sys.executable, "-c", misled))
    assert (done.returncode, done.stderr) == (1, "")
    if option:
        records = [json.loads(line) for line in done.stdout.splitlines()]
        assert [record["kept"] for record in records] == [True, True, False, True, True, True, False]
        assert records[-1]["wrong"] == 1
    else:
        assert "NOT AS PROMISED in 1 of 6 steps." in done.stdout
        assert "  heard       caller hears carla\n" in done.stdout
    traces.assert_none()


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
