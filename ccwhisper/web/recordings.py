"""The shapes in which recordings are asked for and told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from ccwhisper.coaching.model import Actor
from ccwhisper.coaching.policy import DELETE_RECORDINGS, Rules
from ccwhisper.recording.index import LONGEST_COMMENT, Comment, Entry, Person, State, Tally, Wanted
from ccwhisper.recording.result import Result
from ccwhisper.web.shapes import Answer, Ask, Served, Text, is_written
from ccwhisper.web.shelf import scope
from ccwhisper.web.trail import Moment, Word

# --- requests --------------------------------------------------------------------------------------------------------


class RecordingsQuery(Ask):
    since: Annotated[
        Moment | None, Field(alias="from", description="Began not before this, as 2026-01-31T12:00:00Z.")
    ] = None
    until: Annotated[Moment | None, Field(alias="to", description="Began before this.")] = None
    agent: Annotated[Word | None, Field(description="The agent's id.")] = None
    coach: Annotated[Word | None, Field(description="The coach's id: the sub of his token.")] = None
    queue: Word | None = None
    mode: Annotated[Literal["listen", "whisper", "barge"] | None, Field(description="That a coach was in.")] = None
    state: Annotated[State | None, Field(description="Without it, all that are not deleted.")] = None
    flagged: Annotated[bool | None, Field(description="Whether a coach's voice came back.")] = None
    text: Annotated[
        Word | None, Field(description="Is found in number, name, cues, comments and the names of people, in any case.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
    after: Annotated[str | None, Field(max_length=96, description="`next` of the answer before.")] = None

    def wanted(self, actor: Actor) -> Wanted:
        """In the store's terms, of his queues."""
        names = "since", "until", "agent", "coach", "queue", "mode", "state", "flagged", "text"
        return Wanted(queues=scope(actor), **{name: getattr(self, name) for name in names})


class BleedQuery(Ask):
    since: Annotated[Moment | None, Field(description="Recordings that began not before this.")] = None


class FileQuery(Ask):
    coaches: Annotated[Literal["yes", "no"], Field(description="no: without the tracks of coaches.")] = "yes"


class MediaOpening(Ask):
    opening: Annotated[
        str | None, Field(max_length=64, description="Of the answer before, by who goes on; without it, a new opening.")
    ] = None


def _said(value: str) -> str:
    text = value.strip()
    if not text:
        raise ValueError("says nothing")
    if not all(char in "\n\t" or is_written(char) for char in text):
        raise ValueError("must not hold control characters")
    return text


Said = Annotated[str, Field(min_length=1, max_length=LONGEST_COMMENT), AfterValidator(_said)]


class CommentNew(Ask):
    at: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False, description="Seconds into the recording.")]
    text: Said


class CommentChange(Ask):
    text: Said


# --- answers ---------------------------------------------------------------------------------------------------------


class ProblemView(Answer):
    code: Annotated[Text, Field(description="Stable, for programs.")]
    text: Annotated[Text, Field(description="For people.")]


class PersonView(Answer):
    id: Text
    name: Text


class RecordingView(Answer):
    """A recording in the list. Number and name are text from a stranger."""

    id: Text
    state: State
    problem: Annotated[ProblemView | None, Field(description="Why it is not finished, where there is a reason.")]
    node: Text
    queue: Text | None
    direction: Text
    number: Text
    name: Text
    started_at: Annotated[float, Field(description="Seconds since the epoch.")]
    duration: Annotated[float | None, Field(description="Seconds; null until it is finished.")]
    agents: list[PersonView]
    coaches: list[PersonView]
    modes: Annotated[list[Text], Field(description="Those that coaches were in.")]
    routing: Annotated[bool | None, Field(description="Whether such bleed is flagged; null: not measured.")]
    acoustic: Annotated[bool | None, Field(description="Whether such bleed is flagged; null: not measured.")]
    comments: Annotated[int, Field(description="How many there are.")]


class RecordingList(Answer):
    recordings: Annotated[list[RecordingView], Field(description="Newest first.")]
    next: Annotated[str | None, Field(description="To be given back as `after`; null when there are no more.")]


class SpanView(Answer):
    start: float
    end: float


class AgentTime(Answer):
    """An agent's time in the call. Seconds into the recording, as all times in it."""

    agent: Text
    name: Text
    start: float
    end: float


class CoachTime(Answer):
    """A coach's time on the call."""

    session: Text
    coach: Text
    name: Text
    track: Annotated[int | None, Field(description="Null where his whispers were not recorded.")]
    start: float
    end: float
    modes: list[Text]
    spans: Annotated[list[SpanView], Field(description="When somebody could hear him.")]


class ChapterView(Answer):
    at: float
    kind: Text
    text: Text
    session: Annotated[Text | None, Field(description="The coach's whom it tells of.")]


class RecordedCue(Answer):
    at: float
    session: Text
    name: Text
    text: Text
    reply: Text | None


class TrackView(Answer):
    index: int
    kind: Literal["call", "coach"]
    name: Text
    language: Text
    channels: int
    codec: Text
    session: Text | None


class TraceView(Answer):
    """A coach's voice in one channel of the call track, or that there is none."""

    session: Text
    channel: Literal["caller", "agent"]
    kind: Literal["none", "routing", "acoustic"]
    level: Annotated[float | None, Field(description="dB below his own voice, so negative.")]
    delay: Annotated[float | None, Field(description="Milliseconds behind it.")]
    at: Annotated[float | None, Field(description="Where it is loudest.")]
    confidence: float
    flagged: bool


class BleedView(Answer):
    threshold: Annotated[float, Field(description="dB from which on a trace is flagged.")]
    traces: list[TraceView]


class RecordingContent(Answer):
    """What is on a finished recording. Times are seconds from its start."""

    duration: float
    agents: list[AgentTime]
    coaches: list[CoachTime]
    chapters: list[ChapterView]
    cues: list[RecordedCue]
    tracks: list[TrackView]
    size: Annotated[int, Field(description="Bytes of the file.")]
    sha256: Text
    waveforms: Annotated[bool, Field(description="Whether there are peaks.")]
    bleed: Annotated[BleedView | None, Field(description="Null where it was not measured.")]
    problems: Annotated[list[ProblemView], Field(description="What is to be known of it besides.")]


class CommentView(Answer):
    id: int
    author: Text
    name: Text
    at: Annotated[float, Field(description="Seconds into the recording.")]
    text: Text
    created_at: Annotated[float, Field(description="Seconds since the epoch.")]
    edited_at: Annotated[float | None, Field(description="Seconds since the epoch.")]
    own: Annotated[bool, Field(description="By this token.")]


class RecordingDetail(Answer):
    recording: RecordingView
    content: Annotated[RecordingContent | None, Field(description="Null until it is finished.")]
    comments: Annotated[list[CommentView], Field(description="In the order of their moments.")]
    kept_until: Annotated[float | None, Field(description="By the queue's policy. Seconds since the epoch.")]
    deletable: Annotated[bool, Field(description="By this token.")]


class BleedCount(Answer):
    """Of one agent with one headset: on how many recordings a coach's voice could come back, and on how many it did."""

    agent: Text
    name: Text
    headset: Annotated[Text | None, Field(description="As the configuration named it when the call was recorded.")]
    measured: int
    routing: int
    acoustic: int
    worst: Annotated[float | None, Field(description="The loudest flagged echo, in dB below the coach's own voice.")]


class BleedReport(Answer):
    counts: Annotated[list[BleedCount], Field(description="Who is flagged most often first.")]


class MediaOpened(Answer):
    """A recording is open to this browser: a cookie that came with this answer opens its tracks and files."""

    opening: Text
    expires_at: Annotated[float, Field(description="Seconds since the epoch. To be renewed before, to go on.")]
    cookie: Annotated[str, Field(exclude=True)]


class MediaClosed(Answer):
    """A recording is not open to this browser any more."""

    closed: bool = True


PEAKS: Final = "application/octet-stream"
SOUND: Final = "audio/mp4"


class Peaks(Served):
    forms = (PEAKS,)


class Sound(Served):
    forms = (SOUND,)


# --- made of what is kept --------------------------------------------------------------------------------------------


def view(entry: Entry) -> RecordingView:
    """As the list tells it."""
    return RecordingView(
        id=entry.id, state=entry.state,
        problem=ProblemView(code=entry.problem.code, text=entry.problem.text) if entry.problem else None,
        node=entry.node, queue=entry.queue, direction=entry.direction, number=entry.number, name=entry.name,
        started_at=entry.started_at.timestamp(), duration=entry.duration, agents=_people(entry.agents),
        coaches=_people(entry.coaches), modes=list(entry.modes), routing=entry.routing, acoustic=entry.acoustic,
        comments=entry.comments,
    )  # fmt: skip


def detail(
    entry: Entry, result: Result | None, comments: Sequence[Comment], actor: Actor, rules: Rules
) -> RecordingDetail:
    """One, with all that there is of it."""
    days = rules.queue(entry.queue).keep_days
    until = (entry.started_at + timedelta(days=days)).timestamp() if days is not None and result else None
    return RecordingDetail(
        recording=view(entry),
        content=_content(result) if result else None,
        comments=[comment_view(each, actor) for each in comments],
        kept_until=until,
        deletable=DELETE_RECORDINGS in actor.permissions and entry.state not in ("recording", "working", "deleted"),
    )


def comment_view(comment: Comment, actor: Actor) -> CommentView:
    """A comment as somebody sees it."""
    return CommentView(
        id=comment.id, author=comment.author, name=comment.name, at=comment.at, text=comment.text,
        created_at=comment.created_at.timestamp(),
        edited_at=comment.edited_at.timestamp() if comment.edited_at else None, own=comment.author == actor.id,
    )  # fmt: skip


def count_view(tally: Tally) -> BleedCount:
    """As it is told."""
    return BleedCount.model_validate(asdict(tally))


def _people(people: Sequence[Person]) -> list[PersonView]:
    return [PersonView(id=each.id, name=each.name) for each in people]


def _content(result: Result) -> RecordingContent:
    said: dict[str, Any] = asdict(result)
    said["waveforms"] = result.peaks is not None
    return RecordingContent.model_validate({name: said[name] for name in RecordingContent.model_fields})
