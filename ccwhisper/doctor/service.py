"""The judge of the service's own configuration and of what it stands on: database, state directory, secrets, pins."""

from __future__ import annotations

import ipaddress
import socket
import stat
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ccwhisper import certificates
from ccwhisper.config import Config, ConfigError
from ccwhisper.doctor.rules import Finding

GREENSWITCH: Final = "0.0.19"
"""The version that `ccwhisper.switch.wire` replaces parts of (setup.cfg pins it)."""

_FEW_CHARACTERS: Final = 10
"""`openssl rand -hex 32` has 16 different ones but once in 10^8 times, 10 never."""


def invalid(error: ConfigError) -> Iterator[Finding]:
    """A file with mistakes: each as the loader tells it."""
    for each in error.problems:
        where = f"{error.path}: {each.key}" if each.key else str(error.path)
        yield Finding("configuration_invalid", where, f"{each.message} [{each.code}]", "docs/configuration.md")


def pins() -> Iterator[Finding]:
    """Libraries that the code relies on to the letter."""
    try:
        found = version("greenswitch")
    except PackageNotFoundError:  # pragma: no cover - the switch package would not even import
        found = "not installed"
    if found != GREENSWITCH:
        yield Finding("greenswitch_version", "greenswitch", f"is {found}", f"pip install greenswitch=={GREENSWITCH}")


def configuration(config: Config, unusable: Callable[[], tuple[str, str] | None]) -> Iterator[Finding]:
    """What a valid configuration still lacks. `unusable`: code and message of what is wrong with the database."""
    path = config.path
    wrong = unusable()
    if wrong:
        code, message = wrong
        yield Finding("store_unusable", code, message, f"ccwhisper db upgrade --config {path}")
    yield from _state(config.state_directory)
    if config.jwt_secret is not None and len(set(config.jwt_secret.get_secret_value())) < _FEW_CHARACTERS:
        yield Finding(
            "secret_guessable", config.auth.secret_name or "", "has few different characters",
            f"export {config.auth.secret_name}=$(openssl rand -hex 32), and make new tokens",
        )  # fmt: skip
    if config.auth.jwks_url and not config.auth.audience:
        yield Finding(
            "token_audience_unchecked", "auth.audience", "is not set",
            f'{path}: [auth] audience = "…", as the identity provider writes it into tokens for this service',
        )  # fmt: skip
    yield from _certificate(config)
    for name in _ice_hosts(config):
        try:
            socket.getaddrinfo(name, None)
        except OSError as error:
            yield Finding(
                "ice_server_unknown", name, f"has no address here: {error.strerror}",
                f"{path}: [[browser_phone.ice_servers]] urls, or mend the name; browsers ask their own name servers",
            )  # fmt: skip
    if config.tls is None and not _loopback(config.service.host):
        yield Finding(
            "http_beyond_loopback", config.service.listen, "is where the service answers",
            f"{path}: [service] certificate and key; or a proxy with TLS, and "
            f'listen = "127.0.0.1:{config.service.port}"',
        )  # fmt: skip


def _certificate(config: Config) -> Iterator[Finding]:
    if config.tls is None:
        return
    certificate, key = config.tls
    left = certificates.read(certificate).days_left()
    if left < certificates.SOON:
        yield Finding(
            "certificate_expires", str(certificate), "has expired" if left < 0 else f"expires in {left:.0f} days",
            "renew it with your ACME client, or: ccwhisper certificate; the service takes it anew by itself",
        )  # fmt: skip
    if key.stat().st_mode & 0o007:
        yield Finding("key_open", str(key), "can be used by everybody on this machine", f"chmod o= {key}")


def _ice_hosts(config: Config) -> list[str]:
    """Names of STUN and TURN servers, without those that are addresses."""
    urls = [url for server in config.browser_phone.ice_servers for url in server.urls]
    hosts = [urlsplit("//" + url.partition(":")[2]).hostname or "" for url in urls]
    return [host for host in dict.fromkeys(hosts) if not _address(host)]


def _address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _state(directory: Path) -> Iterator[Finding]:
    try:
        mode = stat.S_IMODE(directory.stat().st_mode)
    except OSError:
        return  # made at the first start, with 0700
    if mode & 0o077:
        yield Finding(
            "state_directory_open", str(directory), f"has mode {mode:04o}", f"chmod 700 {directory}"
        )  # fmt: skip


def _loopback(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback
