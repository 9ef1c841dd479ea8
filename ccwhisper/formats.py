"""How single values of the configuration file are written. A check raises ValueError; its text goes on from the key."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from pydantic import AfterValidator

from ccwhisper.recording.places import BUCKET

_USER: Final = re.compile(r"[A-Za-z0-9_.+-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


def matching(pattern: str, what: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"must be {what}")
        return value

    return AfterValidator(check)


def user(value: str) -> str:
    if not _USER.fullmatch(value):
        raise ValueError("must be a directory user, user@domain")
    return value


def jwks(value: str) -> str:
    url = urlsplit(value)
    if url.scheme == "https" and url.hostname:
        return value
    if url.scheme == "http" and url.hostname in ("localhost", "127.0.0.1", "::1"):
        return value
    raise ValueError("must be an https URL (http is for loopback only): who can change the keys can be anybody")


def address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be address:port, for example 127.0.0.1:8810")
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        if host != "localhost":
            raise ValueError("must begin with an IP address or localhost") from None
    return value


def loopback(value: str) -> str:
    host, _, port = address(value).rpartition(":")
    if port == "0" or not (host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback):
        raise ValueError("must be on loopback, or the near end of a tunnel: it takes whoever connects for the service")
    return value


def folder(value: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9_./+-]{0,255}", value) or ".." in value.split("/"):
        raise ValueError("must be a path from the root of letters, digits and / . _ + - : a command for the switch")
    return value


def store_of_files(value: str) -> str:
    if not BUCKET.fullmatch(value) and not (value.startswith("/") and "\0" not in value):
        raise ValueError("must be a path from the root, or s3://bucket/prefix")
    return value


def endpoint(value: str) -> str:
    url = urlsplit(value)
    if not url.hostname or url.scheme not in ("http", "https") or url.username or url.query:
        raise ValueError("must be the URL of an S3-compatible store, as https://s3.example.org")
    return value


def ice(value: str) -> str:
    if not re.fullmatch(r"(stuns?|turns?):[A-Za-z0-9.:\[\]-]{1,253}(\?transport=(udp|tcp))?", value):
        raise ValueError("must be a URI such as stun:stun.example.org or turns:turn.example.org:443?transport=tcp")
    return value


def origin(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or value != f"{parts.scheme}://{parts.netloc}" or not parts.hostname:
        raise ValueError("must be an origin such as https://crm.example.org")
    return value


def database(value: str) -> str:
    url = urlsplit(value)
    if url.password is not None:
        raise ValueError("must not hold a password: name the variable that does in password_env")
    if url.scheme == "postgresql" and url.path.strip("/"):
        return value
    if url.scheme == "sqlite" and not url.netloc and url.path.strip("/"):
        return value
    raise ValueError("must be postgresql://user@host/database or sqlite:///file")


def line(value: str) -> str:
    text = " ".join(value.split())
    if not text:
        raise ValueError("says nothing")
    if not text.isprintable():
        raise ValueError("must not hold control characters")
    return text


def word(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9+*#_.-]{1,64}", value):
        raise ValueError("must be letters, digits and + * # _ . -")
    return value
