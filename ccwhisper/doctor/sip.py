"""The judges of SIP profiles. Settings are those of the configuration that is loaded: after a change of the file and a
`reloadxml` they are ahead of a profile that was not restarted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from ccwhisper.doctor.rules import Finding
from ccwhisper.doctor.snapshot import Snapshot, params

_TRUE: Final = frozenset({"yes", "on", "true", "t", "enabled", "active", "allow"})
"""switch_true in switch_utils.h, for words; a number other than 0 is true, too."""

_CODECS: Final = {"PCMU": "G.711 ulaw", "PCMA": "G.711 alaw", "OPUS": "OPUS (STANDARD)", "G722": "G.722"}
"""Names in preferences, and what `show codec` calls them. Others are not the service's concern."""

RESTART: Final = 'then fs_cli -x "sofia profile {0} restart"'
"""What makes a profile read its settings."""


def profiles(node: Snapshot) -> Iterator[Finding]:
    """Whether there are any, and whether they run."""
    if not node.modules.get("mod_sofia"):
        return  # said of the module already
    running = node.profiles or {}
    if "RUNNING" not in running.values():
        yield Finding(
            "profile_missing", "sofia", "no SIP profile runs", 'see the log for why: fs_cli -x "sofia status"'
        )
    for name in configured(node):
        if running.get(name, "RUNNING" if node.profiles is None else "") != "RUNNING":
            yield Finding(
                "profile_down", name, "is configured and does not run",
                f'is its port taken? fs_cli -x "sofia profile {name} start"',
            )  # fmt: skip


def authentication(node: Snapshot) -> Iterator[Finding]:
    """Who is let in without a digest."""
    for name, settings in configured(node).items():
        acl = settings.get("apply-inbound-acl", "")
        if node.strangers.get(acl):
            yield Finding(
                "profile_open_acl", name, f"apply-inbound-acl {acl} lets in any address",
                f'autoload_configs/acl.conf.xml: <list name="{acl}" default="deny">; then fs_cli -x "reloadacl"',
            )  # fmt: skip
        if not is_on(settings, "auth-calls") and not acl:
            yield Finding(
                "profile_without_digest", name, "asks callers for no password and has no list of addresses",
                f'sip_profiles/, profile {name}: <param name="apply-inbound-acl" value="…"/> with your carrier\'s '
                f'addresses, or <param name="auth-calls" value="true"/>; {RESTART.format(name)}',
            )  # fmt: skip
        for key in ("accept-blind-auth", "accept-blind-reg"):
            if is_on(settings, key):
                yield _off("profile_believes_unproved", name, key)


def dangerous(node: Snapshot) -> Iterator[Finding]:
    """Settings by which a SIP message becomes a command or an event."""
    for name, settings in configured(node).items():
        if is_on(settings, "extended-info-parsing"):
            yield _off("extended_info_parsing", name, "extended-info-parsing")
        if is_on(settings, "fire-message-events"):
            yield _off("fire_message_events", name, "fire-message-events")


def media(node: Snapshot) -> Iterator[Finding]:
    """Media that the switch does not open, and codecs."""
    for name, settings in configured(node).items():
        if is_on(settings, "inbound-bypass-media"):
            yield _off("bypass_media", name, "inbound-bypass-media")
        if is_on(settings, "inbound-proxy-media"):
            yield _off("proxy_media", name, "inbound-proxy-media")
        yield from _codecs(node, name, settings)
        timer = settings.get("rtp-timer-name", "soft")
        if node.timers is not None and timer not in node.timers:  # nor is none in it
            yield Finding(
                "rtp_timer_missing", name, f"rtp-timer-name is {timer}",
                f'sip_profiles/, profile {name}: <param name="rtp-timer-name" value="soft"/>; {RESTART.format(name)}',
            )  # fmt: skip


def _codecs(node: Snapshot, name: str, settings: dict[str, str]) -> Iterator[Finding]:
    for key in ("inbound-codec-prefs", "outbound-codec-prefs"):
        given = settings.get(key) or settings.get("codec-prefs", "")
        wanted = [each.strip().split("@")[0].upper() for each in given.split(",") if each.strip()]
        if wanted and not {"PCMU", "PCMA"} & set(wanted):
            yield Finding(
                "codec_g711_missing", name, f"{key} is {given}",
                f'sip_profiles/, profile {name}: <param name="{key}" value="{given},PCMU,PCMA"/>; '
                f"{RESTART.format(name)}",
            )  # fmt: skip
        for each in dict.fromkeys(wanted):
            if node.codecs is not None and each in _CODECS and _CODECS[each] not in node.codecs:
                brings = {"OPUS": "mod_opus", "G722": "mod_spandsp"}.get(each, "its module")
                yield Finding(
                    "codec_not_loaded", name, f"{key} names {each}",
                    f'load {brings} (fs_cli -x "load {brings}"), or take {each} out of {key}',
                )  # fmt: skip


def _off(rule: str, profile: str, key: str) -> Finding:
    return Finding(
        rule, profile, f"{key} is on",
        f'sip_profiles/, profile {profile}: <param name="{key}" value="false"/>; {RESTART.format(profile)}',
    )  # fmt: skip


def configured(node: Snapshot) -> dict[str, dict[str, str]]:
    """Settings of each profile of sofia.conf, by its name."""
    sofia = node.files.get("sofia.conf")
    found = {}
    for profile in sofia.iterfind("profiles/profile") if sofia is not None else ():
        settings = profile.find("settings")
        found[profile.get("name", "")] = {} if settings is None else params(settings)
    return found


def is_on(settings: dict[str, str], key: str) -> bool:
    """As the switch reads a setting."""
    value = settings.get(key, "")
    return value.lower() in _TRUE or (value.lstrip("-").isdigit() and int(value) != 0)


JUDGES: Final[tuple[Callable[[Snapshot], Iterator[Finding]], ...]] = (
    profiles, authentication, dangerous, media,
)  # fmt: skip
