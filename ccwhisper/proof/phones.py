"""Synthetic phones: they register, call, answer, hold, transfer, press keys, and record every frame with its time.

    with PhoneBank() as bank:
        caller = bank.phone("caller", registrar=None, source=Tone(440))
        agent = bank.phone("agent", registrar=None, source=Tone(1000))
        call = caller.dial(agent.uri).wait("up")
        print(hears(call, {"agent": 1000}))

A bank is one thread, however many phones it has; see `loop`, `rtp` and `sip` for what runs in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Literal
from urllib.parse import quote, unquote

from sipmessage import Request

from ccwhisper.proof.calls import PhoneCall, TelephoneEvent
from ccwhisper.proof.codecs import codec_named
from ccwhisper.proof.dialog import Dialog
from ccwhisper.proof.leg import ALLOW, EndCause, Leg, Referral
from ccwhisper.proof.line import CallEnded, Line, PhoneError, SipRefused, SipTimeout
from ccwhisper.proof.loop import Loop
from ccwhisper.proof.rtp import Keep, Wheel
from ccwhisper.proof.sip import Address, Endpoint, ServerTransaction, response_to, split_address, token, uri_address
from ccwhisper.proof.sources import Silence, Source, frames_of

__all__ = [
    "CallEnded",
    "EndCause",
    "Phone",
    "PhoneBank",
    "PhoneCall",
    "PhoneError",
    "Policy",
    "Referral",
    "SipRefused",
    "SipTimeout",
    "TelephoneEvent",
]

#: What to do with an incoming call: answer it, let it ring, or refuse it with a status such as 486.
Policy = Literal["answer", "ring"] | int


class Phone:
    """One SIP account at one UDP port. Made by `PhoneBank.phone`; methods may be called from any thread."""

    def __init__(self, line: Line, name: str, on_incoming: Policy, answer_delay: float) -> None:
        self.name = name
        #: May be set at any time; a function of the call decides call by call, in the loop's thread.
        self.on_incoming: Policy | Callable[[PhoneCall], Policy] = on_incoming
        #: Seconds of ringing before an automatic answer.
        self.answer_delay = answer_delay
        #: Requests outside of any call that came, such as OPTIONS and NOTIFY.
        self.strays: list[Request] = []
        self._line, self._loop = line, line.loop
        self._legs: dict[tuple[str, str], Leg] = {}
        self._calls: list[PhoneCall] = []
        self._incoming: list[PhoneCall] = []
        line.endpoint.open(self._on_request, self._on_ack)

    def __repr__(self) -> str:
        return f"<Phone {self.name}>"

    @property
    def uri(self) -> str:
        """Where this phone can be called directly: its Contact."""
        return self._line.contact

    @property
    def user(self) -> str:
        """The account's user."""
        return self._line.user

    @property
    def calls(self) -> list[PhoneCall]:
        """Every call so far, the ended ones too, in order."""
        return list(self._calls)

    @property
    def registered(self) -> bool:
        """Whether the last REGISTER was accepted."""
        return self._line.registered

    def register(self, expires: int = 600, timeout: float = 5.0) -> None:
        """Register and keep it fresh; digest MD5. Raises SipRefused or SipTimeout."""
        self._loop.run(lambda: self._line.register(expires)).wait(timeout)

    def unregister(self, timeout: float = 5.0) -> None:
        """Take the registration away."""
        self._loop.run(lambda: self._line.register(0)).wait(timeout)

    def subscribe(self, user: str, expires: int = 600, timeout: float = 5.0) -> str:
        """Have a lamp that shows the state of a user of the registrar's domain: its NOTIFYs come as `strays`. Gives
        back their Call-ID. Raises SipRefused or SipTimeout."""
        accept, call_id = "application/dialog-info+xml", token()
        self._loop.run(lambda: self._line.subscribe(user, "dialog", accept, call_id, expires)).wait(timeout)
        return call_id

    def dial(
        self,
        target: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        *,
        display_name: str | bytes | None = None,
        from_user: str | None = None,
        raw_headers: bytes = b"",
        late_offer: bool = False,
    ) -> PhoneCall:
        """Call a number of the registrar or a SIP URI, and return at once.

        A URI whose host is an address with a port is called directly, anything else through the registrar. A
        `display_name` of bytes is put before the < of From as it is, quotes and all; `raw_headers` are whole lines with
        their CRLF, put last. `late_offer` sends no description and answers the one in the 200.
        """
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        call = self._loop.run(lambda: self._dial(target, pairs, display_name, from_user, raw_headers, late_offer))
        self._calls.append(call)
        return call

    def wait_call(self, timeout: float = 5.0) -> PhoneCall:
        """The next incoming call that was not given out yet; waits for it. Raises TimeoutError."""
        if not self._loop.wait(lambda: bool(self._incoming), timeout):
            raise TimeoutError(f"nobody called {self.name} within {timeout} s")
        return self._incoming.pop(0)

    def forget_calls(self) -> None:
        """Calls that came in and were not waited for are given out no more."""
        self._loop.run(self._incoming.clear)

    # -- in the loop's thread

    def _dial(
        self,
        target: str,
        headers: Sequence[tuple[str, str]],
        display_name: str | bytes | None,
        from_user: str | None,
        raw_headers: bytes,
        late_offer: bool,
    ) -> PhoneCall:
        line = self._line
        uri = target if re.match(r"sips?:", target) else f"sip:{quote(target, safe='+*&$')}@{line.domain}"
        direct = uri_address(uri) if re.search(r":\d+(?:[;?]|$)", uri) else None
        to = direct or line.registrar or uri_address(uri)
        if to is None:
            raise ValueError(f"no way to reach {uri}: it has no address and the phone no registrar")
        sender = f"<sip:{quote(from_user or line.user, safe='+*&$')}@{line.domain}>"
        leg = self._new_leg(Dialog(token(), sender, f"<{uri}>", line.contact, uri, to), incoming=False)
        request = leg.dialog.request("INVITE")
        for name, value in headers:
            request.headers.add(name, value)
        if isinstance(display_name, str):
            escaped = display_name.replace("\\", "\\\\").replace('"', '\\"')
            display_name = f'"{escaped}" '.encode()

        def render(message: Request) -> bytes:
            wire = bytes(message)
            if display_name:
                wire = wire.replace(b"\r\nFrom: <", b"\r\nFrom: " + display_name + b"<", 1)
            if raw_headers:
                head, _, body = wire.partition(b"\r\n\r\n")
                wire = head + b"\r\n" + raw_headers.rstrip(b"\r\n") + b"\r\n\r\n" + body
            return wire

        leg.dial(request, to, render, late_offer)
        return PhoneCall(leg)

    def _new_leg(self, dialog: Dialog, incoming: bool) -> Leg:
        key = (dialog.call_id, dialog.local_tag)
        leg = self._legs[key] = Leg(self._line, dialog, incoming, lambda: self._forget(key))
        leg.on_refer = lambda refer: self._on_refer(leg, refer)
        return leg

    def _forget(self, key: tuple[str, str]) -> None:
        self._legs.pop(key, None)

    def _on_request(self, transaction: ServerTransaction) -> None:
        request = transaction.request
        leg = self._leg_of(request)
        if request.method == "CANCEL":
            invite = self._line.endpoint.invite_of(request)
            code, phrase = (200, "OK") if invite is not None else (481, "Call/Transaction Does Not Exist")
            transaction.respond(response_to(request, code, phrase))
            for ringing in [leg for leg in self._legs.values() if invite is not None and leg.invite is invite.request]:
                ringing.on_cancel(request)
        elif leg is not None:
            leg.on_request(transaction)
        elif split_address(request.headers["To"])[2] is not None and request.method != "NOTIFY":
            transaction.respond(response_to(request, 481, "Call/Transaction Does Not Exist"))
        elif request.method == "INVITE":
            self._on_invite(transaction)
        else:
            self.strays.append(request)
            known = request.method in ("OPTIONS", "NOTIFY", "MESSAGE", "INFO")
            response = response_to(request, *((200, "OK") if known else (405, "Method Not Allowed")), token())
            response.headers.set("Allow", ALLOW)
            transaction.respond(response)
            self._loop.changed()

    def _on_invite(self, transaction: ServerTransaction) -> None:
        invite = transaction.request
        replaced: Leg | None = None
        if (replaces := invite.headers.get("Replaces")) is not None:
            replaced = self._replaced(replaces)
            if replaced is None:
                transaction.respond(response_to(invite, 481, "Call/Transaction Does Not Exist", token()))
                return
        leg = self._new_leg(Dialog.of_invite(invite, self._line.contact, transaction.source), incoming=True)
        leg.replaced = replaced
        leg.on_invite(transaction)
        call = PhoneCall(leg)
        self._calls.append(call)
        self._incoming.append(call)
        policy = self.on_incoming(call) if callable(self.on_incoming) else self.on_incoming
        if replaced is not None:
            leg.answer()
        elif isinstance(policy, int):
            leg.hangup(policy)
        elif policy == "ring" or self.answer_delay > 0:
            leg.ring()
            if policy == "answer":
                self._loop.later(self.answer_delay, leg.answer)
        else:
            leg.answer()
        self._loop.changed()

    def _on_refer(self, leg: Leg, refer: ServerTransaction) -> None:
        # We are the party that is sent elsewhere: call there, and tell the sender how it goes (RFC 3515).
        transfer = split_address(refer.request.headers.get("Refer-To") or "")[1]
        target, _, query = transfer.partition("?")
        headers = [(name, unquote(value)) for name, _, value in (p.partition("=") for p in query.split("&") if p)]
        if not target:
            refer.respond(response_to(refer.request, 400, "Bad Request"))
            return
        accepted = response_to(refer.request, 202, "Accepted")
        accepted.headers.set("Contact", f"<{self.uri}>")
        refer.respond(accepted)
        call = self._dial(target, headers, None, None, b"", late_offer=False)
        self._calls.append(call)
        told: list[str] = []

        def tell() -> None:
            if call.state == "up":
                news, subscription = "200 OK", "terminated;reason=noresource"
            elif call.state == "ended":
                status = call.end_cause.status if call.end_cause else None
                news, subscription = f"{status or 487} Failed", "terminated;reason=noresource"
            else:
                news, subscription = "180 Ringing", "active;expires=60"
            if any(line.startswith("terminated") for line in told):
                return
            told.append(subscription)
            headers = {
                "Event": "refer",
                "Subscription-State": subscription,
                "Content-Type": "message/sipfrag;version=2.0",
            }
            leg.send("NOTIFY", headers.items(), f"SIP/2.0 {news}\r\n".encode())

        call.on_state(tell)

    def _replaced(self, value: str) -> Leg | None:
        call_id, *parameters = [part.strip() for part in value.split(";")]
        tags = dict(parameter.partition("=")[::2] for parameter in parameters)
        leg = self._legs.get((call_id, tags.get("to-tag", "")))
        return leg if leg is not None and leg.dialog.remote_tag == tags.get("from-tag") else None

    def _leg_of(self, request: Request) -> Leg | None:
        return self._legs.get((request.call_id, split_address(request.headers["To"])[2] or ""))

    def _on_ack(self, request: Request) -> None:
        leg = self._leg_of(request)
        if leg is not None:
            leg.on_ack(request)

    def _close(self) -> None:
        for leg in list(self._legs.values()):
            leg.abandon()
        self._line.close()


class PhoneBank:
    """All phones of a test or a load process, in one thread. A context manager: leaving it hangs up everything.

    Leaving raises PhoneError when a callback of a phone failed meanwhile, so that no defect of the phones passes for
    silence.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self._wheel = Wheel()
        self._loop = Loop("phone-bank", self._wheel)
        self._phones: list[Phone] = []
        self._closed = False

    def phone(
        self,
        user: str,
        password: str | None = None,
        domain: str | None = None,
        registrar: Address | None = ("127.0.0.1", 5060),
        *,
        codecs: Sequence[str] = ("PCMU",),
        srtp: bool = False,
        source: Source = Silence(),  # noqa: B008 - frozen
        name: str | None = None,
        auto_answer: bool = True,
        keep: Keep = "frames",
        answer_delay: float = 0.0,
    ) -> Phone:
        """A new phone with a UDP port of its own.

        `domain` defaults to the registrar's host. `keep='drain'` counts packets and keeps none of them. `srtp` offers
        RTP/SAVP with SDES; offers of it are answered in kind by every phone. `answer_delay` is in seconds.
        """
        chosen = tuple(codec_named(codec) for codec in codecs)
        for codec in chosen:
            frames_of(source, codec)
        endpoint = Endpoint(self._loop, self.host)
        line = Line(
            self._loop,
            self._wheel,
            endpoint,
            user=user,
            password=password,
            domain=domain or (registrar[0] if registrar else self.host),
            registrar=registrar,
            codecs=chosen,
            secure=srtp,
            source=source,
            keep=keep,
        )
        phone = Phone(line, name or user, "answer" if auto_answer else "ring", answer_delay)
        self._phones.append(phone)
        return phone

    @property
    def phones(self) -> list[Phone]:
        """Every phone of the bank."""
        return list(self._phones)

    @property
    def worst_lateness_ms(self) -> float:
        """How late the latest packet so far left, against its moment on the clock; up to 1 is normal."""
        return self._wheel.late_ns / 1e6

    @property
    def stumbles(self) -> int:
        """How often packets left more than 10 ms late, which whoever listens may hear as a slip."""
        return self._wheel.stumbles

    @property
    def skipped_frames(self) -> int:
        """Frames that were never sent because the thread was kept from running for more than 200 ms."""
        return self._wheel.skipped

    def close(self) -> None:
        """Hang up every call, free every port, end the thread. Registrations are left to expire."""
        if self._closed:
            return
        self._closed = True
        open_calls = [c for phone in self._phones for c in phone.calls if c.state != "ended"]
        self._loop.run(lambda: _each(call.drop for call in open_calls))
        self._loop.wait(lambda: all(call.parted for call in open_calls), 1.0)
        self._loop.run(lambda: _each(phone._close for phone in self._phones))
        self._loop.close()

    def __enter__(self) -> PhoneBank:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if self._loop.errors and error is None:
            raise PhoneError("a callback of a phone failed") from self._loop.errors[0]


def _each(calls: Iterable[Callable[[], None]]) -> None:
    for call in calls:
        call()
