"""Every XML file that administrators are given is well-formed, and is what the switch's line-wise reader expects."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers.expat import ParserCreate

import pytest

from ccwhisper.coaching.dialin import PROMPTS

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path for folder in ("freeswitch-conf", "dialplans") for path in (ROOT / folder).rglob("*.xml"))


def test_there_are_files() -> None:
    assert {path.name for path in FILES} >= {"freeswitch.xml", "vars.xml", "phones.xml", "trunk.xml"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_well_formed(path: Path) -> None:
    ParserCreate().Parse(path.read_bytes(), True)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_directives_stand_alone_on_one_line(path: Path) -> None:
    """The switch (switch_xml.c, preprocess) reads lines: a directive that wraps is lost, one in a comment is obeyed."""
    for line in path.read_text().splitlines():
        if "x-pre-process" in line.lower():
            assert re.fullmatch(r'\s*<X-PRE-PROCESS cmd="(set|env-set|exec-set|include)" data="[^"]+"/>', line), line
        assert "<!--#" not in line


def test_no_secret_is_written_down() -> None:
    for path in FILES:
        for value in re.findall(r'name="password" value="([^"]*)"', path.read_text()):
            assert value.startswith("$${ccw_") or value == "not-used", path


def test_every_secret_is_forgotten() -> None:
    """Passwords travel as global variables while the XML is read; freeswitch.xml ends by emptying each of them."""
    conf = ROOT / "freeswitch-conf"
    used = {
        name
        for path in conf.rglob("*.xml")
        for name in re.findall(r'"password" value="\$\$\{(\w+)\}"', path.read_text())
    }
    assert used
    assert used == set(re.findall(r'data="(\w+)="', (conf / "forget.xml").read_text()))
    last = [line for line in (conf / "freeswitch.xml").read_text().splitlines() if "PRE-PROCESS" in line][-1]
    assert "forget.xml" in last


def extensions(path: Path) -> dict[str, str]:
    """Each extension of a dialplan as text without layout, by its name."""
    return {
        str(each.get("name")): re.sub(r">\s+<", "><", ElementTree.tostring(each, encoding="unicode")).strip()
        for each in ElementTree.parse(path).iter("extension")
    }


def test_feature_codes_are_those_of_the_whole_node() -> None:
    part = extensions(ROOT / "dialplans/feature-codes.xml")
    assert len(part) == 5
    assert part == extensions(ROOT / "freeswitch-conf/dialplan/parts/feature-codes.xml")


def test_every_prompt_is_there() -> None:
    files = {path.stem for path in (ROOT / "freeswitch-conf/sounds").glob("*.wav")}
    assert files == PROMPTS
    said = set(re.findall(r"^\| `([\w-]+)\.wav`", (ROOT / "docs/desk-phones.md").read_text(), re.MULTILINE))
    assert said == PROMPTS


def test_callers_are_met_in_the_same_way_by_the_part_and_by_the_whole_node() -> None:
    part = extensions(ROOT / "dialplans/callers.xml")
    assert len(part) == 2
    assert part.items() <= extensions(ROOT / "freeswitch-conf/dialplan/from-trunk.xml").items()
