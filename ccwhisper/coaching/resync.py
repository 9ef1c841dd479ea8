"""After a gap: the switch is the truth. Events of the gap are gone, so what is known of a node is built anew from its
legs, and every coach's leg says itself what it was doing."""

from __future__ import annotations

from dataclasses import replace

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching import notices
from ccwhisper.coaching.model import Actor, CoachRecord, Follow, Leg, LegId, Node, Phase, Session, call_id, is_browser
from ccwhisper.coaching.modes import Gate, Mode, Talk, gate
from ccwhisper.coaching.topology import join
from ccwhisper.coaching.turn import Turn


def node_lost(turn: Turn, fact: ev.NodeLost) -> None:
    """Nothing is sent to a node that cannot be reached; keys that were held count as released."""
    node = turn.nodes.get(fact.node, Node(fact.node))
    turn.nodes[fact.node] = replace(node, up=False, reason=fact.reason, lease_at=None)
    for each in list(turn.sessions.values()):
        if each.node == fact.node:
            turn.change(each, pressed=False, press_until=None, rearm_at=None, refresh_at=None, narrow_until=None)


def node_synced(turn: Turn, fact: ev.NodeSynced) -> None:
    """Everything on a node, read just now."""
    turn.nodes[fact.node] = Node(fact.node, up=True, reason=None, lease_at=turn.now)
    legs = {leg.id: leg for leg in fact.legs}
    _forget(turn, fact.node, legs)
    for leg in fact.legs:
        other = legs.get(leg.peer) if leg.peer else None
        if other is None or other.peer != leg.id or leg.id > other.id or leg.is_coach or other.is_coach:
            continue
        turn.read(fact.node, leg, other)
    for leg in fact.legs:
        if leg.is_coach:
            _adopt(turn, fact.node, leg, legs)
        elif leg.dialin:  # while nobody was there to take it
            turn.effects.append(fx.ReadDialIn(fact.node, leg.id))
    for call in list(turn.calls.values()):
        if call.node == fact.node:
            join(turn, call)
    for each in list(turn.sessions.values()):
        waits = each.follow is Follow.CALL and each.phase is not Phase.TAKING_OVER
        if each.node == fact.node and waits and turn.call_of(each) is None:
            turn.end(each, "call_ended")


def _forget(turn: Turn, node: str, legs: dict[LegId, Leg]) -> None:
    for identifier, call in list(turn.calls.items()):
        if call.node == node:
            del turn.calls[identifier]
            alive = any(leg.leg in legs and legs[leg.leg].peer == leg.peer for leg in call.agents)
            if not alive:
                turn.effects.append(notices.CallEnded(call))
    turn.bonds = {leg: bond for leg, bond in turn.bonds.items() if bond.node != node}
    turn.held &= turn.bonds.keys()
    for each in list(turn.sessions.values()):
        if each.node == node:
            _check_leg(turn, each, legs.get(each.leg))


def _check_leg(turn: Turn, session: Session, leg: Leg | None) -> None:
    if leg is None:
        # `show channels` is written late: a leg that rang a moment ago may be there and not be listed.
        turn.effects.append(fx.HangUp(session.node, session.leg))
        turn.gone(session, "lost")
    elif leg.dialin:
        turn.gone(session, "lost")  # it has dialled in and was never admitted: it is read anew
    elif not leg.is_coach and leg.peer:
        turn.gone(session, "took_over")
    elif not leg.is_coach:
        # Its marks are off, and the list of bridges is written late, too: seen bridged in a moment, or hung up.
        turn.change(session, phase=Phase.TAKING_OVER, mode=Mode.LISTEN, wanted=Mode.LISTEN,
                    deadline=turn.now + turn.rules.take_over_timeout)  # fmt: skip


def _adopt(turn: Turn, node: str, leg: Leg, legs: dict[LegId, Leg]) -> None:
    record = leg.coach
    if record is None:
        # Marked as ours, but carrying no session: a take-over that never came about, or a leg of a session that ended.
        if leg.peer is None:
            turn.effects.append(fx.HangUp(node, leg.id))
        return
    before = turn.sessions.pop(record.session, None)
    if before and before.phase is Phase.ENDING:
        turn.sessions[record.session] = before
        turn.effects.append(fx.HangUp(node, leg.id))
        return
    attached = leg.answered and leg.application == "eavesdrop" and leg.application_data == record.target
    target = record.target if record.target in legs else None
    session = Session(
        id=record.session,
        node=node,
        coach=_actor(record),
        device=record.device,
        leg=leg.id,
        agent=record.agent,
        agent_name=_name(turn, record),
        target=target,
        call=record.call if target else None,
        peer=record.peer if target or record.follow is Follow.CALL else None,
        phase=_phase(leg, attached and target is not None, target is not None),
        mode=record.mode if attached else Mode.LISTEN,
        wanted=record.wanted,
        talk=record.talk,
        muted=record.muted,
        follow=record.follow,
        gate=record.gate,
        asked=None,
        held=leg.held,
        away=before is not None and before.away,
        rate=leg.rate,
        narrowed=is_browser(record.device) and leg.codec.startswith("PCM"),
        started_at=record.started_at,
        passed=record.passed,
        whispers=record.whispers,
        recording=record.recording,
        track=record.track,
        parts=record.parts,
        deadline=None if leg.answered else turn.now + turn.rules.ring_seconds,
    )
    turn.change(session)
    same_call = (
        target is not None
        and record.peer is not None
        and record.call == call_id(target, record.peer)
        and record.call in turn.calls
    )
    if not same_call and session.mode is Mode.BARGE:
        session = turn.change(session, mode=Mode.LISTEN, wanted=Mode.LISTEN)
    on_hold = leg.held or (target is not None and legs[target].held)
    if record.gate is Gate.CLOSED and record.talk is Talk.OPEN and not on_hold:
        # It was closed when the service went, for a reason that is not known any more: it stays closed until the coach
        # himself opens it.
        would = gate(session.mode, session.talk, session.muted, False)
        if would is not Gate.CLOSED and attached:
            turn.change(session, muted=True)


def _phase(leg: Leg, attached: bool, has_target: bool) -> Phase:
    if not leg.answered:
        return Phase.RINGING
    if attached:
        return Phase.ATTACHED
    return Phase.CONNECTED if has_target else Phase.WAITING


def _actor(record: CoachRecord) -> Actor:
    return Actor(record.coach, record.name, record.permissions, record.roles, record.queues, (record.device,))


def _name(turn: Turn, record: CoachRecord) -> str:
    agent = turn.rules.agents.get(record.agent)
    return agent.name if agent else record.agent
