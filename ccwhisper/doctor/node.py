"""The judges of modules, Event Socket, clock, room and version."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Final

from ccwhisper.doctor.rules import Finding
from ccwhisper.doctor.snapshot import Snapshot

_OPTIONAL: Final = {
    "mod_callcenter": "module_for_queues_missing",
    "mod_opus": "module_for_browsers_missing",
    "mod_spandsp": "module_for_g722_missing",
}
APPLICATIONS: Final = ("answer", "eavesdrop", "park")
APIS: Final = (
    "hupall", "json", "originate", "sched_api", "sched_del", "show", "uuid_bridge", "uuid_broadcast", "uuid_buglist",
    "uuid_displace", "uuid_dump", "uuid_jitterbuffer", "uuid_kill", "uuid_media_reneg", "uuid_park", "uuid_setvar",
    "uuid_setvar_multi", "uuid_transfer",
)  # fmt: skip
"""What the service's commands begin with (`ccwhisper.switch.commands`)."""

_SHORTEST_PASSWORD: Final = 12
_PROVED: Final = (1, 11)
_OLDEST: Final = (1, 10)
_FEW_LEGS: Final = 100
_FILES_A_LEG: Final = 4
_NEARLY: Final = 0.8
_SWITCH_CONF: Final = "autoload_configs/switch.conf.xml"


def modules(node: Snapshot) -> Iterator[Finding]:
    """Modules that are not loaded."""
    for name, there in node.modules.items():
        if not there:
            yield Finding(
                _OPTIONAL.get(name, "module_missing"),
                name,
                "is not loaded",
                f'autoload_configs/modules.conf.xml: <load module="{name}"/>; then fs_cli -x "load {name}"',
            )


def interfaces(node: Snapshot) -> Iterator[Finding]:
    """Applications and commands that a module would bring, and that are held back."""
    for kind, wanted, there in (("application", APPLICATIONS, node.applications), ("api", APIS, node.apis)):
        for name in wanted:
            if there is not None and name not in there:
                brings = "mod_dptools" if kind == "application" else "mod_commands"
                suffix = "app" if kind == "application" else kind
                yield Finding(
                    "interface_missing",
                    f"{kind} {name}",
                    "is not offered",
                    f'{_SWITCH_CONF}, <interface-allowlist>: <allow name="{brings}.{name}.{suffix}"/>; '
                    "then restart the switch",
                )


def event_socket(node: Snapshot) -> Iterator[Finding]:
    """Who may try the Event Socket, and with what."""
    where = "autoload_configs/event_socket.conf.xml"
    reload = 'then fs_cli -x "reload mod_event_socket"'
    if node.password == "ClueCon":  # noqa: S105 - the switch's own default
        yield Finding(
            "event_socket_stock_password", where, "has the password that everybody knows",
            f'{where}: <param name="password" value="…"/> with the output of "openssl rand -hex 16"; {reload}',
        )  # fmt: skip
    elif len(node.password) < _SHORTEST_PASSWORD:
        yield Finding(
            "event_socket_weak_password", where, f"has a password of {len(node.password)} characters",
            f'{where}: <param name="password" value="…"/> with the output of "openssl rand -hex 16"; {reload}',
        )  # fmt: skip
    settings = node.params("event_socket.conf", "settings")
    acl = settings.get("apply-inbound-acl", "")
    if node.strangers.get(acl):
        yield Finding(
            "event_socket_open", acl, "lets in any address",
            f'autoload_configs/acl.conf.xml: <list name="{acl}" default="deny"> with the service\'s address '
            'as one /32; then fs_cli -x "reloadacl"',
        )  # fmt: skip
    address = settings.get("listen-ip") or "127.0.0.1"
    if _wide(address):
        yield Finding(
            "event_socket_listens_widely", address, "is where the Event Socket listens",
            f'{where}: <param name="listen-ip" value="127.0.0.1"/>, or a private address of this host; {reload}',
        )  # fmt: skip


def _wide(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False  # a name: nobody but the switch knows what it stands for
    return ip.is_unspecified or ip.is_global


def clock(node: Snapshot) -> Iterator[Finding]:
    """What the node's clock says, and how evenly its timer runs."""
    if node.clock_ahead is not None and abs(node.clock_ahead) > 2:
        direction = "ahead of" if node.clock_ahead > 0 else "behind"
        yield Finding(
            "clock_differs", "clock", f"{abs(node.clock_ahead):.0f} s {direction} this machine's",
            "run an NTP client on both (timedatectl set-ntp true)",
        )  # fmt: skip
    if node.frame_ms is not None and node.frame_ms > 25:
        yield Finding(
            "timer_coarse", "soft timer", f"a frame of 20 ms takes {node.frame_ms:.1f} ms on average",
            "see what else runs on the node (top); in a virtual machine give it cores of its own",
        )  # fmt: skip


def room(node: Snapshot) -> Iterator[Finding]:
    """Whether a coach on each call still has a place."""
    seen = node.room
    peak = seen.peak if seen else 0
    if seen and seen.peak > _NEARLY * seen.most:
        yield Finding(
            "sessions_nearly_used", "max-sessions", f"{seen.peak} of {seen.most} sessions were in use at a time",
            f'{_SWITCH_CONF}: <param name="max-sessions" value="{2 * seen.most}"/>; '
            f'now: fs_cli -x "fsctl max_sessions {2 * seen.most}"',
        )  # fmt: skip
    if seen and seen.rate_peak > _NEARLY * seen.rate_most:
        yield Finding(
            "rate_nearly_used", "sessions-per-second", f"{seen.rate_peak} of {seen.rate_most} new sessions in a second",
            f'{_SWITCH_CONF}: <param name="sessions-per-second" value="{2 * seen.rate_most}"/>; '
            f'now: fs_cli -x "fsctl sps {2 * seen.rate_most}"',
        )  # fmt: skip
    if seen and seen.idle_cpu is not None and seen.idle_cpu < 20:
        yield Finding(
            "cpu_busy", "cpu", f"{seen.idle_cpu:.0f} % idle", "see what runs on the node (top), or give it more cores"
        )
    wanted = max(_FEW_LEGS, 2 * peak)
    settings = node.params("switch.conf", "settings")
    first, last = (_number(settings.get(f"rtp-{end}-port")) for end in ("start", "end"))
    legs = ((last or 32768) - (first or 16384)) // 2
    if settings and legs < wanted:
        yield Finding(
            "rtp_ports_few", f"{first or 16384}-{last or 32768}", f"are enough for {legs} legs, {wanted} should fit",
            f'{_SWITCH_CONF}: <param name="rtp-start-port" value="16384"/> and '
            '<param name="rtp-end-port" value="32768"/>; then restart the switch',
        )  # fmt: skip
    if node.open_files is not None and node.open_files < _FILES_A_LEG * wanted:
        yield Finding(
            "open_files_few", "open files", f"the switch may open {node.open_files}, {_FILES_A_LEG * wanted} should be",
            "systemctl edit freeswitch: [Service] LimitNOFILE=100000; then restart the switch",
        )  # fmt: skip


def version(node: Snapshot) -> Iterator[Finding]:
    """FreeSWITCH's version against the one that everything was measured on."""
    found = re.match(r"([0-9]+)\.([0-9]+)", node.version)
    if not found:
        return
    number = (int(found[1]), int(found[2]))
    if number < _OLDEST:
        yield Finding("version_too_old", "FreeSWITCH", f"is {node.version}", "upgrade to 1.10 or later")
    elif number != _PROVED:
        yield Finding(
            "version_not_proved", "FreeSWITCH", f"is {node.version}",
            "run the live tests on it once: FREESWITCH_BIN=… scripts/test live",
        )  # fmt: skip


def unread(node: Snapshot) -> Iterator[Finding]:
    """What the node said that could not be understood."""
    for label in node.unread:
        yield Finding(
            "answer_not_understood", label, "was answered in a way that is not understood",
            f'see for yourself: fs_cli -x "{label}"',
        )  # fmt: skip


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None


JUDGES: Final[tuple[Callable[[Snapshot], Iterator[Finding]], ...]] = (
    unread, version, modules, interfaces, event_socket, clock, room,
)  # fmt: skip
