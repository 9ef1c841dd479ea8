"""Who hears whom on the simulator, at what level and in which frames. Everybody speaks at -16 dBFS all the time."""

from __future__ import annotations

import array
import math
import wave
from pathlib import Path

import pytest

from ccwhisper.simulator.media import FRAME, frame_of
from ccwhisper.simulator.sound import SAMPLES, frequency

from .simulated import BEEP, FIRST, Simulated

pytestmark = pytest.mark.protocol

BEEP_DBFS = -13 - 3.17


@pytest.fixture
def world() -> Simulated:
    return Simulated()


def levels(world: Simulated, leg: str, ms: int) -> dict[str, float]:
    """What a leg heard in the last so many ms: dBFS by party."""
    return {name: each["dbfs"] for name, each in world.sim(f"hears {leg} {ms}")["heard"].items()}


# --- the gate ---------------------------------------------------------------------------------------------------------


# the same as tests/scenarios/matrix.py::test_listen_whisper_barge_and_back
def test_the_gate(world: Simulated) -> None:
    caller, agent = world.call()
    coach = world.coach(agent)
    for digit, audience in (("0", ""), ("2", "a"), ("0", ""), ("3", "ac"), ("2", "a"), ("1", "c"), ("0", "")):
        world.gate(coach, digit)
        assert world.hears(caller) == {"1001"} | ({"9001"} if "c" in audience else set()), digit
        assert world.hears(agent) == {FIRST} | ({"9001"} if "a" in audience else set()), digit
        assert world.hears(coach) == {FIRST, "1001"}, digit
    assert set(levels(world, coach, 100).values()) == {-16.0}


def test_a_gate_moves_with_the_next_frame_and_two_commands_take_two(world: Simulated) -> None:
    """One event is taken from a leg's queue for each frame that it reads."""
    _, agent = world.call()
    coach = world.coach(agent)
    world.run(0.005)
    for digit in "23":
        world.send(f"sendevent NOTIFY\nunique-id: {coach}\neavesdrop-command: {digit}")
    world.run(FRAME)
    assert world.world.switch.legs[agent].bugs[0].hear_write
    assert not world.world.switch.legs[agent].bugs[0].hear_read
    world.run(FRAME)
    assert world.world.switch.legs[agent].bugs[0].hear_read


# the same as tests/scenarios/matrix.py::test_two_coaches_in_mixed_modes
def test_a_coach_hears_the_whisper_of_those_who_came_before_him(world: Simulated) -> None:
    caller, agent = world.call()
    coaches = {user: world.coach(agent, user) for user in ("9001", "9002", "9003")}
    both = {FIRST, "1001"}
    for leg in coaches.values():
        world.gate(leg, "2")
    assert world.hears(coaches["9001"]) == both
    assert world.hears(coaches["9002"]) == both | {"9001"}
    assert world.hears(coaches["9003"]) == both | {"9001", "9002"}
    assert world.hears(agent) == {FIRST, *coaches}
    assert world.hears(caller) == {"1001"}


# the same as tests/scenarios/matrix.py::test_three_coaches_in_mixed_modes
def test_in_a_barge_everybody_hears_everybody(world: Simulated) -> None:
    caller, agent = world.call()
    coaches = {user: world.coach(agent, user) for user in ("9001", "9002", "9003")}
    for leg in coaches.values():
        world.gate(leg, "3")
    for user, leg in coaches.items():
        assert world.hears(leg) == {FIRST, "1001", *coaches} - {user}
    assert world.hears(caller) == {"1001", *coaches}
    assert world.hears(agent) == {FIRST, *coaches}


def test_a_coach_with_more_samples_than_the_agent_whispers_garbage(world: Simulated) -> None:
    caller, agent = world.call()
    coach = world.coach(agent, variables=",absolute_codec_string=G722")
    world.gate(coach, "2")
    assert world.hears(agent) == {FIRST, "9001 (garbled)"}
    fits = world.coach(agent, "9002", variables=",absolute_codec_string=^^:PCMU:PCMA")
    world.gate(fits, "2")
    assert world.hears(agent) == {FIRST, "9001 (garbled)", "9002"}
    assert world.hears(caller) == {"1001"}


def test_a_new_codec_in_mid_call_is_told(world: Simulated) -> None:
    """Twice by a phone, for what is read and what is written; an eavesdrop changes only what is read."""
    _, agent = world.call()
    coach = world.coach(agent)
    world.sim(f"codec {agent} 16000")
    read, written = world.raised("CODEC")
    assert (read["channel-read-codec-rate"], read["Channel-Read-Codec-Rate"]) == ("16000", "16000")
    assert written["Channel-Write-Codec-Name"] == "G722"
    assert "channel-read-codec-rate" not in written
    assert world.dump(agent)["variable_read_rate"] == "16000"
    world.forget()
    world.api(f"uuid_park {coach}")
    world.run(0.1)
    [read] = world.raised("CODEC")
    assert read["channel-read-codec-name"] == "PCMU"


@pytest.mark.parametrize("whose", ["agent", "coach"])
def test_after_a_new_codec_nobody_hears_the_coach_until_he_attaches_anew(world: Simulated, whose: str) -> None:
    _, agent = world.call()
    coach, other = world.coach(agent), world.coach(agent, "9002")
    for leg in (coach, other):
        world.gate(leg, "2")
    world.sim(f"codec {agent if whose == 'agent' else coach} {16000 if whose == 'agent' else 8000}")
    assert world.hears(agent) == ({FIRST} if whose == "agent" else {FIRST, "9002"})
    world.gate(coach, "2")
    assert "9001" not in world.hears(agent)
    world.api(f"uuid_transfer {coach} 'eavesdrop:{agent},park' inline")
    world.run(0.1)
    world.gate(coach, "2")
    assert "9001" in world.hears(agent)


# --- the beep ---------------------------------------------------------------------------------------------------------


# the same as tests/scenarios/matrix.py::test_the_beep_is_for_the_agent_alone
def test_a_displace_with_mux_is_heard_by_the_agent_alone(world: Simulated) -> None:
    caller, agent = world.call()
    coach = world.coach(agent)
    assert world.api(f"uuid_displace {agent} start {BEEP} 0 mux") == "+OK Success\n"
    world.run(0.1)
    assert levels(world, agent, 100) == {FIRST: -16.0, "beep": pytest.approx(BEEP_DBFS, abs=0.01)}
    assert levels(world, caller, 100) == {"1001": -16.0}
    assert levels(world, coach, 100) == {FIRST: -16.0, "1001": -16.0}
    assert world.story("MEDIA_BUG_START") == [("MEDIA_BUG_START", "1001")]
    world.run(0.12)
    assert [(event["Media-Bug-Function"], event["Unique-ID"]) for event in world.raised("MEDIA_BUG_STOP")] == [
        ("displace", agent)
    ], "it ends by itself"
    assert world.hears(agent) == {FIRST}


def test_a_coach_hears_a_beep_that_came_first(world: Simulated) -> None:
    """With flag f it stands before the eavesdrop in the list, and whoever reads later reads it too."""
    _, agent = world.call()
    coach = world.coach(agent)
    world.api(f"uuid_displace {agent} start {BEEP} 0 mf")
    assert "beep" in world.hears(coach)


def test_a_displace_ends_when_it_is_told_to_or_when_its_time_is_up(world: Simulated) -> None:
    _, agent = world.call()
    endless = "tone_stream://v=-13;%(200,0,1400);loops=-1"
    assert world.api(f"uuid_displace {agent} start {endless} 0 mux") == "+OK Success\n"
    world.run(5)
    assert "beep" in world.hears(agent)
    assert world.api(f"uuid_displace {agent} stop {endless}") == "+OK Success\n"
    assert world.hears(agent) == {FIRST}
    assert world.api(f"uuid_displace {agent} stop {endless}") == "-ERR Cannot stop displace session!\n"
    world.api(f"uuid_displace {agent} start {endless} 2 mux")
    world.run(2.1)
    assert world.hears(agent) == {FIRST}
    assert world.api(f"uuid_displace {agent} start nonsense 0 mux") == "-ERR Cannot displace session!\n"


# --- frame by frame ---------------------------------------------------------------------------------------------------


# the same as tests/live/test_exact.py::test_twenty_rounds_in_either_codec
def test_twenty_rounds_cost_the_caller_nothing(world: Simulated) -> None:
    caller, agent = world.call()
    begin = world.clock.now()
    for _ in range(20):
        coach = world.coach(agent)
        world.api(f"uuid_displace {agent} start {BEEP} 0 mux")
        for digit in "202":
            world.gate(coach, digit)
        world.run(0.2)
        world.api(f"uuid_kill {coach}")
        world.run(0.1)
    lasted = round((world.clock.now() - begin) * 1000)
    found = world.sim(f"frames {caller} 1001 {lasted}")
    assert found == {"matched": lasted // 20, "missing": 0, "foreign": 0, "gaps": []}


def test_what_is_not_exact_is_seen(world: Simulated) -> None:
    caller, agent = world.call()
    coach = world.coach(agent)
    world.gate(coach, "3")
    world.run(0.1)
    world.gate(coach, "0")
    world.sim(f"hold {agent}")
    world.run(0.2)
    world.sim(f"unhold {agent}")
    world.run(0.1)
    found = world.sim(f"frames {caller} 1001 500")
    assert (found["matched"], found["missing"], found["foreign"]) == (15, 10, 7)
    assert [count for _, count in found["gaps"]] == [10]


def test_what_was_heard_as_it_changed(world: Simulated) -> None:
    caller, agent = world.call()
    coach = world.coach(agent)
    world.gate(coach, "3")
    world.run(0.16)
    world.sim(f"hangup {coach}")
    world.run(0.1)
    pieces = world.sim(f"pieces {caller} 400")
    assert [set(heard) for _, heard in pieces] == [{"1001"}, {"1001", "9001"}, {"1001"}]
    assert [frames for frames, _ in pieces] == [5, 10, 5]


def test_it_can_be_asked_for_a_minute_after_the_end(world: Simulated) -> None:
    caller, _ = world.call()
    world.run(1)
    world.sim(f"hangup {caller}")
    world.run(30)
    assert world.sim(f"hears {caller} 31000")["heard"]["1001"]["frames"] == 50
    world.run(40)
    assert world.sim(f"hears {caller} 80000")["heard"] == {}


def test_frames_are_of_twenty_milliseconds() -> None:
    assert [frame_of(seconds) for seconds in (0.0, 0.001, 0.02, 0.020001, 0.04)] == [0, 1, 1, 2, 2]


# --- recordings -------------------------------------------------------------------------------------------------------


def tones(path: Path, *names: str) -> list[set[str]]:
    """Who is in each channel of a file, by the tones of these names."""
    with wave.open(str(path)) as file:
        channels, rate = file.getnchannels(), file.getframerate()
        samples = array.array("h", file.readframes(file.getnframes()))
    found = []
    for channel in range(channels):
        own = samples[channel::channels]
        there = set()
        for name in names:
            step = 2 * math.pi * frequency(name) / rate
            real = sum(value * math.cos(step * at) for at, value in enumerate(own))
            imaginary = sum(value * math.sin(step * at) for at, value in enumerate(own))
            if 2 * math.hypot(real, imaginary) / len(own) / 32768 > 0.05:
                there.add(name)
        found.append(there)
    return found


@pytest.mark.parametrize(("which", "whisper_is_in_it"), [("caller", False), ("agent", True)])
def test_a_recording_of_the_wrong_leg_has_the_whisper_in_the_callers_channel(
    world: Simulated, tmp_path: Path, which: str, whisper_is_in_it: bool
) -> None:
    caller, agent = world.call()
    leg = {"caller": caller, "agent": agent}[which]
    coach = world.coach(agent)
    path = tmp_path / "call.wav"
    world.api(f"uuid_setvar {leg} RECORD_STEREO true")
    world.gate(coach, "2")
    world.forget()
    assert world.api(f"uuid_record {leg} start {path}") == "+OK Success\n"
    assert world.api(f"uuid_record {leg} start {path}") == "+OK Success\n"
    world.run(0.4)
    assert world.api(f"uuid_record {leg} stop {path}") == "+OK Success\n"
    assert [event["Event-Name"] for event in world.raised()] == [
        "RECORD_START", "MEDIA_BUG_START", "RECORD_STOP", "MEDIA_BUG_STOP",
    ]  # fmt: skip
    says, hears = ({FIRST}, {"1001"}) if which == "caller" else ({"1001"}, {FIRST, "9001"})
    assert tones(path, FIRST, "1001", "9001") == [says, hears]
    assert ("9001" in hears) is whisper_is_in_it


def test_a_coachs_recording_is_silent_where_it_is_masked_and_shorter_where_it_pauses(
    world: Simulated, tmp_path: Path
) -> None:
    _, agent = world.call()
    coach = world.coach(agent)
    path = tmp_path / "coach.wav"
    world.api(f"uuid_setvar {coach} RECORD_READ_ONLY true")
    world.run(0.005)  # between two frames
    world.api(f"uuid_record {coach} start {path}")
    for action, seconds in (("mask", 0.2), ("unmask", 0.2), ("pause", 0.4), ("resume", 0.1)):
        assert world.api(f"uuid_record {coach} {action} {path}") == "+OK Success\n"
        world.run(seconds)
    world.api(f"uuid_record {coach} stop {path}")
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getnframes()) == (1, 25 * SAMPLES)
        samples = array.array("h", file.readframes(file.getnframes()))
    loud = [any(samples[at : at + SAMPLES]) for at in range(0, len(samples), SAMPLES)]
    assert loud == [False] * 10 + [True] * 15
    assert tones(path, FIRST, "1001", "9001") == [{"9001"}]
    assert world.api(f"uuid_record {coach} mask {path}") == "-ERR Cannot mask recording session!\n"


def test_a_recording_ends_with_its_leg(world: Simulated, tmp_path: Path) -> None:
    caller, _ = world.call()
    path = tmp_path / "call.wav"
    world.api(f"uuid_record {caller} start {path}")
    world.run(0.4)
    world.sim(f"hangup {caller}")
    world.run(0.1)
    [stop] = world.raised("RECORD_STOP")
    assert stop["Record-File-Path"] == str(path)
    assert tones(path, FIRST, "1001") == [{FIRST, "1001"}], "mono: both, mixed"


def test_what_is_said_with_the_command_counts_before_the_variables(world: Simulated, tmp_path: Path) -> None:
    caller, _ = world.call()
    world.api(f"uuid_setvar {caller} RECORD_READ_ONLY true")
    path = tmp_path / "made" / "call.wav"
    given = "{RECORD_STEREO=true,RECORD_READ_ONLY=false}"
    assert world.api(f"uuid_record {caller} start {path} 0 {given}") == "+OK Success\n"
    world.run(0.4)
    world.api(f"uuid_record {caller} stop {path}")
    assert tones(path, FIRST, "1001") == [{FIRST}, {"1001"}]
    (tmp_path / "file").write_text("")
    refused = world.api(f"uuid_record {caller} start {tmp_path / 'file' / 'call.wav'}")
    assert refused == "-ERR Cannot record session!\n"
    assert world.api(f"uuid_record {caller} stop {path}") == "-ERR Cannot stop record session!\n"
