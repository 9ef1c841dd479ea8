"""The demo's loop: keys, events and ears in, a picture out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from ccwhisper.cli.demo.desk import Desk
from ccwhisper.cli.demo.ears import Ears, Hearing
from ccwhisper.cli.demo.picture import Picture, sides
from ccwhisper.cli.terminal import Terminal

_CALM: Final = 0.2  # seconds between two looks
_RESTLESS: Final = 0.04


class View:
    """`run` until q. `opening` is the agent of the call that it listens to by itself, to begin with."""

    def __init__(self, terminal: Terminal, desk: Desk, ears: Ears, picture: Picture, opening: str) -> None:
        self._terminal, self._desk, self._ears, self._picture = terminal, desk, ears, picture
        self._opening: str | None = opening
        self._help = False
        self._acts: Mapping[str, Callable[[float], object]] = {
            "l": lambda now: desk.coach("listen", now),
            "w": lambda now: desk.coach("whisper", now),
            "b": lambda now: desk.coach("barge", now),
            "t": desk.take_over,
            "m": desk.mute,
            "p": desk.talk,
            "space": desk.press,
            "x": self._leave,
            "up": lambda _now: desk.move(-1),
            "k": lambda _now: desk.move(-1),
            "down": lambda _now: desk.move(1),
            "j": lambda _now: desk.move(1),
            "redraw": lambda _now: terminal.forget(),
        }

    def run(self) -> None:
        """Returns when q was pressed or the terminal has gone."""
        while True:
            now = time.monotonic()
            self._desk.refresh(now)
            self._open(now)
            hearing = self._listen(now)
            size = self._terminal.size
            lines = self._picture.help(size) if self._help else self._picture.lines(self._desk, hearing, size, now)
            self._terminal.paint(lines)
            for key in self._terminal.keys(_RESTLESS if self._desk.restless else _CALM):
                if key in ("q", "end"):
                    return
                self._act(key, time.monotonic())
            self._desk.hold(time.monotonic())

    def _act(self, key: str, now: float) -> None:
        self._desk.say("", now)
        if self._help:
            self._help = False
        elif key == "?":
            self._help = True
        elif key in self._acts:
            self._acts[key](now)

    def _leave(self, now: float) -> None:
        if self._desk.taken:
            self._ears.hang_up()
        else:
            self._desk.leave(now)

    def _open(self, now: float) -> None:
        """Something is to be seen at once: the first call is listened to, as if l had been pressed."""
        for call in self._desk.listed:
            if self._opening is not None and call["agents"][0]["agent"] == self._opening:
                self._opening = None
                self._desk.select(call["id"])
                self._desk.coach("listen", now)

    def _listen(self, now: float) -> Hearing:
        desk = self._desk
        if desk.taken or desk.call is None:
            hearing = self._ears.look_at_own()
        else:
            hearing = self._ears.look(sides(desk, desk.call)[0]["agent"], desk.call["number"])
        if desk.taken and not hearing.on_phone:
            desk.taken = None
            desk.say("The call that you took over has ended.", now)
        return hearing
