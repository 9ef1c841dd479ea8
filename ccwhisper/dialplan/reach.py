"""What a stranger can reach, from the contexts where calls without a password begin, by transfers that he can steer."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ccwhisper.dialplan.facts import Extension, Facts, Profile
from ccwhisper.dialplan.model import Element
from ccwhisper.dialplan.patterns import Pattern, literal, overlap, pattern
from ccwhisper.dialplan.steps import UNKNOWN, Leg, Step, true

MAX_HOPS = 8
MAX_QUESTIONS = 500
"""What is asked of patterns before the rest counts as out of reach; a question takes about a millisecond."""
_LEADS = frozenset({"transfer", "execute_extension", "bridge", "ivr"})
_NAMES = re.compile(r"(public|from[-_]?(trunk|pstn|carrier|external)|inbound)\Z", re.IGNORECASE)
"""Where there is no profile to tell: contexts of these names are taken for those of callers."""
_AUTHENTICATED = re.compile(r"auth|user_data|acl\(|group|toll_allow|\brole|permission|\bpin", re.IGNORECASE)
_PART = re.compile(r"\$\{destination_number\}|\$\{(\w+)\}|\$(\d)")


@dataclass(frozen=True, slots=True)
class Reached:
    """An extension that a stranger can run, and the contexts that he came through."""

    extension: Extension
    path: tuple[str, ...]


def guarded(extension: Element) -> bool:
    """A condition asks who the caller is, in a way that his phone had to prove or the directory says."""
    return any(_AUTHENTICATED.search(each.get("field")) for each in extension.walk("condition", "regex"))


def open_profile(profile: Profile) -> bool:
    """It takes some calls without a password: all of them, or those from an address list."""
    asks = profile.params.get("auth-calls", "")
    return (
        not (true(asks) or UNKNOWN in asks)
        or bool(profile.params.get("apply-inbound-acl"))
        or true(profile.params.get("accept-blind-auth", ""))
    )


def entrances(facts: Facts) -> list[str]:
    """The contexts in which calls without a password begin."""
    if not facts.profiles:
        return [each.get("name") for each in facts.contexts if _NAMES.match(each.get("name"))]
    found = [each.params.get("context", "") for each in facts.profiles if open_profile(each)]
    for profile in facts.profiles:
        for gateway in profile.gateways:
            found += (each.get("value") for each in gateway.each("param") if each.get("name") == "context")
    return list(dict.fromkeys(filter(None, found)))


def reached(facts: Facts, wanted: Callable[[Step], bool]) -> Iterator[Reached]:
    """The extensions with a wanted step, or on the way to one, that a stranger can run. What cannot be decided counts
    as out of reach."""
    yield from _Walk(facts, wanted).run()


class _Walk:
    def __init__(self, facts: Facts, wanted: Callable[[Step], bool]) -> None:
        self.facts = facts
        self.extensions: dict[str, list[tuple[Extension, tuple[Pattern, ...]]]] = {}
        """By context those that matter, each with the patterns of its numbers."""
        for each in facts.extensions:
            steps = facts.steps_of(each.element)
            matters = any(step.app in _LEADS or wanted(step) for step in steps)
            if each.context is not None and matters and not guarded(each.element):
                own = numbers(each.element)
                if own is not None:
                    self.extensions.setdefault(each.context, []).append((each, own))
        self.menus: dict[str, list[Step]] = {}
        for step in facts.steps_of(None):
            if (menu := step.element.up("menu")) is not None:
                self.menus.setdefault(menu.get("name"), []).append(step)
        self.waiting: deque[tuple[tuple[str, ...], tuple[Pattern, ...]]] = deque()
        self.queued: set[tuple[str, tuple[Pattern, ...]]] = set()
        self.found: set[int] = set()
        self.questions = 0
        for context in entrances(facts):
            self.queue((context,), ())

    def queue(self, path: tuple[str, ...], given: tuple[Pattern, ...]) -> None:
        if len(path) <= MAX_HOPS and (path[-1], given) not in self.queued:
            self.queued.add((path[-1], given))
            self.waiting.append((path, given))

    def run(self) -> Iterator[Reached]:
        while self.waiting:
            path, given = self.waiting.popleft()
            for extension, own in self.extensions.get(path[-1], ()):
                self.questions += not any(each.single for each in given)
                if self.questions > MAX_QUESTIONS:
                    return
                if not overlap(*given, *own):
                    continue
                if id(extension.element) not in self.found:
                    self.found.add(id(extension.element))
                    yield Reached(extension, path)
                self.follow(extension, path, (*given, *own))

    def follow(self, extension: Extension, path: tuple[str, ...], given: tuple[Pattern, ...]) -> None:
        """Every transfer of this extension that the caller's own leg runs."""
        steps = self.facts.steps_of(extension.element)
        asked = {word for step in steps if step.app in ("read", "play_and_get_digits") for word in step.data.split()}
        for step in steps:
            if step.leg is Leg.OWN and not step.api:
                self.step(step, path, given, asked)
                if step.app == "ivr":
                    for entry in self.menus.get(step.data.strip(), ()):
                        self.step(entry, path, (), asked)

    def step(self, step: Step, path: tuple[str, ...], given: tuple[Pattern, ...], asked: set[str]) -> None:
        """Where a transfer leads, and with which numbers."""
        if step.app in ("transfer", "execute_extension"):
            words = step.data.split()
            words = words[1:] if words[:1] == ["-both"] else words
            if not words or (len(words) > 1 and words[1].upper() != "XML"):
                return  # to another dialplan, or with -bleg the other party
            number, context = words[0], words[2] if len(words) > 2 else path[-1]
        elif step.app == "bridge" and (found := re.search(r"loopback/([^/\s]+)/([\w.-]+)", step.data)):
            number, context = found[1], found[2]
        else:
            return
        if "$" not in context and (then := dialled(step, number, given, asked)) is not None:
            self.queue((*path, context), then)


def dialled(step: Step, number: str, given: tuple[Pattern, ...], asked: set[str]) -> tuple[Pattern, ...] | None:
    """What the number of a transfer can be. None: nothing that the caller steers, or that can be said."""
    if number == "${destination_number}":
        return given
    expression, at = "", 0
    for part in _PART.finditer(number):
        expression += re.escape(number[at : part.start()])
        at = part.end()
        if part[2] is None:
            if part[1] is not None and part[1] not in asked:
                return None
            expression += ".*"
        else:
            group, whole = _group(step, int(part[2]))
            if group is None:
                return None
            if whole and given and number == part[0]:
                return given
            expression += f"(?:{group})"
    made = pattern(expression + re.escape(number[at:]), whole=True) if expression else literal(number)
    return None if made is None else (made,)


def _group(step: Step, number: int) -> tuple[str | None, bool]:
    """The group of the pattern that gave the action its $1, and whether it is the whole of the pattern."""
    around = step.element.parent
    if step.element.name == "entry":
        said = step.element.get("digits").strip("/")
    elif around is None or around.get("field") != "destination_number":
        return ".*", False  # of something else that the call brought along
    else:
        said = expression_of(around)
    opened: list[int] = []
    groups: list[tuple[int, int]] = []
    at = 0
    while at < len(said):
        if said[at] == "\\":
            at += 1
        elif said[at] == "(":
            opened.append(at)
        elif said[at] == ")" and opened:
            start = opened.pop()
            if not said.startswith("(?", start):
                groups.append((start, at))
        at += 1
    groups.sort()
    if number == 0:
        return (None, False) if said[:1] != "^" or said[-1:] != "$" else (said[1:-1], True)
    if number > len(groups):
        return None, False
    start, end = groups[number - 1]
    return said[start + 1 : end], said[:start] == "^" and said[end + 1 :] == "$"


def expression_of(condition: Element) -> str:
    """The pattern, as attribute or as child."""
    child = next(condition.each("expression"), None)
    return child.text.strip() if child is not None else condition.get("expression")


def numbers(extension: Element) -> tuple[Pattern, ...] | None:
    """The patterns that the dialled number must fit. None where that cannot be said."""
    found = []
    for each in extension.each("condition"):
        if each.get("field") == "destination_number" and each.get("break", "on-false") == "on-false":
            made = pattern(expression_of(each))
            if made is None:
                return None
            found.append(made)
    return tuple(found)
