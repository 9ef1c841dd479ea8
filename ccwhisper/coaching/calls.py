"""Which bridges are calls."""

from __future__ import annotations

from ccwhisper.coaching.model import AgentLeg, Call, Leg, NodeName, call_id
from ccwhisper.coaching.policy import Rules, agent_of


def call_between(node: NodeName, a: Leg, b: Leg, rules: Rules) -> Call | None:
    """The call that two bridged legs are, or None when neither is an agent's."""
    agents = []
    queues: set[str] = set()
    for leg, other in ((a, b), (b, a)):
        agent = agent_of(leg, rules)
        if agent:
            agents.append(AgentLeg(leg.id, other.id, agent.id, agent.name, leg.rate, leg.codec, leg.buffered))
            queues |= agent.queues
    if not agents:
        return None
    mine, other = (a, b) if agents[0].leg == a.id else (b, a)
    queue = mine.cc_queue or other.cc_queue
    # By the other party's leg: an agent who stays off-hook between callers has dialled in himself.
    direction = "internal" if len(agents) > 1 else "outbound" if other.outbound else "inbound"
    dialled = other.destination if mine.outbound else mine.destination
    return Call(
        id=call_id(a.id, b.id),
        node=node,
        agents=tuple(agents),
        direction=direction,
        queue=queue,
        queues=frozenset({queue} if queue else queues),
        number=dialled if direction == "outbound" else other.caller_number,
        name=other.caller_name if direction != "outbound" else "",
        started_at=max(a.created_at, b.created_at),
        held=a.held or b.held,
        peer_rate=other.rate,
        peer_buffered=other.buffered,
        through=other.through,
        obstacle=None if a.media_in_switch and b.media_in_switch else "media_not_in_switch",
    )
