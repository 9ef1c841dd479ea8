"""The judge of the profile of coaches' browsers. docs/browser-phone.md has what it is for."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Final

from ccwhisper.doctor.door import HOME, OFFICE
from ccwhisper.doctor.rules import Finding
from ccwhisper.doctor.sip import RESTART, configured, is_on
from ccwhisper.doctor.snapshot import Snapshot
from ccwhisper.switch.dialling import BROWSER_PROFILE

_FILE: Final = f"sip_profiles/, profile {BROWSER_PROFILE}"
_AGAIN: Final = RESTART.format(BROWSER_PROFILE)
_OPUS: Final = "autoload_configs/opus.conf.xml"

MOST_BITS: Final = 32_000
MOST_HERTZ: Final = 16_000


def there(node: Snapshot) -> Iterator[Finding]:
    """Whether it is there, and answers where the service looks for it."""
    wanted = node.door.wanted
    if wanted is None:
        return
    if node.files.get("sofia.conf") is not None and BROWSER_PROFILE not in configured(node):
        yield Finding(
            "browsers_profile_missing", wanted, f"the switch has no profile {BROWSER_PROFILE}",
            "ccwhisper node install … --with browsers, or sip_profiles/browsers.xml of freeswitch-conf/; "
            'then fs_cli -x "reloadxml", and fs_cli -x "sofia profile browsers start"',
        )  # fmt: skip
    elif node.door.refusal is not None:
        binding = configured(node).get(BROWSER_PROFILE, {}).get("ws-binding") or "nowhere"
        yield Finding(
            "browsers_unreachable", wanted, f"{node.door.refusal}; the profile's ws-binding is {binding}",
            f"[[node]] browsers must name the ws-binding, or the near end of a tunnel to it; if it does: "
            f'fs_cli -x "sofia profile {BROWSER_PROFILE} restart"',
        )  # fmt: skip


def closed(node: Snapshot) -> Iterator[Finding]:
    """Whether anybody but the service gets in, and how far."""
    settings = configured(node).get(BROWSER_PROFILE)
    if settings is None:
        return
    for key in ("sip-ip", "ws-binding", "wss-binding"):
        value = settings.get(key, "")
        host = value if key == "sip-ip" else value.rpartition(":")[0]
        used = value or key == "sip-ip"  # without one the switch takes the machine's first address (config_sofia)
        if used and not _loopback(host) and not is_on(settings, "auth-calls"):
            yield Finding(
                "browsers_exposed", BROWSER_PROFILE, f"{key} is {value or 'not set'}",
                f"{_FILE}: {key} on 127.0.0.1; {_AGAIN}",
            )  # fmt: skip
    if node.door.context:
        name = settings.get("context", "")
        yield Finding(
            "browsers_context_exists", BROWSER_PROFILE, f"its context {name} is one of the dialplan",
            f'{_FILE}: <param name="context" value="nowhere"/>, or another that does not exist; {_AGAIN}',
        )  # fmt: skip
    domain = settings.get("force-register-domain", "")
    if not domain or node.door.domain:
        said = f"force-register-domain {domain} is in the directory" if domain else "it has no force-register-domain"
        yield Finding(
            "browsers_register_users", BROWSER_PROFILE, said,
            f'{_FILE}: <param name="force-register-domain" value="browser.invalid"/> and the same as '
            f"force-register-db-domain; {_AGAIN}",
        )  # fmt: skip
    if not settings.get("apply-register-acl"):
        yield Finding(
            "browsers_cannot_register", BROWSER_PROFILE, "it has no apply-register-acl",
            f'{_FILE}: <param name="apply-register-acl" value="loopback.auto"/>; {_AGAIN}',
        )  # fmt: skip


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False  # every address of the machine


def media(node: Snapshot) -> Iterator[Finding]:
    """Whether a browser's audio and the switch's find each other."""
    settings = configured(node).get(BROWSER_PROFILE)
    if settings is None:
        return
    refused = [address for address in (OFFICE, HOME) if not node.door.lets_in[address]]
    if refused:
        yield Finding(
            "browsers_addresses_refused", BROWSER_PROFILE,
            f"apply-candidate-acl refuses browsers at addresses such as {' and '.join(refused)}",
            f'{_FILE}: <param name="apply-candidate-acl" value="any_v4.auto"/>, and another with any_v6.auto; {_AGAIN}',
        )  # fmt: skip
    address, others = settings.get("rtp-ip", ""), [each.get("rtp-ip", "") for each in configured(node).values()]
    outside = settings.get("ext-rtp-ip", "")
    if not outside and _loopback(address) and not all(_loopback(each) for each in others if each):
        yield Finding(
            "browsers_media_on_loopback", BROWSER_PROFILE, f"its rtp-ip is {address}, and other profiles have another",
            f"{_FILE}: rtp-ip as in the phones' profile; behind NAT also ext-rtp-ip; {_AGAIN}",
        )  # fmt: skip
    elif not outside and _private(address):
        yield Finding(
            "browsers_media_private", BROWSER_PROFILE, f"its rtp-ip is {address}, and it has no ext-rtp-ip",
            f'{_FILE}: <param name="ext-rtp-ip" value="…"/> with the address outside, if coaches are outside; {_AGAIN}',
        )  # fmt: skip
    if node.door.certificate is False:
        yield Finding(
            "browsers_certificate_missing", BROWSER_PROFILE, "the directory of certificates has no dtls-srtp.pem",
            "let the switch's user write to its directory of certificates (certs_dir), and restart the switch",
        )  # fmt: skip


def _private(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return ip.is_private and not ip.is_loopback


def opus(node: Snapshot) -> Iterator[Finding]:
    """What browsers are told to send."""
    if BROWSER_PROFILE not in configured(node) or not node.modules.get("mod_opus"):
        return
    settings = node.params("opus.conf", "settings")
    for name, most, rule in (
        ("maxaveragebitrate", MOST_BITS, "opus_bits_many"),
        ("maxplaybackrate", MOST_HERTZ, "opus_rate_high"),
    ):
        value = settings.get(name, "")
        if not value.isdigit() or not 0 < int(value) <= most:
            good = 20000 if name == "maxaveragebitrate" else most
            yield Finding(
                rule, "opus.conf", f"{name} is {value or 'not set'}",
                f'{_OPUS}: <param name="{name}" value="{good}"/>; then fs_cli -x "reload mod_opus"',
            )  # fmt: skip


JUDGES: Final[tuple[Callable[[Snapshot], Iterator[Finding]], ...]] = (there, closed, media, opus)
