"""A supervisor at his desk phone: feature codes and keys, on a registered phone with a password of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sipmessage import Response

from ccwhisper.coaching.keys import LOW
from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.phones import PhoneCall
from ccwhisper.proof.sip import Challenge
from ccwhisper.proof.stage import TONES, Coach, Scene, Stage, wait_until
from ccwhisper.proof.tones import level_dbfs

pytestmark = pytest.mark.live

PATIENCE = 15.0
OURS = ("variable_deny_refer_requests", "variable_presence_privacy")
SILENT, HEARD = -50.0, -30.0  # dBFS; a tone of -19 dBm0 arrives as -22

SUPERVISORS = """
[supervisor.carla]
name = "Carla"
users = ["9001@127.0.0.1"]
roles = ["whisper", "barge"]
queues = ["support@default"]

[supervisor.dora]
name = "Dora"
users = ["9002@127.0.0.1"]
roles = ["whisper", "barge"]
queues = ["sales@default"]

[supervisor.emil]
name = "Emil, who takes calls himself"
users = ["1003@127.0.0.1"]
queues = ["support@default"]
"""


@pytest.fixture(scope="module")
def whole_desk(node: PrivateNode) -> Iterator[Stage]:
    """A service that knows supervisors, on the shared node."""
    with Stage(node, SUPERVISORS) as stage:  # with the usual lease: a busy machine takes seconds to start it again
        yield stage


@pytest.fixture
def desk(whole_desk: Stage, on_stage: Callable[..., Iterator[Stage]]) -> Iterator[Stage]:
    """The same, for one test."""
    yield from on_stage(whole_desk)


def dial(stage: Stage, number: str, name: str = "carla", user: str = "9001", **how: Any) -> PhoneCall:
    """Somebody dials a code on his phone, which is answered."""
    return stage.phone_of(user, name).dial(number, **how).wait("up", PATIENCE)


def coach_of(stage: Stage, call: PhoneCall, name: str = "carla") -> Coach:
    """Her session, as she sees it on the dashboard."""
    coach = Coach(name, stage.service.api(name, devices=[stage.device(name)]), call=call)
    stage._coaches.append(coach)
    mine = wait_until(
        "the dashboard shows the session", lambda: coach.api.ask("GET", "/sessions")["sessions"], PATIENCE
    )
    coach.session = mine[0]["id"]
    return coach


def until(coach: Coach, **wanted: Any) -> None:
    """Wait until the dashboard shows this, and the switch has confirmed the gate."""

    def so() -> bool:
        view = coach.view()
        return bool(view["settled"]) and all(view[name] == value for name, value in wanted.items())

    wait_until(f"{coach.name} is {wanted}", so, PATIENCE)


def press(coach: Coach, key: str) -> None:
    """Press a key, or several."""
    coach.heard_by_phone.send_dtmf(key)


def loudest(call: PhoneCall, freq: float, since: int, until_ns: int) -> float:
    """The loudest 80 ms of a tone; silence where nothing was sent at all."""
    call.wait_time(until_ns)
    samples = call.heard(since, until_ns)
    size, step = call.rate * 2 // 25, call.rate // 50
    windows = [samples[at : at + size] for at in range(0, len(samples) - size + 1, step)]
    return max((level_dbfs(each, freq, call.rate) for each in windows), default=-120.0)


def tells_her_alone(scene: Scene, carla: Coach) -> None:
    """A tone that answers a key is heard on her phone and nowhere else. The key is one that does nothing: a gate that
    moves in the middle of a voice clicks, at every frequency."""
    since = scene.caller.mark()
    press(carla, "6")
    now = since + 1_200_000_000
    assert loudest(carla.heard_by_phone, LOW, since, now) > HEARD
    for call in (scene.caller, scene.agent):
        assert loudest(call, LOW, since, now) < SILENT, "a tone must not leave her phone"


def refused(stage: Stage, call: PhoneCall) -> str:
    """He hears something, and the call ends; why, as the audit trail has it."""
    since = call.mark()
    call.wait("ended", PATIENCE)
    voice = call.heard(since - 500_000_000)
    assert max(abs(voice)) > 0.05, "nothing was said"
    auditor = stage.service.api("auditor", permissions=["view_audit_trail"])
    try:
        rows = wait_until("the trail has it", lambda: auditor.ask("GET", "/audit", refused="true")["rows"], PATIENCE)
        assert (rows[0]["origin"], rows[0]["action"]) == ("phone", "start")
        return str(rows[0]["refusal"])
    finally:
        auditor.close()


def hears(stage: Stage, scene: Scene, coach: Coach, mode: str, label: str) -> None:
    """Everybody hears whom he must in a mode."""
    coach.heard_by_phone.wait_received(25)  # what moved has settled
    caller = {scene.agent_name} | ({coach.name} if mode == "barge" else set())
    agent = {scene.caller_name} | (set() if mode == "listen" else {coach.name})
    stage.expect(scene, [coach], label=label, caller=caller, agent=agent, beep_allowed=True)


def no_keys(*calls: PhoneCall) -> None:
    """No key has arrived anywhere, whole or not."""
    for call in calls:
        assert call.telephone_events_received() == [], "a key must not arrive"


def test_every_key_on_a_leg_that_has_dialled_in(desk: Stage) -> None:
    scene = desk.call()
    carla = coach_of(desk, dial(desk, "*331001"))
    until(carla, phase="attached", mode="listen")
    hears(desk, scene, carla, "listen", "*33")
    tells_her_alone(scene, carla)
    press(carla, "2")
    until(carla, mode="whisper", gate="agent")
    hears(desk, scene, carla, "whisper", "key 2")
    desk.after_beep(scene)
    tells_her_alone(scene, carla)
    press(carla, "4")
    until(carla, muted=True, gate="closed")
    hears(desk, scene, carla, "listen", "key 4")
    press(carla, "4")
    until(carla, muted=False, gate="agent")
    press(carla, "3")
    press(carla, "4")  # another key between them
    until(carla, muted=True)
    press(carla, "43")
    until(carla, muted=False, mode="whisper")
    press(carla, "3")
    until(carla, mode="barge", gate="everyone")
    hears(desk, scene, carla, "barge", "keys 3 3")
    tells_her_alone(scene, carla)
    press(carla, "5")
    until(carla, talk="push", gate="closed")
    press(carla, "1")
    until(carla, pressed=True, gate="everyone")
    hears(desk, scene, carla, "barge", "key 1, push-to-talk")
    press(carla, "1")
    until(carla, pressed=False, gate="closed")
    press(carla, "50")
    until(carla, talk="open", mode="listen", gate="closed")
    hears(desk, scene, carla, "listen", "key 0")
    carla.mode("whisper")  # and driven from the page
    hears(desk, scene, carla, "whisper", "from the page")
    press(carla, "0")
    until(carla, mode="listen")
    carla.heard_by_phone.send_dtmf("*", timeout=None)
    carla.heard_by_phone.wait("ended", PATIENCE)
    assert carla.wait("ended")["reason"] == "coach_left"
    no_keys(scene.caller, scene.agent)


def test_keys_on_a_leg_that_the_page_has_rung_and_after_a_take_over(desk: Stage) -> None:
    scene = desk.call()
    carla = desk.coach("carla", scene)
    press(carla, "2")
    until(carla, mode="whisper", gate="agent")
    hears(desk, scene, carla, "whisper", "key 2 on a phone that was rung")
    press(carla, "33")
    until(carla, mode="barge", gate="everyone")
    no_keys(scene.caller, scene.agent)
    carla.take_over()
    assert carla.wait("ended")["reason"] == "took_over"
    carla.heard_by_phone.wait_received(25)  # a bridge lets go of our keys with its tenth frame
    press(carla, "7")
    assert scene.caller.wait_keys(1) == "7"


def test_who_has_dialled_in_takes_over(desk: Stage) -> None:
    scene = desk.call()
    carla = coach_of(desk, dial(desk, "*331001"))
    until(carla, phase="attached")
    carla.take_over()
    assert carla.wait("ended")["reason"] == "took_over"
    scene.agent.wait("ended", PATIENCE)
    call = carla.heard_by_phone
    pair = {"caller": scene.caller, "carla": call}

    def both() -> bool:
        heard = desk.listen(pair, {name: TONES[name] for name in pair})
        return min(heard["caller"]["carla"], heard["carla"]["caller"]) > HEARD

    wait_until("caller and carla hear each other", both, PATIENCE)
    left = desk.dump(desk.leg_of(call))
    # The lease would hang up her customer; and she may send him on.
    assert [name for name in left if name.startswith("variable_ccw_") or name in OURS] == ["variable_ccw_party"]
    scene.caller.hangup()
    call.wait("ended", PATIENCE)


def test_whisper_and_barge_codes(desk: Stage) -> None:
    scene = desk.call()
    carla = coach_of(desk, dial(desk, "*341001"))
    until(carla, phase="attached", mode="whisper", gate="agent")
    hears(desk, scene, carla, "whisper", "*34")
    carla.heard_by_phone.hangup()
    carla.wait("ended")
    since = scene.caller.mark()
    call = dial(desk, "*351001")
    carla = coach_of(desk, call)
    until(carla, phase="attached", mode="listen", gate="closed")
    assert max(abs(call.heard(since))) > 0.05, "she was asked"
    hears(desk, scene, carla, "listen", "*35, before the keys")
    press(carla, "33")
    until(carla, mode="barge", gate="everyone")
    hears(desk, scene, carla, "barge", "*35, after the keys")


def test_armed_for_the_next_call_and_on_to_the_one_after(desk: Stage) -> None:
    carla = coach_of(desk, dial(desk, "*331001"))
    wait_until("she waits", lambda: carla.view()["phase"] == "waiting", PATIENCE)
    scene = desk.call()
    until(carla, phase="attached")
    hears(desk, scene, carla, "listen", "the next call")
    press(carla, "#")  # the only call: the agent's next one
    wait_until("she waits again", lambda: carla.view()["phase"] == "waiting", PATIENCE)
    since = carla.heard_by_phone.mark()
    press(carla, "6")  # a key that is none, in the silence
    now = since + 1_500_000_000
    assert loudest(carla.heard_by_phone, LOW, since, now) > HEARD
    assert loudest(carla.heard_by_phone, TONES["agent"], now - 500_000_000, now) < SILENT
    second = desk.call("1002", caller_name="second", agent_name="colleague")
    press(carla, "#")  # another call of the queue
    until(carla, phase="attached", agent="1002")
    hears(desk, second, carla, "listen", "the other call")
    no_keys(scene.caller, scene.agent, second.caller, second.agent)


def test_the_oldest_help_request(desk: Stage) -> None:
    assert refused(desk, dial(desk, "*36")) == "nobody_asks"
    desk.call("1002", caller_name="second", agent_name="colleague")
    scene = desk.call()
    for agent in ("1001", "1002"):
        panel = desk.service.api(f"agent-{agent}", permissions=[], roles=[], queues=[], agent=agent)
        panel.ask("PUT", "/hand", {})
        panel.close()
    carla = coach_of(desk, dial(desk, "*36"))
    until(carla, phase="attached", agent="1001")
    hears(desk, scene, carla, "listen", "*36")


def test_who_may_not_hears_why(desk: Stage) -> None:
    scene = desk.call()
    assert refused(desk, dial(desk, "*331001", "dora", "9002")) == "queue_out_of_scope"
    assert refused(desk, dial(desk, "*331001", "colleague", "1002")) == "not_a_supervisor"  # an agent
    # Who writes another's number and name into his From is still himself.
    spoofed = dial(desk, "*331001", "emil", "9003", display_name="9001")
    assert refused(desk, spoofed) == "not_a_supervisor"
    assert refused(desk, dial(desk, "*334711")) == "agent_not_found"
    assert desk.coaches() == []
    desk.expect(scene, label="after all that", caller={"agent"}, agent={"caller"})
    where = (desk.node.host, desk.node.phones_port)
    wrong = desk.bank.phone("9001", "wrong", desk.node.domain, where)
    refusal = wrong.dial("*331001")
    refusal._loop.wait(lambda: refusal.state == "ended", PATIENCE)
    assert refusal.end_cause
    assert refusal.end_cause.status == 403
    # From outside there is no such number, whoever the caller says he is.
    stranger = desk.caller_phone("second").dial("*331001", from_user="9001")
    stranger._loop.wait(lambda: stranger.state == "ended", PATIENCE)
    assert stranger.end_cause
    assert stranger.end_cause.status == 404
    assert desk.coaches() == []


def test_a_phone_is_who_its_password_says_whatever_realm_it_writes(
    desk: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Challenge.of

    def elsewhere(response: Response) -> Challenge | None:
        challenge = asked(response)
        return challenge and replace(challenge, realm="elsewhere.example")

    scene = desk.call()
    monkeypatch.setattr(Challenge, "of", staticmethod(elsewhere))
    carla = coach_of(desk, dial(desk, "*331001"))
    until(carla, phase="attached")
    dump = desk.dump(desk.leg_of(carla.heard_by_phone))
    assert dump["variable_sip_auth_realm"] == "elsewhere.example"
    hears(desk, scene, carla, "listen", "another realm")


def test_a_caller_of_the_coachs_own_is_not_sent_to_where_the_coach_listens(desk: Stage) -> None:
    """The key for transfers, on a phone that has a customer and an agent to listen to."""
    own = desk.call("1003", caller_name="second", agent_name="colleague")
    desk.call()
    listens = dial(desk, "*331001", "colleague", "1003")
    coach = coach_of(desk, listens, "emil")
    until(coach, phase="attached")
    for call, other in ((own.agent, listens), (listens, own.agent)):
        assert call.refer_replaces(other).status == 403
    until(coach, phase="attached")
    desk.expect(own, label="not sent away", caller={"colleague"}, agent={"second"})


def test_a_key_that_watches_the_coach_is_not_told_whom_he_listens_to(desk: Stage) -> None:
    scene = desk.call()
    watcher = desk.phone_of("1002", "colleague")
    key = watcher.subscribe("9001")

    def told() -> list[str]:
        news = [each for each in list(watcher.strays) if each.method == "NOTIFY" and each.call_id == key]
        return [each.body.decode() for each in news]

    def busy(times: int) -> None:
        wait_until("the key is lit", lambda: sum("<state>confirmed</state>" in each for each in told()) >= times, 15)

    carla = coach_of(desk, dial(desk, "*331001"))
    until(carla, phase="attached")
    busy(1)
    carla.heard_by_phone.hangup()
    carla.wait("ended")
    before = sum("<state>confirmed</state>" in each for each in told())
    desk.coach("carla", scene)
    busy(before + 1)
    others = re.findall(r"<remote>(.*?)</remote>", "".join(told()), re.DOTALL)
    assert others
    assert all("anonymous" in each for each in others), others


def test_an_event_of_another_client_presses_no_key(desk: Stage) -> None:
    scene = desk.call()
    carla = coach_of(desk, dial(desk, "*331001"))
    until(carla, phase="attached")
    leg = desk.leg_of(carla.heard_by_phone)
    forged = ("Event-Subclass: ccwhisper::key", "Unique-ID: nobody", f"Unique-ID: {leg}")
    for _ in range(2):
        desk.node.send_event("CUSTOM", *forged, "variable_last_matching_digits: 3")
    desk.node.send_event("CUSTOM", "Event-Subclass: ccwhisper::dialin", "Unique-ID: nobody", f"Unique-ID: {leg}")
    press(carla, "4")  # what is true comes after it, and is heard
    until(carla, muted=True, mode="listen", gate="closed")
    hears(desk, scene, carla, "listen", "after forged keys")


def test_without_a_service_the_phone_is_told(desk: Stage) -> None:
    desk.service.kill()
    try:
        call = dial(desk, "*331001")
        since = call.mark()
        call.wait("ended", PATIENCE)
        assert max(abs(call.heard(since))) > 0.05
    finally:
        desk.service.start()
        desk.forget_connections()


def test_a_restart_goes_on_with_who_has_dialled_in(desk: Stage) -> None:
    scene = desk.call()
    carla = coach_of(desk, dial(desk, "*341001"))
    until(carla, mode="whisper", gate="agent")
    desk.service.kill()
    desk.service.start()
    desk.forget_connections()
    until(carla, mode="whisper", gate="agent")
    hears(desk, scene, carla, "whisper", "served again")
    press(carla, "33")
    until(carla, mode="barge", gate="everyone")
