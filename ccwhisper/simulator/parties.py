"""The phones around the switch: who has one, how it answers, and what its owner does with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ccwhisper.simulator.legs import Leg
from ccwhisper.simulator.media import FRAME

if TYPE_CHECKING:
    from ccwhisper.simulator.clock import Timer
    from ccwhisper.simulator.state import Switch

REFUSALS = {"busy": "USER_BUSY", "reject": "CALL_REJECTED"}
BEHAVIOURS = ("answer", *REFUSALS, "ring", "away")


class Impossible(Exception):
    """What was asked for cannot be done; the message says why."""


@dataclass
class Phone:
    """A directory user's phone: it answers by itself after ``seconds``, refuses, only rings, or is switched off."""

    user: str
    is_agent: bool
    behaviour: str = "answer"
    seconds: float = 0.05
    legs: list[Leg] = field(default_factory=list)


class Parties:
    """Agents 1001, 1002, …, coaches 9001, 9002, …, and callers from outside. The names and the way into the switch are
    those of the example node: 20xx rings agent 10xx, agents dial each other, 5000 is the queue."""

    def __init__(
        self, switch: Switch, domain: str, agents: int, coaches: int, ring: float, jitter_buffer: bool
    ) -> None:
        self.switch = switch
        self.domain = domain
        self.jitter_buffer = jitter_buffer
        self.phones = {str(1001 + at): Phone(str(1001 + at), True, seconds=ring) for at in range(agents)}
        self.phones |= {str(9001 + at): Phone(str(9001 + at), False, seconds=ring) for at in range(coaches)}
        switch.on_end.append(self._forget)

    def phone(self, user: str) -> Phone:
        """A user's phone. Raises Impossible."""
        found = self.phones.get(user.partition("@")[0])
        if found is None:
            raise Impossible(f"there is no user {user}")
        return found

    def _forget(self, leg: Leg) -> None:
        phone = self.phones.get(leg.party)
        if phone and leg in phone.legs:
            phone.legs.remove(leg)

    # --- legs ---------------------------------------------------------------------------------------------------------

    def incoming(self, number: str, name: str, destination: str) -> Leg:
        """A caller's leg arrives over the trunk."""
        leg = Leg(self.switch.uuid(), 0, False, "trunk", f"sofia/trunk/{number}@{self.domain}", number,
                  username=number, cid_name=name, cid_number=number, destination=destination,
                  context="from-trunk")  # fmt: skip
        leg.set({"sip_from_user": number, "hangup_after_bridge": "true", "sofia_profile_name": "trunk"})
        return self.switch.add(leg)

    def dials(self, user: str, destination: str) -> Leg:
        """A user's own phone calls the switch, with a digest that is right."""
        phone = self.phone(user)
        leg = Leg(self.switch.uuid(), 0, False, "phones", f"sofia/phones/{phone.user}@{self.domain}", phone.user,
                  username=phone.user, cid_name=phone.user, cid_number=phone.user, destination=destination,
                  context="agents" if phone.is_agent else "coaches")  # fmt: skip
        leg.set({"sip_from_user": phone.user, "sip_authorized": "true", "sip_auth_username": phone.user,
                 "sip_auth_realm": self.domain, "user_name": phone.user, "domain_name": self.domain,
                 "hangup_after_bridge": "true", "sofia_profile_name": "phones", **self._buffer(phone)})  # fmt: skip
        phone.legs.append(leg)
        return self.switch.add(leg)

    def _buffer(self, phone: Phone) -> dict[str, str]:
        if not (phone.is_agent and self.jitter_buffer):
            return {}
        return {"jitterbuffer_msec": "40", "rtp_jitter_buffer_during_bridge": "true"}

    def ring(
        self,
        user: str,
        variables: dict[str, str],
        then: Callable[[Leg], object],
        failed: Callable[[str], object],
        caller: Leg | None = None,
        timeout: float = 60.0,
    ) -> Leg | None:
        """Ring a user's phone. ``then`` gets the leg when it has been answered, ``failed`` the cause otherwise."""
        phone = self.phones.get(user.partition("@")[0])
        if phone is None or user.partition("@")[2] not in ("", self.domain):
            failed("SUBSCRIBER_ABSENT")
            return None
        if phone.behaviour == "away":
            failed("USER_NOT_REGISTERED")
            return None
        identifier = variables.get("origination_uuid") or self.switch.uuid()
        if identifier in self.switch.legs:
            failed("CHANNEL_UNACCEPTABLE")
            return None
        leg = Leg(
            identifier, 0, True, "phones", f"sofia/phones/{phone.user}@{self.domain}", phone.user,
            username=caller.username if caller else "", user=f"{phone.user}@{self.domain}",
            cid_name=variables.get("origination_caller_id_name", caller.cid_name if caller else ""),
            cid_number=variables.get("origination_caller_id_number", caller.cid_number if caller else "0000000000"),
            callee_name="Outbound Call", callee_number=phone.user, destination=phone.user,
            context=caller.context if caller else "default",
        )  # fmt: skip
        leg.codec = _codec(variables.get("absolute_codec_string", "")) or leg.codec
        leg.rate = 16000 if leg.codec == "G722" else 8000
        leg.set({"dialed_user": phone.user, "dialed_domain": self.domain, "sofia_profile_name": "phones",
                 "is_outbound": "true", "originate_endpoint": "user", **self._buffer(phone), **variables})  # fmt: skip
        if caller is not None:
            leg.other = caller
            leg.variables["call_uuid"] = leg.variables["originator"] = caller.id
            # mod_dptools writes these to the calling leg as well: there they say whom it dialled.
            caller.set({"dialed_user": phone.user, "dialed_domain": self.domain})
        phone.legs.append(leg)
        self.switch.add(leg)
        _Ringing(self.switch, phone, leg, then, failed, timeout)
        return leg

    # --- what people do -----------------------------------------------------------------------------------------------

    def call(self, user: str, number: str, name: str) -> tuple[Leg, Leg | None]:
        """A caller from outside rings an agent. Returns the caller's leg and the agent's."""
        phone = self.phone(user)
        caller = self.incoming(number, name, f"20{phone.user[-2:]}")
        return caller, self.connect(caller, phone.user)

    def dial(self, user: str, destination: str) -> tuple[Leg, Leg | None]:
        """An agent calls another user."""
        self.phone(destination)
        leg = self.dials(user, destination)
        return leg, self.connect(leg, destination)

    def connect(self, caller: Leg, user: str) -> Leg | None:
        """``bridge user/…``: ring a phone for a leg, answer the leg when it is picked up, join them."""
        caller.application, caller.data = "bridge", f"user/{user}@{self.domain}"
        self.switch.fire("CHANNEL_EXECUTE", caller, Application="bridge", Application_Data=caller.data)

        def up(leg: Leg) -> None:
            if caller.ended:
                self.switch.hang_up(leg, "ORIGINATOR_CANCEL")
                return
            self.switch.answer(caller)
            self.switch.bridge(caller, leg)

        ringing = self.ring(user, {}, up, lambda cause: self.switch.hang_up(caller, cause), caller)
        if ringing is not None:
            caller.other = ringing
        return ringing

    def outside(self, leg: Leg, number: str) -> Leg:
        """A leg to somebody beyond the trunk, who answers at once; for agents' own calls and transfers outside."""
        far = Leg(self.switch.uuid(), 0, True, "trunk", f"sofia/trunk/{number}", number, username=leg.username,
                  cid_name=leg.cid_name, cid_number=leg.cid_number, callee_number=number, destination=number,
                  context=leg.context)  # fmt: skip
        far.other = leg
        self.switch.add(far)
        self.switch.answer(far)
        self.switch.answer(leg)
        self.switch.bridge(leg, far)
        return far

    def refer(self, leg: Leg, user: str) -> None:
        """Blind transfer: the party at the other end of an agent's leg goes on with another agent; the leg ends."""
        self.phone(user)
        caller = leg.peer
        if caller is None:
            raise Impossible("this leg is not bridged")
        self.switch.hang_up(leg, "NORMAL_CLEARING", keep_peer=True)
        self.connect(caller, user)

    def replace(self, leg: Leg, consult: Leg) -> None:
        """Attended transfer (REFER with Replaces): the caller of ``leg`` is joined with the party of ``consult``; both
        legs of the agent end."""
        caller, colleague = leg.peer, consult.peer
        if caller is None or colleague is None:
            raise Impossible("both legs must be bridged")
        self.switch.unbridge(consult)
        self.switch.hang_up(consult, "NORMAL_CLEARING", keep_peer=True)
        self.switch.hold(leg, False)
        self.switch.hang_up(leg, "NORMAL_CLEARING", keep_peer=True)
        self.switch.clock.after(FRAME, self.switch.bridge, caller, colleague)

    def codec(self, leg: Leg, rate: int) -> None:
        """The phone's re-INVITE brings another codec."""
        leg.codec, leg.rate = ("PCMU", 8000) if rate == 8000 else ("G722", rate)
        leg.set({"read_codec": leg.codec, "read_rate": str(leg.rate)})
        self.switch.touch(leg)
        self.switch.bugs.spoil(leg)
        self.switch.changed_codec(leg)


def _codec(offer: str) -> str:
    """The first codec of an ``absolute_codec_string``, for every phone here has all of them."""
    first = offer.removeprefix("^^:").replace(",", ":").split(":")[0]
    return first.partition("@")[0].upper()


class _Ringing:
    def __init__(
        self, switch: Switch, phone: Phone, leg: Leg, then: Callable[[Leg], object], failed: Callable[[str], object],
        timeout: float,
    ) -> None:  # fmt: skip
        self._switch, self._leg, self._then, self._failed = switch, leg, then, failed
        if phone.seconds > 0 or phone.behaviour != "answer":
            switch.fire("CHANNEL_PROGRESS", leg)
        self._timers: list[Timer] = [switch.clock.after(timeout, self._end, "NO_ANSWER")]
        if phone.behaviour == "answer":
            self._timers.append(switch.clock.after(phone.seconds, self._answer))
        elif phone.behaviour in REFUSALS:
            self._timers.append(switch.clock.after(phone.seconds, self._end, REFUSALS[phone.behaviour]))
        switch.on_end.append(self._gone)

    def _stop(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._switch.on_end.remove(self._gone)

    def _answer(self) -> None:
        if not self._leg.ended:
            self._stop()
            self._switch.answer(self._leg)
            self._then(self._leg)

    def _end(self, cause: str) -> None:
        if not self._leg.ended:
            self._stop()
            self._switch.hang_up(self._leg, cause)
            self._failed(cause)

    def _gone(self, leg: Leg) -> None:
        if leg is self._leg:
            self._stop()
            self._failed(leg.ended)
        elif leg is self._leg.other and not self._leg.answered:
            self._end("ORIGINATOR_CANCEL")
