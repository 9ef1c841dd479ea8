"""The signalling of one call: INVITE in both directions, offers and answers, hold, REFER (RFC 3261, 3264, 3515, 3891).

A `Leg` is a state machine that lives in the loop's thread; `calls.PhoneCall` is the door to it for other threads.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from sipmessage import Request, Response

from ccwhisper.proof import sdp
from ccwhisper.proof.codecs import Codec
from ccwhisper.proof.dialog import Dialog
from ccwhisper.proof.line import Exchange, Line, Outcome
from ccwhisper.proof.sip import Address, ServerTransaction, response_to
from ccwhisper.proof.sources import Source

State = Literal["calling", "ringing", "up", "held", "ended"]

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, REFER, NOTIFY, MESSAGE"


@dataclass(frozen=True)
class EndCause:
    """Why a call ended: the `status` that refused it (None after an answered call), the `reason` of a Reason header."""

    by: Literal["local", "remote"]
    status: int | None = None
    reason: str | None = None


@dataclass
class Referral:
    """How a transfer went: the status of the answer to REFER, and the statuses of the new call as NOTIFY told them."""

    accepted: int | None = None
    progress: list[int] = field(default_factory=list)
    done: bool = False

    @property
    def status(self) -> int | None:
        """The last status heard of the new call; None when nothing was."""
        return self.progress[-1] if self.progress else None


class Leg:
    """One call of one phone."""

    def __init__(self, line: Line, dialog: Dialog, incoming: bool, forget: Callable[[], None]) -> None:
        self.line, self.dialog, self.incoming = line, dialog, incoming
        self.state: State = "ringing" if incoming else "calling"
        self.was_ringing = incoming
        self.media = line.stream()
        self.codecs: tuple[Codec, ...] = line.codecs
        self.remote: sdp.Description | None = None
        self.direction: sdp.Direction = "sendrecv"
        self.held_by_us = self.held_by_them = False
        self.music: Source | None = None
        self.hold_as: sdp.Direction = "sendonly"
        self.end_cause: EndCause | None = None
        self.invite: Request | None = None
        self.answer_response: Response | None = None
        self.requests: list[Request] = []
        self.referral: Referral | None = None
        self.replaced: Leg | None = None
        self.on_refer: Callable[[ServerTransaction], None] = lambda refer: refer.respond(
            response_to(refer.request, 603, "Decline")
        )
        self.on_state: Callable[[], None] = lambda: None
        self._forget = forget
        self._key = secrets.token_bytes(30) if line.secure else None
        self._session, self._version = secrets.randbelow(1 << 31), 0
        self._exchange: Exchange | None = None
        self._cancelled = False
        self._server: ServerTransaction | None = None  # the unanswered INVITE, then the one whose ACK is awaited
        self._late_offer = False
        self._offering = False

    # -- our requests

    def dial(self, request: Request, to: Address, render: Callable[[Request], bytes], late_offer: bool) -> None:
        """Send the INVITE that was prepared."""
        self.invite = request
        self._late_offer = late_offer
        if not late_offer:
            self._put(request, self._offer("sendrecv"))
        self._exchange = self.line.transact(request, to, self._on_invite_response, self._next_cseq, render)

    def hangup(self, status: int) -> Outcome:
        """End the call as its state demands: BYE, CANCEL, or `status` to the INVITE that still rings."""
        method = "BYE" if self.state in ("up", "held") else "CANCEL"
        outcome = Outcome(self.line.loop, method)
        if self.state in ("up", "held"):
            bye = self.dialog.request("BYE")
            self.line.transact(bye, self.dialog.next_hop(), outcome.take, self._next_cseq)
            self._end(EndCause("local"))
            return outcome
        if self.state == "ringing" and self.incoming:
            self._reject(status)
        elif self.state != "ended" and not self._cancelled:
            self._cancelled = True
            if self._exchange is not None and self._exchange.transaction.provisional:
                self.line.endpoint.cancel(self._exchange.transaction)
        outcome.take(Response(200, "OK"))
        return outcome

    def offer(self, outcome: Outcome, attempts: int = 3) -> None:
        """Send a re-INVITE with our present codecs and hold; again after a moment when both did so at once (491)."""
        request = self.dialog.request("INVITE")
        direction = self._wanted
        self._put(request, self._offer(direction))
        self._offering = True

        def take(response: Response | None) -> None:
            if response is not None and response.code < 200:
                return
            self._offering = False
            if response is not None and response.code == 491 and attempts > 1:
                self.line.loop.later(0.2 + secrets.randbelow(20) / 10, lambda: self.offer(outcome, attempts - 1))
                return
            if response is not None and response.code < 300:
                self._ack(response)
                self.dialog.learn(response)
                if not outcome.done and self.state != "ended":
                    self._take_answer(response.body, direction)
            outcome.take(response)

        self.line.transact(request, self.dialog.next_hop(), take, self._next_cseq)

    def send(self, method: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Outcome:
        """Send any other request within the dialog."""
        outcome = Outcome(self.line.loop, method)
        request = self.dialog.request(method)
        for name, value in headers:
            request.headers.set(name, value)
        request.body = body
        self.line.transact(request, self.dialog.next_hop(), outcome.take, self._next_cseq)
        return outcome

    def refer(self, target: str) -> tuple[Referral, Outcome]:
        """Ask the other end to call `target`, which may carry a Replaces header."""
        self.referral = Referral()
        headers = [("Refer-To", f"<{target}>"), ("Referred-By", f"<{self.line.contact}>")]
        return self.referral, self.send("REFER", headers)

    # -- our answers

    def ring(self) -> None:
        """Answer 180."""
        self._respond(180, "Ringing")

    def progress(self) -> None:
        """Answer 183 with a description and send already: early media."""
        if self._server is not None and self.state == "ringing":
            body = self._answer_to(self._server.request.body)
            if body is not None:
                self._respond(183, "Session Progress", body)
                self._flow()

    def answer(self) -> None:
        """Answer 200 with a description; no codec in common answers 488 and ends the call."""
        if self._server is None or self.state != "ringing":
            return
        body = self._answer_to(self._server.request.body)
        if body is None:
            self._reject(488)
            return
        self._respond(200, "OK", body)
        self._change("up")
        if self.replaced is not None:
            self.replaced.hangup(603)

    def on_request(self, transaction: ServerTransaction) -> None:
        """Take a request within the dialog."""
        request = transaction.request
        self.dialog.peer = transaction.source
        self.requests.append(request)
        match request.method:
            case "BYE":
                self._answer_plainly(transaction)
                self._end(EndCause("remote", None, request.headers.get("Reason")))
            case "INVITE" | "UPDATE":
                self._on_offer(transaction)
            case "REFER" if self.state != "ended":
                self.on_refer(transaction)
            case "NOTIFY":
                self._answer_plainly(transaction)
                self._on_notify(request)
            case "INFO" | "OPTIONS" | "MESSAGE" if self.state != "ended":
                self._answer_plainly(transaction)
            case _ if self.state == "ended":
                transaction.respond(response_to(request, 481, "Call/Transaction Does Not Exist"))
            case _:
                transaction.respond(response_to(request, 501, "Not Implemented"))
        self.line.loop.changed()

    def on_invite(self, transaction: ServerTransaction) -> None:
        """Take the INVITE that made this leg."""
        self._server, self.invite = transaction, transaction.request

    def on_ack(self, request: Request) -> None:
        """Take the ACK to our 2xx; it holds the answer when the INVITE had no offer."""
        if self._server is not None:
            self._server.confirm()
            self._server = None
        if self._late_offer and request.body and self.state != "ended":
            self._late_offer = False
            self._take_answer(request.body, "sendrecv")

    def on_cancel(self, cancel: Request) -> None:
        """Take CANCEL for the INVITE that rings."""
        if self.state == "ringing" and self.incoming:
            self._respond(487, "Request Terminated")
            self._end(EndCause("remote", 487, cancel.headers.get("Reason")))

    def abandon(self) -> None:
        """End without a word, when the bank closes."""
        if self.state != "ended":
            self._end(EndCause("local"))

    # -- within

    @property
    def _wanted(self) -> sdp.Direction:
        return self.hold_as if self.held_by_us else "sendrecv"

    def _on_invite_response(self, response: Response | None) -> None:
        if response is None:
            self._end(EndCause("remote", 408))
        elif response.code < 200:
            if self._cancelled and self._exchange is not None:
                self.line.endpoint.cancel(self._exchange.transaction)
            elif response.code > 100 and self.state != "ended":
                self.dialog.learn(response)
                if response.body and not self._late_offer:
                    self._take_answer(response.body, "sendrecv")
                self.was_ringing = True
                self._change("ringing")
        elif response.code < 300:
            self._on_answered(response)
        elif self.state != "ended":
            by: Literal["local", "remote"] = "local" if self._cancelled and response.code == 487 else "remote"
            self._end(EndCause(by, response.code, response.headers.get("Reason")))

    def _on_answered(self, response: Response) -> None:
        again, self.answer_response = self.answer_response is not None, response
        self.dialog.learn(response)
        body = self._answer_to(response.body) if self._late_offer and not again else None
        self._ack(response, body)
        if again or self.state == "ended":
            return
        if self._cancelled:
            self._change("up")
            self.hangup(603)
            return
        if response.body and not self._late_offer:
            self._take_answer(response.body, "sendrecv")
        self._change("up")

    def _on_offer(self, transaction: ServerTransaction) -> None:
        request = transaction.request
        if self.state == "ended":
            transaction.respond(response_to(request, 481, "Call/Transaction Does Not Exist"))
            return
        self.dialog.refresh(request)
        if self._offering and request.body:
            transaction.respond(response_to(request, 491, "Request Pending"))
            return
        if request.method == "UPDATE" and not request.body:
            self._answer_plainly(transaction)
            return
        body = self._answer_to(request.body)
        if body is None:
            transaction.respond(response_to(request, 488, "Not Acceptable Here"))
            return
        if request.method == "INVITE":
            self._server = transaction
        transaction.respond(self._with_body(response_to(request, 200, "OK"), body))
        self._settle()

    def _on_notify(self, request: Request) -> None:
        if self.referral is None or not (request.headers.get("Event") or "").startswith("refer"):
            return
        found = re.match(rb"SIP/2\.0\s+(\d{3})", request.body.lstrip())
        if found:
            self.referral.progress.append(int(found[1]))
        if "terminated" in (request.headers.get("Subscription-State") or "") or (self.referral.status or 0) >= 200:
            self.referral.done = True

    def _answer_to(self, offer_body: bytes) -> bytes | None:
        if not offer_body:
            self._late_offer = True
            return self._offer(self._wanted)
        try:
            offer = sdp.parse(offer_body)
        except ValueError:
            return None
        chosen = sdp.common(offer, self.codecs)
        if chosen is None or (offer.secure and offer.key is None):
            return None
        if offer.secure and self._key is None:
            self._key = secrets.token_bytes(30)
        direction = sdp.answer_direction(offer.direction, self._wanted)
        self._agree(offer, chosen, direction)
        mine = self._description((chosen,), direction, offer.event_type, offer.secure, offer.crypto_tag)
        self._version += 1
        return mine.render(self._session, self._version)

    def _offer(self, direction: sdp.Direction) -> bytes:
        codecs = tuple((codec.payload_type, codec) for codec in self.codecs)
        self._version += 1
        mine = self._description(codecs, direction, sdp.EVENT_TYPE, self._key is not None, 1)
        return mine.render(self._session, self._version)

    def _description(
        self,
        codecs: tuple[tuple[int, Codec], ...],
        direction: sdp.Direction,
        event_type: int | None,
        secure: bool,
        crypto_tag: int,
    ) -> sdp.Description:
        host = self.line.endpoint.host
        return sdp.Description(host, self.media.port, codecs, direction, event_type, secure, crypto_tag, self._key)

    def _take_answer(self, body: bytes, offered: sdp.Direction) -> None:
        answer = sdp.parse(body)
        chosen = sdp.common(answer, self.codecs)
        if chosen is not None:
            self._agree(answer, chosen, sdp.answer_direction(answer.direction, offered))
            self._settle()

    def _agree(self, remote: sdp.Description, chosen: tuple[int, Codec], direction: sdp.Direction) -> None:
        self.remote, self.direction = remote, direction
        self.held_by_them = remote.direction in ("sendonly", "inactive") and not self.held_by_us
        self.media.connect((remote.host, remote.port), *chosen, remote.event_type)
        if remote.secure and remote.key is not None and self._key is not None:
            self.media.secure(self._key, remote.key)

    def _settle(self) -> None:
        if self.state in ("up", "held"):
            self._change("held" if self.held_by_us or self.held_by_them else "up")
        elif self.remote is not None:
            self._flow()

    def _flow(self) -> None:
        # Music is played into a hold even where it was agreed that nothing flows, as bad phones do.
        may = self.music is not None if self.held_by_us else self.direction in ("sendrecv", "sendonly")
        self.media.start(may and self.remote is not None and self.remote.port > 0, self.line.loop.now_ns())

    def _change(self, state: State) -> None:
        self.state = state
        self._flow()
        self.on_state()
        self.line.loop.changed()

    def _end(self, cause: EndCause) -> None:
        if self.state == "ended":
            return
        self.end_cause = cause
        self.state = "ended"
        self.media.close()
        self.on_state()
        self.line.loop.changed()
        self.line.loop.later(32.0, self._forget)  # late NOTIFYs and repeated requests still find us

    def _reject(self, status: int) -> None:
        self._respond(status, {486: "Busy Here", 488: "Not Acceptable Here", 603: "Decline"}.get(status, "Rejected"))
        self._end(EndCause("local", status))

    def _respond(self, code: int, phrase: str, body: bytes = b"") -> None:
        if self._server is not None:
            response = response_to(self._server.request, code, phrase, self.dialog.local_tag)
            self._server.respond(self._with_body(response, body))

    def _with_body(self, response: Response, body: bytes) -> Response:
        response.headers.set("Contact", f"<{self.line.contact}>")
        response.headers.set("Allow", ALLOW)
        self._put(response, body)
        return response

    @staticmethod
    def _put(message: Request | Response, body: bytes) -> None:
        if body:
            message.headers.set("Content-Type", "application/sdp")
        if isinstance(message, Request):
            message.headers.set("Allow", ALLOW)
            message.headers.set("Supported", "replaces")
        message.body = body

    @staticmethod
    def _answer_plainly(transaction: ServerTransaction) -> None:
        transaction.respond(response_to(transaction.request, 200, "OK"))

    def _ack(self, response: Response, body: bytes | None = None) -> None:
        self.dialog.learn(response)
        ack = self.dialog.request("ACK", cseq=response.cseq.sequence)
        ack.via = [self.line.endpoint.via()]
        if body:
            self._put(ack, body)
        ack.content_length = len(ack.body)
        self.line.endpoint.send(bytes(ack), self.dialog.next_hop())

    def _next_cseq(self) -> int:
        self.dialog.cseq += 1
        return self.dialog.cseq
