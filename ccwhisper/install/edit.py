"""Changes of a file, each between two comments that name it, so that it can be found and taken back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ccwhisper.install.errors import InstallError
from ccwhisper.install.source import Source, Tag

_BEGIN: Final = "<!-- ccwhisper node install: {} -->"
_END: Final = "<!-- ccwhisper node install: end of {} -->"


@dataclass(frozen=True, slots=True)
class Edit:
    """At `at`, `old` becomes `new`. Both are Latin-1 text of a file's bytes."""

    name: str
    at: int
    old: str
    new: str


def _named(name: str) -> str:
    """A name that fits into a comment of any encoding: an agent's may hold anything."""
    plain = name.encode("ascii", "xmlcharrefreplace").decode()
    return re.sub(r"-(?=-)|[<>\x00-\x1f]", "_", plain)


def _block(source: Source, name: str, indent: str, lines: Iterable[str]) -> str:
    whole = (_BEGIN.format(name), *lines, _END.format(name))
    return source.newline.join(indent + line for line in whole)


def inserted(source: Source, name: str, parent: Tag, lines: Sequence[str], *, last: bool = False) -> Edit:
    """Lines inside an element: before its children, or after the `last` of them."""
    at = parent.children[-1].end if last and parent.children else parent.opened
    if parent.closing == parent.end:
        raise InstallError("not_well_formed", f"{source.path}:{source.line(at)}: <{parent.name}/> holds nothing")
    block = _block(source, _named(name), source.inner(parent), lines)
    return Edit(_named(name), at, "", source.newline + block)


def replaced(source: Source, name: str, tag: Tag, *lines: str) -> Edit:
    """Lines in the place of an element, which must stand on lines of its own."""
    begin = source.text.rfind("\n", 0, tag.start) + 1
    end = source.text.find("\n", tag.end)
    end = len(source.text) if end < 0 else end
    if source.text[begin : tag.start].strip() or source.text[tag.end : end].strip():
        where = f"{source.path}:{source.line(tag.start)}"
        raise InstallError("shares_its_line", f"{where}: <{tag.name}> must stand on a line of its own")
    block = _block(source, _named(name), source.indent(tag), lines)
    return Edit(_named(name), begin, source.text[begin : tag.end], block)


def applied(text: str, edits: Iterable[Edit]) -> str:
    """The text with the edits, whose places are those of the text without any."""
    # From the end, so that places before stay; of two at one place the first stands first.
    for _, edit in sorted(enumerate(edits), key=lambda each: (each[1].at, each[0]), reverse=True):
        if not text.startswith(edit.old, edit.at):
            raise InstallError("edit_misplaced", f"the place of {edit.name} has changed")
        text = text[: edit.at] + edit.new + text[edit.at + len(edit.old) :]
    return text


def taken_back(text: str, edits: Iterable[Edit], path: str) -> str:
    """The text without the edits, wherever they stand by now. One that somebody has removed is none; one in which
    somebody has written is refused, since what to keep of it is not ours to say."""
    by_name: dict[str, list[Edit]] = {}
    for edit in edits:
        by_name.setdefault(edit.name, []).append(edit)
    for name, versions in by_name.items():
        # Of two versions, one is that of an installation that was interrupted.
        written = [edit for edit in versions if edit.new in text]
        if written:
            text = text.replace(written[0].new, written[0].old, 1)
        if _BEGIN.format(name) in text or _END.format(name) in text:
            raise InstallError(
                "block_changed",
                f"{path}: what stands between the comments of {name} is not what was written there; "
                "put it back, or remove it with both comments",
            )
    return text
