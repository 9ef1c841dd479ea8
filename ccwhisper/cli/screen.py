"""A terminal that a picture is repainted on, calmly; or plain lines where there is none."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

import click

WIDTH = 80
HEIGHT = 24


class Screen:
    """`live` says whether `paint` paints: on a terminal of 80 × 24 or more that can move its cursor. Colour is left out
    where NO_COLOR is set (no-color.org), and wherever there is no terminal."""

    def __init__(self, stream: TextIO | None = None, environ: Mapping[str, str] = os.environ) -> None:
        self._stream = stream or sys.stdout
        size = shutil.get_terminal_size((0, 0))
        terminal = self._stream.isatty() and environ.get("TERM", "dumb") != "dumb"
        self.live = terminal and size.columns >= WIDTH and size.lines >= HEIGHT
        self._colour = terminal and not environ.get("NO_COLOR")
        self._painted = 0

    def style(self, text: str, name: str) -> str:
        """Text in one of the few styles: good, bad, faint, strong."""
        if not self._colour:
            return text
        match name:
            case "good":
                return click.style(text, fg="green")
            case "bad":
                return click.style(text, fg="red", bold=True)
            case "faint":
                return click.style(text, dim=True)
            case _:
                return click.style(text, bold=True)

    def line(self, text: str = "") -> None:
        """A line that stays. What was painted before stays, too."""
        self._painted = 0
        self._write(text + "\n")

    def paint(self, lines: Sequence[str]) -> None:
        """Put these lines in place of those that were painted last. Each must fit the width."""
        up = f"\x1b[{self._painted}A" if self._painted else ""
        # J clears what a longer picture before has left below.
        self._write(up + "".join(f"\r{line}\x1b[K\n" for line in lines) + "\x1b[J")
        self._painted = len(lines)

    def _write(self, text: str) -> None:
        encoding = self._stream.encoding or "ascii"
        self._stream.write(text.encode(encoding, "replace").decode(encoding))
        self._stream.flush()
