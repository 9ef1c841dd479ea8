"""Tickets for the audio of one recording. An audio element cannot send a token, and a token in an address would stand
in the logs of whatever is between; so an authorised request gets a cookie that opens one recording to one person for
some minutes, that no script can read, and that the browser sends to the addresses of that recording alone."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt

from ccwhisper.coaching.model import Actor
from ccwhisper.coaching.policy import EVERY_QUEUE, REVIEW
from ccwhisper.secret_files import secret_in
from ccwhisper.web.auth import Principal
from ccwhisper.web.errors import Unauthorised

LIFETIME: Final = 600.0
"""Seconds. A page that goes on playing asks for another in time."""

COOKIE: Final = "ccwhisper_recording"
MOST: Final = 4096
"""Of what is remembered to have been done."""

_AUDIENCE: Final = "recording"


@dataclass(frozen=True, slots=True)
class Ticket:
    """The cookie's value, and until when it is good (seconds since the epoch)."""

    value: str
    expires_at: float


class Tickets:
    """Makes them and reads them. `key` is a secret of at least 32 bytes, the same for every service of an
    installation."""

    def __init__(self, key: bytes, lifetime: float = LIFETIME, clock: Callable[[], float] = time.time) -> None:
        self._key, self._lifetime, self._clock = key, lifetime, clock
        self._lately: OrderedDict[tuple[str, str], float] = OrderedDict()  # until when it is the same thing

    def issue(self, who: Principal, recording: str, queue: str | None, opening: str) -> Ticket:
        """For somebody who may hear this recording, of this queue. It is good for no longer than his token.
        `opening` is the key of the row of the audit trail that says that he has opened it."""
        expires = min(self._clock() + self._lifetime, who.expires_at)
        said = {"aud": _AUDIENCE, "sub": who.actor.id, "name": who.actor.name, "exp": int(expires), "of": recording}
        said |= {"queue": queue or EVERY_QUEUE, "opening": opening}
        return Ticket(jwt.encode(said, self._key, "HS256"), int(expires))

    def identify(self, value: str | None, recording: str) -> Principal:
        """Who may hear this recording by this cookie. Raises Unauthorised."""
        said = self._read(value, recording)
        actor = Actor(
            id=said["sub"], name=said["name"], permissions=frozenset({REVIEW}), queues=frozenset({said["queue"]})
        )
        return Principal(actor, None, float(said["exp"]))

    def renews(self, value: str | None, who: Principal, recording: str, opening: str | None) -> bool:
        """Whether he has this recording open, and only goes on."""
        try:
            said = self._read(value, recording)
        except Unauthorised:
            return False
        return opening is not None and (said["sub"], said["opening"]) == (who.actor.id, opening)

    def first(self, actor: str, what: str) -> bool:
        """Whether he has not done this in the lifetime of a ticket: who asks for a file range by range does it once."""
        now = self._clock()
        while self._lately and (len(self._lately) > MOST or next(iter(self._lately.values())) <= now):
            self._lately.popitem(last=False)
        if (actor, what) in self._lately:
            return False
        self._lately[actor, what] = now + self._lifetime
        return True

    def _read(self, value: str | None, recording: str) -> dict[str, Any]:
        if not value:
            raise Unauthorised("token_missing", "Send a token: Authorization: Bearer …")
        try:
            said = jwt.decode(value, self._key, algorithms=["HS256"], audience=_AUDIENCE, options={"verify_exp": False})
        except (jwt.PyJWTError, UnicodeError, ValueError, RecursionError):
            raise Unauthorised("ticket_invalid", "The ticket is not valid.") from None
        if said["of"] != recording:
            raise Unauthorised("ticket_other", "The ticket is for another recording.")
        if said["exp"] <= self._clock():
            raise Unauthorised("ticket_expired", "The ticket has expired.")
        return said


def kept_key(directory: Path) -> bytes:
    """This installation's key for tickets, made at the first start and kept in the state directory: a page goes on
    playing while the service restarts."""
    return bytes.fromhex(secret_in(directory / "tickets.key", lambda: f"{secrets.token_hex(32)}\n").decode())
