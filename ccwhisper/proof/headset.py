"""A headset that gives back some of what it plays: put on a phone's call, the microphone hears its earpiece."""

from __future__ import annotations

import numpy as np

from ccwhisper.proof.codecs import Codec, Pcm
from ccwhisper.proof.timeline import Float


class Headset:
    """What is played comes back through `answer`, an impulse response at the codec's rate whose first sample counts the
    earpiece's own packet: its delay is the phone's, with the buffer for packets that come unevenly."""

    def __init__(self, answer: Float) -> None:
        self._answer = np.asarray(answer, dtype=np.float64)
        self._coming = np.zeros(0)  # what the microphone will hear

    def play(self, codec: Codec, payload: bytes) -> None:
        """A packet has arrived."""
        sound = codec.decode(payload).astype(np.float64)
        back = np.convolve(sound, self._answer)
        # Packets follow each other; the tail of one lies under the next.
        start = max(len(self._coming) - len(self._answer) + 1, 0)
        whole = np.zeros(max(len(self._coming), start + len(back)))
        whole[: len(self._coming)] = self._coming
        whole[start : start + len(back)] += back
        self._coming = whole

    def record(self, codec: Codec, payload: bytes) -> bytes:
        """The next packet of the microphone, in which somebody says `payload`."""
        size = codec.frame_samples
        back, self._coming = self._coming[:size], self._coming[size:]
        if len(self._coming) > codec.rate:  # nobody records
            self._coming = self._coming[-codec.rate :]
        sound: Pcm = codec.decode(payload)
        mixed = sound.astype(np.float64)
        mixed[: len(back)] += back
        return codec.encode(np.clip(np.rint(mixed), -32768, 32767).astype(np.int16))
