"""A report as text for people, as JSON, and as SARIF 2.1.0 for tools that annotate code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ccwhisper.dialplan.check import Report
from ccwhisper.dialplan.model import Finding, Place
from ccwhisper.dialplan.rule import RULES

Json = dict[str, Any]
SHOWN = 10
"""Findings of one rule in one file that the text tells one by one. JSON and SARIF have them all."""


def text(report: Report, shown: Callable[[str], str] = str) -> Iterator[str]:
    """Lines for a terminal. `shown` makes text of files safe to print. Why and mend are told once for a rule."""
    for problem in report.problems:
        yield f"{shown(str(problem.place))}: not read: {shown(problem.message)} [{problem.code}]"
    told = set()
    many = Counter((each.place.path, each.rule) for each in report.findings)
    seen: Counter[tuple[Path, str]] = Counter()
    for each in report.findings:
        where = each.place.path, each.rule
        seen[where] += 1
        if seen[where] > SHOWN:
            if seen[where] == many[where]:
                yield f"{shown(str(each.place.path))}: … and {many[where] - SHOWN} more [{each.rule}]"
            continue
        yield f"{shown(str(each.place))}: {each.level}: {shown(each.message)} [{each.rule}]"
        if each.rule not in told:
            told.add(each.rule)
            yield f"    why:  {RULES[each.rule].why}"
            yield f"    mend: {RULES[each.rule].mend}"
    yield _summary(report)


def _summary(report: Report) -> str:
    parts = [_count(len(report.findings), "finding"), _count(report.files, "file")]
    if report.ignored:
        parts.append(f"{len(report.ignored)} ignored with a reason")
    if report.problems:
        parts.append(f"{len(report.problems)} not read")
    return ", ".join(parts)


def _count(number: int, of: str) -> str:
    return f"{number} {of}{'' if number == 1 else 's'}"


def as_json(report: Report) -> Json:
    """The whole report. Keys are only ever added."""
    return {
        "findings": [_finding(each) for each in report.findings],
        "ignored": [{**_finding(each), "reason": each.reason} for each in report.ignored],
        "problems": [{"code": each.code, "message": each.message, **_place(each.place)} for each in report.problems],
        "files": report.files,
    }


def _finding(each: Finding) -> Json:
    rule = RULES[each.rule]
    said = {"rule": each.rule, "level": str(each.level), **_place(each.place), "message": each.message}
    return {**said, "why": rule.why, "mend": rule.mend}


def _place(place: Place) -> Json:
    return {"path": str(place.path), "line": place.line}


def sarif(report: Report, version: str) -> Json:
    """SARIF 2.1.0 (OASIS). An ignored finding is there as suppressed; what could not be read fails the run."""
    index = {name: number for number, name in enumerate(RULES)}
    rules = [
        {
            "id": rule.id,
            "shortDescription": {"text": rule.title},
            "fullDescription": {"text": rule.why},
            "help": {"text": rule.mend},
            "defaultConfiguration": {"level": str(rule.level)},
        }
        for rule in RULES.values()
    ]
    results = []
    for each in sorted([*report.findings, *report.ignored], key=lambda each: (each.place, each.rule)):
        result: Json = {
            "ruleId": each.rule,
            "ruleIndex": index[each.rule],
            "level": str(each.level),
            "message": {"text": each.message},
            "locations": [_location(each.place)],
        }
        if each.reason is not None:
            result["suppressions"] = [{"kind": "inSource", "justification": each.reason}]
        results.append(result)
    problems = [
        {
            "descriptor": {"id": each.code},
            "level": "error",
            "message": {"text": each.message},
            "locations": [_location(each.place)],
        }
        for each in report.problems
    ]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "ccwhisper", "semanticVersion": version, "rules": rules}},
                "invocations": [{"executionSuccessful": not problems, "toolExecutionNotifications": problems}],
                "columnKind": "unicodeCodePoints",
                "results": results,
            }
        ],
    }


def _location(place: Place) -> Json:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": _uri(place.path)},
            "region": {"startLine": place.line},
        }
    }


def _uri(path: Path) -> str:
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
