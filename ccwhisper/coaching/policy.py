"""Who may do what, and what each queue wants. Hiding a button is not a control: this is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType

from ccwhisper.coaching.errors import Conflict, Forbidden
from ccwhisper.coaching.model import Actor, Agent, AgentId, Call, Leg
from ccwhisper.coaching.modes import Mode, Talk
from ccwhisper.coaching.recorded import Whispers

VIEW = "view_contact_center_dashboard"
MONITOR = "monitor_live_calls"
AUDIT = "view_audit_trail"
EDIT_POLICIES = "edit_coaching_policies"
REVIEW = "review_recordings"
DELETE_RECORDINGS = "delete_recordings"
ROLE_WHISPER = "whisper"
ROLE_BARGE = "barge"
EVERY_QUEUE = "*"

PERMISSIONS = frozenset({VIEW, MONITOR, AUDIT, EDIT_POLICIES, REVIEW, DELETE_RECORDINGS})
ROLES = frozenset({ROLE_WHISPER, ROLE_BARGE})
"""What of a token decides anything here; whatever else it says is its issuer's business."""


TAKE_OVER = "take_over"
WAYS: tuple[str, ...] = (*(mode.value for mode in Mode), TAKE_OVER)
"""What a queue may allow."""

DEFAULT_QUEUE = "default"
"""The name of the policy for calls of no queue, and for what another queue does not say."""


@dataclass(frozen=True, slots=True)
class Tone:
    """A beep: `level` in dBm0 (≤ 0), `parts` of (duration ms, pause ms, frequencies in Hz).

    A sine of full scale is +3.17 dBm0 in G.711, so a level of -13 arrives as -16.2 dBFS.
    """

    level: int = -13
    parts: tuple[tuple[int, int, tuple[int, ...]], ...] = ((200, 0, (1400,)),)


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """What a queue wants: when the agent hears a beep (of listen, whisper, barge, end), and which."""

    beep_on: frozenset[str] = frozenset({"whisper"})
    tone: Tone = Tone()
    max_coaches: int = 5
    cues: tuple[str, ...] = ()
    """Lines that coaches often need."""
    modes: frozenset[str] = frozenset(WAYS)
    """Those of `WAYS` that are allowed. Listening comes first: without it nothing is."""
    talk: Talk = Talk.OPEN
    """How a session begins that does not say it."""
    tell_listening: bool = False
    """Whether the agent's panel also shows who only listens."""
    record: bool = False
    """Whether calls are recorded."""
    record_whisper: Whispers = Whispers.OFF
    """What becomes of whispers in recorded calls."""
    keep_days: int | None = None
    """For how long recordings are kept; None: until somebody deletes them."""

    def allows(self, way: str) -> bool:
        """Whether calls of this queue may be coached this way."""
        return {Mode.LISTEN.value, way} <= self.modes


@dataclass(frozen=True, slots=True)
class PolicyPart:
    """What one place says of a queue, in the fields of `QueuePolicy`; None of what it leaves to others."""

    beep_on: frozenset[str] | None = None
    tone: Tone | None = None
    max_coaches: int | None = None
    cues: tuple[str, ...] | None = None
    modes: frozenset[str] | None = None
    talk: Talk | None = None
    tell_listening: bool | None = None
    record: bool | None = None
    record_whisper: Whispers | None = None
    keep_days: int | None = None


class Lamps(Enum):
    """Which coaches make the lamp for an agent blink."""

    NONE = "none"  # there are no lamps
    TOLD = "told"  # those whom the agent's panel shows, too
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything configurable that the core decides by. Times in seconds. `queues` and `default` follow from what the
    configuration says, `file`, and what was set at run time, `edited` (`policies.layered`)."""

    agents: Mapping[AgentId, Agent] = field(default_factory=lambda: MappingProxyType({}))
    queues: Mapping[str, QueuePolicy] = field(default_factory=lambda: MappingProxyType({}))
    default: QueuePolicy = QueuePolicy()
    file: Mapping[str, PolicyPart] = field(default_factory=lambda: MappingProxyType({}))
    edited: Mapping[str, PolicyPart] = field(default_factory=lambda: MappingProxyType({}))
    supervisors: Mapping[str, Actor] = field(default_factory=lambda: MappingProxyType({}))
    """Who may coach from which phone, by its directory user (user@domain)."""
    ring_seconds: int = 30
    attach_timeout: float = 4.0
    narrow_timeout: float = 5.0  # a phone that is offered another codec has answered by then
    # Longer than a command may take: a leg that is hung up just after it was bridged drops the caller.
    take_over_timeout: float = 6.0
    seek_grace: float = 2.0  # a session that follows the call waits this long for it to turn up at another agent
    press_ttl: float = 1.0  # a push-to-talk that is not said again closes by itself
    key_talk_seconds: float = 60.0  # a phone's key is not held: pressed once, it talks for so long at most
    key_again_seconds: float = 2.0  # the barge key counts when it is pressed twice within so long
    deadman_seconds: int = 3  # the same on the switch, should the service die
    deadman_rearm: float = 1.0
    refresh_seconds: float = 10.0  # how often an open microphone's buffer is emptied
    lease_every: float = 3.0
    adopt_unknown_cc_agents: bool = True
    unread: bool = False  # what was set at run time is not known yet
    installation: str = ""  # what ids of recordings are made of
    lamps: Lamps = Lamps.TOLD
    keys: bool = True  # whether those of a coach's phone do anything

    def queue(self, name: str | None) -> QueuePolicy:
        """The policy of a queue, the default one where it has none of its own."""
        return self.queues.get(name, self.default) if name else self.default


def agent_of(leg: Leg, rules: Rules) -> Agent | None:
    """The agent whose leg this is, by proof alone: mod_callcenter's own mark, a digest that was verified, or the
    directory user that the switch itself dialled. Never a name, a presence id or a From header. A coach who has taken a
    call over is in an agent's place, too.

    `dialed_user` counts on legs that the switch originated only: mod_dptools writes it to the calling leg as well
    (FreeSWITCH, user_outgoing_channel), where it would make the caller an agent.
    """
    if leg.is_coach:
        return None
    if leg.cc_agent:
        return cc_agent(leg.cc_agent, rules)
    user = leg.dialed_user if leg.outbound else leg.auth_user
    known = agent_by_user(user, rules) if user else None
    if leg.party:
        return replace(known or Agent(leg.party.coach, leg.party.name), queues=leg.party.queues)
    return known


def cc_agent(name: str, rules: Rules) -> Agent | None:
    """The agent whom mod_callcenter knows by this name; None for one who is not to be known."""
    known = rules.agents.get(name) or agent_by_user(name, rules)
    return known or (Agent(name, name) if rules.adopt_unknown_cc_agents else None)


def agent_by_user(user: str, rules: Rules) -> Agent | None:
    """The known agent whose directory user this is."""
    return next((agent for agent in rules.agents.values() if user in agent.users), None)


def may_see(actor: Actor, queues: frozenset[str]) -> bool:
    """Whether calls of these queues are shown to him."""
    return VIEW in actor.permissions and (EVERY_QUEUE in actor.queues or bool(actor.queues & queues))


def check_listen(actor: Actor, queues: frozenset[str]) -> None:
    """Raises Forbidden unless he may listen to calls of these queues."""
    missing = sorted({VIEW, MONITOR} - actor.permissions)
    if missing:
        raise Forbidden("permission_missing", f"The token lacks the permission {', '.join(missing)}.")
    if not may_see(actor, queues):
        raise Forbidden("queue_out_of_scope", "The token's queues do not include any of this call's queues.")


def check_mode(actor: Actor, mode: Mode, queues: frozenset[str]) -> None:
    """Raises Forbidden unless he may be in this mode on calls of these queues."""
    check_listen(actor, queues)
    role = {Mode.LISTEN: None, Mode.WHISPER: ROLE_WHISPER, Mode.BARGE: ROLE_BARGE}[mode]
    if role and role not in actor.roles:
        raise Forbidden("role_missing", f"The token lacks the role {role}.")


def check_allowed(policy: QueuePolicy, way: str) -> None:
    """Raises Conflict unless the queue may be coached this way (one of `WAYS`), whoever asks."""
    if not policy.allows(way):
        raise Conflict("mode_not_allowed", "The queue's policy does not allow this.", retry=False)


def may_edit(actor: Actor, queue: str) -> bool:
    """Whether he may set the policy of a queue: of one of his own. The default one is everybody's."""
    return EDIT_POLICIES in actor.permissions and (
        EVERY_QUEUE in actor.queues or (queue in actor.queues and queue != DEFAULT_QUEUE)
    )


def check_edit(actor: Actor, queue: str) -> None:
    """Raises Forbidden unless he may set the policy of this queue."""
    if EDIT_POLICIES not in actor.permissions:
        raise Forbidden("permission_missing", f"The token lacks the permission {EDIT_POLICIES}.")
    if not may_edit(actor, queue):
        raise Forbidden("queue_out_of_scope", "The token's queues do not include this one.")


def visible(actor: Actor, call: Call) -> bool:
    """Whether this call is shown to him."""
    return may_see(actor, call.queues)
