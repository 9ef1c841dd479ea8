"""A switch behind the engine's port that does what it is told, at once, and says so in facts.

It knows no audio and no protocol; those are tested against a real one. What it can be told to do otherwise are the
things that an HTTP client has to live with: a phone that is busy or just rings, an eavesdrop that never comes alive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import Leg
from ccwhisper.engine import SwitchPort

NODE = "fs1"


def agent_leg(name: str, user: str, peer: str, queue: str | None = None) -> Leg:
    """The leg of an agent whom the switch dialled."""
    return Leg(
        id=name, outbound=True, answered=True, held=False, peer=peer, created_at=1_700_000_000.0, dialed_user=user,
        cc_queue=queue, codec="PCMU", buffered=True,
    )  # fmt: skip


def caller_leg(name: str, peer: str, number: str = "+15550100", caller: str = "") -> Leg:
    """The leg of a stranger who called."""
    return Leg(
        id=name, outbound=False, answered=True, held=False, peer=peer, created_at=1_700_000_000.0,
        caller_number=number, caller_name=caller, destination="support", codec="PCMU",
    )  # fmt: skip


class FakeSwitch(SwitchPort):
    """See the module."""

    def __init__(self) -> None:
        self.done: list[fx.SwitchEffect] = []
        self.legs: dict[str, Leg] = {}
        self.causes: dict[str, str] = {}  # device → why it cannot be reached
        self.ringing: set[str] = set()  # devices that ring and are not picked up
        self.deaf: set[str] = set()  # legs on which no eavesdrop comes alive
        self.beeps = True
        self._post: Callable[[ev.Fact], None] = lambda _fact: None

    def start(self, post: Callable[[ev.Fact], None]) -> None:
        self._post = post
        post(ev.NodeSynced(NODE, ()))

    def stop(self) -> None:
        pass

    # --- what happens on the switch by itself ------------------------------------------------------------------------

    def bridge(self, one: Leg, other: Leg) -> None:
        """Two legs talk."""
        self.legs[one.id], self.legs[other.id] = one, other
        self._post(ev.Bridged(NODE, one.id, other.id))

    def hang_up(self, *legs: str) -> None:
        """Legs are gone, and with an agent's the coaches on it park."""
        for leg in legs:
            known = self.legs.pop(leg, None)
            if known and known.peer:
                self._post(ev.Unbridged(NODE, leg, known.peer))
            self._post(ev.HungUp(NODE, leg, "NORMAL_CLEARING"))

    def lose(self) -> None:
        """The connection breaks."""
        self._post(ev.NodeLost(NODE, "connection refused"))

    def say(self, *facts: ev.Fact) -> None:
        """Whatever else there is to be said."""
        for fact in facts:
            self._post(fact)

    # --- what it is told ---------------------------------------------------------------------------------------------

    def perform(self, effect: fx.SwitchEffect) -> None:
        self.done.append(effect)
        match effect:
            case fx.Inspect():
                both = (self.legs.get(effect.a), self.legs.get(effect.b))
                self._post(ev.Inspected(effect.node, effect.token, effect.a, effect.b, both))
            case fx.Dial() if effect.device in self.causes:
                self._post(ev.DialFailed(effect.session, self.causes[effect.device]))
            case fx.Dial():
                self._post(ev.Ringing(effect.node, effect.leg))
                if effect.device not in self.ringing:
                    self._post(ev.Answered(effect.node, effect.leg))
                    self._post(ev.Parked(effect.node, effect.leg, ours=True))
            case fx.Attach() if effect.target not in self.deaf:
                self._post(ev.EavesdropStarted(effect.node, effect.target))
            case fx.TellGate():
                self._post(ev.GateTold(effect.session, effect.gate))
            case fx.Beep() if not self.beeps:
                self._post(ev.BeepFailed(effect.session, "no such file"))
            case fx.HangUp():
                self.hang_up(effect.leg)
            case fx.ConnectCaller():
                self._take_over(effect)
            case _:
                pass

    def _take_over(self, effect: fx.ConnectCaller) -> None:
        agent = self.legs[effect.caller].peer
        assert agent is not None
        self._post(ev.Unbridged(effect.node, agent, effect.caller))
        self._post(ev.Bridged(effect.node, effect.leg, effect.caller))
        self.legs[effect.caller] = replace(self.legs[effect.caller], peer=effect.leg)
        self.legs[effect.leg] = Leg(effect.leg, outbound=True, answered=True, held=False, peer=effect.caller,
                                    created_at=1.0, party=effect.party)  # fmt: skip
        del self.legs[agent]
        self._post(ev.HungUp(effect.node, agent, "NORMAL_CLEARING"))
