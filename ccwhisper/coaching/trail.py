"""The trail: what is kept of each action and each refusal, and how it is asked for.

A row is a fact of the past. It has a natural key, so that whoever writes it a second time adds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching.model import State


@dataclass(frozen=True, slots=True)
class Row:
    """One row. The first three fields are its key: an installation, one life of its service, and the place in the
    order of that life. Times are aware and in UTC."""

    installation: str
    epoch: str
    seq: int
    at: datetime  # by the service's clock
    switch_at: datetime | None  # by the switch's, where an event of it was the cause
    action: str
    refusal: str | None  # the code of the error; None of what was done
    actor: str
    name: str
    permissions: tuple[str, ...]
    roles: tuple[str, ...]
    session: str | None
    agent: str | None
    call: str | None
    node: str | None
    detail: str
    origin: str
    times: int = 1  # how many refusals, all alike, it stands for


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows. None is any; `since` is included, `until` is not; `text` is found anywhere in a row's words."""

    since: datetime | None = None
    until: datetime | None = None
    actor: str | None = None
    agent: str | None = None
    call: str | None = None
    session: str | None = None
    action: str | None = None
    refused: bool | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, newest first, and where the next page begins: None after the last."""

    rows: tuple[Row, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Health:
    """How far the database is behind: rows that wait for it, and rows that were lost because nothing took them."""

    waiting: int = 0
    lost: int = 0
    away: bool = False


def refused(state: State, request: cmd.Request, code: str) -> fx.Audit:
    """The row of a request that was not granted. Whose session it named is told whether or not it was his own."""
    action, detail = _asked(request)
    row = fx.Audit(action, request.actor, None, None, None, None, detail, request.origin, refusal=code)
    if isinstance(request, cmd.Start):
        call = state.calls.get(request.call or "")
        agent = call.agents[0].agent if call and len(call.agents) == 1 else None
        return replace(row, agent=request.agent or agent, call=request.call, node=call.node if call else None)
    if isinstance(request, cmd.AgentRequest):
        return replace(row, agent=request.agent)
    if isinstance(request, cmd.SetPolicy):
        return row
    if isinstance(request, cmd.PauseRecording):
        call = state.calls.get(request.call)
        return replace(row, agent=request.agent, call=request.call, node=call.node if call else None)
    known = state.sessions.get(request.session)
    if known is None:
        return replace(row, session=request.session)
    return replace(row, session=known.id, agent=known.agent, call=known.call, node=known.node)


def _asked(request: cmd.Request) -> tuple[str, str]:
    """Action and detail, in the words of the rows that the same request makes when it is granted."""
    match request:
        case cmd.Start():
            return "start", request.mode.value
        case cmd.SetMode():
            return "mode", request.mode.value
        case cmd.SetTalk():
            return "talk", request.talk.value
        case cmd.SetMuted():
            return "mute" if request.muted else "unmute", ""
        case cmd.Press():
            return "press", ""
        case cmd.Release():
            return "release", ""
        case cmd.TakeOver():
            return "take_over", ""
        case cmd.Next():
            return "next", ""
        case cmd.Leave():
            return "leave", ""
        case cmd.SendCue():
            return "cue", request.text
        case cmd.MarkCue():
            return "read_cue", request.cue
        case cmd.ReplyToCue():
            return "reply", request.reply.value
        case cmd.SetPolicy():
            return "policy", request.queue
        case cmd.PauseRecording():
            return "pause_recording" if request.paused else "resume_recording", ""
        case cmd.RaiseHand():
            return "hand", request.note
        case _:  # cmd.LowerHand
            return "lower_hand", ""
