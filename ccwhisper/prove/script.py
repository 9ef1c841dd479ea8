"""What the proof does with a synthetic call, part by part, and how it judges it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import ccwhisper
from ccwhisper.proof.calls import PhoneCall
from ccwhisper.proof.line import PhoneError
from ccwhisper.proof.scene import (
    BEEP,
    FLOOR,
    LEVEL,
    SILENT,
    TONES,
    Coach,
    Fault,
    NotAsExpected,
    Scene,
    wait_until,
)
from ccwhisper.proof.service import Refused, ServiceError
from ccwhisper.proof.tones import first_heard, first_silent
from ccwhisper.prove import browsing, speech
from ccwhisper.prove.calls import COACH, NotAttached, NotDelivered, NotRecognised, SiteStage
from ccwhisper.prove.judge import kind_of, slight
from ccwhisper.prove.legs import wrong_with
from ccwhisper.prove.measure import (
    GARBAGE,
    STEP_S,
    beep_dbfs,
    course,
    longest_silence,
    marks_of,
    placed,
    spectrogram,
    strange,
    switched_ms,
)
from ccwhisper.prove.record import Look, Record, rounded, shown
from ccwhisper.prove.tapes import Tapes

PARTS: Final = ("matrix", "keypad", "hold", "recording", "speech", "browser", "next", "rebridge")
"""In the order in which they are done; the recording is made while the matrix is gone through."""

TONE: Final = -13 - 3.17
"""dBFS of the beep: -13 dBm0, and a full-scale sine is +3.17 dBm0."""

KEYS: Final = "1789"
"""1 is the key that an unprotected eavesdrop obeys by letting the caller hear; the others mean nothing to anybody."""

_LOOKS: Final = 3
_BEEP_NS: Final = 400_000_000
_QUIET: Final = {"caller": ("agent",), "agent": ("caller",)}
_WHISPER: Final = {"caller": ("agent",), "agent": ("caller", COACH)}
_BARGE: Final = {"caller": ("agent", COACH), "agent": ("caller", COACH)}

_NEXT: Final = {
    "next": ("The agent's next caller", "he does not hear the coach who had joined the caller before him"),
    "rebridge": ("The agent's leg goes to another caller", "he does not hear the coach who was in a barge there"),
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
    _tapes: Tapes = field(init=False)

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
        self.record.sum_up()
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
        end = scene.caller.mark()
        self._draw(listeners, begin, end)
        if "speech" in self.parts:
            self._step("speech")
            speech.prove(self.stage, self.record, scene)
        if "browser" in self.parts:
            self._step("browser")
            browsing.prove(self.stage, self.record, scene, self._look)
        if "next" in self.parts:
            scene = self._next(scene, "next", self._dialled)
        if "rebridge" in self.parts:
            scene = self._next(scene, "rebridge", self._bridged)
        self.stage.part(scene)
        if "recording" in self.parts:
            self._tapes.play_theirs((end - begin) / 1e9, self._barged)

    # --- the call ----------------------------------------------------------------------------------------------------

    def _guarded(self, place: Callable[..., Any], *what: Any, **how: Any) -> Any:
        kinds = {
            NotDelivered: "call.not-delivered", NotRecognised: "call.not-recognised", NotAttached: "coach.not-attached"
        }  # fmt: skip
        try:
            return place(*what, **how)
        except (NotDelivered, NotRecognised, NotAttached) as error:
            narrow = isinstance(error, NotAttached) and error.reason == "codec_mismatch"
            self._find("codec.coach-too-wide" if narrow else kinds[type(error)], str(error))
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
        since = len(self.record.findings)
        for kind, said in wrong_with(self.stage, scene):
            self._find(kind, said)
        self._tapes = Tapes(self.stage, self.record, self.stage.own.claim(scene.caller))
        self._tapes.notice(self.stage.own.claim(scene.agent))
        self.record.check("legs", "The call's legs on the switch", "as coaching needs them", since)

    # --- who hears whom ----------------------------------------------------------------------------------------------

    def _matrix(self, scene: Scene) -> Coach:
        whole = "matrix" in self.parts
        if whole:
            self._look(scene, None, "talk", "caller and agent talk, nobody coaches", _QUIET, beep_allowed=False)
        if "recording" in self.parts:
            self._tapes.start()
        self._step("attach")
        coach: Coach = self._guarded(self.stage.attach, scene)
        self._attached(scene, coach)
        if whole:
            self._look(scene, coach, "listen", "the coach hears both, nobody hears him", _QUIET)
        if whole or "recording" in self.parts:
            self._whisper(scene, coach)
        if "recording" in self.parts:
            self._tapes.play_back()
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
        heard = switched_ms(first_heard, scene.agent, began, ("caller",))
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
        heard = switched_ms(first_heard, scene.caller, began, ("agent",))
        self._look(scene, coach, "barge", "caller and agent hear the coach", _BARGE)
        ended = self._step("back")
        coach.mode("listen")
        self._barged += (scene.caller.mark() - began) / 1e9
        silent = switched_ms(first_silent, scene.caller, ended, ("agent",))
        self._look(scene, coach, "back", "listening again: nobody hears the coach", _QUIET)
        self._step("muted")
        coach.mute()
        coach.wait()
        coach.mode("barge")
        self._look(scene, coach, "muted", "a barge with a muted microphone: nobody hears the coach", _QUIET)
        coach.mode("listen")
        coach.mute(False)
        coach.wait()
        figures = {"heard_after_ms": heard, "silent_after_ms": silent}
        answer = "both hear the coach only while he has joined"
        self.record.check("barge", "Barge, back, and a muted microphone", answer, since, **figures)

    def _beep(self, scene: Scene, coach: Coach, since: int) -> dict[str, float]:
        """The loudest that each hears of it; whether it cuts what is said."""
        until = since + _BEEP_NS
        calls = {"agent": scene.agent, "caller": scene.caller, COACH: coach.heard_by_phone}
        loudest = rounded({who: beep_dbfs(call, since, until) for who, call in calls.items()})
        if abs(loudest["agent"] - TONE) > 1:
            self._find("beep.not-heard", f"the agent hears it at {loudest['agent']} instead of {TONE:.1f} dBFS")
        limit = FLOOR + 5 if self.stage.floor == FLOOR else SILENT
        if loudest["caller"] > limit:
            self._find("leak.caller-hears-beep", f"at {loudest['caller']} dBFS (limit {limit:.0f})")
        for call, name in ((scene.agent, "caller"), (scene.caller, "agent")):
            silence = longest_silence(self.stage.windows(call, name, since, until, 0.04))
            if silence > 0.1:
                self._find("beep.cuts-speech", f"{name} is not heard for {silence:.2f} s")
        self.stage.after_beep(scene)
        return loudest

    # --- keys, hold, recording, the next caller ----------------------------------------------------------------------

    def _keypad(self, scene: Scene, coach: Coach) -> None:
        since = len(self.record.findings)
        self._step("keypad")
        before = {who: len(call.telephone_events_received()) for who, call in _pair(scene)}
        coach.heard_by_phone.send_dtmf(KEYS)
        faults = self._look(
            scene, coach, "keypad", f"the coach presses {KEYS}: nobody hears him", _QUIET, leaks="keypad.moved-gate",
            told=True,
        )  # fmt: skip
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
        self._step("whisper again")
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

    def _dialled(self, scene: Scene) -> Scene:
        self.stage.part(scene)
        after: Scene = self._guarded(self.stage.place, caller_name="second")
        return after

    def _bridged(self, scene: Scene) -> Scene:
        second = self.stage.second_caller(scene)
        after: Scene = self._guarded(self.stage.bridge_anew, scene, second)
        return after

    def _next(self, scene: Scene, part: str, go: Callable[[Scene], Scene]) -> Scene:
        """A coach who follows the agent has joined a caller, and the agent goes on to another."""
        since = len(self.record.findings)
        self._step(part)
        coach: Coach = self._guarded(self.stage.attach, scene, follow="agent")
        coach.mode("barge")
        barge = {"caller": ("agent", COACH), "agent": (scene.caller_name, COACH)}
        self._look(scene, coach, f"{part}: before", "the coach has joined the caller", barge)
        after = go(scene)
        began = after.caller.mark()

        def there() -> bool:
            view = coach.view()
            return bool(view["call"] == after.id and view["phase"] == "attached" and view["settled"])

        wait_until("the coach follows the agent to the next call", there, 10)
        quiet = {"caller": ("agent",), "agent": (after.caller_name,)}
        promise = "the next caller does not hear the coach"
        self._look(after, coach, f"{part}: after", promise, quiet, leaks="leak.next-caller")
        loudest = max(self.stage.windows(after.caller, COACH, began, after.caller.mark(), 0.06))
        if loudest > SILENT:
            self._find("leak.next-caller", f"at {loudest:.1f} dBFS, if only for a moment")
        title, answer = _NEXT[part]
        self.record.check(part, title, answer, since, loudest_dbfs=round(loudest, 1))
        coach.leave()
        return after

    # ---

    def _look(
        self, scene: Scene, coach: Coach | None, step: str, promise: str, wanted: Mapping[str, tuple[str, ...]], *,
        leaks: str = "", beep_allowed: bool = True, told: bool = False, slack: float = 1.0, garbage: float = GARBAGE,
    ) -> list[Fault]:  # fmt: skip
        """Who hears whom, and that nobody hears anything else; a coach who is `told` something may be so by tones.
        `slack`: dB by which whoever is heard may differ from how he speaks; `garbage`: how much else may be heard."""
        began = self._step(step)
        coaches = [coach] if coach else []
        for _ in range(_LOOKS):
            verdict, faults = self.stage.look(
                scene, coaches, label=step, beep_allowed=beep_allowed, absent=() if coach else (COACH,), **wanted
            )
            faults = [fault for fault in faults if not (fault.slip and abs(fault.level - LEVEL) <= slack)]
            if not slight(faults):
                break
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
            kind = kind_of(fault, leaks)
            if kind:
                look.faults.append(shown(str(fault)))
                self._find(kind, str(fault), step)
        for who, call in listeners.items():
            rest = strange(call, [scene.caller_name, scene.agent_name, COACH], began, until)
            if rest > garbage and not (told and who == COACH):
                look.faults.append(f"{shown(who)} hears something else at {rest:.1f} dBFS")
                self._find("sound.garbled", look.faults[-1], step)
        return [fault for fault in faults if not fault.must]

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
