"""Records of the core as public shapes."""

from __future__ import annotations

from typing import Literal, cast

from ccwhisper.coaching.model import Actor, Call, Cue, Hand, Phase, Session, Tap
from ccwhisper.coaching.policies import words
from ccwhisper.coaching.policy import QueuePolicy, Rules, may_see
from ccwhisper.coaching.recorded import Whispers
from ccwhisper.web.auth import Principal
from ccwhisper.web.happenings import QueueRules
from ccwhisper.web.journal import Ended
from ccwhisper.web.schemas import (
    AgentOnCall,
    CallView,
    CoachView,
    CueView,
    HandView,
    Me,
    RecordedView,
    SessionView,
    TapView,
)


def call_view(call: Call) -> CallView:
    """A call."""
    return CallView(
        id=call.id,
        agents=[AgentOnCall(agent=leg.agent, name=leg.name) for leg in call.agents],
        direction=cast(Literal["inbound", "outbound", "internal"], call.direction),
        queue=call.queue,
        number=call.number,
        name=call.name,
        started_at=call.started_at,
        held=call.held,
        obstacle=call.obstacle,
        taps=[tap_view(call, tap) for tap in call.taps],
        recording=_recorded(call),
    )


def _recorded(call: Call) -> RecordedView | None:
    found = call.recorded
    if found is None:
        return None
    paused = found.paused is not None
    return RecordedView(id=found.id, paused=paused, paused_by=found.paused, failed=found.problem is not None)


def tap_view(call: Call, tap: Tap) -> TapView:
    """A tap on a call."""
    leg = call.on(tap.leg)
    kind: Literal["unknown", "other_installation"] = "other_installation" if tap.other else "unknown"
    return TapView(who=tap.who, kind=kind, on=leg.agent if leg else None, leg=tap.by)


def is_listening(session: Session) -> bool:
    """Whether the eavesdrop has been seen alive."""
    return session.phase is Phase.ATTACHED


def is_settled(session: Session) -> bool:
    """Whether the coach is in the mode that he asked for, and the switch has confirmed the gate that he then has."""
    return is_listening(session) and session.mode is session.wanted and session.gate is session.asked


def session_view(session: Session, ended: Ended | None = None) -> SessionView:
    """A session, for its owner."""
    return SessionView(
        id=session.id,
        agent=session.agent,
        agent_name=session.agent_name,
        call=session.call,
        device=session.device,
        phase="ended" if ended else session.phase.value,
        mode=session.mode,
        wanted=session.wanted,
        talk=session.talk,
        muted=session.muted,
        pressed=session.pressed,
        follow=session.follow.value,
        gate=session.gate,
        settled=not ended and is_settled(session),
        held=session.held,
        recorded=_whispers(session),
        started_at=session.started_at,
        ended_at=ended.at if ended else None,
        reason=ended.reason if ended else session.reason,
    )


def _whispers(session: Session) -> Literal["recorded", "not_recorded", "excluded"]:
    if session.track:
        return "recorded"
    return "excluded" if session.whispers is Whispers.EXCLUDED else "not_recorded"


def coach_view(session: Session) -> CoachView:
    """A session, for somebody else who may see its call."""
    return CoachView(
        session=session.id,
        coach=session.coach.id,
        name=session.coach.name,
        agent=session.agent,
        call=session.call,
        mode=session.mode,
        gate=session.gate,
        muted=session.muted,
    )


def cue_view(cue: Cue) -> CueView:
    """A cue."""
    return CueView(
        id=cue.id,
        session=cue.session,
        name=cue.name,
        agent=cue.agent,
        call=cue.call,
        text=cue.text,
        sent_at=cue.sent_at,
        delivered_at=cue.delivered_at,
        read_at=cue.read_at,
        reply=cue.reply,
        replied_at=cue.replied_at,
    )


def hand_view(hand: Hand) -> HandView:
    """A raised hand."""
    return HandView(
        agent=hand.agent,
        name=hand.name,
        call=hand.call,
        queues=sorted(hand.queues),
        note=hand.note,
        raised_at=hand.raised_at,
    )


def rules_view(rules: Rules, actor: Actor) -> dict[str, QueueRules]:
    """What a coach must know of the policies: by queue, and under the empty name those of all other queues."""
    mine = {name: each for name, each in rules.queues.items() if may_see(actor, frozenset({name}))}
    return {name: _queue_rules(each) for name, each in {"": rules.default, **mine}.items()}


def _queue_rules(policy: QueuePolicy) -> QueueRules:
    return QueueRules(modes=words(policy)["modes"], talk=policy.talk, cues=list(policy.cues))


def me_view(who: Principal, browser_phone: bool) -> Me:
    """What the token says, and whether pages may be phones here."""
    return Me(
        id=who.actor.id,
        name=who.actor.name,
        permissions=sorted(who.actor.permissions),
        roles=sorted(who.actor.roles),
        queues=sorted(who.actor.queues),
        devices=list(who.actor.devices),
        browser_phone=browser_phone,
        agent=who.agent,
        expires_at=who.expires_at,
    )
