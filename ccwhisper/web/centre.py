"""The call centre around the calls, as one principal may see it: his queues, and the agents who serve them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ccwhisper.coaching.centre import Centre, Doing, Member, Presence, Status
from ccwhisper.coaching.model import Actor, Agent, State
from ccwhisper.coaching.policy import EVERY_QUEUE, Rules, cc_agent, may_see, visible
from ccwhisper.web.schemas import AgentView, CallerView, QueueAgents, QueueView

CALLERS: Final = 20
"""So many of those who wait in a queue are shown, who has waited longest first."""

_THERE: Final = frozenset({Status.AVAILABLE, Status.ON_DEMAND})


@dataclass(frozen=True, slots=True)
class _Person:
    """An agent, the queues that he serves by the configuration or by mod_callcenter, and how he is."""

    agent: Agent
    queues: frozenset[str]
    presence: Presence | None


def agents(state: State, rules: Rules, actor: Actor) -> list[AgentView]:
    """The agents of one's queues, and those whom a visible call shows, by id."""
    on_calls: dict[str, list[str]] = {}
    known = dict(rules.agents)
    for call in state.calls.values():
        if visible(actor, call):
            for leg in call.agents:
                on_calls.setdefault(leg.agent, []).append(call.id)
                known.setdefault(leg.agent, Agent(leg.agent, leg.name))
    everybody = state.centre.everybody()
    ours = {name for agent in rules.agents.values() for name in _names(agent)}
    for name in everybody.keys() - ours:
        adopted = cc_agent(name, rules)
        if adopted:
            known.setdefault(adopted.id, adopted)
    people = (_person(agent, state.centre, everybody) for agent in known.values())
    return [
        _agent_view(each, actor, on_calls.get(each.agent.id, []))
        for each in sorted(people, key=lambda each: each.agent.id)
        if each.agent.id in on_calls or may_see(actor, each.queues)
    ]


def agent(state: State, rules: Rules, actor: Actor, name: str, queues: frozenset[str]) -> AgentView | None:
    """The agent whom mod_callcenter knows by this name; None when he is not to be seen. `queues`: those that he serves
    now, or did until a moment ago."""
    known = cc_agent(name, rules)
    if known is None:
        return None
    calls = [call.id for call in state.calls.values() if call.leg_of(known.id) and visible(actor, call)]
    person = _person(known, state.centre, state.centre.everybody())
    if not calls and not may_see(actor, person.queues | queues):
        return None
    return _agent_view(person, actor, calls)


def queues(centre: Centre, actor: Actor) -> list[QueueView]:
    """One's queues, by name."""
    return [_queue_view(centre, name) for name in sorted(centre.queue_names()) if may_see(actor, frozenset({name}))]


def queue(centre: Centre, name: str) -> QueueView | None:
    """One queue; None when no node has it any more."""
    return _queue_view(centre, name) if name in centre.queue_names() else None


def _names(agent: Agent) -> Iterable[str]:
    return (agent.id, *agent.users)


def _person(agent: Agent, centre: Centre, everybody: dict[str, Presence]) -> _Person:
    names = frozenset(_names(agent))
    found = [everybody[name] for name in sorted(names) if name in everybody]
    serves = agent.queues.union(*(centre.queues_of(name) for name in names))
    return _Person(agent, serves, max(found, key=lambda each: each.since, default=None))


def _agent_view(person: _Person, actor: Actor, calls: Iterable[str]) -> AgentView:
    mine, how = actor.queues, person.presence
    return AgentView(
        id=person.agent.id,
        name=person.agent.name,
        queues=sorted(queue for queue in person.queues if EVERY_QUEUE in mine or queue in mine),
        calls=sorted(calls),
        status=how.status if how else None,
        state=how.doing if how else None,
        since=how.since if how else None,
    )


def _queue_view(centre: Centre, name: str) -> QueueView:
    waiting = centre.waiting(name)
    serving = centre.serving(name)
    calling = [each for each in serving if each.doing is Doing.IN_CALL]
    free = [each for each in serving if each.doing is not Doing.IN_CALL]
    return QueueView(
        name=name,
        waiting=len(waiting),
        longest_waiting_since=waiting[0].since if waiting else None,
        callers=[_caller_view(each) for each in waiting[:CALLERS]],
        agents=QueueAgents(
            available=sum(each.status in _THERE for each in free),
            on_call=len(calling),
            on_break=sum(each.status is Status.ON_BREAK for each in free),
        ),
    )


def _caller_view(member: Member) -> CallerView:
    return CallerView(name=member.name, number=member.number, since=member.since)
