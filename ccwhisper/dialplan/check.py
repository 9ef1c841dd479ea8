"""Applies the rules, and obeys comments that say why something is meant to be so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ccwhisper.dialplan.facts import Facts
from ccwhisper.dialplan.load import load
from ccwhisper.dialplan.model import Comment, Finding, Place, Problem, Tree
from ccwhisper.dialplan.rule import RULES, Rule

COMMENTS = "ignore-comment"
"""The rule about comments; no comment excuses it."""
_COMMENT = re.compile(r"\s*ccwhisper:\s*ignore\s+([\w,-]+)\s*(?::\s*(\S.*?))?\s*\Z", re.DOTALL)


@dataclass(slots=True)
class Report:
    """What was found, in the order of files and lines."""

    findings: list[Finding] = field(default_factory=list)
    """What is to be mended."""
    ignored: list[Finding] = field(default_factory=list)
    """What a comment with a reason excuses."""
    problems: list[Problem] = field(default_factory=list)
    """What could not be read, and so was not checked."""
    files: int = 0

    @property
    def clean(self) -> bool:
        return not self.findings and not self.problems


def check(paths: Iterable[Path], only: Iterable[str] = ()) -> Report:
    """Every rule, or only those of these ids, over a node's folder, a folder of parts or single files.

    Nothing is executed, nothing is asked of the network, nothing raises for what a file holds. Raises KeyError for an
    unknown id."""
    rules = [RULES[name] for name in only]
    whole = not rules
    if whole:
        rules = list(RULES.values())
    loaded = load(paths)
    report = Report(problems=sorted(loaded.problems, key=lambda each: each.place), files=loaded.files)
    found: set[Finding] = set()
    for tree in loaded.trees:
        facts = Facts(tree)
        here = {each for rule in rules if rule.id != COMMENTS for each in _broken(rule, facts)}
        excused, remarks = _excused(tree, here)
        found |= {excused.get(each, each) for each in here}
        if whole:  # with a few rules only, it is not known what a comment would excuse
            facts.remarks += remarks
            found |= set(_broken(RULES[COMMENTS], facts))
    for each in sorted(found, key=lambda each: (each.place, each.rule, each.message)):
        (report.findings if each.reason is None else report.ignored).append(each)
    return report


def _broken(rule: Rule, facts: Facts) -> Iterator[Finding]:
    return (Finding(rule.id, rule.level, place, message) for place, message in rule.check(facts))


def _excused(tree: Tree, findings: Iterable[Finding]) -> tuple[dict[Finding, Finding], list[tuple[Place, str]]]:
    """Findings with the reason that a comment gives, and what is wrong with comments."""
    excused: dict[Finding, Finding] = {}
    remarks: list[tuple[Place, str]] = []
    by_file: dict[tuple[str, Path], list[Finding]] = {}
    for each in findings:
        by_file.setdefault((each.rule, each.place.path), []).append(each)
    for comment in tree.comments:
        if not re.match(r"\s*ccwhisper:", comment.text):
            continue
        said = _COMMENT.match(comment.text)
        if not said or not said[2]:
            wrong = "an ignore comment needs a reason: <!-- ccwhisper: ignore RULE: why -->"
            remarks.append((comment.place, wrong))
            continue
        reason = " ".join(said[2].split())
        for name in said[1].split(","):
            if name not in RULES or name == COMMENTS:
                remarks.append((comment.place, f"there is no rule {name}"))
                continue
            covered = [each for each in by_file.get((name, comment.place.path), ()) if _covers(comment, each.place)]
            if not covered:
                remarks.append((comment.place, f"nothing to ignore: {name} finds nothing here"))
            for each in covered:
                excused[each] = Finding(each.rule, each.level, each.place, each.message, reason)
    return excused, remarks


def _covers(comment: Comment, place: Place) -> bool:
    """Of the same file: its own lines and the next, and the whole element that opens next."""
    if comment.place.line <= place.line <= comment.end.line + 1:
        return True
    element = comment.before
    if element is None or not element.place.path == element.end.path == place.path:
        return False
    return element.place.line <= place.line <= element.end.line
