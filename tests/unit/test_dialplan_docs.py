"""The checker's page describes every rule and every code, with the rules' own words.

`python tests/unit/test_dialplan_docs.py` writes the part that is made from the rules anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ccwhisper.dialplan import RULES
from tests.unit.test_dialplan_reading import CODES

pytestmark = pytest.mark.unit

PAGE = Path(__file__).parents[2] / "docs/dialplan-check.md"


def rules() -> str:
    lines = ["| rule | level | |", "|---|---|---|"]
    lines += [f"| [`{rule.id}`](#{rule.id}) | {rule.level} | {rule.title} |" for rule in RULES.values()]
    for rule in RULES.values():
        lines += ["", f"### {rule.id}", "", f"{rule.why}", "", f"**Mend.** {rule.mend}", ""]
        lines += ["Found:", "", "```xml", rule.bad, "```", "", "Right:", "", "```xml", rule.good, "```"]
    return "\n".join(lines)


def regenerated(text: str) -> str:
    pattern = r"(<!-- generated: rules -->\n).*?(<!-- end: rules -->)"
    made, count = re.subn(pattern, lambda found: f"{found[1]}{rules()}\n{found[2]}", text, flags=re.DOTALL)
    assert count == 1
    return made


def test_the_page_has_the_rules_as_they_are() -> None:
    text = PAGE.read_text()
    assert text == regenerated(text), "run: python tests/unit/test_dialplan_docs.py"


def test_the_page_has_every_code() -> None:
    section = PAGE.read_text().partition("## Problems")[2].partition("## Rules")[0]
    assert {
        code for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for code in re.findall(r"`(\w+)`", row)
    } == CODES


if __name__ == "__main__":
    PAGE.write_text(regenerated(PAGE.read_text()))
