"""What the checker prints, and how the command ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import ccwhisper
from ccwhisper.cli import cli
from ccwhisper.dialplan import RULES
from ccwhisper.dialplan.report import SHOWN

pytestmark = pytest.mark.unit

FINE = '<action application="set" data="bypass_media=false"/>\n'
BAD = '<action application="set" data="bypass_media=true"/>\n'
EXCUSED = f"<!-- ccwhisper: ignore media-off-switch: fax -->\n{BAD}"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["dialplan", "check", *arguments])


def test_nothing_to_mend(here: Path) -> None:
    (here / "a.xml").write_text(FINE)
    done = run("a.xml")
    assert (done.exit_code, done.output) == (0, "0 findings, 1 file\n")


def test_a_finding_has_its_place_and_rule_and_once_why_and_how_to_mend_it(here: Path) -> None:
    (here / "a.xml").write_text(FINE + BAD + EXCUSED + FINE + BAD)
    done = run("a.xml")
    said = "error: bypass_media is true: such a call cannot be coached [media-off-switch]"
    rule = RULES["media-off-switch"]
    assert done.exit_code == 1
    assert done.output.splitlines() == [
        f"a.xml:2: {said}",
        f"    why:  {rule.why}",
        f"    mend: {rule.mend}",
        f"a.xml:6: {said}",
        "2 findings, 1 file, 1 ignored with a reason",
    ]


def test_what_cannot_be_read_comes_first_and_ends_with_two(here: Path) -> None:
    (here / "a.xml").write_text(BAD + "<a")
    done = run("a.xml")
    assert done.exit_code == 2
    assert done.output.startswith("a.xml:2: not read: <a without its > [malformed]\na.xml:1: error:")
    assert done.output.endswith("1 finding, 1 file, 1 not read\n")


def test_the_text_does_not_tell_the_same_a_thousand_times(here: Path) -> None:
    (here / "a.xml").write_text(BAD * 1000)
    lines = run("a.xml").output.splitlines()
    assert len(lines) == SHOWN + 4
    assert lines[-2:] == [f"a.xml: … and {1000 - SHOWN} more [media-off-switch]", "1000 findings, 1 file"]
    assert len(json.loads(run("a.xml", "--json").output)["findings"]) == 1000


def test_a_file_cannot_move_the_cursor(here: Path) -> None:
    (here / "a.xml").write_text('<context name="a"><extension name="\x1b[2J"><x/></extension></context>')
    assert "\\u{1b}[2J" in run("a.xml").output


def test_json(here: Path) -> None:
    (here / "a.xml").write_text(BAD + EXCUSED + "<a")
    done = run("a.xml", "--format", "json")
    rule = RULES["media-off-switch"]
    finding = {
        "rule": "media-off-switch", "level": "error", "path": "a.xml", "why": rule.why, "mend": rule.mend,
        "message": "bypass_media is true: such a call cannot be coached",
    }  # fmt: skip
    assert json.loads(done.output) == {
        "findings": [{**finding, "line": 1}],
        "ignored": [{**finding, "line": 3, "reason": "fax"}],
        "problems": [{"code": "malformed", "message": "<a without its >", "path": "a.xml", "line": 4}],
        "files": 1,
    }
    assert run("a.xml", "--json").output == done.output


def sarif(*arguments: str) -> dict[str, Any]:
    whole = json.loads(run(*arguments, "--format", "sarif").output)
    assert whole["version"] == "2.1.0"
    [only] = whole["runs"]
    return dict(only)


def test_sarif(here: Path) -> None:
    (here / "a b.xml").write_text(BAD + EXCUSED)
    run = sarif("a b.xml", str(here / "a b.xml"))
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["semanticVersion"]) == ("ccwhisper", ccwhisper.__version__)
    assert [rule["id"] for rule in driver["rules"]] == list(RULES)
    assert run["invocations"] == [{"executionSuccessful": True, "toolExecutionNotifications": []}]
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "media-off-switch"
    places = [each["locations"][0]["physicalLocation"] for each in run["results"]]
    uris = [(each["artifactLocation"]["uri"], each["region"]["startLine"]) for each in places]
    absolute = (here / "a b.xml").as_uri()
    assert sorted(uris) == sorted([("a%20b.xml", 1), ("a%20b.xml", 3), (absolute, 1), (absolute, 3)])
    reasons = [each["suppressions"] for each in run["results"] if "suppressions" in each]
    assert reasons == [[{"kind": "inSource", "justification": "fax"}]] * 2


def test_sarif_of_what_cannot_be_read(here: Path) -> None:
    (here / "a.xml").write_text("<!DOCTYPE a>")
    [invocation] = sarif("a.xml")["invocations"]
    assert invocation["executionSuccessful"] is False
    [problem] = invocation["toolExecutionNotifications"]
    assert problem["descriptor"] == {"id": "doctype"}
    assert problem["locations"][0]["physicalLocation"]["region"] == {"startLine": 1}


def test_only_some_rules(here: Path) -> None:
    (here / "a.xml").write_text(BAD)
    assert run("a.xml", "--rule", "whisper-aleg").exit_code == 0
    assert run("a.xml", "--rule", "whisper-aleg", "--rule", "media-off-switch").exit_code == 1
    done = run("a.xml", "--rule", "no-such")
    assert done.exit_code == 2
    assert "no such rule: no-such" in done.output


def test_wrong_usage(here: Path) -> None:
    assert run().exit_code == 2
    assert run("nowhere").exit_code == 2
