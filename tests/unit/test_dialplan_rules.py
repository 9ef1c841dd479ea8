"""Each rule of the checker, over a file that breaks it in several ways and comes close in others.

In `broken/`, a comment `breaks: RULE` stands on each line where that rule must find something, and nowhere else may it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ccwhisper.dialplan import RULES, Rule, check

pytestmark = pytest.mark.unit

BROKEN = Path(__file__).parent / "broken"


def expected(path: Path) -> set[tuple[int, str]]:
    lines = path.read_text().splitlines()
    return {(number, name) for number, line in enumerate(lines, 1) for name in re.findall(r"breaks: ([\w-]+)", line)}


def test_there_is_a_broken_file_for_each_rule() -> None:
    assert {path.stem for path in BROKEN.glob("*.xml")} == set(RULES)


@pytest.mark.parametrize("name", RULES)
def test_finds_what_is_broken_and_nothing_else(name: str) -> None:
    path = BROKEN / f"{name}.xml"
    report = check([path])
    assert not report.problems
    assert {(each.place.line, each.rule) for each in report.findings} == expected(path)
    assert {each.place.path for each in report.findings} == {path}
    assert name in {each.rule for each in report.findings}


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.id)
def test_the_example_of_the_documents_breaks_the_rule_and_its_mend_does_not(rule: Rule, tmp_path: Path) -> None:
    for kind, text in (("bad", rule.bad), ("good", rule.good)):
        path = tmp_path / f"{kind}.xml"
        path.write_text(text)
        report = check([path])
        assert not report.problems
        assert (rule.id in {each.rule for each in report.findings}) is (kind == "bad"), kind


def test_one_rule_alone() -> None:
    report = check([BROKEN / "ignore-comment.xml"], only=["whisper-aleg"])
    assert {each.rule for each in report.findings} == {"whisper-aleg"}


def test_an_ignored_finding_is_told_with_its_reason() -> None:
    report = check([BROKEN / "ignore-comment.xml"])
    assert [(each.place.line, each.rule, each.reason) for each in report.ignored] == [
        (5, "media-off-switch", "fax machines, no agent takes part"),
        (11, "media-off-switch", "on the same line"),
        (21, "media-off-switch", "this whole extension is for the door phone"),
        (22, "whisper-bleg", "this whole extension is for the door phone"),
        (32, "media-off-switch", "no agent on this node"),
    ]


@pytest.mark.parametrize("folder", ["freeswitch-conf", "dialplans"])
def test_finds_nothing_in_what_we_give_away(folder: str) -> None:
    report = check([Path(__file__).parents[2] / folder])
    assert report.files >= 5
    assert report.clean, report
