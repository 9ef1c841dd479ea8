"""The codecs of the synthetic phones: G.711 (ITU-T G.711), L16 (RFC 3551, section 4.5.11), G.722 from `g722`, Opus from
libopus (RFC 7587).

Samples are int16. Frames are 20 ms. In G.711 encoding picks the nearest value that decoding can produce, so that
a frame which a switch decodes and encodes again comes back unchanged, but for the two zeros of µ-law.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import av
import numpy as np
from numpy.typing import NDArray

from ccwhisper.proof import g722

Pcm = NDArray[np.int16]

FRAME_MS = 20

OPUS_BITS = 64_000
"""Bits per second, constant: every packet has 160 bytes. A tone then leaves less than -100 dBFS elsewhere."""


@dataclass(frozen=True)
class Codec:
    """One way to put int16 samples into RTP payloads.

    `name` is what SDP says, `rate` and `clock` are in Hz: of the samples and of RTP's timestamps, which differ for
    G.722 (RFC 3551, section 4.5.2). `payload_type` is the number that we offer; a peer's offer may use another one for
    a codec without a static number. `decode` takes a payload by itself; `decoder` makes a function that takes
    payloads in order, for codecs that remember what came before. `channels` and `parameters` are what SDP says in
    rtpmap and fmtp; samples are of one channel all the same.
    """

    name: str
    rate: int
    payload_type: int
    encode: Callable[[Pcm], bytes] = field(repr=False)
    decode: Callable[[bytes], Pcm] = field(repr=False)
    clock: int
    decoder: Callable[[], Callable[[bytes], Pcm]] = field(repr=False)
    channels: int = 1
    parameters: str = ""

    @property
    def frame_ticks(self) -> int:
        """How far RTP's timestamp moves in one frame."""
        return self.clock * FRAME_MS // 1000

    @property
    def frame_samples(self) -> int:
        """Samples in one frame of 20 ms."""
        return self.rate * FRAME_MS // 1000

    def canonical(self, payload: bytes) -> bytes:
        """The payload with equal sounds spelt equally: 0x7F and 0xFF are both zero in µ-law."""
        return payload.replace(b"\x7f", b"\xff") if self.name == "PCMU" else payload

    def __str__(self) -> str:
        return f"{self.name}/{self.clock}" + (f"/{self.channels}" if self.channels > 1 else "")


def _ulaw_values() -> Pcm:
    code = ~np.arange(256) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _alaw_values() -> Pcm:
    code = np.arange(256) ^ 0x55
    exponent = (code >> 4) & 7
    step = (code & 0x0F) << 4
    magnitude = np.where(exponent == 0, step + 8, (step + 0x108) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _g711(name: str, payload_type: int, values: Pcm, zero: int | None) -> Codec:
    levels, codes = np.unique(values, return_index=True)
    if zero is not None:
        codes[levels == 0] = zero
    middles = (levels[:-1].astype(np.float64) + levels[1:]) / 2
    every = np.arange(65536, dtype=np.uint16).view(np.int16)
    table = codes[np.searchsorted(middles, every)].astype(np.uint8)

    def encode(pcm: Pcm) -> bytes:
        return table[np.ascontiguousarray(pcm, dtype=np.int16).view(np.uint16)].tobytes()

    def decode(payload: bytes) -> Pcm:
        decoded: Pcm = values[np.frombuffer(payload, dtype=np.uint8)]
        return decoded

    return Codec(name, 8000, payload_type, encode, decode, 8000, lambda: decode)


def _l16(rate: int, payload_type: int) -> Codec:
    def encode(pcm: Pcm) -> bytes:
        return pcm.astype(">i2").tobytes()

    def decode(payload: bytes) -> Pcm:
        return np.frombuffer(payload[: len(payload) // 2 * 2], dtype=">i2").astype(np.int16)

    return Codec("L16", rate, payload_type, encode, decode, rate, lambda: decode)


def _g722() -> Codec:
    def decode(payload: bytes) -> Pcm:
        return g722.Decoder()(payload)

    return Codec("G722", 16000, 9, g722.encode, decode, 8000, g722.Decoder)


def _opus(payload_type: int, stereo: bool) -> Codec:
    """Its RTP clock is 48 kHz and its rtpmap says two channels, always; how many there are is said in fmtp (RFC 7587,
    section 7)."""
    rate = 48000
    channels = 2 if stereo else 1

    def context(way: Literal["r", "w"], layout: str) -> av.AudioCodecContext:
        made = av.AudioCodecContext.create("libopus", way)
        made.sample_rate, made.layout, made.format = rate, layout, "s16"
        return made

    def encode(pcm: Pcm) -> bytes:
        encoder = context("w", "stereo" if stereo else "mono")
        encoder.bit_rate, encoder.options = OPUS_BITS, {"vbr": "off", "application": "audio"}
        wire = bytearray()
        for at in range(0, len(pcm), rate // 50):
            both = np.repeat(pcm[at : at + rate // 50], channels).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(both, format="s16", layout="stereo" if stereo else "mono")
            frame.sample_rate, frame.pts = rate, at
            for packet in encoder.encode(frame):
                wire += bytes(packet)
        return bytes(wire)

    def decoder() -> Callable[[bytes], Pcm]:
        mono = context("r", "mono")

        def decode(payload: bytes) -> Pcm:
            parts = [frame.to_ndarray().ravel() for frame in mono.decode(av.Packet(payload))]
            return np.concatenate(parts).astype(np.int16)

        return decode

    def decode(payload: bytes) -> Pcm:
        return decoder()(payload)

    parameters = f"stereo={int(stereo)}; sprop-stereo={int(stereo)}"
    return Codec("opus", rate, payload_type, encode, decode, rate, decoder, 2, parameters)


PCMU = _g711("PCMU", 0, _ulaw_values(), zero=0xFF)
PCMA = _g711("PCMA", 8, _alaw_values(), zero=None)
L16_16000 = _l16(16000, 96)
L16_8000 = _l16(8000, 97)
G722 = _g722()
OPUS = _opus(98, stereo=False)
OPUS_STEREO = _opus(99, stereo=True)

_BY_NAME = {
    "PCMU": PCMU,
    "PCMA": PCMA,
    "G722": G722,
    "L16": L16_16000,
    "L16/16000": L16_16000,
    "L16/8000": L16_8000,
    "OPUS": OPUS,
    "OPUS/STEREO": OPUS_STEREO,
}


def codec_named(name: str) -> Codec:
    """The codec called `name`: PCMU, PCMA, G722, L16 or L16/16000, L16/8000, opus, opus/stereo. Raises ValueError for
    any other name."""
    try:
        return _BY_NAME[name.upper().removesuffix("/8000") if not name.upper().startswith("L16") else name.upper()]
    except KeyError:
        raise ValueError(f"no codec called {name!r}; there are {', '.join(sorted(_BY_NAME))}") from None


def codec_of_rtpmap(encoding: str) -> Codec | None:
    """The codec that an SDP rtpmap means ("PCMU/8000", "opus/48000/2"), or None when the phones do not speak it. Of
    Opus the one of one channel: the other differs in fmtp."""
    wanted = encoding.strip().lower().removesuffix("/1")
    return next(
        (codec for codec in (PCMU, PCMA, G722, L16_16000, L16_8000, OPUS) if str(codec).lower() == wanted), None
    )
