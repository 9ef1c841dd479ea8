"""SIP over UDP for synthetic phones: messages, transactions (RFC 3261, section 17) and digest answers (RFC 2617, 3261).

`Endpoint` is one UDP socket with its transactions. It knows nothing of calls: it resends, matches and absorbs, and
hands new requests to its owner and responses to whoever asked. It runs in the loop's thread.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace

from sipmessage import URI, AuthCredentials, AuthParameters, CSeq, Message, Parameters, Request, Response, Via

from ccwhisper.proof.loop import Loop, Timer

Address = tuple[str, int]
OnResponse = Callable[[Response | None], None]

T1, T2 = 0.5, 4.0
GIVE_UP = 64 * T1

_AUTH_PARAMETER = re.compile(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


def parse(data: bytes) -> Request | Response:
    """Read a message as it came from the wire. Raises ValueError when it is none.

    The head may be folded and may hold bytes that are not UTF-8 (a hostile display name): those become Latin-1
    characters.
    """
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        raise ValueError("no end of headers")
    head = re.sub(rb"\r\n[ \t]+", b" ", head)
    try:
        head.decode()
    except UnicodeDecodeError:
        head = head.decode("latin-1").encode()
    message = Message.parse(head + separator + body)
    length = message.content_length
    if length is not None:
        message.body = message.body[:length]
    return message


def token() -> str:
    """A random word for tags, branches and call ids."""
    return secrets.token_hex(8)


def split_address(value: str) -> tuple[str, str, str | None]:
    """Display name, URI and tag of a From, To or Contact header; forgiving, as hostile names pass through here."""
    display, bracket, rest = value.rpartition("<")
    if bracket:
        uri, _, parameters = rest.partition(">")
    else:
        display, (uri, _, parameters) = "", value.partition(";")
    tag = re.search(r"(?:^|;)\s*tag\s*=\s*([^;\s]+)", parameters)
    name = display.strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    return name, uri.strip(), tag[1] if tag else None


def uri_address(uri: str) -> Address | None:
    """Where to send for a SIP URI, when its host is an IPv4 address; phones here do no DNS."""
    try:
        parsed = URI.parse(uri)
        socket.inet_aton(parsed.host)
    except (ValueError, OSError):
        return None
    return parsed.host, parsed.port or 5060


def response_to(request: Request, code: int, phrase: str, tag: str | None = None) -> Response:
    """A response with the headers that RFC 3261, section 8.2.6 repeats; `tag` is put on To when it has none."""
    response = Response(code, phrase)
    for name in ("Via", "Record-Route", "From", "To", "Call-ID", "CSeq"):
        for value in request.headers.getlist(name):
            if name == "To" and tag is not None and split_address(value)[2] is None:
                value = f"{value};tag={tag}"  # noqa: PLW2901 - it is the same header
            response.headers.add(name, value)
    return response


@dataclass
class Challenge:
    """A digest challenge (RFC 2617) and how often its nonce was used."""

    realm: str
    nonce: str
    qop: str | None
    opaque: str | None
    stale: bool
    header: str
    count: int = 0

    @staticmethod
    def of(response: Response) -> Challenge | None:
        """The challenge of a 401 or 407, or None when it holds none that we can answer (MD5, qop auth or none)."""
        proxy = response.code == 407
        for value in response.headers.getlist("Proxy-Authenticate" if proxy else "WWW-Authenticate"):
            scheme, _, rest = value.partition(" ")
            found = {m[1].lower(): m[2] if m[2] is not None else m[3] for m in _AUTH_PARAMETER.finditer(rest)}
            offered = [word.strip() for word in found.get("qop", "").split(",") if word.strip()]
            if scheme.lower() != "digest" or "nonce" not in found or found.get("algorithm", "MD5").upper() != "MD5":
                continue
            if offered and "auth" not in offered:
                continue
            return Challenge(
                found.get("realm", ""),
                found["nonce"],
                "auth" if offered else None,
                found.get("opaque"),
                found.get("stale", "").lower() == "true",
                "Proxy-Authorization" if proxy else "Authorization",
            )
        return None

    def answer(self, request: Request, user: str, password: str) -> None:
        """Put credentials for this challenge on a request."""
        self.count += 1
        uri = str(request.uri)
        secret = _md5(f"{user}:{self.realm}:{password}")
        what = _md5(f"{request.method}:{uri}")
        fields = {"username": user, "realm": self.realm, "nonce": self.nonce, "uri": uri, "algorithm": "MD5"}
        if self.qop:
            count, cnonce = f"{self.count:08x}", token()
            fields |= {"qop": self.qop, "nc": count, "cnonce": cnonce}
            fields["response"] = _md5(f"{secret}:{self.nonce}:{count}:{cnonce}:{self.qop}:{what}")
        else:
            fields["response"] = _md5(f"{secret}:{self.nonce}:{what}")
        if self.opaque is not None:
            fields["opaque"] = self.opaque
        request.headers.set(self.header, str(AuthCredentials("Digest", AuthParameters(**fields))))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class ClientTransaction:
    """A request on its way: resent until something answers, given up after 32 s."""

    def __init__(self, endpoint: Endpoint, request: Request, wire: bytes, to: Address, on_response: OnResponse) -> None:
        self.request, self.to = request, to
        self._endpoint, self._wire, self._on_response = endpoint, wire, on_response
        self._invite = request.method == "INVITE"
        self._interval, self._spent = T1, 0.0
        self.provisional = self.final = False
        self._ack: bytes | None = None
        self.send()

    def send(self) -> None:
        """Send, and again later (timers A, B, E, F)."""
        if self.final or (self._invite and self.provisional):
            return
        if self._spent >= GIVE_UP:
            self.final = True
            self._endpoint.forget(self)
            self._on_response(None)
            return
        self._endpoint.send(self._wire, self.to)
        self._endpoint.loop.later(self._interval, self.send)
        self._spent += self._interval
        self._interval = self._interval * 2 if self._invite else min(self._interval * 2, T2)

    def receive(self, response: Response) -> None:
        """Take a response. A repeated 2xx to INVITE is handed on again: its ACK belongs to the dialog."""
        if response.code < 200:
            self.provisional = True
            if not self.final:
                self._on_response(response)
            return
        again, self.final = self.final, True
        if not again:
            self._endpoint.loop.later(GIVE_UP, lambda: self._endpoint.forget(self))
        if self._invite and response.code >= 300:
            self._endpoint.send(self._non_2xx_ack(response), self.to)
        if not again or (self._invite and response.code < 300):
            self._on_response(response)

    def _non_2xx_ack(self, response: Response) -> bytes:
        if self._ack is None:
            ack = Request("ACK", self.request.uri)
            ack.headers.add("Via", self.request.headers["Via"])
            for name in ("Max-Forwards", "Route", "From", "Call-ID"):
                for value in self.request.headers.getlist(name):
                    ack.headers.add(name, value)
            ack.headers.set("To", response.headers["To"])
            ack.cseq = replace(self.request.cseq, method="ACK")
            ack.content_length = 0
            self._ack = bytes(ack)
        return self._ack


class ServerTransaction:
    """A request that came: `respond` answers it, and a repetition of it gets the last answer again."""

    def __init__(self, endpoint: Endpoint, request: Request, source: Address) -> None:
        self.request, self.source = request, source
        self.final = False
        self._endpoint = endpoint
        self._wire: bytes | None = None
        self._timer: Timer | None = None

    def respond(self, response: Response) -> None:
        """Send a response; a final one to INVITE is repeated until `confirm` (timers G and H)."""
        if self.final:
            return
        if response.content_length is None:
            response.content_length = len(response.body)
        self._wire = bytes(response)
        self._endpoint.send(self._wire, self.source)
        if response.code >= 200:
            self.final = True
            self._endpoint.loop.later(GIVE_UP, lambda: self._endpoint.forget(self))
            if self.request.method == "INVITE":
                self._repeat(T1, T1)

    def _repeat(self, interval: float, spent: float) -> None:
        def again() -> None:
            self.resend()
            self._repeat(min(interval * 2, T2), spent + interval)

        self._timer = self._endpoint.loop.later(interval, again) if spent < GIVE_UP else None

    def resend(self) -> None:
        """The peer asked again: so answer again."""
        if self._wire is not None:
            self._endpoint.send(self._wire, self.source)

    def confirm(self) -> None:
        """The ACK has come."""
        if self._timer is not None:
            self._timer.cancel()


class Endpoint:
    """One UDP socket with its transactions.

    It is deaf until `open` has told it who gets what comes.
    """

    def __init__(self, loop: Loop, host: str) -> None:
        self.loop = loop
        self._on_request: Callable[[ServerTransaction], None] = lambda _: None
        self._on_ack: Callable[[Request], None] = lambda _: None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.setblocking(False)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self._clients: dict[tuple[str, str], ClientTransaction] = {}
        self._servers: dict[tuple[str, str], ServerTransaction] = {}

    def open(self, on_request: Callable[[ServerTransaction], None], on_ack: Callable[[Request], None]) -> None:
        """Listen: `on_request` gets each new request, `on_ack` each ACK to a 2xx. From any thread."""
        self._on_request, self._on_ack = on_request, on_ack
        self.loop.run(lambda: self.loop.add_reader(self._socket.fileno(), self._receive))

    def request(
        self, request: Request, to: Address, on_response: OnResponse, render: Callable[[Request], bytes] = bytes
    ) -> ClientTransaction:
        """Send a request with a Via of its own. `on_response(None)` means that nobody answered for 32 s."""
        request.via = [self.via()]
        request.content_length = len(request.body)
        transaction = ClientTransaction(self, request, render(request), to, on_response)
        self._clients[_key(request)] = transaction
        return transaction

    def via(self, branch: str | None = None) -> Via:
        """Our Via, with a new branch when none is given."""
        return Via("UDP", self.host, self.port, Parameters(rport=None, branch=branch or "z9hG4bK" + token()))

    def cancel(self, invite: ClientTransaction) -> None:
        """Send CANCEL for an INVITE (RFC 3261, section 9.1)."""
        cancel = Request("CANCEL", invite.request.uri)
        for name in ("Max-Forwards", "Route", "From", "To", "Call-ID"):
            for value in invite.request.headers.getlist(name):
                cancel.headers.add(name, value)
        cancel.headers.set("Via", invite.request.headers["Via"])
        cancel.cseq = CSeq(invite.request.cseq.sequence, "CANCEL")
        cancel.content_length = 0
        self._clients[_key(cancel)] = ClientTransaction(self, cancel, bytes(cancel), invite.to, lambda _: None)

    def invite_of(self, cancel: Request) -> ServerTransaction | None:
        """The INVITE that a CANCEL means."""
        return self._servers.get((_key(cancel)[0], "INVITE"))

    def send(self, wire: bytes, to: Address) -> None:
        """Send bytes; a peer that is not there is found out by the timers."""
        try:
            self._socket.sendto(wire, to)
        except OSError:
            return

    def forget(self, transaction: ClientTransaction | ServerTransaction) -> None:
        """Drop a finished transaction."""
        key = _key(transaction.request)
        if isinstance(transaction, ClientTransaction):
            self._clients.pop(key, None)
        else:
            self._servers.pop(key, None)

    def close(self) -> None:
        """Free the port."""
        self.loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _receive(self) -> None:
        try:
            data, source = self._socket.recvfrom(65535)
        except OSError:
            return
        if len(data) < 16:  # keep-alives
            return
        try:
            message = parse(data)
            key = _key(message)
        except (ValueError, KeyError, IndexError):
            return
        if any(message.headers.get(name) is None for name in ("From", "To", "Call-ID")):
            return
        if isinstance(message, Response):
            client = self._clients.get(key)
            if client is not None:
                client.receive(message)
            return
        if message.method == "ACK":
            server = self._servers.get((key[0], "INVITE"))
            if server is not None:
                server.confirm()
            else:
                self._on_ack(message)
            return
        server = self._servers.get(key)
        if server is not None:
            server.resend()
            return
        server = self._servers[key] = ServerTransaction(self, message, source)
        self._on_request(server)


def _key(message: Request | Response) -> tuple[str, str]:
    return message.via[0].parameters.get("branch") or "", message.cseq.method
