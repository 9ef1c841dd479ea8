"""The steps of a coached call on the simulator, with a verdict on each: for programs, and where no picture can be
painted. They are those of the demo on FreeSWITCH, but here the simulator tells who hears whom, frame by frame."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ccwhisper.cli.client import Client
from ccwhisper.cli.demo.words import NAMES, api, matrix, rounded
from ccwhisper.cli.output import Exit, Output, visible
from ccwhisper.cli.screen import Screen
from ccwhisper.proof.simulated import SimulatorError, SimulatorProcess
from ccwhisper.proof.steps import COACH, STEPS, Step

LEVEL: Final = -16.0
"""dBFS at which everybody speaks in the simulator."""

_PARTIES: Final = {"+493023125042": "caller", "1001": "agent", "+493023125043": "second", "1002": "colleague",
                   "9001": COACH}  # fmt: skip
_WINDOW: Final = 0.1  # seconds that are looked at
_SETTLE: Final = 0.04  # a gate moves within a frame of 20 ms
_PATIENCE: Final = 10.0


@dataclass(frozen=True, slots=True)
class Look:
    """What was heard in a step: listener → name → dBFS. `missing` and `foreign` count the frames of the agent that the
    caller did not get, and those in which he heard anybody else. `beep` counts frames of it by listener."""

    step: Step
    levels: Mapping[str, Mapping[str, float]]
    other_call: Mapping[str, Mapping[str, float]]
    missing: int
    foreign: int
    beep: Mapping[str, int]
    session: Mapping[str, Any] | None
    faults: tuple[str, ...]


def perform(out: Output, screen: Screen, switch: SimulatorProcess, client: Client, url: str) -> int:
    """Go through the steps and report each. Returns the exit code."""
    if not out.as_json:
        screen.line(f"ccwhisper at {url}")
    script = Script(switch.sim, client)
    looks = []
    for step in STEPS:
        looks.append(script.enter(step))
        _report(out, screen, looks[-1])
    wrong = [look for look in looks if look.faults]
    summary = {"kept": not wrong, "looks": len(looks), "wrong": len(wrong), "simulated": True}
    if out.as_json:
        out.record(summary, "")
    else:
        screen.line()
        if wrong:
            screen.line(screen.style(f"NOT AS PROMISED in {len(wrong)} of {len(looks)} steps.", "bad"))
        else:
            screen.line(screen.style(f"As promised in all {len(looks)} steps.", "good"))
            screen.line("The caller lost no frame of the agent's, and outside of barge heard none of")
            screen.line("Carla's. The same on a real switch: ccwhisper demo --switch freeswitch")
    return Exit.FAILED if wrong else Exit.OK


class Script:
    """Two calls, one of them coached. Raises Refused, SimulatorError and OSError."""

    def __init__(self, sim: Callable[[str], Any], client: Client) -> None:
        self._sim = sim
        self._client = client
        self._session = ""
        self._legs: dict[str, str] = {}
        numbers = {role: number for number, role in _PARTIES.items()}
        for caller, agent, name in (("caller", "agent", "Ada+Ahorn"), ("second", "colleague", "Ben+Birk")):
            made = self._sim(f"call {numbers[agent]} {numbers[caller]} {name}")
            self._legs |= {caller: made["caller"], agent: made["agent"]}
        self._agent = numbers["agent"]
        self._call = self._until(lambda: self._calls().get(self._agent), "the service does not show the calls")
        self._until(lambda: self._calls().get(numbers["colleague"]), "the service does not show the calls")
        self._wait(_WINDOW)

    def enter(self, step: Step) -> Look:
        """Do the step, and look what is heard then."""
        since = time.monotonic()
        before = set(self._sim(f"hears {self._legs['caller']} 100")["heard"]) != {self._agent}
        if step.mode is None and self._session:
            self._client.delete("sessions", self._session)
            self._client.get("sessions", self._session, wait="ended", timeout=_PATIENCE)
            self._until(lambda: COACH not in self._present(), "the coach's leg is still there")
        elif step.mode and not self._session:
            self._session = self._client.post("sessions", body={"call": self._call, "mode": step.mode})["id"]
        elif step.mode:
            self._client.put("sessions", self._session, "mode", body={"mode": step.mode})
        if step.mode:
            self._client.get("sessions", self._session, wait="gate", timeout=_PATIENCE)
            self._legs[COACH] = self._present().get(COACH, "")
        settled = time.monotonic() + _SETTLE
        self._wait(_SETTLE + _WINDOW)
        self._until(lambda: not self._beep(self._legs["agent"], 2 * _SETTLE), "the beep does not end")
        # What came before the request is not of this step; a barge that has just ended is still in the time before it.
        return self._look(step, since, settled if before else since)

    def _look(self, step: Step, since: float, pure_since: float) -> Look:
        now = time.monotonic()
        caller = self._legs["caller"]
        present: tuple[str, ...] = ("caller", "agent", COACH) if step.mode else ("caller", "agent")
        levels = {who: self._hears(self._legs[who], _WINDOW) for who in present}
        other = {who: self._hears(self._legs[who], _WINDOW) for who in ("colleague", "second")}
        exact = self._sim(f"frames {caller} {self._agent} {_ms(now - since)}")
        pure = self._sim(f"frames {caller} {self._agent} {_ms(now - pure_since)}")
        beep = {who: self._beep(self._legs[who], now - since) for who in present}
        session = self._client.get("sessions", self._session) if self._session else None
        faults: list[str] = []
        for who, expected in (("caller", step.caller), ("agent", step.agent), (COACH, {"caller", "agent"})):
            if who in levels:
                faults += _compared(who, levels[who], expected)
        faults += _compared("colleague", other["colleague"], {"second"})
        faults += _compared("second", other["second"], {"colleague"})
        foreign = 0 if COACH in step.caller else pure["foreign"]
        if exact["missing"]:
            faults.append(f"the caller lost {exact['missing']} frames of the agent's")
        if foreign:
            faults.append(f"the caller heard somebody else for {foreign} frames")
        faults += _beep_faults(step, beep)
        if session and step.mode and (session["mode"], session["gate"]) != (step.mode, step.gate):
            faults.append(f"the API shows mode {session['mode']}, gate {session['gate']}")
        return Look(step, levels, other, exact["missing"], foreign, beep, session, tuple(faults))

    def _hears(self, leg: str, seconds: float) -> dict[str, float]:
        heard = self._sim(f"hears {leg} {_ms(seconds)}")["heard"]
        return {_PARTIES.get(name, name): each["dbfs"] for name, each in heard.items() if name != "beep"}

    def _beep(self, leg: str, seconds: float) -> int:
        heard = self._sim(f"hears {leg} {_ms(seconds)}")["heard"]
        return int(heard["beep"]["frames"]) if "beep" in heard else 0

    def _present(self) -> dict[str, str]:
        return {_PARTIES[leg["party"]]: leg["leg"] for leg in self._sim("legs") if leg["party"] in _PARTIES}

    def _calls(self) -> dict[str, str]:
        return {call["agents"][0]["agent"]: call["id"] for call in self._client.get("calls")["calls"]}

    @staticmethod
    def _wait(seconds: float) -> None:
        time.sleep(seconds)  # what is to be heard must be said first

    @staticmethod
    def _until(condition: Callable[[], Any], otherwise: str) -> Any:
        deadline = time.monotonic() + _PATIENCE
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise SimulatorError(otherwise)
            time.sleep(0.02)
        return value


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _compared(who: str, heard: Mapping[str, float], expected: frozenset[str] | set[str]) -> list[str]:
    faults = [f"{who} does not hear {name}" for name in sorted(expected - set(heard))]
    faults += [f"{who} hears {name}" for name in sorted(set(heard) - expected)]
    faults += [
        f"{who} hears {name} at {level:.1f} dBFS"
        for name, level in heard.items()
        if name in expected and abs(level - LEVEL) > 1
    ]
    return faults


def _beep_faults(step: Step, beep: Mapping[str, int]) -> list[str]:
    wrong = [f"{who} hears the beep" for who, frames in beep.items() if frames and (who, step.name) != _BEEPS]
    if step.name == _BEEPS[1] and not beep.get(_BEEPS[0]):
        wrong.append("the agent does not hear the beep")
    return wrong


_BEEPS: Final = ("agent", "whisper")


def _report(out: Output, screen: Screen, look: Look) -> None:
    if out.as_json:
        record: dict[str, Any] = {
            "step": look.step.name,
            "kept": not look.faults,
            "faults": list(look.faults),
            "looks": 1,
            "levels_dbfs": {who: rounded(heard) for who, heard in look.levels.items()},
            "other_call_dbfs": {who: rounded(heard) for who, heard in look.other_call.items()},
            "agent_frames_lost_to_caller": look.missing,
            "foreign_frames_at_caller": look.foreign,
            "beep_frames": dict(look.beep),
            "session": look.session,
        }
        out.record(record, "")
        return
    screen.line()
    screen.line(f"{look.step.name}: {look.step.promise}")
    for line in matrix(look.levels):
        screen.line(line)
    verdict = screen.style(look.faults[0], "bad") if look.faults else screen.style("as promised", "good")
    screen.line(f"  heard       {verdict}")
    if any(look.beep.values()):
        heard = ", ".join(f"{NAMES[who]} {frames or '–'}" for who, frames in look.beep.items())
        screen.line(f"  beep        frames of 20 ms: {heard}")
    screen.line(f"  the API     {visible(api(look.session))[:66]}")
