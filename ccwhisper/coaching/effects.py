"""Effects: what is to be done about it. Carried out in order, per node, by the shells around the core.

What is for people is in `notices`."""

from __future__ import annotations

from dataclasses import dataclass

from ccwhisper.coaching.model import (
    Actor,
    CallId,
    CoachRecord,
    Lamp,
    LegId,
    NodeName,
    Party,
    SessionId,
)
from ccwhisper.coaching.modes import Gate
from ccwhisper.coaching.notices import Notice
from ccwhisper.coaching.policy import Tone
from ccwhisper.coaching.recorded import Mark


@dataclass(frozen=True, slots=True)
class Inspect:
    """Read two legs from the switch and answer with `Inspected` of the same token."""

    node: NodeName
    token: int
    a: LegId
    b: LegId


@dataclass(frozen=True, slots=True)
class LookForTaps:
    """Count the eavesdrops on a leg and answer with `Tapped`. `ours` are coaches' legs that may be among them."""

    node: NodeName
    leg: LegId
    ours: frozenset[LegId]


@dataclass(frozen=True, slots=True)
class Dial:
    """Ring the coach's device; when it answers, its leg parks."""

    node: NodeName
    session: SessionId
    leg: LegId
    device: str
    codecs: tuple[str, ...]
    ring_seconds: int
    caller_number: str  # the agent's, for the coach's display
    agent_name: str
    record: CoachRecord


@dataclass(frozen=True, slots=True)
class ReadDialIn:
    """Read a leg that has dialled a feature code, and answer with `DialInRead`."""

    node: NodeName
    leg: LegId


@dataclass(frozen=True, slots=True)
class Admit:
    """Make a leg that has dialled in a coach's: it carries the record, hears a prompt if there is one, and parks."""

    node: NodeName
    session: SessionId
    leg: LegId
    prompt: str | None
    record: CoachRecord


@dataclass(frozen=True, slots=True)
class Decline:
    """A leg that has dialled in hears why it is refused, and ends."""

    node: NodeName
    leg: LegId
    prompt: str


@dataclass(frozen=True, slots=True)
class Park:
    """A coach's leg listens to nobody any more, and waits."""

    node: NodeName
    session: SessionId
    leg: LegId


@dataclass(frozen=True, slots=True)
class Sound:
    """A tone for the coach alone. `attached`: mixed into what he hears of a call; else into his silence."""

    node: NodeName
    leg: LegId
    tone: Tone
    attached: bool


@dataclass(frozen=True, slots=True)
class EnableJitterBuffer:
    node: NodeName
    leg: LegId
    session: SessionId


@dataclass(frozen=True, slots=True)
class Attach:
    node: NodeName
    session: SessionId
    leg: LegId
    target: LegId
    record: CoachRecord


@dataclass(frozen=True, slots=True)
class Narrow:
    """Ask a coach's phone, which goes on as it is, for G.711. RateChanged says that it has it."""

    node: NodeName
    session: SessionId
    leg: LegId


@dataclass(frozen=True, slots=True)
class TellGate:
    """Opening writes the record before the command, closing after it, so that what a leg carries is never more
    closed than what it does. Likewise a track holds what he says from before the gate opens until after it has closed,
    and silence else, or as long as it is `paused`."""

    node: NodeName
    session: SessionId
    leg: LegId
    gate: Gate
    record: CoachRecord
    track: str | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class RefreshGate:
    """Send the digit again: it empties the buffer that an open microphone slowly fills."""

    node: NodeName
    leg: LegId
    gate: Gate


@dataclass(frozen=True, slots=True)
class Remember:
    """Write the record to the coach's leg."""

    node: NodeName
    leg: LegId
    record: CoachRecord


@dataclass(frozen=True, slots=True)
class Beep:
    node: NodeName
    session: SessionId
    leg: LegId  # the agent's
    tone: Tone


@dataclass(frozen=True, slots=True)
class ArmDeadman:
    """Unless armed again or disarmed, the switch closes the coach's gate by itself after `seconds`, and silences his
    track."""

    node: NodeName
    leg: LegId
    target: LegId
    seconds: int
    track: str | None = None


@dataclass(frozen=True, slots=True)
class DisarmDeadman:
    node: NodeName
    leg: LegId


@dataclass(frozen=True, slots=True)
class ConnectCaller:
    """Take over: bridge the coach's leg with the caller's, after taking every mark of coaching off it. From then on it
    says who is the caller's party."""

    node: NodeName
    session: SessionId
    leg: LegId
    caller: LegId
    party: Party
    track: str | None = None  # of the coach: it ends with this


@dataclass(frozen=True, slots=True)
class RecordCall:
    """Begin a call's track: what the caller says on the left, what he hears on the right, or silence at first. The leg
    has its jitter buffer before, if it needs one, and carries the mark from then on."""

    node: NodeName
    leg: LegId  # the caller's, never an agent's: that one hears whispers
    file: str
    mark: Mark
    buffer: bool
    masked: bool = False


@dataclass(frozen=True, slots=True)
class RecordCoach:
    """Begin a coach's track, with silence."""

    node: NodeName
    leg: LegId
    file: str


@dataclass(frozen=True, slots=True)
class MaskTrack:
    """A track holds silence from now on, or again what is said."""

    node: NodeName
    leg: LegId
    file: str
    masked: bool


@dataclass(frozen=True, slots=True)
class StopTrack:
    node: NodeName
    leg: LegId
    file: str


@dataclass(frozen=True, slots=True)
class RememberRecording:
    """Write the mark to the caller's leg."""

    node: NodeName
    leg: LegId
    mark: Mark


@dataclass(frozen=True, slots=True)
class ShowLamp:
    """Tell the phones that have subscribed to the lamp of this directory user what it shows."""

    node: NodeName
    user: str
    lamp: Lamp


@dataclass(frozen=True, slots=True)
class HangUp:
    node: NodeName
    leg: LegId


@dataclass(frozen=True, slots=True)
class RenewLease:
    """Coaches' legs are dropped by the switch unless this is done again within the lease."""

    node: NodeName


@dataclass(frozen=True, slots=True)
class Audit:
    """One row of the trail: who did what to whom, or was refused it. Of an action, `who` has the rights that it was
    granted by."""

    action: str
    who: Actor
    session: SessionId | None
    agent: str | None
    call: CallId | None
    node: NodeName | None
    detail: str
    origin: str
    refusal: str | None = None  # the code of the error
    switch_at: float | None = None  # what the switch's clock said, in seconds since the epoch


SwitchEffect = (
    Inspect
    | LookForTaps
    | Dial
    | ReadDialIn
    | Admit
    | Decline
    | Park
    | Sound
    | EnableJitterBuffer
    | Attach
    | Narrow
    | TellGate
    | RefreshGate
    | Remember
    | Beep
    | ArmDeadman
    | DisarmDeadman
    | ConnectCaller
    | RecordCall
    | RecordCoach
    | MaskTrack
    | StopTrack
    | RememberRecording
    | ShowLamp
    | HangUp
    | RenewLease
)
Effect = SwitchEffect | Notice | Audit
