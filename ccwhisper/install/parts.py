"""The parts of `dialplans/`: what each of them is, by what it holds."""

from __future__ import annotations

import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from ccwhisper.install.errors import InstallError
from ccwhisper.install.source import Source, Tag

BROWSERS_WS_PORT: Final = 5076
BROWSERS_PORT: Final = 5075
"""5066 is taken: the stock profile `internal` has a WebSocket there, for everybody."""

_OPUS: Final = ("maxaveragebitrate", "maxplaybackrate")
"""What is needed of opus.conf. The rest is the administrator's."""


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


def browsers(place: Path) -> tuple[str, Mapping[str, str]]:
    """The profile of coaches' browsers as a file of its own, with ports that nobody else has in the stock
    configuration; and what Opus is told, by the parameter's name."""
    example = place.parent / "freeswitch-conf"
    files = (example / "sip_profiles/browsers.xml", example / "autoload_configs/opus.conf.xml")
    if not files[0].is_file():
        files = (place.parent / "browsers/browsers.xml", place.parent / "browsers/opus.conf.xml")
    if not all(file.is_file() for file in files):
        raise InstallError("parts_missing", "the profile of browsers of this version is not there")
    profile = files[0].read_text().replace("$${ccw_sip_ip}", "$${local_ip_v4}")
    ports = "".join(
        f'  <X-PRE-PROCESS cmd="set" data="{name}={port}"/>\n'
        f'  <X-PRE-PROCESS cmd="env-set" data="{name}=${name.upper()}"/>\n'
        for name, port in (("ccw_browsers_ws_port", BROWSERS_WS_PORT), ("ccw_browsers_port", BROWSERS_PORT))
    )
    opus = Source(files[1], files[1].read_bytes()).root
    told = {
        tag.attributes["name"]: tag.attributes["value"]
        for tag in opus.walk()
        if tag.name == "param" and tag.attributes["name"] in _OPUS
    }
    return f"<include>\n{ports}{profile}</include>\n", told


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
