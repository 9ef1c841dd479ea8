"""What a rule is. The rules themselves: rules_sound, rules_media, rules_access, rules_order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ccwhisper.dialplan.facts import Facts
from ccwhisper.dialplan.model import Level, Place

Found = Iterator[tuple[Place, str]]
"""Places that break the rule, each with a sentence about what is there."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that goes wrong, why it matters, and how to mend it. `bad` breaks the rule and `good` does not."""

    id: str
    level: Level
    title: str
    why: str
    mend: str
    bad: str
    good: str
    check: Callable[[Facts], Found]


RULES: dict[str, Rule] = {}
"""By id, in the order of the documents."""


def rule(
    name: str, level: Level, title: str, *, why: str, mend: str, bad: str, good: str
) -> Callable[[Callable[[Facts], Found]], Callable[[Facts], Found]]:
    """Makes a rule of a function over the facts."""

    def register(check: Callable[[Facts], Found]) -> Callable[[Facts], Found]:
        RULES[name] = Rule(name, level, title, why, mend, bad, good, check)
        return check

    return register
