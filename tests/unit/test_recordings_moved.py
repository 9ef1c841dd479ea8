"""Recordings when something comes in between: another queue, an agent who was a caller, a connection that is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import Call, Follow
from ccwhisper.coaching.modes import Gate, Mode
from ccwhisper.coaching.policy import DEFAULT_QUEUE, PolicyPart
from ccwhisper.coaching.recorded import Recording, Whispers
from tests.unit.test_recordings import ADMIN, call_up, centre, code, ended, only, recorded
from tests.unit.world import NODE, World, agent_leg, caller_leg, coach, on_switch, restarted

pytestmark = pytest.mark.unit


def pause(world: World, call: Call, paused: bool = True) -> None:
    world.feed(cmd.PauseRecording(coach(), call.id, paused))


def reconnected(world: World) -> None:
    """The connection to the switch was lost, and what was told it meanwhile never arrived."""
    world.deaf = False
    world.feed(ev.NodeLost(NODE, "gone"), ev.NodeSynced(NODE, tuple(on_switch(world))))


def masked(world: World, recording: Recording) -> bool:
    return world.tracks[recording.file].masked


# --- another queue ---------------------------------------------------------------------------------------------------


def test_a_recording_is_of_one_queue() -> None:
    """Who may hear it is decided by its queue."""
    world = centre()
    call_up(world, queue="sales", through="sales")
    first = only(world)
    session = world.coached(next(iter(world.state.calls.values())))
    world.unbridge("a1", "c1")
    world.hang_up("a1")
    world.legs["c1"] = replace(world.legs["c1"], through="support")
    second = call_up(world, agent="a2", queue="support")
    assert ended(world) == ["queue"]
    assert (only(world).queue, only(world).number, only(world).call) == ("support", 2, second.id)
    assert world.session(session).recording == only(world).id != first.id
    assert recorded(world) == {"call.wav": False, f"{session.id}-2.wav": True}
    world.unbridge("a2", "c1")
    world.hang_up("a2")
    call_up(world, agent="a3")
    assert (ended(world), only(world).queue) == ([], "support"), "at an extension it is still that queue's caller"


def test_a_pause_goes_along_to_another_recording() -> None:
    world = centre(closed=PolicyPart(record=False))
    pause(world, call_up(world, queue="sales"))
    for number, queue in enumerate(("support", "closed", "sales"), 2):
        world.unbridge(str(world.legs["c1"].peer), "c1")
        call_up(world, agent=f"a{number}", queue=queue)
        assert only(world).paused == "Carla"
        assert all(track.masked for track in world.tracks.values())
    begun = world.take(fx.RecordCall)
    assert [each.masked for each in begun] == [False, True, True]
    assert not [each for each in world.take(fx.MaskTrack) if each.file in {each.file for each in begun[1:]}], "at once"


# --- an agent who was a caller ---------------------------------------------------------------------------------------


def test_a_caller_who_becomes_an_agent_is_recorded_no_more() -> None:
    """He dialled in and stays off-hook: whoever coaches him then would be in what he hears."""
    world = centre()
    call_up(world, "c1")
    world.unbridge("a1", "c1")
    agent = replace(world.legs["c1"], cc_agent="ben", cc_queue="sales")
    call = world.bridge(caller_leg("c2"), agent)
    assert call
    assert world.state.recordings["c1"].over == "policy"
    session = world.coached(call)
    world.mode(session, Mode.WHISPER)
    assert world.gate(session) is Gate.AGENT
    assert {track.leg for track in world.tracks.values()} == {"c2", session.leg}


# --- what was on its way when the connection was lost ----------------------------------------------------------------


def test_a_pause_that_did_not_arrive() -> None:
    world = centre()
    call = call_up(world)
    world.deaf = True
    pause(world, call)
    assert not masked(world, only(world))
    reconnected(world)
    assert masked(world, only(world))
    assert only(world).paused == "Carla"
    assert world.legs["c1"].recording == only(world).mark
    pause(world, call, paused=False)
    world.deaf = True
    pause(world, call)
    world.deaf = False
    again = restarted(world)
    assert not masked(again, only(again)), "nobody knows of it any more"
    assert only(again).paused is None


def test_a_resumption_that_did_not_arrive() -> None:
    world = centre()
    call = call_up(world)
    pause(world, call)
    world.deaf = True
    pause(world, call, paused=False)
    reconnected(world)
    assert only(world).paused == "Carla", "it is said what is true"
    assert masked(world, only(world))


def test_a_service_that_dies_in_the_middle_of_a_pause_or_of_its_end() -> None:
    """The leg says so before the track is silent, and until it is not."""
    world = centre()
    call = call_up(world)
    pause(world, call)
    order = [type(each) for each in world.effects if isinstance(each, fx.RememberRecording | fx.MaskTrack)]
    assert order == [fx.RememberRecording, fx.MaskTrack]
    world.tracks[only(world).file].masked = False
    again = restarted(world)
    assert masked(again, only(again))
    again.feed(cmd.PauseRecording(coach(), call.id, False))
    order = [type(each) for each in again.effects if isinstance(each, fx.RememberRecording | fx.MaskTrack)]
    assert order[-2:] == [fx.MaskTrack, fx.RememberRecording]


def test_a_beginning_that_did_not_arrive() -> None:
    world = centre()
    world.deaf = True
    call = call_up(world)
    assert not world.tracks
    pause(world, call)
    reconnected(world)
    assert masked(world, only(world))
    assert world.legs["c1"].recording == only(world).mark
    world.feed(cmd.PauseRecording(coach(), call.id, False))
    world.hang_up("c1")
    assert ended(world) == ["call_ended"]


def test_an_end_that_did_not_arrive() -> None:
    world = centre(closed=PolicyPart(record=False))
    call_up(world)
    world.unbridge("a1", "c1")
    world.deaf = True
    call_up(world, agent="a2", queue="closed")
    assert len(world.tracks) == 1
    world.wait(6)
    assert ended(world) == ["policy"]
    reconnected(world)
    assert not world.tracks
    assert ended(world) == [], "once is enough"
    assert only(restarted(world)).over == "policy"


def test_an_end_that_a_service_finds_when_it_starts_is_known_to_the_next() -> None:
    world = centre(closed=PolicyPart(record=False))
    call_up(world)
    world.deaf = True
    world.unbridge("a1", "c1")
    call_up(world, agent="a2", queue="closed")
    world.deaf = False
    again = restarted(world)
    assert not again.tracks
    assert only(restarted(again)).over == "policy"


def test_another_recording_that_did_not_arrive() -> None:
    world = centre()
    call_up(world, queue="sales")
    first = only(world)
    world.unbridge("a1", "c1")
    world.deaf = True
    call_up(world, agent="a2", queue="support")
    reconnected(world)
    assert list(world.tracks) == [only(world).file] != [first.file]
    assert world.legs["c1"].recording == only(world).mark


def test_another_service_that_was_at_it() -> None:
    world = centre()
    call = call_up(world)
    other = replace(world, effects=[], pending=[])
    other.feed(cmd.PauseRecording(coach("dora"), call.id, True))
    reconnected(world)
    assert only(world).paused == "Dora"
    other.state = world.state
    other.unbridge("a1", "c1")
    call_up(other, agent="a2", queue="sales")
    reconnected(world)
    assert only(world).number == 2
    assert (only(world).id, only(world).paused) == (only(other).id, "Dora")


def test_what_the_switch_does_not_record_is_not_asked_for_again() -> None:
    world = centre()
    world.refuses = True
    call_up(world)
    problem = only(world).problem
    assert problem
    world.legs["c1"] = replace(world.legs["c1"], recording=only(world).mark)
    reconnected(world)
    assert only(world).problem == problem
    assert len(world.take(fx.RecordCall)) == 1


def test_another_codec_meanwhile() -> None:
    world = centre()
    call = call_up(world)
    pause(world, call)
    world.legs["c1"] = replace(world.legs["c1"], rate=16000)
    reconnected(world)
    assert ended(world) == ["codec"]
    assert (only(world).rate, only(world).call, only(world).paused) == (16000, call.id, "Carla")
    assert masked(world, only(world))


def test_another_codec_while_he_waits_for_the_same_agent() -> None:
    world = centre()
    call = call_up(world)
    world.unbridge("a1", "c1")
    world.legs["c1"] = replace(world.legs["c1"], rate=16000)
    world.feed(ev.RateChanged(NODE, "c1", 16000))
    assert ended(world) == ["codec"]
    assert call_up(world).id == call.id
    assert (only(world).number, only(world).rate) == (2, 16000)


def test_a_leg_that_was_not_listed_yet_says_what_is_recorded_of_it_when_it_is_read() -> None:
    world = centre()
    call = call_up(world)
    pause(world, call)
    before = only(world)
    listed, world.legs = world.legs, {}
    again = restarted(world)
    assert not again.state.recordings
    again.bridge(listed["c1"], listed["a1"])
    assert only(again) == before
    assert not again.take(fx.RecordCall)


# --- coaches ---------------------------------------------------------------------------------------------------------


def test_a_coach_has_no_track_without_the_calls() -> None:
    world = centre()
    call = call_up(world)
    session = world.coached(call)
    world.mode(session, Mode.WHISPER)
    del world.tracks[only(world).file]
    world.feed(ev.RecordStopped(NODE, "c1", only(world).file))
    assert not world.tracks, "a pause would be refused"
    assert code(world, cmd.PauseRecording(coach(), call.id, True)) == "not_recorded"
    assert world.session(session).recording == only(world).id
    world.closed.add(only(world).file)
    world.legs["c1"] = replace(world.legs["c1"], recording=None)
    reconnected(world)
    assert not world.tracks, "nor is what there is written over"


def test_what_a_coach_was_told_is_excluded_stays_so_as_long_as_he_is_there() -> None:
    world = centre()
    session = world.coached(call_up(world), follow=Follow.AGENT)
    world.mode(session, Mode.WHISPER)
    world.feed(cmd.SetPolicy(ADMIN, DEFAULT_QUEUE, PolicyPart(record_whisper=Whispers.EXCLUDED)))
    assert world.session(session).whispers is Whispers.EXCLUDED
    world.feed(cmd.SetPolicy(ADMIN, DEFAULT_QUEUE, None))
    assert list(recorded(world)) == ["call.wav"]
    world.bridge(caller_leg("c2"), world.legs["a1"])
    assert world.session(session).track, "of the next call he is told anew"


def test_agents_of_two_calls_are_paused_one_by_one() -> None:
    world = centre()
    one = call_up(world, "c1", "a1")
    call_up(world, "c2", "a2")
    pause(world, one)
    assert {track.leg: track.masked for track in world.tracks.values()} == {"c1": True, "c2": False}
    world.bridge(world.legs["c2"], agent_leg("a3"))
    assert world.state.recordings["c2"].paused is None
