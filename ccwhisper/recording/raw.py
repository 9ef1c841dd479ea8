"""Raw tracks: WAV files as a switch writes them, also those that it never came to close.

libsndfile writes the sizes into the header when the file is closed. Of a switch that died they say zero, and past 4 GiB
(a stereo leg at 48 kHz, after six hours) they have come round; then what follows the header is sound to the end.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
"""By frame and channel."""

_PCM, _EXTENSIBLE = 1, 0xFFFE
_LARGEST_CHUNK: Final = 1 << 20  # of what stands before the sound
_RATES: Final = range(4000, 192001)


class RawBroken(Exception):
    """A raw track that cannot be used. `code` is track_missing, track_empty or track_unreadable."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class _Form:
    rate: int
    channels: int
    begin: int  # of the sound, in bytes
    frames: int
    closed: bool


class Raw:
    """An open raw track. `rate` in Hz, `frames` of `channels` samples each; `closed` says whether the switch came to
    finish it. Raises RawBroken, here and in `read`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file: BinaryIO = open(path, "rb", opener=_opened)  # noqa: SIM115 - closed in __exit__
        except FileNotFoundError:
            raise RawBroken("track_missing", f"there is no raw track {path.name}") from None
        except OSError as error:
            raise RawBroken("track_unreadable", f"{path.name}: {error.strerror or error}") from None
        try:
            if not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
                raise RawBroken("track_unreadable", f"{path.name} is no plain file")
            form = _form(self._file, path.name)
        except OSError as error:
            self._file.close()
            raise RawBroken("track_unreadable", f"{path.name}: {error.strerror or error}") from None
        except RawBroken:
            self._file.close()
            raise
        self.rate, self.channels, self.frames, self.closed = form.rate, form.channels, form.frames, form.closed
        self._begin = form.begin

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def seconds(self) -> float:
        """How long it is by its own count."""
        return self.frames / self.rate

    def read(self, at: int, count: int) -> Samples:
        """Up to `count` frames from `at` on; fewer at the end."""
        count = max(0, min(count, self.frames - at))
        size = 2 * self.channels
        try:
            self._file.seek(self._begin + at * size)
            data = self._file.read(count * size)
        except OSError as error:
            raise RawBroken("track_unreadable", f"{self.path.name}: {error.strerror or error}") from None
        whole = len(data) // size * size
        return np.frombuffer(data[:whole], dtype="<i2").reshape(-1, self.channels)


def _opened(path: str, flags: int) -> int:
    """The folder is a switch's: a link in it may lead to anything, and a pipe would be waited for."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _form(file: BinaryIO, name: str) -> _Form:
    size = os.fstat(file.fileno()).st_size
    if size < 12:
        raise RawBroken("track_empty", f"there is nothing in the raw track {name}")
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise RawBroken("track_unreadable", f"{name} is no WAV file")
    rate = channels = 0
    while len(chunk := file.read(8)) == 8:
        kind, length = chunk[:4], int.from_bytes(chunk[4:], "little")
        if kind == b"data":
            if not rate:
                break
            begin = file.tell()
            closed = _closed(file, begin, length, size)
            frames = (length if closed else size - begin) // (2 * channels)
            if not frames:
                raise RawBroken("track_empty", f"there is nothing in the raw track {name}")
            return _Form(rate, channels, begin, frames, closed)
        if length > _LARGEST_CHUNK:
            break
        content = file.read(length + length % 2)
        if kind == b"fmt " and len(content) >= 16:
            form, channels, rate, bits = (
                int.from_bytes(content[at:end], "little") for at, end in ((0, 2), (2, 4), (4, 8), (14, 16))
            )
            if form not in (_PCM, _EXTENSIBLE) or bits != 16 or channels not in (1, 2) or rate not in _RATES:
                raise RawBroken("track_unreadable", f"{name} is not 16 bits linear of one channel or two")
    if rate:
        raise RawBroken("track_empty", f"there is nothing in the raw track {name}")
    raise RawBroken("track_unreadable", f"{name} does not say how it is to be read")


def _closed(file: BinaryIO, begin: int, length: int, size: int) -> bool:
    """Whether the header's length is that of the sound: the file ends there, or goes on with other chunks."""
    at = begin + length + length % 2
    if length == 0 or begin + length > size:
        return False
    while at < size:
        file.seek(at)
        chunk = file.read(8)
        if len(chunk) < 8 or not chunk[:4].isascii() or not chunk[:4].decode().isprintable():
            return False
        at += 8 + int.from_bytes(chunk[4:], "little")
        at += at % 2
    return at - size <= 1
