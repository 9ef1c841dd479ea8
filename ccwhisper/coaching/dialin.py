"""Feature codes: a coach dials in from his desk phone.

Who he is, is the digest that his phone has given, and nothing else; what he may is what the configuration says of that
directory user. From there on it is a request like any other, by the same rules, and a session like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.errors import CoachingError, Conflict, Forbidden, NotFound
from ccwhisper.coaching.model import Actor, AgentId, Follow, Leg, Phase
from ccwhisper.coaching.modes import Mode
from ccwhisper.coaching.policy import may_see, visible
from ccwhisper.coaching.requests import find, prepare
from ccwhisper.coaching.trail import refused
from ccwhisper.coaching.turn import Turn

ORIGIN: Final = "phone"
"""Where a request came from, in the audit trail."""

HELP: Final = "help"
"""The code that answers who has asked for help longest."""

CODES: Final[Mapping[str, Mode]] = MappingProxyType(
    {"listen": Mode.LISTEN, "whisper": Mode.WHISPER, "barge": Mode.BARGE, HELP: Mode.LISTEN}
)
"""What the dialplan may say that was dialled, and the mode that it takes the right to."""

WAITING: Final = "waiting"
ASK_BARGE: Final = "barge"

_SAID: Final[Mapping[str, str]] = MappingProxyType(
    {
        "not_a_supervisor": "not-permitted",
        "permission_missing": "not-permitted",
        "role_missing": "not-permitted",
        "queue_out_of_scope": "not-permitted",
        "agent_not_found": "no-such-agent",
        "mode_not_allowed": "not-allowed",
        "nobody_asks": "nobody-asks",
    }
)
PROMPTS: Final = frozenset({WAITING, ASK_BARGE, *_SAID.values(), "not-now", "not-available"})
"""The sound files. The dialplan plays the last one itself, when no service answers."""


def dialed_in(turn: Turn, fact: ev.DialedIn) -> None:
    """Whoever says so: it is read from the leg what was dialled, and by whom."""
    if turn.by_leg(fact.leg) is None:
        turn.effects.append(fx.ReadDialIn(fact.node, fact.leg))


def read(turn: Turn, fact: ev.DialInRead) -> None:
    """A leg that has dialled a code: its session begins, or it hears why not."""
    leg = fact.leg
    mode = CODES.get(leg.dialin or "")
    if mode is None or leg.is_coach or turn.by_leg(leg.id):
        return  # a hint that was wrong, or one too many
    if not turn.rules.supervisors:
        return  # it is for another service on this switch: this one, `ccwhisper prove` for example, knows nobody
    turn.origin = ORIGIN
    user = leg.auth_user or ""
    actor = turn.rules.supervisors.get(user)
    ask = cmd.Start(
        actor or Actor(user, user), fact.session, leg.id, fact.at, agent=leg.wanted or None, mode=mode,
        follow=Follow.AGENT, device=user, origin=ORIGIN,
    )  # fmt: skip
    try:
        if actor is None:
            raise Forbidden("not_a_supervisor", "This phone is not a supervisor's.")
        _admit(turn, _aimed(turn, ask, fact), fact)
    except CoachingError as refusal:
        turn.effects.append(replace(refused(turn.before, ask, refusal.code), node=fact.node))
        turn.effects.append(fx.Decline(fact.node, leg.id, _SAID.get(refusal.code, "not-now")))


def _aimed(turn: Turn, ask: cmd.Start, fact: ev.DialInRead) -> cmd.Start:
    """The same with the call that is meant, on the switch that the phone has called."""
    agent = _who_asks(turn, ask.actor) if fact.leg.dialin == HELP else _agent(turn, fact.leg)
    calls = [each for each in turn.calls.values() if each.leg_of(agent) and visible(ask.actor, each)]
    here = [each for each in calls if each.node == fact.node]
    if calls and not here:
        raise Conflict("on_another_switch", "The agent's call is on another switch than this phone.")
    call = max(here, key=lambda each: each.started_at, default=None)
    return replace(ask, agent=agent, call=call.id if call else None)


def _who_asks(turn: Turn, actor: Actor) -> AgentId:
    hands = [each for each in turn.hands.values() if may_see(actor, each.queues)]
    if not hands:
        raise NotFound("nobody_asks", "No agent of yours asks for help.")
    return min(hands, key=lambda each: each.raised_at).agent


def _agent(turn: Turn, leg: Leg) -> AgentId:
    """By the digits that were dialled: an agent's id, or the name of his directory user in the phone's own domain."""
    user = f"{leg.wanted}@{(leg.auth_user or '').partition('@')[2]}"
    known = turn.rules.agents
    agents = [leg.wanted, user] if {leg.wanted, user} & known.keys() else []
    agents += [each.id for each in known.values() if user in each.users]
    agents += [each.agent for call in turn.calls.values() for each in call.agents if each.agent in (leg.wanted, user)]
    return next((each for each in agents if each in known), agents[0] if agents else leg.wanted)


def _admit(turn: Turn, ask: cmd.Start, fact: ev.DialInRead) -> None:
    call, target = find(turn, ask)
    session = prepare(turn, ask, str(ask.device), fact.node, call, target, later=True)
    barge = ask.mode is Mode.BARGE
    session = turn.change(
        session,
        phase=Phase.RINGING,  # until its leg is parked
        deadline=turn.now + turn.rules.ring_seconds,
        wanted=Mode.LISTEN if barge else ask.mode,  # for a barge he is asked to press a key
        rate=fact.leg.rate,
    )
    prompt = ASK_BARGE if barge and call else None if call else WAITING
    turn.effects.append(fx.Admit(fact.node, session.id, session.leg, prompt, turn.write(session)))
    turn.audit("start", session, ask.mode.value)
