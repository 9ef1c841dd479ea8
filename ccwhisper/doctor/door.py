"""Asking after the profile of coaches' browsers: what the switch says of it, and whether it answers where the
configuration says that it does. The latter is the one thing that is not asked through the Event Socket: it is tried as
the service does it, up to the upgrade to a WebSocket, and nothing is registered."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element

from ccwhisper.doctor.snapshot import Ask, Door, profile_settings
from ccwhisper.switch import inspection
from ccwhisper.switch.commands import Command
from ccwhisper.switch.dialling import BROWSER_PROFILE
from ccwhisper.switch.errors import UnsafeArgument

OFFICE: Final = "192.168.1.10"
HOME: Final = "203.0.113.1"
"""Where a coach's browser may be: a private address, and one of documentation (RFC 5737) for all public ones."""

CERTIFICATE: Final = "dtls-srtp.pem"
PATIENCE: Final = 5.0

_MOST: Final = 8192


def look(ask: Ask, sofia: Element | None, wanted: tuple[str, int] | None, local: bool) -> Door:
    """`sofia`: its configuration; `wanted`: where the service is to find the profile, if it is to; `local`: the switch
    is on this machine."""
    settings = list(_params(sofia))
    given = dict(settings)
    lists = [value for name, value in settings if name == "apply-candidate-acl"]
    return Door(
        wanted=None if wanted is None else "{}:{}".format(*wanted),
        refusal=None if wanted is None else upgraded(*wanted),
        context=_there(ask, inspection.context, given.get("context", "")),
        domain=_there(ask, inspection.domain, given.get("force-register-domain", "")),
        lets_in={address: _lets_in(ask, address, lists) for address in (OFFICE, HOME)},
        certificate=_certificate(ask) if local else None,
    )


def _params(sofia: Element | None) -> Iterator[tuple[str, str]]:
    settings = profile_settings(sofia, BROWSER_PROFILE)
    for each in settings.findall("param") if settings is not None else ():
        yield each.get("name", ""), each.get("value", "")


def _there(ask: Ask, command: Callable[[str], Command], name: str) -> bool:
    """Whether the switch's XML has it, from files or from a binding."""
    try:
        return bool(name) and (ask([command(name)])[0] or "").startswith("<")
    except UnsafeArgument:
        return False


def _lets_in(ask: Ask, address: str, lists: list[str]) -> bool:
    asked = []
    for name in lists:
        try:
            asked.append(inspection.acl(address, name))
        except UnsafeArgument:  # an address range in the place of a name: understood by the switch, not asked for here
            return True
    return "true" in ask(asked)


def _certificate(ask: Ask) -> bool | None:
    folder = ask([inspection.global_variable("certs_dir")])[0]
    if not folder:
        return None
    try:
        return any(each.name == CERTIFICATE for each in Path(folder).iterdir())
    except OSError:
        return None  # not for our eyes


def upgraded(host: str, port: int) -> str | None:
    """Connect as the service does. What is wrong, in words; None: the switch speaks SIP over WebSocket there."""
    key = base64.b64encode(os.urandom(16)).decode()
    name = f"[{host}]" if ":" in host else host
    request = (
        f"GET / HTTP/1.1\r\nHost: {name}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
    )
    answer = b""
    try:
        with socket.create_connection((host, port), PATIENCE) as connection:
            connection.settimeout(PATIENCE)
            connection.sendall(request.encode())
            while b"\r\n\r\n" not in answer and len(answer) < _MOST:
                piece = connection.recv(_MOST)
                if not piece:
                    break
                answer += piece
    except TimeoutError:
        return "does not answer"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    head = answer.decode("latin-1").lower()
    if not head.startswith("http/1.1 101"):
        return "answers, but not with a WebSocket"
    if "\r\nsec-websocket-protocol: sip\r\n" not in head:
        return "answers with a WebSocket, but not for SIP"
    return None
