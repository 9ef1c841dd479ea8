"""What is run and what is set, wherever it is written: actions, menus, dial strings, contacts.

The switch has many ways to say "run this application": an action, `execute_on_answer`, `bind_meta_app`,
`bind_digit_action`, an inline dialplan, a variable of a dial string. A rule sees each as a step, with the leg that it
runs on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import islice

from ccwhisper.dialplan.model import Element, Place, Tree

UNKNOWN = "$${"
"""In a value: a global variable that only the running switch knows."""

SPIES = frozenset({"eavesdrop", "userspy"})
"""Applications that attach to another leg and obey `eavesdrop_…` variables."""

_TRUE = frozenset({"yes", "on", "true", "t", "enabled", "active", "allow"})
_NAME = re.compile(r"[\w.-]+\Z")
_NESTED_LIMIT = 4
"""Applications in the data of applications: bind_meta_app in execute_on_answer in a dial string, and one more."""


def true(value: str) -> bool:
    """As switch_true()."""
    said = value.strip().lower()
    return said in _TRUE or (said.lstrip("-").isdigit() and int(said[:18]) != 0)


class Leg(Enum):
    """Whose leg an application runs on, or gets a variable."""

    OWN = "the leg that runs the dialplan"
    OTHER = "the leg that it dials"


@dataclass(frozen=True, slots=True)
class Step:
    """One application that is run, or one api command (`api`). Applications in the data of others are steps too."""

    app: str
    data: str
    leg: Leg
    api: bool
    element: Element
    extension: Element | None
    context: str | None
    order: int

    @property
    def place(self) -> Place:
        return self.element.place


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable that something sets. `element` is None for a global variable."""

    name: str
    value: str
    legs: frozenset[Leg]
    place: Place
    element: Element | None
    extension: Element | None
    context: str | None
    order: int


OWN, OTHER, BOTH = frozenset({Leg.OWN}), frozenset({Leg.OTHER}), frozenset(Leg)


def context_of(element: Element) -> str | None:
    """The name of the context around it."""
    context = element.up("context")
    return context.get("name") if context is not None else None


def collect(tree: Tree, steps: list[Step], settings: list[Setting]) -> None:
    """Everything in the order of the text."""
    collector = _Collector(steps, settings)
    for variable in tree.variables:
        value = UNKNOWN if variable.value is None else variable.value
        collector.settings.append(Setting(variable.name, value, BOTH, variable.place, None, None, None, -1))
    for element in tree.root.walk():
        collector.take(element)


_DIALS = frozenset({"bridge", "originate", "att_xfer", "enterprise_originate", "conference_set_auto_outcall"})
_SETS = {
    "set": OWN,
    "multiset": OWN,
    "set_profile_var": OWN,
    "set_global": BOTH,
    "export": BOTH,
    "bridge_export": OTHER,
    "set_user": frozenset[Leg](),
}
_RUNS = re.compile(r"execute_on_|exec_after_bridge_app$|bridge_pre_execute_[ab]leg_app$")
_CALLS = re.compile(r"api_on_|api_hangup_hook$|api_reporting_hook$|api_after_bridge$|bridge_pre_execute_api$")
_FUNCTIONS = 20
"""In one piece of data; more is nobody's dialplan."""
_FUNCTION = re.compile(r"\$\{(\w+)\(")


class _Collector:
    def __init__(self, steps: list[Step], settings: list[Setting]) -> None:
        self.steps = steps
        self.settings = settings
        self.element: Element
        self.extension: Element | None
        self.context: str | None
        self.order = 0

    def take(self, element: Element) -> None:
        self.element = element
        self.order += 1
        name = element.name
        if name in ("action", "anti-action"):
            self.extension, self.context = element.up("extension"), context_of(element)
            if element.get("application"):
                self.run(element.get("application"), element.text or element.get("data"), Leg.OWN)
            return
        self.extension = self.context = None
        if name == "entry" and element.get("action") == "menu-exec-app":
            app, _, data = element.get("param").partition(" ")
            self.run(app, data, Leg.OWN)
        elif name == "agent":
            self.dial(element.get("contact"))
        elif name == "member":
            self.dial(element.text)
        elif name == "param" and element.get("name").startswith("dial-var-"):
            self.set(element.get("name").removeprefix("dial-var-"), element.get("value"), OTHER)
        elif name == "param" and element.get("name") == "dial-string":
            self.dial(element.get("value"))
        elif name == "variable" and element.get("name") and element.up("configuration") is None:
            self.set(element.get("name"), element.get("value"), OWN if element.up("gateway") is None else BOTH)

    def run(self, app: str, data: str, leg: Leg, api: bool = False, depth: int = 0) -> None:
        """One application or api command, and what its data makes the switch run."""
        app = app.strip().lower()
        if not app or depth > _NESTED_LIMIT:
            return
        self.order += 1
        self.steps.append(Step(app, data.strip(), leg, api, self.element, self.extension, self.context, self.order))
        self.functions(data, depth)
        if api:
            if app in ("sched_api", "bgapi"):
                words = data.split(None, 2 if app == "sched_api" else 0)
                command = words[-1] if len(words) == (3 if app == "sched_api" else 1) else ""
                self.run(*_two(command), leg, True, depth + 1)
            return
        if app in _SETS:
            self.assign(app, data, _SETS[app], depth)
        elif app in _DIALS:
            self.dial(data, depth)
        elif app in ("transfer", "execute_extension"):
            self.inline(data, leg, depth)
        elif app == "bind_meta_app":
            self.meta(data, depth)
        elif app == "bind_digit_action":
            parts = list(_split(data, ","))
            if len(parts) > 2:
                kind, _, name = parts[2].rpartition(":")
                self.run(name, ",".join(parts[3:]), leg, kind.startswith("api"), depth + 1)
        elif app in ("sched_api", "bgapi", "api"):
            self.run(app, data, leg, True, depth + 1)

    def functions(self, data: str, depth: int) -> None:
        """`${command(arguments)}` runs an api command."""
        for found in islice(_FUNCTION.finditer(data), _FUNCTIONS):
            end = data.find(")", found.end())
            if end > 0:
                self.run(found[1], data[found.end() : end], Leg.OWN, True, depth + 1)

    def assign(self, app: str, data: str, legs: frozenset[Leg], depth: int) -> None:
        pairs = [data]
        if app == "multiset":
            separated = data.startswith("^^") and len(data) > 2
            pairs = data[3:].split(data[2]) if separated else data.split()
        for pair in pairs:
            name, equals, value = pair.partition("=")
            name = name.strip()
            if equals and app in ("export", "bridge_export") and name.startswith("nolocal:"):
                name, to = name.removeprefix("nolocal:"), OTHER
            else:
                to = legs
            if equals:
                self.set(name, value.strip(), to, depth)

    def set(self, name: str, value: str, legs: frozenset[Leg], depth: int = 0) -> None:
        self.order += 1
        self.settings.append(
            Setting(name, value, legs, self.element.place, self.element, self.extension, self.context, self.order)
        )
        runs = _RUNS.match(name)
        if runs or _CALLS.match(name):
            if name.endswith("_bleg_app"):
                legs = OTHER
            for leg in sorted(legs, key=lambda leg: leg.name):
                self.run(*_two(value), leg, not runs, depth + 1)

    def dial(self, text: str, depth: int = 0) -> None:
        for name, value in dial_variables(text):
            self.set(name, value, OTHER, depth)

    def inline(self, data: str, leg: Leg, depth: int) -> None:
        """`app:data,app:data inline`: the destination is itself a dialplan."""
        words = data.split()
        if len(words) < 2 or words[-1] != "inline":
            return
        if words[0] == "-bleg":
            leg = Leg.OTHER
        if words[0] in ("-bleg", "-both"):
            words = words[1:]
        for part in _split(" ".join(words[:-1]).strip("'"), ","):
            app, _, argument = part.partition(":")
            self.run(app, argument, leg, False, depth + 1)

    def meta(self, data: str, depth: int) -> None:
        """`<key> [a|b|ab] [a|b|o|s] <app>::<data>`: who presses, and on whose leg it then runs."""
        words = data.split(None, 3)
        if len(words) < 4:
            return
        for presser in sorted({"a", "b"} & set(words[1].lower())):
            own = presser == "a"
            where = words[2].lower()
            if "o" in where:
                own = not own
            elif "s" not in where and ("a" in where) != ("b" in where):
                own = "a" in where
            app, _, argument = words[3].partition("::")
            self.run(app, argument, Leg.OWN if own else Leg.OTHER, False, depth + 1)


def _two(command: str) -> tuple[str, str]:
    """`app data` or `app::data`."""
    word, _, rest = command.strip().partition(" ")
    app, doubled, data = word.partition("::")
    return (app, f"{data} {rest}".strip()) if doubled else (word, rest)


def dial_variables(text: str) -> list[tuple[str, str]]:
    """The variables of every `{…}`, `[…]` and `<…>` of a dial string."""
    found = []
    for block in _blocks(text):
        other = block.startswith("^^") and len(block) > 2
        for part in _split(block[3:], block[2]) if other else _split(block, ","):
            name, equals, value = part.partition("=")
            if equals and _NAME.match(name.strip()):
                found.append((name.strip(), value.strip().strip("'")))
    return found


_CLOSING = {"{": "}", "[": "]", "<": ">"}


def _blocks(text: str) -> Iterator[str]:
    """`${name}` and `$${name}` open none."""
    at = 0
    while at < len(text):
        char = text[at]
        if char not in _CLOSING:
            at += 1
            continue
        closing, depth, end = _CLOSING[char], 1, at + 1
        while end < len(text) and depth:
            depth += (text[end] == char) - (text[end] == closing)
            end += 1
        if depth:
            return
        if at == 0 or text[at - 1] != "$":
            yield text[at + 1 : end - 1]
        at = end


def _split(text: str, separator: str) -> Iterator[str]:
    """Where the separator is neither escaped nor in quotes or braces."""
    part, quoted, depth, escaped = "", False, 0, False
    for char in text:
        if escaped:
            part, escaped = part + char, False
        elif char == "\\":
            escaped = True
        elif char == separator and not quoted and depth <= 0:
            yield part
            part = ""
        else:
            quoted ^= char == "'"
            depth += (char in "{(") - (char in "})")
            part += char
    yield part
