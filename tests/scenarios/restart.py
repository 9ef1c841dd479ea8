"""The service dies, comes back, or does not come back: what coaches, agents and callers notice of it.

The fixtures `cable` and `own_stage` bring a service whose Event Socket goes through a cable that can be cut.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.scenarios.cable import Cable
from tests.scenarios.stage import (
    DEADMAN,
    DEVICES,
    LEASE,
    LEVEL,
    RENEWED,
    SILENT,
    TONES,
    Coach,
    Party,
    Refused,
    Scene,
    Stage,
    holding,
    longest_silence,
    wait_until,
)

PAIR = {"caller", "agent"}


@pytest.fixture
def stage(own_stage: Stage, cable: Cable, on_stage: Callable[..., Iterator[Stage]]) -> Iterator[Stage]:
    """A stage whose service may be killed: it runs again, with nobody on it, before the next test."""

    def restored() -> None:
        cable.mend()
        if own_stage.service.process is None:
            start_again(own_stage)
        wait_until("the service has the switch", lambda: healthy(own_stage), 15)

    yield from on_stage(own_stage, restored)


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


def beeps(stage: Stage, call: Party, since: int, until: int) -> bool:
    """Whether the agent heard the coaching beep. The windows are long enough for it to stand clear of other tones."""
    return max(stage.windows(call, "beep", since, until, 0.1)) > -40


def not_heard(stage: Stage, call: Party, name: str) -> bool:
    now = call.mark()
    return max(stage.windows(call, name, now, now + 120_000_000, 0.1)) < SILENT


def another_call(stage: Stage, agent: str) -> Scene:
    return stage.call(agent, caller_name="second", agent_name="colleague")


def test_killed_and_started_again_everybody_is_heard_as_before(stage: Stage) -> None:
    one, two = stage.call(), another_call(stage, "1002")
    carla, dora = stage.coach("carla", one), stage.coach("dora", one, "barge")
    emil = stage.coach("emil", two, "whisper")
    carla.mode("whisper")
    coaches = [carla, dora, emil]

    def as_before(label: str) -> None:
        stage.expect(one, [carla, dora], label=f"{label}: carla whispers, dora barges", caller={"agent", "dora"},
                     agent={"caller", "carla", "dora"}, carla={*PAIR, "dora"}, dora={*PAIR, "carla"})  # fmt: skip
        stage.expect(two, [emil], label=f"{label}: emil whispers", caller={"colleague"}, agent={"second", "emil"})

    stage.after_beep(one)  # emil's began before
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
        assert not beeps(stage, call, began, ended)
    for call, name in ((one.caller, "agent"), (one.agent, "caller"), (two.caller, "colleague"),
                       (one.agent, "carla"), (one.caller, "dora"), (two.agent, "emil")):  # fmt: skip
        assert longest_silence(stage, call, name, began, ended) <= 0.1, name


def test_a_connection_that_is_lost_and_made_again(stage: Stage, cable: Cable) -> None:
    scene = stage.call()
    carla, dora = stage.coach("carla", scene), stage.coach("dora", scene, "barge")
    carla.mode("whisper")
    stage.after_beep(scene)
    coaches = [carla, dora]
    hears: dict[str, set[str]] = {"caller": {"agent", "dora"}, "agent": {"caller", "carla", "dora"},
                                  "carla": {*PAIR, "dora"}, "dora": {*PAIR, "carla"}}  # fmt: skip
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
    assert not beeps(stage, scene.agent, began, ended)
    assert longest_silence(stage, scene.agent, "carla", began, ended) <= 0.1
    carla.mode("listen")
    stage.expect(scene, coaches, label="and it obeys", caller={"agent", "dora"}, agent={"caller", "dora"},
                 carla={*PAIR, "dora"})  # fmt: skip


def test_mute_push_to_talk_and_following_survive_a_crash(stage: Stage) -> None:
    one, two = stage.call(), another_call(stage, "1002")
    carla = stage.coach("carla", one)
    dora = stage.coach("dora", one, "barge", talk="push")
    emil = stage.coach("emil", two, "whisper", follow="agent")
    carla.mode("whisper")
    carla.mute()
    coaches = [carla, dora, emil]
    quiet_pair = {"caller": {"agent"}, "agent": {"caller"}}
    for coach in coaches:
        coach.wait()
    stage.expect(one, [carla, dora], label="muted; key not pressed", beep_allowed=True, **quiet_pair)
    before = states(stage, coaches)
    with holding(stage, dora):
        stage.expect(one, [carla, dora], label="key pressed", caller={"agent", "dora"}, agent={"caller", "dora"},
                     carla={*PAIR, "dora"}, beep_allowed=True)  # fmt: skip
    dora.press()
    dora.wait()
    stage.service.kill()
    start_again(stage)
    assert dora.view()["pressed"] is False
    same_states(stage, coaches, before)
    stage.expect(one, [carla, dora], label="started again: nobody holds the key", **quiet_pair)
    stage.expect(two, [emil], label="emil whispers", caller={"colleague"}, agent={"second", "emil"})
    carla.mute(False)
    carla.wait()
    with holding(stage, dora):
        stage.expect(one, [carla, dora], label="unmuted; key pressed", caller={"agent", "dora"},
                     agent={"caller", "carla", "dora"}, carla={*PAIR, "dora"}, dora={*PAIR, "carla"})  # fmt: skip
    two.hang_up()
    wait_until("emil waits", lambda: emil.view()["phase"] == "waiting")
    three = another_call(stage, "1002")
    wait_until("emil is on his agent's next call", lambda: emil.view()["call"] == three.id and emil.view()["settled"])
    stage.expect(three, [emil], label="emil has followed", caller={"colleague"}, agent={"second", "emil"},
                 beep_allowed=True)  # fmt: skip


def test_not_started_again_the_switch_closes_the_key_and_drops_the_coaches(stage: Stage) -> None:
    one, two, three = stage.call(), stage.call("1003"), another_call(stage, "1002")
    carla, dora = stage.coach("carla", one, talk="push"), stage.coach("dora", one, "barge")
    carla.mode("whisper")
    emil = stage.coach("emil", two)
    emil.take_over()
    emil.wait("ended")
    quiet_pair = {"caller": {"agent"}, "agent": {"caller"}}
    others = {"caller": {"colleague"}, "agent": {"second"}}

    def parties() -> list[tuple[str, str]]:
        return sorted((call["id"], each["agent"]) for call in stage.calls() for each in call["agents"])

    before = wait_until("his call is his", lambda: parties() if "emil" in dict(parties()).values() else [])
    with holding(stage, carla):
        stage.expect(one, [carla, dora], label="carla holds the key, dora barges", caller={"agent", "dora"},
                     agent={"caller", "carla", "dora"}, beep_allowed=True, carla={*PAIR, "dora"},
                     dora={*PAIR, "carla"})  # fmt: skip
    carla.press()
    carla.wait()
    died = time.monotonic()
    stage.service.kill()

    wait_until("the switch closes the key", lambda: not_heard(stage, one.agent, "carla"), DEADMAN + 2)
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
    stage.said.append(f"service killed: key closed after {closed:.1f} s (dead-man {DEADMAN} s), coaches dropped after "
                      f"{dropped:.1f} s (lease {LEASE} s)")  # fmt: skip

    start_again(stage)
    assert parties() == before
    assert stage.coaches() == []
    stage.expect(one, label="started again", **quiet_pair)


def test_a_dead_man_of_the_life_before_closes_nothing_afterwards(stage: Stage) -> None:
    """It was armed before the crash and would strike seconds after the restart, when the gate may rightly be open."""
    scene = stage.call()
    carla = stage.coach("carla", scene, "whisper", talk="push")
    armed = scene.agent.mark()
    carla.press()
    carla.wait()
    stage.service.kill()
    start_again(stage)
    carla.talk("open")
    carla.wait()
    began = scene.agent.mark()
    scene.agent.wait_time(armed + DEADMAN * 1_000_000_000 + 300_000_000)
    assert carla.view()["gate"] == "agent"
    stage.expect(scene, [carla], label="open microphone", caller={"agent"}, agent={"caller", "carla"})
    assert longest_silence(stage, scene.agent, "carla", began + 200_000_000, scene.agent.mark()) <= 0.1


def test_coaches_legs_without_a_session_are_hung_up(stage: Stage) -> None:
    """Found at the start: a leg of ours that carries no record, one whose record says nothing, and one that another
    installation is responsible for."""
    scene = stage.call()
    agent = stage.leg_of(scene.agent)
    ours = (stage.service.directory / "var" / "installation").read_text().strip()
    stage.service.kill()
    found = {}
    for name, lease, record in (("carla", ours, ""), ("dora", ours, ",ccw_session=bm90aGluZw"),
                                ("emil", f"other{uuid.uuid4().hex}", "")):  # fmt: skip
        phone = stage.phone_of(DEVICES[name], name)
        stage.node.api(
            f"originate {{ccw_role=coach,ccw_lease={lease}{record},eavesdrop_enable_dtmf=false}}"
            f"user/{stage.device(name)} 'eavesdrop:{agent},park' inline"
        )
        found[name] = phone.wait_call(5).wait("up")

    def all_hear() -> bool:
        heard = stage.listen(found, TONES)
        return all(abs(levels["agent"] - LEVEL) <= 1 for levels in heard.values())

    wait_until("all hear the call", all_hear)
    start_again(stage)
    for name in ("carla", "dora"):
        found[name].wait("ended", 3)
    heard = stage.listen({"emil": found["emil"]}, TONES)
    assert heard["emil"]["agent"] > LEVEL - 6, "what belongs to somebody else is left alone"  # a frame may slip
    assert stage.coaches() == []
    stage.expect(scene, label="the call goes on", caller={"agent"}, agent={"caller"})
