"""A terminal that can be read: a program on a pseudo-terminal, and what its screen shows after what it has written."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unicodedata
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

PATIENCE = 20.0
# What the product emits, and nothing else: another sequence is an error of the program or of this file.
_TOKEN = re.compile(
    r"\x1b\[(?P<private>\?)?(?P<numbers>[\d;]*)(?P<final>[A-Za-z])|(?P<control>[\x00-\x1f\x7f])|(?P<char>.)"
)


class Screen:
    """Characters in their places. Raises AssertionError for what a terminal of this size would not show as meant."""

    def __init__(self, columns: int, lines: int) -> None:
        self.size = (columns, lines)
        self.modes: set[int] = {7, 25}  # a terminal wraps, and shows its cursor
        self.styles: set[str] = set()
        self._primary = self._blank()
        self._cells = self._primary
        self._row = self._column = 0

    def _blank(self) -> list[list[str]]:
        columns, lines = self.size
        return [[" "] * columns for _ in range(lines)]

    @property
    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self._cells]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            assert found, f"unknown sequence {text[at : at + 20]!r}"
            at = found.end()
            if found["char"]:
                self._put(found["char"])
            elif found["control"]:
                self._control(found["control"])
            else:
                self._sequence(found["private"], found["numbers"], found["final"])

    def _put(self, char: str) -> None:
        if self._column >= self.size[0]:
            assert 7 in self.modes, f"a line is cut: {''.join(self._cells[self._row])!r} + {char!r}"
            self._control("\n")
            self._column = 0
        self._cells[self._row][self._column] = char
        self._column += 1
        if unicodedata.east_asian_width(char) in "WF":
            assert self._column < self.size[0], f"half a character: {char}"
            self._cells[self._row][self._column] = ""
            self._column += 1

    def _control(self, char: str) -> None:
        if char == "\r":
            self._column = 0
        elif char == "\n":
            if self._row == self.size[1] - 1:
                self._cells.append([" "] * self.size[0])
                del self._cells[0]
            else:
                self._row += 1
        else:
            raise AssertionError(f"control character {char!r}")

    def _sequence(self, private: str | None, numbers: str, final: str) -> None:
        values = [int(each) for each in numbers.split(";") if each]
        if private:
            assert final in "hl", final
            self._mode(values[0], final == "h")
        elif final == "H":
            row, column = values or [1, 1]
            assert 1 <= row <= self.size[1], f"line {row} of {self.size[1]}"
            self._row, self._column = row - 1, column - 1
        elif final == "K":
            self._cells[self._row][self._column :] = [" "] * (self.size[0] - self._column)
        elif final == "J":
            keep = 0 if values == [2] else self._row
            for at in range(keep, self.size[1]):
                self._cells[at] = [" "] * self.size[0]
        elif final == "m":
            self.styles.add(numbers)
        else:
            raise AssertionError(f"unknown sequence {numbers}{final}")

    def _mode(self, mode: int, on: bool) -> None:
        assert mode in {7, 25, 1049}, mode
        if mode == 1049:
            self._cells = self._blank() if on else self._primary
            if on:
                self._saved = self._row, self._column
            else:
                self._row, self._column = self._saved
        (self.modes.add if on else self.modes.discard)(mode)


class Glass:
    """A program at a terminal of its own, which it controls: Ctrl-C typed here is a SIGINT there."""

    def __init__(
        self, command: Sequence[str], columns: int = 80, lines: int = 24, env: dict[str, str] | None = None
    ) -> None:
        self._keyboard, self._terminal = pty.openpty()
        self.resize(columns, lines)
        self.settings = termios.tcgetattr(self._terminal)
        self.written = ""
        self._rest = b""
        # A session leader that opens a terminal gets it as its controlling one.
        name = os.ttyname(self._terminal)
        self.process = subprocess.Popen(
            ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', name, *command],
            env={**os.environ, "TERM": "xterm", **(env or {})},
            start_new_session=True,
        )

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen = Screen(columns, lines)

    def press(self, keys: str) -> None:
        os.write(self._keyboard, keys.encode())

    def read(self, seconds: float = 0.0) -> str:
        """Take in what has been written, waiting so long for the beginning of it."""
        fresh = ""
        while select.select([self._keyboard], [], [], seconds)[0]:
            data = self._rest + os.read(self._keyboard, 65536)
            text = data.decode("utf-8", "ignore")
            self._rest = data[len(text.encode()) :]
            # A sequence whose end is still to come is kept for the next time.
            whole = re.sub(r"\x1b(\[[?\d;]*)?$", "", text)
            self._rest = text[len(whole) :].encode() + self._rest
            self.screen.feed(whole)
            fresh += whole
            seconds = 0.0
        self.written += fresh
        return fresh

    def until(self, what: str | Callable[[str], object], patience: float = PATIENCE) -> str:
        """Read until the screen shows something; returns its text."""
        deadline = time.monotonic() + patience
        while not (what in self.screen.text if isinstance(what, str) else what(self.screen.text)):
            assert time.monotonic() < deadline, f"{what!r} is not on the screen:\n{self.screen.text}"
            self.read(0.05)
        return self.screen.text

    def end(self) -> int:
        """Read until the program has ended; its exit code."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end:\n{self.screen.text}"
            self.read(0.05)
        self.read()
        return self.process.returncode

    def hang_up(self) -> None:
        """The terminal is closed."""
        os.close(self._terminal)
        os.close(self._keyboard)
        self._keyboard = self._terminal = -1

    @property
    def restored(self) -> bool:
        """Whether the terminal is as it was before."""
        return termios.tcgetattr(self._terminal) == self.settings and self.screen.modes == {7, 25}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()  # a test has failed: what the program started must end all the same
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)
        self.process.kill()
        self.process.wait()
        if self._keyboard >= 0:
            self.hang_up()
