"""What the proof does with a synthetic call, part by part, and how it judges it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import ccwhisper
from ccwhisper.proof.calls import PhoneCall
from ccwhisper.proof.line import PhoneError
from ccwhisper.proof.scene import BEEP, FLOOR, LEVEL, SILENT, TONES, Coach, Fault, NotAsExpected, Scene, wait_until
from ccwhisper.proof.service import Refused, ServiceError
from ccwhisper.proof.tones import first_heard, first_silent
from ccwhisper.prove import speech
from ccwhisper.prove.calls import COACH, NotAttached, NotDelivered, NotRecognised, SiteStage
from ccwhisper.prove.measure import STEP_S, course, marks_of, placed, spectrogram, strange
from ccwhisper.prove.record import Look, Record, rounded, shown
from ccwhisper.prove.recording import RECORDER, CallRecording, Heard

PARTS: Final = ("matrix", "keypad", "hold", "recording", "speech", "next")
"""In the order in which they are done; the recording is made while the matrix is gone through."""

TONE: Final = -13 - 3.17
"""dBFS of the beep: -13 dBm0, and a full-scale sine is +3.17 dBm0."""

KEYS: Final = "1789"
"""1 is the key that an unprotected eavesdrop obeys by letting the caller hear; the others mean nothing to anybody."""

GARBAGE: Final = -40.0
"""dBFS: more than this of anything that nobody says. Codecs leave -50 at the most, a wrong rate -17 to -25."""

_BEEP_NS: Final = 400_000_000
_QUIET: Final = {"caller": ("agent",), "agent": ("caller",)}
_WHISPER: Final = {"caller": ("agent",), "agent": ("caller", COACH)}
_BARGE: Final = {"caller": ("agent", COACH), "agent": ("caller", COACH)}

_MISSED: Final = {("agent", COACH): "whisper.not-heard", ("caller", COACH): "barge.not-heard"}
_LEAKED: Final = {
    ("caller", COACH): "leak.caller-hears-coach",
    ("caller", "beep"): "leak.caller-hears-beep",
    ("agent", COACH): "leak.agent-hears-coach",
}


class Interrupted(NotAsExpected):
    """The rest of the proof makes no sense any more; its finding is in the record."""


@dataclass
class Script:
    """One proof on a stage that is entered. `say` is told what is being done."""

    stage: SiteStage
    parts: Collection[str] = PARTS
    say: Callable[[str], None] = lambda _line: None
    record: Record = field(default_factory=Record)
    pictures: dict[str, Any] = field(default_factory=dict)
    """Spectrograms by listener."""
    _marks: list[tuple[int, str]] = field(default_factory=list)
    _barged: float = 0.0

    def run(self) -> Record:
        """Go through all parts. What stops it in the middle becomes a finding."""
        began = time.monotonic()
        self.record.about |= {
            "ccwhisper": ccwhisper.__version__, "began": datetime.now(UTC).isoformat(timespec="seconds")
        }  # fmt: skip
        try:
            self._all()
        except Interrupted:
            pass
        except (NotAsExpected, Refused, ServiceError, PhoneError, TimeoutError, OSError) as error:
            self._find("proof.interfered", str(error).partition("\n")[0])
        if self.stage.refused:
            self._find("call.of-others", f"{self.stage.refused} of them")
        self.record.about["seconds"] = round(time.monotonic() - began, 1)
        return self.record

    def _all(self) -> None:
        self._step("call")
        scene = self._guarded(self.stage.place)
        begin = scene.caller.mark()
        self._about(scene)
        self._legs(scene)
        coach = self._matrix(scene)
        if "keypad" in self.parts:
            self._keypad(scene, coach)
        if "hold" in self.parts:
            self._hold(scene, coach)
        listeners = {"caller": scene.caller, "agent": scene.agent, COACH: coach.heard_by_phone}
        self._step("leave")
        coach.leave()
        if "matrix" in self.parts:
            self._look(scene, None, "leave", "the coach has left, the call goes on", _QUIET)
        self._draw(listeners, begin, scene.caller.mark())
        if "speech" in self.parts:
            self._step("speech")
            speech.prove(self.stage, self.record, scene)
        if "next" in self.parts:
            self._next(scene)
        else:
            self.stage.part(scene)

    # --- the call ----------------------------------------------------------------------------------------------------

    def _guarded(self, place: Callable[..., Any], *what: Any, **how: Any) -> Any:
        kinds = {
            NotDelivered: "call.not-delivered", NotRecognised: "call.not-recognised", NotAttached: "coach.not-attached"
        }  # fmt: skip
        try:
            return place(*what, **how)
        except tuple(kinds) as error:
            self._find(kinds[type(error)], str(error))
            raise Interrupted(str(error)) from error

    def _about(self, scene: Scene) -> None:
        site = self.stage.site
        self.record.about |= {
            "switch": {"version": site.version, "host": site.host, "private": site.private},
            "call": {
                "number": site.number, "caller": site.caller.user, "agent": site.agent.user, "coach": site.coach.user,
                "codecs": {"caller": str(scene.caller.codec), "agent": str(scene.agent.codec)},
            },
        }  # fmt: skip
        if scene.caller.codec is not scene.agent.codec:
            # What is coded anew leaves a noise of its own.
            self.stage.floor = SILENT
            self._find("codec.coded-anew", f"caller {scene.caller.codec}, agent {scene.agent.codec}")

    def _legs(self, scene: Scene) -> None:
        """What the switch says of the two legs."""
        since = len(self.record.findings)
        legs = {"caller": self.stage.own.claim(scene.caller), "agent": self.stage.own.claim(scene.agent)}
        agent = self.stage.own.dump(legs["agent"])
        if scene.caller.remote_media == (self.stage.bank.host, scene.agent.media_port):
            self._find("media.not-in-switch", "caller and agent exchange media with each other")
        elif any(agent.get(f"variable_{name}") == "true" for name in ("bypass_media", "proxy_media")):
            self._find("media.not-in-switch", "the agent's leg has bypass_media or proxy_media")
        if (
            agent.get("variable_jitterbuffer_msec") is None
            or agent.get("variable_rtp_jitter_buffer_during_bridge") != "true"
        ):
            self._find("jitter-buffer.missing", "jitterbuffer_msec or rtp_jitter_buffer_during_bridge is not set")
        if any(function == RECORDER for function, _ in self.stage.own.attached(legs["agent"])):
            self._find("recording.agents-leg", "a recording runs on the agent's leg")
        self.record.check("legs", "The call's legs on the switch", "as coaching needs them", since)

    # --- who hears whom ----------------------------------------------------------------------------------------------

    def _matrix(self, scene: Scene) -> Coach:
        whole = "matrix" in self.parts
        if whole:
            self._look(scene, None, "talk", "caller and agent talk, nobody coaches", _QUIET, beep_allowed=False)
        recording = self._record(scene) if "recording" in self.parts else None
        self._step("attach")
        coach: Coach = self._guarded(self.stage.attach, scene)
        self._attached(scene, coach)
        if whole:
            self._look(scene, coach, "listen", "the coach hears both, nobody hears him", _QUIET)
        if whole or recording:
            self._whisper(scene, coach)
        if recording:
            self._play_back(recording)
        if whole:
            self._barge(scene, coach)
        return coach

    def _attached(self, scene: Scene, coach: Coach) -> None:
        self.record.about["call"]["codecs"]["coach"] = str(coach.heard_by_phone.codec)
        if coach.heard_by_phone.rate > scene.agent.rate:
            rates = f"coach {coach.heard_by_phone.rate} Hz, agent {scene.agent.rate} Hz"
            self._find("codec.coach-too-wide", rates)
        bugs = self.stage.own.attached(self.stage.own.claim(scene.caller))
        if any(function == "eavesdrop" for function, _ in bugs):
            self._find("attach.callers-leg", "an eavesdrop runs on the caller's leg")

    def _whisper(self, scene: Scene, coach: Coach) -> None:
        since = len(self.record.findings)
        began = self._step("whisper")
        coach.mode("whisper")
        heard = self._switched(first_heard, scene.agent, began, ("caller", "beep"))
        beep = self._beep(scene, coach, began)
        self._look(scene, coach, "whisper", "the agent hears the coach, the caller does not", _WHISPER)
        figures = {"beep_dbfs": beep, "heard_after_ms": heard}
        self.record.check("whisper", "Whisper and beep", "the agent alone hears both", since, **figures)
        self._step("listen again")
        coach.mode("listen")
        self._look(scene, coach, "listen again", "nobody hears the coach", _QUIET)

    def _barge(self, scene: Scene, coach: Coach) -> None:
        since = len(self.record.findings)
        began = self._step("barge")
        coach.mode("barge")
        heard = self._switched(first_heard, scene.caller, began, ("agent",))
        self._look(scene, coach, "barge", "caller and agent hear the coach", _BARGE)
        coach.mute()
        coach.wait()
        self._step("muted")
        self._look(scene, coach, "muted", "a muted microphone in a barge: nobody hears the coach", _QUIET)
        coach.mute(False)
        ended = scene.caller.mark()
        coach.mode("listen")
        self._barged += (scene.caller.mark() - began) / 1e9
        silent = self._switched(first_silent, scene.caller, ended, ("agent",))
        self._step("back")
        self._look(scene, coach, "back", "listening again: nobody hears the coach", _QUIET)
        figures = {"heard_after_ms": heard, "silent_after_ms": silent}
        self.record.check(
            "barge", "Barge, mute and back", "both hear the coach only while he has joined", since, **figures
        )

    def _switched(self, find: Callable[..., int], call: PhoneCall, since: int, others: Collection[str]) -> float | None:
        """From the request to the first packet in which it is heard; None when it is not, which the look will say."""
        freqs = [BEEP if name == "beep" else TONES[name] for name in others]
        with suppress(TimeoutError):
            return round((find(call, TONES[COACH], since, others=freqs, timeout=2.0) - since) / 1e6, 1)
        return None

    def _beep(self, scene: Scene, coach: Coach, since: int) -> dict[str, float]:
        """The loudest that each hears of it; whether it cuts what is said."""
        until = since + _BEEP_NS
        calls = {"agent": scene.agent, "caller": scene.caller, COACH: coach.heard_by_phone}
        loudest = rounded(
            {who: max(self.stage.windows(each, "beep", since, until, 0.1)) for who, each in calls.items()}
        )
        if abs(loudest["agent"] - TONE) > 1:
            self._find("beep.not-heard", f"the agent hears it at {loudest['agent']} instead of {TONE:.1f} dBFS")
        limit = FLOOR + 5 if self.stage.floor == FLOOR else SILENT
        if loudest["caller"] > limit:
            self._find("leak.caller-hears-beep", f"at {loudest['caller']} dBFS (limit {limit:.0f})")
        for call, name in ((scene.agent, "caller"), (scene.caller, "agent")):
            run = longest = 0
            for level in self.stage.windows(call, name, since, until, 0.04):
                run = run + 1 if level < -30 else 0
                longest = max(longest, run)
            if longest * 0.02 > 0.1:
                self._find("beep.cuts-speech", f"{name} is not heard for {longest * 0.02:.2f} s")
        self.stage.after_beep(scene)
        return loudest

    # --- keys, hold, recording, the next caller ----------------------------------------------------------------------

    def _keypad(self, scene: Scene, coach: Coach) -> None:
        since = len(self.record.findings)
        self._step("keypad")
        before = {who: len(call.telephone_events_received()) for who, call in _pair(scene)}
        coach.heard_by_phone.send_dtmf(KEYS)
        faults = self._look(
            scene, coach, "keypad", f"the coach presses {KEYS}: nobody hears him", _QUIET, leaks="keypad.moved-gate"
        )
        arrived = {who: len(call.telephone_events_received()) - before[who] for who, call in _pair(scene)}
        for who, count in arrived.items():
            if count:
                self._find("keypad.reached-party", f"{count} keys arrive at the {who}")
        if faults:
            coach.mode("whisper")
            coach.mode("listen")
        self.record.check(
            "keypad", "The coach's keys", "they reach nobody and move nothing", since,
            keys_pressed=len(KEYS), keys_arrived=arrived,
        )  # fmt: skip

    def _hold(self, scene: Scene, coach: Coach) -> None:
        since = len(self.record.findings)
        coach.mode("whisper")
        self.stage.after_beep(scene)
        self._step("hold")
        scene.agent.hold()
        wait_until("the service sees the hold", lambda: coach.view()["gate"] == "closed", 10)
        heard = self.stage.listen({"caller": scene.caller, "agent": scene.agent}, {COACH: TONES[COACH]})
        levels = {who: round(each[COACH], 1) for who, each in heard.items()}
        for who, level in levels.items():
            if level > SILENT:
                self._find("leak.on-hold", f"{who} hears the coach at {level} dBFS")
        self._step("unhold")
        scene.agent.unhold()
        wait_until("the whisper is back", lambda: coach.view()["gate"] == "agent" and coach.view()["settled"], 10)
        self._look(scene, coach, "unhold", "after the hold the whisper goes on", _WHISPER)
        coach.mode("listen")
        self.record.check("hold", "Hold", "nobody hears the coach while the call is on hold", since, coach_dbfs=levels)

    def _record(self, scene: Scene) -> CallRecording | None:
        folder = self.stage.site.recordings or self.stage.site.api("global_getvar recordings_dir").strip()
        recording = CallRecording(self.stage.own, self.stage.own.claim(scene.caller), folder)
        try:
            recording.start()
        except NotAsExpected as error:
            self._find("recording.not-checked", str(error))
            return None
        return recording

    def _play_back(self, recording: CallRecording) -> None:
        since = len(self.record.findings)
        self._step("recording")
        heard: Heard | None = None
        try:
            heard = recording.stop()
        except NotAsExpected as error:
            self._find("recording.not-checked", str(error))
        finally:
            recording.remove()
        if heard is not None:
            self._judge(heard)
        figures = {} if heard is None else {"tracks_dbfs": [rounded(track) for track in heard.tracks]}
        self.record.check("recording", "The recording", "it holds caller and agent, and nothing else", since, **figures)

    def _judge(self, heard: Heard) -> None:
        for who in ("caller", "agent"):
            if abs(heard.loudest[who] - LEVEL) > 3:
                self._find("recording.not-checked", f"it does not hold the {who}")
        for name, kind in ((COACH, "recording.holds-coach"), ("beep", "recording.holds-beep")):
            if heard.loudest[name] > SILENT:
                self._find(kind, f"at {heard.loudest[name]:.1f} dBFS, for {heard.seconds[name]:.1f} s")

    def _next(self, scene: Scene) -> None:
        """A coach who follows the agent and is in a barge when the caller hangs up."""
        since = len(self.record.findings)
        self._step("next")
        coach: Coach = self._guarded(self.stage.attach, scene, follow="agent")
        coach.mode("barge")
        self._look(scene, coach, "before the next call", "the coach has joined the first caller", _BARGE)
        self.stage.part(scene)
        after: Scene = self._guarded(self.stage.place, caller_name="second")
        began = after.caller.mark()

        def there() -> bool:
            view = coach.view()
            return bool(view["call"] == after.id and view["phase"] == "attached" and view["settled"])

        wait_until("the coach follows the agent to the next call", there, 10)
        quiet = {"caller": ("agent",), "agent": ("second",)}
        self._look(
            after, coach, "next caller", "the next caller does not hear the coach", quiet, leaks="leak.next-caller"
        )
        loudest = max(self.stage.windows(after.caller, COACH, began, after.caller.mark(), 0.06))
        if loudest > SILENT:
            self._find("leak.next-caller", f"at {loudest:.1f} dBFS, if only for a moment")
        self.record.check(
            "next", "The agent's next caller", "he does not hear the coach who had joined the caller before him", since,
            loudest_dbfs=round(loudest, 1),
        )  # fmt: skip
        coach.leave()
        self.stage.part(after)

    # ---

    def _look(
        self, scene: Scene, coach: Coach | None, step: str, promise: str, wanted: Mapping[str, tuple[str, ...]], *,
        leaks: str = "", beep_allowed: bool = True,
    ) -> list[Fault]:  # fmt: skip
        began = self._step(step)
        coaches = [coach] if coach else []
        verdict, faults = self.stage.look(
            scene, coaches, label=step, beep_allowed=beep_allowed, absent=() if coach else (COACH,), **wanted
        )
        until = scene.caller.mark()
        listeners = dict(_pair(scene)) | ({COACH: coach.heard_by_phone} if coach else {})
        levels = {shown(who): rounded(heard) for who, heard in verdict.levels.items()}
        hear = {
            shown(who): [shown(name) for name in wanted.get(who, (scene.agent_name, scene.caller_name))]
            for who in verdict.levels
        }
        look = Look(step, promise, levels, hear)
        self.record.looks.append(look)
        for fault in faults:
            kind = self._kind(fault, leaks)
            if kind:
                look.faults.append(shown(str(fault)))
                self._find(kind, str(fault), step)
        for who, call in listeners.items():
            rest = strange(call, [scene.caller_name, scene.agent_name, COACH], began, until)
            if rest > GARBAGE:
                look.faults.append(f"{shown(who)} hears something else at {rest:.1f} dBFS")
                self._find("sound.garbled", look.faults[-1], step)
        return [fault for fault in faults if not fault.must]

    @staticmethod
    def _kind(fault: Fault, leaks: str) -> str:
        if not fault.must:
            found = _LEAKED.get((fault.listener, fault.name), "")
            return leaks if leaks and found else found
        if fault.listener == COACH:
            return "coach.hears-nobody"
        return _MISSED.get((fault.listener, fault.name), "party.not-heard")

    def _step(self, step: str) -> int:
        now = time.monotonic_ns()
        if not self._marks or self._marks[-1][1] != step:
            self._marks.append((now, step))
            self.say(step)
        return now

    def _find(self, kind: str, said: str, step: str = "") -> None:
        self.record.find(kind, step or (self._marks[-1][1] if self._marks else ""), said)

    def _draw(self, listeners: dict[str, PhoneCall], since: int, until: int) -> None:
        tones = {name: TONES[name] for name in ("caller", "agent", COACH)} | {"beep": BEEP}
        levels = {}
        for who, call in listeners.items():
            samples = placed(call, since, until)
            levels[shown(who)] = {shown(name): each for name, each in course(samples, call.rate, tones).items()}
            self.pictures[shown(who)] = spectrogram(samples, call.rate)
        marks = [mark for mark in self._marks if since <= mark[0] < until]
        self.record.course = {
            "step_s": STEP_S, "seconds": round((until - since) / 1e9, 2), "marks": marks_of(marks, since),
            "levels_dbfs": levels,
        }  # fmt: skip


def _pair(scene: Scene) -> tuple[tuple[str, PhoneCall], ...]:
    return ("caller", scene.caller), ("agent", scene.agent)
