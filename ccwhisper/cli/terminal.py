"""A terminal that is taken over as a whole: keys as they are pressed, a picture of which only what changed is painted,
and everything as it was before when it is left, however that comes about."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
import unicodedata
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Final, Self

# The alternate screen, which leaves the lines before as they were; no cursor; no line wrapped into the next.
_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
_LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"

# As sent in the cursor keys' normal and in their application mode (ECMA-48 CSI, and SS3).
_SEQUENCES: Final = {b"\x1b[A": "up", b"\x1bOA": "up", b"\x1b[B": "down", b"\x1bOB": "down"}
_PLAIN: Final = {"\x04": "end", "\r": "enter", "\n": "enter", " ": "space", "\x1b": "escape", "\x0c": "redraw"}
_ESCAPE: Final = 0x1B

_ASCII: Final = str.maketrans({"▸": ">", "●": "*", "–": "-", "·": ".", "…": "~", "↑": "^", "↓": "v", "─": "-"})


def width(char: str) -> int:
    """The columns that a character takes."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def fit(text: str, columns: int) -> str:
    """Text of exactly so many columns: filled with spaces, or cut with an ellipsis."""
    used = sum(map(width, text))
    if used <= columns:
        return text + " " * (columns - used)
    kept, used = "", 0
    for char in text:
        if used + width(char) > columns - 1:
            break
        kept, used = kept + char, used + width(char)
    return (kept + "…")[: max(columns, 0)] + " " * (columns - 1 - used)


class Keys:
    """Names of keys out of the bytes that a terminal sends. No I/O."""

    def __init__(self) -> None:
        self._rest = b""

    @property
    def unfinished(self) -> bool:
        """Whether the beginning of a sequence is there, or the Escape key alone: a moment will tell."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[str]:
        """`up`, `down`, `enter`, `space`, `end` (Ctrl-D), `redraw` (Ctrl-L), or the character in lower case."""
        data, self._rest = self._rest + data, b""
        names = []
        while data:
            size = _sequence(data) if data[0] == _ESCAPE else 1
            if size is None:
                self._rest = data
                break
            piece, data = data[:size], data[size:]
            if piece in _SEQUENCES:
                names.append(_SEQUENCES[piece])
            elif size == 1 and piece.isascii():
                names.append(_PLAIN.get(piece.decode(), piece.decode().lower()))
        return names

    def flush(self) -> list[str]:
        """Nothing more has come: what looked like a beginning was the Escape key."""
        alone, self._rest = self._rest == b"\x1b", b""
        return ["escape"] if alone else []


def _sequence(data: bytes) -> int | None:
    """The length of the escape sequence at the beginning, None when it has not come whole."""
    if len(data) < 2:
        return None
    if data[1:2] == b"O":
        return 3 if len(data) > 2 else None
    if data[1:2] != b"[":
        return 2
    for at in range(2, len(data)):
        if 0x40 <= data[at] <= 0x7E:
            return at + 1
    return None


class Terminal:
    """Standard input and output, which must be a terminal. A context manager.

    Ctrl-C remains SIGINT. Ctrl-Z gives the terminal back for as long as the process is stopped.
    """

    def __init__(self, source: int | None = None, sink: int | None = None, encoding: str | None = None) -> None:
        self._in = sys.stdin.fileno() if source is None else source
        self._out = sys.stdout.fileno() if sink is None else sink
        encoding = encoding or sys.stdout.encoding or "ascii"
        self._unicode = encoding.lower().replace("-", "") == "utf8"
        self._encoding = encoding
        self._keys = Keys()
        self._painted: list[str] = []
        self._size = (0, 0)
        self._stopping = False
        self._before = termios.tcgetattr(self._in)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, as they are now."""
        size = os.get_terminal_size(self._out)
        return size.columns, size.lines

    def __enter__(self) -> Self:
        self._stops = signal.signal(signal.SIGTSTP, self._note_stop)
        try:
            self._take()
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()
        signal.signal(signal.SIGTSTP, self._stops)

    def _take(self) -> None:
        tty.setcbreak(self._in)
        attributes = termios.tcgetattr(self._in)
        attributes[0] &= ~termios.IXON  # Ctrl-S would stop the picture, and with it the service of its keys
        termios.tcsetattr(self._in, termios.TCSANOW, attributes)
        self._write(_ENTER)
        self._painted = []

    def _give_back(self) -> None:
        with contextlib.suppress(OSError):  # of a terminal that was closed
            self._write(_LEAVE)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._in, termios.TCSAFLUSH, self._before)  # keys pressed meanwhile are not for the shell

    def _note_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True  # it may come in the middle of a picture, which must not go on after it

    def _stop(self) -> None:
        self._stopping = False
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()  # continued

    def paint(self, lines: Sequence[str]) -> None:
        """Show these lines, as many as it has, and nothing else. Raises OSError when the terminal is gone."""
        if self.size != self._size:
            self._size = self.size
            self.forget()
        lines = list(lines[: self._size[1]])
        old = self._painted
        changed = "" if old else "\x1b[2J"
        for at, line in enumerate(lines):
            if at >= len(old) or old[at] != line:
                changed += f"\x1b[{at + 1};1H{line}\x1b[K"
        if len(old) > len(lines):
            changed += f"\x1b[{len(lines) + 1};1H\x1b[J"
        if changed:
            self._write(changed)
        self._painted = lines

    def forget(self) -> None:
        """Paint all of it the next time."""
        self._painted = []

    def keys(self, seconds: float) -> list[str]:
        """What has been pressed, waiting so long for something. `end` when the terminal is gone."""
        pressed = select.select([self._in], [], [], 0.05 if self._keys.unfinished else seconds)[0]
        if self._stopping:
            self._stop()
            return []  # what was pressed has been thrown away
        if not pressed:
            return self._keys.flush()
        try:
            data = os.read(self._in, 1024)
        except OSError:
            data = b""
        return self._keys.feed(data) if data else ["end"]

    def _write(self, text: str) -> None:
        data = (text if self._unicode else text.translate(_ASCII)).encode(self._encoding, "replace")
        while data:
            data = data[os.write(self._out, data) :]
