"""What of a turn of the core belongs into journals."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching import notices
from ccwhisper.coaching.model import Call, CallId, NodeName, Session, SessionId, State
from ccwhisper.coaching.moment import Moment
from ccwhisper.coaching.recorded import Mark, Recording, RecordingId, call_file, recording_of
from ccwhisper.recording import journal

Minute = tuple[RecordingId, journal.Line]


def minutes(moment: Moment, now: Callable[[NodeName], float]) -> Iterator[Minute]:
    """The lines, each with its recording. `now` is the time of the turn by a node's clock."""
    before, after = moment.before, moment.after
    yield from _said(moment, now)
    if not before.recordings and not after.recordings:
        return
    for effect in moment.effects:
        if isinstance(effect, fx.RecordCall):
            yield _start(effect.mark, effect.node, effect.leg, after, now(effect.node))
    for leg, recording in after.recordings.items():
        had = before.recordings.get(leg)
        if recording is not had and recording.live:
            if had is None and isinstance(moment.event, ev.NodeSynced):
                # The service that began it may have died, or had no room on its disk, before it was written.
                yield _start(recording.mark, recording.node, leg, after, now(recording.node))
            yield from _changed(had if had and had.id == recording.id else None, recording, after, now(recording.node))
    yield from _holds(before, after, now)
    for session in {**before.sessions, **after.sessions}:
        yield from _coach(before.sessions.get(session), after.sessions.get(session), moment, now)
    yield from _words(before, after, now)
    for effect in moment.effects:
        if isinstance(effect, fx.Beep):
            beeped = after.sessions.get(effect.session) or before.sessions[effect.session]
            if beeped.recording:
                yield beeped.recording, journal.Beep(now(effect.node), effect.session)
        elif isinstance(effect, notices.HandRaised):
            asked = _by_call(after, effect.hand.call)
            if asked:
                yield asked.id, journal.Hand(now(asked.node), effect.hand.agent, effect.hand.note)
        elif isinstance(effect, notices.RecordingEnded):
            ended = effect.recording
            yield ended.id, journal.Stop(now(ended.node), str(ended.over))


def _said(moment: Moment, now: Callable[[NodeName], float]) -> Iterator[Minute]:
    """What the switch says of the files itself."""
    fact = moment.event
    if not isinstance(fact, ev.RecordStarted | ev.RecordStopped | ev.RecordFailed):
        return
    recording, at = recording_of(fact.file), now(fact.node)
    if recording is None:
        return
    match fact:
        case ev.RecordStarted():
            yield recording, journal.Begun(at, fact.file)
        case ev.RecordStopped():
            yield recording, journal.Ended(at, fact.file)
            found = moment.after.recordings.get(fact.leg)
            if found and found.live and found.file == fact.file:
                yield recording, journal.Problem(at, "cut_short", "the switch has closed it", fact.file)
        case ev.RecordFailed():
            yield recording, journal.Problem(at, "not_recorded", fact.why, fact.file)


def _start(mark: Mark, node: NodeName, leg: str, after: State, at: float) -> Minute:
    call = after.calls.get(mark.call)
    who = (call.direction, call.number, call.name) if call else ("", "", "")
    return mark.id, journal.Start(at, mark.id, node, leg, call_file(mark.id), mark.queue, *who, mark.whispers.value)


def _changed(had: Recording | None, recording: Recording, after: State, at: float) -> Iterator[Minute]:
    call = after.calls.get(recording.call)
    if call and (had is None or had.call != recording.call):
        party = call.agents[0]
        yield recording.id, journal.Party(at, party.agent, party.name, call.id, call.queue)
    if recording.paused != (had.paused if had else None):
        by = recording.paused or ""
        yield recording.id, journal.Pause(at, recording.paused is not None, by)


def _holds(before: State, after: State, now: Callable[[NodeName], float]) -> Iterator[Minute]:
    for identifier, call in after.calls.items():
        had = before.calls.get(identifier)
        if had is not call and call.held != (had.held if had else False):
            recording = _of(after, call)
            if recording:
                yield recording.id, journal.Hold(now(call.node), call.held)


def _of(state: State, call: Call | None) -> Recording | None:
    found = state.recordings.get(call.agents[0].peer) if call else None
    return found if found and found.live else None


def _coach(
    was: Session | None, session: Session | None, moment: Moment, now: Callable[[NodeName], float]
) -> Iterator[Minute]:
    if was is session:
        return
    old, new = was.recording if was else None, session.recording if session else None
    if was and old and old != new:
        yield from _left(was, old, moment, now(was.node))
    if session is None or new is None:
        return
    at = now(session.node)
    if old != new or (session.track and was and session.track != was.track):
        yield new, journal.Coach(at, session.id, session.coach.id, session.coach.name, session.track)
    if old != new or (was and session.mode is not was.mode):
        yield new, journal.Mode(at, session.id, session.mode.value)
    if session.gate is not (was.gate if was and old == new else None):
        fact = moment.event
        told = isinstance(fact, ev.GateTold) and fact.session == session.id
        yield new, journal.Gate(at, session.id, session.gate.value) if not told else _gate(moment, session, at)


def _gate(moment: Moment, session: Session, at: float) -> journal.Line:
    """When the switch was told, and not when the core heard that it was."""
    fact = moment.event
    assert isinstance(fact, ev.GateTold)  # noqa: S101
    return journal.Gate(at - (moment.at - fact.at), session.id, session.gate.value)


def _left(was: Session, recording: RecordingId, moment: Moment, at: float) -> Iterator[Minute]:
    reason = _endings(moment).get(was.id, "moved")
    yield recording, journal.Left(at, was.id, "taken_over" if reason == "took_over" else reason)


def _endings(moment: Moment) -> dict[SessionId, str]:
    return {effect.session.id: effect.reason for effect in moment.effects if isinstance(effect, notices.SessionEnded)}


def _words(before: State, after: State, now: Callable[[NodeName], float]) -> Iterator[Minute]:
    """What is written."""
    for identifier, cue in after.cues.items():
        had = before.cues.get(identifier)
        if had is cue:
            continue
        recording = _by_call(after, cue.call)
        if recording is None:
            continue
        if had is None:
            yield recording.id, journal.Cue(now(recording.node), cue.session, cue.id, cue.text)
        if cue.reply and cue.reply is not (had.reply if had else None):
            yield recording.id, journal.Reply(now(recording.node), cue.id, cue.reply.value)


def _by_call(state: State, call: CallId | None) -> Recording | None:
    return _of(state, state.calls.get(call)) if call else None
