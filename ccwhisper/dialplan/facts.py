"""What a configuration says, without judging it: steps, variables, contexts, profiles, users."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from ccwhisper.dialplan.model import Element, Place, Tree
from ccwhisper.dialplan.steps import Leg, Setting, Step, collect, context_of, true

_USER = re.compile(r"(?:^|[]}>|,])user/([^@/,|\s]+)")


@dataclass(frozen=True, slots=True)
class Extension:
    """An extension of a context; `context` is None where only a part of the dialplan is read."""

    element: Element
    context: str | None
    order: int

    @property
    def name(self) -> str:
        return self.element.get("name", "without a name")

    def conditions(self) -> Iterator[Element]:
        yield from self.element.walk("condition", "regex")


@dataclass(frozen=True, slots=True)
class User:
    """A user of the directory, with what the group and the domain give."""

    element: Element
    id: str
    params: dict[str, str]
    variables: dict[str, str]


@dataclass(frozen=True, slots=True)
class Agent:
    """Whom mod_callcenter or mod_fifo hands callers. `user` is the id in the directory, as far as that is written."""

    element: Element
    name: str
    contact: str
    user: str
    standby: bool
    """He calls in and stays; there is no contact."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile of mod_sofia."""

    element: Element
    params: dict[str, str]
    gateways: tuple[Element, ...]

    @property
    def name(self) -> str:
        return self.element.get("name", "without a name")

    def param(self, name: str) -> Element | None:
        """The last one counts, as in the switch."""
        found = [each for each in _settings(self.element) if each.get("name").lower() == name]
        return found[-1] if found else None


@dataclass
class Facts:
    """All of it, for one tree."""

    tree: Tree
    steps: list[Step] = field(default_factory=list)
    settings: list[Setting] = field(default_factory=list)
    remarks: list[tuple[Place, str]] = field(default_factory=list)
    """What is wrong with comments that excuse findings; the checker adds them."""

    def __post_init__(self) -> None:
        collect(self.tree, self.steps, self.settings)

    @cached_property
    def contexts(self) -> list[Element]:
        return [each for each in self.tree.root.walk("context") if each.get("name") and not _chat(each)]

    @cached_property
    def extensions(self) -> list[Extension]:
        return [
            Extension(each, context_of(each), order)
            for order, each in enumerate(self.tree.root.walk("extension"))
            if each.parent is not None and each.parent.name in ("context", "include", "") and not _chat(each)
        ]

    @cached_property
    def profiles(self) -> list[Profile]:
        """Sofia's only: other modules have profiles too, but none with a SIP port."""
        found = []
        for each in self.tree.root.walk("profile"):
            configuration = each.up("configuration")
            if configuration is not None and configuration.get("name") != "sofia.conf":
                continue
            params = {param.get("name").lower(): param.get("value") for param in _settings(each)}
            if configuration is not None or "sip-ip" in params or "sip-port" in params or "context" in params:
                found.append(Profile(each, params, tuple(each.walk("gateway"))))
        return found

    @cached_property
    def users(self) -> list[User]:
        given: dict[int, dict[str, dict[str, str]]] = {}
        return [
            User(each, each.get("id"), _inherited(each, "params", given), _inherited(each, "variables", given))
            for each in self.tree.root.walk("user")
            if each.get("id") and each.get("type") != "pointer" and not each.up("configuration")
        ]

    @cached_property
    def agents(self) -> list[Agent]:
        found = []
        for configuration in self.configuration("callcenter.conf"):
            for each in configuration.walk("agent"):
                standby = each.get("type").lower() == "uuid-standby"
                contact = "" if standby else each.get("contact")
                name = each.get("name")
                found.append(Agent(each, name, contact, _dialled(contact) or name.partition("@")[0], standby))
        for configuration in self.configuration("fifo.conf"):
            for each in configuration.walk("member"):
                contact = each.text.strip()
                found.append(Agent(each, _dialled(contact) or contact, contact, _dialled(contact), False))
        return found

    @cached_property
    def globals(self) -> dict[str, str]:
        return {each.name: each.value for each in self.settings if each.element is None}

    @cached_property
    def users_by_id(self) -> dict[str, User]:
        return {each.id: each for each in reversed(self.users)}

    @cached_property
    def set_by_dialplan(self) -> dict[str, str]:
        """What some extension sets: whether for this call or that, is not asked."""
        return {each.name: each.value for each in self.settings if each.extension is not None}

    def configuration(self, name: str) -> Iterator[Element]:
        return (each for each in self.tree.root.walk("configuration") if each.get("name") == name)

    @cached_property
    def _steps_of(self) -> dict[int, list[Step]]:
        found: dict[int, list[Step]] = {}
        for step in self.steps:
            found.setdefault(id(step.extension), []).append(step)
        return found

    def steps_of(self, extension: Element | None) -> list[Step]:
        """What an extension runs. For None: what stands outside of any."""
        return self._steps_of.get(id(extension), [])

    @cached_property
    def _set_before(self) -> dict[tuple[str, object], list[Setting]]:
        """By name and extension, and by name and context what extensions set that go on."""
        found: dict[tuple[str, object], list[Setting]] = {}
        for each in self.settings:
            if each.element is not None and Leg.OWN in each.legs:
                found.setdefault((each.name, id(each.extension)), []).append(each)
                if _goes_on(each.extension):
                    found.setdefault((each.name, each.context), []).append(each)
        return found

    def before(self, step: Step, name: str) -> str | None:
        """What a variable of the leg is when a step runs, as far as it is written down: set before in the same
        extension, in an earlier one of the context that goes on, or globally. None where nothing says it."""
        candidates = []
        for where in (id(step.extension), step.context):
            settings = self._set_before.get((name, where), [])
            position = bisect_left(settings, step.order, key=lambda each: each.order)
            candidates += settings[max(0, position - 1) : position]
        if not candidates:
            return self.globals.get(name)
        return max(candidates, key=lambda each: each.order).value


def _dialled(contact: str) -> str:
    """The directory's user in a dial string."""
    found = _USER.search(contact)
    return found[1] if found else ""


def _goes_on(extension: Element | None) -> bool:
    return extension is not None and true(extension.get("continue"))


def _chat(element: Element) -> bool:
    """In the chatplan: the same words, for messages."""
    section = element.up("section")
    return section is not None and section.get("name") == "chatplan"


def _settings(profile: Element) -> Iterator[Element]:
    for settings in profile.each("settings"):
        yield from settings.each("param")


def _inherited(user: Element, holder: str, given: dict[int, dict[str, dict[str, str]]]) -> dict[str, str]:
    """A user's own, then the group's, then the domain's. `given` keeps what each of them gives."""
    found: dict[str, str] = {}
    around: Element | None = user
    while around is not None:
        own = given.get(id(around))
        if own is None:
            own = given[id(around)] = {"params": {}, "variables": {}}
            for box in around.each("params", "variables"):
                for each in box.each("param", "variable"):
                    own[box.name].setdefault(each.get("name"), each.get("value"))
        found = {**own[holder], **found}
        around = around.parent
    return found
