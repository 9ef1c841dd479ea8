"""The synthetic call once more, coached from a browser: through the node's profile for browsers, and over WebRTC."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from ccwhisper.proof.exact import ExactReport
from ccwhisper.proof.scene import LEVEL, TONES, Coach, Scene
from ccwhisper.proof.sources import Noise, Tone
from ccwhisper.proof.tones import first_heard
from ccwhisper.prove.browser import CoachPage, NoBrowser, NotReady, opened
from ccwhisper.prove.calls import COACH, NotAttached, SiteStage
from ccwhisper.prove.measure import percentile
from ccwhisper.prove.record import Record
from ccwhisper.prove.speech import LATE_MS

TITLE: Final = "Coaching from the browser"

SLACK: Final = 5.0
"""dB: Opus at 22 kbit/s moves the tones of a mixture by some two, now and then by four."""

GARBAGE: Final = -30.0
"""dBFS: Opus leaves more of what nobody says than G.711, some -40; a wrong rate leaves -17 to -25."""

_BURSTS: Final = 8
_BURST_S: Final = 0.3
_TRIES: Final = 2
_QUIET: Final = {"caller": ("agent",), "agent": ("caller",)}
_WHISPER: Final = {"caller": ("agent",), "agent": ("caller", COACH)}
_BARGE: Final = {"caller": ("agent", COACH), "agent": ("caller", COACH)}


def prove(stage: SiteStage, record: Record, scene: Scene, look: Callable[..., Any]) -> None:
    """`look` is the script's. Where the node has no profile for browsers, as the configuration has it, there is nothing
    to prove."""
    if stage.site.browsers is None:
        return
    since = len(record.findings)
    figures: dict[str, Any] = {}
    answer = "who hears whom as with a desk phone, and the caller gets every frame of the agent"
    desk = stage.device(COACH)
    try:
        with opened(COACH, f"{stage.service.url}/#token={stage.service.token(COACH, devices=[desk])}") as page:
            figures = _coached(stage, record, scene, page, look)
    except NoBrowser as error:
        record.find("browser.not-checked", "browser", str(error))
    except NotReady as error:
        record.find("browser.not-ready", "browser", str(error))
    except NotAttached as error:
        record.find("coach.not-attached", "browser", str(error))
    record.check("browser", TITLE, answer, since, **figures)


def _coached(
    stage: SiteStage, record: Record, scene: Scene, page: CoachPage, look: Callable[..., Any]
) -> dict[str, Any]:
    coach = stage.attach_page(scene, page)
    rate = _rate(stage, record, scene, coach)

    def looked(step: str, promise: str, wanted: Mapping[str, tuple[str, ...]], mode: str = "") -> None:
        if mode:
            coach.mode(mode)
            stage.after_beep(scene)
        look(scene, coach, f"browser: {step}", promise, wanted, slack=SLACK, garbage=GARBAGE)

    looked("listen", "the coach's browser hears both, nobody hears it", _QUIET)
    looked("whisper", "the agent hears the browser, the caller does not", _WHISPER, "whisper")
    looked("barge", "caller and agent hear the browser", _BARGE, "barge")
    coach.mute()
    coach.wait()
    looked("muted", "a barge with a muted browser: nobody hears it", _QUIET)
    coach.mute(False)
    coach.wait()
    looked("back", "listening again: nobody hears the browser", _QUIET, "listen")
    coach.leave()
    for _ in range(_TRIES):
        stumbles = stage.bank.stumbles
        late, frames = _counted(stage, scene, page)
        if frames is None or frames.exact or stage.bank.stumbles == stumbles:
            break
    return {"switch_hz": rate, **_latency(record, late), **_frames(record, frames)}


def _rate(stage: SiteStage, record: Record, scene: Scene, coach: Coach) -> int:
    said = str(stage.own.dump(stage.own.claim(coach.heard_by_phone)).get("variable_read_rate", ""))
    rate = int(said) if said.isdigit() else 0
    if rate > scene.agent.rate:
        record.find("codec.coach-too-wide", "browser", f"the browser's leg {rate} Hz, agent {scene.agent.rate} Hz")
    return rate


def _counted(stage: SiteStage, scene: Scene, page: CoachPage) -> tuple[list[float], ExactReport | None]:
    """A coach comes, whispers now and then, and goes, while the agent says noise of which no frame occurs twice."""
    scene.agent.play(Noise(13))
    page.speak(False)
    scene.caller.wait_received(25)
    since = scene.caller.mark()
    coach = stage.attach_page(scene, page)
    coach.mode("whisper")
    stage.after_beep(scene)
    late = []
    for _ in range(_BURSTS):
        began = page.burst(_BURST_S)
        try:
            heard = first_heard(scene.agent, TONES[COACH], began, others=[TONES[scene.caller_name]], timeout=2)
            late.append((heard - began) / 1e6)
        except TimeoutError:
            pass
        _until(began + int((_BURST_S + 0.4) * 1e9))  # that none of it is taken for the next
    coach.mode("listen")
    coach.leave()
    scene.caller.wait_received(4)
    frames = stage.frames(scene, since) if scene.caller.codec is scene.agent.codec else None
    scene.agent.play(Tone(TONES["agent"], LEVEL))
    page.speak(True)
    scene.caller.wait_received(25)
    return late, frames


def _until(moment: int) -> None:
    time.sleep(max(0.0, (moment - time.monotonic_ns()) / 1e9))


def _latency(record: Record, late: list[float]) -> dict[str, Any]:
    figures = {"p50_ms": percentile(late, 50), "p95_ms": percentile(late, 95), "marks": len(late)}
    if not late:
        record.find("latency.not-measured", "browser", "the agent heard none of what the browser said")
    elif float(figures["p95_ms"] or 0) > LATE_MS:
        record.find("latency.high", "browser", f"95 % within {figures['p95_ms']} ms")
    return {"browser_to_agent": figures}


def _frames(record: Record, report: ExactReport | None) -> dict[str, Any]:
    if report is None:
        return {}
    if report.missing:
        record.find("frames.lost", "browser", f"{report.missing} of {report.missing + report.matched} frames of 20 ms")
    if report.foreign or report.reordered or report.repeated or not report.matched:
        record.find("frames.foreign", "browser", str(report))
    return {"matched": report.matched, "missing": report.missing, "foreign": report.foreign}
