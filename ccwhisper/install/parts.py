"""The parts of `dialplans/`: what each of them is, by what it holds."""

from __future__ import annotations

import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ccwhisper.install.errors import InstallError
from ccwhisper.install.source import Source, Tag


class Kind(Enum):
    """Where a part goes."""

    CONTEXT = "context"
    """Contexts of their own: into the dialplan section."""
    EXTENSION = "extension"
    """Extensions, before those of a context that is there."""
    GROUP = "group"
    """Lines for a group of the directory."""
    OTHER = "other"
    """To be copied by hand."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file of `dialplans/`."""

    name: str
    kind: Kind
    source: Source

    def lines(self, inside: str) -> list[str]:
        """The elements inside the first `<params>` or `<variables>`, one a line."""
        for tag in self.source.root.walk():
            if tag.name == inside:
                return [self.source.text[each.start : each.end] for each in tag.children]
        return []


def folder() -> Path:
    """`dialplans/` of the checkout, or where the package's installation has put it. Raises InstallError."""
    for place in (
        Path(__file__).parents[2] / "dialplans",
        Path(sysconfig.get_path("data")) / "share/ccwhisper/dialplans",
    ):
        if place.is_dir():
            return place
    raise InstallError("parts_missing", "the folder dialplans of this version is not there")


def sounds(place: Path) -> Mapping[str, bytes]:
    """The prompts that the parts of this folder play, by the name of the file."""
    for beside in (place.parent / "freeswitch-conf/sounds", place.parent / "sounds"):
        if beside.is_dir():
            return {path.name: path.read_bytes() for path in sorted(beside.glob("*.wav"))}
    raise InstallError("parts_missing", "the prompts of this version are not there")


def read(place: Path) -> Mapping[str, Part]:
    """Every part, by its name: that of the file without `.xml`."""
    found = {}
    for path in sorted(place.glob("*.xml")):
        source = Source(path, path.read_bytes())
        found[path.stem] = Part(path.stem, _kind(source.root), source)
    return found


def _kind(root: Tag) -> Kind:
    inside = {each.name for tag in root.children for each in tag.children if each.name != "X-PRE-PROCESS"}
    return next((kind for kind in Kind if inside == {kind.value}), Kind.OTHER)
