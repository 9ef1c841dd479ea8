"""Sources, codecs and analyses of the synthetic phones, without a socket."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccwhisper.proof.codecs import (
    G722,
    L16_8000,
    L16_16000,
    OPUS,
    OPUS_STEREO,
    PCMA,
    PCMU,
    Codec,
    codec_named,
    codec_of_rtpmap,
)
from ccwhisper.proof.exact import ExactReport
from ccwhisper.proof.sources import frames_of
from ccwhisper.proof.timeline import RxFrame, TxFrame, timeline
from ccwhisper.proof.tones import (
    CLEAR_TONES,
    FLOOR_DBFS,
    Bursts,
    Noise,
    Samples,
    Silence,
    Tone,
    frames_exact,
    is_silent,
    level_dbfs,
    peak_dbfs,
    spectral_floor,
)

pytestmark = pytest.mark.unit

MS = 1_000_000
CODECS = [PCMU, PCMA, L16_8000, L16_16000]


def sent(payloads: list[bytes], size: int = 160) -> list[TxFrame]:
    return [TxFrame(i * 20 * MS, i & 0xFFFF, i * size, payload) for i, payload in enumerate(payloads)]


def received(payloads: list[bytes], size: int = 160, pt: int = 0) -> list[RxFrame]:
    return [RxFrame(i * 20 * MS + 7, i & 0xFFFF, i * size, pt, payload) for i, payload in enumerate(payloads)]


def report(before: list[bytes], after: list[bytes], codec: Codec = PCMU) -> ExactReport:
    return frames_exact(sent(before), received(after), codec)


# -- codecs


def test_g711_decodes_the_reference_values() -> None:
    # ITU-T G.711, tables 1a and 2a: the ends of the scale and the smallest steps, on the 16-bit scale.
    assert PCMU.decode(bytes([0x80, 0x00, 0xFF, 0x7F, 0xFE, 0x7E])).tolist() == [32124, -32124, 0, 0, 8, -8]
    assert PCMA.decode(bytes([0xAA, 0x2A, 0xD5, 0x55])).tolist() == [32256, -32256, 8, -8]


@pytest.mark.parametrize("codec", [PCMU, PCMA])
def test_g711_survives_being_coded_again(codec: Codec) -> None:
    every = bytes(range(256))
    again = codec.encode(codec.decode(every))
    assert codec.canonical(again) == codec.canonical(every)
    assert again == codec.encode(codec.decode(again))


@pytest.mark.parametrize("codec", [PCMU, PCMA])
@given(value=st.integers(-32768, 32767))
def test_g711_picks_the_nearest_value(codec: Codec, value: int) -> None:
    heard = int(codec.decode(codec.encode(np.array([value], dtype=np.int16)))[0])
    values = codec.decode(bytes(range(256))).astype(int)
    assert abs(heard - value) == np.abs(values - value).min()


@pytest.mark.parametrize("codec", [L16_8000, L16_16000])
def test_l16_is_big_endian_and_lossless(codec: Codec) -> None:
    pcm = np.array([1, -2, 32767, -32768], dtype=np.int16)
    assert codec.encode(pcm)[:2] == b"\x00\x01"
    assert codec.decode(codec.encode(pcm)).tolist() == pcm.tolist()


@pytest.mark.parametrize("freq", [300, 1000, 3900, 5000, 7000])
def test_g722_carries_both_of_its_bands(freq: float) -> None:
    twice = frames_of(Tone(freq, seconds=1.0), G722) * 2  # the seam of its loop is not heard either
    pcm = G722.decode(b"".join(twice))[8000:24000]
    assert level_dbfs(pcm, freq, G722.rate) == pytest.approx(-16, abs=0.3)
    assert spectral_floor(pcm, G722.rate, without=[freq]) < -50


def test_g722_goes_on_where_the_frame_before_has_ended() -> None:
    frames = frames_of(Tone(1000, seconds=1.0), G722)
    assert {len(frame) for frame in frames} == {160}
    whole = G722.decode(b"".join(frames))
    decode = G722.decoder()
    assert np.array_equal(np.concatenate([decode(frame) for frame in frames]), whole)
    assert not np.array_equal(np.concatenate([G722.decode(frame) for frame in frames]), whole)


def test_a_line_of_g722_has_two_samples_a_tick() -> None:
    frames = frames_of(Tone(5000, seconds=1.0), G722)
    line = timeline(received(list(frames), pt=9), {9: G722}.get, 16000)
    assert np.array_equal(np.rint(line.samples * 32768), G722.decode(b"".join(frames)))
    assert line.starts[1] == 320


@pytest.mark.parametrize("codec", [OPUS, OPUS_STEREO])
def test_opus_packets_are_of_one_size_and_one_tone(codec: Codec) -> None:
    frames = frames_of(Tone(1091, seconds=1.0), codec)
    assert {len(frame) for frame in frames} == {160}
    decode = codec.decoder()
    pcm = np.concatenate([decode(frame) for frame in frames * 2])[codec.rate // 2 : codec.rate * 3 // 2]
    assert level_dbfs(pcm, 1091, codec.rate) == pytest.approx(-16, abs=0.1)
    assert spectral_floor(pcm, codec.rate, without=[1091]) < -70


def test_how_sdp_calls_them() -> None:
    for codec in (PCMU, PCMA, G722, L16_8000, L16_16000, OPUS):
        assert codec_of_rtpmap(str(codec)) is codec
    assert str(OPUS) == str(OPUS_STEREO) == "opus/48000/2"
    assert (OPUS.parameters, OPUS_STEREO.parameters) == ("stereo=0; sprop-stereo=0", "stereo=1; sprop-stereo=1")
    assert codec_of_rtpmap("pcmu/8000/1") is PCMU
    assert codec_of_rtpmap("L16/16000/2") is None
    assert codec_of_rtpmap("opus/48000") is None


def test_names() -> None:
    assert codec_named("g722") is G722
    assert codec_named("opus/stereo") is OPUS_STEREO
    assert codec_named("pcma") is PCMA
    assert codec_named("L16") is L16_16000
    assert codec_named("L16/8000") is L16_8000
    with pytest.raises(ValueError, match="G729"):
        codec_named("G729")


# -- sources and levels


@pytest.mark.parametrize("codec", CODECS)
def test_a_tone_at_minus_16_is_heard_at_minus_16(codec: Codec) -> None:
    pcm = codec.decode(b"".join(frames_of(Tone(1000), codec)[:20]))
    assert level_dbfs(pcm, 1000, codec.rate) == pytest.approx(-16, abs=0.15)
    assert is_silent(level_dbfs(pcm, 440, codec.rate))
    assert spectral_floor(pcm, codec.rate, without=[1000]) < -50


def test_two_tones_are_told_apart() -> None:
    both = Tone(1000).pcm(8000)[:3200] + Tone(1100, -40).pcm(8000)[:3200]
    assert level_dbfs(both, 1000, 8000) == pytest.approx(-16, abs=0.1)
    assert level_dbfs(both, 1100, 8000) == pytest.approx(-40, abs=0.2)
    assert is_silent(level_dbfs(both, 1200, 8000))


@pytest.mark.parametrize("codec", [PCMU, PCMA])
def test_clear_tones_do_not_imitate_each_other(codec: Codec) -> None:
    for count in (1, 2, 3, 4):
        for speaking in combinations(CLEAR_TONES, count):
            mixed = np.sum([Tone(f).pcm(8000)[:1600].astype(int) for f in speaking], axis=0).clip(-32768, 32767)
            heard = codec.decode(codec.encode(mixed.astype(np.int16)))
            for freq in CLEAR_TONES:
                level = level_dbfs(heard, freq, 8000)
                assert level == pytest.approx(-16, abs=0.3) if freq in speaking else level < -68


def test_full_scale_is_zero() -> None:
    assert level_dbfs(Tone(500, 0.0).pcm(8000), 500, 8000) == pytest.approx(0, abs=0.01)
    assert level_dbfs([], 500, 8000) == FLOOR_DBFS
    assert spectral_floor([], 8000) == FLOOR_DBFS


def test_silence_is_exact() -> None:
    assert peak_dbfs(Silence().pcm(8000)) == FLOOR_DBFS
    assert peak_dbfs(np.array([0, 1, 0], dtype=np.int16)) == pytest.approx(-90.3, abs=0.01)
    assert peak_dbfs([]) == FLOOR_DBFS
    assert peak_dbfs(PCMA.decode(frames_of(Silence(), PCMA)[0])) < -70


def test_the_loop_of_a_tone_has_no_seam() -> None:
    pcm = Tone(440.1).pcm(8000)
    twice = np.concatenate([pcm[-1600:], pcm[:1600]])
    assert spectral_floor(twice, 8000, without=[440.1]) < -75


@pytest.mark.parametrize("codec", CODECS)
def test_noise_never_repeats_a_frame(codec: Codec) -> None:
    frames = [codec.canonical(frame) for frame in frames_of(Noise(7, seconds=10.0), codec)]
    assert len(set(frames)) == len(frames) == 500
    assert set(frames).isdisjoint(frames_of(Noise(8, seconds=10.0), codec))


def test_noise_has_the_power_it_says() -> None:
    wave = Noise(1, -16.0).pcm(8000) / 32768
    assert 10 * np.log10(2 * np.mean(wave**2)) == pytest.approx(-16, abs=0.1)


def test_bursts_begin_with_a_frame() -> None:
    loud = [any(PCMU.decode(f)) for f in frames_of(Bursts(1, every=0.2, length=0.06, seconds=2.0), PCMU)]
    assert loud == ([False] * 7 + [True] * 3) * 10


def test_samples_are_filled_up_to_whole_frames() -> None:
    frames = frames_of(Samples(np.full(170, 1000, dtype=np.int16)), L16_8000)
    assert [len(frame) for frame in frames] == [320, 320]
    assert L16_8000.decode(frames[1]).tolist() == [1000] * 10 + [0] * 150
    with pytest.raises(ValueError, match="at least one sample"):
        frames_of(Samples(np.zeros(0, dtype=np.int16)), L16_8000)


# -- timelines


def test_frames_are_put_in_their_places() -> None:
    frames = frames_of(Noise(3), PCMU)[:5]
    arrived = received(list(frames))
    arrived[1], arrived[2] = arrived[2], arrived[1]
    del arrived[3]
    line = timeline(arrived, lambda _: PCMU, 8000)
    whole = np.concatenate([PCMU.decode(f) for f in frames]) / 32768
    whole[3 * 160 : 4 * 160] = 0
    np.testing.assert_array_equal(line.samples, whole)
    assert line.time_of(0) == 7
    assert line.time_of(4 * 160 + 3) == 80 * MS + 7


def test_timestamps_wrap_and_jump() -> None:
    frames = list(frames_of(Noise(3), PCMU)[:6])
    near_the_end = [f._replace(ts=(f.ts + (1 << 32) - 320) & 0xFFFFFFFF) for f in received(frames)]
    assert len(timeline(near_the_end, lambda _: PCMU, 8000).samples) == 960
    jumping = [f._replace(ts=f.ts if i < 3 else f.ts + 5_000_000) for i, f in enumerate(received(frames))]
    line = timeline(jumping, lambda _: PCMU, 8000)
    assert len(line.samples) == 960
    assert timeline([], lambda _: PCMU, 8000).time_of(0) is None


def test_frames_of_another_codec_are_left_out() -> None:
    frames = received([frames_of(Noise(3), PCMU)[0]], pt=0) + received([b"\0" * 640], pt=96)
    line = timeline(frames, {0: PCMU, 96: L16_16000}.get, 8000)
    assert len(line.samples) == 160


# -- exactness


@pytest.fixture(scope="module")
def noise() -> list[bytes]:
    return list(frames_of(Noise(11), PCMU)[:50])


def test_all_of_it(noise: list[bytes]) -> None:
    found = report(noise, noise[5:40])
    assert found.exact
    assert (found.matched, found.first, found.last, found.gaps) == (35, 5, 39, ())
    assert str(found) == "35/35 frames, 0 foreign, 0 reordered, 0 repeated"


def test_both_zeros_are_one(noise: list[bytes]) -> None:
    assert report(noise, [f.replace(b"\xff", b"\x7f") for f in noise]).exact
    assert not report(noise, [bytes([f[0] ^ 1]) + f[1:] for f in noise], PCMA).exact


def test_each_defect_is_named(noise: list[bytes]) -> None:
    strange = list(frames_of(Noise(12), PCMU)[:2])
    assert report(noise, noise[:10] + noise[12:20] + noise[21:]).gaps == ((10, 2), (20, 1))
    assert "gaps [(10, 2)]" in str(report(noise, noise[:10] + noise[12:]))
    assert report(noise, noise[:10] + strange + noise[10:]).foreign == 2
    swapped = [*noise[:10], noise[11], noise[10], *noise[12:]]
    assert (report(noise, swapped).reordered, report(noise, swapped).missing) == (1, 0)
    assert report(noise, noise[:10] + noise[9:]).repeated == 1
    for broken in (
        noise[:10] + noise[12:],
        noise[:10] + strange + noise[10:],
        swapped,
        noise[:10] + noise[9:],
        strange,
    ):
        assert not report(noise, broken).exact


def test_nothing_heard_is_not_exact(noise: list[bytes]) -> None:
    assert not report(noise, []).exact
    assert report([], noise).foreign == 50
    assert report(noise, []).first is None


@given(lost=st.sets(st.integers(1, 48)))
def test_every_lost_frame_is_found(lost: set[int]) -> None:
    frames = list(frames_of(Noise(11), PCMU)[:50])
    found = report(frames, [f for i, f in enumerate(frames) if i not in lost])
    assert {first + n for first, count in found.gaps for n in range(count)} == lost
    assert found.missing == len(lost)
    assert found.exact == (not lost)


@pytest.mark.parametrize("offset", [1, 37, 159, 160 * 3 + 50])
def test_other_frame_borders_are_aligned(noise: list[bytes], offset: int) -> None:
    stream = b"".join(noise)[offset:]
    cut = [stream[at : at + 160] for at in range(0, len(stream) - 159, 160)]
    found = report(noise, cut)
    assert found.exact
    assert found.offset_samples == -offset % 160
    late = b"\xff" * (160 - offset % 160) + b"".join(noise)
    cut = [late[at : at + 160] for at in range(0, len(late) - 159, 160)]
    assert report(noise, cut).matched >= 49
