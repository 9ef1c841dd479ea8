"""From the journal to the time line: where tracks lie, who was heard when, which moments are jumped to."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccwhisper.recording import journal as log
from ccwhisper.recording.plan import FOREVER, Plan, plan
from ccwhisper.recording.result import Agent, Chapter, Cue, Span

from .tapes import ID, ORIGIN, Tape

pytestmark = pytest.mark.unit


def planned(tape: Tape, over: bool = True) -> Plan:
    return plan(log.read(tape.write(over)))


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return Tape(tmp_path)


def test_the_time_line_begins_with_the_call_tracks_first_sample(tape: Tape) -> None:
    tape.coach("s1", 3.0, [(5.0, 6.0)])
    found = planned(tape)
    assert found.origin == ORIGIN
    assert found.call.offset == 0
    assert found.call.length == pytest.approx(12.0)
    (track,) = found.whispers
    assert (track.offset, track.length) == (pytest.approx(3.0), pytest.approx(9.0))
    assert track.spans == (Span(5.0, 6.0),)
    assert not found.problems


def test_a_beginning_that_was_not_seen_is_told(tape: Tape) -> None:
    tape.coach("s1", 3.0, [])
    tape.lines = [line for line in tape.lines if not isinstance(line, log.Begun)]
    found = planned(tape)
    assert found.origin == ORIGIN - 0.2
    assert found.call.offset == 0
    assert found.whispers[0].offset == pytest.approx(3.15)
    assert [each.code for each in found.problems] == ["begin_unknown", "begin_unknown"]


def test_what_is_begun_twice_is_begun_once_and_what_is_written_anew_begins_anew(tape: Tape) -> None:
    tape.say(log.Begun(2.0, tape.call.name))
    assert planned(tape).origin == ORIGIN
    tape.say(log.Begun(13.0, tape.call.name))  # behind the end of the former
    assert planned(tape, over=False).origin == pytest.approx(ORIGIN + 13.0)


def test_spans_are_those_of_any_open_gate(tape: Tape) -> None:
    tape.coach("s1", 1.0, [])
    tape.say(
        log.Gate(2.0, "s1", "agent"),
        log.Gate(3.0, "s1", "everyone"),
        log.Gate(4.0, "s1", "agent"),
        log.Gate(4.0, "s2", "everyone"),  # of nobody
        log.Gate(5.0, "s1", "closed"),
        log.Gate(8.0, "s1", "everyone"),
        log.Left(9.0, "s1", "taken_over"),
        log.Gate(9.5, "s1", "agent"),  # too late to be his
    )
    found = planned(tape)
    assert found.whispers[0].spans == (Span(2.0, 5.0), Span(8.0, 9.0))
    assert found.public == {"s1": (Span(3.0, 4.0), Span(8.0, 9.0))}
    assert found.coaches[0].spans == found.whispers[0].spans
    assert (found.coaches[0].start, found.coaches[0].end, found.coaches[0].track) == (0.95, 9.0, 1)
    assert found.chapters[-1] == Chapter(9.0, "taken_over", "Carl takes over", "s1")


def test_what_is_said_again_after_a_restart_is_no_news(tape: Tape) -> None:
    tape.say(
        log.Party(1.0, "ana", "Ana", "c1"),
        log.Pause(2.0, True, "Carla"),
        log.Party(3.0, "ana", "Ana", "c1"),
        log.Pause(3.0, True, "Carla"),
        log.Pause(4.0, False, ""),
        log.Pause(5.0, False, ""),
        log.Party(6.0, "ben", "Ben", "c2"),
        log.Party(7.0, "ana", "Ana", "c1"),
    )
    found = planned(tape)
    parties = [(each.agent, each.start) for each in found.agents]
    assert parties[-3:] == [("ana", 1.0), ("ben", 6.0), ("ana", 7.0)], "who comes back does"
    assert found.pauses == (Span(2.0, 4.0),)
    kinds = [each.kind for each in found.chapters if each.at >= 1.0]
    assert kinds == ["party", "pause", "resume", "party", "party"]


def test_a_gate_that_nobody_closed_is_open_to_the_end(tape: Tape) -> None:
    tape.coach("s1", 1.0, [])
    tape.say(log.Gate(11.0, "s1", "agent"))
    assert planned(tape).whispers[0].spans == (Span(11.0, 12.0),)
    tape.lines = [line for line in tape.lines if not isinstance(line, log.Stop)]
    unfinished = planned(tape, over=False)
    assert unfinished.whispers[0].spans == (Span(11.0, FOREVER),)
    assert unfinished.ended(11.5).whispers[0].spans == (Span(11.0, 11.5),)
    assert unfinished.ended(11.5).coaches[0].end == 11.5
    assert unfinished.ended(10.0).whispers[0].spans == ()


def test_one_who_comes_twice_has_two_stays(tape: Tape) -> None:
    tape.coach("s1", 1.0, [(2.0, 3.0)])
    tape.say(log.Left(4.0, "s1", "moved"), log.Coach(6.0, "s1", "2001", "Carl", f"{ID}-s1.wav"))
    tape.say(log.Coach(6.1, "s1", "2001", "Carl", f"{ID}-s1.wav"))  # said twice
    tape.say(log.Gate(7.0, "s1", "agent"), log.Gate(8.0, "s1", "closed"))
    found = planned(tape)
    assert [(each.start, each.end, each.spans) for each in found.coaches] == [
        (0.95, 4.0, (Span(2.0, 3.0),)),
        (6.0, 12.0, (Span(7.0, 8.0),)),
    ]
    (track,) = found.whispers
    assert track.spans == (Span(2.0, 3.0), Span(7.0, 8.0))


def test_a_coach_whose_whispers_are_not_recorded_has_no_track(tape: Tape) -> None:
    tape.say(log.Coach(1.0, "s1", "2001", "Carl", None), log.Mode(1.0, "s1", "whisper"), log.Gate(2.0, "s1", "agent"))
    found = planned(tape)
    assert found.whispers == ()
    assert (found.coaches[0].track, found.coaches[0].modes) == (None, ("whisper",))


def test_pauses_and_one_that_nobody_ended(tape: Tape) -> None:
    tape.say(log.Pause(2.0, True, "1001"), log.Pause(4.0, False, "1001"), log.Pause(9.0, True, "1001"))
    found = planned(tape)
    assert found.pauses == (Span(2.0, 4.0), Span(9.0, FOREVER))
    assert found.ended(12.0).pauses == (Span(2.0, 4.0), Span(9.0, 12.0))


def test_agents_follow_each_other(tape: Tape) -> None:
    tape.say(log.Party(6.0, "1002", "Ben", "call-2", "sales"))
    assert planned(tape).agents == (Agent("1001", "Ada", 0.1, 6.0), Agent("1002", "Ben", 6.0, 12.0))


def test_chapters_and_cues(tape: Tape) -> None:
    tape.coach("s1", 3.0, [(5.0, 6.0)])
    tape.say(
        log.Beep(5.1, "s1"),
        log.Cue(7.0, "s1", "q1", "Offer the annual plan"),
        log.Cue(7.5, "s9", "q2", "Slower"),
        log.Reply(8.0, "q1", "got_it"),
        log.Hand(8.5, "1001", "What is the discount?"),
        log.Hand(8.6, "1001", ""),
        log.Hold(9.0, True),
        log.Hold(9.5, False),
        log.Pause(10.0, True, "1001"),
        log.Pause(10.5, False, "1001"),
        log.Left(11.0, "s1", "ended"),
    )
    found = planned(tape)
    assert [(each.at, each.kind, each.text, each.session) for each in found.chapters] == [
        (0.0, "start", "Call, sales", None),
        (0.1, "party", "Ada", None),
        (2.95, "coach", "Carl listens", "s1"),
        (3.0, "mode", "Carl: listen", "s1"),
        (5.0, "mode", "Carl: whisper", "s1"),
        (5.1, "beep", "Beep, Carl", "s1"),
        (6.0, "mode", "Carl: listen", "s1"),
        (7.0, "cue", "Carl: Offer the annual plan", "s1"),
        (7.5, "cue", "Coach: Slower", "s9"),
        (8.5, "help", "Help: What is the discount?", None),
        (8.6, "help", "Help", None),
        (9.0, "hold", "Hold", None),
        (9.5, "unhold", "Hold ends", None),
        (10.0, "pause", "Pause", None),
        (10.5, "resume", "Pause ends", None),
        (11.0, "left", "Carl leaves", "s1"),
    ]
    assert found.cues == (
        Cue(7.0, "s1", "Carl", "Offer the annual plan", "got_it"),
        Cue(7.5, "s9", "", "Slower"),
    )
    assert found.coaches[0].modes == ("listen", "whisper")
    assert all(each.at <= 4.0 for each in found.ended(4.0).chapters)


def test_what_was_torn_is_told(tape: Tape) -> None:
    path = tape.write()
    path.write_bytes(path.read_bytes() + b'{"what":"stop","at":17')
    assert [each.code for each in plan(log.read(path)).problems] == ["journal_torn"]


def test_lines_that_crossed_are_put_in_order(tape: Tape) -> None:
    tape.coach("s1", 1.0, [])
    tape.say(log.Gate(3.0, "s1", "closed"), log.Gate(2.0, "s1", "agent"))
    assert planned(tape).whispers[0].spans == (Span(2.0, 3.0),)
