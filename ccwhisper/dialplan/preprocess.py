"""Reads a file as the switch does before it parses: line by line, directives obeyed, `$${…}` replaced.

After `preprocess()` of FreeSWITCH's switch_xml.c, habits included:

- A directive takes its whole line away. One that wraps over lines is lost, one in a comment is obeyed.
- A line with `<include>`, `</include>` or `<?` anywhere in it is dropped whole.
- `$${name}` is replaced once, by what was set above; the result is not looked at again.
- What an include names is a glob, relative to the file that it stands in, and its files come in sorted order.

Different here: nothing is executed, asked of a STUN server or taken from the environment. A variable that only the
running switch knows keeps its text, `$${name}`, and rules do not judge it. An include that leads back to its own file
is a problem, not a hundred rounds.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ccwhisper.dialplan.model import Place, Problem, Unreadable, Variable

MAX_FILE = 4 << 20
"""Bytes of one file. The largest file of a stock configuration has 150 kB."""
MAX_WHOLE = 8 << 20
"""Characters of everything that one file includes, after variables. The whole stock configuration has 500 kB."""
MAX_LINES = 200_000
MAX_FILES = 10_000
MAX_AGAIN = 1_000
"""Includes of a file that was included before."""
MAX_VALUE = 64 << 10
MAX_DEPTH = 100
"""Includes in includes, as in the switch."""
MAX_WILD = 3
"""Folders of an include that may be wildcards: each one multiplies what has to be listed."""

_WHOLE = f"more than {MAX_WHOLE >> 20} MiB or {MAX_LINES} lines with everything included"
_VARIABLE = re.compile(r"\$\$\{([^{}]*)\}")
_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(slots=True)
class Text:
    """What the switch would parse, and where each line of it comes from."""

    lines: list[str] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    size: int = 0

    def add(self, line: str, place: Place) -> None:
        if self.size + len(line) > MAX_WHOLE:
            raise Unreadable("too_large", _WHOLE, place)
        self.lines.append(line)
        self.places.append(place)
        self.starts.append(self.size)
        self.size += len(line)

    def place(self, offset: int) -> Place:
        """Where the character of this offset comes from."""
        return self.places[max(0, bisect_right(self.starts, offset) - 1)]


class Preprocessor:
    """Variables live as long as this, so that files of a folder can share them."""

    def __init__(self) -> None:
        self.values: dict[str, str | None] = {}
        self.variables: list[Variable] = []
        self.files: set[Path] = set()
        """Resolved paths of everything that was opened."""
        self.included: set[Path] = set()
        """Those of them that another file included."""
        self.problems: list[Problem] = []
        self._again = 0
        self._lines = 0
        self._read = 0

    def read(self, path: Path) -> Text:
        """The whole of this file. Raises Unreadable; what only spoils a part of it is added to `problems`."""
        text = Text()
        self._file(path, Place(path, 1), text, ())
        return text

    def _file(self, path: Path, asked: Place, text: Text, within: tuple[Path, ...]) -> None:
        real = Path(os.path.realpath(path))
        if real in within:
            raise Unreadable("include_loop", f"{path} includes itself", asked)
        if len(within) >= MAX_DEPTH:
            raise Unreadable("include_depth", f"more than {MAX_DEPTH} includes inside each other", asked)
        self._again += real in self.files
        self.files.add(real)
        if len(self.files) > MAX_FILES or self._again > MAX_AGAIN:
            raise Unreadable("too_many_files", f"more than {MAX_FILES} files, or {MAX_AGAIN} once more", asked)
        hidden = False  # inside a <!--#… that goes on over lines
        for number, raw in enumerate(_lines(path), 1):
            place = Place(path, number)
            self._lines += 1
            self._read += len(raw)
            if self._lines > MAX_LINES or self._read > MAX_WHOLE:
                raise Unreadable("too_large", _WHOLE, place)
            if "<include>" in raw or "</include>" in raw or "<?" in raw:
                continue
            line = self._expanded(raw, place)
            if hidden:
                if "-->" not in line:
                    continue
                line, hidden = line.partition("-->")[2], False
            start = line.lower().find("x-pre-process")
            if start >= 0:
                if found := _directive(line, start):
                    self._obey(*found, place, text, (*within, real))
                continue
            before, special, rest = line.partition("<!--#")
            if special:
                rest, end, _ = rest.partition("-->")
                hidden = not end
                text.add(before, place)
                command, _, data = rest.rstrip("\r\n").partition(" ")
                quoted = data.split('"')
                self._obey(command.lower(), quoted[1] if len(quoted) > 2 else data, place, text, (*within, real))
                continue
            text.add(line, place)

    def _obey(self, command: str, data: str, place: Place, text: Text, within: tuple[Path, ...]) -> None:
        if command == "include":
            for path in self._matching(data, place):
                self.included.add(Path(os.path.realpath(path)))
                try:
                    self._file(path, place, text, within)
                except Unreadable as error:
                    if error.problem.code in _ENDS_ALL:
                        raise
                    self.problems.append(error.problem)
        elif command in ("set", "env-set", "exec-set", "stun-set"):
            name, equals, value = data.partition("=")
            if equals:
                known = value.lstrip(" ") if command == "set" else None
                self.values[name.rstrip(" ")] = known
                self.variables.append(Variable(name.rstrip(" "), known, place))

    def _expanded(self, line: str, place: Place) -> str:
        if "$${" not in line:
            return line

        def value(found: re.Match[str]) -> str:
            known = self.values.get(found[1])
            return found[0] if known is None else known

        made = _VARIABLE.sub(value, line)
        if len(made) > max(MAX_VALUE, 2 * len(line)):
            raise Unreadable("too_large", "variables make this line too long", place)
        return made

    def _matching(self, pattern: str, place: Place) -> list[Path]:
        if "$${" in pattern:
            known = "only the running switch knows this folder: check what it wrote to log/freeswitch.xml.fsxml"
            self.problems.append(Problem("include_unknown", known, place))
            return []
        if "\0" in pattern or sum(map(glob.has_magic, pattern.split("/"))) > MAX_WILD:
            raise Unreadable("include_pattern", f"an include of more than {MAX_WILD} wildcard folders", place)
        whole = os.path.join(glob.escape(str(place.path.parent)), pattern)
        return sorted(Path(name) for name in islice(glob.iglob(whole), MAX_FILES + 1))


def _directive(line: str, start: int) -> tuple[str, str] | None:
    """Command and data of the directive whose name starts there, looked for in this order and in no other way."""
    if line[start - 1 : start] != "<":
        return None
    said = []
    at = start
    low = line.lower()
    for name in ("cmd", "data"):
        for mark in (name, "=", '"'):
            at = low.find(mark, at)
            if at < 0:
                return None
        end = line.find('"', at + 1)
        said.append(line[at + 1 : end if end >= 0 else None])
        at = end if end >= 0 else len(line)
    return said[0].lower(), said[1]


_ENDS_ALL = frozenset({"too_large", "too_many_files"})


def _lines(path: Path) -> Iterator[str]:
    """The file's lines with their ends. Bytes that are no UTF-8 become U+FFFD: the switch takes any byte."""
    place = Place(path, 1)
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # a named pipe would wait for its writer
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise Unreadable("not_a_file", f"{path} is not a regular file", place)
            if about.st_size > MAX_FILE:
                raise Unreadable("too_large", f"{path} has more than {MAX_FILE >> 20} MiB", place)
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise Unreadable("unreadable", f"{path}: {error.strerror}", place) from None
    text = data.decode(errors="replace")
    start = 0
    for found in _BREAK.finditer(text):
        yield text[start : found.end()]
        start = found.end()
    if start < len(text):
        yield text[start:]
