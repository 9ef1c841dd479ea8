"""What follows from requests of people. Each either raises a `CoachingError` before it has changed anything, or is
carried out whole."""

from __future__ import annotations

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from ccwhisper.coaching.model import Actor, AgentLeg, Call, Follow, NodeName, Phase, Session, is_browser
from ccwhisper.coaching.modes import PATHS, Mode, Talk
from ccwhisper.coaching.policy import TAKE_OVER, check_allowed, check_mode, visible
from ccwhisper.coaching.recorded import Whispers
from ccwhisper.coaching.sessions import carried
from ccwhisper.coaching.turn import Turn

NARROW: tuple[str, ...] = ("PCMU@8000h@20i", "PCMA@8000h@20i")
WIDE: tuple[str, ...] = ("G722@8000h@20i", *NARROW)

_PENDING = (Phase.DIALLING, Phase.RINGING, Phase.CONNECTED, Phase.ATTACHING)


def start(turn: Turn, ask: cmd.Start) -> None:
    """Ring the coach's device and, when it answers, listen."""
    device = _device(ask)
    call, leg = find(turn, ask)
    node = call.node if call else _node_of(turn)
    session = prepare(turn, ask, device, node, call, leg)
    wide = leg is not None and leg.rate >= 16000 and ask.follow is not Follow.AGENT
    codecs = codecs_for(wide, leg.codec if leg else "", is_browser(device))
    ring = turn.rules.ring_seconds
    session = turn.change(session, rate=16000 if wide else 8000, deadline=turn.now + ring + 2.0)
    known = turn.rules.agents.get(session.agent)
    number = min(known.users if known else (), default=session.agent).partition("@")[0]  # his extension
    whose = number, session.agent_name
    turn.effects.append(fx.Dial(node, session.id, session.leg, device, codecs, ring, *whose, carried(session)))
    turn.audit("start", session, ask.mode.value)


def prepare(
    turn: Turn, ask: cmd.Start, device: str, node: NodeName, call: Call | None, leg: AgentLeg | None,
    later: bool = False,
) -> Session:  # fmt: skip
    """The session that is asked for, if it may be; the agent's leg gets its buffer. `later`: without a call, another
    mode than listening is for the next one."""
    queues = call.queues if call else _queues(turn, ask)
    check_mode(ask.actor, ask.mode, queues)
    if ask.mode is not Mode.LISTEN and call is None and not later:
        raise Conflict("not_listening", "This agent has no call; start with listen.")
    if call:
        check_allowed(turn.policy(call), ask.mode.value)
    if not turn.node_up(node):
        raise Unavailable("node_unavailable", f"The switch {node} is not connected.")
    if call and call.obstacle:
        raise Conflict(call.obstacle, "The media of this call do not pass through the switch; it cannot be coached.")
    agent = leg.agent if leg else str(ask.agent)
    for each in turn.sessions.values():
        if each.phase is Phase.ENDING:
            continue
        if each.coach.id == ask.actor.id and each.agent == agent:
            raise Conflict("already_coaching", f"You are already coaching this agent (session {each.id}).")
        if each.device == device:
            raise Conflict("device_busy", f"The device {device} is already in a coaching session.")
    if turn.crowd(agent) >= turn.policy(call).max_coaches:
        raise Conflict("too_many_coaches", "This call has as many coaches as its queue allows.")
    known = turn.rules.agents.get(agent)
    session = Session(
        id=ask.session,
        node=node,
        coach=ask.actor,
        device=device,
        leg=ask.leg,
        agent=agent,
        agent_name=leg.name if leg else known.name if known else agent,
        target=leg.leg if leg else None,
        call=call.id if call else None,
        peer=leg.peer if leg else None,
        phase=Phase.DIALLING,
        wanted=ask.mode,
        talk=ask.talk or turn.policy(call).talk,
        follow=ask.follow,
        started_at=ask.at,
        whispers=turn.recording_policy(call).record_whisper if call else Whispers.OFF,
    )
    if call and leg and not leg.buffered:
        turn.buffer(call, leg, session)  # while the phone rings: some time before anything attaches
    return session


def codecs_for(wide: bool, codec: str, browser: bool) -> tuple[str, ...]:
    """The codecs to offer a coach's phone. Its decoded rate must not be above the agent's, or the whisper is garbage;
    a coach who follows the agent meets legs not known yet, and is kept at 8 kHz. The agent's own codec comes first,
    which saves a conversion. A browser speaks Opus, which the switch decodes in whichever rate it is told."""
    if browser:
        return ("opus@16000h@20i" if wide else "opus@8000h@20i",)
    names = WIDE if wide else NARROW
    return tuple(sorted(names, key=lambda name: not name.startswith(codec.upper() + "@")))


def _device(ask: cmd.Start) -> str:
    if not ask.actor.devices:
        raise NotFound("device_unknown", "The token names no device to ring.")
    device = ask.device or ask.actor.devices[0]
    if device not in ask.actor.devices:
        raise Forbidden("device_not_yours", "This device is not among those that the token names.")
    return device


def find(turn: Turn, ask: cmd.Start) -> tuple[Call | None, AgentLeg | None]:
    """The call and the agent's leg that are asked for; neither for an agent between calls."""
    if ask.call is None and ask.agent is None:
        raise Invalid("target_missing", "Name a call or an agent.")
    if ask.call is not None:
        call = turn.calls.get(ask.call)
        if call is None or not visible(ask.actor, call):
            raise NotFound("call_not_found", "There is no such call.")
        return call, _leg(call, ask.agent)
    calls = [each for each in turn.calls.values() if each.leg_of(str(ask.agent)) and visible(ask.actor, each)]
    if len(calls) > 1:
        raise Conflict("target_ambiguous", "This agent is on several calls; name the call.")
    if calls:
        return calls[0], calls[0].leg_of(str(ask.agent))
    if ask.agent not in turn.rules.agents:
        raise NotFound("agent_not_found", "There is no such agent, or he has no call that you may see.")
    if ask.follow is not Follow.AGENT:
        raise Conflict("agent_has_no_call", "This agent has no call; follow the agent to wait for the next one.")
    return None, None


def _leg(call: Call, agent: str | None) -> AgentLeg:
    if agent is None:
        if len(call.agents) > 1:
            names = ", ".join(leg.agent for leg in call.agents)
            raise Conflict("target_must_be_named", f"Both parties are agents ({names}); name the one to coach.")
        return call.agents[0]
    leg = call.leg_of(agent)
    if leg is None:
        raise NotFound("agent_not_found", "This agent is not on this call.")
    return leg


def _node_of(turn: Turn) -> str:
    names = [name for name, node in turn.nodes.items() if node.up]
    if not names:
        raise Unavailable("node_unavailable", "No switch is connected.")
    return names[0]


def _queues(turn: Turn, ask: cmd.Start) -> frozenset[str]:
    return turn.rules.agents[str(ask.agent)].queues


def find_session(turn: Turn, actor: Actor, identifier: str) -> Session:
    """The session, if it is this coach's own."""
    session = turn.sessions.get(identifier)
    if session is None or session.coach.id != actor.id:
        raise NotFound("session_not_found", "There is no such session, or it is not yours.")
    if session.phase is Phase.ENDING:
        raise Conflict("session_ended", "The session is ending.", retry=False)
    if session.phase is Phase.TAKING_OVER:  # his leg is about to be a party: hung up now, it would drop the caller
        raise Conflict("call_not_settled", "The call is being taken over.")
    if not turn.node_up(session.node):
        raise Unavailable("node_unavailable", f"The switch {session.node} is not connected.")
    return session


def _attached(session: Session) -> Session:
    if session.phase is not Phase.ATTACHED:
        raise Conflict("not_listening", "Listening is not established.")
    return session


def set_mode(turn: Turn, ask: cmd.SetMode) -> None:
    """Switch the mode. Before listening is established the wish is kept, and granted as soon as it is."""
    session = find_session(turn, ask.actor, ask.session)
    call = turn.call_of(session)
    check_mode(ask.actor, ask.mode, session_queues(turn, session))
    if call:
        check_allowed(turn.policy(call), ask.mode.value)
    session = turn.change(session, coach=ask.actor) if session.coach != ask.actor else session
    if session.phase in _PENDING and session.call:
        turn.change(session, wanted=ask.mode)
        turn.audit("ask", session, ask.mode.value)
        return
    if ask.mode is not Mode.LISTEN:
        _attached(session)
        if call is None:
            raise Conflict("not_listening", "The agent has no call.")
    for mode in PATHS[session.mode, ask.mode]:
        session = turn.enter(session, mode)
    turn.change(session, wanted=ask.mode)


def session_queues(turn: Turn, session: Session) -> frozenset[str]:
    """What a token's queues are compared with: those of the call, between calls those of the agent."""
    call = turn.call_of(session)
    if call:
        return call.queues
    agent = turn.rules.agents.get(session.agent)
    return agent.queues if agent else frozenset()


def set_talk(turn: Turn, ask: cmd.SetTalk) -> None:
    """Push-to-talk or open microphone. Whoever changes to push-to-talk is released."""
    session = find_session(turn, ask.actor, ask.session)
    if ask.talk is Talk.OPEN:
        _check_voice(turn, session, ask.actor)
    session = turn.change(turn.release(session), talk=ask.talk)
    turn.audit("talk", session, ask.talk.value)


def set_muted(turn: Turn, ask: cmd.SetMuted) -> None:
    """Mute or unmute; never beeps."""
    session = find_session(turn, ask.actor, ask.session)
    if not ask.muted:
        _check_voice(turn, session, ask.actor)
    session = turn.change(session, muted=ask.muted)
    turn.audit("mute" if ask.muted else "unmute", session, "")


def _check_voice(turn: Turn, session: Session, actor: Actor) -> None:
    """What opens the gate needs the right to the mode again: this token may be another than the one that chose it."""
    call = turn.call_of(session)
    if call:
        check_mode(actor, session.mode, call.queues)


def press(turn: Turn, ask: cmd.Press) -> None:
    """Push-to-talk is held, or still held."""
    session = find_session(turn, ask.actor, ask.session)
    if session.talk is not Talk.PUSH:
        raise Conflict("not_push_to_talk", "The session is on open microphone.")
    target = str(_attached(session).target)
    _check_voice(turn, session, ask.actor)
    until = turn.now + turn.rules.press_ttl
    if session.pressed:
        turn.change(session, press_until=until)
    else:
        seconds = turn.rules.deadman_seconds
        turn.effects.append(fx.ArmDeadman(session.node, session.leg, target, seconds, session.track))
        turn.change(session, pressed=True, press_until=until, rearm_at=turn.now + turn.rules.deadman_rearm)
        turn.audit("press", session)


def release(turn: Turn, ask: cmd.Release) -> None:
    """Push-to-talk is let go of. Saying so twice is no error."""
    turn.release(find_session(turn, ask.actor, ask.session))


def take_over(turn: Turn, ask: cmd.TakeOver) -> None:
    """The coach stays with the caller, the agent is released."""
    session = _attached(find_session(turn, ask.actor, ask.session))
    call = turn.call_of(session)
    if call is None or session.peer is None or not turn.settled(session):
        raise Conflict("call_not_settled", "The call is on hold, being transferred, or over.")
    check_mode(ask.actor, Mode.BARGE, call.queues)
    check_allowed(turn.policy(call), TAKE_OVER)
    caller = session.peer
    for each in turn.on_target(str(session.target)):
        if each.id != session.id:
            turn.end(each, "taken_over")
    session = turn.release(session)
    session = turn.change(session, phase=Phase.TAKING_OVER, mode=Mode.LISTEN, wanted=Mode.LISTEN,
                          deadline=turn.now + turn.rules.take_over_timeout)  # fmt: skip
    turn.tell(session)
    if is_browser(session.device) and not session.narrowed:
        # Bridged with a leg of another codec, Opus that is decoded at 8 kHz is heard chopped, and nothing is heard by
        # the browser. To bridge before the new codec is there may hang up both.
        turn.narrow(session)
    else:
        turn.connect(session, call, caller)
    turn.audit("take_over", session, "")


def leave(turn: Turn, ask: cmd.Leave) -> None:
    """The coach goes."""
    turn.end(find_session(turn, ask.actor, ask.session), "coach_left")
