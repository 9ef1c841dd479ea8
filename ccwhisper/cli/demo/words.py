"""What both demos say in the same words."""

from __future__ import annotations

import os
import shlex
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ccwhisper.cli.follow import stage_of

SILENT: Final = -60.0
NAMES: Final = {
    "caller": "caller",
    "agent": "agent",
    "second": "caller 2",
    "colleague": "agent 1002",
    "carla": "Carla",
}


def matrix(levels: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Who hears whom: a row for each who listens, a column for each who speaks."""
    names = [name for name in NAMES if name in levels or any(name in heard for heard in levels.values())]
    lines = ["  " + "dBFS".ljust(18) + "".join(NAMES[name].rjust(11) for name in names)]
    for listener, heard in levels.items():
        cells = (
            "·" if name == listener else f"{heard[name]:.0f}" if heard.get(name, -120.0) > SILENT else "–"
            for name in names
        )  # fmt: skip
        lines.append(f"  {NAMES[listener] + ' hears':<18}" + "".join(cell.rjust(11) for cell in cells))
    return lines


def rounded(levels: Mapping[str, float]) -> dict[str, float]:
    """Levels for a record."""
    return {name: round(level, 1) for name, level in levels.items()}


def count(number: int, what: str) -> str:
    """A number of things."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def api(session: Mapping[str, Any] | None) -> str:
    """What the API says of a session, in a line."""
    if session is None:
        return "no session"
    if session["phase"] == "ended":
        return stage_of(dict(session))
    return f"mode {session['mode']}, gate {session['gate']}: {stage_of(dict(session)).partition(' · ')[2]}"


def environment(directory: Path, url: str, token: str) -> Path:
    """A file to source in a second terminal: address, token, and where the command is. Removed with the demo."""
    path = directory / "env"
    scripts = sysconfig.get_path("scripts")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f"export CCWHISPER_URL={shlex.quote(url)}\n")
        file.write(f"export CCWHISPER_TOKEN={shlex.quote(token)}\n")
        file.write(f'export PATH={shlex.quote(scripts)}:"$PATH"\n')
    return path
