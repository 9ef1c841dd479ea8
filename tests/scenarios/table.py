"""docs/scenarios.md, from what the last runs left: `python -m tests.scenarios.table`.

Each scenario, and what it came to on each switch. Raises SystemExit when a run is missing, when one switch has run
scenarios that the other has not, or when somebody was heard on one and not on the other.
"""

from __future__ import annotations

import ast
import json
from itertools import groupby
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs/scenarios.md"
SWITCHES = {"protocol": "simulator", "live": "FreeSWITCH"}
SUBJECTS = ("matrix", "topology", "calls", "frames", "restart", "recording", "faults")

HEAD = """# Scenarios

Written once, in `tests/scenarios/`, and run on both switches: `scripts/test protocol -k scenarios` on the simulator,
`scripts/test live -k scenarios` on FreeSWITCH. Where the two differ, the simulator is wrong.

A *look* is one question of who hears whom, answered for every party and every coach at once. On FreeSWITCH it is
measured in the RTP that reached each phone, on the simulator it is asked of the mixer. It is *alike* when exactly the
same people were heard on both.

{runs}

This page is made by `python -m tests.scenarios.table` from the last run on each.
"""


def scenarios() -> dict[str, list[str]]:
    """The names of all scenarios, subject by subject, as they stand in the modules."""
    return {
        subject: [
            node.name
            for node in ast.parse((HERE / f"{subject}.py").read_text()).body
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        ]
        for subject in SUBJECTS
    }


def faults() -> list[str]:
    """What is planted, in words."""
    [table] = [
        node.value
        for node in ast.parse((HERE / "planted.py").read_text()).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict)
    ]
    return [str(ast.literal_eval(key)) for key in table.keys if key is not None][1:]  # the first is none


def ran(folder: str) -> dict[str, dict[str, Any]]:
    """What a run left."""
    path = ROOT / f"reports/scenarios-{folder}.json"
    if not path.exists():
        raise SystemExit(f"{path} is missing: scripts/test {folder} -k scenarios")
    found: dict[str, dict[str, Any]] = json.loads(path.read_text())
    return found


def base(test: str) -> str:
    """A test's name without its parameters."""
    return test.partition("[")[0]


def verdict(entries: list[dict[str, Any]]) -> str:
    """What all variants of a scenario came to."""
    failed = sum(entry["verdict"] != "passed" for entry in entries)
    count = len(entries)
    return f"**{failed} of {count} failed**" if failed else "passed" if count == 1 else f"passed, {count} of {count}"


def compared(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> str:
    """How many looks there were, and whether both switches showed the same. A key that is held is looked at for as long
    as it takes, so of looks that follow each other with one label the first counts."""

    def once(entries: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
        return [
            [next(same) for _, same in groupby(entry.get("looks", ()), key=lambda look: look["label"])]
            for entry in entries
        ]

    one, other = once(ours), once(theirs)
    if one != other:
        raise SystemExit(f"not alike: {one} and {other}")
    count = sum(map(len, one))
    return f"{count} alike" if count else "–"


def about(folder: str, run: dict[str, dict[str, Any]]) -> str:
    """Which switch it was, and how long it took."""
    version = next(entry["switch"] for entry in run.values() if "switch" in entry)
    faults = sum(entry["seconds"] for name, entry in run.items() if name.startswith("faults::"))
    rest = sum(entry["seconds"] for entry in run.values()) - faults
    name = SWITCHES[folder] if version == SWITCHES[folder] else f"{SWITCHES[folder]} {version}"
    return f"- {name}: {len(run)} tests, {rest:.0f} s for the scenarios and {faults:.0f} s for the planted faults."


def page() -> str:
    """The whole page."""
    runs = {folder: ran(folder) for folder in SWITCHES}
    names = {folder: set(run) for folder, run in runs.items()}
    if names["protocol"] != names["live"]:
        raise SystemExit(f"not run on both: {sorted(names['protocol'] ^ names['live'])}")
    lines = [HEAD.format(runs="\n".join(about(folder, run) for folder, run in runs.items()))]
    for subject, tests in scenarios().items():
        docstring = ast.get_docstring(ast.parse((HERE / f"{subject}.py").read_text())) or ""
        lines += [
            f"## {subject}",
            "",
            docstring.partition("\n\n")[0].replace("\n", " "),
            "",
            "| scenario | simulator | FreeSWITCH | looks |",
            "|---|---|---|---|",
        ]
        for test in tests:
            found = {
                folder: [run[name] for name in sorted(run) if base(name) == f"{subject}::{test}"]
                for folder, run in runs.items()
            }
            cells = [verdict(found[folder]) for folder in SWITCHES]
            lines.append(f"| `{test}` | {' | '.join(cells)} | {compared(*found.values())} |")
        lines.append("")
    lines += [
        "The faults, each planted in the service and caught on both:",
        "",
        *(f"- {each}" for each in faults()),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
