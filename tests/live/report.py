"""What the live suite saw, for people: switch, scenario, who heard whom."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ccwhisper.proof.stage import Verdict, table


class Report:
    """Collects verdicts and free lines by scenario, and writes them as Markdown."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.version = ""
        self.scenarios: dict[str, list[str]] = {}

    def add(self, version: str, scenario: str, verdicts: Iterable[Verdict]) -> None:
        """Add the tables of a scenario."""
        self.version = version
        lines = self.scenarios.setdefault(scenario, [])
        for verdict in verdicts:
            lines += ["", f"{verdict.label or 'as expected'}:", "```", table(verdict), "```"]

    def say(self, scenario: str, line: str) -> None:
        """Add a line with a figure."""
        self.scenarios.setdefault(scenario, []).append(f"- {line}")

    def write(self) -> None:
        """Write the file, if anything was seen."""
        if not self.scenarios:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = [
            "# Live suite",
            "",
            f"FreeSWITCH {self.version}. Levels in dBFS of tones sent at -16; – is silence.",
            "",
        ]
        for scenario, lines in self.scenarios.items():
            text += [f"## {scenario}", *lines, ""]
        self.path.write_text("\n".join(text))
