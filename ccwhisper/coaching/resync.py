"""After a gap: the switch is the truth. Events of the gap are gone, so what is known of a node is built anew from its
legs, and every coach's leg says itself what it was doing."""

from __future__ import annotations

from dataclasses import replace

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import Actor, CoachRecord, Follow, Leg, LegId, Node, Phase, Session, call_id
from ccwhisper.coaching.modes import Gate, Mode, Talk, gate
from ccwhisper.coaching.topology import join
from ccwhisper.coaching.turn import Turn


def node_lost(turn: Turn, fact: ev.NodeLost) -> None:
    """Nothing is sent to a node that cannot be reached; keys that were held count as released."""
    node = turn.nodes.get(fact.node, Node(fact.node))
    turn.nodes[fact.node] = replace(node, up=False, reason=fact.reason, lease_at=None)
    for each in list(turn.sessions.values()):
        if each.node == fact.node:
            turn.change(each, pressed=False, press_until=None, rearm_at=None, refresh_at=None)


def node_synced(turn: Turn, fact: ev.NodeSynced) -> None:
    """Everything on a node, read just now."""
    turn.nodes[fact.node] = Node(fact.node, up=True, reason=None, lease_at=turn.now)
    legs = {leg.id: leg for leg in fact.legs}
    _forget(turn, fact.node, legs)
    for leg in fact.legs:
        other = legs.get(leg.peer) if leg.peer else None
        if other is None or other.peer != leg.id or leg.id > other.id or leg.is_coach or other.is_coach:
            continue
        turn.bond(leg.id, other.id, known=True)
        turn.make_call(fact.node, leg, other)
    for leg in fact.legs:
        if leg.is_coach:
            _adopt(turn, fact.node, leg, legs)
    for call in list(turn.calls.values()):
        if call.node == fact.node:
            join(turn, call)
    for each in list(turn.sessions.values()):
        if each.node == fact.node and each.follow is Follow.CALL and turn.call_of(each) is None:
            turn.end(each, "call_ended")


def _forget(turn: Turn, node: str, legs: dict[LegId, Leg]) -> None:
    for identifier, call in list(turn.calls.items()):
        if call.node == node:
            del turn.calls[identifier]
            alive = any(leg.leg in legs and legs[leg.leg].peer == leg.peer for leg in call.agents)
            if not alive:
                turn.effects.append(fx.CallEnded(call))
    for leg in list(turn.bonds):
        # Bonds carry no node; those of another node have legs that this one does not list, and stay harmless: they
        # are only looked up through sessions and calls of their own node.
        if leg in legs or not any(leg in (each.leg, each.peer) for c in turn.calls.values() for each in c.agents):
            del turn.bonds[leg]
    turn.held = {leg for leg in turn.held if leg not in legs} | {leg.id for leg in legs.values() if leg.held}
    for each in list(turn.sessions.values()):
        if each.node == node and each.leg not in legs:
            turn.gone(each, "lost")


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
        wanted=record.wanted if not attached else record.mode,
        talk=record.talk,
        muted=record.muted,
        follow=record.follow,
        gate=record.gate,
        asked=None,
        held=leg.held,
        rate=leg.rate,
        started_at=record.started_at,
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
    if record.gate is Gate.CLOSED and record.talk is Talk.OPEN and not leg.held and target not in turn.held:
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
