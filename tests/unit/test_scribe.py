"""Journals: what of each turn is written down, when it was, and what a disk that takes nothing costs."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import Follow, Reply, State
from ccwhisper.coaching.modes import Gate, Mode
from ccwhisper.coaching.moment import Moment
from ccwhisper.coaching.policy import PolicyPart
from ccwhisper.coaching.recorded import Whispers
from ccwhisper.coaching.reduce import reduce
from ccwhisper.recording import journal, scribe
from ccwhisper.recording.minutes import Minute, minutes
from ccwhisper.recording.scribe import Clocks, Scribe
from tests.unit.test_recordings import call_up, centre, only
from tests.unit.world import NODE, World, agent_leg, coach, on_switch

pytestmark = pytest.mark.unit

SWITCH = 1_700_000_000.0


class Noted(World):
    """A world that keeps the lines of every turn; the switch's clock is the world's, and a thousand seconds behind."""

    noted: list[Minute]

    def feed(self, *events: Any) -> list[fx.Effect]:
        """As the engine does it."""
        out: list[fx.Effect] = []
        waiting = list(events)
        while waiting:
            event = waiting.pop(0)
            before = self.state
            self.state, effects = reduce(before, event, self.now, self.rules)
            moment = Moment(before, self.state, event, effects, SWITCH + self.now + 1000, None)
            self.noted += minutes(moment, lambda _node: SWITCH + self.now)
            for effect in effects:
                self._carry_out(effect)
            self.effects += effects
            out += effects
            waiting += self.pending
            self.pending.clear()
        return out

    def of(self, kind: type[Any]) -> list[Any]:
        """The lines of a kind."""
        return [line for _, line in self.noted if isinstance(line, kind)]

    def told(self) -> list[str]:
        """What lines there are, in order."""
        return [line.WHAT for _, line in self.noted]


def noted(**queues: PolicyPart) -> Noted:
    plain = centre(**queues)
    world = Noted(rules=plain.rules)
    world.noted = []
    world.up()
    return world


def test_a_call_from_its_first_moment_to_its_last() -> None:
    world = noted()
    call = call_up(world)
    file = only(world).file
    world.wait(1)
    world.feed(ev.Held(NODE, "c1"))
    world.wait(1)
    world.feed(ev.Unheld(NODE, "c1"))
    world.feed(cmd.PauseRecording(coach(), call.id, True), cmd.PauseRecording(coach(), call.id, False))
    world.hang_up("c1")
    assert world.told() == ["start", "party", "begun", "hold", "hold", "pause", "pause", "ended", "stop"]
    start = world.of(journal.Start)[0]
    identifier = file[:36]
    assert {recording for recording, _ in world.noted} == {identifier}
    assert start == journal.Start(
        SWITCH + 100, identifier, NODE, "c1", file, None, "inbound", "+100", "Caller", "separate"
    )
    assert world.of(journal.Party) == [journal.Party(SWITCH + 100, "ana", "Ana", call.id, None)]
    assert world.of(journal.Hold) == [journal.Hold(SWITCH + 101, True), journal.Hold(SWITCH + 102, False)]
    assert [(line.paused, line.by) for line in world.of(journal.Pause)] == [(True, "Carla"), (False, "")]
    assert world.of(journal.Stop) == [journal.Stop(SWITCH + 102, "call_ended")]


def test_a_coach_his_modes_his_gate_and_his_words() -> None:
    world = noted()
    call = call_up(world)
    session = world.coached(call)
    world.wait(1)
    world.mode(session, Mode.WHISPER)
    world.feed(ev.GateTold(session.id, Gate.AGENT, SWITCH + world.now + 999.75))
    world.feed(cmd.RaiseHand(coach("ana"), "ana", "the tariff?", 0.0), cmd.LowerHand(coach("ana"), "ana"))
    world.feed(cmd.SendCue(session.coach, session.id, "q1", "Slow down", 0.0))
    world.feed(
        cmd.MarkCue(coach("ana"), "ana", "q1", True, 0.0), cmd.ReplyToCue(coach("ana"), "ana", "q1", Reply.REPEAT, 0.0)
    )
    world.feed(cmd.Leave(session.coach, session.id))
    file = f"{only(world).id}-{session.id}.wav"
    assert world.of(journal.Coach) == [journal.Coach(SWITCH + 100, session.id, "carla", "Carla", file)]
    assert [line.mode for line in world.of(journal.Mode)] == ["listen", "whisper", "listen"]
    gates = [(line.at - SWITCH, line.gate) for line in world.of(journal.Gate)]
    assert gates[:2] == [(100, "closed"), (100.75, "agent")], "when it was told, and not when that was heard of"
    assert world.of(journal.Beep) == [journal.Beep(SWITCH + 101, session.id)]
    assert world.of(journal.Hand) == [journal.Hand(SWITCH + 101, "ana", "the tariff?")]
    assert world.of(journal.Cue) == [journal.Cue(SWITCH + 101, session.id, "q1", "Slow down")]
    assert world.of(journal.Reply) == [journal.Reply(SWITCH + 101, "q1", "repeat")]
    assert [line.reason for line in world.of(journal.Left)] == ["coach_left"]


def test_a_coach_without_a_track_is_in_the_journal_too() -> None:
    world = noted(quiet=PolicyPart(record_whisper=Whispers.OFF))
    world.coached(call_up(world, queue="quiet"))
    assert [line.file for line in world.of(journal.Coach)] == [None]


def test_who_goes_along_has_another_file_and_who_goes_on_has_left() -> None:
    world = noted()
    session = world.coached(call_up(world), follow=Follow.AGENT)
    world.bridge(world.legs.get("c2", agent_leg("c2", "")), world.legs["a1"])
    first, second = (line.file for line in world.of(journal.Coach))
    assert first != second
    assert [line.reason for line in world.of(journal.Left)] == ["moved"]
    world = noted()
    session = world.coached(call_up(world))
    world.unbridge("a1", "c1")
    world.hang_up("a1")
    call_up(world, agent="a2")
    assert [line.file[37:] for line in world.of(journal.Coach)] == [f"{session.id}.wav", f"{session.id}-2.wav"]
    assert not world.of(journal.Left)


def test_who_takes_over_is_a_party() -> None:
    world = noted()
    session = world.coached(call_up(world))
    world.feed(cmd.TakeOver(session.coach, session.id))
    world.unbridge("a1", "c1")
    call = world.bridge(world.legs[session.leg], world.legs["c1"])
    assert call
    assert [line.reason for line in world.of(journal.Left)] == ["taken_over"]
    assert world.of(journal.Party)[1:] == [journal.Party(SWITCH + 100, "carla", "Carla", call.id)]


def test_what_the_switch_does_not_record() -> None:
    world = noted()
    world.refuses = True
    call_up(world)
    problem = world.of(journal.Problem)[0]
    assert (problem.code, problem.file) == ("not_recorded", only(world).file)
    world.refuses = False
    call_up(world, "c2", "a2")
    file = world.state.recordings["c2"].file
    world.feed(ev.RecordStopped(NODE, "c2", file))
    assert world.of(journal.Problem)[1].code == "cut_short"
    world.feed(ev.RecordStarted(NODE, "c2", "somebody's.wav"))
    assert len(world.of(journal.Begun)) == 1


def test_calls_that_are_not_recorded_leave_nothing() -> None:
    world = noted(off=PolicyPart(record=False))
    session = world.coached(call_up(world, queue="off"))
    world.mode(session, Mode.WHISPER)
    call_up(world, "c2", "a2")  # so that there is a recording at all
    world.noted.clear()
    world.feed(cmd.SendCue(session.coach, session.id, "q1", "Slow down", 0.0))
    world.feed(cmd.RaiseHand(coach("ben"), "ben", "", 0.0))
    world.mode(session, Mode.LISTEN)
    world.mode(session, Mode.WHISPER)
    world.feed(ev.Held(NODE, "a1"))
    assert world.noted == []


@pytest.mark.parametrize("moved", [False, True])
def test_a_start_that_was_never_written_is_written_by_the_next_service(moved: bool) -> None:
    world = noted()
    call_up(world)
    first = world.of(journal.Start)[0]
    if moved:  # the caller is between two agents
        world.unbridge("a1", "c1")
    fresh = replace(world, now=world.now + 1, state=State(), effects=[], pending=[])
    fresh.noted = []
    fresh.feed(ev.NodeSynced(NODE, tuple(on_switch(world))))
    who = {"direction": "", "number": "", "name": ""} if moved else {}
    assert fresh.of(journal.Start) == [replace(first, at=SWITCH + 101, **who)]
    assert fresh.told()[0] == "start"


# --- times -----------------------------------------------------------------------------------------------------------


def test_the_quickest_event_says_how_clocks_differ() -> None:
    clocks = Clocks()
    assert clocks.there("n", 50.0) == 50.0
    for late in (0.4, 0.001, 0.2):
        clocks.heard("n", 100.0 + late, 40.0)
    assert clocks.there("n", 200.0) == pytest.approx(139.999)
    for count in range(scribe.FEW):
        assert clocks.there("near", 200.0) == 200.0, f"{count} events that were late say little"
        clocks.heard("near", 100.4, 100.0)
    assert clocks.there("near", 200.0) == pytest.approx(199.6)
    assert clocks.there("other", 200.0) == 200.0


# --- files -----------------------------------------------------------------------------------------------------------


def moments(world: World, *events: Any, switch_at: float | None = None) -> list[Moment]:
    found = []
    for event in events:
        before = world.state
        effects = world.feed(event)
        found.append(Moment(before, world.state, event, effects, 2000.0, switch_at))
    return found


def a_call(switch_at: float | None = None) -> tuple[World, list[Moment]]:
    """A call that is recorded, as the engine would tell it."""
    world = centre()
    world.prompt = False
    before = world.state
    call_up(world)
    effects = [each for each in world.effects if isinstance(each, fx.RecordCall)]
    event = ev.Inspected(NODE, 0, "c1", "a1", (None, None))
    return world, [Moment(before, world.state, event, effects, 2000.0, switch_at)]


def wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_lines_are_in_the_file_when_it_stops(tmp_path: Path) -> None:
    world, told = a_call(switch_at=1234.5)
    writer = Scribe(tmp_path / "journal")
    writer.start()
    for moment in told:
        writer.note(moment)
    writer.note(Moment(State(), State(), ev.Tick(), [], 2001.0, None))
    writer.stop()
    found = journal.read(tmp_path / "journal" / f"{only(world).id}.jsonl")
    assert [line.WHAT for line in found.lines] == ["start", "party"]
    assert found.start.at == 1234.5
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700


def test_a_service_that_starts_again_goes_on_in_the_same_file(tmp_path: Path) -> None:
    world, told = a_call()
    for _ in range(2):
        writer = Scribe(tmp_path)
        writer.start()
        writer.note(told[0])
        writer.stop()
    found = journal.read(tmp_path / f"{only(world).id}.jsonl")
    assert [line.WHAT for line in found.lines] == ["start", "party", "party"]


def test_a_disk_that_takes_nothing_is_said_once_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(scribe, "RETRY", 0.01)
    (tmp_path / "journal").write_text("in the way")
    world, told = a_call()
    writer = Scribe(tmp_path / "journal")
    with caplog.at_level(logging.WARNING):
        writer.start()
        writer.note(told[0])
        wait(lambda: caplog.records)
        (tmp_path / "journal").unlink()
        wait(lambda: len(caplog.records) > 1)
        writer.stop()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert len(journal.read(tmp_path / "journal" / f"{only(world).id}.jsonl").lines) == 2


def test_a_line_that_was_cut_off_is_said_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scribe, "RETRY", 0.01)
    whole, short = os.write, [10]

    def write(descriptor: int, raw: bytes) -> int:
        return whole(descriptor, raw[: short.pop()] if short else raw)

    monkeypatch.setattr(scribe.os, "write", write)
    world, told = a_call()
    writer = Scribe(tmp_path)
    writer.start()
    writer.note(told[0])
    wait(lambda: not writer._queue)
    writer.stop()
    found = journal.read(tmp_path / f"{only(world).id}.jsonl")
    assert ([line.WHAT for line in found.lines], found.torn) == (["start", "party"], 1)


def test_a_line_that_died_with_its_service_takes_no_other_with_it(tmp_path: Path) -> None:
    world, told = a_call()
    path = tmp_path / f"{only(world).id}.jsonl"
    for torn in (10, -10):  # the first line, and the last one
        writer = Scribe(tmp_path)
        writer.start()
        writer.note(told[0])
        writer.stop()
        path.write_bytes(path.read_bytes()[:torn])
    writer = Scribe(tmp_path)
    writer.start()
    writer.note(told[0])
    writer.stop()
    found = journal.read(path)
    assert ([line.WHAT for line in found.lines], found.torn) == (["start", "party"], 2)


def test_a_service_that_stops_waits_for_no_disk(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("in the way")
    writer = Scribe(tmp_path / "journal")
    writer.start()
    writer.note(a_call()[1][0])
    wait(lambda: writer._failing)
    writer.stop()
    assert not writer._thread.is_alive()


def test_what_is_too_much_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scribe, "BACKLOG", 1)
    writer = Scribe(tmp_path)
    writer.note(a_call()[1][0])
    assert (len(writer._queue), writer._lost) == (1, 1)
    writer.stop()
