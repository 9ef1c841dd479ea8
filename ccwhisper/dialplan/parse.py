"""Makes elements of what the preprocessor read, as the switch's own parser does.

That parser (switch_xml.c, after ezXML) is no XML parser: it takes a bare `&`, a `<` in an attribute, an attribute
twice (the first counts), any byte. A strict one would refuse configurations that run. So this one follows it, and has
no entities but the five of XML: there is nothing to expand and nowhere to fetch it from. A DOCTYPE is refused. Every
character is looked at a fixed number of times.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ccwhisper.dialplan.model import Comment, Element, Unreadable
from ccwhisper.dialplan.preprocess import Text

MAX_ELEMENTS = 100_000
MAX_NESTING = 200
MAX_ATTRIBUTES = 100
MARK = "ccwhisper"
"""A comment without this word is for people, and is not kept."""
MAX_TEXT = 16 << 10
"""Characters of text in one element; no application is given more."""

_TAG = re.compile(r"[^\s/>]+")
_ATTRIBUTE = re.compile(r"[^\s=/>]+")
_GAP = re.compile(r"[\s=]*")
_SPACE = re.compile(r"\s*")
_ENTITY = re.compile(r"&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(amp|lt|gt|quot|apos));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


@dataclass(frozen=True, slots=True)
class _Remark:
    text: str
    start: int
    end: int
    before: int
    """How many elements had been opened."""


def parse(text: Text, root: Element, comments: list[Comment]) -> None:
    """Adds every outermost element to `root`, and the comments that speak to this program to `comments`. Raises
    Unreadable: what was read until then stays."""
    parser = _Parser(text, root)
    try:
        parser.run()
    finally:
        comments += (parser.comment(remark) for remark in parser.remarks)


class _Parser:
    def __init__(self, text: Text, root: Element) -> None:
        self.map = text
        self.text = "".join(text.lines)
        self.root = root
        self.current = root
        self.depth = 0
        self.elements: list[Element] = []
        self.remarks: list[_Remark] = []

    def run(self) -> None:
        text, at = self.text, 0
        while (start := text.find("<", at)) >= 0:
            if start > at:
                self._say(_decoded(text[at:start]))
            if text.startswith("<!--", start):
                at = self._until("--", start, 4)
                if not text.startswith(">", at):
                    raise self._bad("a comment with -- in it", start)
                if MARK in text[start:at]:
                    self.remarks.append(_Remark(text[start + 4 : at - 2], start, at, len(self.elements)))
                at += 1
            elif text.startswith("<![CDATA[", start):
                at = self._until("]]>", start, 9)
                self._say(text[start + 9 : at - 3])
            elif text.startswith("<!DOCTYPE", start):
                raise Unreadable(
                    "doctype", "a DOCTYPE: no configuration of the switch needs one", self.map.place(start)
                )
            elif text.startswith("<?", start):
                at = self._until("?>", start, 2)
            elif text.startswith("</", start):
                at = self._close(start)
            else:
                at = self._open(start)
        if self.current is not self.root:
            raise Unreadable("malformed", f"<{self.current.name}> is never closed", self.current.place)

    def _open(self, start: int) -> int:
        text = self.text
        first = text[start + 1 : start + 2]
        if not (first.isalpha() or first in {"_", ":"} or first > "\x7f"):
            raise self._bad("a < that begins no tag", start)
        tag = text[start + 1 : (end := self._skip(_TAG, start + 1))]
        place = self.map.place(start)
        if len(self.elements) >= MAX_ELEMENTS:
            raise Unreadable("too_large", f"more than {MAX_ELEMENTS} elements", place)
        if self.depth >= MAX_NESTING:
            raise Unreadable("too_deep", f"more than {MAX_NESTING} elements inside each other", place)
        at = self._skip(_SPACE, end)
        attributes: dict[str, str] = {}
        count = 0
        while name := _ATTRIBUTE.match(text, at):
            value, at = "", self._skip(_GAP, name.end())
            quote = text[at : at + 1]
            if quote in {'"', "'"} and name.end() < at:
                shut = text.find(quote, at + 1)
                if shut < 0:
                    raise self._bad(f"an attribute without its closing {quote}", start)
                value, at = _decoded(text[at + 1 : shut]), self._skip(_SPACE, shut + 1)
            attributes.setdefault(name[0], value)
            count += 1
            if count > MAX_ATTRIBUTES:
                raise Unreadable("too_large", f"<{tag}> with more than {MAX_ATTRIBUTES} attributes", place)
        alone = text.startswith("/", at)
        if not text.startswith(">", at + alone):
            raise self._bad(f"<{tag} without its >", start)
        element = Element(tag, attributes, place, self.map.place(at + alone), self.current)
        self.elements.append(element)
        self.current.children.append(element)
        if not alone:
            self.current = element
            self.depth += 1
        return at + alone + 1

    def _say(self, text: str) -> None:
        if not text.isspace() and len(self.current.text) < MAX_TEXT:
            self.current.text += text

    def _close(self, start: int) -> int:
        end = self._until(">", start, 2)
        name = self.text[start + 2 : end - 1].strip()
        if self.current is self.root or name != self.current.name:
            opened = f"inside <{self.current.name}>" if self.current is not self.root else "without its opening tag"
            raise self._bad(f"</{name[:80]}> {opened}", start)
        self.current.end = self.map.place(end - 1)
        self.current = self.current.parent or self.root
        self.depth -= 1
        return end

    def _until(self, mark: str, start: int, skip: int) -> int:
        """Just behind the next mark."""
        found = self.text.find(mark, start + skip)
        if found < 0:
            raise self._bad(f"{self.text[start : start + skip]} without its {mark}", start)
        return found + len(mark)

    def _skip(self, what: re.Pattern[str], at: int) -> int:
        found = what.match(self.text, at)
        return found.end() if found else at

    def _bad(self, message: str, offset: int) -> Unreadable:
        return Unreadable("malformed", message, self.map.place(offset))

    def comment(self, remark: _Remark) -> Comment:
        before = self.elements[remark.before] if remark.before < len(self.elements) else None
        return Comment(remark.text, self.map.place(remark.start), self.map.place(remark.end), before)


def _decoded(text: str) -> str:
    if "&" not in text:
        return text

    def char(found: re.Match[str]) -> str:
        if found[3]:
            return _NAMED[found[3]]
        number = int(found[1]) if found[1] else int(found[2], 16)
        return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"

    return _ENTITY.sub(char, text)
