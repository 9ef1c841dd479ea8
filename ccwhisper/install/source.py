"""One file of a configuration as bytes with places: what is inserted changes nothing around it.

Not a parser that writes XML anew: comments, order, white space, line ends and encoding of everything else stay, since
it is never taken apart. A file that is not understood to its end is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ccwhisper.install.errors import InstallError

_PIECE: Final = re.compile(
    r"""<!--.*?--> | <!\[CDATA\[.*?\]\]> | <\?.*?\?>
      | <(?P<close>/)?(?P<name>[A-Za-z_][\w.:-]*)(?P<attributes>(?:[^<>"'/]|"[^"]*"|'[^']*'|/(?!>))*)(?P<empty>/)?>
      | <""",
    re.VERBOSE | re.DOTALL,
)
_ATTRIBUTE: Final = re.compile(r"""([\w.:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_SPACE: Final = re.compile(r"[ \t]*")


@dataclass(slots=True)
class Tag:
    """An element of the file: `start` and `opened` are around its opening tag, `closing` and `end` around the other."""

    name: str
    attributes: Mapping[str, str]
    start: int
    opened: int
    closing: int
    end: int
    children: list[Tag] = field(default_factory=list)

    def walk(self) -> Iterator[Tag]:
        """This and everything below it."""
        yield self
        for child in self.children:
            yield from child.walk()

    def child(self, name: str) -> Tag | None:
        """The first child of this name, which is the one that the switch reads."""
        return next((each for each in self.children if each.name == name), None)


class Source:
    """See the module. Positions count bytes: the text is read as Latin-1, in which each byte is a character."""

    def __init__(self, path: Path, raw: bytes) -> None:
        if b"\0" in raw:
            raise InstallError("encoding_unsupported", f"{path} is not in an encoding that the switch reads")
        self.path = path
        self.text = raw.decode("latin-1")
        self.newline = "\r\n" if "\r\n" in self.text else "\n"
        self.root = Tag("", {}, 0, 0, len(self.text), len(self.text))
        self._read()

    def _read(self) -> None:
        open_: list[Tag] = [self.root]
        for piece in _PIECE.finditer(self.text):
            name = piece["name"]
            if name is None:
                if piece[0] == "<":
                    raise self._wrong(piece.start(), "a tag that does not end, or a document type")
                continue
            if piece["close"]:
                if open_[-1].name != name or len(open_) == 1:
                    raise self._wrong(piece.start(), f"</{name}> closes nothing")
                tag = open_.pop()
                tag.closing, tag.end = piece.start(), piece.end()
                continue
            attributes = {found[1]: found[2] or found[3] or "" for found in _ATTRIBUTE.finditer(piece["attributes"])}
            tag = Tag(name, attributes, piece.start(), piece.end(), piece.end(), piece.end())
            open_[-1].children.append(tag)
            if not piece["empty"]:
                open_.append(tag)
        if len(open_) > 1:
            raise self._wrong(open_[-1].start, f"<{open_[-1].name}> is not closed")

    def _wrong(self, at: int, what: str) -> InstallError:
        return InstallError("not_well_formed", f"{self.path}:{self.line(at)}: {what}")

    def line(self, at: int) -> int:
        """The line of a place, from 1."""
        return self.text.count("\n", 0, at) + 1

    def find(self, name: str, line: int) -> Tag:
        """The element of this name that opens on this line."""
        for tag in self.root.walk():
            if tag.name == name and self.line(tag.start) == line:
                return tag
        raise InstallError("not_well_formed", f"{self.path}:{line}: <{name}> is not where it was read")

    def indent(self, tag: Tag) -> str:
        """The white space before an element on its line."""
        begin = self.text.rfind("\n", 0, tag.start) + 1
        found = _SPACE.match(self.text, begin)
        return found[0] if found else ""

    def inner(self, tag: Tag) -> str:
        """The white space before the children of an element: as the first of them has it, or one step more."""
        if tag.children and self.line(tag.children[0].start) != self.line(tag.start):
            return self.indent(tag.children[0])
        return self.indent(tag) + ("\t" if "\t" in self.indent(tag) else "  ")
