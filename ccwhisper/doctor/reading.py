"""Asking a node about itself, through one connection of the Event Socket and with commands that only read.

Two exceptions to "through the Event Socket". No command tells the limit of open files, so where the switch runs on this
machine it is read from /proc, by the process id that the switch wrote beside its databases. And `door` has the other.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import orjson

from ccwhisper.doctor import door
from ccwhisper.doctor.snapshot import FILES, MODULES, AgentUser, Ask, Room, Snapshot
from ccwhisper.switch import commands as cmd
from ccwhisper.switch import inspection
from ccwhisper.switch.commands import Command
from ccwhisper.switch.errors import UnsafeArgument
from ccwhisper.switch.translate import leg_of

STRANGERS: Final = ("203.0.113.1", "2001:db8::1")
"""Addresses of documentation (RFC 5737, RFC 3849), which nobody has."""

BUFFER: Final = ("jitterbuffer_msec", "rtp_jitter_buffer_during_bridge")
LISTS: Final = ("application", "api", "codec", "timer")
YOUNG: Final = 30
"""Seconds after its start."""
MOST_AGENTS: Final = 200
MOST_LEGS: Final = 200
_CHANNELS: Final = "variable_rtp_use_codec_channels"

_SET = re.compile(rf"({'|'.join(BUFFER)})=(\S+)")


def read(
    ask: Ask,
    password: str,
    users: Collection[str] = (),
    *,
    local: bool = False,
    browsers: tuple[str, int] | None = None,
) -> Snapshot:
    """Ask everything. `users`: the agents' directory users of the configuration file; `local`: the node is on this
    machine; `browsers`: where the service is to find the profile of coaches' browsers. Takes about half a second, most
    of it for the test of the timer."""
    return _Reading(ask).snapshot(password, users, local, browsers)


class _Reading:
    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._unread: list[str] = []

    def snapshot(
        self, password: str, users: Collection[str], local: bool, browsers: tuple[str, int] | None
    ) -> Snapshot:
        modules = dict(zip(MODULES, self._ask([inspection.module_exists(each) for each in MODULES]), strict=True))
        lists = self._lists()
        files = {file: self._xml(inspection.configuration(file)) for file in FILES}
        agents, left_out = self._agents(users)
        before = time.time()
        epoch = self._one(inspection.epoch())
        after = time.time()
        dumps = self._dumps()
        return Snapshot(
            password=password,
            version=_version(self._one(inspection.version()) or ""),
            modules={name: answer == "true" for name, answer in modules.items()},
            applications=lists["application"],
            apis=lists["api"],
            codecs=lists["codec"],
            timers=lists["timer"],
            files=files,
            profiles=self._profiles(),
            strangers=self._strangers(files),
            agents=agents,
            agents_left_out=left_out,
            legs=tuple(leg_of(each, "") for each in dumps),
            stereo=frozenset(each.get("Unique-ID", "") for each in dumps if each.get(_CHANNELS) == "2"),
            room=_room(self._one(inspection.status()) or ""),
            clock_ahead=_ahead(epoch, before, after),
            frame_ms=_mean(self._one(inspection.timer_test()) or ""),
            open_files=self._open_files() if local else None,
            door=door.look(self._ask, files["sofia.conf"], browsers, local),
            unread=tuple(self._unread),
        )

    def _one(self, command: Command) -> str | None:
        return self._ask([command])[0]

    def _xml(self, command: Command) -> Element | None:
        return self._parsed(command, self._one(command))

    def _parsed(self, command: Command, answer: str | None) -> Element | None:
        if answer is None or not answer.startswith("<"):
            return None
        try:
            return ElementTree.fromstring(answer)  # noqa: S314 - the switch's own, which it wrote out of its tree
        except ElementTree.ParseError:
            self._unread.append(command.label)
            return None

    def _rows(self, command: Command) -> list[Mapping[str, Any]] | None:
        answer = self._one(command)
        try:
            rows = orjson.loads(answer or "").get("rows", [])
            return [row for row in rows if isinstance(row, dict)]
        except (ValueError, AttributeError, TypeError):
            self._unread.append(command.label)
            return None

    def _names(self, kind: str) -> frozenset[str] | None:
        rows = self._rows(inspection.listing(kind))
        return None if rows is None else frozenset(str(row.get("name", "")) for row in rows)

    def _lists(self) -> dict[str, frozenset[str] | None]:
        """What `show` lists comes from a database that is written late. Seen: eight codecs of 21, just after the start.
        So of a young node it is read until nothing has been added for a second."""
        found = {kind: self._names(kind) for kind in LISTS}
        age = self._one(inspection.uptime()) or ""
        if not age.isdigit() or int(age) >= YOUNG:
            return found
        for _ in range(YOUNG):
            time.sleep(1)
            before, found = found, {kind: self._names(kind) for kind in LISTS}
            if found == before:
                break
        return found

    def _profiles(self) -> dict[str, str] | None:
        found = self._xml(inspection.profiles())
        if found is None:
            return None
        named = ((each.findtext("name") or "", each.findtext("state") or "") for each in found.findall("profile"))
        return {name: state.split(" ")[0] for name, state in named}

    def _strangers(self, files: Mapping[str, Element | None]) -> dict[str, bool]:
        lists = {
            param.get("value", "")
            for file in files.values()
            if file is not None
            for param in file.iter("param")
            if param.get("name") == "apply-inbound-acl"
        }
        return {name: any(answer == "true" for answer in self._ask(asked)) for name, asked in _acls(lists)}

    # --- agents ------------------------------------------------------------------------------------------------------

    def _agents(self, users: Collection[str]) -> tuple[tuple[AgentUser, ...], int]:
        contacts = self._contacts()
        # Whom mod_callcenter knows by another name than user@domain, and whom the file does not have, is no user.
        names = [*dict.fromkeys([*users, *(name for name in contacts if "@" in name)])]
        found = [self._agent(name, name in users, contacts.get(name)) for name in names[:MOST_AGENTS]]
        return tuple(each for each in found if each), max(0, len(names) - MOST_AGENTS)

    def _contacts(self) -> dict[str, str | None]:
        answer = self._one(cmd.callcenter("agent list"))
        try:
            said = orjson.loads(answer or "{}")
            rows = said.get("response") if said.get("status") == "success" else []
            return {str(row["name"]): row.get("contact") for row in rows}
        except (ValueError, AttributeError, TypeError, KeyError):
            self._unread.append("callcenter agent list")
            return {}

    def _agent(self, user: str, from_file: bool, contact: str | None) -> AgentUser | None:
        try:
            exists = inspection.user_exists(user)
            asked = [inspection.user_data(user, "param", f"dial-var-{name}") for name in BUFFER]
        except UnsafeArgument:
            return None  # a name that no directory user can have
        asked += [inspection.user_data(user, "var", name) for name in (*BUFFER, "user_context")]
        known, *values = self._ask([exists, *asked])
        said = [value or "" for value in values]
        return AgentUser(
            user,
            known == "true",
            from_file,
            contact,
            params=_given(said[:2]),
            variables=_given(said[2:4]),
            context_sets=self._sets(said[4]),
        )

    def _sets(self, context: str) -> dict[str, str]:
        try:
            found = self._xml(inspection.context(context)) if context else None
        except UnsafeArgument:
            found = None
        if found is None:
            return {}
        actions = (
            each.get("data", "") for each in found.iter("action") if each.get("application") in ("set", "export")
        )
        return {match[1]: match[2] for match in map(_SET.search, actions) if match}

    def _dumps(self) -> list[dict[str, str]]:
        """Of the legs that are up."""
        names = [str(row.get("uuid", "")) for row in self._rows(cmd.show_channels()) or ()]
        dumps = []
        for name in names[:MOST_LEGS]:
            try:
                dumps.append(self._one(cmd.uuid_dump(name)))
            except UnsafeArgument:
                continue
        return [each for each in map(_strings, dumps) if each]

    def _open_files(self) -> int | None:
        run = self._one(inspection.global_variable("run_dir")) or ""
        try:
            pid = int((Path(run) / "freeswitch.pid").read_text())
            limits = Path(f"/proc/{pid}/limits").read_text()
        except (OSError, ValueError):
            return None
        found = re.search(r"^Max open files +([0-9]+)", limits, re.MULTILINE)
        return int(found[1]) if found else None


def _acls(lists: Iterable[str]) -> Iterable[tuple[str, list[Command]]]:
    for name in sorted(lists):
        try:
            yield name, [inspection.acl(address, name) for address in STRANGERS]
        except UnsafeArgument:  # an address range in the place of a name
            yield name, []


def _given(values: Sequence[str]) -> dict[str, str]:
    return {name: value for name, value in zip(BUFFER, values, strict=True) if value}


def _strings(dump: str | None) -> dict[str, str]:
    try:
        plain = orjson.loads(dump or "{}").items()
    except (ValueError, AttributeError):
        return {}
    return {name: value for name, value in plain if isinstance(value, str)}


def _version(answer: str) -> str:
    found = re.search(r"Version (\S+)", answer)
    return found[1] if found else ""


def _mean(answer: str) -> float | None:
    found = re.search(r"Avg: ([0-9.]+)ms", answer)
    return float(found[1]) if found else None


def _ahead(epoch: str | None, before: float, after: float) -> float | None:
    """Whole seconds, cut off: at `1.9` it says 1, so up to a second behind is no difference."""
    if epoch is None or not epoch.isdigit():
        return None
    said = int(epoch)
    if said > after:
        return said - after
    return min(0.0, said + 1 - before)


def _room(status: str) -> Room | None:
    now = re.search(r"^([0-9]+) session\(s\) - peak ([0-9]+)", status, re.MULTILINE)
    rate = re.search(r"^([0-9]+) session\(s\) per Sec out of max ([0-9]+), peak ([0-9]+)", status, re.MULTILINE)
    most = re.search(r"^([0-9]+) session\(s\) max", status, re.MULTILINE)
    idle = re.search(r"^min idle cpu [0-9.]+/([0-9.]+)", status, re.MULTILINE)
    if not (now and rate and most):
        return None
    return Room(
        sessions=int(now[1]),
        peak=int(now[2]),
        most=int(most[1]),
        rate=int(rate[1]),
        rate_peak=int(rate[3]),
        rate_most=int(rate[2]),
        idle_cpu=float(idle[1]) if idle else None,
    )


def is_local(host: str) -> bool:
    """Whether a host is this machine, by its address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
