"""Requests: what people ask for. Imperative. A request that cannot be granted raises a `CoachingError`."""

from __future__ import annotations

from dataclasses import dataclass

from ccwhisper.coaching.model import Actor, AgentId, CallId, CueId, Follow, LegId, Reply, SessionId
from ccwhisper.coaching.modes import Mode, Talk
from ccwhisper.coaching.policy import PolicyPart


@dataclass(frozen=True, slots=True)
class Start:
    """Coach a call, or an agent. `session` and `leg` are fresh random ids chosen by whoever makes the request, for
    the core knows no randomness. With `call` and two agents on it, `agent` must say which."""

    actor: Actor
    session: SessionId
    leg: LegId
    at: float  # seconds since the epoch
    call: CallId | None = None
    agent: AgentId | None = None
    mode: Mode = Mode.LISTEN
    talk: Talk | None = None  # as the queue's policy says
    follow: Follow = Follow.CALL
    device: str | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class SetMode:
    actor: Actor
    session: SessionId
    mode: Mode
    origin: str = ""


@dataclass(frozen=True, slots=True)
class SetTalk:
    actor: Actor
    session: SessionId
    talk: Talk
    origin: str = ""


@dataclass(frozen=True, slots=True)
class SetMuted:
    actor: Actor
    session: SessionId
    muted: bool
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Press:
    """Push-to-talk is held. Must be said again before `Rules.press_ttl` seconds are over."""

    actor: Actor
    session: SessionId
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    actor: Actor
    session: SessionId
    origin: str = ""


@dataclass(frozen=True, slots=True)
class TakeOver:
    """The coach stays with the caller, the agent is released."""

    actor: Actor
    session: SessionId
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Next:
    """On to another call of the same queue or, if there is none, to the agent's next one."""

    actor: Actor
    session: SessionId
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Leave:
    actor: Actor
    session: SessionId
    origin: str = ""


@dataclass(frozen=True, slots=True)
class SendCue:
    """Show the agent a line of text. `cue` is a fresh random id, `at` seconds since the epoch."""

    actor: Actor
    session: SessionId
    cue: CueId
    text: str
    at: float
    origin: str = ""


@dataclass(frozen=True, slots=True)
class SetPolicy:
    """The whole of what is set for a queue at run time; None: nothing, so that the configuration counts again."""

    actor: Actor
    queue: str
    policy: PolicyPart | None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class PauseRecording:
    """Nothing of a call is recorded from now on but the time, while a card number is said; or all of it again. `agent`:
    whose own token it is."""

    actor: Actor
    call: CallId
    paused: bool
    agent: AgentId | None = None
    origin: str = ""


# --- of agents: `agent` is whose own token it is, None when it is nobody's --------------------------------------------


@dataclass(frozen=True, slots=True)
class MarkCue:
    """The cue has reached the agent's page, or has been in sight there."""

    actor: Actor
    agent: AgentId | None
    cue: CueId
    read: bool
    at: float
    origin: str = ""


@dataclass(frozen=True, slots=True)
class ReplyToCue:
    actor: Actor
    agent: AgentId | None
    cue: CueId
    reply: Reply
    at: float
    origin: str = ""


@dataclass(frozen=True, slots=True)
class RaiseHand:
    actor: Actor
    agent: AgentId | None
    note: str
    at: float
    origin: str = ""


@dataclass(frozen=True, slots=True)
class LowerHand:
    actor: Actor
    agent: AgentId | None
    origin: str = ""


AgentRequest = MarkCue | ReplyToCue | RaiseHand | LowerHand
SessionRequest = SetMode | SetTalk | SetMuted | Press | Release | TakeOver | Next | Leave
Request = Start | SessionRequest | SendCue | SetPolicy | PauseRecording | AgentRequest
