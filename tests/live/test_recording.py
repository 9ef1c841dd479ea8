"""The finished file of real calls: each track holds its own tone where a phone heard it, and nothing else; a coach's
voice that comes back out of a headset is reported; and the caller gets what he got without a recording."""

from __future__ import annotations

import json
import subprocess
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ccwhisper.bench._leak import headset, voice
from ccwhisper.coaching.policy import EDIT_POLICIES
from ccwhisper.proof.headset import Headset
from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.phones import PhoneCall
from ccwhisper.proof.stage import TONES, Coach, Scene, Stage, wait_until
from ccwhisper.proof.tones import Noise, Samples, latencies_ms, peak_dbfs
from tests.live.recorded import (
    BLUR,
    CLEAN,
    EXACT,
    FRAME,
    GAP,
    PATIENCE,
    RECORDED,
    Spans,
    assert_alike,
    assert_no_trace,
    decode,
    edges,
    forgotten,
    joined,
    offset,
    recording_of,
    result_of,
    spans_heard,
    spans_in,
    strange,
    within,
    without,
)
from tests.live.report import Report
from tests.live.test_exact import assert_exact, go_round, settled
from tests.scenarios.stage import TIMES

pytestmark = pytest.mark.live

WHOLE = "Recordings"
EVERYBODY = {*TONES, "beep"}


@pytest.fixture(scope="module")
def recording_stage(node: PrivateNode) -> Iterator[Stage]:
    """A service that records, on the shared node."""
    with Stage(node, TIMES + RECORDED) as stage:
        yield stage


@pytest.fixture
def stage(recording_stage: Stage, on_stage: Callable[..., Iterator[Stage]]) -> Iterator[Stage]:
    yield from on_stage(recording_stage)


def say(coach: Coach, mode: str, scene: Scene, frames: int = 45) -> None:
    """In a mode for a while, and listening again."""
    coach.mode(mode)
    scene.agent.wait_received(frames)
    coach.mode("listen")
    scene.agent.wait_received(15)


@dataclass
class Story:
    """A call with all that can happen in one, when it is over."""

    recording: str
    caller: PhoneCall
    agent: PhoneCall
    colleague: PhoneCall
    asked: dict[str, tuple[float, float]]
    """When something was asked for, by the text of its chapter: seconds since the epoch, before and after."""


CUE, NOTE = "Offer the annual plan", "What is the discount?"


def play(stage: Stage) -> Story:
    """Two coaches, every mode, hold, a pause, a blind transfer, and a take-over."""
    scene = stage.call()
    recording = recording_of(stage, scene.id)
    carla, dora = stage.coach("carla", scene), stage.coach("dora", scene)
    asked = {}
    panel = stage.service.api("agent-1001", permissions=[], roles=[], queues=[], agent="1001")
    for title, ask in (
        ("Carla: whisper", lambda: carla.mode("whisper")),
        (f"Carla: {CUE}", lambda: carla.api.ask("POST", f"/sessions/{carla.session}/cues", {"text": CUE})),
        (f"Help: {NOTE}", lambda: panel.ask("PUT", "/hand", {"note": NOTE})),
    ):
        before = time.time()
        ask()
        asked[title] = before, time.time()
        scene.agent.wait_received(15)
    panel.close()
    say(carla, "whisper", scene)
    say(dora, "whisper", scene)
    say(carla, "barge", scene)
    carla.mode("whisper")
    say(dora, "whisper", scene)
    scene.agent.hold()
    wait_until("the call is held", lambda: stage.calls()[0]["held"])
    scene.caller.wait_time(scene.caller.mark() + 500_000_000)
    scene.agent.unhold()
    wait_until("the call is held no more", lambda: not stage.calls()[0]["held"])
    carla.wait()
    scene.agent.wait_received(40)
    boss = stage.service.api("boss")
    boss.ask("POST", f"/calls/{scene.id}/recording/pause")
    scene.agent.wait_received(75)
    boss.ask("POST", f"/calls/{scene.id}/recording/resume")
    boss.close()
    scene.agent.wait_received(30)
    carla.leave()
    second = stage.phone_of("1002", "colleague")
    scene.agent.refer("1002")
    there = second.wait_call().wait("up")
    scene.agent.hangup()
    wait_until("dora has come along", lambda: dora.view()["call"] not in (None, scene.id))
    dora.wait()
    dora.mode("whisper")
    there.wait_received(45)
    dora.take_over()
    there.wait("ended", 10)
    scene.caller.wait_received(50)
    scene.caller.hangup()
    return Story(recording, scene.caller, scene.agent, there, asked)


def test_each_track_holds_its_own_tone_where_it_was_heard(stage: Stage, report: Report) -> None:
    story = play(stage)
    result, archive = result_of(stage, story.recording)
    assert not [each for each in result.problems if each.code not in ("track_long", "track_short")]  # a busy machine's
    call, *whispers = decode(archive / result.file)
    by_session = {coach.session: coach.name.lower() for coach in result.coaches}
    assert [by_session[track.session] for track in result.tracks[1:]] == ["carla", "dora"]
    moments = {chapter.kind: chapter.at for chapter in result.chapters}
    silent = [(moments["pause"] - EXACT, moments["resume"] + EXACT)]
    left, right, rate = call[0][:, 0], call[0][:, 1], call[1]
    begun = spans_in(left, rate, "caller")[0][0]
    off: dict[str, tuple[float, float]] = {}

    def ears(name: str, *phones: PhoneCall) -> Spans:
        heard = joined(*(spans_heard(each, name, result.started_at) for each in phones))
        return within(heard, 0.0, result.duration)

    def compare(what: str, sound: np.ndarray, name: str, *phones: PhoneCall) -> None:
        """Between a track and a phone lie a packet or two, for all of it the same."""
        seen, heard = spans_in(sound, rate, name), ears(name, *phones)
        late = offset(seen, within(without(heard, silent), seen[0][0] - GAP, result.duration))
        moved = without([(start - late, end - late) for start, end in heard], silent)
        assert abs(late) < GAP, (what, result.problems)
        off[what] = late, assert_alike(seen, within(moved, begun, result.duration), what)

    heard = {name: spans_in(right, rate, name) for name in ("agent", "colleague", "carla", "dora")}
    for name in heard:
        compare(f"what the caller hears of {name}", right, name, story.caller)
    # Two tones at once in G.711 leave a little of others: -70.
    apart = edges(*heard.values()) + heard["carla"]
    for name in ("caller", "carla", "dora"):
        own = heard["dora"] if name == "dora" else []
        assert_no_trace(right, rate, [name], apart + own)
    assert_no_trace(right, rate, ["beep"], apart)
    alone = edges(spans_in(left, rate, "caller"))
    assert_no_trace(left, rate, EVERYBODY - {"caller"}, alone)
    for (sound, track_rate), name in zip(whispers, ("carla", "dora"), strict=True):
        assert track_rate == rate
        phones = [story.agent, story.colleague] + ([story.caller] if name == "carla" else [])
        compare(f"{name}'s track", sound[:, 0], name, *phones)
        alone = edges(spans_in(sound[:, 0], rate, name))
        assert_no_trace(sound[:, 0], rate, EVERYBODY - {name}, alone)
    # What he says in a barge is in both tracks, and there at one time.
    barged = min((each for each in spans_in(whispers[0][0][:, 0], rate, "carla")),
                 key=lambda each: abs(each[0] - heard["carla"][0][0]))  # fmt: skip
    assert_alike([barged], heard["carla"], "the barge in carla's track")
    first, last = round((moments["pause"] + 2 * BLUR) * rate), round((moments["resume"] - 2 * BLUR) * rate)
    assert last - first > rate // 2
    assert all(peak_dbfs(sound[first:last]) < CLEAN for sound, _ in [call, *whispers])
    for what, (late, worst) in off.items():
        report.say(WHOLE, f"{what}: {1000 * late:.0f} ms before the phone, no edge more than {1000 * worst:.0f} ms off")
    wait_until("raw tracks and journal are gone", forgotten(stage, story.recording), PATIENCE)
    chapters = probed(archive / result.file, ["Call", "Coach Carla", "Coach Dora"])
    for title, (before, after) in story.asked.items():
        at = next(result.started_at + each for each, text in chapters if title in text.split(" · "))
        assert before - EXACT <= at <= after + EXACT, (title, before - at, after - at)
    beeps = ears("beep", story.agent, story.colleague)
    assert len(beeps) >= 4
    told = [at for at, text in chapters if "Beep, " in text]
    for start, _ in beeps:
        assert any(-EXACT <= start - at <= GAP for at in told), (start, told)


def probed(file: Path, names: list[str]) -> list[tuple[float, str]]:
    """What ffprobe says of it: the chapters that it shows. ffmpeg decodes all of it and complains of nothing."""
    found = subprocess.run(
        ["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_chapters", "-show_format", str(file)],
        capture_output=True, check=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert not found.stderr
    said = json.loads(found.stdout)
    audio = [each for each in said["streams"] if each["codec_type"] == "audio"]
    assert [(each["codec_name"], each["channels"]) for each in audio] == [("aac", 2)] + [("aac", 1)] * (len(names) - 1)
    assert [each["disposition"]["default"] for each in audio] == [1] + [0] * (len(names) - 1)
    assert [each["tags"]["handler_name"] for each in audio] == names
    assert [each["tags"]["language"] for each in audio] == ["und"] * len(names)
    chapters = [(float(each["start_time"]), each["tags"]["title"]) for each in said["chapters"]]
    words = ("whisper", "barge", "Beep", CUE, NOTE, "Hold", "Pause", "takes over")
    assert all(any(word in title for _, title in chapters) for word in words), chapters
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(file), "-map", "0:a", "-f", "null", "-"]
    assert subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE).stderr == b""
    return chapters


def voice_of(seed: int, pause: float) -> Samples:
    """Somebody who speaks."""
    wave = voice(np.random.default_rng(seed), 20.0, -20.0, pause)
    return Samples(np.rint(wave * 32767).astype(np.int16), loop=True)


LEAK, LATE = -30.0, 0.12


def leaky(source: Samples) -> Headset:
    """A headset that gives back what it plays, of a voice as loud as LEAK, LATE s after it was played."""
    said = source.pcm(8000) / 32768.0
    answer = headset(np.random.default_rng(5), LATE)
    back = np.convolve(said, answer)[: len(said)]
    return Headset(answer * np.sqrt(np.sum(said**2) * 10 ** (LEAK / 10) / np.sum(back**2)))


def test_a_loud_headset_and_a_wrong_route_are_reported(stage: Stage, report: Report) -> None:
    """Three calls: of one the agent's headset gives back what it plays, of one nothing is wrong, and on one the switch
    is told behind the service's back to let the caller hear the coach."""
    whispering = voice_of(1, 0.6)
    scenes, coaches, recordings = {}, {}, {}
    for number, (name, agent) in enumerate((("carla", "1001"), ("dora", "1002"), ("emil", "1003"))):
        scene = scenes[name] = stage.call(agent, agent_source=voice_of(10 + number, 1.5))
        recordings[name] = recording_of(stage, scene.id)
        coaches[name] = stage.coach(name, scene, source=whispering)
    scenes["carla"].agent.wear(leaky(whispering))
    for coach in coaches.values():
        coach.mode("whisper")
    since = scenes["carla"].agent.mark()
    open_leg = stage.leg_of(coaches["emil"].heard_by_phone)
    for seconds in (0, 5, 10, 15, 20):  # the service tells an open microphone's gate anew now and then
        scenes["carla"].agent.wait_time(since + seconds * 1_000_000_000)
        stage.node.send_event("NOTIFY", f"unique-id: {open_leg}", "eavesdrop-command: 3")
    scenes["carla"].agent.wait_time(since + 22_000_000_000)
    ways = latencies_ms(coaches["carla"].heard_by_phone, scenes["carla"].agent, since, since + 10_000_000_000)
    back = latencies_ms(scenes["carla"].agent, scenes["carla"].caller, since, since + 10_000_000_000)
    planted = latencies_ms(coaches["emil"].heard_by_phone, scenes["emil"].caller, since, since + 20_000_000_000)
    assert len(planted) > 3, "the caller does not hear the coach whom he was to hear"
    for scene in scenes.values():
        scene.hang_up()
    traces = {}
    for name, recording in recordings.items():
        result, _ = result_of(stage, recording)
        assert result.bleed is not None
        traces |= {(name, each.channel): each for each in result.bleed.traces}
    assert {key for key, each in traces.items() if each.kind != "none"} == {("carla", "agent"), ("emil", "agent")}
    leak, copy = traces["carla", "agent"], traces["emil", "agent"]
    assert (leak.kind, leak.flagged) == ("acoustic", True)
    assert leak.level == pytest.approx(LEAK, abs=4)
    # To the agent's phone, through headset and the phone's own 20 ms, and to the caller; the switch is on both ways.
    expected = float(np.median(ways)) + 1000 * LATE + float(np.median(back))
    assert leak.delay is not None
    report.say(WHOLE, f"a headset that gives back {LEAK:.0f} dB after {1000 * LATE:.0f} ms: {leak.level} dB, "
                      f"{leak.delay} ms in the recording, {expected:.0f} ms from coach to caller")  # fmt: skip
    assert leak.delay == pytest.approx(expected, abs=1000 * EXACT)
    assert (copy.kind, copy.flagged) == ("routing", True)
    assert copy.level == pytest.approx(0, abs=2)


def alone(spans: Spans) -> bool:
    """Whether none is longer than a frame, and they are few."""
    whole = joined(spans)
    return len(whole) <= 3 and all(end - start < 1.5 * FRAME for start, end in whole)


def frames_said(call: PhoneCall) -> list[bytes]:
    """What somebody has said, frame by frame, as the switch decodes it."""
    assert call.codec is not None
    return [call.codec.decode(frame.payload).tobytes() for frame in call.sent]


def test_the_caller_gets_every_frame_while_he_is_recorded(stage: Stage, report: Report, tmp_path: Path) -> None:
    """And the call's track holds his frames and the agent's, silence, and nothing else at any moment, not where a mode
    changes, either: but for a frame now and then that the switch makes up where one came late to it."""
    scene = stage.call(agent_source=Noise(11))
    recording = recording_of(stage, scene.id)
    raw = tmp_path / "call.wav"
    written = stage.service.directory / "var" / "recordings" / "raw" / f"{recording}-call.wav"
    wait_until("the switch writes it", written.exists)
    raw.hardlink_to(written)
    begin = settled(scene)
    boss = stage.service.api("boss")
    for number in range(5):
        go_round(stage, scene, "carla", number)
        boss.ask("POST", f"/calls/{scene.id}/recording/{'resume' if number % 2 else 'pause'}")
    boss.ask("POST", f"/calls/{scene.id}/recording/resume")
    boss.close()
    found = assert_exact(scene, begin)
    coach = stage.coach("dora", scene)
    say(coach, "barge", scene)
    coach.leave()
    scene.hang_up()
    result, _ = result_of(stage, recording)
    assert len(result.tracks) == 7
    with wave.open(str(raw)) as file:
        sound = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2).copy()
    left, right = (frames_said(call) for call in (scene.caller, scene.agent))
    (barged,) = spans_heard(scene.caller, "dora", result.started_at)
    longest = max(joined(strange(sound[:, 1], right)), key=lambda each: each[1] - each[0])
    assert longest[1] - longest[0] == pytest.approx(barged[1] - barged[0], abs=EXACT)
    first, last = (round(at * 8000) for at in longest)
    sound[first:last, 1] = 0
    assert alone(strange(sound[:, 0], left))
    assert alone(strange(sound[:, 1], right))
    # The measure itself: two frames with a sample that is off by the smallest step of G.711.
    sound[first - 400, 1] += 8
    sound[first - 240, 1] += 8
    assert not alone(strange(sound[:, 1], right))
    report.say(WHOLE, f"recorded, 5 rounds of attach, beep, whisper, leave, and pauses: {found}")


def test_whispers_that_are_excluded_are_never_on_the_disk(stage: Stage) -> None:
    admin = stage.service.api("ada", permissions=[EDIT_POLICIES])
    admin.ask("PUT", "/policies/default", {"record_whisper": "excluded"})
    try:
        scene = stage.call()
        recording = recording_of(stage, scene.id)
        coach = stage.coach("carla", scene)
        seen: set[str] = set()
        folder = stage.service.directory / "var" / "recordings"
        for mode in ("whisper", "barge", "listen"):
            coach.mode(mode)
            for _ in range(10):
                scene.agent.wait_received(3)
                seen |= {path.name for path in (folder / "raw").iterdir() if path.name.startswith(recording)}
        scene.hang_up()
        result, archive = result_of(stage, recording)
    finally:
        admin.ask("PUT", "/policies/default", {"record_whisper": None})
        admin.close()
    assert seen == {f"{recording}-call.wav"}
    assert [track.kind for track in result.tracks] == ["call"]
    assert [each.track for each in result.coaches] == [None]
    assert len(decode(archive / result.file)) == 1
