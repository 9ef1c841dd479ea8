"""The Event Socket, server side, without I/O: bytes in, bytes out. Wordings are those of mod_event_socket.c."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Protocol
from urllib.parse import quote

BANNER: Final = b"Content-Type: auth/request\nX-Switch: ccwhisper simulator, not for production\n\n"
_FAREWELL: Final = b"The simulator has hung up.\n"
GOODBYE: Final = b"Content-Type: text/disconnect-notice\nContent-Length: %d\n\n%b" % (len(_FAREWELL), _FAREWELL)
MAX_REQUEST: Final = 10 * 1024 * 1024
_SAFE: Final = "!$'()*,/-._~"
_BORDER: Final = re.compile(rb"\r?\n\r?\n")


class Broken(Exception):
    """A client that cannot be understood; the connection is closed."""


@dataclass(frozen=True, slots=True)
class Request:
    """A command line, its headers as they were written, and its body."""

    line: str
    headers: Mapping[str, str]
    body: str = ""

    def get(self, name: str) -> str:
        """A header, whatever its case; empty when there is none."""
        return next((value for key, value in self.headers.items() if key.lower() == name), "")


class Splitter:
    """Cuts what a client sends into requests."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Request]:
        """The requests that these bytes complete. Raises Broken."""
        self._buffer += data
        found = []
        while (request := self._cut()) is not None:
            if request.line:
                found.append(request)
        if len(self._buffer) > MAX_REQUEST:
            raise Broken("a request is too long")
        return found

    def _cut(self) -> Request | None:
        self._buffer = self._buffer.lstrip(b"\r\n")
        border = _BORDER.search(self._buffer)
        if border is None:
            return None
        rest = self._buffer[border.end() :]
        line, *more = self._buffer[: border.start()].decode("utf-8", "replace").split("\n")
        headers = {}
        for each in more:
            name, colon, value = each.partition(":")
            if colon:
                headers[name.strip()] = value.strip()
        request = Request(line.strip(), headers)
        length = request.get("content-length") or "0"
        if not length.isascii() or not length.isdigit():
            raise Broken("Content-Length is not a number")
        if len(rest) < int(length):
            return None
        self._buffer = rest[int(length) :]
        return replace(request, body=rest[: int(length)].decode("utf-8", "replace"))


@dataclass(frozen=True)
class Event:
    """An event on its way to listeners; each format is written once, however many they are."""

    name: str
    headers: Mapping[str, str]
    body: str = ""

    @property
    def subclass(self) -> str:
        """Event-Subclass of a CUSTOM event."""
        return self.headers.get("Event-Subclass", "")

    @cached_property
    def json(self) -> bytes:
        """As ``text/event-json``."""
        document = dict(self.headers)
        if self.body:
            document |= {"Content-Length": str(len(self.body.encode())), "_body": self.body}
        return _frame("text/event-json", json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))

    @cached_property
    def plain(self) -> bytes:
        """As ``text/event-plain``."""
        text = self.body.encode("utf-8", "replace")
        length = f"Content-Length: {len(text)}\n" if text else ""
        return _frame("text/event-plain", f"{plain_headers(self.headers)}{length}\n".encode() + text)


def plain_headers(headers: Mapping[str, str]) -> str:
    """One a line, values url-encoded (``switch_event_serialize``)."""
    return "".join(f"{name}: {quote(value, safe=_SAFE)}\n" for name, value in headers.items())


def _frame(kind: str, content: bytes) -> bytes:
    return f"Content-Length: {len(content)}\nContent-Type: {kind}\n\n".encode() + content


class Host(Protocol):
    """What a conversation asks of the switch behind it."""

    def api(self, line: str, done: Callable[[str], object]) -> None:
        """Run an api command; ``done`` is called with its output, at once or later."""

    def background(self, line: str, job: str) -> None:
        """Run an api command; its output comes as BACKGROUND_JOB."""

    def send_event(self, name: str, request: Request) -> str:
        """Raise an event, or hand it to a leg. Returns its uuid."""

    def send_message(self, leg: str, request: Request) -> str:
        """Queue a call command to a leg. Returns the reply."""

    def uuid(self) -> str:
        """A fresh uuid."""


class Conversation:
    """One client. ``send`` takes bytes for it, ``close`` is called when it is to be hung up on."""

    def __init__(self, host: Host, password: str, send: Callable[[bytes], object], close: Callable[[], object]) -> None:
        self._host, self._password = host, password
        self._send, self._close = send, close
        self._splitter = Splitter()
        self._waiting: deque[Request] = deque()
        self._busy = False
        self._working = False
        self.authorised = False
        self._json = False
        self._names: set[str] = set()
        self._subclasses: set[str] = set()
        self._all = False
        self._not: set[str] = set()
        self._filters: list[tuple[str, str]] = []
        send(BANNER)

    # --- events -------------------------------------------------------------------------------------------------------

    def wants(self, name: str, subclass: str) -> bool:
        """Whether events of this kind are subscribed to."""
        if name in self._not or subclass in self._not:
            return False
        if name == "CUSTOM":
            return self._all or subclass in self._subclasses
        return self._all or name in self._names

    def deliver(self, event: Event) -> None:
        """Send an event, if it is wanted."""
        if not self.wants(event.name, event.subclass):
            return
        if self._filters and not any(self._passes(event, *each) for each in self._filters):
            return
        self._send(event.json if self._json else event.plain)

    @staticmethod
    def _passes(event: Event, name: str, value: str) -> bool:
        # Whatever the case of either (event_handler); of its patterns and negations there are none here.
        wanted = name.lower(), value.lower()
        return any((key.lower(), text.lower()) == wanted for key, text in event.headers.items())

    # --- requests -----------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take bytes from the client."""
        try:
            self._waiting.extend(self._splitter.feed(data))
        except Broken:
            self._close()
            return
        self._work()

    def _work(self) -> None:
        if self._working:
            return  # an answer that came at once; the loop below goes on
        self._working = True
        try:
            while self._waiting and not self._busy:
                self._handle(self._waiting.popleft())
        finally:
            self._working = False

    def _handle(self, request: Request) -> None:
        verb, _, rest = request.line.partition(" ")
        verb = verb.lower()
        rest = rest.strip()
        if verb == "exit" or verb.startswith("..."):
            self._leave("+OK bye")
        elif not self.authorised:
            self._authenticate(verb, rest)
        elif verb == "api":
            self._busy = True
            self._host.api(rest, self._answer)
        elif verb == "bgapi":
            job = request.get("job-uuid") or self._host.uuid()
            self._send(f"Content-Type: command/reply\nReply-Text: +OK Job-UUID: {job}\nJob-UUID: {job}\n\n".encode())
            self._host.background(rest, job)
        elif verb == "sendevent":
            self._reply(f"+OK {self._host.send_event(rest, request)}")
        elif verb == "sendmsg":
            self._reply(self._host.send_message(rest or request.get("session-id"), request))
        elif verb in ("linger", "nolinger"):  # for sockets that the switch opens; here it never does
            self._reply("-ERR not controlling a session")
        else:
            self._reply(self._subscribe(verb, rest))

    def _leave(self, last: str) -> None:
        self._reply(last)
        self._send(GOODBYE)
        self._close()

    def _authenticate(self, verb: str, word: str) -> None:
        if verb == "auth" and word == self._password:
            self.authorised = True
            self._reply("+OK accepted")
        elif verb == "auth":
            self._leave("-ERR invalid")
        else:
            self._reply("-ERR command not found")

    def _answer(self, output: str) -> None:
        content = (output or "-ERR no reply\n").encode("utf-8", "replace")
        self._send(f"Content-Type: api/response\nContent-Length: {len(content)}\n\n".encode() + content)
        self._busy = False
        self._work()

    def _reply(self, text: str) -> None:
        self._send(f"Content-Type: command/reply\nReply-Text: {text}\n\n".encode())

    def _subscribe(self, verb: str, rest: str) -> str:
        words = rest.split()
        if verb == "event":
            return self._event(words)
        if verb == "nixevent" and words:
            return self._nix(words)
        if verb == "noevents":
            self._names, self._subclasses, self._all, self._not = set(), set(), False, set()
            return "+OK no longer listening for events"
        if verb == "filter":
            return self._filter(words)
        return "-ERR command not found"

    def _event(self, words: list[str]) -> str:
        if words and words[0].lower() in ("plain", "json"):
            self._json = words.pop(0).lower() == "json"
        elif words and words[0].lower() == "xml":
            return "-ERR events as xml are not simulated"
        known = [word.upper() for word in words]
        if not known:
            return "-ERR no keywords supplied"
        for at, word in enumerate(known):
            self._not.discard(word)
            if word == "ALL":
                self._all = True
            elif word == "CUSTOM":  # what stands behind it are subclasses (parse_command)
                self._subclasses.update(words[at + 1 :])
                self._not.difference_update(words[at + 1 :])
                break
            else:
                self._names.add(word)
        return f"+OK event listener enabled {'json' if self._json else 'plain'}"

    def _nix(self, words: list[str]) -> str:
        for at, word in enumerate(words):
            if word.upper() == "CUSTOM":
                self._subclasses.difference_update(words[at + 1 :])
                self._not.update(words[at + 1 :])
                break
            self._names.discard(word.upper())
            self._not.add(word.upper())
        return "+OK events nixed"

    def _filter(self, words: list[str]) -> str:
        if words and words[0].lower() == "delete":
            gone = tuple(words[1:3])
            self._filters = [each for each in self._filters if gone != ("all",) and each[: len(gone)] != gone]
            return f"+OK filter deleted. [{words[1] if len(words) > 1 else ''}][{words[2] if len(words) > 2 else ''}]"
        if len(words) < 2:
            return "-ERR invalid syntax"
        self._filters.append((words[0], " ".join(words[1:])))
        return f"+OK filter added. [{words[0]}]=[{self._filters[-1][1]}]"
