"""Codecs of coach, agent and caller, and what becomes of a whisper when one of them changes in mid-call.

An eavesdrop that runs at another rate than the agent's leg whispers noise, at -17 dBFS and at a fraction of its pitch,
and no error of the switch says so. So it is not enough here that a tone is heard: nothing else may be.
"""

from __future__ import annotations

import numpy as np
import pytest

from ccwhisper.proof.phones import PhoneCall, SipRefused
from ccwhisper.proof.sources import Tone
from ccwhisper.proof.stage import DEVICES, LEVEL, SILENT, TONES, Coach, Scene, Stage, Verdict, wait_until
from ccwhisper.proof.timeline import Float
from ccwhisper.proof.tones import level_dbfs, spectral_floor

pytestmark = pytest.mark.live

G711 = ("PCMU", "PCMA")
WIDE = ("G722", *G711)

GARBAGE = -40.0
"""dBFS: more than this of anything that nobody says. Codecs leave -50 at the most, a wrong rate -17 to -25."""

TRACE_NS = 100_000_000
"""What was in flight when the session ended."""

LAST_NS = 500_000_000
"""What was heard lately. A coach's leg whose codec has changed leaves its eavesdrop after up to 0.45 s."""

BEEP_NS = 400_000_000
"""The beep lasts half of it."""


def hear(stage: Stage, scene: Scene, carla: Coach | None, label: str, mode: str = "listen") -> None:
    """Who hears whom, within 1 dB, and nobody hears anything else. Not as `Stage.expect` does: where the caller's codec
    is not the agent's, what he gets is coded anew, and its noise is no trace of anybody."""
    listeners = {"caller": scene.caller, "agent": scene.agent}
    wanted = {"caller": {"agent"}, "agent": {"caller"}, "carla": {"agent", "caller"}}
    if carla is not None:
        listeners["carla"] = carla.heard_by_phone
    for name in {"listen": (), "whisper": ("agent",), "barge": ("agent", "caller")}[mode]:
        wanted[name] |= {"carla"}
    since = scene.agent.mark()
    heard = stage.listen_until_steady(listeners, {name: TONES[name] for name in wanted}, wanted)
    stage.verdicts.append(Verdict(label, heard))
    for listener, levels in heard.items():
        for name, level in levels.items():
            right = abs(level - LEVEL) <= 1 if name in wanted[listener] else level < SILENT
            assert right, f"{label}: {listener} hears {name} at {level:.1f} dBFS"
    for call in listeners.values():
        nothing_else(call, since, call.mark())


def whispered(stage: Stage, scene: Scene, carla: Coach, label: str, mode: str = "whisper") -> None:
    """The same, when the beep is over."""
    scene.agent.wait_time(scene.agent.mark() + BEEP_NS)
    hear(stage, scene, carla, label, mode)


def windows(call: PhoneCall, since: int, until: int, width: float, step: float) -> list[Float]:
    """What arrived, cut into windows; lengths in seconds."""
    call.wait_time(until)
    samples = call.heard(since, until)
    size, apart = int(width * call.rate), int(step * call.rate)
    return [samples[at : at + size] for at in range(0, len(samples) - size + 1, apart)]


def nothing_else(call: PhoneCall, since: int, until: int) -> None:
    """As a rule, there is nothing in what arrived that nobody says. A late packet is a click; a wrong rate stays."""
    said = [TONES[name] for name in ("caller", "agent", "carla")]
    parts = windows(call, since, until, 0.08, 0.04)
    rest = float(np.median([spectral_floor(part, call.rate, said, width_hz=60) for part in parts]))
    assert rest < GARBAGE, f"{call!r} on {call.codec}: something at {rest:.1f} dBFS"


def no_trace(call: PhoneCall, since: int, until: int) -> None:
    """Not for a tenth of a second is carla heard, at her pitch or at half or twice of it."""
    parts = windows(call, since, until, 0.1, 0.02)
    for freq in (TONES["carla"] / 2, TONES["carla"], TONES["carla"] * 2):
        loudest = max(level_dbfs(part, freq, call.rate) for part in parts)
        assert loudest < GARBAGE, f"{call!r} on {call.codec}: {freq} Hz at {loudest:.1f} dBFS"


def again(scene: Scene, carla: Coach, mode: str) -> None:
    """After a re-INVITE: wait until he is in his mode, as the service says and as the agent hears."""
    since = scene.agent.mark()

    def there() -> bool:
        scene.agent.wait_received(5)  # to decode G.722 takes its time
        view = carla.view()
        now = scene.agent.mark()
        if view["phase"] != "attached" or view["mode"] != mode or not view["settled"] or now < since + LAST_NS:
            return False
        level = level_dbfs(scene.agent.heard(now - LAST_NS, now), TONES["carla"], scene.agent.rate)
        return abs(level - LEVEL) < 1

    wait_until(f"{carla.name} is heard in {mode} again", there)


def codec(call: PhoneCall) -> str:
    """Its name."""
    assert call.codec is not None
    return call.codec.name


@pytest.mark.parametrize(
    ("agent", "coach", "chosen"),
    [
        ("PCMU", ("PCMA",), "PCMA"),
        ("PCMA", ("PCMU",), "PCMU"),
        ("PCMA", WIDE, "PCMA"),
        ("G722", WIDE, "G722"),
        ("G722", ("PCMA",), "PCMA"),
    ],
)
def test_codecs_of_coach_and_agent(stage: Stage, agent: str, coach: tuple[str, ...], chosen: str) -> None:
    """The caller is on PCMU in all of them, so that an agent on PCMA or G.722 is coded anew for him."""
    scene = stage.call(agent_codecs=(agent,))
    carla = stage.coach("carla", scene, "whisper", codecs=coach)
    assert (codec(scene.caller), codec(scene.agent)) == ("PCMU", agent)
    assert codec(carla.heard_by_phone) == chosen
    whispered(stage, scene, carla, f"agent on {agent}, coach on {chosen}")


def test_a_whisper_is_wide_where_both_phones_are(stage: Stage) -> None:
    high = 5003.0
    scene = stage.call(agent_codecs=("G722",))
    carla = stage.coach("carla", scene, "whisper", codecs=WIDE, source=Tone(high, LEVEL))
    assert codec(carla.heard_by_phone) == "G722"
    heard = stage.listen({"agent": scene.agent}, {"carla": high}, settle=0.4)
    assert heard["agent"]["carla"] == pytest.approx(LEVEL, abs=1)


def test_a_coach_who_follows_the_agent_stays_narrow(stage: Stage) -> None:
    """The next caller may bring the agent a leg of 8 kHz."""
    scene = stage.call(agent_codecs=("G722",))
    carla = stage.coach("carla", scene, "whisper", codecs=WIDE, follow="agent")
    assert codec(carla.heard_by_phone) == "PCMU"
    whispered(stage, scene, carla, "a follower on PCMU, agent on G722")


@pytest.mark.parametrize("mode", ["whisper", "barge"])
def test_the_agent_falls_below_the_coach(stage: Stage, mode: str) -> None:
    """The coach's phone is offered another codec, does not ring, and he goes on in his mode."""
    scene = stage.call(agent_codecs=("G722",))
    carla = stage.coach("carla", scene, mode, codecs=WIDE)
    whispered(stage, scene, carla, f"both on G722, {mode}", mode)
    phone = stage.phone(DEVICES["carla"], stage.tone("carla"), WIDE)
    rung = len(phone.calls)
    scene.agent.reinvite(["PCMU"])
    again(scene, carla, mode)
    assert codec(carla.heard_by_phone) == "PCMU"
    whispered(stage, scene, carla, f"both on PCMU, {mode}", mode)
    assert len(phone.calls) == rung


def test_a_phone_that_takes_no_other_codec(stage: Stage) -> None:
    scene = stage.call(agent_codecs=("G722",))
    carla = stage.coach("carla", scene, "whisper", codecs=("G722",))
    whispered(stage, scene, carla, "both on G722")
    before = scene.caller.mark()
    scene.agent.reinvite(["PCMU"])
    assert carla.wait("ended")["reason"] == "codec_mismatch"
    after = scene.agent.mark()
    hear(stage, scene, None, "the agent now on PCMU")
    no_trace(scene.agent, after + TRACE_NS, scene.agent.mark())
    no_trace(scene.caller, before, scene.caller.mark())
    carla.heard_by_phone.wait("ended")


def test_the_agent_falls_to_the_coachs_own_rate_and_rises_again(stage: Stage) -> None:
    """The coach is on PCMU all the time, and goes on in the mode that he was in."""
    scene = stage.call(agent_codecs=("G722",))
    carla = stage.coach("carla", scene, "whisper", codecs=("PCMU",))
    for now, mode in (("PCMU", "whisper"), ("G722", "barge")):
        carla.mode(mode)
        scene.agent.reinvite([now])
        assert codec(scene.agent) == now
        again(scene, carla, mode)
        whispered(stage, scene, carla, f"{mode}, the agent now on {now}", mode)


def test_the_agent_goes_from_one_law_to_the_other(stage: Stage) -> None:
    """Nothing of it concerns the coach, and the caller is on PCMU before and after."""
    scene = stage.call(agent_codecs=("PCMU",))
    carla = stage.coach("carla", scene, "whisper")
    for now in ("PCMA", "PCMU"):
        since = scene.caller.mark()
        scene.agent.reinvite([now])
        whispered(stage, scene, carla, f"the agent now on {now}")
        assert carla.view()["phase"] == "attached"
        assert codec(scene.caller) == "PCMU"
        until = scene.caller.mark()
        arrived = [frame for frame in scene.caller.received if since <= frame.t_ns < until]
        assert {(frame.pt, len(frame.payload)) for frame in arrived} == {(0, 160)}
        assert len(arrived) >= (until - since) // 20_000_000 - 5


@pytest.mark.parametrize(("mode", "changes"), [("whisper", ("PCMA", "PCMU")), ("barge", ("PCMU", "G722"))])
def test_the_coachs_phone_changes_its_codec(stage: Stage, mode: str, changes: tuple[str, ...]) -> None:
    """To another rate and back to the first, or to another codec of the same rate."""
    scene = stage.call(agent_codecs=("G722",))
    carla = stage.coach("carla", scene, mode, codecs=WIDE)
    for now in changes:
        carla.heard_by_phone.reinvite([now])
        assert codec(carla.heard_by_phone) == now
        again(scene, carla, mode)
        whispered(stage, scene, carla, f"{mode}, the coach now on {now}", mode)


def test_a_coach_cannot_rise_above_the_agent(stage: Stage) -> None:
    """The coach was offered G.722 for an agent who had it then, and takes it when the agent has it no more. He is put
    back, and from then on the switch refuses his phone anything else."""
    scene = stage.call(agent_codecs=("G722",))
    carla = stage.coach("carla", scene, "barge", codecs=("PCMU", "G722"))
    scene.agent.reinvite(["PCMU"])
    again(scene, carla, "barge")
    carla.heard_by_phone.reinvite(["G722", "PCMU"])
    again(scene, carla, "barge")
    assert codec(carla.heard_by_phone) == "PCMU"
    with pytest.raises(SipRefused, match="488"):
        carla.heard_by_phone.reinvite(["G722"])
    assert codec(carla.heard_by_phone) == "PCMU"
