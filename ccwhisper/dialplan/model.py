"""What the checker speaks of: places in files, elements, what cannot be read, what was found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of a file, as the person who edits it counts: from 1, in the file that was included."""

    path: Path
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(slots=True, eq=False)
class Element:
    """A tag with what it contains. `place` is where it opens, `end` the line on which it closes."""

    name: str
    attributes: dict[str, str]
    place: Place
    end: Place
    parent: Element | None = None
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def get(self, name: str, default: str = "") -> str:
        return self.attributes.get(name, default)

    def each(self, *names: str) -> Iterator[Element]:
        """The children of these names."""
        return (child for child in self.children if child.name in names)

    def walk(self, *names: str) -> Iterator[Element]:
        """This and everything below it in the order of the text, or only elements of these names."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            if not names or element.name in names:
                yield element
            waiting.extend(reversed(element.children))

    def up(self, name: str) -> Element | None:
        """The nearest element of this name around it."""
        around = self.parent
        while around is not None and around.name != name:
            around = around.parent
        return around


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment, with the lines that it takes and the element that opens next."""

    text: str
    place: Place
    end: Place
    before: Element | None


@dataclass(frozen=True, slots=True)
class Variable:
    """A global variable set by a directive. `value` is None when only the running switch can know it."""

    name: str
    value: str | None
    place: Place


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that cannot be read, and so was not checked. `code` stays the same from release to release."""

    code: str
    message: str
    place: Place


class Unreadable(Exception):
    """A problem that ends the reading of one file or of one node."""

    def __init__(self, code: str, message: str, place: Place) -> None:
        super().__init__(message)
        self.problem = Problem(code, message, place)


@dataclass(frozen=True, slots=True)
class Tree:
    """One configuration as the switch would see it: everything that one file includes, under a root without a name."""

    root: Element
    comments: tuple[Comment, ...]
    variables: tuple[Variable, ...]


class Level(StrEnum):
    """How bad. The words are those of SARIF."""

    ERROR = "error"
    """Somebody hears or reaches what he must not."""
    WARNING = "warning"
    """Speech is lost, or something that is written has no effect."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that one place breaks. `reason` is set when a comment there says why it is meant to be so."""

    rule: str
    level: Level
    place: Place
    message: str
    reason: str | None = None
