"""Pictures of the report: levels over time as SVG, spectrograms as PNG. Neither needs anything beside numpy."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

WIDTH: Final = 900
_LEFT, _RIGHT, _TOP, _PLOT, _BOTTOM = 46, 6, 44, 150, 22
_QUIETEST: Final = -100.0
_DARKEST, _BRIGHTEST = -90.0, -14.0  # dBFS

# From silent to loud; dark to light in one hue order, so that it prints in grey as well.
_RAMP: Final = ((4, 4, 20), (60, 20, 105), (160, 45, 115), (235, 110, 85), (253, 235, 175))
_SHADES: Final = 128


def levels_svg(listener: str, course: Mapping[str, Any]) -> str:
    """What one phone heard of each speaker over time, with the steps drawn behind it."""
    seconds = max(float(course["seconds"]), 0.1)
    height = _TOP + _PLOT + _BOTTOM

    def x(at: float) -> float:
        return round(_LEFT + (WIDTH - _LEFT - _RIGHT) * at / seconds, 1)

    def y(level: float) -> float:
        return round(_TOP + _PLOT * -max(min(level, 0.0), _QUIETEST) / -_QUIETEST, 1)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(listener)}: levels over time">',
        *_bands(course["marks"], seconds, x, _TOP + _PLOT),
    ]
    for level in (0, -20, -40, -60, -80, -100):
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(level)}" y2="{y(level)}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y(level) + 4}" text-anchor="end">{level}</text>')
    parts.append(f'<line class="limit" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(-50)}" y2="{y(-50)}"/>')
    step = course["step_s"]
    for name, levels in course["levels_dbfs"][listener].items():
        if name != listener:  # nobody is asked whether he hears himself
            points = " ".join(f"{x(index * step)},{y(level)}" for index, level in enumerate(levels))
            parts.append(f'<polyline class="of {escape(name)}" points="{points}"/>')
    for at in range(0, int(seconds) + 1, 2):
        parts.append(f'<text class="tick" x="{x(at)}" y="{height - 6}" text-anchor="middle">{at} s</text>')
    return "".join([*parts, "</svg>"])


def _bands(marks: Sequence[Mapping[str, Any]], seconds: float, x: Any, bottom: float) -> list[str]:
    parts = []
    for index, mark in enumerate(marks):
        end = marks[index + 1]["at"] if index + 1 < len(marks) else seconds
        left, width = x(mark["at"]), x(end) - x(mark["at"])
        shade = "odd" if index % 2 else "even"
        parts.append(f'<rect class="band {shade}" x="{left}" width="{width:.1f}" y="{_TOP}" height="{bottom - _TOP}"/>')
        # Neighbours stand at three heights, so that short steps do not write over each other.
        words = escape(str(mark["step"]))
        parts.append(f'<text class="step" x="{left + 2}" y="{12 + 13 * (index % 3)}">{words}</text>')
    return parts


def spectrogram_png(levels: NDArray[np.float64]) -> str:
    """Levels in dBFS, row by row from the top, as a data URI."""
    anchors = np.linspace(0, 1, len(_RAMP))
    steps = np.linspace(0, 1, _SHADES)
    channels = [np.interp(steps, anchors, [colour[index] for colour in _RAMP]) for index in range(3)]
    palette = np.rint(np.stack(channels, axis=1)).astype(np.uint8)
    scaled = (np.clip(levels, _DARKEST, _BRIGHTEST) - _DARKEST) / (_BRIGHTEST - _DARKEST)
    rows = np.rint(scaled * (_SHADES - 1)).astype(np.uint8)
    height, width = rows.shape
    # Each row begins with its filter, which is none.
    raw = np.hstack([np.zeros((height, 1), dtype=np.uint8), rows]).tobytes()
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, content)
        for kind, content in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            (b"PLTE", palette.tobytes()),
            (b"IDAT", zlib.compress(raw, 9)),
            (b"IEND", b""),
        )
    )
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
