"""What the benchmarks of browser coaches reckon with: the voice, where it is found again, and what is on the wire."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from ccwhisper.bench._crowd import copy_configuration
from ccwhisper.bench._laptops import BITS, encoded
from ccwhisper.bench._process import descendants
from ccwhisper.bench._relay import HEADERS, Counts, is_rtp, kbits
from ccwhisper.bench._speech import HEARD_RATE, RATE, Spoken, marks, narrowed, onset, starts, tail, voice
from ccwhisper.bench.opus import Way
from ccwhisper.proof.timeline import Float, Timeline

pytestmark = pytest.mark.unit

FRAME = HEARD_RATE // 50
SAID = voice(seed=3, seconds=3.0)
PHRASES = voice(seed=4, seconds=3.0, pauses=(0.6, 0.9))
BEGAN = 5_000_000_000


def spoken(samples: Float) -> Spoken:
    """As the page records it: chunks of 10 ms, each with the time of its end."""
    ends = np.arange(1, len(samples) // 480 + 1) * 480
    return Spoken.of(samples, RATE, ends, BEGAN + ends * 1_000_000_000 // RATE)


def heard(samples: Float, late_ms: int) -> Timeline:
    """Packets of these samples at HEARD_RATE. The first arrives when its last sample has been said, and `late_ms`."""
    frames = len(samples) // FRAME
    starts_at = np.arange(frames) * FRAME
    times = BEGAN + (np.arange(frames) + 1) * 20_000_000 + late_ms * 1_000_000
    return Timeline(samples[: frames * FRAME], HEARD_RATE, starts_at, times)


def test_a_voice_is_the_same_for_the_same_seed_and_silent_in_its_pauses() -> None:
    assert np.array_equal(SAID, voice(seed=3, seconds=3.0))
    assert not np.allclose(SAID, voice(seed=5, seconds=3.0))
    assert not PHRASES[round(0.6 * RATE) : round(1.5 * RATE)].any()
    assert np.abs(PHRASES[round(1.5 * RATE) :]).max() > 0.1


def test_what_was_said_is_found_again_with_the_time_that_it_took() -> None:
    mine = spoken(SAID)
    found = marks(mine, heard(mine.samples, late_ms=37))
    assert len(found) >= 10
    assert all(each.like > 0.99 for each in found)
    late = [each.late for each in found if each.late is not None]
    # A packet arrives 20 ms after its first sample was said, and as long after its last as it is late.
    assert len(late) == len(found)
    assert 36 < min(late) < max(late) < 58


def test_what_an_agent_on_a_wide_codec_hears_is_found_at_the_same_time() -> None:
    mine = spoken(SAID)
    wide = 2 * HEARD_RATE
    samples = SAID[:: RATE // wide]
    starts_at = np.arange(len(samples) // (2 * FRAME)) * 2 * FRAME
    times = BEGAN + (np.arange(len(starts_at)) + 1) * 20_000_000 + 37_000_000
    found = marks(mine, narrowed(Timeline(samples, wide, starts_at, times)))
    late = [each.late for each in found if each.late is not None]
    assert len(late) == len(found) >= 10
    assert 36 < min(late) < max(late) < 58


def test_the_other_coaches_speak_as_much_opus_as_browsers_do() -> None:
    packets = encoded(seed=21, seconds=3.0)
    assert len(packets) >= 148
    assert 0.8 * BITS < sum(each.size for each in packets) * 8 / (len(packets) / 50) < 1.2 * BITS


def test_what_was_not_said_is_not_found() -> None:
    mine = spoken(SAID)
    found = marks(mine, heard(spoken(voice(seed=8, seconds=3.0)).samples, late_ms=37))
    assert [each.late for each in found] == [None] * len(found)


def test_the_first_syllable_after_a_silence() -> None:
    mine = spoken(PHRASES)
    (first,) = starts(mine, heard(mine.samples, late_ms=37))
    assert (first.spoken - BEGAN) / 1e9 == pytest.approx(1.5, abs=0.01)
    assert first.like > 0.99


@pytest.mark.parametrize(("cut_ms", "lost_ms"), [(0, 0), (80, 80), (-40, -40)])
def test_what_a_press_cut_off_or_let_through(cut_ms: int, lost_ms: int) -> None:
    mine = spoken(SAID)
    press = BEGAN + 1_000_000_000
    samples = mine.samples.copy()
    samples[: HEARD_RATE + cut_ms * 8] = 0
    edge = onset(press, mine, heard(samples, late_ms=30))
    assert edge is not None
    assert edge.lost == pytest.approx(lost_ms, abs=2)
    assert cut_ms + 29 <= edge.audible <= cut_ms + 52
    assert onset(press, mine, heard(samples * 0, late_ms=30)) is None


@pytest.mark.parametrize("lost_ms", [0, 60, -20])
def test_what_a_release_cut_off_or_let_through(lost_ms: int) -> None:
    mine = spoken(SAID)
    release = BEGAN + 2_000_000_000
    samples = mine.samples.copy()
    samples[2 * HEARD_RATE - lost_ms * 8 :] = 0
    edge = tail(release, mine, heard(samples, late_ms=30))
    assert edge is not None
    assert edge.lost == pytest.approx(lost_ms, abs=2)
    assert edge.audible == pytest.approx(30 - lost_ms, abs=20)


def test_rtp_is_told_from_what_else_is_on_its_port() -> None:
    assert is_rtp(bytes([0x80, 102]) + bytes(20))
    assert is_rtp(bytes([0x80, 0x80 | 102]) + bytes(20)), "with the marker"
    assert not is_rtp(bytes([0x80, 200]) + bytes(20)), "RTCP"
    assert not is_rtp(bytes([0x00, 0x01]) + bytes(20)), "STUN"
    assert not is_rtp(bytes([0x16, 0xFE]) + bytes(20)), "DTLS"
    assert not is_rtp(b"")


def test_bits_on_the_wire_of_whole_seconds() -> None:
    counts = Counts()
    for second in (7, 8, 8, 10):
        counts.add(bytes(125 - HEADERS), second)
    assert kbits(counts.sizes, 7_000_000_000, 11_000_000_000) == [1.0, 2.0, 0.0, 1.0]
    assert kbits(counts.sizes, 7_500_000_000, 9_900_000_000) == [2.0]


def test_the_processes_below_one() -> None:
    inner = "import sys; sys.stdin.read()"
    start = f"p = subprocess.Popen([sys.executable, '-c', {inner!r}])"
    outer = f"import subprocess, sys; {start}; print(p.pid, flush=True); p.wait()"
    with subprocess.Popen(
        [sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        assert {child.pid, grandchild} <= set(descendants(os.getpid()))
        assert descendants(child.pid) == [grandchild]
        assert child.stdin is not None
        child.stdin.close()


def test_a_combination_changes_the_configuration(tmp_path: Path) -> None:
    conf = copy_configuration(tmp_path / "conf")
    Way(dtx=True, buffer=60, rate=16000).configure(conf)
    opus, profile = (
        {each.get("name"): each.get("value") for each in ET.parse(conf / name).iter("param")}
        for name in ("autoload_configs/opus.conf.xml", "sip_profiles/browsers.xml")
    )
    assert (opus["use-dtx"], opus["advertise-useinbandfec"], opus["maxaveragebitrate"]) == ("1", "0", "16000")
    assert profile["auto-jitterbuffer-msec"] == "60"
    assert str(Way(dtx=True, fec=True, buffer=60)) == "DTX and FEC, buffer 60 ms"
    assert str(Way()) == "neither"
