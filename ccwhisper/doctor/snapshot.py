"""What a node said of itself, at one time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from ccwhisper.coaching.model import Leg
from ccwhisper.switch.commands import Command

Ask = Callable[[Sequence[Command]], list[str | None]]
"""Answers in the order of the commands; None where the switch refused one. Raises SwitchError when it is gone."""

MODULES = (
    "mod_sofia", "mod_commands", "mod_dptools", "mod_dialplan_xml", "mod_tone_stream", "mod_sndfile",
    "mod_callcenter", "mod_opus", "mod_spandsp",
)  # fmt: skip
"""The modules that are asked for. mod_event_socket is not: the answers come through it."""

FILES = ("event_socket.conf", "sofia.conf", "switch.conf", "opus.conf")
"""The configurations that are read."""


@dataclass(frozen=True, slots=True)
class Room:
    """Sessions, and how fast they come; `idle_cpu` in percent, None where the system does not tell."""

    sessions: int
    peak: int
    most: int
    rate: int
    rate_peak: int
    rate_most: int
    idle_cpu: float | None


@dataclass(frozen=True, slots=True)
class AgentUser:
    """A directory user who is an agent: by the configuration file, or by mod_callcenter. `contact`: what mod_callcenter
    dials; `params`, `variables`: the two of the jitter buffer, as they are merged from user, group and domain."""

    user: str
    known: bool
    from_file: bool
    contact: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    context_sets: Mapping[str, str] = field(default_factory=dict)
    """What the dialplan of his own calls sets of the two."""


@dataclass(frozen=True, slots=True)
class Door:
    """The profile of coaches' browsers. `wanted`: where the service is to find it, None when it is not to; `refusal`:
    what is wrong there. `context`, `domain`: whether the dialplan has its context, the directory its domain;
    `lets_in`: by address, whether browsers there get media; `certificate`: whether there is one for DTLS, None where
    it cannot be seen."""

    wanted: str | None
    refusal: str | None
    context: bool
    domain: bool
    lets_in: Mapping[str, bool]
    certificate: bool | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the judges go by. None is "not said, or not understood"; `unread` names what was not."""

    password: str
    """With which the Event Socket let us in."""
    version: str
    modules: Mapping[str, bool]
    applications: frozenset[str] | None
    apis: frozenset[str] | None
    codecs: frozenset[str] | None
    timers: frozenset[str] | None
    files: Mapping[str, Element | None]
    profiles: Mapping[str, str] | None
    """State by name of SIP profile, RUNNING when it runs."""
    strangers: Mapping[str, bool]
    """By name of access list: whether it lets an address in that belongs to nobody."""
    agents: tuple[AgentUser, ...]
    agents_left_out: int
    legs: tuple[Leg, ...]
    stereo: frozenset[str]
    """Those of them whose codec has two channels, by their ids."""
    room: Room | None
    clock_ahead: float | None
    """Seconds that the node's clock is ahead of ours; to within a second."""
    frame_ms: float | None
    """The mean frame of the soft timer, of 20 ms."""
    open_files: int | None
    """The limit of the switch's process, where it is on this machine."""
    door: Door
    unread: tuple[str, ...]

    def params(self, file: str, *path: str) -> dict[str, str]:
        """The `<param>` values under a path of a configuration, the last of each name; {} when it was not read."""
        element = self.files.get(file)
        for tag in path:
            element = None if element is None else element.find(tag)
        return {} if element is None else params(element)


def params(element: Element) -> dict[str, str]:
    """The `<param>` children of an element, values by name."""
    return {each.get("name", ""): each.get("value", "") for each in element.findall("param")}


def profile_settings(sofia: Element | None, name: str) -> Element | None:
    """The `<settings>` of a profile of sofia.conf."""
    for profile in sofia.iterfind("profiles/profile") if sofia is not None else ():
        if profile.get("name") == name:
            return profile.find("settings")
    return None
