"""What the caller gets is what the agent sent, frame by frame and bit by bit, whatever a coach does meanwhile.

The agent speaks noise of which no frame occurs twice, so each frame that reaches the caller is known by itself: the
agent's or not, in order or not, and which are missing. A barge is mixed and so left out, but not what surrounds it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from ccwhisper.proof.node import PrivateNode, default_conf
from ccwhisper.proof.phones import PhoneCall
from ccwhisper.proof.stage import BEEP, LEVEL, TONES, Coach, Scene, Stage, wait_until
from ccwhisper.proof.tones import ExactReport, Noise, Tone, frames_exact, level_dbfs
from tests.live.report import Report

pytestmark = pytest.mark.live

ROUNDS = 20
G711 = ("PCMU", "PCMA")
WHOLE = "Frames from agent to caller"


def upward(scene: Scene, since: int, until: int | None = None) -> ExactReport:
    """What became of the agent's frames on their way to the caller, by when the caller got them."""
    assert scene.caller.codec is not None
    assert scene.agent.codec is scene.caller.codec
    end = scene.caller.mark() if until is None else until
    got = [frame for frame in scene.caller.received if since <= frame.t_ns < end]
    return frames_exact(scene.agent.sent, got, scene.caller.codec)


def assert_exact(scene: Scene, since: int, until: int | None = None) -> ExactReport:
    """Every frame, in order, none missing; and about as many as he said meanwhile, so that silence is no success."""
    end = scene.caller.mark() if until is None else until
    found = upward(scene, since, end)
    assert found.exact, found
    said = sum(since <= frame.t_ns < end for frame in scene.agent.sent)
    assert found.matched >= max(said - 15, 20), found  # some are on their way; the buffer grows when the line jitters
    return found


def loudest(call: PhoneCall, freq: float, since: int, until: int) -> float:
    """The loudest tenth of a second of a tone."""
    starts = range(since, until - 100_000_000 + 1, 20_000_000)
    return max(level_dbfs(call.heard(at, at + 100_000_000), freq, call.rate) for at in starts)


def is_heard(call: PhoneCall, freq: float, since: int) -> None:
    """This call has heard a tone, at the level that it was sent, within 0.35 s."""
    call.wait_time(since + 350_000_000)
    assert loudest(call, freq, since, since + 350_000_000) == pytest.approx(LEVEL, abs=1)


def go_round(stage: Stage, scene: Scene, name: str, number: int) -> None:
    """Attach, beep, whisper, about, leave: with an open microphone or with push-to-talk, and by either way out."""
    coach = stage.coach(name, scene, codecs=G711)
    before = scene.agent.mark()
    coach.mode("whisper")
    is_heard(scene.agent, BEEP, before)  # or the round proves nothing
    if number % 2:
        is_heard(scene.agent, TONES[name], scene.agent.mark())
        coach.mute()
        coach.mode("listen")
        coach.mute(False)
    else:
        coach.talk("push")
        coach.press()
        is_heard(scene.agent, TONES[name], scene.agent.mark())
        coach.release()
        coach.talk("open")
    coach.mode("listen")
    coach.mode("whisper")
    part(coach, number)
    scene.caller.wait_received(14)  # a beep lasts ten frames, and none is begun while another sounds


def part(coach: Coach, number: int) -> None:
    """The coach leaves, or just hangs up."""
    if number % 3:
        coach.leave()
    else:
        coach.heard_by_phone.hangup()
        coach.wait("ended")


def settled(scene: Scene) -> int:
    """From here on the call is under way."""
    scene.caller.wait_received(25)
    return scene.caller.mark()


def test_twenty_rounds_in_either_codec(stage: Stage, report: Report) -> None:
    scenes = {
        "carla": stage.call("1001", codecs=("PCMU",), agent_source=Noise(11)),
        "dora": stage.call("1002", codecs=("PCMA",), agent_source=Noise(12)),
    }
    begin = {name: settled(scene) for name, scene in scenes.items()}

    def rounds(name: str) -> None:
        for number in range(ROUNDS):
            go_round(stage, scenes[name], name, number)

    with ThreadPoolExecutor(len(scenes)) as both:
        for done in [both.submit(rounds, name) for name in scenes]:
            done.result()
    for name, scene in scenes.items():
        found = assert_exact(scene, begin[name])
        report.say(WHOLE, f"{scene.caller.codec}, {ROUNDS} rounds of attach, beep, whisper, leave: {found}")


def test_three_coaches_and_a_barge_between(stage: Stage, report: Report) -> None:
    scene = stage.call(agent_source=Noise(13))
    begin = settled(scene)
    coaches = [stage.coach(name, scene) for name in ("carla", "dora", "emil")]
    before = scene.agent.mark()
    for coach in coaches:
        coach.mode("whisper")
    is_heard(scene.agent, BEEP, before)
    scene.caller.wait_received(25)
    barged = scene.caller.mark()
    coaches[1].mode("barge")
    is_heard(scene.caller, TONES["dora"], scene.caller.mark())
    coaches[1].mode("listen")
    scene.caller.wait_received(4)
    after = scene.caller.mark()
    for coach in coaches:
        coach.mode("whisper")
        coach.mode("listen")
        scene.caller.wait_received(8)
    for number, coach in enumerate(coaches):
        part(coach, number)
    scene.caller.wait_received(4)
    end = scene.caller.mark()
    parts = assert_exact(scene, begin, barged), assert_exact(scene, after, end)
    mixed = upward(scene, barged, after)
    assert mixed.foreign > 5, "a barge that leaves every frame as it was is no barge"
    report.say(WHOLE, f"three coaches, before a barge: {parts[0]}; after it: {parts[1]}")


def test_an_agent_with_srtp(stage: Stage, report: Report) -> None:
    """He calls a colleague: the switch offers SRTP to nobody by itself, and answers it in kind."""
    agent = stage.phone("1003", Noise(14), srtp=True)
    colleague = stage.phone("1002", Tone(TONES["caller"], LEVEL))
    call = agent.dial("1002").wait("up")
    other = colleague.wait_call().wait("up")
    seen = wait_until("the API shows the call", stage.calls)
    scene = Scene(seen[0]["id"], other, call, "1003")
    assert stage.dump(stage.leg_of(call))["variable_rtp_has_crypto"] == "AES_CM_128_HMAC_SHA1_80"
    begin = settled(scene)
    for number in range(5):
        coach = stage.coach("carla", scene, agent="1003")
        before = call.mark()
        coach.mode("whisper")
        is_heard(call, BEEP, before)
        part(coach, number)
        other.wait_received(4)
    found = assert_exact(scene, begin)
    assert call.counts["srtp_errors"] == 0
    report.say(WHOLE, f"the agent on SRTP, 5 rounds: {found}")


def late_packets(scene: Scene) -> int:
    """How many of the agent's packets were sent after the one that follows them."""
    return sum(after.t_ns < before.t_ns for before, after in pairwise(scene.agent.sent))


def test_what_a_bad_line_costs(stage: Stage, report: Report) -> None:
    """1 % of the agent's packets are lost on his way to the switch and 2 % come late. So are they on a second call,
    whose agent nobody coaches: what becomes of them there is the switch's usual way."""
    scenes = {
        "coached": stage.call("1001", agent_source=Noise(15)),
        "not coached": stage.call("1002", agent_source=Noise(15)),
    }
    begin = {name: settled(scene) for name, scene in scenes.items()}
    for scene in scenes.values():
        scene.agent.impair(loss=0.01, reorder=0.02, seed=4)
    for number in range(10):
        go_round(stage, scenes["coached"], "carla", number)
    found = {name: upward(scene, begin[name]) for name, scene in scenes.items()}
    bad = {}
    for name, scene in scenes.items():
        lost, late = len(scene.agent.dropped), late_packets(scene)
        assert min(lost, late) >= 3, "the line was not bad"
        bad[name] = lost + late
        report.say(WHOLE, f"{lost} packets lost and {late} late on the way to the switch, {name}: {found[name]}")
    # Where nobody coaches, the switch says the frame before a lost one again. Where somebody does, it conceals the lost
    # one and blends into the next: two frames are not the agent's. So much for each packet, and nothing beside it.
    alone, coached = found["not coached"], found["coached"]
    assert (alone.missing, alone.foreign) == (0, 0), found
    assert max(alone.repeated, alone.reordered) <= bad["not coached"], found
    assert coached.missing <= bad["coached"], found
    assert coached.foreign <= 2 * bad["coached"], found
    assert max(coached.repeated, coached.reordered) <= bad["coached"], found


# A node whose legs have no jitter buffer of their own


@pytest.fixture(scope="module")
def bare_stage(freeswitch: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The example node without its jitter buffer; but agent 1002 has half of it, as a node of old might."""
    conf = tmp_path_factory.mktemp("bare") / "conf"
    shutil.copytree(default_conf(), conf)
    directory = conf / "directory/domain.xml"
    ours = r'^.*name="(dial-var-)?(jitterbuffer_msec|rtp_jitter_buffer_during_bridge)".*\n'
    text, count = re.subn(ours, "", directory.read_text(), flags=re.MULTILINE)
    assert count == 4
    half = '<param name="dial-var-jitterbuffer_msec" value="40"/>'
    text, count = re.subn(r'(<user id="1002">\s*<params>)', rf"\1{half}", text)
    assert count == 1
    directory.write_text(text)
    with PrivateNode(binary=freeswitch, conf=conf) as node, Stage(node) as stage:
        yield stage


@pytest.fixture
def bare(bare_stage: Stage) -> Iterator[Stage]:
    yield bare_stage
    bare_stage.clear()


def test_without_the_buffer_each_attach_and_each_beep_costs_frames(bare: Stage, report: Report) -> None:
    """Attached past the service, which would have given the leg its buffer; then by the service."""
    scene = bare.call(agent_source=Noise(16))
    leg = bare.leg_of(scene.agent)
    phone = bare.phone("9001", Tone(TONES["carla"], LEVEL))
    device = f"{{eavesdrop_enable_dtmf=false}}user/9001@{bare.node.domain}"
    begin = settled(scene)
    for _ in range(5):
        bare.node.api(f"bgapi originate {device} &eavesdrop({leg})")
        coach = phone.wait_call().wait("up")
        coach.wait_received(5)
        before = scene.agent.mark()
        bare.node.api(f"uuid_displace {leg} start tone_stream://v=-13;%(200,0,1400) 0 mux")
        is_heard(scene.agent, BEEP, before)
        coach.hangup()
    scene.caller.wait_received(4)
    end = scene.caller.mark()
    without = upward(scene, begin, end)
    assert without.missing >= 10, f"at least one at each of 5 attaches and 5 beeps: {without}"
    report.say(WHOLE, f"without a jitter buffer, 5 rounds: {without.missing} of "
                      f"{without.matched + without.missing} lost ({without})")  # fmt: skip
    for number in range(5):
        go_round(bare, scene, "carla", number)
    found = assert_exact(scene, end)
    report.say(WHOLE, f"the same call, the buffer switched on by the service as it attaches, 5 rounds: {found}")


def test_a_buffer_that_the_bridge_has_paused(bare: Stage, report: Report) -> None:
    """`jitterbuffer_msec` alone does nothing while the leg is bridged; the service makes it work."""
    scene = bare.call("1002", agent_source=Noise(17))
    leg = bare.dump(bare.leg_of(scene.agent))
    assert leg["variable_jitterbuffer_msec"] == "40"
    assert "variable_rtp_jitter_buffer_during_bridge" not in leg
    begin = settled(scene)
    for number in range(3):
        go_round(bare, scene, "carla", number)
    report.say(WHOLE, f"a buffer that was paused by the bridge, 3 rounds: {assert_exact(scene, begin)}")


def test_a_buffer_switched_on_in_mid_call_is_there_for_the_next_caller(bare: Stage, report: Report) -> None:
    """An agent who stays off-hook: a bridge pauses a buffer, unless the leg says that it must not."""
    for other in ("1001", "1002"):
        bare.node.api(f"callcenter_config agent set status {other}@{bare.node.domain} 'On Break'")
    agent = bare.phone("1004", Noise(18)).dial("6000").wait("up")
    outside = bare.outside(Tone(TONES["caller"], LEVEL))
    for caller in ("first", "second"):
        ours = outside.dial("5000").wait("up", 10)
        [seen] = wait_until("the API shows the call", bare.calls, 10)
        scene = Scene(seen["id"], ours, agent, "1004")
        begin = settled(scene)
        for number in range(2):
            go_round(bare, scene, "carla", number)
        report.say(WHOLE, f"an agent who stays off-hook, {caller} caller, 2 rounds: {assert_exact(scene, begin)}")
        ours.hangup()
        wait_until("the call is over", lambda: not bare.calls())
        assert agent.state == "up"


def test_what_is_not_exact_is_seen(stage: Stage) -> None:
    """The measure itself: one frame that another says, and one that is gone."""
    scene = stage.call(agent_source=Noise(19))
    begin = settled(scene)
    scene.caller.wait_received(25)
    sent = scene.agent.sent
    got = [frame for frame in scene.caller.received if frame.t_ns >= begin]
    assert scene.caller.codec is not None
    assert frames_exact(sent, got, scene.caller.codec).exact
    gone = frames_exact(sent, got[:9] + got[10:], scene.caller.codec)
    assert (gone.missing, gone.foreign) == (1, 0)
    changed = got[9]._replace(payload=bytes([got[9].payload[0] ^ 0x10]) + got[9].payload[1:])
    bent = frames_exact(sent, [*got[:9], changed, *got[10:]], scene.caller.codec)
    assert (bent.missing, bent.foreign) == (1, 1)
