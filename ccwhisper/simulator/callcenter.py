"""mod_callcenter, as far as its events, its variables, its lists and the status of agents are concerned: one queue,
callback agents and agents who stay off-hook. The longest idle agent is rung."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ccwhisper.simulator.legs import Leg
from ccwhisper.simulator.media import FRAME

if TYPE_CHECKING:
    from ccwhisper.simulator.parties import Parties

Row = dict[str, str]

QUEUE: Final = "support@default"
WRAP_UP: Final = 1.0
RETRY: Final = 5.0
"""Seconds: the example node's wrap-up-time, and its busy-delay-time."""

STATUSES: Final = ("Available", "Available (On Demand)", "On Break", "Logged Out")


@dataclass
class Agent:
    """An agent of the queue."""

    name: str
    user: str
    status: str = "Available"
    state: str = "Waiting"
    standby: Leg | None = None  # the leg of an agent who stays off-hook
    free_since: float = 0.0
    wrap_up: float = WRAP_UP
    times: dict[str, int] = field(default_factory=dict)
    """When something last happened, in seconds since the epoch, by the name of its column."""


@dataclass
class Member:
    """A caller in the queue."""

    id: str
    leg: Leg
    joined: int
    agent: Agent | None = None
    agent_leg: Leg | None = None
    called: int = 0
    answered: int = 0


class CallCenter:
    """The queue."""

    def __init__(self, parties: Parties) -> None:
        self.parties = parties
        self.switch = parties.switch
        domain = parties.domain
        self.agents = {
            f"{user}@{domain}": Agent(f"{user}@{domain}", user, times={"last_status_change": self._epoch()})
            for user, phone in parties.phones.items()
            if phone.is_agent
        }
        self.members: dict[str, Member] = {}
        self.switch.on_end.append(self._ended)

    def queue(self, number: str, name: str) -> Leg:
        """A caller from outside reaches the queue."""
        leg = self.parties.incoming(number, name, "5000")
        self.join(leg)
        return leg

    def join(self, leg: Leg) -> None:
        """A leg enters the queue."""
        self.switch.answer(leg)
        member = Member(self.switch.uuid(), leg, self._epoch())
        self.members[leg.id] = member
        leg.application, leg.data = "callcenter", QUEUE
        leg.set({"cc_side": "member", "cc_queue": QUEUE, "cc_member_uuid": member.id})
        self.switch.fire("CHANNEL_EXECUTE", leg, Application="callcenter", Application_Data=QUEUE)
        self._tell("member-queue-start", member, leg)
        self._count()
        self._plan(0.1)

    def off_hook(self, user: str) -> Leg:
        """An agent signs in and stays on the line: between calls the same leg is parked."""
        phone = self.parties.phone(user)
        leg = self.parties.dials(user, "6000")
        leg.set({"hangup_after_bridge": "false", "park_after_bridge": "true"})
        self.switch.answer(leg)
        agent = self.agents[f"{phone.user}@{self.parties.domain}"]
        agent.standby = leg
        self.set_status(agent.name, "Available")
        self.switch.park(leg)
        return leg

    def set_status(self, name: str, status: str) -> bool:
        """Available, On Break, Logged Out."""
        agent = self.agents.get(name)
        if agent is None:
            return False
        agent.status, agent.times["last_status_change"] = status, self._epoch()
        self._raise({"CC-Agent": name, "CC-Action": "agent-status-change", "CC-Agent-Status": status})
        self._plan(0.0)
        return True

    # --- who gets whom ------------------------------------------------------------------------------------------------

    def _plan(self, seconds: float) -> None:
        self.switch.clock.after(seconds, self._assign)

    def _assign(self) -> None:
        for member in [each for each in self.members.values() if each.agent is None and not each.leg.ended]:
            free = [agent for agent in self.agents.values() if self._free(agent)]
            if not free:
                return
            self._offer(member, min(free, key=lambda agent: agent.free_since))

    def _free(self, agent: Agent) -> bool:
        if agent.status != "Available" or agent.state != "Waiting" or agent.free_since > self.switch.clock.now():
            return False
        if agent.standby is not None:
            return agent.standby.peer is None
        phone = self.parties.phones[agent.user]
        return phone.behaviour != "away" and not phone.legs

    def _offer(self, member: Member, agent: Agent) -> None:
        member.agent, member.called = agent, self._epoch()
        agent.times["last_offered_call"] = self._epoch()
        self._state(agent, "Receiving")
        self._tell("agent-offering", member, None, {"CC-Agent": agent.name, "CC-Agent-Type": _type(agent)})
        if agent.standby is not None:
            self._connect(member, agent.standby)
            return
        variables = {**self._variables(member, agent), "ignore_early_media": "true",
                     "origination_caller_id_name": member.leg.cid_name,
                     "origination_caller_id_number": member.leg.cid_number}  # fmt: skip
        leg = self.parties.ring(agent.user, variables, lambda leg: self._connect(member, leg),
                                lambda _cause: self._refused(member, agent), None, 20.0)  # fmt: skip
        member.agent_leg = leg

    def _variables(self, member: Member, agent: Agent) -> dict[str, str]:
        return {
            "cc_side": "agent",
            "cc_queue": QUEUE,
            "cc_agent": agent.name,
            "cc_agent_type": _type(agent),
            "cc_member_uuid": member.id,
            "cc_member_session_uuid": member.leg.id,
            "cc_queue_joined_epoch": str(member.joined),
        }

    def _refused(self, member: Member, agent: Agent) -> None:
        self._tell("bridge-agent-fail", member, None, {"CC-Agent": agent.name})
        self._state(agent, "Waiting")
        agent.free_since = self.switch.clock.now() + RETRY
        member.agent = member.agent_leg = None
        self._plan(0.0)
        self._plan(RETRY + FRAME)

    def _connect(self, member: Member, leg: Leg) -> None:
        agent = member.agent
        if agent is None or member.leg.ended:
            self.switch.hang_up(leg, "ORIGINATOR_CANCEL")
            return
        member.agent_leg, member.answered = leg, self._epoch()
        leg.set(self._variables(member, agent) | {"cc_agent_bridged": "true"})
        member.leg.set({"cc_agent": agent.name, "cc_agent_uuid": leg.id, "cc_agent_bridged": "true"})
        # The event comes before the bridge (measured: up to 50 ms): a coach must wait for CHANNEL_BRIDGE.
        self._tell("bridge-agent-start", member, leg, self._about(member))
        self._count(taken=1)
        self.switch.uuid_bridge(member.leg, leg)
        agent.times["last_bridge_start"] = self._epoch()
        self._state(agent, "In a queue call")

    def _ended(self, leg: Leg) -> None:
        for agent in self.agents.values():
            if agent.standby is leg:
                agent.standby = None
                self.set_status(agent.name, "Logged Out")
        member = self.members.get(leg.id) or next((m for m in self.members.values() if m.agent_leg is leg), None)
        if member is None:
            return
        if leg is member.leg or member.answered:
            self._leave(member)

    def _leave(self, member: Member) -> None:
        agent, leg = member.agent, member.agent_leg
        del self.members[member.leg.id]
        cause = {"CC-Cause": "Terminated" if member.answered else "Cancel"}
        if agent is not None and member.answered and leg is not None:
            agent.times["last_bridge_end"] = self._epoch()
            self._tell("bridge-agent-end", member, leg, {"CC-Agent-Bridged": "true"} | self._about(member))
        elif leg is not None:
            self.switch.hang_up(leg, "ORIGINATOR_CANCEL")
        self._tell("member-queue-end", member, member.leg, cause | (self._about(member) if agent else {}))
        if not member.answered:  # when a call that was served ends, the count is not told (asked)
            self._count()
        if agent is not None:
            self._state(agent, "Waiting")
            agent.free_since = self.switch.clock.now() + (agent.wrap_up if member.answered else 0.0)
            self._plan(agent.wrap_up + FRAME)

    # --- events -------------------------------------------------------------------------------------------------------

    def _epoch(self) -> int:
        return int(self.switch.clock.wall())

    def _raise(self, more: dict[str, str], leg: Leg | None = None) -> None:
        self.switch.raise_event("CUSTOM", more, leg, subclass="callcenter::info")

    def _count(self, taken: int = 0) -> None:
        """`taken` callers count although an agent has answered: until the legs are joined they are being tried."""
        count = taken + sum(1 for member in self.members.values() if not member.answered)
        self._raise({"CC-Queue": QUEUE, "CC-Action": "members-count", "CC-Count": str(count),
                     "CC-Selection": "Single-Queue"})  # fmt: skip

    def _state(self, agent: Agent, state: str) -> None:
        agent.state = state
        self._raise({"CC-Agent": agent.name, "CC-Action": "agent-state-change", "CC-Agent-State": state})

    def _about(self, member: Member) -> dict[str, str]:
        return {
            "CC-Agent": member.agent.name if member.agent else "",
            "CC-Agent-System": "single_box",
            "CC-Agent-UUID": member.agent_leg.id if member.agent_leg else "",
            "CC-Agent-Called-Time": str(member.called),
            "CC-Agent-Answered-Time": str(member.answered),
            "CC-Member-Joined-Time": str(member.joined),
        }

    def _tell(self, action: str, member: Member, leg: Leg | None, more: dict[str, str] | None = None) -> None:
        self._raise({"CC-Queue": QUEUE, "CC-Action": action, **(more or {}), "CC-Member-UUID": member.id,
                     "CC-Member-Session-UUID": member.leg.id, "CC-Member-CID-Name": member.leg.cid_name,
                     "CC-Member-CID-Number": member.leg.cid_number}, leg)  # fmt: skip

    # --- commands -----------------------------------------------------------------------------------------------------

    def config(self, words: list[str]) -> str:
        """``callcenter_config``: an agent's status and wrap-up time are what there is of it."""
        match words:
            case ["agent", "set", _, name, _] if name not in self.agents:
                return "-ERR Agent not found!\n"
            case ["agent", "set", "wrap_up_time", name, seconds] if seconds.isdigit():
                self.agents[name].wrap_up = int(seconds)
                return "+OK\n"
            case ["agent", "set", "status", name, status]:
                if status not in STATUSES:
                    return "-ERR Invalid Agent Status!\n"
                self.set_status(name, status)
                return "+OK\n"
        return "-ERR Invalid!\n"

    def lists(self, request: Mapping[str, Any]) -> list[Row] | None:
        """``callcenter_config`` by way of ``json``; None for a list that there is not. Of the columns, those that say
        something here; values are strings."""
        match (request.get("data") or {}).get("arguments"):
            case "agent list":
                return [self._agent_row(agent) for agent in self.agents.values()]
            case "queue list":
                return [{"name": QUEUE, "strategy": "longest-idle-agent"}]
            case "tier list":
                return [{"queue": QUEUE, "agent": name, "state": "Ready", "level": "1", "position": str(place)}
                        for place, name in enumerate(self.agents, 1)]  # fmt: skip
            case "member list":
                return [self._member_row(member) for member in self.members.values()]
        return None

    def _agent_row(self, agent: Agent) -> Row:
        times = {name: str(agent.times.get(name, 0)) for name in
                 ("last_bridge_start", "last_bridge_end", "last_offered_call", "last_status_change")}  # fmt: skip
        uuid = {"uuid": agent.standby.id} if agent.standby else {}
        return {"name": agent.name, "instance_id": "single_box", **uuid, "type": _type(agent),
                "status": agent.status, "state": agent.state, **times}  # fmt: skip

    @staticmethod
    def _member_row(member: Member) -> Row:
        return {"queue": QUEUE, "instance_id": "single_box", "uuid": member.id, "session_uuid": member.leg.id,
                "cid_number": member.leg.cid_number, "cid_name": member.leg.cid_name,
                "joined_epoch": str(member.joined), "rejoined_epoch": "0", "bridge_epoch": str(member.answered),
                "abandoned_epoch": "0", "serving_agent": member.agent.name if member.agent else "",
                "state": "Answered" if member.answered else "Trying" if member.agent else "Waiting"}  # fmt: skip


def _type(agent: Agent) -> str:
    return "uuid-standby" if agent.standby else "callback"
