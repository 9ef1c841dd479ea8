"""What is heard: levels of tones, silence, onsets. With `sources` (what is said) and `exact` (was it all of it?).

Levels are dBFS where 0 is a full-scale sine, amplitude 32768: a `Tone(1000, -16)` that arrives untouched is heard at
-16. Samples are floats in ±1.0, as `PhoneCall.heard` gives them, or int16.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike

from ccwhisper.proof.calls import PhoneCall
from ccwhisper.proof.exact import ExactReport, frames_exact, latencies_ms
from ccwhisper.proof.sources import Bursts, Noise, Samples, Silence, Source, Tone
from ccwhisper.proof.timeline import Float, RxFrame

__all__ = [
    "CLEAR_TONES",
    "FLOOR_DBFS",
    "SILENT_DBFS",
    "Bursts",
    "ExactReport",
    "Noise",
    "Samples",
    "Silence",
    "Source",
    "Tone",
    "first_heard",
    "first_silent",
    "frames_exact",
    "hears",
    "is_silent",
    "latencies_ms",
    "level_dbfs",
    "peak_dbfs",
    "spectral_floor",
    "typical",
]

#: What is said of nothing at all, instead of minus infinity.
FLOOR_DBFS = -120.0
#: A tone at or below this is not there. G.711 distorts: any of CLEAR_TONES at -16 leave the others below -68, but
#: round numbers hit each other's harmonics and reach -61.
SILENT_DBFS = -60.0
#: Frequencies for up to five parties, chosen by search so that no mixture of some sounds like another.
CLEAR_TONES = (769.0, 1287.0, 1441.0, 1651.0, 2175.0)


def level_dbfs(samples: ArrayLike, freq: float, rate: int) -> float:
    """Level of the sine of `freq` Hz within the samples, by projection under a Hann window.

    Another tone is kept apart when it is at least 4 / duration away: 10 Hz for 0.4 s. FLOOR_DBFS for no samples.
    """
    wave = _float(samples)
    if len(wave) < 2:
        return FLOOR_DBFS
    window = np.hanning(len(wave))
    turns = np.exp(-2j * np.pi * freq * np.arange(len(wave)) / rate)
    return _db(2 * abs(np.sum(wave * window * turns)) / np.sum(window))


def peak_dbfs(samples: ArrayLike) -> float:
    """Level of the largest sample: FLOOR_DBFS exactly when every sample is zero. The strictest meaning of silence.

    One step of 16 bits is -90.3; A-law has no zero, so its silence is ±8, -72.2.
    """
    wave = _float(samples)
    return _db(float(np.abs(wave).max())) if len(wave) else FLOOR_DBFS


def spectral_floor(samples: ArrayLike, rate: int, without: Iterable[float] = (), width_hz: float = 40.0) -> float:
    """Level of the strongest sine left when the tones `without` (± `width_hz`) are taken away: what else is heard?"""
    wave = _float(samples)
    if len(wave) < 2:
        return FLOOR_DBFS
    window = np.hanning(len(wave))
    spectrum = 2 * np.abs(np.fft.rfft(wave * window)) / np.sum(window)
    freqs = np.fft.rfftfreq(len(wave), 1 / rate)
    for freq in without:
        spectrum[np.abs(freqs - freq) <= width_hz] = 0.0
    return _db(float(spectrum.max()))


def is_silent(level: float) -> bool:
    """Whether a level of `level_dbfs` means that the tone is not heard."""
    return level <= SILENT_DBFS


def hears(
    call: PhoneCall, tones: Mapping[str, float], seconds: float = 0.4, since: int | None = None
) -> dict[str, float]:
    """The level of each named tone in what a call hears for `seconds` from `since` (ns, default now). Waits for it.

    A call that gets no packets hears everything at FLOOR_DBFS.
    """
    begin = call.mark() if since is None else since
    end = begin + int(seconds * 1e9)
    call.wait_time(end)
    samples = call.heard(begin, end)
    return {name: level_dbfs(samples, freq, call.rate) for name, freq in tones.items()}


def typical(
    call: PhoneCall, tones: Mapping[str, float], seconds: float = 0.36, since: int | None = None, window: float = 0.06
) -> dict[str, float]:
    """Like `hears`, as the median over windows of `window` seconds: what is usually heard.

    One lost or late packet shifts the phase of a tone; over a longer stretch its two halves then cancel each other,
    and the jump sounds like other tones. Tones must be 6 / window Hz apart.
    """
    begin = call.mark() if since is None else since
    end = begin + int(seconds * 1e9)
    call.wait_time(end)
    width = int(window * 1e9)
    parts = [call.heard(start, start + width) for start in range(begin, end - width + 1, width)]
    return {name: float(np.median([level_dbfs(p, freq, call.rate) for p in parts])) for name, freq in tones.items()}


def first_heard(
    call: PhoneCall,
    freq: float,
    since_ns: int,
    threshold: float = -40.0,
    *,
    others: Iterable[float] = (),
    timeout: float = 5.0,
) -> int:
    """When the first packet arrived, at or after `since_ns`, that holds the tone above `threshold` dBFS; in ns.

    Waits for it; raises TimeoutError. The level is the best fit over the packet's 20 ms, so tones that sound at the
    same time should be named in `others`, and the packet in which the tone begins may hold too little of it to count.
    """
    return _first(call, freq, since_ns, threshold, tuple(others), timeout, present=True)


def first_silent(
    call: PhoneCall,
    freq: float,
    since_ns: int,
    threshold: float = -40.0,
    *,
    others: Iterable[float] = (),
    timeout: float = 5.0,
) -> int:
    """When the first packet arrived, at or after `since_ns`, that does not hold the tone; like `first_heard`."""
    return _first(call, freq, since_ns, threshold, tuple(others), timeout, present=False)


def _first(
    call: PhoneCall,
    freq: float,
    since_ns: int,
    threshold: float,
    others: tuple[float, ...],
    timeout: float,
    present: bool,
) -> int:
    done = 0
    deadline = call.mark() + int(timeout * 1e9)
    while True:
        frames = call.received
        for frame in frames[done:]:
            if frame.t_ns >= since_ns and (_frame_level(call, frame, freq, others) > threshold) == present:
                return frame.t_ns
        done = len(frames)
        now = call.mark()
        if now > deadline:
            raise TimeoutError(f"{freq} Hz was not {'heard' if present else 'silent'} within {timeout} s")
        call.wait_time(now + 10_000_000)


def _frame_level(call: PhoneCall, frame: RxFrame, freq: float, others: tuple[float, ...]) -> float:
    codec = call.codec_of(frame.pt)
    if codec is None:
        return FLOOR_DBFS
    wave = _float(codec.decode(frame.payload))
    if len(wave) < 2 * (len(others) + 1):
        return FLOOR_DBFS
    angles = 2 * np.pi * np.outer(np.arange(len(wave)) / codec.rate, [freq, *others])
    fit, *_ = np.linalg.lstsq(np.hstack([np.cos(angles), np.sin(angles)]), wave, rcond=None)
    return _db(float(np.hypot(fit[0], fit[1 + len(others)])))


def _float(samples: ArrayLike) -> Float:
    array = np.asarray(samples)
    if array.dtype == np.int16:
        return array.astype(np.float64) / 32768.0
    return array.astype(np.float64)


def _db(amplitude: float) -> float:
    return max(FLOOR_DBFS, 20 * float(np.log10(amplitude))) if amplitude > 0 else FLOOR_DBFS
