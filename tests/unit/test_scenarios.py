"""The scenarios are the same on both switches, and the page that says so names all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.scenarios.table import PAGE, SUBJECTS, SWITCHES, faults, scenarios

pytestmark = pytest.mark.unit

TESTS = Path(__file__).parents[1]


@pytest.mark.parametrize("folder", SWITCHES)
def test_every_subject_runs_on_both_switches(folder: str) -> None:
    modules = {path.stem.removeprefix("test_scenarios_") for path in (TESTS / folder).glob("test_scenarios_*.py")}
    assert modules == set(SUBJECTS)
    for subject in SUBJECTS:
        text = (TESTS / folder / f"test_scenarios_{subject}.py").read_text()
        assert f"from tests.scenarios.{subject} import *" in text
        assert "def test_" not in text, "a scenario for one switch alone"


def test_the_page_names_every_scenario() -> None:
    rows = re.findall(r"^## (\w+)$|^\| `(test_\w+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    named: dict[str, list[str]] = {}
    for subject, test, cells in rows:
        if subject:
            named[subject] = tests = []
        else:
            tests.append(test)
            assert "failed" not in cells
    assert named == scenarios()


def test_the_page_names_every_fault() -> None:
    assert re.findall(r"^- (?!simulator:|FreeSWITCH )(.+)$", PAGE.read_text(), re.MULTILINE) == faults()
