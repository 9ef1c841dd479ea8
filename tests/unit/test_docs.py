"""The documents tell the truth as far as a machine can see it.

`python tests/unit/test_docs.py` writes anew what is made from the code's own tables.
"""

from __future__ import annotations

import ast
import re
import tomllib
from itertools import product
from pathlib import Path

import click
import pytest

from ccwhisper.cli import cli
from ccwhisper.coaching.modes import PATHS, Gate, Mode, Talk, gate
from ccwhisper.coaching.topology import DIAL_ENDINGS
from ccwhisper.settings import Coaching, File

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "docs/media-path.md"
PAGES = sorted(
    path for part in ("*.md", "docs/*.md", "freeswitch-conf/*.md", "dialplans/*.md") for path in ROOT.glob(part)
)


def shown(value: Gate) -> str:
    return f"{value.value} ({value.digit})"


def gate_table() -> str:
    rows = ["| mode | microphone | key held | key not held | muted |", "|---|---|---|---|---|"]
    for mode, talk in product(Mode, Talk):
        muted = {gate(mode, talk, True, pressed) for pressed in (False, True)}
        assert len(muted) == 1, "a muted coach's key counts: the table needs another column"
        cells = (gate(mode, talk, False, True), gate(mode, talk, False, False), muted.pop())
        rows.append(f"| {mode.value} | {talk.value} | {' | '.join(map(shown, cells))} |")
    return "\n".join(rows)


def mode_diagram() -> str:
    """The steps that are one step; the others lead over these."""
    steps = [(start, end) for (start, end), path in PATHS.items() if len(path) == 1]
    lines = [f"    {start.value} --> {end.value}" for start, end in steps]
    heard = [f"    {mode.value}: {mode.value}, gate {gate(mode, Talk.OPEN, False, False).value}" for mode in Mode]
    return "\n".join(["```mermaid", "stateDiagram-v2", f"    [*] --> {Mode.LISTEN.value}", *lines, *heard, "```"])


def regenerated(text: str) -> str:
    for name, made in (("gate", gate_table()), ("modes", mode_diagram())):
        pattern = rf"(<!-- generated: {name} -->\n).*?(<!-- end: {name} -->)"
        text, count = re.subn(pattern, lambda found, made=made: f"{found[1]}{made}\n{found[2]}", text, flags=re.DOTALL)
        assert count == 1, f"{GENERATED.name} has no place for {name}"
    return text


def test_tables_are_those_of_the_code() -> None:
    text = GENERATED.read_text()
    assert text == regenerated(text), "run: python tests/unit/test_docs.py"


def anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"https?:", target):
            continue
        where, _, anchor = target.partition("#")
        path = (page.parent / where).resolve() if where else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_named_in_backticks_exists(page: Path) -> None:
    for path, name in re.findall(
        r"`((?:ccwhisper|tests|scripts|docs|freeswitch-conf|dialplans)/[\w./-]*)(?:::(\w+))?", page.read_text()
    ):
        file = ROOT / path
        assert file.exists(), path
        if name:
            assert name in {
                node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)
            }, name


def endings() -> set[str]:
    """Why sessions end, as far as the core says it in so many words."""
    found = set(DIAL_ENDINGS.values())
    for path in (ROOT / "ccwhisper/coaching").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("end", "gone")
            ):
                found |= {each.value for arg in node.args for each in ast.walk(arg) if isinstance(each, ast.Constant)
                          and re.fullmatch("[a-z]+(_[a-z]+)+|lost", str(each.value))}  # fmt: skip
    return found - {"take_over"}  # what was compared with


def test_every_ending_has_its_words() -> None:
    assert {"took_over", "device_unreachable", "switch_refused", "too_many_coaches", "lost", "busy"} <= endings()
    page = (ROOT / "ccwhisper/web/static/words.js").read_text()
    text = (ROOT / "docs/api.md").read_text()
    assert [each for each in sorted(endings()) if not re.search(rf"^  {each}: ", page, re.MULTILINE)] == []
    assert [each for each in sorted(endings()) if f"`{each}`" not in text] == []


def test_every_command_is_described() -> None:
    text = (ROOT / "docs/cli.md").read_text()
    assert isinstance(cli, click.Group)
    assert [name for name in cli.commands if not re.search(rf"`{name}\b|, `{name}`", text)] == []


def test_every_command_of_the_simulator_is_described() -> None:
    tree = ast.parse((ROOT / "ccwhisper/simulator/control.py").read_text())
    verbs = {
        node.name.removeprefix("_do_")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("_do_")
    }
    assert verbs
    described = set(re.findall(r"`sim (\w+)", (ROOT / "docs/simulator.md").read_text()))
    assert described == verbs


CONFIGURATION = ROOT / "docs/configuration.md"


def test_every_key_of_the_configuration_is_described() -> None:
    rows = [line for line in CONFIGURATION.read_text().splitlines() if line.startswith("| `")]
    described = {key for row in rows for key in re.findall(r"`([a-z_]+\.[\w.<>]+)`", row.split("|")[1])}
    keys = set()
    for section, field in File.model_fields.items():
        sections = (
            r"\b(Service|Auth|Store|Node|Coaching|BrowserPhone|Recording|Queue|AgentEntry|Supervisor|Device|Prove)\b"
        )
        found = re.findall(sections, str(field.annotation))
        assert found, section
        model = getattr(__import__("ccwhisper.settings", fromlist=["File"]), found[-1])
        by_id = section in ("agent", "supervisor", "device")
        middle = ".<name>" if section == "queue" else ".<id>" if by_id else ""
        for key in model.model_fields:
            if section == "queue" and key == "beep":
                keys |= {f"queue.<name>.beep.{part}" for part in ("on", "level", "parts")}
            else:
                keys.add(f"{section}{middle}.{key}")
    assert described == keys


def test_the_times_have_the_defaults_that_are_described() -> None:
    rows = re.findall(r"^\| `coaching\.(\w+)` \| `?([\w.]+)`? \|", CONFIGURATION.read_text(), re.MULTILINE)
    assert len(rows) == len(Coaching.model_fields)
    for name, told in rows:
        default = Coaching.model_fields[name].default
        assert told == (
            f"{default:g}" if isinstance(default, float) else str(default).lower() if default is True else str(default)
        ), name


def test_the_examples_in_the_documents_are_toml() -> None:
    for page in PAGES:
        for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL):
            File.model_validate(tomllib.loads(block))


if __name__ == "__main__":
    GENERATED.write_text(regenerated(GENERATED.read_text()))
