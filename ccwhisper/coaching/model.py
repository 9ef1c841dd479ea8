"""The nouns: legs, calls, agents, coaches, sessions. Frozen records; times are seconds of one monotonic clock
unless a name ends in `_at`, which are seconds since the epoch for people to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from uuid import UUID, uuid5

from ccwhisper.coaching.centre import Centre
from ccwhisper.coaching.modes import Gate, Mode, Talk
from ccwhisper.coaching.recorded import Mark, Recorded, Recording, RecordingId, Whispers

LegId = str
CallId = str
SessionId = str
AgentId = str
NodeName = str
CueId = str

BROWSERS = "browser.invalid"
"""The domain of devices that are open pages: user@browser.invalid. A name below `.invalid` never exists (RFC 2606), so
it is no phone's."""

# Any constant will do; it only has to stay the same, so that every service computes the same id for the same pair.
_CALLS = UUID("5e9b9c4c-54d7-4c7e-9d55-0f3a5b2c8a11")


def call_id(a: LegId, b: LegId) -> CallId:
    """The id of the call between two legs: the same for either order, on every service, after every restart."""
    return str(uuid5(_CALLS, "|".join(sorted((a, b)))))


def is_browser(device: str) -> bool:
    """Whether a device is an open page, and no phone."""
    return device.endswith(f"@{BROWSERS}")


class Follow(Enum):
    """What a session stays with when the call ends or moves."""

    CALL = "call"
    AGENT = "agent"


class Phase(Enum):
    """How far a session's leg has come."""

    DIALLING = "dialling"
    RINGING = "ringing"
    CONNECTED = "connected"  # answered and parked, its turn to attach has not come
    WAITING = "waiting"  # answered and parked, the agent has no call
    ATTACHING = "attaching"
    ATTACHED = "attached"
    TAKING_OVER = "taking_over"
    ENDING = "ending"


@dataclass(frozen=True, slots=True)
class CoachRecord:
    """What a coach's leg carries in `ccw_session`: enough for a service that just started to go on."""

    session: SessionId
    coach: str
    name: str
    device: str
    agent: AgentId
    target: LegId | None
    call: CallId | None
    peer: LegId | None
    mode: Mode
    wanted: Mode
    talk: Talk
    muted: bool
    follow: Follow
    gate: Gate
    started_at: float
    # what the coach may do, kept for the calls that a following session meets later
    permissions: frozenset[str]
    roles: frozenset[str]
    queues: frozenset[str]
    passed: CallId | None = None
    whispers: Whispers = Whispers.OFF
    recording: RecordingId | None = None
    track: str | None = None
    parts: int = 0


@dataclass(frozen=True, slots=True)
class Party:
    """A coach who has taken a call over, as his leg carries it in `ccw_party`: he is whom the caller talks to now, and
    the call is still that of its queues."""

    coach: str
    name: str
    queues: frozenset[str]


@dataclass(frozen=True, slots=True)
class Leg:
    """One leg as the switch's own JSON dump shows it. Names and numbers come from strangers: text, never identity."""

    id: LegId
    outbound: bool  # the switch originated it
    answered: bool
    held: bool
    peer: LegId | None
    created_at: float
    caller_name: str = ""
    caller_number: str = ""
    destination: str = ""
    auth_user: str | None = None  # user@realm proven by digest
    dialed_user: str | None = None  # user@domain of the directory entry that was dialled
    cc_agent: str | None = None  # mod_callcenter's agent, on the agent's side only
    cc_queue: str | None = None
    through: str | None = None  # the queue that a caller has come through last, wherever he is now
    codec: str = ""
    rate: int = 8000
    buffered: bool = False  # has a jitter buffer that also works while bridged
    media_in_switch: bool = True  # false for bypass and proxy media
    application: str = ""
    application_data: str = ""
    coach: CoachRecord | None = None
    is_coach: bool = False
    dialin: str | None = None  # the feature code that was dialled, as the dialplan says: one of `dialin.CODES`
    wanted: str = ""  # the digits after it
    recording: Mark | None = None  # what is recorded of it, on callers' legs
    party: Party | None = None  # of a coach who has taken a call over


@dataclass(frozen=True, slots=True)
class Agent:
    """A known agent: `users` are directory users (user@domain) whose legs are his, `queues` those he serves."""

    id: AgentId
    name: str
    users: frozenset[str] = frozenset()
    queues: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AgentLeg:
    """An agent's leg in a call."""

    leg: LegId
    peer: LegId
    agent: AgentId
    name: str
    rate: int
    codec: str
    buffered: bool


class Lamp(Enum):
    """What the key for an agent shows on a desk phone."""

    IDLE = "idle"  # dark
    ON_CALL = "on_call"  # steady
    COACHED = "coached"  # blinks


@dataclass(frozen=True, slots=True)
class Tap:
    """An eavesdrop that this installation has not attached: of another application, of an old dialplan. `who` is text
    for people, what the switch knows of whoever listens, and never proof."""

    node: NodeName
    leg: LegId  # the leg that is listened to
    by: LegId | None  # the leg that listens; None where it could not be found
    who: str = ""
    other: bool = False  # a coach of another installation of ccwhisper


@dataclass(frozen=True, slots=True)
class Call:
    """A bridged pair with at least one agent's leg."""

    id: CallId
    node: NodeName
    agents: tuple[AgentLeg, ...]
    direction: str  # inbound, outbound, internal: seen from the contact centre
    queue: str | None
    queues: frozenset[str]  # what a token's queue claim is compared with
    number: str  # the other party, as text
    name: str
    started_at: float
    held: bool = False
    obstacle: str | None = None  # why it cannot be coached
    taps: tuple[Tap, ...] = ()  # on the legs of either side
    peer_rate: int = 8000  # of the other party's leg
    peer_buffered: bool = False
    recorded: Recorded | None = None
    through: str | None = None  # the queue that the caller has come through last

    @property
    def recorded_as(self) -> str | None:
        """The queue that decides what is recorded of it."""
        return self.queue or self.through

    def leg_of(self, agent: AgentId) -> AgentLeg | None:
        """The leg of this agent in this call."""
        return next((leg for leg in self.agents if leg.agent == agent), None)

    def on(self, leg: LegId) -> AgentLeg | None:
        """The agent's leg with this id."""
        return next((each for each in self.agents if each.leg == leg), None)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, as his token says."""

    id: str
    name: str
    permissions: frozenset[str] = frozenset()
    roles: frozenset[str] = frozenset()
    queues: frozenset[str] = frozenset()
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """One coach on one agent."""

    id: SessionId
    node: NodeName
    coach: Actor
    device: str
    leg: LegId
    agent: AgentId
    agent_name: str
    target: LegId | None  # the agent's leg it is, or is to be, attached to
    call: CallId | None  # the call that mode was asked for
    peer: LegId | None  # the other party of that call
    phase: Phase
    mode: Mode = Mode.LISTEN
    wanted: Mode = Mode.LISTEN
    talk: Talk = Talk.OPEN
    muted: bool = False
    pressed: bool = False
    follow: Follow = Follow.CALL
    gate: Gate = Gate.CLOSED  # what the switch has confirmed
    asked: Gate | None = Gate.CLOSED  # what it was last told; None: not known, tell it again
    held: bool = False  # the coach's own phone is on hold
    away: bool = False  # the coach's own phone is not heard of: a browser that may be gone
    rate: int = 8000
    started_at: float = 0.0
    reason: str | None = None  # why it is ending
    attempts: int = 0
    passed: CallId | None = None  # a call that he has moved on from, and is not brought back to
    whispers: Whispers = Whispers.OFF  # what the policy said of them when he came to this call
    recording: RecordingId | None = None  # that he is heard in, or would be
    track: str | None = None  # the file that his microphone is recorded to
    parts: int = 0  # how many files there were of him
    masked: bool = True  # whether the switch writes silence to it
    again_until: float | None = None  # the barge key was pressed once: pressed again until then, it counts
    deadline: float | None = None  # of the phase
    press_until: float | None = None
    narrowed: bool = False  # his phone has been asked for a codec of 8 kHz: once, for one that insists must not win
    narrow_until: float | None = None  # until when that may take
    rearm_at: float | None = None
    refresh_at: float | None = None


class Reply(Enum):
    """What an agent answers to a cue, by one key."""

    GOT_IT = "got_it"
    REPEAT = "repeat"
    NEED_YOU = "need_you"


@dataclass(frozen=True, slots=True)
class Cue:
    """A line of text from a coach to his agent. Shown until the call that it was written on is over."""

    id: CueId
    session: SessionId
    coach: str
    name: str  # the coach's
    agent: AgentId
    call: CallId | None
    text: str
    sent_at: float
    delivered_at: float | None = None
    read_at: float | None = None
    reply: Reply | None = None
    replied_at: float | None = None


@dataclass(frozen=True, slots=True)
class Hand:
    """An agent who asks for help: until somebody listens, the call is over, or he takes it back."""

    agent: AgentId
    name: str
    call: CallId | None
    queues: frozenset[str]  # what a token's queue claim is compared with
    note: str
    raised_at: float


@dataclass(frozen=True, slots=True)
class Bond:
    """Whom a leg is bridged with. Until `known`, who the two are has not been read from the switch; the answer with
    this token will say it."""

    node: NodeName
    peer: LegId
    token: int
    known: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """One switch. `up` means connected and read."""

    name: NodeName
    up: bool = False
    reason: str | None = "not connected yet"
    lease_at: float | None = None


@dataclass(frozen=True, slots=True)
class State:
    """All that the service knows. Mappings are never changed in place."""

    nodes: Mapping[NodeName, Node] = field(default_factory=lambda: MappingProxyType({}))
    bonds: Mapping[LegId, Bond] = field(default_factory=lambda: MappingProxyType({}))
    held: frozenset[LegId] = frozenset()
    taps: Mapping[LegId, tuple[Tap, ...]] = field(default_factory=lambda: MappingProxyType({}))
    calls: Mapping[CallId, Call] = field(default_factory=lambda: MappingProxyType({}))
    sessions: Mapping[SessionId, Session] = field(default_factory=lambda: MappingProxyType({}))
    cues: Mapping[CueId, Cue] = field(default_factory=lambda: MappingProxyType({}))
    hands: Mapping[AgentId, Hand] = field(default_factory=lambda: MappingProxyType({}))
    centre: Centre = field(default_factory=Centre)
    recordings: Mapping[LegId, Recording] = field(default_factory=lambda: MappingProxyType({}))  # by the caller's leg
    token: int = 0
