"""What each scenario came to on each switch: `reports/scenarios-<folder>.json`, from which the table is made."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ccwhisper.proof.scene import SILENT, ServiceStage, Verdict

LOOKS, SWITCH = "looks", "switch"


def seen(request: pytest.FixtureRequest, stage: ServiceStage) -> None:
    """Leave with a test's report what was heard on its stage."""
    request.node.user_properties += [(SWITCH, stage.node.version), (LOOKS, looks(stage.verdicts))]


def looks(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Who heard whom, without levels: the beep is left out, since a look may fall on its end."""
    return [
        {
            "label": verdict.label,
            "hears": {
                listener: sorted(name for name, level in heard.items() if level > SILENT and name != "beep")
                for listener, heard in verdict.levels.items()
            },
        }
        for verdict in verdicts
    ]


class Record:
    """A plugin. A run of some scenarios leaves what is known of the others as it is."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._found: dict[str, dict[str, dict[str, Any]]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        folder, _, name = report.nodeid.removeprefix("tests/").partition("/test_scenarios_")
        if not name or report.skipped:
            return
        module, _, test = name.partition(".py::")
        entry = self._found.setdefault(folder, {}).setdefault(f"{module}::{test}", {"verdict": "passed", "seconds": 0})
        entry["seconds"] = round(entry["seconds"] + report.duration, 2)
        if report.failed:
            entry["verdict"] = "failed"
        if report.when == "teardown":
            entry.update(report.user_properties)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.config.getoption("--rounds") > 1:
            return  # their names are those of rounds
        for folder, entries in self._found.items():
            path = self._directory / f"scenarios-{folder}.json"
            known = json.loads(path.read_text()) if path.exists() else {}
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(known | entries, indent=1, ensure_ascii=False) + "\n")
