"""Facts: what the switch or the clock said. Past tense. Only `reduce` draws conclusions from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ccwhisper.coaching.centre import Doing, Member, Roster, Status
from ccwhisper.coaching.model import Leg, LegId, NodeName, SessionId, Tap
from ccwhisper.coaching.modes import Gate
from ccwhisper.coaching.policy import PolicyPart


@dataclass(frozen=True, slots=True)
class NodeLost:
    """The connection to a node broke; what happens there is not known until NodeSynced."""

    node: NodeName
    reason: str


@dataclass(frozen=True, slots=True)
class NodeSynced:
    """Everything that is on a node now, read after (re)connecting."""

    node: NodeName
    legs: tuple[Leg, ...]
    roster: Roster = field(default_factory=Roster)


@dataclass(frozen=True, slots=True)
class Ringing:
    node: NodeName
    leg: LegId


@dataclass(frozen=True, slots=True)
class Answered:
    node: NodeName
    leg: LegId


@dataclass(frozen=True, slots=True)
class Parked:
    """A leg fell into park. `ours` when it carries the mark of a coach's leg of this installation."""

    node: NodeName
    leg: LegId
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Bridged:
    node: NodeName
    a: LegId
    b: LegId


@dataclass(frozen=True, slots=True)
class Unbridged:
    node: NodeName
    a: LegId
    b: LegId | None


@dataclass(frozen=True, slots=True)
class Held:
    node: NodeName
    leg: LegId


@dataclass(frozen=True, slots=True)
class Unheld:
    node: NodeName
    leg: LegId


@dataclass(frozen=True, slots=True)
class HungUp:
    """`cause` is FreeSWITCH's name, e.g. USER_BUSY."""

    node: NodeName
    leg: LegId
    cause: str


@dataclass(frozen=True, slots=True)
class EavesdropStarted:
    """A media bug of function eavesdrop is alive on a leg. The event does not say whose it is."""

    node: NodeName
    leg: LegId


@dataclass(frozen=True, slots=True)
class EavesdropStopped:
    """A media bug of function eavesdrop has been taken off a leg; whose it was is not said either."""

    node: NodeName
    leg: LegId


@dataclass(frozen=True, slots=True)
class Tapped:
    """The answer to a LookForTaps effect: all eavesdrops on a leg that are not of this installation."""

    node: NodeName
    leg: LegId
    taps: tuple[Tap, ...]


@dataclass(frozen=True, slots=True)
class LampProbed:
    """A phone has subscribed to the lamp of a directory user, and is to be told its state."""

    node: NodeName
    user: str


@dataclass(frozen=True, slots=True)
class RateChanged:
    """A leg's decoded sample rate, in hertz, perhaps another than before. `renewed`: its phone has another codec, of
    whatever rate."""

    node: NodeName
    leg: LegId
    rate: int
    renewed: bool = False


@dataclass(frozen=True, slots=True)
class Inspected:
    """The answer to an Inspect effect; None for a leg that was gone."""

    node: NodeName
    token: int
    a: LegId
    b: LegId
    legs: tuple[Leg | None, Leg | None]


@dataclass(frozen=True, slots=True)
class DialedIn:
    """A phone has dialled a feature code. A hint: who it is, and what was dialled, is read from the leg."""

    node: NodeName
    leg: LegId


@dataclass(frozen=True, slots=True)
class DialInRead:
    """The answer to a ReadDialIn effect. `session` is a fresh random id, `at` seconds since the epoch."""

    node: NodeName
    leg: Leg
    session: SessionId
    at: float


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """A key of a coach's phone: one of 0 to 9, * and #."""

    node: NodeName
    leg: LegId
    key: str


@dataclass(frozen=True, slots=True)
class AgentReported:
    """An agent of mod_callcenter, by its name for him, has another status or does something else: what is not None.
    `at` is the switch's time in whole seconds since the epoch."""

    node: NodeName
    agent: str
    at: float
    status: Status | None = None
    doing: Doing | None = None


@dataclass(frozen=True, slots=True)
class CallerQueued:
    """A caller has come into a queue."""

    member: Member


@dataclass(frozen=True, slots=True)
class CallerAnswered:
    """A caller's wait is over; or, when not `answered`, he waits again because the bridge with the agent failed."""

    node: NodeName
    member: str
    answered: bool


@dataclass(frozen=True, slots=True)
class CallerLeft:
    """A caller is out of his queue: after his call, or because he gave up."""

    node: NodeName
    member: str


@dataclass(frozen=True, slots=True)
class GateTold:
    """The switch accepted a gate. `at`: seconds since the epoch by the service's clock, before it was told to open, or
    after it has said that it is closed."""

    session: SessionId
    gate: Gate
    at: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class DialFailed:
    """A coach's phone could not be reached; `cause` as in HungUp."""

    session: SessionId
    cause: str


@dataclass(frozen=True, slots=True)
class RecordStarted:
    """The switch has begun to write a track; `file` is its name without the folder."""

    node: NodeName
    leg: LegId
    file: str


@dataclass(frozen=True, slots=True)
class RecordStopped:
    """The switch has closed a track: it was told to, the leg has ended, or it could write no more."""

    node: NodeName
    leg: LegId
    file: str


@dataclass(frozen=True, slots=True)
class RecordFailed:
    """The switch refused to begin a track."""

    node: NodeName
    leg: LegId
    file: str
    why: str


@dataclass(frozen=True, slots=True)
class BeepFailed:
    session: SessionId
    why: str


@dataclass(frozen=True, slots=True)
class CommandFailed:
    """The switch refused something that a session cannot do without."""

    session: SessionId
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class PoliciesUnread:
    """The store is away, and the service starts without what was set at run time."""


@dataclass(frozen=True, slots=True)
class PoliciesRead:
    """What was set for queues at run time, all of it, as the store has it."""

    edited: Mapping[str, PolicyPart]


@dataclass(frozen=True, slots=True)
class DeviceWentQuiet:
    """A coach's phone is not heard of any more, and may be gone. Only browsers are listened for."""

    device: str


@dataclass(frozen=True, slots=True)
class DeviceHeard:
    """It is heard of again."""

    device: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


Fact = (
    NodeLost
    | NodeSynced
    | Ringing
    | Answered
    | Parked
    | Bridged
    | Unbridged
    | Held
    | Unheld
    | HungUp
    | EavesdropStarted
    | EavesdropStopped
    | Tapped
    | LampProbed
    | RateChanged
    | Inspected
    | DialedIn
    | DialInRead
    | KeyPressed
    | AgentReported
    | CallerQueued
    | CallerAnswered
    | CallerLeft
    | GateTold
    | DialFailed
    | RecordStarted
    | RecordStopped
    | RecordFailed
    | BeepFailed
    | CommandFailed
    | PoliciesUnread
    | PoliciesRead
    | DeviceWentQuiet
    | DeviceHeard
    | Tick
)


class Post(Protocol):
    """Takes facts, in their order. `at` is what the switch's clock said, in seconds since the epoch, where it said
    anything."""

    def __call__(self, fact: Fact, at: float | None = None) -> None:
        """Hand over one fact."""
