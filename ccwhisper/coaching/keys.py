"""Keys of a coach's phone, while he listens or waits.

    0  listen               4  mute, unmute                      #  next call
    2  whisper              5  push-to-talk, open microphone     *  leave
    3  barge, twice         1  talk, and again: no longer (push-to-talk)

A key is a request by the coach whose leg it is, with the rights that his session began with; it can do nothing that he
could not do on the page. A short tone tells him, and him alone, what has come of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching import requests
from ccwhisper.coaching.dialin import ORIGIN
from ccwhisper.coaching.errors import CoachingError, Conflict, Forbidden
from ccwhisper.coaching.model import AgentLeg, Call, Follow, Phase, Session
from ccwhisper.coaching.modes import Mode, Talk
from ccwhisper.coaching.policy import Tone, check_mode
from ccwhisper.coaching.trail import refused
from ccwhisper.coaching.turn import Turn

BARGE_KEY: Final = "3"


def _tone(*parts: tuple[int, int, int]) -> Tone:
    return Tone(-19, tuple((sound, pause, (hertz,)) for sound, pause, hertz in parts))


LOW, MIDDLE, HIGH = 440, 740, 940

SOUNDS: Final[Mapping[str, Tone]] = MappingProxyType(
    {
        "listen": _tone((80, 0, MIDDLE)),
        "whisper": _tone((80, 60, MIDDLE), (80, 0, MIDDLE)),
        "barge": _tone((80, 60, MIDDLE), (80, 60, MIDDLE), (80, 0, MIDDLE)),
        "again": _tone((80, 60, MIDDLE), (160, 0, HIGH)),
        "muted": _tone((240, 0, LOW)),
        "unmuted": _tone((240, 0, HIGH)),
        "push": _tone((80, 60, HIGH), (80, 0, LOW)),
        "open": _tone((80, 60, LOW), (80, 0, HIGH)),
        "talking": _tone((60, 0, HIGH)),
        "released": _tone((60, 0, LOW)),
        "next": _tone((240, 0, MIDDLE)),
        "refused": _tone((160, 80, LOW), (160, 0, LOW)),
    }
)
"""What a coach hears of his keys: as many short tones as the mode has ears, high for heard and low for not."""


def pressed(turn: Turn, fact: ev.KeyPressed) -> None:
    """A key of a leg. That of a leg that is no coach's is nothing to us."""
    session = turn.by_leg(fact.leg) if turn.rules.keys else None
    if session is None or session.node != fact.node or session.phase in (Phase.ENDING, Phase.TAKING_OVER):
        return
    turn.origin = ORIGIN
    again = session.again_until is not None and turn.now <= session.again_until
    if session.again_until is not None:
        session = turn.change(session, again_until=None)
    if fact.key == BARGE_KEY and session.mode is not Mode.BARGE and not again:
        turn.change(session, again_until=turn.now + turn.rules.key_again_seconds)
        _sound(turn, session, "again")
        return
    ask = _asked(session, fact.key)
    if ask is None:
        _sound(turn, session, "refused")
        return
    try:
        name = _carry_out(turn, ask)
    except CoachingError as refusal:
        turn.effects.append(refused(turn.before, ask, refusal.code))
        name = "refused"
    if name:
        _sound(turn, turn.sessions[session.id], name)


def _asked(session: Session, key: str) -> cmd.SessionRequest | None:
    """What a key asks for, in the words of everybody else's requests."""
    who = session.coach, session.id
    match key:
        case "0":
            return cmd.SetMode(*who, Mode.LISTEN, ORIGIN)
        case "2":
            return cmd.SetMode(*who, Mode.WHISPER, ORIGIN)
        case "3":
            return cmd.SetMode(*who, Mode.BARGE, ORIGIN)
        case "4":
            return cmd.SetMuted(*who, not session.muted, ORIGIN)
        case "5":
            return cmd.SetTalk(*who, Talk.OPEN if session.talk is Talk.PUSH else Talk.PUSH, ORIGIN)
        case "1":
            return cmd.Release(*who, ORIGIN) if session.pressed else cmd.Press(*who, ORIGIN)
        case "#":
            return cmd.Next(*who, ORIGIN)
        case "*":
            return cmd.Leave(*who, ORIGIN)
    return None


def _carry_out(turn: Turn, ask: cmd.SessionRequest) -> str | None:
    """Do it, and say which tone tells of it."""
    match ask:
        case cmd.SetMode():
            requests.set_mode(turn, ask)
            return ask.mode.value
        case cmd.SetMuted():
            requests.set_muted(turn, ask)
            return "muted" if ask.muted else "unmuted"
        case cmd.SetTalk():
            requests.set_talk(turn, ask)
            return ask.talk.value
        case cmd.Press():
            requests.press(turn, ask)
            turn.change(turn.sessions[ask.session], press_until=turn.now + turn.rules.key_talk_seconds)
            return "talking"
        case cmd.Release():
            requests.release(turn, ask)
            return "released"
        case cmd.Next():
            next_call(turn, ask)
            return "next"
        case _:
            requests.leave(turn, cmd.Leave(ask.actor, ask.session, ask.origin))
            return None


def _sound(turn: Turn, session: Session, name: str) -> None:
    attached = session.phase is Phase.ATTACHED
    if attached or session.phase is Phase.WAITING:
        turn.effects.append(fx.Sound(session.node, session.leg, SOUNDS[name], attached))


# --- the next call ---------------------------------------------------------------------------------------------------


def next_call(turn: Turn, ask: cmd.Next) -> None:
    """On to the next call of the same queue, in the order in which they began and round again; where there is none,
    the agent's next one is waited for. Whoever moves on listens."""
    session = requests.find_session(turn, ask.actor, ask.session)
    if session.phase in (Phase.DIALLING, Phase.RINGING):
        raise Conflict("not_listening", "Listening is not established.")
    here = turn.call_of(session)
    found = _following(turn, session)
    if found is None and here is None:
        raise Conflict("no_other_call", "There is no other call that you may listen to.")
    turn.leave_mode(session)
    left = session.target
    session = turn.change(turn.release(session), mode=Mode.LISTEN, wanted=Mode.LISTEN)
    if found:
        call, leg = found
        session = turn.place(session, call, leg)
        turn.tell(session)
        turn.attach_next(leg.leg)
    else:
        session = turn.change(
            session, phase=Phase.WAITING, follow=Follow.AGENT, passed=session.call, call=None, peer=None, target=None,
            deadline=None,
        )  # fmt: skip
        turn.tell(session)
        turn.effects.append(fx.Park(session.node, session.id, session.leg))
    if left:
        turn.attach_next(left)  # if it was this one's turn, it is another's
    turn.audit("next", session, found[0].id if found else "")


def _following(turn: Turn, session: Session) -> tuple[Call, AgentLeg] | None:
    at = turn.calls.get(session.call or session.passed or "")
    queues = at.queues if at else requests.session_queues(turn, session)
    found = [
        (call, leg)
        for call in sorted(turn.calls.values(), key=_order)
        if call.queues & queues and call is not at and (leg := _open_leg(turn, session, call))
    ]
    later = [each for each in found if at and _order(each[0]) > _order(at)]
    return next(iter(later or found), None)


def _order(call: Call) -> tuple[float, str]:
    return call.started_at, call.id


def _open_leg(turn: Turn, session: Session, call: Call) -> AgentLeg | None:
    """The agent's leg that this coach may listen to in a call."""
    policy = turn.policy(call)
    if call.node != session.node or call.obstacle or not policy.allows(Mode.LISTEN.value):
        return None
    try:
        check_mode(session.coach, Mode.LISTEN, call.queues)
    except Forbidden:
        return None
    mine = {each.agent for each in turn.sessions.values() if each.coach.id == session.coach.id and each is not session}
    for leg in call.agents:
        others = turn.crowd(leg.agent) - (leg.agent == session.agent)
        if leg.rate >= session.rate and leg.agent not in mine and others < policy.max_coaches:
            return leg
    return None
