"""What a switch is told when calls and coaches are recorded, in which order, and what follows when it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from uuid import UUID

import pytest

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.modes import Gate, Mode
from ccwhisper.coaching.recorded import Mark, Whispers, track_file
from ccwhisper.switch import recording, records
from ccwhisper.switch.errors import UnsafeArgument
from ccwhisper.switch.frames import Event
from ccwhisper.switch.node import NodeAddress, SwitchNode, SwitchSettings
from ccwhisper.switch.translate import facts, leg_of

from .conftest import PASSWORD, Switch
from .test_nodes import OURS, PARTY, REFUSED, Bench, gate, news, record, setvar

pytestmark = pytest.mark.protocol

ID = str(UUID(int=7))
CALL, TRACK = f"{ID}-call.wav", track_file(ID, "s1")
MARK = Mark(ID, 1, "call", "sales", 8000, Whispers.SEPARATE, None, None)
MASK, UNMASK = (f"api uuid_record k1 {verb} /srv/raw/{TRACK}" for verb in ("mask", "unmask"))


@pytest.fixture
def bench(switch: Switch) -> Iterator[Bench]:
    bench = Bench(switch)
    address = NodeAddress("n", "127.0.0.1", switch.port, PASSWORD, recordings="/srv/raw/")
    backoff = bench.node.link._backoff
    bench.node = SwitchNode(address, SwitchSettings(OURS))
    bench.node.link._backoff = backoff
    bench.up()
    yield bench
    bench.node.stop()


def test_a_callers_leg_has_its_buffer_before_it_is_recorded_and_its_mark_after(bench: Bench) -> None:
    said = bench.do(fx.RecordCall("n", "c1", CALL, MARK, buffer=True))
    assert said[:3] == [
        "api uuid_setvar c1 rtp_jitter_buffer_during_bridge true",
        "api uuid_jitterbuffer c1 40",
        "api uuid_jitterbuffer c1 resume",
    ]
    start, mark = said[3:]
    assert start.startswith(f"api uuid_record c1 start /srv/raw/{CALL} 0 {{RECORD_STEREO=true,RECORD_READ_ONLY=false,")
    assert "RECORD_HANGUP_ON_ERROR=false" in start, "whatever the leg's own variables say"
    assert " " not in start[start.index("{") :]
    assert mark == f"api uuid_setvar c1 {records.marked(OURS)} {records.dump_mark(MARK)}"
    assert bench.kept == []
    assert bench.do(fx.RecordCall("n", "c1", CALL, MARK, buffer=False)) == [start, mark]
    silent = bench.do(fx.RecordCall("n", "c1", CALL, MARK, buffer=False, masked=True))
    assert silent == [start, f"api uuid_record c1 mask /srv/raw/{CALL}", mark], "before anything else can happen"


def test_a_coachs_track_begins_with_silence(bench: Bench) -> None:
    start, mask = bench.do(fx.RecordCoach("n", "k1", TRACK))
    assert start.startswith(f"api uuid_record k1 start /srv/raw/{TRACK} 0 {{RECORD_STEREO=false,RECORD_READ_ONLY=true,")
    assert mask == MASK


def test_a_track_holds_what_is_said_from_before_the_gate_opens_until_after_it_closes(bench: Bench) -> None:
    opened, closed = record(Gate.AGENT, Mode.WHISPER), record()
    said = bench.do(fx.TellGate("n", "s1", "k1", Gate.AGENT, opened, TRACK))
    assert said == [UNMASK, setvar("k1", opened), gate("k1", 2), news(opened)]
    said = bench.do(fx.TellGate("n", "s1", "k1", Gate.CLOSED, closed, TRACK))
    assert said == [gate("k1", 0), setvar("k1", closed), MASK, news(closed)]
    said = bench.do(fx.TellGate("n", "s1", "k1", Gate.AGENT, opened, TRACK, paused=True))
    assert said == [MASK, setvar("k1", opened), gate("k1", 2), news(opened)]


def test_small_effects(bench: Bench) -> None:
    assert bench.do(fx.MaskTrack("n", "k1", TRACK, masked=True)) == [MASK]
    assert bench.do(fx.MaskTrack("n", "k1", TRACK, masked=False)) == [UNMASK]
    assert bench.do(fx.StopTrack("n", "k1", TRACK)) == [f"api uuid_record k1 stop /srv/raw/{TRACK}"]
    mark = f"api uuid_setvar c1 {records.marked(OURS)} {records.dump_mark(MARK)}"
    assert bench.do(fx.RememberRecording("n", "c1", MARK)) == [mark]
    first, marks, bridge = bench.do(fx.ConnectCaller("n", "s1", "k1", "c1", PARTY, TRACK))
    assert first == f"api uuid_record k1 stop /srv/raw/{TRACK}", "what he says from now on is in the call's"
    assert marks.startswith("api uuid_setvar_multi k1 ")
    assert bridge == "api uuid_bridge k1 c1"


def test_the_dead_man_of_a_key_silences_the_track_too(bench: Bench) -> None:
    arm = fx.ArmDeadman("n", "k1", "a1", 3, TRACK)
    both = ["api sched_api +3 k1 uuid_transfer k1 'eavesdrop:a1,park' inline", f"api sched_api +3 k1 {MASK[4:]}"]
    assert bench.do(arm) == both
    assert bench.do(arm) == [*both, "api sched_del 11", "api sched_del 12"]
    assert bench.do(fx.DisarmDeadman("n", "k1")) == ["api sched_del 13", "api sched_del 14"]


def test_a_recording_that_is_refused_is_said_and_no_gate_waits_for_it(bench: Bench) -> None:
    bench.replies["api uuid_record"] = REFUSED
    bench.do(fx.RecordCall("n", "c1", CALL, MARK, buffer=True), fx.RecordCoach("n", "k1", TRACK))
    told = [(type(each), getattr(each, "leg", ""), getattr(each, "file", "")) for each in bench.kept]
    assert told == [(ev.RecordFailed, "c1", CALL), (ev.RecordFailed, "k1", TRACK)]
    bench.do(
        fx.TellGate("n", "s1", "k1", Gate.AGENT, record(Gate.AGENT), TRACK),
        fx.ConnectCaller("n", "s1", "k1", "c1", PARTY, TRACK),
        fx.MaskTrack("n", "k1", TRACK, masked=True),
    )
    assert bench.kept == [ev.GateTold("s1", Gate.AGENT)]
    assert bench.node.link.up


def test_a_call_is_recorded_although_its_leg_takes_no_buffer(bench: Bench) -> None:
    bench.replies["api uuid_jitterbuffer"] = REFUSED
    assert len(bench.do(fx.RecordCall("n", "c1", CALL, MARK, buffer=True))) == 5
    assert bench.kept == []


def test_what_cannot_be_said_safely_is_not_said(bench: Bench) -> None:
    bench.do(fx.RecordCall("n", "c1", "../call.wav", MARK, buffer=False))
    assert bench.said == []
    for folder in ("raw", "/a b", "/a/../b", "/a'b", "/a\nb", "/a{b", "/a;b", ""):
        with pytest.raises(UnsafeArgument):
            recording.stop("c1", folder, CALL)
    for file in ("call.mp3", "a/b.wav", "-call.wav", "a b.wav", "a.wav 0"):
        with pytest.raises(UnsafeArgument):
            recording.mask("c1", "/srv/raw", file, masked=True)
    with pytest.raises(UnsafeArgument):
        recording.start("c1", "/srv/raw", CALL, "agent")  # type: ignore[arg-type]


def test_events_become_facts_for_our_files_alone() -> None:
    def said(name: str, path: str) -> list[ev.Fact]:
        return list(facts("n", Event({"Event-Name": name, "Unique-ID": "c1", "Record-File-Path": path}, ""), OURS))

    assert said("RECORD_START", f"/srv/raw/{CALL}") == [ev.RecordStarted("n", "c1", CALL)]
    assert said("RECORD_STOP", f"/srv/raw/{TRACK}") == [ev.RecordStopped("n", "c1", TRACK)]
    assert said("RECORD_START", "/var/spool/queue-recording.wav") == []


def test_a_leg_brings_its_mark_back() -> None:
    for mark in (MARK, Mark(ID, 2, "call", None, 16000, Whispers.OFF, 'Ünïcode "x" \\', "policy", "-ERR")):
        dump = {"Unique-ID": "c1", f"variable_{records.marked(OURS)}": records.dump_mark(mark)}
        leg = leg_of(dump, OURS)
        assert leg_of(dump, "another installation").recording is None, "that records the same leg"
        assert leg.recording == mark
    for nonsense in ("", "x", "e30", records.dump_mark(MARK)[:-9]):
        assert records.load_mark(nonsense) is None


@pytest.mark.parametrize(
    "said",
    [
        {"id": f"../../{ID}"},
        {"id": f"{ID}/x"},
        {"id": "another"},
        {"id": 5},
        {"call": ["call"]},
        {"queue": 5},
        {"rate": "8000"},
        {"number": True},
        {"over": {}, "paused": {"by": 1}},
    ],
)
def test_a_mark_that_a_switch_has_made_up_is_none(said: dict[str, object]) -> None:
    """The journal of a recording is a file that is named after its id."""
    word = records._word(asdict(MARK) | {"whispers": MARK.whispers.value} | said)
    assert records.load_mark(records.dump_mark(MARK)) == MARK
    assert records.load_mark(word) is None
