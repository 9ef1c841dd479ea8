"""What is recorded, and when it is not.

A call's track is taken on the caller's leg, never on an agent's: what an agent hears holds the whispers. So a call
between two agents, each of whom may be coached, is not recorded. A coach has a track of his own, in files that each
last as long as he is attached: between them his leg may speak another codec. It is silent unless he is heard.

A recording is of one queue: who may hear it and for how long it is kept, is that queue's to say. A caller who comes to
another queue that is recorded is in another recording from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching import notices
from ccwhisper.coaching.errors import Conflict, NotFound, Unavailable
from ccwhisper.coaching.model import Call, Leg, LegId, NodeName, Phase, Session, State
from ccwhisper.coaching.policy import agent_of, check_listen, visible
from ccwhisper.coaching.recorded import Mark, Recorded, Recording, Whispers, call_file, recording_id, track_file
from ccwhisper.coaching.turn import Turn

CLOSING = 5.0
"""Seconds that the switch may take to close a call's track."""


def settle(turn: Turn) -> None:
    """At the end of each turn: what is up now is recorded as its queue wants."""
    for call in list(turn.calls.values()):
        if turn.before.calls.get(call.id) is not call:
            _consider(turn, call, begun=call.id in turn.before.calls)
    for leg, recording in turn.recordings.items():
        if turn.before.recordings.get(leg) is not recording:
            _touch(turn, recording)
    for session in turn.touched():
        _follow(turn, session)
    for call in list(turn.calls.values()):
        recorded = _recorded(turn, call)
        if call.recorded != recorded:
            turn.calls[call.id] = replace(call, recorded=recorded)


def policies_read(turn: Turn) -> None:
    """The policies that calls were met with, just after the service has started, may not have been those in force."""
    for call in list(turn.calls.values()):
        _consider(turn, call, begun=False)
        recording = _on(turn, call)
        if recording and recording.live and not turn.recording_policy(call).record:
            _stop(turn, recording, "policy")


def node_synced(turn: Turn, fact: ev.NodeSynced) -> None:
    """The legs themselves say what is recorded of them. Those that have gone unseen are recorded no more."""
    legs = {leg.id: leg for leg in fact.legs}
    for leg in fact.legs:
        _find(turn, fact.node, leg)
    for recording in list(turn.recordings.values()):
        if recording.node == fact.node:
            now = legs.get(recording.leg)
            if now is None:
                _gone(turn, recording, "lost")
            else:
                _say_again(turn, recording, now)


def inspected(turn: Turn, fact: ev.Inspected) -> None:
    """The list of legs is written late: one that is recorded may have been missing from it."""
    for leg in fact.legs:
        if leg and leg.id in turn.bonds and leg.id not in turn.recordings:
            _find(turn, fact.node, leg)


def _find(turn: Turn, node: NodeName, leg: Leg) -> None:
    """What a leg says of itself, and what is known of it. Where they differ, something was on its way to the switch
    when the connection was lost, or another service has been at it: then it is whatever records less."""
    mark, known = leg.recording, turn.recordings.get(leg.id)
    if mark is None:
        return
    if known is None or known.number < mark.number:
        turn.marks[leg.id] = mark
        turn.recordings[leg.id] = Recording(
            mark.id, node, leg.id, mark.number, mark.call, mark.queue, mark.rate, mark.whispers,
            mark.paused, mark.over, mark.problem,
        )  # fmt: skip
    elif known.id == mark.id:
        turn.recordings[leg.id] = replace(
            known, paused=known.paused or mark.paused, over=known.over or mark.over,
            problem=known.problem or mark.problem,
        )  # fmt: skip


def _say_again(turn: Turn, recording: Recording, leg: Leg) -> None:
    """The switch has perhaps not heard it. Said twice, it is the same."""
    node, file, mark = recording.node, recording.file, leg.recording
    if mark and mark.id != recording.id:
        turn.effects.append(fx.StopTrack(node, leg.id, call_file(mark.id)))
    remember = fx.RememberRecording(node, leg.id, recording.mark)
    if not recording.live:
        if mark != recording.mark:
            turn.effects += [fx.StopTrack(node, leg.id, file), remember]
    elif recording.rate != leg.rate:
        _change_rate(turn, recording, leg.rate)
    elif recording.problem is None and (mark is None or mark.id != recording.id):
        if agent_of(leg, turn.rules):  # a caller when it began; whispers would be in it
            _stop(turn, recording, "policy")
            return
        masked = recording.paused is not None
        turn.effects.append(fx.RecordCall(node, leg.id, file, recording.mark, not leg.buffered, masked))
    elif recording.paused:
        turn.effects += [remember, fx.MaskTrack(node, leg.id, file, masked=True)]


def hung_up(turn: Turn, fact: ev.HungUp) -> None:
    """A leg has ended; what was recorded of it is closed in a moment."""
    recording = turn.recordings.get(fact.leg)
    if recording is None:
        return
    if recording.live and not recording.problem:
        turn.recordings[fact.leg] = replace(recording, over="call_ended", deadline=turn.now + CLOSING)
    else:
        _gone(turn, recording, "call_ended")


def stopped(turn: Turn, fact: ev.RecordStopped) -> None:
    """A track is closed."""
    recording = turn.recordings.get(fact.leg)
    if recording is None or recording.file != fact.file:
        return
    if recording.live:
        turn.recordings[fact.leg] = replace(recording, problem="cut_short")
    elif recording.over == "call_ended":
        _gone(turn, recording, "call_ended")
    elif recording.deadline is not None:
        _ended(turn, recording)


def failed(turn: Turn, fact: ev.RecordFailed) -> None:
    """The switch does not record. The call goes on, and nobody is disturbed by it."""
    recording = turn.recordings.get(fact.leg)
    if recording and recording.file == fact.file:
        turn.recordings[fact.leg] = replace(recording, problem=fact.why)
    session = turn.by_leg(fact.leg)
    if session and session.track == fact.file:
        turn.change(session, track=None, masked=True, whispers=Whispers.OFF)


def rate_changed(turn: Turn, fact: ev.RateChanged) -> None:
    """The file would go on at the old rate, and what is said sound too high or too low: another one begins."""
    recording = turn.recordings.get(fact.leg)
    if recording and recording.live and recording.rate != fact.rate:
        _change_rate(turn, recording, fact.rate)


def _change_rate(turn: Turn, recording: Recording, rate: int) -> None:
    _stop(turn, recording, "codec")
    call = turn.calls.get(recording.call)
    if call:
        _begin(turn, replace(call, peer_rate=rate, peer_buffered=True), recording)


def tick(turn: Turn) -> None:
    """What the switch never said to be closed."""
    for recording in list(turn.recordings.values()):
        if recording.deadline is not None and turn.now >= recording.deadline:
            if recording.over == "call_ended":
                _gone(turn, recording, "call_ended")
            else:
                _ended(turn, recording)


def pause(turn: Turn, ask: cmd.PauseRecording) -> None:
    """Call and coaches' tracks are silent from now on, or no longer. It lasts until somebody says so, whoever the
    caller talks to meanwhile: a card number that is half said must not be recorded because an agent transfers him."""
    call = turn.calls.get(ask.call)
    own = call.leg_of(ask.agent) if call and ask.agent else None
    if call is None or not (own or visible(ask.actor, call)):
        raise NotFound("call_not_found", "There is no such call.")
    if own is None:
        check_listen(ask.actor, call.queues)
    recording = _on(turn, call)
    if recording is None or not recording.live or recording.problem:
        raise Conflict("not_recorded", "This call is not recorded.", retry=False)
    if not turn.node_up(call.node):
        raise Unavailable("node_unavailable", f"The switch {call.node} is not connected.")
    if ask.paused == (recording.paused is not None):
        return
    turn.recordings[recording.leg] = replace(recording, paused=ask.actor.name or ask.actor.id if ask.paused else None)
    action = "pause_recording" if ask.paused else "resume_recording"
    whom = None, call.agents[0].agent, call.id, call.node
    turn.effects.append(fx.Audit(action, ask.actor, *whom, recording.id, ask.origin))


def shown(before: State, after: State, marks: Mapping[LegId, Mark]) -> list[fx.Effect]:
    """What the legs are to carry and people are to see of what has changed in a turn. `marks` is what legs carry that
    were read in it."""
    found: list[fx.Effect] = []
    for leg, recording in after.recordings.items():
        had = before.recordings.get(leg)
        if had == recording:
            continue
        found.append(notices.RecordingChanged(recording))
        node = after.nodes.get(recording.node)
        alive = recording.over != "call_ended" and node is not None and node.up
        if alive and had and had.id == recording.id and had.mark != recording.mark:
            found += _told(had, recording)
        read = marks.get(leg)
        if alive and read and read.id == recording.id and read != recording.mark:
            found.append(fx.RememberRecording(recording.node, leg, recording.mark))
    return found


def _told(had: Recording, recording: Recording) -> list[fx.Effect]:
    """The leg says that it is paused from before it is until after, so that a service that starts in between pauses it
    again, and nobody reads of a pause that is none."""
    node, leg, paused = recording.node, recording.leg, recording.paused is not None
    remember = fx.RememberRecording(node, leg, recording.mark)
    if had.paused == recording.paused or not recording.live:
        return [remember]
    mask = fx.MaskTrack(node, leg, recording.file, paused)
    return [remember, mask] if paused else [mask, remember]


def next_timer(state: State) -> list[float]:
    """When a Tick is wanted."""
    return [each.deadline for each in state.recordings.values() if each.deadline is not None]


def _recorded(turn: Turn, call: Call) -> Recorded | None:
    found = _on(turn, call)
    return Recorded(found.id, found.paused, found.problem) if found and found.live else None


def _on(turn: Turn, call: Call) -> Recording | None:
    return turn.recordings.get(call.agents[0].peer) if len(call.agents) == 1 else None


def _consider(turn: Turn, call: Call, begun: bool) -> None:
    """A call is up. `begun`: it was before, and so it was decided then."""
    for party in call.agents:
        its = turn.recordings.get(party.leg)
        if its and its.live:  # a caller then, and now an agent, who hears whispers
            _stop(turn, its, "policy")
    if len(call.agents) != 1 or call.obstacle or not turn.node_up(call.node):
        return
    had = _on(turn, call)
    if had and had.live:
        if had.call == call.id:
            return
        if not turn.recording_policy(call).record:
            _stop(turn, had, "policy")
        elif had.queue == call.recorded_as:
            turn.recordings[had.leg] = replace(had, call=call.id)
        else:
            _stop(turn, had, "queue")
            _begin(turn, call, had)
    elif begun or (had and had.call == call.id and had.over != "codec"):
        return  # as it was decided
    elif turn.recording_policy(call).record:
        _begin(turn, call, had)


def _begin(turn: Turn, call: Call, had: Recording | None) -> None:
    had = turn.recordings.get(had.leg) if had else None
    if had and had.deadline is not None:
        _ended(turn, had)
    leg, number = call.agents[0].peer, had.number + 1 if had else 1
    identifier = recording_id(turn.rules.installation, leg, call.id, number)
    whispers = turn.recording_policy(call).record_whisper
    paused = had.paused if had else None
    queue = call.recorded_as
    new = Recording(identifier, call.node, leg, number, call.id, queue, call.peer_rate, whispers, paused)
    turn.recordings[leg] = new
    masked = paused is not None
    turn.effects.append(fx.RecordCall(call.node, leg, new.file, new.mark, not call.peer_buffered, masked))


def _stop(turn: Turn, recording: Recording, reason: str) -> None:
    turn.recordings[recording.leg] = replace(recording, over=reason, deadline=turn.now + CLOSING)
    turn.effects.append(fx.StopTrack(recording.node, recording.leg, recording.file))


def _ended(turn: Turn, recording: Recording) -> None:
    """It is closed, and its leg goes on."""
    over = replace(recording, deadline=None)
    turn.recordings[recording.leg] = over
    turn.effects.append(notices.RecordingEnded(over))


def _gone(turn: Turn, recording: Recording, reason: str) -> None:
    """Its leg is gone, too."""
    del turn.recordings[recording.leg]
    if recording.live or recording.deadline is not None:
        turn.effects.append(notices.RecordingEnded(replace(recording, over=recording.over or reason, deadline=None)))
    _touch(turn, recording)


def _touch(turn: Turn, recording: Recording) -> None:
    for session in turn.sessions.values():
        if recording.leg == session.peer or recording.id == session.recording:
            turn.touch(session.id)


def _follow(turn: Turn, session: Session) -> None:
    """A coach is in the recording of the caller whom he listens to, and has a track where the queue wants one."""
    if session.phase in (Phase.ENDING, Phase.TAKING_OVER):
        return  # his files end with his leg, or with what makes him a party
    call = turn.call_of(session)
    recording = turn.recordings.get(session.peer) if session.peer else None
    attached = session.phase is Phase.ATTACHED
    here = None
    if recording and recording.live and (recording.id == session.recording or (attached and call)):
        here = recording.id
    excluded = call is not None and turn.recording_policy(call).record_whisper is Whispers.EXCLUDED
    if excluded and session.whispers is not Whispers.EXCLUDED:
        session = turn.change(session, whispers=Whispers.EXCLUDED)  # and so it stays: it is what he is told
    wanted = attached and session.whispers is Whispers.SEPARATE
    wanted = wanted and here is not None and recording is not None and recording.problem is None
    if session.track and not (wanted and here == session.recording):
        turn.effects.append(fx.StopTrack(session.node, session.leg, session.track))
        session = turn.change(session, track=None, masked=True)
    if here != session.recording:
        session = turn.change(session, recording=here)
    if here and wanted and call and session.track is None:
        parts = session.parts + 1
        file = track_file(here, session.id, parts)
        turn.effects.append(fx.RecordCoach(session.node, session.leg, file))
        turn.change(session, track=file, parts=parts, masked=True)
