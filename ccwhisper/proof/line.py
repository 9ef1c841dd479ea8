"""What a phone's calls share: its endpoint, its account, its media settings. And REGISTER (RFC 3261, section 10)."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from sipmessage import URI, CSeq, Request, Response

from ccwhisper.proof.codecs import Codec
from ccwhisper.proof.loop import Loop, Timer
from ccwhisper.proof.rtp import Keep, RtpStream, Wheel
from ccwhisper.proof.sip import (
    Address,
    Challenge,
    ClientTransaction,
    Endpoint,
    OnResponse,
    token,
)
from ccwhisper.proof.sources import Source


class PhoneError(Exception):
    """Something that a phone was asked to do did not happen.

    PhoneError
    ├── SipRefused    the other side said no
    ├── SipTimeout    the other side said nothing
    └── CallEnded     the call ended while something else was waited for
    """


class SipRefused(PhoneError):
    """A final response of 300 or more; `status` and `phrase` are its own."""

    def __init__(self, method: str, status: int, phrase: str) -> None:
        super().__init__(f"{method}: {status} {phrase}")
        self.method, self.status, self.phrase = method, status, phrase


class SipTimeout(PhoneError):
    """No final response in time."""


class CallEnded(PhoneError):
    """The call ended while another state of it was waited for."""


class Outcome:
    """The final response to a request, to be waited for; `response` is None when none came in 32 s."""

    def __init__(self, loop: Loop, method: str) -> None:
        self._loop, self._method = loop, method
        self.done = False
        self.response: Response | None = None

    def take(self, response: Response | None) -> None:
        """For `transact`: ignores provisional responses."""
        if response is None or response.code >= 200:
            self.done, self.response = True, response
            self._loop.changed()

    def wait(self, timeout: float) -> Response:
        """The response when it is a 2xx. Raises SipRefused or SipTimeout."""
        if not self._loop.wait(lambda: self.done, timeout) or self.response is None:
            raise SipTimeout(f"no answer to {self._method}")
        if self.response.code >= 300:
            raise SipRefused(self._method, self.response.code, self.response.phrase)
        return self.response


@dataclass
class Exchange:
    """A request with all its attempts; `transaction` is the present one."""

    transaction: ClientTransaction


class Line:
    """One account at one UDP port. Everything runs in the loop's thread, but for the constructor."""

    def __init__(
        self,
        loop: Loop,
        wheel: Wheel,
        endpoint: Endpoint,
        *,
        user: str,
        password: str | None,
        domain: str,
        registrar: Address | None,
        codecs: tuple[Codec, ...],
        secure: bool,
        source: Source,
        keep: Keep,
    ) -> None:
        self.loop, self.wheel, self.endpoint = loop, wheel, endpoint
        self.user, self.password, self.domain, self.registrar = user, password, domain, registrar
        self.codecs, self.secure, self.source, self.keep = codecs, secure, source, keep
        self.contact = str(URI("sip", endpoint.host, user, None, endpoint.port))
        self.registered = False
        self._register_id = token()
        self._register_tag = token()
        self._register_cseq = 0
        self._challenge: Challenge | None = None
        self._refresh: Timer | None = None

    def stream(self) -> RtpStream:
        """A new RTP port that will say what this phone says."""
        return RtpStream(self.loop, self.wheel, self.endpoint.host, self.source, self.keep)

    def transact(
        self,
        request: Request,
        to: Address,
        on_response: OnResponse,
        next_cseq: Callable[[], int],
        render: Callable[[Request], bytes] = bytes,
        on_challenge: Callable[[Challenge], None] | None = None,
    ) -> Exchange:
        """Send a request and answer its challenges: the first, and later ones when they say that the nonce is stale."""
        attempts = 0
        present = request

        def take(response: Response | None) -> None:
            nonlocal attempts, present
            if response is not None and response.code in (401, 407) and self.password is not None:
                challenge = Challenge.of(response)
                if challenge is not None and attempts < 3 and (not attempts or challenge.stale):
                    attempts += 1
                    if on_challenge is not None:
                        on_challenge(challenge)
                    present = copy.deepcopy(present)
                    present.cseq = CSeq(next_cseq(), present.method)
                    challenge.answer(present, self.user, self.password)
                    exchange.transaction = self.endpoint.request(present, to, take, render)
                    return
            on_response(response)

        exchange = Exchange(self.endpoint.request(present, to, take, render))
        return exchange

    def register(self, expires: int) -> Outcome:
        """Register for `expires` seconds (0 takes the registration away) and keep it fresh at half of that time."""
        if self.registrar is None:
            raise ValueError("this phone has no registrar")
        if self._refresh is not None:
            self._refresh.cancel()
        outcome = Outcome(self.loop, "REGISTER")
        request = Request("REGISTER", URI("sip", self.domain))
        request.max_forwards = 70
        me = str(URI("sip", self.domain, self.user))
        request.headers.add("From", f"<{me}>;tag={self._register_tag}")
        request.headers.add("To", f"<{me}>")
        request.headers.add("Call-ID", self._register_id)
        request.cseq = CSeq(self._next_register(), "REGISTER")
        request.headers.add("Contact", f"<{self.contact}>")
        request.expires = expires
        request.headers.add("User-Agent", "ccwhisper-proof")
        if (
            self._challenge is not None and self.password is not None
        ):  # the nonce of last time; if it is stale we hear so
            self._challenge.answer(request, self.user, self.password)

        def remember(challenge: Challenge) -> None:
            self._challenge = challenge

        def take(response: Response | None) -> None:
            if response is not None and response.code < 200:
                return
            self.registered = response is not None and response.code < 300 and expires > 0
            if response is None or response.code >= 300:
                self._challenge = None
            elif expires:
                self._refresh = self.loop.later(expires / 2, lambda: self._again(expires))
            outcome.take(response)

        self.transact(request, self.registrar, take, self._next_register, on_challenge=remember)
        return outcome

    def subscribe(self, user: str, event: str, accept: str, call_id: str, expires: int) -> Outcome:
        """Subscribe to what a user of the registrar's domain does (RFC 6665), once: nothing keeps it fresh."""
        if self.registrar is None:
            raise ValueError("this phone has no registrar")
        outcome = Outcome(self.loop, "SUBSCRIBE")
        request = Request("SUBSCRIBE", URI("sip", self.domain, user))
        request.max_forwards = 70
        request.headers.add("From", f"<{URI('sip', self.domain, self.user)}>;tag={token()}")
        request.headers.add("To", f"<{URI('sip', self.domain, user)}>")
        request.headers.add("Call-ID", call_id)
        numbers = itertools.count(1)
        request.cseq = CSeq(next(numbers), "SUBSCRIBE")
        request.headers.add("Contact", f"<{self.contact}>")
        request.headers.add("Event", event)
        request.headers.add("Accept", accept)
        request.expires = expires
        self.transact(request, self.registrar, outcome.take, lambda: next(numbers))
        return outcome

    def _again(self, expires: int) -> None:
        self.register(expires)

    def close(self) -> None:
        """Stop refreshing and free the SIP port."""
        if self._refresh is not None:
            self._refresh.cancel()
        self.endpoint.close()

    def _next_register(self) -> int:
        self._register_cseq += 1
        return self._register_cseq
