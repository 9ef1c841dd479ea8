"""A session by itself: what its leg carries, what of it is shown, what goes along to another call."""

from __future__ import annotations

from dataclasses import replace

from ccwhisper.coaching.model import CoachRecord, Session
from ccwhisper.coaching.modes import Gate, Mode


def carried(session: Session) -> CoachRecord:
    """What the coach's leg is to carry."""
    return CoachRecord(
        session=session.id,
        coach=session.coach.id,
        name=session.coach.name,
        device=session.device,
        agent=session.agent,
        target=session.target,
        call=session.call,
        peer=session.peer,
        mode=session.mode,
        wanted=session.wanted,
        talk=session.talk,
        muted=session.muted,
        follow=session.follow,
        gate=session.asked or Gate.CLOSED,
        started_at=session.started_at,
        permissions=session.coach.permissions,
        roles=session.coach.roles,
        queues=session.coach.queues,
        passed=session.passed,
        whispers=session.whispers,
        recording=session.recording,
        track=session.track,
        parts=session.parts,
    )


def asked_for(session: Session) -> Mode:
    """The mode that a coach is in or, before he is, has asked for."""
    return session.wanted if session.mode is Mode.LISTEN else session.mode


def lasting(session: Session) -> Mode:
    """What goes along to another call of what a coach is in or has asked for: never a barge."""
    return Mode.WHISPER if Mode.WHISPER in (session.mode, session.wanted) else Mode.LISTEN


def shown(session: Session) -> Session:
    """A session without what is nobody's business but the core's: its timers."""
    timeless = replace(session, deadline=None, press_until=None, rearm_at=None, refresh_at=None, again_until=None)
    return replace(timeless, attempts=0, recording=None, parts=0, masked=True, narrowed=False, narrow_until=None)
