"""What is told as it happens: events, and the snapshot that they follow on. Promised like the rest of `schemas`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ccwhisper.coaching.modes import Talk
from ccwhisper.web.schemas import (
    AgentView,
    CallView,
    CoachView,
    CueView,
    HandView,
    NodeView,
    QueueView,
    SessionView,
    TapView,
)
from ccwhisper.web.shapes import Answer, Text


class _Event(Answer):
    seq: Annotated[int, Field(description="Ascending; gaps are events of other people.")]
    at: Annotated[float, Field(description="Seconds since the epoch.")]
    v: Annotated[Literal[1], Field(description="Version of this type's data.")] = 1


class CallChangedEvent(_Event):
    type: Literal["call.changed"] = "call.changed"
    data: CallView


class CallEndedEvent(_Event):
    """The two parties are apart. Coaches of the call that the token is not the owner of are gone with it."""

    type: Literal["call.ended"] = "call.ended"
    data: CallView


class CallTap(TapView):
    """A tap, and the call that it is on."""

    call: str


class TapNoticedEvent(_Event):
    """Somebody eavesdrops on a call by other means than this service. The call's `taps` have him, too."""

    type: Literal["tap.noticed"] = "tap.noticed"
    data: CallTap


class TapGoneEvent(_Event):
    type: Literal["tap.gone"] = "tap.gone"
    data: CallTap


class SessionChangedEvent(_Event):
    type: Literal["session.changed"] = "session.changed"
    data: SessionView


class SessionEndedEvent(_Event):
    type: Literal["session.ended"] = "session.ended"
    data: SessionView


class CoachChangedEvent(_Event):
    type: Literal["coach.changed"] = "coach.changed"
    data: CoachView


class CoachLeftEvent(_Event):
    type: Literal["coach.left"] = "coach.left"
    data: CoachView


class AgentChangedEvent(_Event):
    """His status or state. `calls` are those of that moment; how they go on, `call.changed` and `call.ended` tell."""

    type: Literal["agent.changed"] = "agent.changed"
    data: AgentView


class QueueChangedEvent(_Event):
    """Who waits, or how many agents there are for them."""

    type: Literal["queue.changed"] = "queue.changed"
    data: QueueView


class QueueName(Answer):
    name: Text


class QueueGoneEvent(_Event):
    """No switch has this queue any more."""

    type: Literal["queue.gone"] = "queue.gone"
    data: QueueName


class NodeChangedEvent(_Event):
    type: Literal["node.changed"] = "node.changed"
    data: NodeView


class BeepFailure(Answer):
    session: str
    why: Text


class BeepFailedEvent(_Event):
    """The agent was not told by a tone."""

    type: Literal["beep.failed"] = "beep.failed"
    data: BeepFailure


class CueChangedEvent(_Event):
    """One's own cue was sent, delivered, read or answered."""

    type: Literal["cue.changed"] = "cue.changed"
    data: CueView


class HandRaisedEvent(_Event):
    type: Literal["hand.raised"] = "hand.raised"
    data: HandView


class HandLoweredEvent(_Event):
    type: Literal["hand.lowered"] = "hand.lowered"
    data: HandView
    why: Literal["answered", "call_ended", "taken_back"]


class QueueRules(Answer):
    """What a coach must know of a queue's policy."""

    modes: Annotated[list[str], Field(description="Of listen, whisper, barge, take_over: what is allowed.")]
    talk: Annotated[Talk, Field(description="Of a session that does not say.")]
    cues: Annotated[list[Text], Field(description="Lines that coaches often need.")]


class PoliciesChangedEvent(_Event):
    """Queues have other policies; `data` holds all of them, by queue, and under the empty name those of all others."""

    type: Literal["policies.changed"] = "policies.changed"
    data: dict[str, QueueRules]


EventView = Annotated[
    CallChangedEvent
    | CallEndedEvent
    | TapNoticedEvent
    | TapGoneEvent
    | SessionChangedEvent
    | SessionEndedEvent
    | CoachChangedEvent
    | CoachLeftEvent
    | NodeChangedEvent
    | BeepFailedEvent
    | CueChangedEvent
    | HandRaisedEvent
    | HandLoweredEvent
    | AgentChangedEvent
    | QueueChangedEvent
    | QueueGoneEvent
    | PoliciesChangedEvent,
    Field(discriminator="type"),
]


class Snapshot(Answer):
    """Everything that events would have told."""

    calls: list[CallView]
    sessions: list[SessionView]
    coaches: list[CoachView]
    cues: Annotated[list[CueView], Field(description="One's own.")]
    hands: list[HandView]
    agents: list[AgentView]
    queues: list[QueueView]
    policies: Annotated[
        dict[str, QueueRules], Field(description="By queue, and under the empty name those of all others.")
    ]


class EventList(Answer):
    """With `reset` there is a snapshot: forget what was known, take it, and go on from `next`."""

    reset: bool
    next: Annotated[str, Field(description="To be given back as `after`.")]
    events: list[EventView]
    snapshot: Snapshot | None
