"""The demo's picture fits the terminal that it is promised to fit."""

from __future__ import annotations

import io
import os
import re
from typing import Any

import pytest

from ccwhisper.cli.demo.freeswitch import _glance, _picture
from ccwhisper.cli.screen import HEIGHT, WIDTH, Screen

pytest.importorskip("numpy")
from ccwhisper.proof.show import Glance, Look
from ccwhisper.proof.steps import STEPS

pytestmark = pytest.mark.unit

TWO_BEFORE = 2  # lines that are printed before the picture, and stay
NAMES = ("caller", "agent", "carla")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def look(step: int, wrong: str = "", **session: Any) -> Look:
    levels = {who: {**dict.fromkeys(NAMES, -16.0), "beep": -120.0} for who in NAMES}
    view = {
        "phase": "attached",
        "mode": "barge",
        "gate": "everyone",
        "agent": "1001",
        "agent_name": "A" * 128,
        **session,
    }
    return Look(STEPS[step], 1, levels, view, 1234.5, {"caller": -120.0, "agent": -16.2, "carla": -120.0}, {}, wrong)


def plain(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


@pytest.mark.parametrize("step", range(len(STEPS)))
@pytest.mark.parametrize("wrong", ["", "caller hears carla at -16.0 dBFS, must not (limit -80); " * 5])
def test_the_picture_fits(step: int, wrong: str) -> None:
    screen = Screen(Terminal(), {"TERM": "xterm"})
    picture = _picture(screen, [*map(look, range(step)), look(step, wrong)])
    assert TWO_BEFORE + len(picture) < HEIGHT
    assert max(len(plain(line)) for line in picture) <= WIDTH


def test_what_is_shown_afterwards_fits() -> None:
    names = (*NAMES, "second", "colleague")
    coaches = tuple({"name": "N" * 60, "agent": "1001", "mode": "whisper", "gate": "agent"} for _ in range(3))
    lines = _glance(Glance({who: dict.fromkeys(names, -16.0) for who in names}, coaches))
    assert max(map(len, lines)) <= WIDTH


def test_colour_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda _fallback: os.terminal_size((80, 24)))
    assert "\x1b[3" in Screen(Terminal(), {"TERM": "xterm"}).style("x", "good")
    assert Screen(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}).style("x", "good") == "x"
    assert Screen(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}).live  # it is colour that is not wanted
    assert not Screen(Terminal(), {"TERM": "dumb"}).live
    assert not Screen(io.StringIO(), {"TERM": "xterm"}).live


def test_a_terminal_that_is_too_small_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda _fallback: os.terminal_size((79, 24)))
    assert not Screen(Terminal(), {"TERM": "xterm"}).live


def test_a_picture_takes_the_place_of_the_last_one() -> None:
    terminal = Terminal()
    screen = Screen(terminal, {"TERM": "xterm"})
    screen.paint(["one", "two"])
    screen.paint(["three"])
    assert terminal.getvalue().endswith("\x1b[2A\rthree\x1b[K\n\x1b[J")
    screen.line("stays")
    screen.paint(["four"])
    assert terminal.getvalue().endswith("stays\n\rfour\x1b[K\n\x1b[J")
