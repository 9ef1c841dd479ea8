"""Lamps: what the key for an agent shows on a supervisor's desk phone.

Whoever has a password of the switch can put such a key on his phone, agents too. So a lamp tells no more than an agent
is told on his panel, unless the rules want all coaches shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import AgentId, Lamp, NodeName, Phase, Session, State
from ccwhisper.coaching.modes import Mode
from ccwhisper.coaching.policy import Lamps, Rules, agent_by_user

T = TypeVar("T")


def shown(before: State, were: Rules, after: State, rules: Rules, event: object) -> list[fx.ShowLamp]:
    """What phones are to be told after a turn: of the agents whose lamps have changed, to every node; of all agents to
    a node that has just been read, for a coach may have left while nobody could say so; of one agent to whoever has
    just subscribed."""
    if rules.lamps is Lamps.NONE:
        return []
    if isinstance(event, ev.LampProbed):
        agent = agent_by_user(event.user, rules)
        return [fx.ShowLamp(event.node, event.user, _lamp(agent.id, after, rules))] if agent else []
    told = [effect for agent in sorted(_concerned(before, after, were is not rules))
            if _lamp(agent, before, were) is not _lamp(agent, after, rules)
            for name, node in after.nodes.items() if node.up
            for effect in _all_of(agent, name, after, rules)]  # fmt: skip
    if isinstance(event, ev.NodeSynced):
        told = [each for each in told if each.node != event.node]
        told += [effect for agent in rules.agents for effect in _all_of(agent, event.node, after, rules)]
    return told


def _all_of(agent: AgentId, node: NodeName, state: State, rules: Rules) -> list[fx.ShowLamp]:
    known = rules.agents.get(agent)
    lamp = _lamp(agent, state, rules)
    return [fx.ShowLamp(node, user, lamp) for user in sorted(known.users)] if known else []


def _concerned(before: State, after: State, everybody: bool) -> set[AgentId]:
    calls, sessions = _changed(before.calls, after.calls), _changed(before.sessions, after.sessions)
    if everybody:
        sessions += after.sessions.values()
    return {leg.agent for call in calls for leg in call.agents} | {each.agent for each in sessions}


def _lamp(agent: AgentId, state: State, rules: Rules) -> Lamp:
    if any(each.agent == agent and _told(each, state, rules) for each in state.sessions.values()):
        return Lamp.COACHED
    on_call = any(call.leg_of(agent) for call in state.calls.values())
    return Lamp.ON_CALL if on_call else Lamp.IDLE


def _told(session: Session, state: State, rules: Rules) -> bool:
    call = state.calls.get(session.call or "")
    listens = rules.lamps is Lamps.ALL or rules.queue(call.queue if call else None).tell_listening
    return session.phase is Phase.ATTACHED and (listens or session.mode is not Mode.LISTEN)


def _changed(before: Mapping[str, T], after: Mapping[str, T]) -> list[T]:
    """Values that came, went or were replaced, in either form."""
    found = [each for key, each in after.items() if before.get(key) is not each]
    return found + [each for key, each in before.items() if after.get(key) is not each]
