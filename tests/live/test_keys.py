"""Keys of a coach's phone reach nobody: neither the call nor the handler that eavesdrop has for them.

Left to itself, eavesdrop obeys the keys of whoever listens: 2 whispers, 3 barges, 1 is heard by the caller alone, 0 is
heard by nobody, * leaves the call. So every key is pressed in every mode, and must do nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ccwhisper.proof.node import PrivateNode, default_conf
from ccwhisper.proof.phones import PhoneCall
from ccwhisper.proof.sources import Tone
from ccwhisper.proof.stage import LEVEL, TONES, Coach, Scene, Stage, wait_until
from ccwhisper.proof.tones import level_dbfs
from tests.scenarios.stage import holding

pytestmark = pytest.mark.live

OBEYED_BY_NOBODY = "[coaching]\nkeys = false\n"
"""What the service itself does with keys is for test_desk_phones: here nothing must come of them."""

KEYS = "0123456789*#"
MODES = ("listen", "whisper", "barge")


def heard_in(mode: str) -> dict[str, set[str]]:
    """What caller and agent hear with carla in a mode."""
    return {
        "caller": {"agent", "carla"} if mode == "barge" else {"agent"},
        "agent": {"caller"} if mode == "listen" else {"caller", "carla"},
    }


def keys_of(call: PhoneCall) -> str:
    """The keys that have arrived at a phone, whole or not."""
    return "".join(event.digit for event in call.telephone_events_received())


def heard_again(scene: Scene) -> bool:
    """Whether caller and agent have heard each other for the last 0.2 s. A key takes the place of the voice."""
    now = scene.caller.mark()
    pairs = ((scene.caller, "agent"), (scene.agent, "caller"))
    levels = [level_dbfs(call.heard(now - 200_000_000, now), TONES[name], call.rate) for call, name in pairs]
    return all(abs(level - LEVEL) < 1 for level in levels)


def loudest(call: PhoneCall, freq: float, since: int, until: int) -> float:
    """The loudest 60 ms of a tone."""
    call.wait_time(until)
    samples = call.heard(since, until)
    size, frame = call.rate * 60 // 1000, call.rate // 50
    return max(level_dbfs(samples[at : at + size], freq, call.rate) for at in range(0, len(samples) - size + 1, frame))


def pressed_in_vain(stage: Stage, scene: Scene, carla: Coach, mode: str, press: Callable[[PhoneCall], None]) -> None:
    """Every key, and nothing comes of it: at no moment, and not afterwards."""
    stage.expect(scene, [carla], label=f"{mode}, before a key is pressed", beep_allowed=True, **heard_in(mode))
    before = carla.view()
    since = scene.caller.mark()
    press(carla.heard_by_phone)
    until = scene.caller.mark() + 100_000_000
    for name, call in (("caller", scene.caller), ("agent", scene.agent)):
        if "carla" not in heard_in(mode)[name]:
            assert loudest(call, TONES["carla"], since, until) < -50, f"a key must not let the {name} hear carla"
        assert keys_of(call) == "", f"a key must not reach the {name}"
    others = {"second", "colleague"}
    stage.expect(scene, [carla], label=f"{mode}, after every key", beep_allowed=True, absent=others, **heard_in(mode))
    after = carla.view()
    assert {name: after[name] for name in ("phase", "mode", "gate")} == {
        name: before[name] for name in ("phase", "mode", "gate")
    }


@pytest.fixture(scope="module")
def whole_deaf(node: PrivateNode) -> Iterator[Stage]:
    """A service to which keys say nothing, on the shared node."""
    with Stage(node, OBEYED_BY_NOBODY) as stage:
        yield stage


@pytest.fixture
def deaf(whole_deaf: Stage, on_stage: Callable[..., Iterator[Stage]]) -> Iterator[Stage]:
    """The same, for one test."""
    yield from on_stage(whole_deaf)


@pytest.mark.parametrize("mode", MODES)
def test_keys_of_a_coach_reach_nobody(deaf: Stage, mode: str) -> None:
    stage, scene = deaf, deaf.call()
    stage.call("1002", caller_name="second", agent_name="colleague")  # a call that * or # might move him to
    carla = stage.coach("carla", scene, mode)
    pressed_in_vain(stage, scene, carla, mode, lambda phone: phone.send_dtmf(KEYS))


def test_keys_wait_for_nobody(stage: Stage) -> None:
    """What was pressed while he coached is not sent when he takes the call over; what he presses then, is."""
    scene = stage.call()
    carla = stage.coach("carla", scene, "whisper")
    carla.heard_by_phone.send_dtmf("1234")
    carla.take_over()
    assert carla.wait("ended")["reason"] == "took_over"
    carla.heard_by_phone.wait_received(25)  # a bridge lets go of our keys with its tenth frame
    carla.heard_by_phone.send_dtmf("5")
    assert scene.caller.wait_keys(1) == "5"


@pytest.mark.parametrize("mode", MODES)
def test_keys_between_caller_and_agent_pass(stage: Stage, mode: str) -> None:
    """While a coach is there, and presses keys himself: each once and in order, both ways at the same time."""
    scene = stage.call()
    carla = stage.coach("carla", scene, mode)
    sent = {scene.caller: "0147*", scene.agent: "2580#", carla.heard_by_phone: "3691"}
    for call, keys in sent.items():
        call.send_dtmf(keys, timeout=None)
    assert scene.agent.wait_keys(5) == "0147*"
    assert scene.caller.wait_keys(5) == "2580#"
    wait_until("voices are heard again", lambda: heard_again(scene))
    stage.expect(scene, [carla], label=f"{mode}, after keys of all three", beep_allowed=True, **heard_in(mode))
    assert (keys_of(scene.agent), keys_of(scene.caller), keys_of(carla.heard_by_phone)) == ("0147*", "2580#", "")


def test_an_eavesdrop_that_we_have_not_started_obeys_keys(stage: Stage) -> None:
    """So the tests above can fail: the same phone on the same leg, without our variable."""
    scene = stage.call()
    leg = stage.leg_of(scene.agent)
    phone = stage.phone("9001", Tone(TONES["carla"], LEVEL))
    stage.node.api(f"bgapi originate user/9001@{stage.node.domain} &eavesdrop({leg})")
    call = phone.wait_call().wait("up")
    call.wait_received(10)
    for key, mode in (("2", "whisper"), ("3", "barge"), ("0", "listen")):
        call.send_dtmf(key)
        stage.expect(scene, label=f"the switch's own {key}", absent=["carla"], **heard_in(mode))
    call.send_dtmf("*", timeout=None)
    call.wait("ended")


# A node that takes keys from SIP INFO as well


@pytest.fixture(scope="module")
def info_stage(freeswitch: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The example node ignores keys in INFO. This one takes them, from whatever phone and in whatever form."""
    conf = tmp_path_factory.mktemp("info") / "conf"
    shutil.copytree(default_conf(), conf)
    profile = conf / "sip_profiles/phones.xml"
    text = profile.read_text()
    assert text.count("<settings>") == 1
    profile.write_text(text.replace("<settings>", '<settings><param name="liberal-dtmf" value="true"/>'))
    with PrivateNode(binary=freeswitch, conf=conf) as node, Stage(node, OBEYED_BY_NOBODY) as stage:
        yield stage


@pytest.fixture
def with_info(info_stage: Stage) -> Iterator[Stage]:
    yield info_stage
    info_stage.clear()


def by_info(call: PhoneCall, keys: str) -> None:
    """Press keys by INFO, in both of its usual forms in turn, each for longer than an eavesdrop takes to notice."""
    for number, key in enumerate(keys):
        code = {"*": "10", "#": "11"}.get(key, key)
        relay = ("application/dtmf-relay", f"Signal={key}\r\nDuration=100\r\n")
        form, body = ("application/dtmf", code) if number % 2 else relay
        assert call.request("INFO", {"Content-Type": form}, body.encode()) == 200
        call.wait_received(2)


@pytest.mark.parametrize("mode", ["listen", "whisper"])
def test_keys_in_info_reach_nobody(with_info: Stage, mode: str) -> None:
    scene = with_info.call()
    carla = with_info.coach("carla", scene, mode)
    pressed_in_vain(with_info, scene, carla, mode, lambda phone: (by_info(phone, KEYS), by_info(phone, KEYS[::-1]))[0])
    by_info(scene.agent, "19*#")  # the switch does take them
    assert scene.caller.wait_keys(4) == "19*#"


# Hold


@pytest.mark.parametrize("mode", ["whisper", "barge"])
@pytest.mark.parametrize("hold", ["sendonly, music", "inactive, music", "sendonly, silent"])
def test_a_coachs_phone_on_hold_is_heard_by_nobody(stage: Stage, mode: str, hold: str) -> None:
    """Even when it plays music into the hold, as loud as a voice."""
    inactive, music = hold.startswith("inactive"), hold.endswith("music")
    scene = stage.call()
    carla = stage.coach("carla", scene, mode)
    scene.agent.wait_received(20)  # and the beep is over
    stage.expect(scene, [carla], label=mode, beep_allowed=True, **heard_in(mode))
    carla.heard_by_phone.hold(Tone(TONES["emil"], LEVEL) if music else None, inactive=inactive)
    view = wait_until("the gate is closed", lambda: closed(carla))
    assert (view["mode"], view["phase"]) == (mode, "attached")
    after = scene.caller.mark() + 60_000_000  # what was in flight
    stage.expect(scene, label=f"{mode}, the coach's phone on hold", absent=["carla", "emil"], **heard_in("listen"))
    until = scene.caller.mark()
    for call in (scene.caller, scene.agent):
        assert max(loudest(call, TONES[name], after, until) for name in ("carla", "emil")) < -50, "must not be heard"
    carla.heard_by_phone.unhold()
    wait_until("the gate is open", lambda: carla.view()["gate"] != "closed")
    carla.heard_by_phone.wait_received(25)
    stage.expect(scene, [carla], label=f"{mode}, back from hold", absent=["emil"], **heard_in(mode))


def closed(coach: Coach) -> dict[str, object] | None:
    """His session, when the switch has confirmed that its gate is closed."""
    view = coach.view()
    return view if view["gate"] == "closed" and view["settled"] else None


def test_a_key_that_was_held_is_let_go_of_by_hold(stage: Stage) -> None:
    scene = stage.call()
    carla = stage.coach("carla", scene, "barge", talk="push")
    carla.press()
    carla.heard_by_phone.hold(Tone(TONES["emil"], LEVEL))
    wait_until("the key is let go of", lambda: not carla.view()["pressed"])
    carla.heard_by_phone.unhold()
    stage.expect(scene, [carla], label="back from hold, no key held", **heard_in("listen"))
    with holding(stage, carla):
        stage.expect(scene, [carla], label="and held again", **heard_in("barge"))
