"""Text between coach and agent, and the agent's call for help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import notices
from ccwhisper.coaching.errors import Conflict, Forbidden, NotFound
from ccwhisper.coaching.model import AgentId, Call, CallId, Cue, Hand, Phase, Session
from ccwhisper.coaching.modes import Gate, Mode
from ccwhisper.coaching.policy import Rules, check_mode
from ccwhisper.coaching.requests import find_session, session_queues
from ccwhisper.coaching.turn import Turn

MAX_CUES = 50
"""So many cues of a session are kept; the oldest goes first."""


def send(turn: Turn, ask: cmd.SendCue) -> None:
    """Show the agent a line of text."""
    session = find_session(turn, ask.actor, ask.session)
    check_mode(ask.actor, Mode.LISTEN, session_queues(turn, session))
    cue = Cue(ask.cue, session.id, ask.actor.id, ask.actor.name, session.agent, session.call, ask.text, ask.at)
    earlier = [each.id for each in turn.cues.values() if each.session == session.id]
    for identifier in earlier[: max(0, len(earlier) - MAX_CUES + 1)]:
        del turn.cues[identifier]
    _change(turn, cue)
    turn.audit("cue", session, ask.text)


def mark(turn: Turn, ask: cmd.MarkCue) -> None:
    """It has reached the agent's page, or was in sight there. The first time counts."""
    cue = _find(turn, ask)
    read_at = cue.read_at or (ask.at if ask.read else None)
    marked = replace(cue, delivered_at=cue.delivered_at or ask.at, read_at=read_at)
    if marked != cue:
        _change(turn, marked)


def reply(turn: Turn, ask: cmd.ReplyToCue) -> None:
    """The agent answers, and so has read it."""
    cue = _find(turn, ask)
    seen = replace(cue, delivered_at=cue.delivered_at or ask.at, read_at=cue.read_at or ask.at)
    _change(turn, replace(seen, reply=ask.reply, replied_at=ask.at))
    whom = cue.session, cue.agent, cue.call, None
    turn.effects.append(fx.Audit("reply", ask.actor, *whom, ask.reply.value, ask.origin))


def raise_hand(turn: Turn, ask: cmd.RaiseHand) -> None:
    """The agent asks for help."""
    agent = _agent(ask)
    if agent in turn.hands:
        raise Conflict("hand_is_raised", "You have asked for help already.", retry=False)
    hand = hand_of(turn.calls, turn.rules, ask)
    turn.hands[agent] = hand
    turn.effects.append(notices.HandRaised(hand))
    whom = None, agent, hand.call, turn.calls[hand.call].node if hand.call else None
    turn.effects.append(fx.Audit("hand", ask.actor, *whom, ask.note, ask.origin))


def hand_of(calls: Mapping[CallId, Call], rules: Rules, ask: cmd.RaiseHand) -> Hand:
    """What an agent asks for: on his last call, or between calls."""
    agent = _agent(ask)
    his = [each for each in calls.values() if each.leg_of(agent)]
    call = max(his, key=lambda each: each.started_at, default=None)
    known = rules.agents.get(agent)
    leg = call.leg_of(agent) if call else None
    name = leg.name if leg else known.name if known else agent
    queues = call.queues if call else known.queues if known else frozenset()
    return Hand(agent, name, call.id if call else None, queues, ask.note, ask.at)


def lower_hand(turn: Turn, ask: cmd.LowerHand) -> None:
    """The agent needs no help any more. Saying so twice is no error."""
    hand = turn.hands.get(_agent(ask))
    if hand:
        _lower(turn, hand, "taken_back")


def tidy(turn: Turn) -> None:
    """At the end of every turn: cues go with the call that they were written on, or between calls with their session; a
    raised hand goes when somebody comes to listen, when one who was there already speaks to the agent, or with its
    call. Who listened before and says nothing has not answered, and the agent must not learn that he listens."""
    for cue in list(turn.cues.values()):
        if cue.session not in turn.sessions and cue.call not in turn.calls:
            del turn.cues[cue.id]
    for hand in list(turn.hands.values()):
        if any(_answers(each, hand) for each in turn.sessions.values()):
            _lower(turn, hand, "answered")
        elif hand.call is not None and hand.call not in turn.calls:
            _lower(turn, hand, "call_ended")


def _answers(session: Session, hand: Hand) -> bool:
    here = session.agent == hand.agent and session.phase is Phase.ATTACHED
    return here and (session.started_at >= hand.raised_at or session.gate is not Gate.CLOSED)


def _lower(turn: Turn, hand: Hand, why: str) -> None:
    del turn.hands[hand.agent]
    turn.effects.append(notices.HandLowered(hand, why))


def _change(turn: Turn, cue: Cue) -> None:
    turn.cues[cue.id] = cue
    turn.effects.append(notices.CueChanged(cue))


def _agent(ask: cmd.AgentRequest) -> AgentId:
    if ask.agent is None:
        raise Forbidden("not_an_agent", "This is for an agent's own token.")
    return ask.agent


def _find(turn: Turn, ask: cmd.MarkCue | cmd.ReplyToCue) -> Cue:
    agent = _agent(ask)
    cue = turn.cues.get(ask.cue)
    if cue is None or cue.agent != agent:
        raise NotFound("cue_not_found", "There is no such cue, or it is not for you.")
    return cue
