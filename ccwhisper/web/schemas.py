"""The public shapes of the API. What is in here is promised; the core's own records may change without it.

Names and numbers of callers are text from strangers: they are passed on as text and never read for meaning.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from ccwhisper.coaching.centre import Doing, Status
from ccwhisper.coaching.model import Reply
from ccwhisper.coaching.modes import Gate, Mode, Talk
from ccwhisper.web.shapes import Answer, Ask, Id, Text, is_written

FollowWord = Literal["call", "agent"]
PhaseWord = Literal[
    "dialling", "ringing", "connected", "waiting", "attaching", "attached", "taking_over", "ending", "ended"
]


# --- requests --------------------------------------------------------------------------------------------------------


class CallsQuery(Ask):
    agent: Annotated[Id | None, Field(description="Only calls of this agent.")] = None
    queue: Annotated[Id | None, Field(description="Only calls of this queue.")] = None


class SessionStart(Ask):
    """Coach a call or an agent; with both, that agent on that call."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["call"]}, {"required": ["agent"]}]})

    call: Id | None = None
    agent: Id | None = None
    mode: Annotated[Mode, Field(description="Entered as soon as listening is established.")] = Mode.LISTEN
    talk: Annotated[Talk | None, Field(description="As the queue's policy says, unless given.")] = None
    follow: FollowWord = "call"
    device: Annotated[
        str | None, Field(max_length=320, description="One of the token's, or one's open page; default the first.")
    ] = None

    @model_validator(mode="after")
    def _has_target(self) -> SessionStart:
        if self.call is None and self.agent is None:
            raise ValueError("name a call or an agent")
        return self


class SessionQuery(Ask):
    wait: Annotated[
        Literal["listening", "gate", "ended"] | None,
        Field(
            description="Answer when listening is established, when the switch has confirmed the gate of the wanted "
            "mode, or when the session has ended; in any case when it has ended, or after the timeout."
        ),
    ] = None
    timeout: Annotated[float, Field(ge=0, le=30, description="Seconds.")] = 10.0


class ModeChange(Ask):
    mode: Mode


class TalkChange(Ask):
    talk: Talk


class MutedChange(Ask):
    muted: Annotated[bool, Field(strict=True)]


def _one_line(value: str) -> str:
    text = " ".join(value.split())
    if not text:
        raise ValueError("says nothing")
    if not all(map(is_written, text)):
        raise ValueError("must not hold control characters")
    return text


class CueText(Ask):
    text: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_one_line)]


class CueSeen(Ask):
    read: Annotated[bool, Field(strict=True, description="Has been in sight; false: has reached the page.")]


class CueReply(Ask):
    reply: Reply


class HandNote(Ask):
    note: Annotated[str, Field(max_length=200)] = ""

    @field_validator("note")
    @classmethod
    def _line(cls, value: str) -> str:
        return _one_line(value) if value.strip() else ""


class EventsQuery(Ask):
    after: Annotated[
        str | None,
        Field(max_length=64, description="`next` of the answer before; without it a snapshot comes at once."),
    ] = None
    timeout: Annotated[float, Field(ge=0, le=30, description="Seconds.")] = 25.0


# --- answers ---------------------------------------------------------------------------------------------------------


class ErrorDetail(Answer):
    code: Annotated[str, Field(description="Stable, for programs.")]
    message: Annotated[str, Field(description="For people.")]
    retry: Annotated[bool, Field(description="Whether the very same request can succeed later.")]
    field: Annotated[str | None, Field(description="The key of the request that is wrong, where it is one.")] = None


class ErrorAnswer(Answer):
    error: ErrorDetail


class AgentOnCall(Answer):
    """Whom the other party talks to: an agent, or a coach who has taken the call over, by his own id."""

    agent: Text
    name: Text


class TapView(Answer):
    """Somebody who eavesdrops on a call, and may be heard on it, by other means than this service."""

    who: Annotated[Text, Field(description="What the switch knows of him, as text; empty when nothing.")]
    kind: Annotated[
        Literal["unknown", "other_installation"], Field(description="other_installation: a coach of another ccwhisper.")
    ]
    on: Annotated[Text | None, Field(description="The agent whose leg it is on; null: on the other party's.")]
    leg: Annotated[Text | None, Field(description="The switch's name of the leg that listens, where it is known.")]


class RecordedView(Answer):
    """What is recorded of a call now: what its two parties say, and no whisper."""

    id: str
    paused: Annotated[bool, Field(description="Silence is recorded: a card number is said.")]
    paused_by: Annotated[Text | None, Field(description="The name of whoever has asked for it.")]
    failed: Annotated[bool, Field(description="The switch does not record it, although it should.")]


class CallView(Answer):
    """A call that at least one agent is on."""

    id: str
    agents: list[AgentOnCall]
    direction: Literal["inbound", "outbound", "internal"]
    queue: Text | None
    number: Annotated[Text, Field(description="The other party's number, as text from a stranger.")]
    name: Annotated[Text, Field(description="The other party's name, as text from a stranger.")]
    started_at: Annotated[float, Field(description="Seconds since the epoch.")]
    held: bool
    obstacle: Annotated[str | None, Field(description="Why it cannot be coached; null when it can.")]
    taps: list[TapView]
    recording: Annotated[RecordedView | None, Field(description="Null when it is not recorded.")]


class AgentView(Answer):
    id: Text
    name: Text
    queues: list[Text]
    calls: list[str]
    status: Annotated[Status | None, Field(description="Null when mod_callcenter does not know the agent.")]
    state: Annotated[
        Doing | None, Field(description="What mod_callcenter has him do; calls beside its queues do not count.")
    ]
    since: Annotated[float | None, Field(description="When one of the two last changed. Seconds since the epoch.")]


class CallerView(Answer):
    """Who waits in a queue. Name and number are text from a stranger."""

    name: Text
    number: Text
    since: Annotated[float, Field(description="Seconds since the epoch.")]


class QueueAgents(Answer):
    """Of the agents who serve a queue. Who is logged out counts nowhere."""

    available: Annotated[int, Field(description="And not in a call of any queue.")]
    on_call: Annotated[int, Field(description="In a call of any queue.")]
    on_break: int


class QueueView(Answer):
    """A queue of mod_callcenter, on all switches together."""

    name: Text
    waiting: Annotated[int, Field(description="Callers whom no agent has answered.")]
    longest_waiting_since: Annotated[float | None, Field(description="Seconds since the epoch.")]
    callers: Annotated[list[CallerView], Field(description="Those who have waited longest first, 20 at most.")]
    agents: QueueAgents


class SessionView(Answer):
    """One coach on one agent, as the coach himself sees it."""

    id: str
    agent: Text
    agent_name: Text
    call: str | None
    device: Text
    phase: PhaseWord
    mode: Annotated[Mode, Field(description="What the coach is in.")]
    wanted: Annotated[Mode, Field(description="What he asked for; entered when listening is established.")]
    talk: Talk
    muted: bool
    pressed: bool
    follow: FollowWord
    gate: Annotated[Gate, Field(description="Who can hear him, as confirmed by the switch.")]
    settled: Annotated[bool, Field(description="Attached, in the wanted mode, and the switch has confirmed the gate.")]
    held: Annotated[bool, Field(description="His own phone is on hold.")]
    recorded: Annotated[
        Literal["recorded", "not_recorded", "excluded"],
        Field(description="Whether what he whispers is; excluded: it never is on calls of this queue."),
    ]
    started_at: Annotated[float, Field(description="Seconds since the epoch.")]
    ended_at: Annotated[float | None, Field(description="Seconds since the epoch.")]
    reason: Annotated[str | None, Field(description="Why it is ending or has ended.")]


class CoachView(Answer):
    """Somebody else who coaches a call that the token may see."""

    session: str
    coach: Text
    name: Text
    agent: Text
    call: str | None
    mode: Mode
    gate: Gate
    muted: bool


class PanelCoach(Answer):
    """Somebody who speaks to the agent, or is about to; where the queue's policy wants it, also who only listens."""

    session: str
    name: Text
    mode: Annotated[Mode, Field(description="The badge follows it.")]
    gate: Annotated[Gate, Field(description="Who can hear him now, as confirmed by the switch: the lamp follows it.")]


class CueView(Answer):
    """A line of text from a coach to his agent. Times are seconds since the epoch."""

    id: str
    session: str
    name: Annotated[Text, Field(description="The coach's.")]
    agent: Text
    call: str | None
    text: Text
    sent_at: float
    delivered_at: float | None
    read_at: float | None
    reply: Reply | None
    replied_at: float | None


class HandView(Answer):
    """An agent who asks for help."""

    agent: Text
    name: Text
    call: str | None
    queues: list[Text]
    note: Text
    raised_at: Annotated[float, Field(description="Seconds since the epoch.")]


class HandDown(Answer):
    raised: Literal[False] = False


class HandList(Answer):
    hands: list[HandView]


class CueList(Answer):
    cues: Annotated[list[CueView], Field(description="Oldest first.")]


class PanelView(Answer):
    """What an agent sees. Who only listens is in it where the queue's policy wants that."""

    agent: Text
    name: Text
    calls: list[CallView]
    coaches: list[PanelCoach]
    cues: Annotated[list[CueView], Field(description="Oldest first.")]
    hand: HandView | None


class NodeView(Answer):
    name: Text
    up: bool


class CallList(Answer):
    calls: list[CallView]


class AgentList(Answer):
    agents: list[AgentView]


class QueueList(Answer):
    queues: list[QueueView]


class SessionList(Answer):
    sessions: Annotated[list[SessionView], Field(description="One's own.")]
    coaches: Annotated[list[CoachView], Field(description="Other people's, on calls that the token may see.")]


class Pressed(Answer):
    session: SessionView
    again_within: Annotated[float, Field(description="Seconds within which it must be said again, or the gate closes.")]


class Me(Answer):
    """Who the token says one is."""

    id: Text
    name: Text
    permissions: list[Text]
    roles: list[Text]
    queues: list[Text]
    devices: list[Text]
    browser_phone: Annotated[bool, Field(description="Whether an open page can be a device, too.")]
    agent: Text | None
    expires_at: float


class NodeCounts(Answer):
    up: int
    down: int


class StoreHealth(Answer):
    status: Annotated[Literal["ok", "behind"], Field(description="behind: audit rows wait for the database.")]
    waiting: Annotated[int, Field(description="Audit rows that are not in the database yet.")]
    lost: Annotated[int, Field(description="Since the service started: neither database nor disk took them.")]


class Health(Answer):
    status: Annotated[
        Literal["ok", "degraded"], Field(description="degraded: not every switch is connected, or the store is behind.")
    ]
    nodes: NodeCounts
    store: StoreHealth
