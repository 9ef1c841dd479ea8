"""What is recorded of calls and coaches, and when it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching import notices
from ccwhisper.coaching.errors import CoachingError
from ccwhisper.coaching.model import Call, Follow, Phase, State
from ccwhisper.coaching.modes import Gate, Mode, Talk
from ccwhisper.coaching.policies import excluded, layered, source
from ccwhisper.coaching.policy import DEFAULT_QUEUE, EDIT_POLICIES, PolicyPart, Rules
from ccwhisper.coaching.recorded import Recording, Whispers, recording_id, recording_of, track_file
from ccwhisper.coaching.reduce import next_timer
from ccwhisper.coaching.trail import refused
from tests.unit.world import NODE, RULES, World, agent_leg, caller_leg, coach, on_switch, restarted

pytestmark = pytest.mark.unit

ADMIN = coach("ada", permissions=frozenset({EDIT_POLICIES}))
SEPARATE = PolicyPart(record=True, record_whisper=Whispers.SEPARATE)


def centre(**queues: PolicyPart) -> World:
    """A switch on which calls are recorded, unless queues say something else."""
    return World(rules=layered(replace(RULES, installation="i", file={DEFAULT_QUEUE: SEPARATE, **queues}), {})).up()


def call_up(world: World, caller: str = "c1", agent: str = "a1", queue: str | None = None, **changes: Any) -> Call:
    leg = agent_leg(agent, cc_agent="ana", cc_queue=queue) if queue else agent_leg(agent)
    call = world.bridge(world.legs.get(caller, caller_leg(caller, **changes)), leg)
    assert call
    return call


def only(world: World) -> Recording:
    (found,) = world.state.recordings.values()
    return found


def recorded(world: World) -> dict[str, bool]:
    """The tracks that the switch writes, without their recording's id, and whether they hold silence."""
    return {file[37:]: track.masked for file, track in world.tracks.items()}


def ended(world: World) -> list[str | None]:
    """Why recordings have ended so far; forgets them."""
    return [each.recording.over for each in world.take(notices.RecordingEnded)]


def code(world: World, request: cmd.Request) -> str:
    with pytest.raises(CoachingError) as refusal:
        world.feed(request)
    return refusal.value.code


# --- names -----------------------------------------------------------------------------------------------------------


def test_the_names_of_files_say_whose_they_are() -> None:
    identifier = recording_id("i", "c1", "call")
    assert identifier == recording_id("i", "c1", "call", 1)
    others = [recording_id(*each) for each in (("j", "c1", "call"), ("i", "c2", "call"), ("i", "c1", "call", 2))]
    assert len({identifier, *others}) == 4
    assert track_file(identifier, "s1") == f"{identifier}-s1.wav"
    assert track_file(identifier, "s1", 2) == f"{identifier}-s1-2.wav"
    assert {recording_of(track_file(identifier, "s1", part)) for part in (1, 2)} == {identifier}
    for foreign in ("", "call.wav", f"{identifier}.wav", f"{identifier}-call.mp3", f"x{identifier}-call.wav"):
        assert recording_of(foreign) is None


# --- the call --------------------------------------------------------------------------------------------------------


def test_a_call_is_recorded_on_the_callers_leg_from_the_first_moment_to_his_last() -> None:
    world = centre()
    call = call_up(world)
    (begun,) = world.take(fx.RecordCall)
    assert (begun.leg, begun.buffer) == ("c1", True)
    assert begun.file == f"{recording_id('i', 'c1', call.id)}-call.wav"
    assert recorded(world) == {"call.wav": False}
    assert world.state.calls[call.id].recorded
    world.hang_up("c1")
    assert not world.state.recordings
    assert ended(world) == ["call_ended"]
    assert not world.take(fx.StopTrack), "the switch closes the file by itself"


def test_a_leg_that_has_its_buffer_gets_no_other() -> None:
    world = centre()
    call_up(world, buffered=True)
    assert not world.take(fx.RecordCall)[0].buffer


def test_a_queue_that_says_nothing_is_not_recorded() -> None:
    world = World().up()
    call = world.bridge(caller_leg("c1"), agent_leg("a1"))
    assert call
    world.mode(world.coached(call), Mode.WHISPER)
    assert not world.state.recordings
    assert not world.tracks
    assert world.state.calls[call.id].recorded is None


def test_two_agents_and_media_beside_the_switch_are_not_recorded() -> None:
    world = centre()
    world.bridge(agent_leg("a1"), agent_leg("a2", "1002@dom"))
    world.bridge(caller_leg("c1", media_in_switch=False), agent_leg("a3"))
    assert len(world.state.calls) == 2
    assert not world.tracks


def test_who_is_transferred_stays_in_the_same_recording() -> None:
    world = centre()
    call_up(world)
    before = only(world)
    world.unbridge("a1", "c1")
    assert only(world) == before
    second = call_up(world, agent="a2")
    assert only(world) == replace(before, call=second.id)
    assert world.legs["c1"].recording == only(world).mark
    assert recorded(world) == {"call.wav": False}


def test_who_is_transferred_out_of_a_queue_to_an_extension_is_recorded_on_as_it_wants() -> None:
    world = World(rules=layered(replace(RULES, installation="i", file={"sales": SEPARATE}), {})).up()
    call_up(world, queue="sales", through="sales")
    assert only(world).queue == "sales"
    world.unbridge("a1", "c1")
    second = call_up(world, agent="a2")
    assert second.queue is None
    session = world.coached(second)
    world.mode(session, Mode.WHISPER)
    assert ended(world) == []
    assert recorded(world) == {"call.wav": False, f"{session.id}.wav": False}
    again = restarted(world)
    again.feed(ev.PoliciesRead({}))
    assert ended(again) == []
    assert set(recorded(again)) == {"call.wav", f"{session.id}.wav"}
    late = call_up(world, "c2", "a3", through="sales")
    assert late.queue is None
    assert world.state.recordings["c2"].queue == "sales", "whose recordings they are is for his queue to say, too"


def test_hold_changes_nothing() -> None:
    world = centre()
    call_up(world)
    before = only(world)
    world.feed(ev.Held(NODE, "c1"), ev.Unheld(NODE, "c1"))
    assert only(world) == before
    assert len(world.take(fx.RecordCall)) == 1


def test_it_ends_where_the_next_queue_does_not_want_it_and_another_may_begin() -> None:
    world = centre(closed=PolicyPart(record=False))
    first = call_up(world)
    assert only(world).number == 1
    world.unbridge("a1", "c1")
    call_up(world, agent="a2", queue="closed")
    assert ended(world) == ["policy"]
    assert not world.tracks
    assert only(world).over == "policy"
    world.unbridge("a2", "c1")
    again = call_up(world)
    assert again.id == first.id
    assert not world.tracks, "what was begun in this call has ended; its file is not written over"
    world.unbridge("a1", "c1")
    call_up(world, agent="a3")
    assert only(world).number == 2
    assert recorded(world) == {"call.wav": False}
    world.hang_up("c1")
    assert ended(world) == ["call_ended"]


def test_one_that_is_over_is_forgotten_with_its_leg() -> None:
    world = centre(closed=PolicyPart(record=False))
    call_up(world)
    world.unbridge("a1", "c1")
    call_up(world, agent="a2", queue="closed")
    assert ended(world) == ["policy"]
    world.hang_up("c1")
    assert not world.state.recordings
    assert ended(world) == []


def test_a_file_that_is_never_said_to_be_closed() -> None:
    world = centre(closed=PolicyPart(record=False))
    call_up(world)
    world.prompt = False
    world.unbridge("a1", "c1")
    call_up(world, agent="a2", queue="closed")
    assert ended(world) == []
    due = next_timer(world.state)
    assert due is not None
    assert due <= world.now + 5
    world.pending.clear()
    world.wait(5)
    assert ended(world) == ["policy"]
    world.feed(ev.HungUp(NODE, "c1", ""))
    call_up(world, "c2", "a3")
    world.feed(ev.HungUp(NODE, "c2", ""))
    world.wait(1)
    assert ended(world) == []
    world.wait(5)
    assert ended(world) == ["call_ended"]
    assert not world.state.recordings


def test_the_next_one_begins_before_the_last_is_closed() -> None:
    world = centre(closed=PolicyPart(record=False))
    call_up(world)
    world.prompt = False
    world.unbridge("a1", "c1")
    call_up(world, agent="a2", queue="closed")
    world.unbridge("a2", "c1")
    call_up(world, agent="a3")
    assert ended(world) == ["policy"]
    assert only(world).live


def test_a_changed_policy_is_for_calls_that_begin_after_it() -> None:
    world = centre()
    call = call_up(world)
    off = cmd.SetPolicy(ADMIN, DEFAULT_QUEUE, PolicyPart(record=False))
    world.feed(off, ev.Held(NODE, "a1"), ev.Unheld(NODE, "a1"))
    assert only(world).live
    other = call_up(world, "c2", "a2")
    assert "c2" not in world.state.recordings
    world.feed(cmd.SetPolicy(ADMIN, DEFAULT_QUEUE, None), ev.Held(NODE, "a2"), ev.Unheld(NODE, "a2"))
    assert "c2" not in world.state.recordings
    assert {call.id, other.id} == world.state.calls.keys()


def test_the_policies_that_were_kept_count_for_calls_that_were_met_before_they_were_read() -> None:
    world = centre(open=PolicyPart(record=False))
    call_up(world)
    call_up(world, "c2", "a2", queue="open")
    edited = {DEFAULT_QUEUE: PolicyPart(record=False), "open": PolicyPart(record=True)}
    world.feed(ev.PoliciesRead(edited))
    assert ended(world) == ["policy"]
    assert {leg: each.live for leg, each in world.state.recordings.items()} == {"c1": False, "c2": True}
    world.feed(ev.PoliciesRead(edited))
    assert ended(world) == []


def test_nothing_begins_to_be_recorded_before_it_is_known_what_was_forbidden() -> None:
    world = World(rules=layered(replace(RULES, installation="i", file={DEFAULT_QUEUE: SEPARATE}), {})).up()
    call_up(world)
    assert recorded(world) == {"call.wav": False}
    again = restarted(world)
    again.feed(ev.PoliciesUnread())
    assert recorded(again) == {"call.wav": False}, "what has begun goes on"
    first = again.coached(next(iter(again.state.calls.values())))
    again.mode(first, Mode.WHISPER)
    assert recorded(again) == {"call.wav": False}
    assert again.state.sessions[first.id].whispers is Whispers.OFF, "what he is told"
    late = call_up(again, "c2", "a2")
    assert "c2" not in again.state.recordings
    again.feed(ev.PoliciesRead({"closed": PolicyPart(record=False)}))
    assert again.state.recordings["c2"].live
    assert again.state.calls[late.id].recorded
    assert again.state.recordings["c1"].live
    assert again.state.sessions[first.id].whispers is Whispers.OFF, "from the next session on"


def test_what_is_excluded_is_said_to_be_so_before_the_policies_are_read() -> None:
    part = PolicyPart(record=True, record_whisper=Whispers.EXCLUDED)
    world = World(rules=layered(replace(RULES, installation="i", file={DEFAULT_QUEUE: part}), {})).up()
    world.feed(ev.PoliciesUnread())
    session = world.coached(call_up(world))
    assert world.state.sessions[session.id].whispers is Whispers.EXCLUDED
    assert not recorded(world)


def test_a_service_that_starts_knows_what_the_switch_has_refused() -> None:
    world = centre(sales=SEPARATE)
    world.feed(cmd.PauseRecording(coach(), call_up(world).id, True))
    world.unbridge("a1", "c1")
    world.refuses = True
    call_up(world, agent="a2", queue="sales")
    assert (only(world).queue, only(world).paused) == ("sales", "Carla")
    world.feed(ev.NodeLost(NODE, "gone"), ev.NodeSynced(NODE, tuple(on_switch(world))))
    assert only(world).problem
    assert only(restarted(world)).problem == only(world).problem
    assert recorded(world) == {}


def test_another_rate_begins_another_file() -> None:
    world = centre()
    call = call_up(world)
    first = only(world)
    world.feed(ev.RateChanged(NODE, "c1", 8000))
    assert only(world) == first
    world.feed(cmd.PauseRecording(coach(), call.id, True))
    world.prompt = False
    world.feed(ev.RateChanged(NODE, "c1", 16000))
    second = only(world)
    assert ended(world) == ["codec"]
    assert (second.number, second.rate, second.paused) == (2, 16000, "Carla")
    assert [track.masked for track in world.tracks.values()] == [True]
    world.unbridge("a1", "c1")
    world.feed(ev.RateChanged(NODE, "c1", 8000))
    assert only(world).over == "codec", "without a call nothing begins"
    world.feed(ev.RateChanged(NODE, "c1", 16000))
    assert only(world).over == "codec"


def test_what_the_switch_will_not_record_is_said_and_disturbs_nobody() -> None:
    world = centre()
    world.refuses = True
    call = call_up(world)
    assert "ERR" in str(only(world).problem)
    shown = world.state.calls[call.id].recorded
    assert shown
    assert shown.problem
    session = world.coached(call)
    world.mode(session, Mode.WHISPER)
    assert world.gate(session) is Gate.AGENT
    assert world.session(session).track is None
    assert code(world, cmd.PauseRecording(coach(), call.id, True)) == "not_recorded"
    world.hang_up("c1")
    assert ended(world) == ["call_ended"]


def test_a_file_that_is_closed_before_its_time() -> None:
    world = centre()
    call = call_up(world)
    world.feed(ev.RecordStopped(NODE, "c1", "another.wav"), ev.RecordFailed(NODE, "c1", "another.wav", ""))
    world.feed(ev.RecordStopped(NODE, "c9", only(world).file))
    assert only(world).problem is None
    world.feed(ev.RecordStopped(NODE, "c1", only(world).file))
    assert only(world).problem == "cut_short"
    assert world.state.calls[call.id].recorded


# --- coaches ---------------------------------------------------------------------------------------------------------


def test_a_coach_is_recorded_while_he_is_heard() -> None:
    world = centre()
    session = world.coached(call_up(world))
    name = f"{session.id}.wav"
    assert recorded(world) == {"call.wav": False, name: True}
    world.mode(session, Mode.WHISPER)
    assert recorded(world)[name] is False
    world.feed(cmd.SetMuted(session.coach, session.id, True))
    assert recorded(world)[name] is True
    world.feed(cmd.SetMuted(session.coach, session.id, False))
    world.mode(session, Mode.BARGE)
    assert recorded(world)[name] is False
    world.feed(ev.Held(NODE, "a1"))
    assert recorded(world)[name] is True
    world.feed(ev.Unheld(NODE, "a1"), cmd.SetTalk(session.coach, session.id, Talk.PUSH))
    assert recorded(world)[name] is True
    world.feed(cmd.Press(session.coach, session.id))
    assert recorded(world)[name] is False
    assert world.take(fx.ArmDeadman)[0].track == track_file(only(world).id, session.id)


def test_a_gate_that_opens_with_the_attach_opens_the_track_after_it_has_begun() -> None:
    world = centre()
    call = call_up(world)
    session = world.start(call, mode=Mode.WHISPER)
    world.take(fx.RecordCall)
    world.answer(session)
    order = [type(each) for each in world.effects if isinstance(each, fx.RecordCoach | fx.TellGate)]
    assert order == [fx.RecordCoach, fx.TellGate]
    assert world.take(fx.TellGate)[-1].track == track_file(only(world).id, session.id)


def test_whispers_that_are_not_recorded() -> None:
    world = centre(quiet=PolicyPart(record_whisper=Whispers.OFF), closed=PolicyPart(record_whisper=Whispers.EXCLUDED))
    for number, queue in enumerate(("quiet", "closed"), 1):
        session = world.coached(call_up(world, f"c{number}", f"a{number}", queue), coach(f"coach of {queue}"))
        world.mode(session, Mode.WHISPER)
        assert world.session(session).recording == world.state.recordings[f"c{number}"].id
        assert world.session(session).whispers is (Whispers.OFF if queue == "quiet" else Whispers.EXCLUDED)
    assert [file[37:] for file in world.tracks] == ["call.wav", "call.wav"]


def test_excluded_ends_a_track_at_once_and_else_a_policy_is_for_the_next_session() -> None:
    world = centre()
    call = call_up(world)
    session = world.coached(call)
    world.feed(cmd.SetPolicy(ADMIN, DEFAULT_QUEUE, PolicyPart(record_whisper=Whispers.OFF)))
    assert len(world.tracks) == 2
    world.mode(session, Mode.WHISPER)
    world.feed(cmd.SetPolicy(ADMIN, DEFAULT_QUEUE, PolicyPart(record_whisper=Whispers.EXCLUDED)))
    assert list(recorded(world)) == ["call.wav"]
    assert world.gate(session) is Gate.AGENT
    assert not world.session(session).track
    late = world.coached(call, coach("dora"))
    world.feed(cmd.SetPolicy(ADMIN, DEFAULT_QUEUE, None))
    assert world.session(late).track is None, "it is as it was told him"


def test_several_coaches_have_each_a_track() -> None:
    world = centre()
    call = call_up(world)
    one, two = world.coached(call), world.coached(call, coach("dora"))
    world.mode(two, Mode.WHISPER)
    assert recorded(world) == {"call.wav": False, f"{one.id}.wav": True, f"{two.id}.wav": False}
    world.feed(cmd.Leave(two.coach, two.id))
    assert recorded(world) == {"call.wav": False, f"{one.id}.wav": True}


def test_a_coach_who_goes_along_has_a_second_file_in_the_same_recording() -> None:
    world = centre()
    session = world.coached(call_up(world))
    world.unbridge("a1", "c1")
    world.hang_up("a1")
    assert list(recorded(world)) == ["call.wav"], "his leg is parked"
    call_up(world, agent="a2")
    world.mode(session, Mode.WHISPER)
    assert world.session(session).recording == only(world).id
    assert recorded(world) == {"call.wav": False, f"{session.id}-2.wav": False}


def test_a_coach_who_follows_the_agent_is_in_each_callers_recording() -> None:
    world = centre()
    session = world.coached(call_up(world), follow=Follow.AGENT)
    first = only(world)
    world.unbridge("a1", "c1")
    assert recorded(world) == {"call.wav": False, f"{session.id}.wav": True}
    world.hang_up("c1")
    assert world.session(session).recording is None
    assert not world.tracks
    call_up(world, "c2")
    assert world.session(session).recording == only(world).id != first.id
    assert recorded(world) == {"call.wav": False, f"{session.id}-2.wav": True}


def test_no_file_is_written_over_for_a_coach_who_comes_back_to_a_caller() -> None:
    world = centre()
    session = world.coached(call_up(world), follow=Follow.AGENT)
    first = only(world)
    for caller in ("c2", "c1"):  # the first one waits meanwhile
        world.unbridge("a1", str(world.legs["a1"].peer))
        world.bridge(world.legs.get(caller, caller_leg(caller)), world.legs["a1"])
    assert world.session(session).recording == first.id
    assert len(world.tracks) == 3
    assert len([each for each in world.take(fx.RecordCoach) if each.file.startswith(first.id)]) == 2


def test_to_a_caller_on_the_same_leg_nothing_of_the_last_goes_along() -> None:
    world = centre(closed=PolicyPart(record=False, record_whisper=Whispers.OFF))
    session = world.coached(call_up(world), follow=Follow.AGENT)
    world.bridge(caller_leg("c2"), world.legs["a1"])
    files = {file: track.leg for file, track in world.tracks.items()}
    other = world.state.recordings["c2"].id
    assert files == {
        world.state.recordings["c1"].file: "c1",
        world.state.recordings["c2"].file: "c2",
        track_file(other, session.id, 2): session.leg,
    }


def test_who_takes_over_is_a_party_and_has_no_track_any_more() -> None:
    world = centre()
    session = world.coached(call_up(world))
    world.mode(session, Mode.BARGE)
    world.prompt = False
    world.feed(cmd.TakeOver(session.coach, session.id))
    (joined,) = world.take(fx.ConnectCaller)
    assert joined.track == track_file(only(world).id, session.id)
    assert world.session(session).phase is Phase.TAKING_OVER
    world.unbridge("a1", "c1")
    world.bridge(world.legs[session.leg], world.legs["c1"])
    assert recorded(world) == {"call.wav": False}
    assert only(world).live


def test_who_has_taken_over_can_pause_and_so_can_whoever_may_listen() -> None:
    world = centre()
    call = call_up(world, queue="sales", through="sales")
    session = world.coached(call, coach(queues=frozenset({"sales"})))
    before = only(world)
    world.feed(cmd.TakeOver(session.coach, session.id))
    world.unbridge("a1", "c1")
    taken = world.bridge(world.legs[session.leg], world.legs["c1"])
    assert taken
    assert only(world) == replace(before, call=taken.id), "it goes on"
    ask = cmd.PauseRecording(coach("eve", queues=frozenset({"support"})), taken.id, True)
    assert code(world, ask) == "call_not_found"
    world.feed(replace(ask, actor=session.coach))
    assert recorded(world) == {"call.wav": True}
    world.feed(cmd.PauseRecording(coach("dora", queues=frozenset({"sales"})), taken.id, False))
    assert recorded(world) == {"call.wav": False}
    world.hang_up("c1")
    assert ended(world) == ["call_ended"]


def test_a_coachs_track_that_the_switch_will_not_write() -> None:
    world = centre()
    call = call_up(world)
    world.refuses = True
    session = world.coached(call)
    world.mode(session, Mode.WHISPER)
    assert world.session(session).whispers is Whispers.OFF
    assert world.session(session).track is None
    assert world.session(session).recording == only(world).id
    world.feed(ev.RecordFailed(NODE, session.leg, "another.wav", ""))
    assert world.gate(session) is Gate.AGENT


# --- a pause ---------------------------------------------------------------------------------------------------------


def test_a_pause_silences_call_and_coaches_together() -> None:
    world = centre()
    call = call_up(world)
    session = world.coached(call)
    world.mode(session, Mode.WHISPER)
    name = f"{session.id}.wav"
    world.feed(cmd.PauseRecording(coach("dora"), call.id, True))
    assert recorded(world) == {"call.wav": True, name: True}
    shown = world.state.calls[call.id].recorded
    assert shown
    assert shown.paused == "Dora"
    world.mode(session, Mode.LISTEN)
    world.mode(session, Mode.WHISPER)
    assert recorded(world)[name] is True, "a gate that opens meanwhile"
    assert world.take(fx.TellGate)[-1].paused
    trail = [(each.action, each.who.id, each.call) for each in world.take(fx.Audit) if "recording" in each.action]
    assert trail == [("pause_recording", "dora", call.id)]
    world.feed(cmd.PauseRecording(coach("dora"), call.id, True))
    assert not world.take(fx.MaskTrack)[2:], "twice is once"
    world.feed(cmd.PauseRecording(coach(), call.id, False))
    assert recorded(world) == {"call.wav": False, name: False}


def test_it_lasts_whoever_the_caller_talks_to() -> None:
    world = centre()
    call = call_up(world)
    world.feed(cmd.PauseRecording(coach(), call.id, True))
    world.unbridge("a1", "c1")
    second = call_up(world, agent="a2")
    session = world.coached(second)
    world.mode(session, Mode.BARGE)
    assert set(recorded(world).values()) == {True}
    assert only(world).paused == "Carla"


def test_who_may_pause() -> None:
    world = centre()
    call = call_up(world)
    stranger = coach("eve", permissions=frozenset(), roles=frozenset())
    ask = cmd.PauseRecording(stranger, call.id, True)
    assert code(world, ask) == "call_not_found"
    assert code(world, replace(ask, agent="ben")) == "call_not_found"
    assert code(world, replace(ask, call="none")) == "call_not_found"
    looks = coach("lea", permissions=frozenset({"view_contact_center_dashboard"}))
    assert code(world, replace(ask, actor=looks)) == "permission_missing"
    world.feed(replace(ask, agent="ana"))
    assert only(world).paused == "Eve"
    world.feed(cmd.PauseRecording(replace(stranger, name=""), call.id, False, agent="ana"))
    world.feed(cmd.PauseRecording(replace(stranger, name=""), call.id, True, agent="ana"))
    assert only(world).paused == "eve"
    world.feed(ev.NodeLost(NODE, "gone"))
    assert code(world, cmd.PauseRecording(coach(), call.id, False)) == "node_unavailable"


def test_a_refused_pause_says_what_was_asked() -> None:
    world = centre()
    call = call_up(world)
    row = refused(world.state, cmd.PauseRecording(coach(), call.id, True, "ana"), "not_recorded")
    assert (row.action, row.call, row.agent, row.node) == ("pause_recording", call.id, "ana", NODE)
    row = refused(State(), cmd.PauseRecording(coach(), call.id, False), "call_not_found")
    assert (row.action, row.call, row.node) == ("resume_recording", call.id, None)


# --- a restart -------------------------------------------------------------------------------------------------------


def test_a_service_that_starts_again_goes_on_where_it_was() -> None:
    world = centre()
    call = call_up(world)
    session = world.coached(call)
    world.mode(session, Mode.WHISPER)
    world.feed(cmd.PauseRecording(coach(), call.id, True))
    before = only(world)
    again = restarted(world)
    assert only(again) == before
    assert not again.take(fx.RecordCall), "a file is not begun anew"
    assert not again.take(fx.RecordCoach)
    assert again.session(session).track == world.session(session).track
    assert set(recorded(again).values()) == {True}
    again.feed(cmd.PauseRecording(coach(), call.id, False))
    assert set(recorded(again).values()) == {False}


def test_one_that_was_over_stays_so() -> None:
    world = centre(closed=PolicyPart(record=False))
    call_up(world)
    world.unbridge("a1", "c1")
    call_up(world, agent="a2", queue="closed")
    again = restarted(world)
    assert only(again).over == "policy"
    assert not again.take(fx.RecordCall)


def test_who_has_hung_up_unseen_is_recorded_no_more() -> None:
    world = centre()
    call_up(world)
    call_up(world, "c2", "a2")
    world.feed(ev.NodeLost(NODE, "gone"))
    del world.legs["c1"]
    world.legs["a1"] = replace(world.legs["a1"], peer=None)
    world.feed(ev.NodeSynced("n2", ()), ev.NodeSynced(NODE, tuple(world.legs.values())))
    assert ended(world) == ["lost"]
    assert list(world.state.recordings) == ["c2"]


def test_who_went_over_to_another_agent_meanwhile() -> None:
    world = centre(closed=PolicyPart(record=False))
    call_up(world)
    world.legs["c1"], world.legs["a2"] = replace(world.legs["c1"], peer="a2"), agent_leg("a2", peer="c1")
    world.legs["a1"] = replace(world.legs["a1"], peer=None)
    again = restarted(world)
    assert again.state.calls[only(again).call].agents[0].leg == "a2"
    assert not again.take(fx.RecordCall)


def test_a_caller_who_has_become_an_agent_meanwhile_is_recorded_no_more() -> None:
    world = centre(sales=SEPARATE)
    call_up(world)
    world.unbridge("a1", "c1")
    world.deaf = True
    call_up(world, agent="a2", queue="sales")
    world.hang_up("a2")
    world.deaf = False
    world.legs["c1"] = replace(world.legs["c1"], peer=None, cc_agent="ben", cc_queue="sales")
    world.take(fx.RecordCall)
    world.feed(ev.NodeLost(NODE, "gone"), ev.NodeSynced(NODE, tuple(world.legs.values())))
    assert not world.take(fx.RecordCall)
    assert (only(world).queue, only(world).over) == ("sales", "policy")
    assert recorded(world) == {}
    assert only(restarted(world)).over == "policy"


def test_what_the_configuration_excludes_since_the_restart_is_recorded_no_more() -> None:
    world = centre()
    session = world.coached(call_up(world))
    stricter = replace(world.rules, file={DEFAULT_QUEUE: PolicyPart(record=True, record_whisper=Whispers.EXCLUDED)})
    again = restarted(replace(world, rules=layered(stricter, {})))
    assert list(recorded(again)) == ["call.wav"]
    assert again.session(session).track is None


# --- by force --------------------------------------------------------------------------------------------------------

FORCED = PolicyPart(record_whisper=Whispers.EXCLUDED)


@pytest.mark.parametrize("place", ["sales", DEFAULT_QUEUE])
def test_nobody_switches_on_what_the_file_excludes(place: str) -> None:
    rules = layered(replace(RULES, file={place: FORCED}), {})
    edited = {name: PolicyPart(record_whisper=Whispers.SEPARATE) for name in ("sales", "other", DEFAULT_QUEUE)}
    made = layered(rules, edited)
    assert made.queue("sales").record_whisper is Whispers.EXCLUDED
    everywhere = place == DEFAULT_QUEUE
    assert made.queue("other").record_whisper is (Whispers.EXCLUDED if everywhere else Whispers.SEPARATE)
    assert made.queue(None).record_whisper is (Whispers.EXCLUDED if everywhere else Whispers.SEPARATE)
    assert source(made, place, "record_whisper") == "file"
    assert source(made, "sales", "record_whisper") == ("default" if everywhere else "file")
    world = World(rules=rules).up()
    assert code(world, cmd.SetPolicy(ADMIN, "sales", edited["sales"])) == "whisper_recording_excluded"
    world.feed(cmd.SetPolicy(ADMIN, "sales", FORCED), cmd.SetPolicy(ADMIN, "sales", PolicyPart(max_coaches=1)))


def test_what_a_queue_itself_says_in_the_file_counts_before_the_default() -> None:
    rules = Rules(file={DEFAULT_QUEUE: FORCED, "sales": PolicyPart(record_whisper=Whispers.SEPARATE)})
    assert not excluded(rules, "sales")
    assert excluded(rules, "other")
    assert layered(rules, {}).queue("sales").record_whisper is Whispers.SEPARATE


def test_what_a_queue_excludes_stays_so_when_its_caller_is_transferred_to_an_extension() -> None:
    world = centre(closed=PolicyPart(record_whisper=Whispers.EXCLUDED))
    call_up(world, queue="closed", through="closed")
    before = world.coached(next(iter(world.state.calls.values())))
    world.unbridge("a1", "c1")
    world.hang_up("a1")
    second = call_up(world, agent="a2")
    after = world.coached(second, coach("dora"))
    for session in (before, after):
        world.mode(session, Mode.WHISPER)
        assert world.session(session).call == second.id
        assert world.session(session).whispers is Whispers.EXCLUDED
    assert recorded(world) == {"call.wav": False}
    world.unbridge("a2", "c1")
    call_up(world, agent="a3", queue="sales")
    assert len(world.tracks) == 3, "another queue has a say of its own"
