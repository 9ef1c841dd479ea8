"""SIP between a page and the switch, looked at message by message: bytes in, bytes out, no socket and no clock.

A page is a phone that can be rung and can hang up. It registers nothing: its one address is registered for it, under a
random name. It calls nobody: all that it may send is an answer to what the switch has asked, letter for letter in the
headers that say which, and, once a call of the switch's is up, BYE, ACK and re-INVITE of that very call. Whatever else
it says raises `Refused`, and who gets that ends the connection. RFC 3261 for the grammar, RFC 7118 for WebSocket.
"""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ccwhisper.coaching.model import BROWSERS
from ccwhisper.web import sdp

SESSION_HEADER: Final = "X-CCW-Session"
"""What the service puts into the INVITE to a browser: the session that it is for."""

MAX_PENDING: Final = 32
"""Requests of the switch that a page has not answered; the oldest is forgotten first."""

MAX_SEQUENCE: Final = 2**31 - 1
"""RFC 3261, 8.1.1.5. What is above is not read, and our BYE for a page that has gone needs one more than its last."""

REGISTER_SECONDS: Final = 120
"""What a registration is asked to last. It is renewed in half of that."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TAG: Final = re.compile(r";tag=([A-Za-z0-9.!%*_+`'~-]{1,128})(?=;|\Z)", re.IGNORECASE)
_CSEQ: Final = re.compile(r"([0-9]{1,10}) +([A-Z]{1,16})")
_STATUS: Final = re.compile(r"SIP/2\.0 ([1-6][0-9][0-9]) [^\r\n]{0,128}")
_DISPLAY: Final = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^"<>]*) *(?=<)')
_REQUEST: Final = re.compile(r"([A-Z]{1,16}) (\S{1,512}) SIP/2\.0")
# One hop, at a name that does not exist: the answer goes back over the connection that the request came by.
_VIA: Final = re.compile(r"SIP/2\.0/WSS? [A-Za-z0-9-]{1,64}\.invalid;branch=z9hG4bK[A-Za-z0-9.]{1,64}")

# Nothing that could lead a message or the next one elsewhere (Route, Record-Route, Path, Refer-To, Replaces), prove who
# one is, or be taken for a setting (X-…).
_FROM_PAGE: Final = frozenset(
    {
        "accept", "allow", "call-id", "contact", "content-length", "content-type", "cseq", "from", "max-forwards",
        "min-se", "reason", "session-expires", "supported", "to", "user-agent", "via", "warning",
    }
)  # fmt: skip
_ONCE: Final = ("from", "to", "call-id", "cseq")
_PAGE_METHODS: Final = frozenset({"ACK", "BYE", "INVITE"})
_NO_ANSWER: Final = "ACK"


class Refused(Exception):
    """A page said what a page must not say."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request or a response. Names of headers in lower case, in the order of arrival."""

    start: str
    headers: tuple[tuple[str, str], ...]
    body: str

    @classmethod
    def parse(cls, text: str) -> Message:
        """Raises ValueError for what is no message. Folded headers and short names are none here: neither JsSIP nor
        FreeSWITCH writes them."""
        head, blank, body = text.partition("\r\n\r\n")
        if not blank:
            raise ValueError("no end of headers")
        start, *lines = head.split("\r\n")
        headers = []
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not _NAME.fullmatch(name.rstrip(" ")) or _CONTROL.search(line):
                raise ValueError("a line that is no header")
            headers.append((name.rstrip(" ").lower(), value.strip(" \t")))
        if _CONTROL.search(start):
            raise ValueError("a start line with control characters")
        return cls(start, tuple(headers), body)

    def all(self, name: str) -> list[str]:
        """The values of a header."""
        return [value for each, value in self.headers if each == name]

    def one(self, name: str) -> str:
        """The value of a header that is there once. Raises ValueError."""
        (value,) = self.all(name)
        return value

    @property
    def method(self) -> str:
        """Of a request; empty of a response."""
        match = _REQUEST.fullmatch(self.start)
        return match[1] if match else ""

    @property
    def uri(self) -> str:
        """What a request is sent to."""
        match = _REQUEST.fullmatch(self.start)
        return match[2] if match else ""

    @property
    def status(self) -> int:
        """Of a response; 0 of a request."""
        match = _STATUS.fullmatch(self.start)
        return int(match[1]) if match else 0

    @property
    def cseq(self) -> tuple[int, str]:
        """Number and method. Raises ValueError."""
        match = _CSEQ.fullmatch(self.one("cseq"))
        if match is None:
            raise ValueError("no sequence number")
        return int(match[1]), match[2]


@dataclass(slots=True)
class _Dialog:
    """A call that the switch has placed to the page."""

    invite: Message | None  # None: the call was up before this service knew of it
    remote: str  # the switch's side: From of its INVITE
    target: str  # where the switch wants to be spoken to: the URI of its Contact
    local: str = ""  # our side, with the page's tag
    up: bool = False
    over: bool = False  # the switch has said so, and the page has not answered that
    sequence: int = 0  # the highest that the page has used
    asked: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=MAX_PENDING))
    accepted: set[tuple[int, str]] = field(default_factory=set)  # INVITEs that the page has said yes to


class Line:
    """One page's line to one switch. `user` is its random address. `welcome` is asked whether a session's call may
    ring here, once for each INVITE that begins a call."""

    def __init__(self, user: str, welcome: Callable[[str], bool]) -> None:
        self.user = user
        self.address = f"{user}@{BROWSERS}"
        self.contact = f"sip:{user}@{user}.invalid;transport=ws"
        self.registered = False
        self._welcome = welcome
        self._dialogs: dict[str, _Dialog] = {}
        self._pending: OrderedDict[tuple[str, int, str], Message] = OrderedDict()
        self._registration = f"{secrets.token_hex(12)}@{BROWSERS}"
        self._tag = secrets.token_hex(6)
        self._count = 0

    @property
    def busy(self) -> bool:
        """Whether a call is up. It is not when the switch has ended it, whatever the page answers to that."""
        return any(dialog.up and not dialog.over for dialog in self._dialogs.values())

    # --- over a restart of the service -------------------------------------------------------------------------------

    def calls(self) -> list[dict[str, Any]]:
        """The calls that are up, for a service that is to take them up."""
        return [
            {
                "call": call,
                "remote": dialog.remote,
                "target": dialog.target,
                "local": dialog.local,
                "sequence": dialog.sequence,
            }
            for call, dialog in self._dialogs.items()
            if dialog.up and not dialog.over
        ]

    def take_up(self, calls: Iterable[Mapping[str, Any]]) -> None:
        """Go on with calls as another `Line` of the same page has told them. Raises KeyError or ValueError."""
        for each in calls:
            remote, target, local = str(each["remote"]), str(each["target"]), str(each["local"])
            dialog = _Dialog(None, remote, target, local, up=True, sequence=int(each["sequence"]))
            self._dialogs[str(each["call"])] = dialog

    # --- the registration, which is ours and not the page's ----------------------------------------------------------

    def register(self, seconds: int = REGISTER_SECONDS) -> str:
        """A REGISTER to send; with 0 one that ends it."""
        self._count += 1
        return _text(
            f"REGISTER sip:{BROWSERS} SIP/2.0",
            [
                ("Via", self._via()),
                ("Max-Forwards", "70"),
                ("From", f"<sip:{self.address}>;tag={self._tag}"),
                ("To", f"<sip:{self.address}>"),
                ("Call-ID", self._registration),
                ("CSeq", f"{self._count} REGISTER"),
                ("Contact", f"<{self.contact}>;expires={seconds}"),
                ("Expires", str(seconds)),
            ],
        )

    def _via(self) -> str:
        return f"SIP/2.0/WS {self.user}.invalid;branch=z9hG4bK{secrets.token_hex(10)}"

    # --- from the switch ---------------------------------------------------------------------------------------------

    def from_switch(self, text: str) -> tuple[str | None, str | None]:
        """What to pass on to the page, and what to answer the switch at once; None where nothing is."""
        try:
            message = Message.parse(text)
            return self._answer(message, text) if message.status else self._request(message, text)
        except ValueError:
            return None, None

    def _answer(self, message: Message, text: str) -> tuple[str | None, str | None]:
        call, cseq = message.one("call-id"), message.cseq
        if call == self._registration:
            if message.status >= 200:
                self.registered = message.status < 300
            return None, None
        dialog = self._dialogs.get(call)
        if dialog is None or cseq not in dialog.asked:
            return None, None
        if cseq[1] == "BYE" and message.status >= 200:
            del self._dialogs[call]
        return text, None

    def _request(self, message: Message, text: str) -> tuple[str | None, str | None]:
        call, (number, method) = message.one("call-id"), message.cseq
        if message.method != method:
            return None, None
        if method == "INVITE" and not _TAG.search(message.one("to")):
            refusal = self._begin(message, call)
            if refusal:
                return None, reply(message, *refusal)
        elif call not in self._dialogs:
            return None, None if method == _NO_ANSWER else reply(message, 481, "Call Does Not Exist")
        if method == "BYE":
            self._dialogs[call].over = True
        if method != _NO_ANSWER:
            self._pending[call, number, method] = message
            while len(self._pending) > MAX_PENDING:
                self._pending.popitem(last=False)
        return text, None

    def _begin(self, message: Message, call: str) -> tuple[int, str] | None:
        if not message.uri.startswith(f"sip:{self.user}@"):
            return 404, "Not Found"
        if self._dialogs:
            return 486, "Busy Here"
        if len(sessions := message.all(SESSION_HEADER.lower())) != 1 or not self._welcome(sessions[0]):
            return 403, "Forbidden"
        target = re.search(r"<(sips?:[^>\s]+)>", message.one("contact"))
        if target is None:
            return 400, "Bad Request"
        self._dialogs[call] = _Dialog(message, message.one("from"), target[1])
        return None

    # --- from the page -----------------------------------------------------------------------------------------------

    def knows(self, text: str) -> bool:
        """Whether a page's message belongs to this line, by its call. Raises Refused for what is no message."""
        return _parsed(text).one("call-id") in {*self._dialogs, *(call for call, _, _ in self._pending)}

    def from_page(self, text: str) -> str | None:
        """The message, if it may go to the switch; None for one that has gone before. Raises Refused."""
        message = _parsed(text)
        for contact in message.all("contact"):
            if not contact.startswith(f"<{self.contact}>") or "," in contact:
                raise Refused("a contact that is not its own")
        if message.status and self._said_before(message):
            return None
        if message.status:
            self._check_answer(message)
        else:
            self._check_request(message)
        return text

    def _said_before(self, message: Message) -> bool:
        """A page repeats that it has answered until it has heard the switch's ACK: after half a second, on any
        transport (RFC 3261, 13.3.1.4). The first has arrived; another would reach a switch that waits for none. So it
        is with what a page answers to a service that is no more."""
        call = message.one("call-id")
        dialog = self._dialogs.get(call)
        if dialog is None:
            return False
        if dialog.invite is None and (call, *message.cseq) not in self._pending:
            return True
        return 200 <= message.status < 300 and message.cseq in dialog.accepted

    def _check_answer(self, message: Message) -> None:
        number, method = message.cseq
        call = message.one("call-id")
        asked = self._pending.get((call, number, method))
        if asked is None:
            raise Refused("an answer that nobody waits for")
        if message.all("via") != asked.all("via") or message.one("from") != asked.one("from"):
            raise Refused("an answer to somebody else")
        to, was = message.one("to"), asked.one("to")
        if to != was and not (to.startswith(was) and _TAG.fullmatch(to[len(was) :])):
            raise Refused("an answer in another name")
        if message.status < 200 and not _TAG.search(to):
            return
        dialog = self._dialogs.get(call)
        if message.status >= 200:
            del self._pending[call, number, method]
        if dialog is None:
            return
        if method == "INVITE" and 200 <= message.status < 300:
            dialog.accepted.add((number, method))
        if asked is dialog.invite:
            dialog.local = to
            if 200 <= message.status < 300:
                dialog.up = True
            elif message.status >= 300:
                del self._dialogs[call]
        elif method == "BYE" and message.status >= 200:
            del self._dialogs[call]

    def _check_request(self, message: Message) -> None:
        number, method = message.cseq
        if message.method not in _PAGE_METHODS or message.method != method:
            raise Refused("a request that a page must not make")
        vias = message.all("via")
        if len(vias) != 1 or not _VIA.fullmatch(vias[0]):
            raise Refused("a request by another way")
        if number >= MAX_SEQUENCE:
            raise Refused("a number that leaves none for us")
        dialog = self._dialogs.get(message.one("call-id"))
        if dialog is None or not dialog.up:
            raise Refused("a request outside a call")
        if message.one("from") != dialog.local or message.uri != dialog.target:
            raise Refused("a request of somebody else")
        # JsSIP leaves out the name that the switch has put before its address.
        if message.one("to") not in (dialog.remote, _DISPLAY.sub("", dialog.remote, count=1)):
            raise Refused("a request of somebody else")
        dialog.sequence = max(dialog.sequence, number)
        if method != _NO_ANSWER:
            dialog.asked.append((number, method))

    # --- the page has gone -------------------------------------------------------------------------------------------

    def farewell(self) -> list[str]:
        """What to send the switch for a page that is gone: an end to its calls, and to its registration."""
        said = []
        for call, dialog in self._dialogs.items():
            if dialog.up and not dialog.over:
                said.append(
                    _text(
                        f"BYE {dialog.target} SIP/2.0",
                        [
                            ("Via", self._via()),
                            ("Max-Forwards", "70"),
                            ("From", dialog.local),
                            ("To", dialog.remote),
                            ("Call-ID", call),
                            ("CSeq", f"{dialog.sequence + 1} BYE"),
                        ],
                    )
                )
            elif dialog.invite and not dialog.up:
                said.append(reply(dialog.invite, 480, "Temporarily Unavailable"))
        self._dialogs.clear()
        self._pending.clear()
        return [*said, self.register(0)]


def reply(request: Message, status: int, reason: str) -> str:
    """A response without a body."""
    to = request.one("to")
    if not _TAG.search(to):
        to += f";tag={secrets.token_hex(6)}"
    same = [("Via", via) for via in request.all("via")]
    same += [("From", request.one("from")), ("To", to)]
    same += [("Call-ID", request.one("call-id")), ("CSeq", request.one("cseq"))]
    return _text(f"SIP/2.0 {status} {reason}", same)


def _text(start: str, headers: Iterable[tuple[str, str]]) -> str:
    lines = [start, *(f"{name}: {value}" for name, value in headers), "Content-Length: 0"]
    return "\r\n".join(lines) + "\r\n\r\n"


def _parsed(text: str) -> Message:
    """A page's message. Raises Refused."""
    try:
        message = Message.parse(text)
        if not message.status and not message.method:
            raise ValueError("neither a request nor a response")
        for name in _ONCE:
            message.one(name)
        # Without a length, or with another, the switch might take what follows for a message of its own.
        if message.one("content-length") != str(len(message.body.encode())):
            raise ValueError("a body of another length")
        _ = message.cseq
    except ValueError:
        raise Refused("no message") from None
    if {name for name, _ in message.headers} - _FROM_PAGE:
        raise Refused("a header that a page must not send")
    if message.body and not (message.all("content-type") == [sdp.TYPE] and sdp.is_safe(message.body)):
        raise Refused("media that are not a page's own")
    return message
