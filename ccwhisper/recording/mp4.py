"""The file of a recording: MP4 with the call as its first track and one for each coach.

Every track begins at zero and lasts as long as the recording, so nothing can be out of step. What an encoder puts in
front (AAC 1024 samples, Opus 6.5 ms) is taken away again by each track's edit list, which players keep to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.stream import Disposition

from ccwhisper.recording.raw import Samples
from ccwhisper.recording.result import Chapter, Track

Codec = Literal["aac", "opus"]

RATES: Final = (8000, 16000, 24000, 48000)
"""Hz: what both encoders take and players play."""

_ENCODERS: Final[Mapping[Codec, tuple[str, dict[str, str]]]] = {
    # Neither channel may borrow from the other: who said what is what the file is looked at for.
    "aac": ("aac", {"aac_coder": "fast", "aac_is": "0", "aac_ms": "0", "aac_pns": "0"}),
    # Below its full complexity, which takes four times as long as AAC, one channel is heard in the other at -75 dB.
    "opus": ("libopus", {"application": "audio", "frame_duration": "20"}),
}

_OPTIONS: Final = {"movflags": "+faststart+use_metadata_tags"}
"""The index in front, so that a browser need not have the whole file; and tags for which MP4 has no name."""

_LAYOUT: Final = {1: "mono", 2: "stereo"}


class Writer:
    """Writes a file in blocks that come one after the other. A context manager; left by an exception it writes no
    end. Raises OSError and av.FFmpegError, which is one, too, where the system has said no."""

    def __init__(
        self,
        path: Path,
        tracks: Sequence[Track],
        rate: int,
        codec: Codec,
        bitrate: int,
        tags: Mapping[str, str],
        chapters: Iterable[tuple[float, str]],
        duration: float,
    ) -> None:
        encoder, options = _ENCODERS[codec]
        self._rate = rate
        self._at = 0
        self._container: OutputContainer = av.open(str(path), "w", format="mp4", options=_OPTIONS)
        self._container.metadata.update(tags)
        self._streams: list[AudioStream] = []
        for track in tracks:
            stream = self._container.add_stream(encoder, rate=rate, options=options)
            assert isinstance(stream, AudioStream)  # noqa: S101 - the encoders are of sound
            stream.layout = _LAYOUT[track.channels]
            stream.bit_rate = bitrate * track.channels
            stream.time_base = Fraction(1, rate)
            _name(stream, track.name, track.language, track.index == 0)
            self._streams.append(stream)
        self._container.set_chapters(_chapters(chapters, duration))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            for stream in self._streams:
                self._container.mux(stream.encode(None))
        self._container.close()

    def add(self, blocks: Sequence[Samples]) -> None:
        """The next block of each track; all are equally long."""
        for stream, block in zip(self._streams, blocks, strict=True):
            layout = _LAYOUT[block.shape[1]]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block).reshape(1, -1), format="s16", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = self._rate, self._at, Fraction(1, self._rate)
            self._container.mux(stream.encode(frame))
        self._at += len(blocks[0])


@dataclass(frozen=True, slots=True)
class Found:
    """What decoding a track to its end has come to: seconds of sound, and of which kind."""

    codec: str
    channels: int
    seconds: float
    default: bool


def verify(path: Path) -> tuple[Found, ...]:
    """Decode a file to its end. Raises av.FFmpegError where that cannot be done."""
    with av.open(str(path)) as container:
        streams = container.streams.audio
        counted = [0] * len(streams)
        for packet in container.demux(streams):
            for frame in packet.decode():
                assert isinstance(frame, av.AudioFrame)  # noqa: S101 - of these streams
                counted[streams.index(packet.stream)] += frame.samples
        return tuple(
            Found(
                stream.codec_context.name,
                stream.channels,
                count / stream.codec_context.sample_rate,
                bool(stream.disposition & Disposition.default),
            )
            for stream, count in zip(streams, counted, strict=True)
        )


def copy(source: Path, out: Path, tracks: Sequence[int], chapters: Iterable[tuple[float, str]]) -> None:
    """Some tracks of a file as another, packet by packet: nothing is encoded anew, and nothing of the others is read
    into it. What the file says of its call stays, chapters are those given. Raises ValueError for a track that there is
    not, OSError and av.FFmpegError."""
    with av.open(str(source)) as there:
        found = there.streams.audio
        if not tracks or not set(tracks) <= set(range(len(found))):
            raise ValueError(f"there are tracks 0 to {len(found) - 1}")
        with av.open(str(out), "w", format="mp4", options=_OPTIONS) as here:
            here.metadata.update({key: text for key, text in there.metadata.items() if key not in _OWN})
            streams = {}
            for number, track in enumerate(sorted(set(tracks))):
                stream = here.add_stream_from_template(found[track])
                said = found[track].metadata
                _name(stream, said.get("name", said.get("title", "")), said.get("language", "und"), number == 0)
                streams[found[track].index] = stream
            here.set_chapters(_chapters(chapters, (there.duration or 0) / av.time_base))
            for packet in _packets(there, [found[each] for each in set(tracks)]):
                packet.stream = streams[packet.stream.index]
                here.mux(packet)


_OWN: Final = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder"})


def _packets(container: InputContainer, streams: Sequence[AudioStream]) -> Iterator[av.Packet[Any]]:
    for packet in container.demux(*streams):
        if packet.dts is not None:  # the last of each stream is none
            yield packet


def _name(stream: Any, name: str, language: str, default: bool) -> None:
    stream.metadata.update({"title": name, "handler_name": name, "language": language})
    stream.disposition = Disposition.default if default else Disposition(0)


def _chapters(moments: Iterable[tuple[float, str]], duration: float) -> list[Any]:
    """As the container wants them: each with an end, none without length."""
    last = max(1, round(duration * 1000))
    text_by_start: dict[int, list[str]] = {}
    for at, text in moments:
        text_by_start.setdefault(min(round(at * 1000), last - 1), []).append(text)
    starts = sorted(text_by_start)
    return [
        {
            "id": number,
            "start": start,
            "end": end,
            "time_base": Fraction(1, 1000),
            "metadata": {"title": " · ".join(text_by_start[start])},
        }
        for number, (start, end) in enumerate(pairwise([*starts, last]), 1)
    ]


def moments(chapters: Iterable[Chapter]) -> Iterator[tuple[float, str]]:
    """Chapters as the file has them."""
    return ((each.at, each.text) for each in chapters)
