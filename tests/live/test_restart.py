"""The service dies, comes back, or does not come back: what coaches, agents and callers notice of it.

A service of its own on the shared node, with a lease that is short enough to wait for. Its Event Socket goes through a
cable that can be cut.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from ccwhisper.proof.calls import PhoneCall
from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.sources import Tone
from ccwhisper.proof.stage import BEEP, DEVICES, LEVEL, SILENT, TONES, Coach, Refused, Scene, Stage, wait_until
from ccwhisper.proof.tones import level_dbfs
from tests.live.cable import Cable
from tests.live.report import Report

pytestmark = pytest.mark.live

LEASE, RENEWED, DEADMAN = 6, 2, 3
CONFIG = f"[coaching]\nlease_seconds = {LEASE}\nlease_every = {RENEWED}\ndeadman_seconds = {DEADMAN}\n"
PAIR = {"caller", "agent"}


@pytest.fixture(scope="module")
def cable(node: PrivateNode) -> Iterator[Cable]:
    with Cable(node.host, node.esl_port) as cable:
        yield cable


@pytest.fixture(scope="module")
def own_stage(node: PrivateNode, cable: Cable) -> Iterator[Stage]:
    stage = Stage(node, CONFIG)
    config = stage.service.config.read_text()
    assert f"port = {node.esl_port}\n" in config
    stage.service.config.write_text(config.replace(f"port = {node.esl_port}\n", f"port = {cable.port}\n"))
    with stage:
        yield stage


@pytest.fixture
def stage(
    own_stage: Stage, cable: Cable, node: PrivateNode, report: Report, request: pytest.FixtureRequest
) -> Iterator[Stage]:
    """A stage whose service may be killed: it runs again, with nobody on it, before the next test."""
    own_stage.verdicts.clear()
    yield own_stage
    report.add(node.version, request.node.name, own_stage.verdicts)
    cable.mend()
    if own_stage.service.process is None:
        start_again(own_stage)
    wait_until("the service has the switch", lambda: healthy(own_stage), 15)
    own_stage.clear()


def start_again(stage: Stage) -> None:
    stage.service.start()
    stage.forget_connections()


def healthy(stage: Stage) -> bool:
    return bool(stage.desk().ask("GET", "/health")["status"] == "ok")


WHAT_STAYS = ("id", "agent", "agent_name", "call", "device", "phase", "mode", "wanted", "talk", "muted", "follow",
              "gate", "settled", "held", "started_at")  # fmt: skip


def states(stage: Stage, coaches: list[Coach]) -> dict[str, dict[str, Any]]:
    """What must be the same after a restart: each session as its owner sees it, and all as others see them."""
    found = {coach.name: {name: coach.view()[name] for name in WHAT_STAYS} for coach in coaches}
    found |= {f"{each['coach']}, seen by others": each for each in stage.coaches()}
    return found


def same_states(stage: Stage, coaches: list[Coach], before: dict[str, dict[str, Any]]) -> None:
    """Wait until it is as before: after a restart each gate is told once more, which takes a moment."""
    for coach in coaches:
        coach.wait()
    assert states(stage, coaches) == before


def windows(call: PhoneCall, freq: float, since: int, until: int, width: float) -> list[float]:
    """The levels of a tone in what a call heard, in windows of `width` seconds, 20 ms apart."""
    call.wait_time(until)
    starts = range(since, until - int(width * 1e9) + 1, 20_000_000)
    return [level_dbfs(call.heard(at, at + int(width * 1e9)), freq, call.rate) for at in starts]


def longest_silence(call: PhoneCall, name: str, since: int, until: int) -> float:
    """For how many seconds at a stretch somebody was not heard. Windows are 40 ms: a frame that came late, or a buffer
    that was emptied, spoils two or three of them."""
    longest = run = 0
    for level in windows(call, TONES[name], since, until, 0.04):
        run = run + 1 if level < -30 else 0
        longest = max(longest, run)
    return longest * 0.02


def beeps(call: PhoneCall, since: int, until: int) -> bool:
    """Whether the agent heard the coaching beep. The windows are long enough for it to stand clear of other tones."""
    return max(windows(call, BEEP, since, until, 0.1)) > -40


def not_heard(call: PhoneCall, name: str) -> bool:
    now = call.mark()
    return level_dbfs(call.heard(now - 150_000_000, now - 30_000_000), TONES[name], call.rate) < SILENT


def another_call(stage: Stage, agent: str) -> Scene:
    return stage.call(agent, caller_name="second", agent_name="colleague")


def test_killed_and_started_again_everybody_is_heard_as_before(stage: Stage) -> None:
    one, two = stage.call(), another_call(stage, "1002")
    carla, dora = stage.coach("carla", one, "whisper"), stage.coach("dora", one, "barge")
    emil = stage.coach("emil", two, "whisper")
    coaches = [carla, dora, emil]

    def as_before(label: str) -> None:
        stage.expect(one, [carla, dora], label=f"{label}: carla whispers, dora barges", caller={"agent", "dora"},
                     agent={"caller", "carla", "dora"}, carla={*PAIR, "dora"}, dora={*PAIR, "carla"})  # fmt: skip
        stage.expect(two, [emil], label=f"{label}: emil whispers", caller={"colleague"}, agent={"second", "emil"})

    wait_until("the beeps are over", lambda: all(map(quiet, (one.agent, two.agent))))
    as_before("before")
    before, calls = states(stage, coaches), sorted(stage.calls(), key=str)
    began = one.agent.mark()
    stage.service.kill()
    as_before("while no service runs")
    start_again(stage)
    same_states(stage, coaches, before)
    assert sorted(stage.calls(), key=str) == calls
    as_before("after")
    ended = one.agent.mark()
    for call in (one.agent, two.agent):
        assert not beeps(call, began, ended)
    for call, name in ((one.caller, "agent"), (one.agent, "caller"), (two.caller, "colleague"),
                       (one.agent, "carla"), (one.caller, "dora"), (two.agent, "emil")):  # fmt: skip
        assert longest_silence(call, name, began, ended) <= 0.1, name


def quiet(call: PhoneCall) -> bool:
    now = call.mark()
    return max(windows(call, BEEP, now - 300_000_000, now - 30_000_000, 0.1)) < SILENT


def test_mute_push_to_talk_and_following_survive_a_crash(stage: Stage) -> None:
    one, two = stage.call(), another_call(stage, "1002")
    carla = stage.coach("carla", one, "whisper")
    carla.mute()
    dora = stage.coach("dora", one, "barge", talk="push")
    emil = stage.coach("emil", two, "whisper", follow="agent")
    coaches = [carla, dora, emil]
    quiet_pair = {"caller": {"agent"}, "agent": {"caller"}}
    for coach in coaches:
        coach.wait()
    stage.expect(one, [carla, dora], label="muted; key not pressed", beep_allowed=True, **quiet_pair)
    before = states(stage, coaches)
    dora.press()
    stage.expect(one, [carla, dora], label="key pressed", caller={"agent", "dora"}, agent={"caller", "dora"},
                 carla={*PAIR, "dora"})  # fmt: skip
    dora.press()
    stage.service.kill()
    start_again(stage)
    assert dora.view()["pressed"] is False
    same_states(stage, coaches, before)
    stage.expect(one, [carla, dora], label="started again: nobody holds the key", **quiet_pair)
    stage.expect(two, [emil], label="emil whispers", caller={"colleague"}, agent={"second", "emil"})
    carla.mute(False)
    carla.wait()
    dora.press()
    stage.expect(one, [carla, dora], label="unmuted; key pressed", caller={"agent", "dora"},
                 agent={"caller", "carla", "dora"}, carla={*PAIR, "dora"}, dora={*PAIR, "carla"})  # fmt: skip
    dora.release()
    two.hang_up()
    wait_until("emil waits", lambda: emil.view()["phase"] == "waiting")
    three = another_call(stage, "1002")
    wait_until("emil is on his agent's next call", lambda: emil.view()["call"] == three.id and emil.view()["settled"])
    stage.expect(three, [emil], label="emil has followed", caller={"colleague"}, agent={"second", "emil"},
                 beep_allowed=True)  # fmt: skip


def test_a_dead_man_of_the_life_before_closes_nothing_afterwards(stage: Stage) -> None:
    """It was armed before the crash and would strike seconds after the restart, when the gate may rightly be open."""
    scene = stage.call()
    carla = stage.coach("carla", scene, "whisper", talk="push")
    carla.press()
    carla.wait()
    stage.service.kill()
    start_again(stage)
    carla.talk("open")
    carla.wait()
    began = scene.agent.mark()
    scene.agent.wait_time(began + (DEADMAN + 1) * 1_000_000_000)
    assert carla.view()["gate"] == "agent"
    stage.expect(scene, [carla], label="open microphone", caller={"agent"}, agent={"caller", "carla"})
    assert longest_silence(scene.agent, "carla", began + 200_000_000, scene.agent.mark()) <= 0.1


def test_not_started_again_the_switch_closes_the_key_and_drops_the_coaches(stage: Stage, report: Report) -> None:
    one, two, three = stage.call(), stage.call("1003"), another_call(stage, "1002")
    carla, dora = stage.coach("carla", one, "whisper", talk="push"), stage.coach("dora", one, "barge")
    emil = stage.coach("emil", two)
    emil.take_over()
    emil.wait("ended")
    quiet_pair = {"caller": {"agent"}, "agent": {"caller"}}
    others = {"caller": {"colleague"}, "agent": {"second"}}
    ids = sorted(each["id"] for each in stage.calls())
    carla.press()
    stage.expect(one, [carla, dora], label="carla holds the key, dora barges", caller={"agent", "dora"},
                 agent={"caller", "carla", "dora"}, beep_allowed=True, carla={*PAIR, "dora"},
                 dora={*PAIR, "carla"})  # fmt: skip
    carla.press()
    died = time.monotonic()
    stage.service.kill()

    wait_until("the switch closes the key", lambda: not_heard(one.agent, "carla"), DEADMAN + 2)
    closed = time.monotonic() - died
    stage.expect(one, [carla, dora], label="the key has closed; dora still barges", caller={"agent", "dora"},
                 agent={"caller", "dora"}, carla={*PAIR, "dora"})  # fmt: skip
    assert LEASE - RENEWED - closed > 0, "the lease struck before the dead-man could be seen"
    for coach in (carla, dora):
        coach.heard_by_phone.wait("ended", died + LEASE + 1 - time.monotonic())
    dropped = time.monotonic() - died
    stage.expect(one, label="the coaches are gone", **quiet_pair)
    stage.expect(three, label="the other call", **others)
    heard = stage.listen({"caller": two.caller, "emil": emil.heard_by_phone}, TONES)
    for listener, speaker in (("caller", "emil"), ("emil", "caller")):
        assert heard[listener][speaker] == pytest.approx(LEVEL, abs=1)
    report.say("test_not_started_again_the_switch_closes_the_key_and_drops_the_coaches",
               f"service killed: key closed after {closed:.1f} s (dead-man {DEADMAN} s), coaches dropped after "
               f"{dropped:.1f} s (lease {LEASE} s)")  # fmt: skip

    start_again(stage)
    assert sorted(each["id"] for each in stage.calls()) == ids
    assert stage.coaches() == []
    stage.expect(one, label="started again", **quiet_pair)


def test_a_connection_that_is_lost_and_made_again(stage: Stage, cable: Cable) -> None:
    scene = stage.call()
    carla, dora = stage.coach("carla", scene, "whisper"), stage.coach("dora", scene, "barge")
    coaches = [carla, dora]
    hears: dict[str, set[str]] = {"caller": {"agent", "dora"}, "agent": {"caller", "carla", "dora"},
                                  "carla": {*PAIR, "dora"}, "dora": {*PAIR, "carla"}}  # fmt: skip
    wait_until("the beep is over", lambda: quiet(scene.agent))
    before = states(stage, coaches)
    began = scene.agent.mark()
    cable.cut()
    wait_until("the service knows", lambda: not healthy(stage))
    with pytest.raises(Refused) as refused:
        carla.mode("barge")
    assert (refused.value.status, refused.value.code) == (503, "node_unavailable")
    stage.expect(scene, coaches, label="no connection", **hears)
    cable.mend()
    wait_until("the service is back", lambda: healthy(stage), 10)
    same_states(stage, coaches, before)
    stage.expect(scene, coaches, label="connected again", **hears)
    ended = scene.agent.mark()
    assert not beeps(scene.agent, began, ended)
    assert longest_silence(scene.agent, "carla", began, ended) <= 0.1
    carla.mode("listen")
    stage.expect(scene, coaches, label="and it obeys", caller={"agent", "dora"}, agent={"caller", "dora"},
                 carla={*PAIR, "dora"})  # fmt: skip


def test_coaches_legs_without_a_session_are_hung_up(stage: Stage, node: PrivateNode) -> None:
    """Found at the start: a leg of ours that carries no record, one whose record says nothing, and one that another
    installation is responsible for."""
    scene = stage.call()
    agent = stage.leg_of(scene.agent)
    ours = (stage.service.directory / "var" / "installation").read_text().strip()
    stage.service.kill()
    found = {}
    for name, lease, record in (("carla", ours, ""), ("dora", ours, ",ccw_session=bm90aGluZw"),
                                ("emil", f"other{uuid.uuid4().hex}", "")):  # fmt: skip
        phone = stage.phone(DEVICES[name], Tone(TONES[name], LEVEL))
        node.api(
            f"originate {{ccw_role=coach,ccw_lease={lease}{record},eavesdrop_enable_dtmf=false}}"
            f"user/{stage.device(name)} 'eavesdrop:{agent},park' inline"
        )
        found[name] = phone.wait_call(5).wait("up")
    wait_until("all hear the call", lambda: not any(not_heard(call, "agent") for call in found.values()))
    start_again(stage)
    for name in ("carla", "dora"):
        found[name].wait("ended", 3)
    heard = stage.listen({"emil": found["emil"]}, TONES)
    assert heard["emil"]["agent"] == pytest.approx(LEVEL, abs=1), "what belongs to somebody else is left alone"
    assert stage.coaches() == []
    stage.expect(scene, label="the call goes on", caller={"agent"}, agent={"caller"})
