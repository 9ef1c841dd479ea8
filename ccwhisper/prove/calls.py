"""Synthetic calls on somebody's switch: placed, answered when they are ours, and ended again.

The service beside them is one of its own. The synthetic agent is the only agent that it knows, so there is no other
call that it could coach.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from ccwhisper.proof.calls import PhoneCall
from ccwhisper.proof.line import PhoneError
from ccwhisper.proof.phones import Phone
from ccwhisper.proof.scene import LEVEL, TONES, Coach, NotAsExpected, Scene, wait_until
from ccwhisper.proof.service import PROGRAM
from ccwhisper.proof.sources import Source, Tone
from ccwhisper.proof.stage import Stage
from ccwhisper.prove.browser import CoachPage
from ccwhisper.prove.own import OwnLegs
from ccwhisper.prove.site import Account, Site

COACH: Final = "carla"

#: Calls from elsewhere may be offered to the agent of a queue, but no agent is adopted from it.
_CONFIG: Final = "[coaching]\nadopt_unknown_cc_agents = false\n"

_RING: Final = 30.0


class NotDelivered(NotAsExpected):
    """The call did not reach the synthetic agent."""


class NotRecognised(NotAsExpected):
    """The service does not see the synthetic call as a call of the agent."""


class NotAttached(NotAsExpected):
    """The coach's phone did not ring, or he was not attached to the call; `reason` is the session's, if it ended."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class SiteStage(Stage):
    """A stage on a `Site`, with one agent, one coach and one caller. It never hangs up a leg that it did not place."""

    node: Site

    def __init__(self, site: Site, program: Sequence[str] = PROGRAM, extra_config: str = "") -> None:
        super().__init__(site, _CONFIG + extra_config, program, (site.agent.user,), site.address)
        self.site = site
        self.own = OwnLegs(site.api)
        self.refused = 0
        """Calls of others that were offered to the synthetic agent and were not answered."""
        self.files: list[Path] = []
        """What is removed at the end. It holds nothing but tones; where it cannot be removed from here it stays."""
        self._off_hook: PhoneCall | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.sweep()
        finally:
            super().__exit__(kind, error, trace)

    def sweep(self) -> None:
        """Every phone hangs up and signs out; what the switch still has of ours is ended by its uuid."""
        for phone in self.bank.phones:
            for call in phone.calls:
                if call.state != "ended":
                    with contextlib.suppress(PhoneError, TimeoutError):
                        call.hangup()
            if phone.registered:
                with contextlib.suppress(PhoneError, TimeoutError):
                    phone.unregister()
        with contextlib.suppress(OSError):
            self.own.hang_up()
        for path in self.files:
            with contextlib.suppress(OSError):
                path.unlink()

    def clear(self) -> None:
        """As `sweep`, for whoever uses this as any other stage."""
        self.sweep()

    # --- people ------------------------------------------------------------------------------------------------------

    def device(self, name: str) -> str:  # noqa: ARG002 - there is but one coach
        """The coach's desk phone, whatever he is called on this stage."""
        return f"{self.site.coach.user}@{self.site.domain}"

    def phone_for(self, account: Account, source: Source) -> Phone:
        """The phone of one of the three. It rings and does not answer by itself."""
        where = (self.site.sip_host, self.site.phones_port if account.password is not None else self.site.trunk_port)
        key = (account.user, source)
        phone = self._phones.get(key)
        if phone is None:
            phone = self._phones[key] = self.bank.phone(
                account.user, account.password, self.site.domain, where, codecs=account.codecs, source=source,
                auto_answer=False,
            )  # fmt: skip
        if account.password is not None:
            self.sign_out(account.user, but=phone)
            phone.register()
        return phone

    # --- scenes ------------------------------------------------------------------------------------------------------

    def place(self, agent_source: Source | None = None, caller_name: str = "caller") -> Scene:
        """The caller dials the number, and the agent answers if it is his call that rings there.

        Raises NotDelivered, NotRecognised.
        """
        site = self.site
        agent = self.phone_for(site.agent, agent_source or Tone(TONES["agent"], LEVEL))
        if site.sign_in and (self._off_hook is None or self._off_hook.state == "ended"):
            self._sign_in(agent)
        caller = self.phone_for(site.caller, Tone(TONES[caller_name], LEVEL))
        known = {call["id"] for call in self.calls()}
        call = caller.dial(site.number)
        try:
            self.own.claim(call)
            leg = self._off_hook or self._answered(agent)
            call.wait("up", _RING)
        except (TimeoutError, PhoneError, NotAsExpected) as error:
            raise NotDelivered(f"{site.number} did not reach {site.agent.user}: {error}") from error
        try:
            seen = wait_until(
                "the service shows the call", lambda: [each for each in self.calls() if each["id"] not in known], 10
            )
        except NotAsExpected as error:
            raise NotRecognised(str(error)) from error
        return Scene(seen[0]["id"], call, leg, seen[0]["agents"][0]["agent"], caller_name)

    def _sign_in(self, agent: Phone) -> None:
        call = agent.dial(self.site.sign_in)
        try:
            call.wait("up", _RING)
            self.own.claim(call)
        except (TimeoutError, PhoneError, NotAsExpected) as error:
            raise NotDelivered(f"{self.site.agent.user} cannot sign in by {self.site.sign_in}: {error}") from error
        self._off_hook = call

    def _answered(self, agent: Phone) -> PhoneCall:
        while True:
            ringing = agent.wait_call(_RING)
            if self.own.made_for_ours(ringing):
                ringing.answer()
                return ringing.wait("up")
            self.refused += 1
            ringing.reject(486)

    def attach(self, scene: Scene, mode: str = "listen", **body: Any) -> Coach:
        """The coach's phone rings, he answers and listens to the call. Raises NotAttached."""
        phone = self.phone_for(self.site.coach, Tone(TONES[COACH], LEVEL))
        phone.forget_calls()
        coach = self._start(COACH, scene, mode, body)
        try:
            coach.call = phone.wait_call(_RING)
            self.own.claim(coach.call)
            coach.call.answer()
            coach.call.wait("up")
            coach.wait("listening")
            coach.wait("gate")
        except (TimeoutError, PhoneError, NotAsExpected) as error:
            view = coach.view()
            reason = str(view["reason"] or "") if view["phase"] == "ended" else ""
            raise NotAttached(f"the coach was not attached: {reason or error}", reason) from error
        return coach

    def attach_page(self, scene: Scene, page: CoachPage) -> Coach:
        """The same with the coach's browser, which answers by itself. Raises NotAttached."""
        waiting = page.calls
        coach = self._start(COACH, scene, "listen", {"device": page.device})
        try:
            call = page.wait_call(waiting)
            self.own.claim(call)  # type: ignore[arg-type] # what `OwnLegs` asks of it, it has
            coach.call = call  # type: ignore[assignment]
            coach.wait("listening")
            coach.wait("gate")
        except NotAsExpected as error:
            view = coach.view()
            reason = str(view["reason"] or "") if view["phase"] == "ended" else ""
            raise NotAttached(f"the coach's browser was not attached: {reason or error}", reason) from error
        return coach

    def second_caller(self, scene: Scene) -> PhoneCall:
        """The switch calls the caller's phone once more, by the profile of his first leg, and parks that leg."""
        profile = self.own.dump(self.own.claim(scene.caller))["variable_sofia_profile_name"]
        phone = self.phone_for(self.site.caller, Tone(TONES["second"], LEVEL))
        phone.forget_calls()
        self.own.originate(f"sofia/{profile}/{phone.uri}")
        call = phone.wait_call(_RING)
        self.own.claim(call)
        call.answer()
        return call.wait("up")

    def bridge_anew(self, scene: Scene, second: PhoneCall) -> Scene:
        """The agent's leg, with whatever hangs on it, goes to another caller at once. Raises NotRecognised."""
        self.own.bridge(self.own.claim(scene.agent), self.own.claim(second))
        try:
            seen = wait_until(
                "the service shows the next call", lambda: [each for each in self.calls() if each["id"] != scene.id], 10
            )
        except NotAsExpected as error:
            raise NotRecognised(str(error)) from error
        return Scene(seen[0]["id"], second, scene.agent, scene.agent_id, "second")

    def part(self, scene: Scene) -> None:
        """The caller hangs up, and the call is over for everybody."""
        scene.hang_up()
        if self._off_hook is None:
            scene.agent.wait("ended", 10)
        wait_until("the service has no call", lambda: not [c for c in self.calls() if c["id"] == scene.id], 10)
