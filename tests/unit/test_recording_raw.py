"""Raw tracks as switches leave them, whole and otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ccwhisper.recording.raw import Raw, RawBroken

from .tapes import killed, tone, wav

pytestmark = pytest.mark.unit

SOUND = tone(600, [(0.0, 0.25)], 0.5)


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_finished_track(tmp_path: Path, rate: int, channels: int) -> None:
    sound = np.stack([SOUND] * channels, axis=1)
    with Raw(wav(tmp_path / "a.wav", sound, rate)) as raw:
        assert (raw.rate, raw.channels, raw.frames, raw.closed) == (rate, channels, 4000, True)
        assert raw.seconds == 4000 / rate
        assert (raw.read(0, 4000) == sound).all()
        assert (raw.read(3990, 100) == sound[3990:]).all()
        assert raw.read(4000, 1).shape == (0, channels)


def test_a_header_that_was_never_finished(tmp_path: Path) -> None:
    with Raw(killed(wav(tmp_path / "a.wav", SOUND))) as raw:
        assert (raw.frames, raw.closed) == (4000, False)
        assert (raw.read(0, 4000)[:, 0] == SOUND).all()


def test_a_header_that_has_come_round(tmp_path: Path) -> None:
    """As it does at 4 GiB: it says less than there is, and what follows is no chunk."""
    path = wav(tmp_path / "a.wav", SOUND)
    content = bytearray(path.read_bytes())
    content[40:44] = (1000).to_bytes(4, "little")
    path.write_bytes(content)
    with Raw(path) as raw:
        assert (raw.frames, raw.closed) == (4000, False)


def test_silence_behind_a_header_is_no_chunk(tmp_path: Path) -> None:
    with Raw(killed(wav(tmp_path / "a.wav", np.zeros(4000, np.int16)))) as raw:
        assert (raw.frames, raw.closed) == (4000, False)


def test_a_frame_that_was_written_in_part_is_left_out(tmp_path: Path) -> None:
    path = killed(wav(tmp_path / "a.wav", np.stack([SOUND, SOUND], axis=1)))
    path.write_bytes(path.read_bytes()[:-3])
    with Raw(path) as raw:
        assert raw.frames == 3999
        assert raw.read(0, 5000).shape == (3999, 2)


def test_chunks_before_and_after_the_sound(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", SOUND)
    content = path.read_bytes()
    listed = b"LIST" + (5).to_bytes(4, "little") + b"INFO!" + b"\0"
    path.write_bytes(content[:36] + listed + content[36:] + listed)
    with Raw(path) as raw:
        assert (raw.frames, raw.closed) == (4000, True)
        assert (raw.read(0, 4000)[:, 0] == SOUND).all()


def test_a_track_that_became_shorter_while_it_was_read(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", tone(600, [], 4.0))
    with Raw(path) as raw:
        path.write_bytes(path.read_bytes()[:20045])
        assert len(raw.read(0, 32000)) == 10000


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "track_missing"),
        (b"", "track_empty"),
        (b"RIFF", "track_empty"),
        (bytes(100), "track_unreadable"),
        (b"RIFF\0\0\0\0WAVEdata" + bytes(100), "track_unreadable"),
        (b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + bytes(16), "track_unreadable"),
        (b"RIFF\0\0\0\0WAVEfmt \xff\xff\xff\x7f", "track_unreadable"),
    ],
)
def test_what_is_no_track_is_refused_with_a_code(tmp_path: Path, content: bytes | None, code: str) -> None:
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RawBroken) as refused:
        Raw(path)
    assert refused.value.code == code
    assert "a.wav" in str(refused.value)


def test_a_header_without_sound(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", SOUND)
    for length in (44, 36, 40):
        path.write_bytes(path.read_bytes()[:length])
        with pytest.raises(RawBroken) as refused:
            Raw(path)
        assert refused.value.code == "track_empty"


def test_other_forms_of_sound_are_refused(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", SOUND)
    content = bytearray(path.read_bytes())
    for at, value in ((20, 7), (22, 6), (34, 24)):  # the form's number, channels, bits
        other = content.copy()
        other[at] = value
        path.write_bytes(other)
        with pytest.raises(RawBroken) as refused:
            Raw(path)
        assert refused.value.code == "track_unreadable"


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(RawBroken) as refused:
        Raw(tmp_path)
    assert refused.value.code == "track_unreadable"
