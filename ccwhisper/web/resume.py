"""Resume keys: by which a page whose connection was lost is known again, also to a service that has been restarted.

A key is signed with a secret of this installation's that never leaves it. It names the person and the page's address,
and carries the calls that are up there, so that who starts next can relay them. It is good for a minute, renewed while
the page is connected, and worth nothing without a token of the same person.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import jwt

from ccwhisper.secret_files import secret_in

SECONDS: Final = 60
RENEW_SECONDS: Final = 20

_FILE: Final = "browser-phones"
_ALGORITHM: Final = "HS256"
_AUDIENCE: Final = "ccwhisper.phone"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a page's line to one switch. `port` is our end of the connection, `calls` what `Line.calls`
    says."""

    port: int = 0
    calls: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Resumed:
    """A page that is known again: its address, and its lines by the names of the nodes."""

    user: str
    lines: Mapping[str, Kept] = field(default_factory=dict)


def kept_secret(directory: Path) -> bytes:
    """This installation's secret for the keys, made at the first start, in a file that only the service reads."""
    return secret_in(directory / _FILE, lambda: secrets.token_bytes(32))


class ResumeKeys:
    """Makes them and reads them."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, person: str, user: str, lines: Mapping[str, Kept]) -> str:
        """A key for this person's page, good from now on."""
        claims = {
            "aud": _AUDIENCE,
            "exp": int(time.time()) + SECONDS,
            "sub": person,
            "user": user,
            "lines": {node: {"port": kept.port, "calls": list(kept.calls)} for node, kept in lines.items()},
        }
        return jwt.encode(claims, self._secret, _ALGORITHM)

    def read(self, key: str, person: str) -> Resumed | None:
        """The page that this key is for; None where it is not a good one of this person's."""
        try:
            claims = jwt.decode(
                key,
                self._secret,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                options={"require": ["aud", "exp", "sub"]},
            )
            if claims["sub"] != person:
                return None
            lines = {node: Kept(line["port"], line["calls"]) for node, line in claims["lines"].items()}
            return Resumed(claims["user"], lines)
        except (jwt.PyJWTError, KeyError, TypeError, AttributeError, ValueError):
            return None
