"""The agent's speech frame by frame while a coach comes, whispers and goes; and how late a whisper is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ccwhisper.proof.calls import PhoneCall
from ccwhisper.proof.exact import ExactReport, latencies_ms
from ccwhisper.proof.scene import LEVEL, TONES, Scene
from ccwhisper.proof.sources import Bursts, Noise, Tone
from ccwhisper.prove.calls import COACH, SiteStage
from ccwhisper.prove.measure import GARBAGE, percentile, strange
from ccwhisper.prove.record import Record

ROUNDS: Final = 3
_TRIES: Final = 2
LATE_MS: Final = 150.0
"""A whisper of which every twentieth moment is later than this is worth a warning."""

_MEASURED_NS: Final = 6_000_000_000


@dataclass(frozen=True, slots=True)
class _Rounds:
    """What came of the rounds. `frames` is None where the two codecs differ."""

    whisper: list[float]
    voice: list[float]
    frames: ExactReport | None


def prove(stage: SiteStage, record: Record, scene: Scene) -> None:
    """The agent says noise of which no frame occurs twice, the coach short bursts.

    Rounds during which our own phones were kept from sending in time, on a machine that is busy with other things, show
    that and not the switch: where frames were lost in such rounds, they are gone through again.
    """
    for _ in range(_TRIES):
        stumbles = stage.bank.stumbles
        rounds = _rounds(stage, scene)
        if rounds.frames is None or rounds.frames.exact or stage.bank.stumbles == stumbles:
            break
    _latencies(record, rounds.whisper, rounds.voice)
    if rounds.frames is None:
        _spectrum(record, stage, scene)
    else:
        _frames(record, rounds.frames)


def _rounds(stage: SiteStage, scene: Scene) -> _Rounds:
    scene.agent.play(Noise(11))
    scene.caller.wait_received(25)
    begin = since = scene.caller.mark()
    whisper: list[float] = []
    for number in range(ROUNDS):
        coach = stage.attach(scene)
        coach.mode("whisper")
        scene.caller.wait_received(14)  # a beep lasts ten frames
        if number == 0:
            begin = scene.agent.mark()
            whisper = _latency(stage, scene, coach.heard_by_phone)
        coach.mode("listen")
        coach.leave()
    scene.caller.wait_received(4)
    alike = scene.agent.rate == scene.caller.rate
    until = scene.caller.mark() - 500_000_000
    voice = latencies_ms(scene.agent, scene.caller, begin, until, 20) if alike else []
    frames = stage.frames(scene, since) if scene.caller.codec is scene.agent.codec else None
    scene.agent.play(Tone(TONES["agent"], LEVEL))
    scene.caller.wait_received(25)
    return _Rounds(whisper, voice, frames)


def _latency(stage: SiteStage, scene: Scene, coach: PhoneCall) -> list[float]:
    """From the coach's phone to the agent's, of each burst; nothing where their codecs have not the same rate."""
    if coach.rate != scene.agent.rate:
        return []
    since = coach.mark()
    coach.play(Bursts(5, every=0.2))
    until = since + _MEASURED_NS
    scene.agent.wait_time(until + 500_000_000)
    found = latencies_ms(coach, scene.agent, since + 100_000_000, until)
    coach.play(stage.tone(COACH))
    return found


def _latencies(record: Record, whisper: list[float], voice: list[float]) -> None:
    since = len(record.findings)
    figures = {
        name: {"p50_ms": percentile(values, 50), "p95_ms": percentile(values, 95), "marks": len(values)}
        for name, values in (("coach_to_agent", whisper), ("agent_to_caller", voice))
    }
    late = figures["coach_to_agent"]["p95_ms"]
    if late is None:
        record.find("latency.not-measured", "speech", "none of the coach's marks was found in what the agent heard")
    elif late > LATE_MS:
        record.find("latency.high", "speech", f"95 % within {late} ms")
    record.check("latency", "How late a whisper is", "soon enough to be of use", since, **figures)


def _frames(record: Record, report: ExactReport) -> None:
    before = len(record.findings)
    if report.missing:
        record.find("frames.lost", "speech", f"{report.missing} of {report.missing + report.matched} frames of 20 ms")
    if report.foreign or report.reordered or report.repeated or not report.matched:
        record.find("frames.foreign", "speech", str(report))
    record.check(
        "speech", "What the caller gets of the agent", "every frame, unchanged and in order", before, rounds=ROUNDS,
        matched=report.matched, missing=report.missing, foreign=report.foreign, reordered=report.reordered,
        repeated=report.repeated,
    )  # fmt: skip


def _spectrum(record: Record, stage: SiteStage, scene: Scene) -> None:
    """What the caller hears beside the agent while a coach whispers. Frames that are coded anew cannot be counted."""
    before = len(record.findings)
    coach = stage.attach(scene)
    coach.mode("whisper")
    stage.after_beep(scene)
    since = scene.caller.mark()
    floor = strange(scene.caller, ["agent"], since, since + 1_000_000_000)
    if floor > GARBAGE:
        record.find("frames.foreign", "speech", f"something beside the agent at {floor:.1f} dBFS")
    coach.leave()
    record.check(
        "speech", "What the caller gets of the agent", "his voice and nothing else, by its spectrum", before,
        spectral_floor_dbfs=round(floor, 1),
    )  # fmt: skip
