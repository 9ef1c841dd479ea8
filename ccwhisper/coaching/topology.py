"""What follows from facts about legs. The order is always the same: the gate closes first (a leg whose bond is not
known is not settled), then the two legs are read from the switch, then it is decided who goes on with whom."""

from __future__ import annotations

from dataclasses import replace

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.errors import Forbidden
from ccwhisper.coaching.model import AgentLeg, Call, Follow, LegId, Phase, Session
from ccwhisper.coaching.modes import Gate, Mode, Talk
from ccwhisper.coaching.policy import check_mode
from ccwhisper.coaching.sessions import asked_for, lasting
from ccwhisper.coaching.turn import Turn

# FreeSWITCH's hang-up causes of a phone that did not answer, in our words.
DIAL_ENDINGS = {
    "USER_BUSY": "busy",
    "CALL_REJECTED": "refused",
    "NO_ANSWER": "no_answer",
    "NO_USER_RESPONSE": "no_answer",
    "ALLOTTED_TIMEOUT": "no_answer",
    "ORIGINATOR_CANCEL": "cancelled",
    "NORMAL_CLEARING": "coach_left",  # dialled in himself, and did not wait for the end of the prompt
    "USER_NOT_REGISTERED": "device_not_registered",
    "SUBSCRIBER_ABSENT": "device_not_registered",
    "UNALLOCATED_NUMBER": "device_not_registered",
    "NORMAL_TEMPORARY_FAILURE": "device_unreachable",
    "INCOMPATIBLE_DESTINATION": "device_codecs",
}


def bridged(turn: Turn, fact: ev.Bridged) -> None:
    """Two legs are joined: nobody is heard until both have been read."""
    for leg, other in ((fact.a, fact.b), (fact.b, fact.a)):
        session = turn.by_leg(leg)
        if session and session.phase is Phase.TAKING_OVER:
            turn.gone(session, "took_over")  # from now on a leg like any other
        elif session:
            turn.end(session, "coach_left")  # moved by somebody else; where he was he is no more
        bond = turn.bonds.get(leg)
        if bond and bond.peer != other:
            turn.unbond(leg)
            for each in turn.on_target(bond.peer):  # an agent, too, and perhaps nothing is ever said of his leg
                _wait_for_the_call(turn, each)
    turn.bond(fact.node, fact.a, fact.b)
    for each in (*turn.on_target(fact.a), *turn.on_target(fact.b)):
        _wait_for_the_call(turn, each)


def _read_again(turn: Turn, leg: LegId) -> None:
    """Something about a leg has changed while it was being read: the answer under way may be from before."""
    bond = turn.bonds.get(leg)
    if bond and not bond.known:
        turn.bond(bond.node, leg, bond.peer)


def inspected(turn: Turn, fact: ev.Inspected) -> None:
    """The switch said who two bridged legs are."""
    bond = turn.bonds.get(fact.a)
    if bond is None or bond.token != fact.token:
        return  # something newer has happened to them
    first, second = fact.legs
    if first is None or second is None:
        turn.unbond(fact.a)
        return
    call = turn.read(fact.node, first, second)
    if call:
        join(turn, call)


def join(turn: Turn, call: Call) -> None:
    """A call is up: the sessions that belong on it take their places."""
    for leg in call.agents:
        for each in turn.on_target(leg.leg):
            if each.phase is Phase.ENDING or each.phase is Phase.TAKING_OVER:
                continue
            if each.call == call.id:
                back = Phase.CONNECTED if each.phase is Phase.WAITING else each.phase
                turn.change(each, phase=back, deadline=None if back is Phase.ATTACHED else each.deadline)
            elif each.follow is Follow.AGENT:
                _go_along(turn, each, call)
            else:
                turn.end(each, "call_ended")
    for each in list(turn.sessions.values()):
        if turn.call_of(each) is None and _leg_for(each, call):
            _go_along(turn, each, call)
    for leg in call.agents:
        turn.attach_next(leg.leg)


def _leg_for(session: Session, call: Call) -> AgentLeg | None:
    """The agent's leg that a session goes on with in a call that it is not on yet: that of the agent it follows, or
    the one that the caller it follows talks to now."""
    if session.node != call.node or session.phase in (Phase.ENDING, Phase.TAKING_OVER) or session.passed == call.id:
        return None
    if session.follow is Follow.AGENT:
        return call.leg_of(session.agent)
    return next((leg for leg in call.agents if leg.peer == session.peer), None)


def _seek(turn: Turn, session: Session) -> None:
    """The call that a session without one goes on with may be up already."""
    call = next((each for each in turn.calls.values() if _leg_for(session, each)), None)
    if call:
        join(turn, call)


def _go_along(turn: Turn, session: Session, call: Call) -> None:
    if call.obstacle:
        turn.end(session, call.obstacle)
        return
    leg = _leg_for(session, call)
    if leg is None:  # the leg that he listened to is another agent's now
        turn.end(session, "call_ended")
        return
    if leg.agent != session.agent:  # who has not been listened to yet
        session = turn.change(session, mode=Mode.LISTEN, wanted=Mode.LISTEN)
    try:
        check_mode(session.coach, lasting(session), call.queues)
    except Forbidden as refusal:
        turn.end(session, refusal.code)
        return
    if not turn.policy(call).allows(Mode.LISTEN.value):
        turn.end(session, "mode_not_allowed")
        return
    others = [each for each in turn.on_target(leg.leg) if each.id != session.id and each.phase is not Phase.ENDING]
    if len(others) >= turn.policy(call).max_coaches:
        turn.end(session, "too_many_coaches")
        return
    turn.place(session, call, leg)


def unbridged(turn: Turn, fact: ev.Unbridged) -> None:
    """Two legs are no longer joined. Whoever was coached may come back, or be somewhere else in a moment."""
    for leg in filter(None, (fact.a, fact.b)):
        bond = turn.bonds.get(leg)
        if bond and fact.b and bond.peer not in (fact.a, fact.b):
            turn.bond(bond.node, leg, bond.peer)  # of the bridge before: each bridge ends in a thread of its own
        elif bond:
            turn.unbond(leg)
        for each in turn.on_target(leg):
            _wait_for_the_call(turn, each)


def _wait_for_the_call(turn: Turn, session: Session) -> Session:
    """A session that follows the call does not stay long without it. A phone that rings may go on ringing, and what
    attaches or takes over has a deadline of its own."""
    waits = session.phase in (Phase.CONNECTED, Phase.WAITING, Phase.ATTACHED)
    if waits and session.follow is Follow.CALL and turn.call_of(session) is None:
        return turn.change(session, deadline=turn.now + turn.rules.seek_grace)
    return session


def hung_up(turn: Turn, fact: ev.HungUp) -> None:
    """A leg is gone: a coach's, an agent's, a caller's, or one that is nothing to us."""
    session = turn.by_leg(fact.leg)
    if session:
        if session.phase in (Phase.DIALLING, Phase.RINGING):
            reason = DIAL_ENDINGS.get(fact.cause, "device_unreachable")
        else:  # a phone that refuses another codec may be hung up for it
            reason = "coach_left" if session.narrow_until is None else not_narrowed(session)
        turn.end(session, reason, hang_up=False)
        if session.phase is Phase.ENDING:
            turn.gone(session, reason)
        if session.target:
            turn.attach_next(session.target)
    turn.unbond(fact.leg)
    for each in list(turn.sessions.values()):
        if each.phase in (Phase.ENDING, Phase.TAKING_OVER):
            continue
        if each.target == fact.leg:
            _lost_target(turn, each)
        elif each.peer == fact.leg and each.follow is Follow.CALL:
            turn.end(each, "call_ended")


def _lost_target(turn: Turn, session: Session) -> None:
    """The agent's leg ended under the coach, whose own leg now parks, if it has not done so yet."""
    session = turn.release(session)
    rings = session.phase in (Phase.DIALLING, Phase.RINGING)
    parks = session.phase in (Phase.ATTACHING, Phase.ATTACHED)
    changed = turn.change(
        session,
        target=None,
        mode=Mode.LISTEN,
        wanted=lasting(session),
        phase=session.phase if rings else Phase.WAITING,
        deadline=session.deadline if rings else None,
    )
    if session.follow is Follow.AGENT:
        changed = turn.change(changed, call=None, peer=None)
    changed = _wait_for_the_call(turn, changed)
    if not parks:
        _seek(turn, changed)


def held(turn: Turn, fact: ev.Held | ev.Unheld) -> None:
    """Hold of an agent's leg or of a coach's own phone closes the gate; it opens again as it was."""
    on = isinstance(fact, ev.Held)
    (turn.held.add if on else turn.held.discard)(fact.leg)
    _read_again(turn, fact.leg)
    session = turn.by_leg(fact.leg)
    if session:
        turn.change(turn.release(session) if on else session, held=on)
    for each in turn.on_target(fact.leg):
        turn.touch(each.id)
    bond = turn.bonds.get(fact.leg)
    for identifier, call in list(turn.calls.items()):
        if bond and any(fact.leg in (leg.leg, leg.peer) for leg in call.agents):
            turn.calls[identifier] = replace(call, held=bool({fact.leg, bond.peer} & turn.held))
    if not bond:
        turn.held.discard(fact.leg)


def answered(turn: Turn, fact: ev.Ringing | ev.Answered) -> None:
    """A coach's phone rings or is picked up."""
    session = turn.by_leg(fact.leg)
    if session and session.phase is Phase.DIALLING and isinstance(fact, ev.Ringing):
        turn.change(session, phase=Phase.RINGING)


def parked(turn: Turn, fact: ev.Parked) -> None:
    """A coach's leg is parked: it was just answered, or what it listened to is over."""
    session = turn.by_leg(fact.leg)
    if session is None:
        if fact.ours:  # a coach's leg that no session is for: must not stay behind
            turn.effects.append(fx.HangUp(fact.node, fact.leg))
        return
    if session.phase in (Phase.ENDING, Phase.TAKING_OVER):
        return
    session = turn.release(session)
    if session.phase is Phase.ATTACHING and session.attempts >= 2:
        turn.end(session, "attach_failed")
        return
    session = turn.change(session, phase=Phase.WAITING, mode=Mode.LISTEN, wanted=asked_for(session), deadline=None,
                          asked=Gate.CLOSED, gate=Gate.CLOSED)  # fmt: skip
    if session.target and turn.call_of(session):
        turn.change(session, phase=Phase.CONNECTED)
        turn.attach_next(session.target)
    else:
        _seek(turn, _wait_for_the_call(turn, session))


def eavesdrop_started(turn: Turn, fact: ev.EavesdropStarted) -> None:
    """An eavesdrop is alive on a leg: that of the coach whose turn it is."""
    for each in turn.on_target(fact.leg):
        if each.phase is Phase.ATTACHING:
            session = _wait_for_the_call(turn, turn.change(each, phase=Phase.ATTACHED, deadline=None, attempts=0))
            turn.beep(session, "listen")
            turn.audit("listen", session)
            turn.attach_next(fact.leg)
            return
    # Not one that we asked for: the switch's own dead-man has attached a coach anew, with his gate closed.
    for each in turn.on_target(fact.leg):
        if each.pressed:
            turn.release(each)


def rate_changed(turn: Turn, fact: ev.RateChanged) -> None:
    """A re-INVITE gave a leg another codec. An eavesdrop that was set up for another rate of the agent's leg, or for
    another codec of the coach's, whispers garbage or nothing: it is set up anew, and until then its gate is closed."""
    session = turn.by_leg(fact.leg)
    if session:
        if not fact.renewed and session.rate == fact.rate:
            return  # what is read of the leg has changed, not its phone
        changed = turn.change(session, rate=fact.rate, narrow_until=None)
        if session.phase is Phase.TAKING_OVER:
            if session.narrow_until is not None:
                _connect(turn, changed)
        elif session.target:
            _detach(turn, changed)
            turn.attach_next(session.target)
        return
    _read_again(turn, fact.leg)
    for identifier, call in list(turn.calls.items()):
        leg = call.on(fact.leg)
        if leg is None or leg.rate == fact.rate:
            continue
        agents = tuple(replace(each, rate=fact.rate) if each is leg else each for each in call.agents)
        turn.calls[identifier] = replace(call, agents=agents)
        for each in turn.on_target(fact.leg):
            _detach(turn, each)
        turn.attach_next(fact.leg)


def _connect(turn: Turn, session: Session) -> None:
    """The phone of a coach who takes over has the codec for it. Much may have happened since he asked."""
    call = turn.call_of(session)
    if session.peer is None or call is None or not turn.certain(session):
        turn.end(session, "take_over_failed")
    else:
        turn.connect(session, call, session.peer)


def not_narrowed(session: Session) -> str:
    """Why a session ends whose phone was asked for another codec and has not taken it."""
    return "take_over_failed" if session.phase is Phase.TAKING_OVER else "codec_mismatch"


def _detach(turn: Turn, session: Session) -> None:
    """Back to before the eavesdrop, to attach again as soon as it is this session's turn."""
    if session.phase in (Phase.ATTACHED, Phase.ATTACHING):
        turn.change(turn.release(session), phase=Phase.CONNECTED, wanted=asked_for(session), mode=Mode.LISTEN)


def tick(turn: Turn) -> None:
    """Deadlines that have passed."""
    now = turn.now
    for session in list(turn.sessions.values()):
        if session.press_until is not None and now >= session.press_until:
            turn.release(session)
        elif session.rearm_at is not None and now >= session.rearm_at:
            target, seconds = str(session.target), turn.rules.deadman_seconds
            turn.effects.append(fx.ArmDeadman(session.node, session.leg, target, seconds, session.track))
            turn.change(session, rearm_at=now + turn.rules.deadman_rearm)
        if session.refresh_at is not None and now >= session.refresh_at:
            _refresh(turn, turn.sessions[session.id])
        if session.narrow_until is not None and now >= session.narrow_until:
            turn.end(turn.sessions[session.id], not_narrowed(session))
        elif session.deadline is not None and now >= session.deadline:
            _overdue(turn, turn.sessions[session.id])
    for name, node in list(turn.nodes.items()):
        if node.up and node.lease_at is not None and now >= node.lease_at:
            turn.nodes[name] = replace(node, lease_at=now + turn.rules.lease_every)
            turn.effects.append(fx.RenewLease(name))


def _refresh(turn: Turn, session: Session) -> None:
    if session.asked is None or session.asked is Gate.CLOSED or session.talk is Talk.PUSH:
        turn.change(session, refresh_at=None)
        return
    turn.effects.append(fx.RefreshGate(session.node, session.leg, session.asked))
    turn.change(session, refresh_at=turn.now + turn.rules.refresh_seconds)


def _overdue(turn: Turn, session: Session) -> None:
    if not turn.node_up(session.node):
        turn.change(session, deadline=turn.now + 3.0)  # what has become of it is read when the switch is back
    elif session.phase is Phase.ENDING:
        turn.effects.append(fx.HangUp(session.node, session.leg))
        turn.change(session, deadline=turn.now + 3.0)
    elif session.phase is Phase.TAKING_OVER:
        turn.end(session, "take_over_failed")
    elif session.phase in (Phase.DIALLING, Phase.RINGING):
        turn.end(session, "no_answer")
    elif session.phase is Phase.ATTACHING:
        turn.end(session, "attach_failed")
    elif turn.call_of(session) is None:
        turn.end(session, "call_ended")
    else:
        turn.change(session, deadline=None)
