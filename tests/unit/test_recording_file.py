"""The file that is made of raw tracks: what is heard on each track and when, what players show, what exports hold."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import get_args

import av
import numpy as np
import pytest

from ccwhisper.recording import journal as log
from ccwhisper.recording import make as making
from ccwhisper.recording import mp4
from ccwhisper.recording.export import extract
from ccwhisper.recording.make import NotWhole, Wish, make
from ccwhisper.recording.raw import RawBroken
from ccwhisper.recording.result import Result, Track, encoded

from .tapes import AGENT, CALLER, COACH, ID, Tape, decoded, heard, killed, level, near, tone, wav

pytestmark = pytest.mark.unit

CODECS = get_args(mp4.Codec)


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return Tape(tmp_path)


def made(tape: Tape, wish: Wish | None = None, over: bool = True) -> tuple[Result, Path]:
    folder = tape.raws.parent / "made"
    folder.mkdir(exist_ok=True)
    raws = {path.name: path for path in tape.raws.iterdir()}
    for line in tape.lines:
        if isinstance(line, log.Coach) and line.file:
            raws.setdefault(line.file, tape.raws / line.file)
    raws.setdefault(tape.call.name, tape.call)
    result = make(tape.write(over), raws, folder, wish or Wish())
    return result, folder / result.file


def codes(result: Result) -> list[str]:
    return [each.code for each in result.problems]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_every_track_has_its_own_voice_at_its_own_time(tape: Tape, tmp_path: Path, codec: mp4.Codec, rate: int) -> None:
    tape = Tape(tmp_path, rate=rate)
    tape.coach("s1", 3.0, [(5.0, 6.5), (9.0, 10.0)])
    tape.coach("s2", 4.52, [(7.25, 8.0)], hertz=2000)
    result, path = made(tape, Wish(codec=codec, bitrate=32_000))
    assert result.problems == ()
    assert result.duration == pytest.approx(12.0, abs=0.001)
    call, found = decoded(path, 0)
    assert near(heard(call[0], found), [(second, second + 0.5) for second in range(1, 12, 2)])
    assert near(heard(call[1], found), [(second, second + 0.5) for second in range(0, 12, 2)])
    first, _ = decoded(path, 1)
    assert near(heard(first[0], found), [(5.0, 6.5), (9.0, 10.0)])
    second, _ = decoded(path, 2)
    assert near(heard(second[0], found), [(7.25, 8.0)])
    # Nobody's voice is anywhere else.
    assert level(first[0], COACH, found) > -40
    assert level(second[0], 2000, found) > -40
    for hertz in (COACH, 2000):
        assert max(level(call[0], hertz, found), level(call[1], hertz, found)) < -80
    assert level(call[0], CALLER, found) > -30 > -80 > level(call[1], CALLER, found)
    assert level(call[1], AGENT, found) > -30 > -80 > level(call[0], AGENT, found)
    assert max(level(first[0], each, found) for each in (CALLER, AGENT, 2000)) < -80


def test_tracks_are_not_shifted_against_each_other_by_the_codec(tape: Tape) -> None:
    """The same clicks on both: the encoders put something in front, and the file says that it is not played."""
    for codec in CODECS:
        tape.coach("s1", 0.0, [(2.0, 4.0), (6.0, 6.5)], rate=8000)
        wav(tape.call, np.stack([tone(COACH, [(2.0, 4.0), (6.0, 6.5)], 12.0)] * 2, axis=1))
        _, path = made(tape, Wish(codec=codec))
        call, rate = decoded(path, 0)
        coach, _ = decoded(path, 1)
        assert near(heard(call[0], rate), heard(coach[0], rate), by=0.002)
        assert near(heard(call[0], rate), [(2.0, 4.0), (6.0, 6.5)], by=0.01)


def test_what_the_switch_did_not_mask_is_silent_all_the_same(tape: Tape) -> None:
    tape.coach("s1", 1.0, [(2.0, 11.0)], gates=[(4.0, 5.0), (7.0, 8.0)])
    _, path = made(tape)
    found, rate = decoded(path, 1)
    assert near(heard(found[0], rate), [(3.9, 5.1), (6.9, 8.1)], by=0.02)


def test_a_coach_who_was_never_to_be_heard_is_not_on_his_track(tape: Tape) -> None:
    tape.coach("s1", 1.0, [(2.0, 11.0)], gates=[])
    _, path = made(tape)
    found, _ = decoded(path, 1)
    assert np.abs(found).max() < 1e-4


def test_a_pause_is_silent_on_all_tracks_and_takes_no_time(tape: Tape) -> None:
    wav(tape.call, np.stack([tone(CALLER, [(0.0, 12.0)], 12.0)] * 2, axis=1))
    tape.coach("s1", 1.0, [(2.0, 11.0)])
    tape.say(log.Pause(4.0, True, "1001"), log.Pause(7.0, False, "1001"))
    result, path = made(tape)
    for track, begin, end in ((0, 0.0, 12.0), (1, 2.0, 11.0)):
        found, rate = decoded(path, track)
        assert near(heard(found[0], rate, level=0.02), [(begin, 4.0), (7.0, end)], by=0.06)
        assert np.abs(found[:, int(4.05 * rate) : int(6.95 * rate)]).max() < 1e-4
    assert result.duration == pytest.approx(12.0)


def test_a_pause_that_nobody_ended_is_silent_to_the_end(tape: Tape) -> None:
    wav(tape.call, np.stack([tone(CALLER, [(0.0, 12.0)], 12.0)] * 2, axis=1))
    tape.say(log.Pause(4.0, True, "1001"))
    _, path = made(tape)
    found, rate = decoded(path, 0)
    assert near(heard(found[0], rate, level=0.02), [(0.0, 4.0)], by=0.06)


def test_tracks_of_different_rates_are_on_one_line(tape: Tape) -> None:
    tape.coach("s1", 2.0, [(5.0, 6.0)], rate=48000)
    tape.coach("s2", 2.0, [(7.0, 8.0)], rate=16000)
    result, path = made(tape)
    assert result.problems == ()
    for track, span in ((1, (5.0, 6.0)), (2, (7.0, 8.0))):
        found, rate = decoded(path, track)
        assert rate == 48000
        assert near(heard(found[0], rate), [span])
    call, rate = decoded(path, 0)
    assert near(heard(call[0], rate), [(second, second + 0.5) for second in range(1, 12, 2)])


def test_a_mono_call_is_heard_on_both_sides_and_a_stereo_coach_in_the_middle(tape: Tape) -> None:
    wav(tape.call, tone(CALLER, [(3.0, 4.0)], 12.0))
    path = tape.coach("s1", 1.0, [(5.0, 6.0)])
    sound = tone(COACH, [(4.0, 5.0)], 11.0)
    wav(path, np.stack([sound, sound], axis=1))
    _, file = made(tape)
    call, rate = decoded(file, 0)
    assert near(heard(call[0], rate), [(3.0, 4.0)])
    assert near(heard(call[1], rate), [(3.0, 4.0)])
    assert near(heard(decoded(file, 1)[0][0], rate), [(5.0, 6.0)])


def test_a_track_that_begins_before_the_call(tape: Tape) -> None:
    tape.coach("s1", -2.0, [(1.0, 2.0)])
    _, path = made(tape)
    found, rate = decoded(path, 1)
    assert near(heard(found[0], rate), [(1.0, 2.0)])


# --- what a switch leaves ----------------------------------------------------------------------------------------


def test_a_switch_that_died_left_what_it_had_written(tape: Tape) -> None:
    killed(tape.call)
    killed(tape.coach("s1", 3.0, [(5.0, 6.0)]))
    tape.lines = [line for line in tape.lines if not isinstance(line, log.Ended)]
    result, path = made(tape, over=False)
    assert codes(result) == ["track_unfinished", "track_unfinished"]
    assert result.duration == pytest.approx(12.0)
    assert near(heard(decoded(path, 1)[0][0], 8000), [(5.0, 6.0)])


def test_the_recording_is_as_long_as_its_longest_track(tape: Tape) -> None:
    tape.coach("s1", 3.0, [(10.0, 11.0)])
    wav(tape.call, tone(CALLER, [(3.0, 4.0)], 5.0))
    result, path = made(tape)
    assert codes(result) == ["track_short"]
    assert result.duration == pytest.approx(12.0)
    assert near(heard(decoded(path, 1)[0][0], 8000), [(10.0, 11.0)])


@pytest.mark.parametrize("millionths", [250, -250])
def test_a_clock_that_runs_off_is_evened_out(tape: Tape, tmp_path: Path, millionths: int) -> None:
    """Ten minutes of a sound card that is off: without correction its end would lie 150 ms from where it was."""
    tape = Tape(tmp_path, seconds=600.0)
    tape.lines = [line for line in tape.lines if not isinstance(line, log.Party)]
    path = tape.coach("s1", 0.0, [(10.0, 11.0), (590.0, 591.0)])
    own = round(8000 * (1 + millionths / 1e6))  # its samples in a second of the switch's
    wav(path, tone(COACH, [(10.0, 11.0), (590.0, 591.0)], 600.0, own))
    result, file = made(tape)
    assert codes(result) == ["clock_drift"]
    assert f"{millionths:+d} ppm" in result.problems[0].text
    found, rate = decoded(file, 1)
    assert near(heard(found[0], rate), [(10.0, 11.0), (590.0, 591.0)], by=0.02)
    assert result.duration == pytest.approx(600.0, abs=0.01)


@pytest.mark.parametrize(("seconds", "code"), [(10.0, "track_short"), (14.0, "track_long")])
def test_a_track_that_is_no_clock_is_told_and_left_as_it_is(tape: Tape, seconds: float, code: str) -> None:
    wav(tape.call, np.stack([tone(CALLER, [(3.0, 4.0)], seconds)] * 2, axis=1))
    result, path = made(tape)
    assert codes(result) == [code]
    assert near(heard(decoded(path, 0)[0][0], 8000), [(3.0, 4.0)])


def test_a_coachs_track_that_is_missing_is_told(tape: Tape) -> None:
    tape.coach("s1", 3.0, [(5.0, 6.0)]).unlink()
    tape.coach("s2", 3.0, [(7.0, 8.0)])
    result, path = made(tape)
    assert codes(result) == ["track_missing"]
    assert [each.track for each in result.coaches] == [None, 1]
    assert [each.session for each in result.tracks] == [None, "s2"]
    assert near(heard(decoded(path, 1)[0][0], 8000), [(7.0, 8.0)])


@pytest.mark.parametrize("begin", [-3600.0, 1e9])
def test_a_clock_that_was_set_makes_no_endless_file(tape: Tape, begin: float) -> None:
    tape.coach("s1", 3.0, [(5.0, 6.0)])
    begun = next(line for line in tape.lines if isinstance(line, log.Begun) and "s1" in line.file)
    tape.lines[tape.lines.index(begun)] = replace(begun, at=begun.at + begin)
    result, _ = made(tape)
    assert codes(result) == ["track_astray"]
    assert result.duration == pytest.approx(12.0)
    assert [each.track for each in result.coaches] == [None]


@pytest.mark.parametrize("content", [None, b"", b"RIFF but nothing more"])
def test_without_the_call_there_is_no_recording(tape: Tape, content: bytes | None) -> None:
    tape.coach("s1", 3.0, [(5.0, 6.0)])
    tape.call.unlink()
    if content is not None:
        tape.call.write_bytes(content)
    with pytest.raises(RawBroken):
        made(tape)


# --- what is in the file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", CODECS)
def test_what_players_show(tape: Tape, codec: mp4.Codec) -> None:
    tape.coach("s1", 3.0, [(5.0, 6.0)])
    tape.say(log.Cue(7.0, "s1", "q1", "Ünïcode · and more"))
    result, path = made(tape, Wish(codec=codec, language="deu"))
    with av.open(str(path)) as container:
        said = {key: container.metadata[key] for key in ("title", "recording", "queue", "agent", "call", "node")}
        streams = [
            (each.codec_context.name, each.channels, bool(each.disposition & av.stream.Disposition.default))
            for each in container.streams.audio
        ]
        names = [(each.metadata["name"], each.metadata["language"]) for each in container.streams.audio]
        chapters = [
            (float(each["start"] * Fraction(each["time_base"] or 1)), each["metadata"]["title"])
            for each in container.chapters()
        ]
    assert said == {
        "title": "Call, sales", "recording": ID, "queue": "sales", "agent": "Ada", "call": "leg-1", "node": "fs1"
    }  # fmt: skip
    assert streams == [(codec, 2, True), (codec, 1, False)]
    assert names == [("Call", "deu"), ("Coach Carl", "deu")]
    assert chapters == [
        (0.0, "Call, sales"),
        (0.1, "Ada"),
        (2.95, "Carl listens"),
        (3.0, "Carl: listen"),
        (5.0, "Carl: whisper"),
        (6.0, "Carl: listen"),
        (7.0, "Carl: Ünïcode · and more"),
    ]
    assert (result.size, len(result.sha256)) == (path.stat().st_size, 64)
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")  # a player begins before it has all


def test_many_moments_at_once_are_one_chapter_with_a_length(tape: Tape) -> None:
    tape.say(log.Hold(12.0, True), log.Hold(12.0, False), log.Hand(5.0, "1001", ""), log.Hold(5.0, True))
    _, path = made(tape)
    with av.open(str(path)) as container:
        found = [(each["start"], each["end"], each["metadata"]["title"]) for each in container.chapters()]
    assert all(start < end for start, end, _ in found)
    assert [text for _, _, text in found[-2:]] == ["Help · Hold", "Hold · Hold ends"]


def test_the_result_says_what_the_file_holds(tape: Tape) -> None:
    tape.coach("s1", 3.0, [(5.0, 6.0)])
    result, _ = made(tape, Wish(threshold=-45.0))
    assert result.tracks == (
        Track(0, "call", "Call", "und", 2, "aac"),
        Track(1, "coach", "Coach Carl", "und", 1, "aac", "s1"),
    )
    assert result.coaches[0].track == 1
    assert result.bleed is not None
    assert {(each.session, each.channel) for each in result.bleed.traces} == {("s1", "caller"), ("s1", "agent")}


def test_a_copy_of_a_coach_on_the_caller_is_found_at_every_rate(tape: Tape, tmp_path: Path) -> None:
    noise = (np.random.default_rng(7).standard_normal(12 * 16000) * 3000).astype(np.int16)
    for rate in (8000, 16000):
        tape = Tape(tmp_path / str(rate), rate=rate)
        path = tape.coach("s1", 0.0, [(2.0, 10.0)], rate=rate)
        said = noise[: 12 * rate].copy()
        said[: 2 * rate] = said[10 * rate :] = 0
        wav(path, said, rate)
        wav(tape.call, np.stack([np.roll(said // 2, rate // 25), noise[-len(said) :] // 16], axis=1), rate)
        result, _ = made(tape, Wish(threshold=-45.0))
        assert result.bleed is not None
        assert [(each.channel, each.kind) for each in result.bleed.traces if each.flagged] == [("caller", "routing")]


def test_a_measurement_that_fails_costs_no_recording(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_given: object) -> None:
        raise ZeroDivisionError("no")

    tape.coach("s1", 3.0, [(5.0, 6.0)])
    for step in ("add", "done"):
        with monkeypatch.context() as patch:
            patch.setattr(making.Meter, step, stumble)
            result, _ = made(tape, Wish(threshold=-45.0))
        assert result.bleed is None
        assert codes(result) == ["bleed_not_measured"]


def test_peaks_are_of_every_channel_twenty_times_a_second(tape: Tape) -> None:
    tape.coach("s1", 3.0, [(5.0, 6.0)])
    result, path = made(tape)
    head, _, values = (path.parent / (result.peaks or "")).read_bytes().partition(b"\n")
    said = json.loads(head)
    assert said == {
        "version": 1, "interval": 0.05, "floor": -80.0, "count": 240,
        "channels": [{"track": 0, "channel": 0}, {"track": 0, "channel": 1}, {"track": 1, "channel": 0}],
    }  # fmt: skip
    drawn = np.frombuffer(values, np.uint8).reshape(3, 240)
    loud = round(255 * (1 + 20 * np.log10(12000 / 32768) / 80))
    assert drawn[0, 20] == pytest.approx(loud, abs=1)
    assert drawn[2, 101] == pytest.approx(loud, abs=1)
    assert not drawn[2, :99].any()
    assert not drawn[0, :19].any()


def test_a_file_that_is_not_what_it_was_to_be_is_refused(tape: Tape, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mp4.verify
    wrong = [
        lambda found: found[:-1],
        lambda found: (replace(found[0], seconds=11.0), *found[1:]),
        lambda found: (found[0], replace(found[1], channels=2)),
        lambda found: (replace(found[0], default=False), *found[1:]),
    ]
    tape.coach("s1", 3.0, [(5.0, 6.0)])
    for spoil in wrong:
        monkeypatch.setattr(making.mp4, "verify", lambda path, spoil=spoil: spoil(whole(path)))
        with pytest.raises(NotWhole):
            made(tape)


def test_a_file_that_ends_too_early_is_not_verified(tape: Tape) -> None:
    _, path = made(tape)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    try:
        (found,) = mp4.verify(path)
    except av.FFmpegError:
        return
    assert found.seconds < 11


# --- exports -----------------------------------------------------------------------------------------------------


def packets(path: Path, track: int) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(each) for each in container.demux(container.streams.audio[track]) if each.size]


@pytest.mark.parametrize("codec", CODECS)
def test_the_call_without_its_coaches_holds_nothing_of_them(tape: Tape, codec: mp4.Codec) -> None:
    rng = np.random.default_rng(3)
    path = tape.coach("s1", 3.0, [(4.0, 11.0)])
    wav(path, (rng.standard_normal(9 * 8000) * 4000).astype(np.int16))
    tape.say(
        log.Cue(7.0, "s1", "q1", "Offer the annual plan"),
        log.Beep(7.1, "s1"),
        log.Hand(7.5, "1001", "What is the discount?"),
        log.Hold(8.0, True),
        log.Left(9.0, "s1", "ended"),
    )
    result, file = made(tape, Wish(codec=codec))
    file.with_suffix(".json").write_bytes(encoded(result))
    out = tape.raws / "call.mp4"
    extract(file, out, [0])
    content = out.read_bytes()
    for word in (b"Carl", b"whisper", b"annual", b"discount", b"Help", b"Beep", b"Coach", b"listen"):
        assert word in file.read_bytes()
        assert word not in content
    said = [each for each in packets(file, 1) if len(each) > 40]
    assert len(said) > 20
    assert not any(each in content for each in said)
    assert packets(out, 0) == packets(file, 0)
    before, rate = decoded(file, 0)
    after, _ = decoded(out, 0)
    assert abs(before.shape[1] - after.shape[1]) < 0.01 * rate
    assert near(heard(after[0], rate), [(second, second + 0.5) for second in range(1, 12, 2)])
    with av.open(str(out)) as container:
        assert [each["metadata"]["title"] for each in container.chapters()] == ["Call, sales", "Ada", "Hold"]
        assert container.metadata["recording"] == ID


@pytest.mark.parametrize("codec", CODECS)
def test_one_track_alone_is_at_the_same_time(tape: Tape, codec: mp4.Codec) -> None:
    tape.coach("s1", 3.0, [(5.0, 6.0)])
    tape.coach("s2", 3.0, [(7.0, 8.0)])
    _, file = made(tape, Wish(codec=codec))
    out = tape.raws / "coach.mp4"
    extract(file, out, [2])
    found, rate = decoded(out, 0)
    assert near(heard(found[0], rate), [(7.0, 8.0)])
    with av.open(str(out)) as container:
        (stream,) = container.streams.audio
        assert stream.metadata["name"] == "Coach Carl"
        assert stream.disposition & av.stream.Disposition.default
        assert not container.chapters()
    assert [each.name for each in out.parent.iterdir() if each.name.startswith(".")] == []


def test_a_track_that_there_is_not_is_refused(tape: Tape) -> None:
    _, file = made(tape)
    out = tape.raws / "coach.mp4"
    for wanted in ([], [1], [-1]):
        with pytest.raises(ValueError, match="tracks 0 to 0"):
            extract(file, out, wanted)
    assert not out.exists()


def test_a_coach_who_goes_along_to_the_next_call_has_one_track(tape: Tape) -> None:
    """The switch has written a file for each of the two."""
    tape.coach("s1", 1.0, [(2.0, 3.0)])
    tape.say(log.Left(5.0, "s1", "moved"))
    other = tape.coach("s1-2", 6.0, [(8.0, 9.5)])
    for number, line in enumerate(tape.lines):
        if getattr(line, "session", None) == "s1-2":
            tape.lines[number] = replace(line, session="s1")  # type: ignore[type-var]
    result, path = made(tape, Wish(threshold=-45.0))
    assert (result.problems, [each.session for each in result.tracks]) == ((), [None, "s1"])
    assert [each.track for each in result.coaches] == [1, 1]
    sound, rate = decoded(path, 1)
    assert near(heard(sound[0], rate), [(2.0, 3.0), (8.0, 9.5)])
    assert result.bleed is not None
    assert {each.session for each in result.bleed.traces} == {"s1"}
    assert other.exists()
