"""Levels and spectra over time, for plots; and the few figures that one look does not give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ccwhisper.proof.calls import PhoneCall
from ccwhisper.proof.scene import BEEP, STEP_NS, TONES
from ccwhisper.proof.timeline import Float
from ccwhisper.proof.tones import FLOOR_DBFS, level_dbfs, spectral_floor
from ccwhisper.prove.calls import COACH

STEP_S: Final = 0.1
"""Between points of a course."""

GARBAGE: Final = -40.0
"""dBFS: more than this of anything that nobody says. Codecs leave -50 at the most, a wrong rate -17 to -25."""

COLUMNS: Final = 720
ROWS: Final = 128
TOP_HZ: Final = 4000

_WINDOW_S: Final = 0.1
_PATIENCE: Final = 2.0
_STANDS_OUT: Final = 10.0  # dB
_HARDLY: Final = -30.0  # dBFS


def percentile(values: Sequence[float], which: float) -> float | None:
    """None of nothing; a tenth is exact enough."""
    return round(float(np.percentile(values, which)), 1) if values else None


def switched_ms(find: Callable[..., int], call: PhoneCall, since: int, others: Sequence[str]) -> float | None:
    """From a request to the first packet in which the coach is heard (or is not: `find` is of `tones`), in ms; None
    when that does not come, which the look will say. `others` are those who speak meanwhile, the beep besides."""
    freqs = [BEEP, *(TONES[name] for name in others)]
    with suppress(TimeoutError):
        return round((find(call, TONES[COACH], since, others=freqs, timeout=_PATIENCE) - since) / 1e6, 1)
    return None


def strange(call: PhoneCall, said: Sequence[str], since: int, until: int) -> float:
    """The level in dBFS of the strongest sound that none of these says, as a rule: a late packet is a click, a wrong
    rate stays."""
    call.wait_time(until)
    samples = call.heard(since, until)
    size, step = int(0.08 * call.rate), int(0.04 * call.rate)
    tones = [TONES[name] for name in said] + [BEEP]
    parts = [samples[at : at + size] for at in range(0, len(samples) - size + 1, step)]
    return float(np.median([spectral_floor(part, call.rate, tones, width_hz=60) for part in parts] or [FLOOR_DBFS]))


def beep_dbfs(call: PhoneCall, since: int, until: int) -> float:
    """The loudest tenth of a second of the beep in dBFS. A frame that slips is a click, as loud beside the beep's
    frequency as at it, and no beep: such windows count as silence."""
    call.wait_time(until)
    size = int(_WINDOW_S * 1e9)
    levels = [FLOOR_DBFS]
    for at in range(since, until - size + 1, STEP_NS):
        heard = call.heard(at, at + size)
        beep, *beside = (level_dbfs(heard, BEEP + apart, call.rate) for apart in (0, -150, 150))
        if beep > max(beside) + _STANDS_OUT:
            levels.append(beep)
    return max(levels)


def longest_silence(levels: Sequence[float]) -> float:
    """For how many seconds at a stretch somebody was not heard, by his levels in windows a frame apart."""
    longest = run = 0
    for level in levels:
        run = run + 1 if level < _HARDLY else 0
        longest = max(longest, run)
    return longest * STEP_NS / 1e9


def placed(call: PhoneCall, since: int, until: int) -> Float:
    """What a call heard in [since, until), sample by sample on the clock; zeros where it heard nothing."""
    line = call.timeline(since, until)
    whole = np.zeros(max(1, (until - since) * line.rate // 1_000_000_000))
    if len(line.times):
        at = max(0, int((int(line.times[0]) - since) * line.rate // 1_000_000_000))
        piece = line.samples[: len(whole) - at]
        whole[at : at + len(piece)] = piece
    return whole


def course(samples: Float, rate: int, tones: Mapping[str, float]) -> dict[str, list[float]]:
    """The level of each tone over time: a window every `STEP_S`."""
    size, step = int(_WINDOW_S * rate), int(STEP_S * rate)
    count = max(0, (len(samples) - size) // step + 1)
    if not count:
        return {name: [] for name in tones}
    window = np.hanning(size)
    parts = np.lib.stride_tricks.sliding_window_view(samples, size)[::step][:count] * window
    found = {}
    for name, freq in tones.items():
        turns = np.exp(-2j * np.pi * freq * np.arange(size) / rate)
        amplitude = 2 * np.abs(parts @ turns) / np.sum(window)
        levels = 20 * np.log10(np.maximum(amplitude, 1e-6))
        found[name] = [round(float(level), 1) for level in levels]
    return found


def spectrogram(samples: Float, rate: int) -> NDArray[np.float64]:
    """Levels in dBFS, `ROWS` of frequency from TOP_HZ down to 0, at most `COLUMNS` of time."""
    size = 2 * ROWS * rate // (2 * TOP_HZ)
    if len(samples) < size:
        return np.full((ROWS, 1), FLOOR_DBFS)
    step = max(size // 2, (len(samples) - size) // COLUMNS + 1)
    window = np.hanning(size)
    parts = np.lib.stride_tricks.sliding_window_view(samples, size)[::step] * window
    spectrum = 2 * np.abs(np.fft.rfft(parts, axis=1)) / np.sum(window)
    levels = 20 * np.log10(np.maximum(spectrum[:, :ROWS], 1e-6))
    return np.asarray(levels.T[::-1], dtype=np.float64)


def marks_of(marks: Sequence[tuple[int, str]], since: int) -> list[dict[str, Any]]:
    """Steps with the second at which each began."""
    return [{"at": round((t_ns - since) / 1e9, 2), "step": step} for t_ns, step in marks]
