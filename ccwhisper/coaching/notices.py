"""Notices: the effects that are for people. What has changed, as those who look on may be told of it."""

from __future__ import annotations

from dataclasses import dataclass

from ccwhisper.coaching.model import Call, Cue, Hand, Node, Session, Tap
from ccwhisper.coaching.policy import Rules
from ccwhisper.coaching.recorded import Recording


@dataclass(frozen=True, slots=True)
class CallChanged:
    call: Call


@dataclass(frozen=True, slots=True)
class CallEnded:
    call: Call


@dataclass(frozen=True, slots=True)
class TapNoticed:
    """Somebody listens to a call, and perhaps speaks into it, of whom the service knows nothing."""

    call: Call
    tap: Tap


@dataclass(frozen=True, slots=True)
class TapGone:
    """He does no more, or the call is over."""

    call: Call
    tap: Tap


@dataclass(frozen=True, slots=True)
class SessionChanged:
    session: Session


@dataclass(frozen=True, slots=True)
class SessionEnded:
    session: Session
    reason: str


@dataclass(frozen=True, slots=True)
class NodeChanged:
    node: Node


@dataclass(frozen=True, slots=True)
class BeepNotHeard:
    """The agent was not told by a tone. Reported, never tried again into the call."""

    session: Session
    why: str


@dataclass(frozen=True, slots=True)
class RecordingChanged:
    recording: Recording


@dataclass(frozen=True, slots=True)
class RecordingEnded:
    """Its call's track is closed, or will never be heard of again; `over` says why it has ended."""

    recording: Recording


@dataclass(frozen=True, slots=True)
class CueChanged:
    """A cue was sent, delivered, read or answered."""

    cue: Cue


@dataclass(frozen=True, slots=True)
class HandRaised:
    hand: Hand


@dataclass(frozen=True, slots=True)
class HandLowered:
    """`why`: answered, call_ended or taken_back."""

    hand: Hand
    why: str


@dataclass(frozen=True, slots=True)
class RulesChanged:
    """Queues have other policies from now on; the next turn is to be made with these rules."""

    rules: Rules


@dataclass(frozen=True, slots=True)
class AgentChanged:
    """An agent's status, what he does, or which queues he serves. By mod_callcenter's name for him; `queues` are those
    that he serves now or did before."""

    agent: str
    queues: frozenset[str]


@dataclass(frozen=True, slots=True)
class QueueChanged:
    """Who waits in a queue, or the agents who serve it."""

    queue: str


Notice = (
    CallChanged
    | CallEnded
    | TapNoticed
    | TapGone
    | SessionChanged
    | SessionEnded
    | NodeChanged
    | BeepNotHeard
    | RecordingChanged
    | RecordingEnded
    | CueChanged
    | HandRaised
    | HandLowered
    | AgentChanged
    | QueueChanged
    | RulesChanged
)
