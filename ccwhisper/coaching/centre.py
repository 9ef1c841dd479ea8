"""The call centre around the calls: agents with their status, queues with the callers who wait in them, as
mod_callcenter has it. Nothing here is decided by ccwhisper; it is shown.

Agents and queues go by mod_callcenter's own names. Names and numbers of callers come from strangers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import TypeVar

T = TypeVar("T")
Key = tuple[str, str]
"""A node, and a name on it."""


class Status(Enum):
    """What an agent has said of himself."""

    AVAILABLE = "available"
    ON_DEMAND = "available_on_demand"  # until he has served one call
    ON_BREAK = "on_break"
    LOGGED_OUT = "logged_out"


class Doing(Enum):
    """What mod_callcenter has him do."""

    WAITING = "waiting"
    RECEIVING = "receiving"  # a caller is offered to him
    IN_CALL = "in_a_queue_call"
    RESERVED = "reserved"
    IDLE = "idle"  # gets no calls


@dataclass(frozen=True, slots=True)
class Presence:
    """An agent on a node. `since`: when either of the two last changed, in whole seconds since the epoch."""

    node: str
    agent: str
    status: Status | None
    doing: Doing | None
    since: float


@dataclass(frozen=True, slots=True)
class Member:
    """A caller in a queue. Those who are `answered` no longer wait; one whose bridge fails waits again."""

    id: str
    node: str
    queue: str
    leg: str
    name: str
    number: str
    since: float
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Roster:
    """What one node says of all of it. `queues`: a name, and the agents who serve it."""

    agents: tuple[Presence, ...] = ()
    queues: tuple[tuple[str, frozenset[str]], ...] = ()
    members: tuple[Member, ...] = ()


@dataclass(frozen=True, slots=True)
class Centre:
    """All nodes' agents, queues and callers. Mappings are never changed in place."""

    agents: Mapping[Key, Presence] = field(default_factory=lambda: MappingProxyType({}))
    queues: Mapping[Key, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    members: Mapping[Key, Member] = field(default_factory=lambda: MappingProxyType({}))

    # --- what is told ------------------------------------------------------------------------------------------------

    def read(self, node: str, roster: Roster) -> Centre:
        """A node has been read: what was known of it is replaced."""
        return Centre(
            agents=_instead(self.agents, node, {each.agent: each for each in roster.agents}),
            queues=_instead(self.queues, node, dict(roster.queues)),
            members=_instead(self.members, node, {each.id: each for each in roster.members}),
        )

    def reported(self, node: str, agent: str, at: float, status: Status | None, doing: Doing | None) -> Centre:
        """An agent has another status, or does something else; None leaves that as it is."""
        before = self.agents.get((node, agent)) or Presence(node, agent, None, None, at)
        after = replace(before, status=status or before.status, doing=doing or before.doing)
        if after != before:
            after = replace(after, since=at)
        return replace(self, agents=_with(self.agents, (node, agent), after))

    def joined(self, member: Member) -> Centre:
        """A caller has come into a queue. One who is known has been read already."""
        if (member.node, member.id) in self.members:
            return self
        queue = (member.node, member.queue)
        queues = self.queues if queue in self.queues else _with(self.queues, queue, frozenset())
        return replace(self, queues=queues, members=_with(self.members, (member.node, member.id), member))

    def answered(self, node: str, member: str, answered: bool) -> Centre:
        """An agent has taken the caller, or the bridge between them has failed."""
        before = self.members.get((node, member))
        if before is None:
            return self
        return replace(self, members=_with(self.members, (node, member), replace(before, answered=answered)))

    def left(self, node: str, member: str) -> Centre:
        """A caller has left his queue."""
        if (node, member) not in self.members:
            return self
        kept = {key: each for key, each in self.members.items() if key != (node, member)}
        return replace(self, members=MappingProxyType(kept))

    def hung_up(self, node: str, leg: str) -> Centre:
        """A leg has ended; a caller whose leg it was waits no more, whatever the queue says of him."""
        gone = next((each.id for each in self.members.values() if (each.node, each.leg) == (node, leg)), None)
        return self if gone is None else self.left(node, gone)

    # --- what is asked -----------------------------------------------------------------------------------------------

    def queue_names(self) -> frozenset[str]:
        """The queues of all nodes."""
        return frozenset(name for _, name in self.queues)

    def queues_of(self, agent: str) -> frozenset[str]:
        """The queues that this agent serves."""
        return frozenset(name for (_, name), agents in self.queues.items() if agent in agents)

    def serving(self, queue: str) -> list[Presence]:
        """The agents of a queue who are known, each as he was last heard of on any node."""
        names = {agent for (_, name), agents in self.queues.items() if name == queue for agent in agents}
        return [each for name, each in sorted(self.everybody().items()) if name in names]

    def everybody(self) -> dict[str, Presence]:
        """Every agent as he was last heard of on any node."""
        return {each.agent: each for each in sorted(self.agents.values(), key=lambda each: each.since)}

    def waiting(self, queue: str) -> list[Member]:
        """The callers who wait in a queue, who has waited longest first."""
        found = (each for each in self.members.values() if each.queue == queue and not each.answered)
        return sorted(found, key=lambda each: each.since)  # of the same second: who was told of first

    def changes(self, before: Centre) -> tuple[list[tuple[str, frozenset[str]]], list[str]]:
        """What is no longer as it was: agents with their queues of then and now, and queues."""
        agents = {name for _, name in _differing(before.agents, self.agents)}
        queues = set()
        for key in _differing(before.queues, self.queues):
            queues.add(key[1])
            agents |= before.queues.get(key, frozenset()) ^ self.queues.get(key, frozenset())
        for key in _differing(before.members, self.members):
            queues |= {each.queue for each in (before.members.get(key), self.members.get(key)) if each}
        told = [(name, before.queues_of(name) | self.queues_of(name)) for name in sorted(agents)]
        return told, sorted(queues.union(*(serves for _, serves in told)))


def _with(known: Mapping[Key, T], key: Key, value: T) -> Mapping[Key, T]:
    return MappingProxyType({**known, key: value})


def _instead(known: Mapping[Key, T], node: str, found: Mapping[str, T]) -> Mapping[Key, T]:
    kept = {key: each for key, each in known.items() if key[0] != node}
    return MappingProxyType(kept | {(node, name): each for name, each in found.items()})


def _differing(before: Mapping[Key, T], after: Mapping[Key, T]) -> Iterable[Key]:
    if before is after:
        return ()
    # Most of the values are the very same ones: quicker seen than compared.
    news = [key for key, value in after.items() if (old := before.get(key)) is not value and old != value]
    return [*news, *(key for key in before if key not in after)]
