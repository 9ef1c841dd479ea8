"""The demo's performance: two calls, one of them coached step by step, and at each step what the phones really heard.

    show = Show(stage)
    show.open()
    for look in show.perform(seconds=3):
        print(look.step.name, look.wrong or "as promised")

Nothing here prints. `perform` keeps a promise for each step; `stay` only looks, while somebody else coaches.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ccwhisper.proof.calls import PhoneCall
from ccwhisper.proof.line import CallEnded, SipRefused, SipTimeout
from ccwhisper.proof.sources import Tone
from ccwhisper.proof.stage import BEEP, DEVICES, LEVEL, TONES, Coach, NotAsExpected, Refused, Scene, Stage
from ccwhisper.proof.steps import COACH, STEPS, Step
from ccwhisper.proof.tones import FLOOR_DBFS, first_heard, first_silent, level_dbfs

OTHERS: Final = ("second", "colleague")
"""Caller and agent of the call that nobody coaches."""

_AFTER_TAKE_OVER: Final = 10.0  # seconds that a caller stays with a coach who took over
_MEMORY_NS: Final = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Look:
    """One look at who hears whom: listener → name → dBFS. `wrong` is empty when it is as the step promises."""

    step: Step
    number: int
    levels: Mapping[str, Mapping[str, float]]
    session: Mapping[str, Any] | None
    switched_ms: float | None  # from the request to the first packet in which it is heard
    beep: Mapping[str, float] | None  # the loudest that each phone heard of it, dBFS
    other_call: Mapping[str, Mapping[str, float]]
    wrong: str


@dataclass(frozen=True, slots=True)
class Glance:
    """Who hears whom while somebody else coaches; nothing is promised, it is only shown."""

    levels: Mapping[str, Mapping[str, float]]
    coaches: tuple[Mapping[str, Any], ...]


@dataclass
class _Scenery:
    """One of the two calls, which is made again when it has ended."""

    agent: str
    caller_name: str
    agent_name: str
    scene: Scene | None = None
    lonely_since: float | None = None


@dataclass
class Show:
    """See the module. `stage` must be entered."""

    stage: Stage
    coach: Coach | None = None
    trace: float = FLOOR_DBFS
    """The loudest that the caller ever heard of coach or beep when he was to hear neither, in dBFS."""
    _calls: list[_Scenery] = field(
        default_factory=lambda: [_Scenery("1001", "caller", "agent"), _Scenery("1002", *OTHERS)]
    )

    def open(self) -> None:
        """Two callers reach two agents; the coach's phone registers. Raises NotAsExpected and the phones' errors."""
        for each in self._calls:
            each.scene = self._new_call(each)
        self.stage.phone(DEVICES[COACH], Tone(TONES[COACH], LEVEL))

    def _new_call(self, each: _Scenery) -> Scene:
        return self.stage.call(each.agent, caller_name=each.caller_name, agent_name=each.agent_name)

    def _scenes(self) -> tuple[Scene, Scene]:
        first, second = (each.scene for each in self._calls)
        if first is None or second is None:
            raise NotAsExpected("the calls were not made")
        return first, second

    # --- the performance ---------------------------------------------------------------------------------------------

    def perform(self, seconds: float) -> Iterator[Look]:
        """Go through the steps, and look again and again for `seconds` in each, at least once."""
        for step in STEPS:
            switched, beep = self._enter(step)
            other, wrong = self._other_call()
            until = time.monotonic() + seconds
            number = 0
            while number == 0 or time.monotonic() < until:
                number += 1
                yield self._look(step, number, switched, beep, other, wrong)

    def _enter(self, step: Step) -> tuple[float | None, Mapping[str, float] | None]:
        scene, _ = self._scenes()
        since = time.monotonic_ns()
        if step.mode is None:
            if self.coach is not None:
                self.coach.leave()
            return None, None
        if self.coach is None:
            self.coach = self.stage.coach(COACH, scene)
            return None, None
        self.coach.mode(step.mode)
        mine = TONES[COACH]
        if step.mode == "whisper":
            heard = first_heard(scene.agent, mine, since, others=(TONES["caller"], BEEP))
            return (heard - since) / 1e6, self._beep(since)
        find = first_heard if step.mode == "barge" else first_silent
        heard = find(scene.caller, mine, since, others=(TONES["agent"],))
        return (heard - since) / 1e6, None

    def _beep(self, since: int) -> Mapping[str, float]:
        scene, _ = self._scenes()
        listeners: dict[str, PhoneCall] = {"caller": scene.caller, "agent": scene.agent}
        if self.coach is not None:
            listeners[COACH] = self.coach.heard_by_phone
        scene.agent.wait_time(since + 600_000_000)
        return {
            who: max(
                level_dbfs(call.heard(at, at + 100_000_000), BEEP, call.rate)
                for at in range(since, since + 500_000_000, 20_000_000)
            )
            for who, call in listeners.items()
        }

    def _look(
        self,
        step: Step,
        number: int,
        switched: float | None,
        beep: Mapping[str, float] | None,
        other: Mapping[str, Mapping[str, float]],
        wrong: str,
    ) -> Look:
        scene, _ = self._scenes()
        coaches = [self.coach] if self.coach is not None and step.mode else []
        # The coach's tone is looked for in every step: before he comes and after he has left, too.
        absent = () if coaches else (COACH,)
        faults = [wrong] if wrong else []
        try:
            self.stage.expect(
                scene, coaches, label=step.name, caller=step.caller, agent=step.agent, absent=absent,
                beep_allowed=step.name == "whisper" and number == 1,
            )  # fmt: skip
        except NotAsExpected as error:
            faults.append(str(error).partition("\n")[0])
        session = self.coach.view() if self.coach is not None else None
        if session is not None and step.mode and (session["mode"], session["gate"]) != (step.mode, step.gate):
            faults.append(f"the API shows mode {session['mode']}, gate {session['gate']}")
        levels = self.stage.verdicts[-1].levels
        if COACH not in step.caller:
            self.trace = max(self.trace, levels["caller"][COACH])
        if beep is not None and number == 1:
            self.trace = max(self.trace, beep["caller"])
            faults += _beep_faults(beep)
        return Look(step, number, levels, session, switched, beep, other, "; ".join(faults))

    def _other_call(self) -> tuple[Mapping[str, Mapping[str, float]], str]:
        _, scene = self._scenes()
        wrong = ""
        try:
            self.stage.expect(scene, label="the other call", caller={OTHERS[1]}, agent={OTHERS[0]}, absent=(COACH,))
        except NotAsExpected as error:
            wrong = str(error).partition("\n")[0]
        return self.stage.verdicts[-1].levels, wrong

    # --- afterwards --------------------------------------------------------------------------------------------------

    def token(self, hours: float = 12.0) -> str:
        """A token for a person who coaches on the demo's own phone, with every right."""
        claims = {"devices": [self.stage.device(COACH)], "exp": int(time.time() + hours * 3600)}
        return self.stage.service.token(COACH, **claims)

    def stay(self) -> Iterator[Glance]:
        """Look for ever. A call that has ended is made again; a caller who was taken over hangs up after a while."""
        while True:
            for each in self._calls:
                self._revive(each)
            listeners: dict[str, PhoneCall] = {}
            for each in self._calls:
                if each.scene is not None:
                    listeners[each.caller_name] = each.scene.caller
                    listeners[each.agent_name] = each.scene.agent
            mine = self.stage.phone(DEVICES[COACH], Tone(TONES[COACH], LEVEL)).calls
            if mine and mine[-1].state != "ended":
                listeners[COACH] = mine[-1]
            levels = self.stage.listen(listeners, {name: TONES[name] for name in ("caller", "agent", *OTHERS, COACH)})
            for call in listeners.values():
                call.forget(time.monotonic_ns() - _MEMORY_NS)
            coaches: tuple[Mapping[str, Any], ...] = ()
            with contextlib.suppress(OSError, Refused):
                coaches = tuple(self.stage.coaches())
            yield Glance(levels, coaches)

    def _revive(self, each: _Scenery) -> None:
        scene = each.scene
        if scene is not None and scene.caller.state != "ended":
            if scene.agent.state != "ended":
                return
            each.lonely_since = each.lonely_since or time.monotonic()
            if time.monotonic() - each.lonely_since < _AFTER_TAKE_OVER:
                return
            scene.hang_up()
        each.scene = each.lonely_since = None
        with contextlib.suppress(NotAsExpected, Refused, CallEnded, SipRefused, SipTimeout, TimeoutError, OSError):
            each.scene = self._new_call(each)


def _beep_faults(beep: Mapping[str, float]) -> list[str]:
    # v=-13 is in dBm0, and a full-scale sine is +3.17 dBm0.
    faults = []
    if abs(beep["agent"] - (-13 - 3.17)) > 1:
        faults.append(f"the agent hears the beep at {beep['agent']:.1f} dBFS")
    if beep["caller"] > -75:
        faults.append(f"the caller hears the beep at {beep['caller']:.1f} dBFS")
    return faults
