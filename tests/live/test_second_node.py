"""Who hears whom, as a second FreeSWITCH sees it: another SIP stack and another ear than the phones of the other tests.

It plays caller, agent and two coaches; the service is driven over HTTP. Every figure comes from wav files that the
second switch has recorded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np
import pytest

from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.stage import (
    BEEP,
    FLOOR,
    LEVEL,
    SILENT,
    TONES,
    Coach,
    NotAsExpected,
    Stage,
    Verdict,
    table,
    wait_until,
)
from ccwhisper.proof.timeline import Float
from ccwhisper.proof.tones import FLOOR_DBFS, level_dbfs
from tests.live.report import Report
from tests.live.second_node import RATE, USERS, SecondNode

pytestmark = pytest.mark.live

PAIR = {"caller", "agent"}
SETTLE = 0.2  # seconds: what was in flight when somebody switched, and the frames that a recording costs at its start
LOOK = 0.6  # seconds that are measured then
MOMENT = -45.0  # dBFS over 120 ms: one frame of a tone sent at -16 is heard at -30, the edges of a gap of one at -60


@pytest.fixture(scope="module")
def second(node: PrivateNode, whole_stage: Stage) -> Iterator[SecondNode]:
    for user in USERS.values():
        whole_stage.sign_out(user)
    with SecondNode(node) as second:
        yield second


@pytest.fixture
def call(stage: Stage, second: SecondNode, report: Report, request: pytest.FixtureRequest) -> Iterator[Call]:
    """A caller and an agent who talk."""
    call = Call(stage, second)
    yield call
    for coach in call.coaches:
        coach.api.close()
    if call.off:
        for line in call.figures():
            report.say(request.node.name, line)


class Call:
    """A call between two telephones of the second node, with its coaches."""

    def __init__(self, stage: Stage, second: SecondNode) -> None:
        self.stage, self.second = stage, second
        self.coaches: list[Coach] = []
        self.said: dict[str, float] = {}  # dBFS, by name: as last recorded at the telephone
        self.off: list[float] = []  # dB between a coach at the agent and what the coach said
        self.traces: dict[str, float] = {}  # dBFS, by name: the loudest at a caller who must not hear it
        before = {each["id"] for each in stage.calls()}
        self.legs = {"caller": second.call("2001"), "agent": second.answered("agent")}
        seen = wait_until("the API shows the call", lambda: [c for c in stage.calls() if c["id"] not in before])
        self.id = seen[0]["id"]

    def coach(self, name: str) -> Coach:
        """Somebody starts to coach, and listens."""
        coach = Coach(name, self.stage.service.api(name, devices=[self.stage.device(name)]))
        self.coaches.append(coach)
        coach.session = coach.api.ask("POST", "/sessions", {"call": self.id, "mode": "listen"})["id"]
        self.legs[name] = self.second.answered(name)
        coach.wait("listening")
        coach.wait("gate")
        return coach

    def ended(self, name: str) -> None:
        """Somebody's telephone is hung up by the switch; waits for it."""
        leg = self.legs.pop(name)
        wait_until(f"{name}'s call has ended", lambda: self.second.gone(leg))

    def expect(
        self,
        label: str,
        *,
        meanwhile: Callable[[], object] = lambda: None,
        beep_allowed: bool = False,
        **hear: Collection[str],
    ) -> None:
        """Everybody hears exactly those who are named, within 1 dB of what they say in the same moment.

        A coach who is not named hears caller and agent. Raises NotAsExpected with the whole table.
        """
        takes = self.second.record(self.legs, LOOK, SETTLE, meanwhile)
        self.said |= {name: float(np.median(windows(take.said, TONES[name]))) for name, take in takes.items()}
        wrong = [f"{name} speaks at {self.said[name]:.1f} dBFS" for name in takes if abs(self.said[name] - LEVEL) > 1]
        tones = {name: TONES[name] for name in self.legs} | {"beep": BEEP}
        verdict = Verdict(label)
        for listener, take in takes.items():
            parts = {name: windows(take.heard, freq) for name, freq in tones.items()}
            verdict.levels[listener] = levels = {name: float(np.median(part)) for name, part in parts.items()}
            wanted = hear.get(listener, PAIR)
            floor = FLOOR if listener == "caller" and set(wanted) <= {"agent"} else SILENT
            for name, level in levels.items():
                if name in wanted and not self._right(listener, name, level):
                    wrong.append(f"{listener} hears {name} at {level:.1f} dBFS, said at {self.said[name]:.1f}")
                elif name not in wanted and level > floor and not (name == "beep" and beep_allowed):
                    wrong.append(f"{listener} hears {name} at {level:.1f} dBFS, must not (limit {floor:.0f})")
                elif listener == "caller" and name not in wanted and max(parts[name]) > MOMENT:
                    wrong.append(f"caller hears {name} at {max(parts[name]):.1f} dBFS for a moment")
        self.stage.verdicts.append(verdict)
        if wrong:
            raise NotAsExpected(f"{label}: " + "; ".join(wrong) + "\n" + table(verdict))
        self._remember(verdict.levels, hear)

    def figures(self) -> list[str]:
        """What was measured, for the report."""
        return [
            "said: " + ", ".join(f"{name} {level:.2f} dBFS" for name, level in self.said.items()),
            f"agent hears a coach within {max(self.off):.2f} dB of what was said, in {len(self.off)} measurements",
            "caller, when he must not hear it: "
            + ", ".join(f"{name} at most {level:.1f} dBFS" for name, level in sorted(self.traces.items())),
        ]

    def _right(self, listener: str, name: str, level: float) -> bool:
        if PAIR.isdisjoint({listener, name}):
            return -45 < level < -8  # a coach reaches another twice, through both directions of the agent's leg
        return abs(level - self.said[name]) <= 1.0

    def _remember(self, levels: Mapping[str, Mapping[str, float]], hear: Mapping[str, Collection[str]]) -> None:
        coaches = levels.keys() - PAIR
        self.off += [abs(levels["agent"][name] - self.said[name]) for name in coaches & {*hear.get("agent", ())}]
        if set(hear["caller"]) <= {"agent"}:
            for name in coaches | {"beep"}:
                self.traces[name] = max(levels["caller"][name], self.traces.get(name, FLOOR_DBFS))


def every(seconds: float, action: Callable[[], object]) -> Callable[[], None]:
    """What may be called as often as one likes, and acts at once and then every so many seconds: a key that is held."""
    due = 0.0

    def act() -> None:
        nonlocal due
        if (now := time.monotonic()) >= due:
            due = now + seconds
            action()

    return act


def windows(samples: Float, freq: float, seconds: float = 0.12) -> list[float]:
    """The level of a tone in dBFS, window by window. The median says what is usually heard: a packet that comes late
    where it is recorded leaves a gap, whose edges sound a little like every other tone."""
    width = int(seconds * RATE)
    return [level_dbfs(samples[at : at + width], freq, RATE) for at in range(0, len(samples) - width + 1, width)]


QUIET = {"caller": {"agent"}, "agent": {"caller"}}
WHISPER = {"caller": {"agent"}, "agent": {"caller", "carla"}}
BARGE = {"caller": {"agent", "carla"}, "agent": {"caller", "carla"}}


def test_every_mode_as_a_second_switch_hears_it(call: Call) -> None:
    call.expect("before anybody coaches", **QUIET)
    carla = call.coach("carla")
    call.expect("listen", **QUIET)
    carla.mode("whisper")
    call.expect("whisper", **WHISPER, beep_allowed=True)
    carla.mode("barge")
    call.expect("barge", **BARGE)
    carla.mode("listen")
    call.expect("back in listen", **QUIET)
    carla.mode("whisper")
    carla.mute()
    carla.wait()
    call.expect("whisper, muted", **QUIET, beep_allowed=True)
    carla.mute(False)
    carla.wait()
    call.expect("unmuted", **WHISPER)
    carla.talk("push")
    carla.wait()
    call.expect("push-to-talk, released", **QUIET)
    carla.press()
    call.expect("pressed", **WHISPER, meanwhile=every(0.4, carla.press))
    carla.release()
    carla.wait()
    call.expect("released again", **QUIET)
    carla.mode("barge")
    call.expect("barge, released", **QUIET)
    carla.press()
    call.expect("barge, pressed", **BARGE, meanwhile=every(0.4, carla.press))
    carla.leave()
    call.ended("carla")
    call.expect("after the coach has left", **QUIET)


def test_two_coaches_and_a_take_over_as_a_second_switch_hears_them(call: Call) -> None:
    carla, dora = call.coach("carla"), call.coach("dora")
    call.expect("both listen", **QUIET)
    carla.mode("whisper")
    # A coach that attached later hears the whisper of the earlier one.
    call.expect("carla whispers, dora listens", **WHISPER, dora={*PAIR, "carla"}, beep_allowed=True)
    dora.mode("whisper")
    both = {"caller", "carla", "dora"}
    call.expect("both whisper", caller={"agent"}, agent=both, dora={*PAIR, "carla"}, beep_allowed=True)
    dora.mode("barge")
    call.expect("carla whispers, dora barges", caller={"agent", "dora"}, agent=both,
                carla={*PAIR, "dora"}, dora={*PAIR, "carla"})  # fmt: skip
    dora.mute()
    dora.wait()
    call.expect("dora muted", **WHISPER, dora={*PAIR, "carla"})
    carla.take_over()
    call.ended("agent")
    call.ended("dora")
    assert carla.wait("ended")["reason"] == "took_over"
    call.expect("carla took over", caller={"carla"}, carla={"caller"})


def test_the_beep_as_a_second_switch_hears_it(call: Call, report: Report, request: pytest.FixtureRequest) -> None:
    carla = call.coach("carla")
    once = every(60, lambda: carla.mode("whisper"))
    takes = call.second.record(call.legs, 1.0, 0.06, once)
    beep = {name: loudest(take.heard, BEEP) for name, take in takes.items()}
    report.say(request.node.name, "loudest: " + ", ".join(f"{name} {level:.1f} dBFS" for name, level in beep.items()))
    assert beep["agent"] == pytest.approx(-13 - 3.17, abs=1)  # -13 dBm0; a full-scale sine is +3.17 dBm0
    assert beep["caller"] < MOMENT, "the caller must not hear the beep"
    assert beep["carla"] < MOMENT


def loudest(samples: Float, freq: float) -> float:
    """The level of a tone in dBFS over those 100 ms where it is loudest."""
    return max(windows(samples[at:], freq, 0.1)[0] for at in range(0, len(samples) - RATE // 10, 160))
