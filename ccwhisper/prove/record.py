"""What a proof found, as plain data: the JSON that is written, and what page and terminal are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from ccwhisper.prove.findings import KINDS, Gravity

SCHEMA: Final = 1

Levels = dict[str, dict[str, float]]

_SHOWN: Final = {"carla": "coach", "second": "next caller"}


def shown(words: str) -> str:
    """The stage's people by what they are here."""
    for name, word in _SHOWN.items():
        words = words.replace(name, word)
    return words


def rounded(levels: Mapping[str, float]) -> dict[str, float]:
    """Levels for the record, by who is heard."""
    return {shown(name): round(level, 1) for name, level in levels.items()}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: the id of its kind, in which step, and the figure or the words of it."""

    id: str
    step: str
    said: str

    @property
    def gravity(self) -> Gravity:
        """How grave it is."""
        return KINDS[self.id].gravity


@dataclass(slots=True)
class Look:
    """Who hears whom in a step: listener → speaker → dBFS. `wanted` is who must hear whom."""

    step: str
    promise: str
    levels: Levels
    wanted: dict[str, list[str]]
    faults: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Check:
    """One question and its answer: passed, failed, warned or skipped. `figures` are numbers with their unit in the
    name."""

    id: str
    title: str
    answer: str
    verdict: str = "passed"
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Record:
    """The whole proof."""

    about: dict[str, Any] = field(default_factory=dict)
    looks: list[Look] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    course: dict[str, Any] = field(default_factory=dict)
    """Levels over time, for plots: see `measure.course`."""

    def find(self, kind: str, step: str, said: str) -> None:
        """Add a finding; the same kind in the same step once."""
        if not any((each.id, each.step) == (kind, step) for each in self.findings):
            self.findings.append(Finding(KINDS[kind].id, step, shown(said)))

    def check(self, name: str, title: str, answer: str, since: int, **figures: Any) -> Check:
        """Add a check. Its verdict is that of the gravest finding after the first `since`, and when it has not passed
        those are its answer."""
        found = self.findings[since:]
        gravities = {finding.gravity for finding in found}
        verdict = "failed" if gravities - {Gravity.WARNING} else "warned" if gravities else "passed"
        titles = "; ".join(dict.fromkeys(KINDS[finding.id].title for finding in found))
        check = Check(name, title, titles or answer, verdict, figures)
        self.checks.append(check)
        return check

    def sum_up(self) -> None:
        """Put the answer of all looks first."""
        wrong = [look.step for look in self.looks if look.faults]
        answer = f"as it must be in all {len(self.looks)} looks"
        if wrong:
            answer = f"not as it must be in {len(wrong)} of {len(self.looks)} looks: {', '.join(wrong)}"
        if self.looks:
            figures = {"looks": len(self.looks), "wrong": len(wrong)}
            verdict = "failed" if wrong else "passed"
            self.checks.insert(0, Check("matrix", "Who hears whom", answer, verdict, figures))

    @property
    def leaks(self) -> int:
        """How many findings are leaks."""
        return sum(finding.gravity is Gravity.LEAK for finding in self.findings)

    @property
    def passed(self) -> bool:
        """Whether nothing leaks and nothing fails. Warnings are allowed."""
        return all(finding.gravity is Gravity.WARNING for finding in self.findings)

    @property
    def verdict(self) -> str:
        """passed, leaks or failed."""
        return "passed" if self.passed else "leaks" if self.leaks else "failed"

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            **self.about,
            "checks": [asdict(check) for check in self.checks],
            "findings": [_whole(finding) for finding in self.findings],
            "looks": [asdict(look) for look in self.looks],
            "course": self.course,
        }


def _whole(finding: Finding) -> Mapping[str, Any]:
    kind = KINDS[finding.id]
    return {**asdict(finding), "gravity": kind.gravity, "title": kind.title, "why": kind.why, "mend": kind.mend}
