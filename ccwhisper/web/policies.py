"""Policies of queues as the API tells them and takes them."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import Field

from ccwhisper.coaching.errors import Invalid
from ccwhisper.coaching.model import Actor, State
from ccwhisper.coaching.modes import Talk
from ccwhisper.coaching.policies import excluded, source, without, words
from ccwhisper.coaching.policy import DEFAULT_QUEUE, EVERY_QUEUE, PolicyPart, Rules, may_edit
from ccwhisper.coaching.recorded import Whispers
from ccwhisper.settings import Occasion, Queue, Way
from ccwhisper.web.shapes import Answer, Ask, Text

LONGEST_NAME: Final = 128


class Policies(Protocol):
    """Sets policies, and keeps them."""

    @property
    def in_force(self) -> bool:
        """Whether what was set before has been read; until then the configuration's policies count."""

    def set(self, actor: Actor, queue: str, policy: PolicyPart | None, origin: str) -> None:
        """Set the policy of a queue; None is back to the file's. Raises CoachingError, and then it is as before."""


class PolicyChange(Queue, Ask):
    """All that is to differ from the configuration file; null, or left out, is as there."""

    @property
    def said(self) -> PolicyPart | None:
        """In the core's terms; None where it says nothing."""
        return None if self.part == PolicyPart() else self.part


class BeepView(Answer):
    on: Annotated[list[Occasion], Field(description="When the agent hears it.")]
    level: Annotated[int, Field(description="dBm0.")]
    parts: Annotated[list[tuple[int, int, list[int]]], Field(description="Milliseconds, pause in ms, hertz.")]


class PolicyView(Answer):
    """What a queue wants."""

    beep: BeepView
    max_coaches: int
    cues: list[Text]
    modes: Annotated[list[Way], Field(description="What is allowed; nothing, where it does not hold listen.")]
    talk: Annotated[Talk, Field(description="Of a session that does not say.")]
    tell_listening: Annotated[bool, Field(description="Agents see who only listens.")]
    record: Annotated[bool, Field(description="Calls are recorded.")]
    record_whisper: Annotated[Whispers, Field(description="What becomes of whispers in recorded calls.")]
    keep_days: Annotated[int | None, Field(description="For how long recordings are kept; null: without end.")] = None


class PolicyEdited(Answer):
    """What was set at run time; null where nothing was."""

    beep: BeepView | None = None
    max_coaches: int | None = None
    cues: list[Text] | None = None
    modes: list[Way] | None = None
    talk: Talk | None = None
    tell_listening: bool | None = None
    record: bool | None = None
    record_whisper: Whispers | None = None
    keep_days: int | None = None


Source = Literal["edited", "file", "default", "built_in"]


class PolicySources(Answer):
    """From where each key comes: set at run time, the file's section of the queue, the default policy, or no file."""

    beep: Source
    max_coaches: Source
    cues: Source
    modes: Source
    talk: Source
    tell_listening: Source
    record: Source
    record_whisper: Source
    keep_days: Source


class QueuePolicyView(Answer):
    """The policy of a queue, and how it comes about."""

    queue: Text
    policy: Annotated[PolicyView, Field(description="In force.")]
    sources: PolicySources
    edited: Annotated[PolicyEdited, Field(description="Set at run time.")]
    without: Annotated[PolicyView, Field(description="What would be in force had nothing been set for this queue.")]
    without_sources: PolicySources
    editable: Annotated[bool, Field(description="By this token.")]
    whisper_recording_excluded: Annotated[
        bool, Field(description="By the configuration file: `record_whisper` cannot be set to anything else.")
    ]


class PolicyList(Answer):
    in_force: Annotated[
        bool, Field(description="Whether what was set at run time has been read from the database since the start.")
    ]
    policies: Annotated[list[QueuePolicyView], Field(description="The default one first, then by name.")]


def listed(rules: Rules, state: State, actor: Actor, in_force: bool) -> PolicyList:
    """The queues that the file, agents, calls and mod_callcenter name, and the token includes."""
    known = {*rules.file, *rules.edited, *state.centre.queue_names()}
    known.update(*(agent.queues for agent in rules.agents.values()), *(call.queues for call in state.calls.values()))
    mine = sorted(name for name in known - {DEFAULT_QUEUE} if EVERY_QUEUE in actor.queues or name in actor.queues)
    return PolicyList(in_force=in_force, policies=[shown(rules, actor, name) for name in (DEFAULT_QUEUE, *mine)])


def shown(rules: Rules, actor: Actor, queue: str) -> QueuePolicyView:
    """One queue's."""
    bare = without(rules, queue)
    return QueuePolicyView(
        queue=queue,
        policy=_view(rules, queue),
        sources=_sources(rules, queue),
        edited=PolicyEdited.model_validate(words(rules.edited.get(queue, PolicyPart()))),
        without=_view(bare, queue),
        without_sources=_sources(bare, queue),
        editable=may_edit(actor, queue),
        whisper_recording_excluded=excluded(rules, queue),
    )


def _view(rules: Rules, queue: str) -> PolicyView:
    return PolicyView.model_validate(words(rules.queue(queue)))


def _sources(rules: Rules, queue: str) -> PolicySources:
    keys = {key: "tone" if key == "beep" else key for key in PolicySources.model_fields}
    said: dict[str, Any] = {key: source(rules, queue, field) for key, field in keys.items()}
    return PolicySources(**said)


def named(queue: str) -> str:
    """A queue's name that a policy can have. Raises Invalid."""
    if not 0 < len(queue) <= LONGEST_NAME or not queue.isprintable():
        raise Invalid("field_invalid", f"queue: must be a name of up to {LONGEST_NAME} characters.")
    return queue
