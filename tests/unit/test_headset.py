"""The headset that gives back what it plays."""

from __future__ import annotations

import numpy as np
import pytest

from ccwhisper.proof.codecs import L16_8000, PCMU
from ccwhisper.proof.headset import Headset

pytestmark = pytest.mark.unit

SIZE = 160
SILENCE = PCMU.encode(np.zeros(SIZE, np.int16))


def test_what_is_played_comes_back_as_the_answer_says() -> None:
    random = np.random.default_rng(1)
    answer = np.zeros(300)
    answer[200:] = random.normal(0, 0.02, 100)
    said = np.rint(random.uniform(-8000, 8000, 20 * SIZE)).astype(np.int16)
    headset = Headset(answer)
    back = []
    for at in range(0, len(said), SIZE):
        headset.play(L16_8000, L16_8000.encode(said[at : at + SIZE]))
        back.append(L16_8000.decode(headset.record(L16_8000, L16_8000.encode(np.zeros(SIZE, np.int16)))))
    expected = np.convolve(said, answer)[: len(said)]
    assert np.abs(np.concatenate(back) - expected).max() <= 0.5


def test_it_is_mixed_with_what_somebody_says() -> None:
    headset = Headset(np.array([0.5]))
    headset.play(L16_8000, L16_8000.encode(np.full(SIZE, 1000, np.int16)))
    mixed = L16_8000.decode(headset.record(L16_8000, L16_8000.encode(np.full(SIZE, 300, np.int16))))
    assert set(mixed.tolist()) == {800}


def test_nothing_is_played_and_nothing_comes_back() -> None:
    headset = Headset(np.ones(100))
    assert headset.record(PCMU, SILENCE) == SILENCE


def test_it_never_clips_over() -> None:
    headset = Headset(np.array([1.0]))
    loud = L16_8000.encode(np.full(SIZE, 30000, np.int16))
    headset.play(L16_8000, loud)
    assert set(L16_8000.decode(headset.record(L16_8000, loud)).tolist()) == {32767}
