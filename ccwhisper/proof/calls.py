"""A call as tests see it: every method may be called from any thread and returns when what it says has happened.

Errors: TimeoutError when a wait runs out, CallEnded when the call ends meanwhile, SipRefused and SipTimeout of `line`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from sipmessage import Request
from sipmessage.message import Headers

from ccwhisper.proof.codecs import Codec, codec_named
from ccwhisper.proof.headset import Headset
from ccwhisper.proof.leg import EndCause, Leg, Referral, State
from ccwhisper.proof.line import CallEnded, Outcome
from ccwhisper.proof.rtp import DTMF
from ccwhisper.proof.sip import split_address
from ccwhisper.proof.sources import Source, frames_of
from ccwhisper.proof.timeline import Float, RxFrame, Timeline, TxFrame, in_window, timeline

_WARM_UP_NS = 300_000_000  # a decoder that starts in the middle of a tone of G.722 is off by some dB for half of that


@dataclass(frozen=True)
class TelephoneEvent:
    """A key as it arrived (RFC 4733); `t_ns` is its first packet, `ended` whether an end packet came."""

    digit: str
    t_ns: int
    duration_ms: float
    ended: bool


class PhoneCall:
    """One call of a phone. Times are ns of CLOCK_MONOTONIC, timeouts are seconds."""

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self._loop = leg.line.loop
        self._media = leg.media
        self._parting: Outcome | None = None

    def __repr__(self) -> str:
        return f"<PhoneCall of {self._leg.line.user}, {self.state}>"

    # -- signalling

    @property
    def state(self) -> State:
        """calling, ringing, up, held (by either end), ended."""
        return self._leg.state

    @property
    def incoming(self) -> bool:
        """Whether the other side called."""
        return self._leg.incoming

    @property
    def held_by_us(self) -> bool:
        """Whether this phone has put the call on hold."""
        return self._leg.held_by_us

    @property
    def held_by_them(self) -> bool:
        """Whether the other side has."""
        return self._leg.held_by_them

    @property
    def call_id(self) -> str:
        """The Call-ID of the dialog."""
        return self._leg.dialog.call_id

    @property
    def end_cause(self) -> EndCause | None:
        """Why the call ended; None while it has not."""
        return self._leg.end_cause

    @property
    def remote_headers(self) -> Headers:
        """The headers of the INVITE that came, or of the 200 to ours (empty before that)."""
        message = self._leg.invite if self._leg.incoming else self._leg.answer_response
        return message.headers if message is not None else Headers()

    @property
    def caller_id(self) -> tuple[str, str]:
        """Display name and URI of the From header of an incoming call."""
        return split_address(self.remote_headers.get("From") or "")[:2]

    @property
    def requests(self) -> list[Request]:
        """Every request that came within the dialog, in order."""
        return list(self._leg.requests)

    def wait(self, state: State, timeout: float = 5.0) -> PhoneCall:
        """Wait for a state; 'ringing' is also satisfied by having rung. Returns the call, to be chained."""

        def reached() -> bool:
            return self.state == state or (state == "ringing" and self._leg.was_ringing)

        self._loop.wait(lambda: reached() or self.state == "ended", timeout)
        if reached():
            return self
        if self.state == "ended":
            raise CallEnded(f"waiting for {state}, but the call ended: {self.end_cause}")
        raise TimeoutError(f"{self!r} was not {state} within {timeout} s")

    def answer(self) -> None:
        """Answer an incoming call that rings."""
        self._loop.run(self._leg.answer)

    def early_media(self) -> None:
        """Answer 183 to an incoming call that rings, and speak before it is answered."""
        self._loop.run(self._leg.progress)

    def reject(self, status: int = 603) -> None:
        """Refuse an incoming call that rings."""
        self._loop.run(lambda: self._leg.hangup(status))

    def hangup(self, timeout: float = 5.0) -> None:
        """End the call: BYE, CANCEL or 603 by its state; returns when BYE is answered. Ended calls are left alone."""
        self._loop.run(lambda: self._leg.hangup(603)).wait(timeout)

    def hold(self, music: Source | None = None, timeout: float = 5.0, *, inactive: bool = False) -> None:
        """Put the other side on hold (sendonly, or inactive). We fall silent, or play `music` all the same."""
        self._leg.hold_as = "inactive" if inactive else "sendonly"
        self._reinvite(held=True, codecs=None, timeout=timeout, music=music)

    def unhold(self, timeout: float = 5.0) -> None:
        """Take the other side back."""
        self._reinvite(held=False, codecs=None, timeout=timeout)

    def reinvite(self, codecs: Sequence[str] | None = None, timeout: float = 5.0) -> None:
        """Offer anew, with other codecs if given."""
        chosen = None if codecs is None else tuple(codec_named(name) for name in codecs)
        self._reinvite(held=self.held_by_us, codecs=chosen, timeout=timeout)

    def refer(self, target_uri: str, timeout: float = 10.0) -> Referral:
        """Transfer blindly: REFER, then wait until NOTIFY has told how the new call went.

        A target without a scheme is a number of the phone's domain. When the call ends and no NOTIFY comes for another
        second, what is known by then is given back.
        """
        line = self._leg.line
        target = target_uri if ":" in target_uri else f"sip:{target_uri}@{line.domain}"
        referral, outcome = self._loop.run(lambda: self._leg.refer(target))
        referral.accepted = outcome.wait(timeout).code
        if not self._loop.wait(lambda: referral.done or self.state == "ended", timeout):
            raise TimeoutError(f"no news of the transfer within {timeout} s; so far {referral.progress}")
        self._loop.wait(lambda: referral.done, 1.0)
        return referral

    def refer_replaces(self, other: PhoneCall, timeout: float = 10.0) -> Referral:
        """Transfer with consultation: the other end of this call takes this phone's place in `other` (RFC 3891)."""
        dialog = other._leg.dialog
        uri = dialog.target.partition(";")[0].partition("?")[0]
        return self.refer(f"{uri}?Replaces={quote(dialog.replaces(), safe='')}", timeout)

    def request(
        self, method: str, headers: dict[str, str] | None = None, body: bytes = b"", timeout: float = 5.0
    ) -> int:
        """Send any request within the dialog (OPTIONS, INFO, …) and give back the status of its 2xx."""
        return self._loop.run(lambda: self._leg.send(method, (headers or {}).items(), body)).wait(timeout).code

    def on_state(self, call: Callable[[], None]) -> None:
        """Call `call` in the loop's thread whenever the state changes; there is one such listener."""
        self._leg.on_state = call

    def drop(self) -> None:
        """Start to hang up and do not wait; `parted` tells when the other side has agreed. For the loop's thread."""
        self._parting = self._leg.hangup(603)

    @property
    def parted(self) -> bool:
        """Whether `drop` has run its course."""
        return self._parting is not None and self._parting.done

    def send_dtmf(self, digits: str, timeout: float | None = 10.0) -> None:
        """Press keys: RFC 4733 events of 100 ms, 80 ms apart. Waits until they are sent unless `timeout` is None."""
        if not set(digits.upper()) <= set(DTMF):
            raise ValueError(f"not all of {digits!r} are keys")
        self._loop.run(lambda: self._media.send_digits(digits))
        if timeout is not None and not self._loop.wait(lambda: not self._media.busy_with_digits, timeout, 0.005):
            raise TimeoutError("the keys were not sent: is media flowing?")

    def _reinvite(
        self, held: bool, codecs: tuple[Codec, ...] | None, timeout: float, music: Source | None = None
    ) -> None:
        leg = self._leg

        def work() -> Outcome:
            outcome = Outcome(self._loop, "INVITE")
            leg.held_by_us, leg.codecs = held, codecs or leg.codecs
            if held and music is not None:
                leg.music = music
                leg.media.play(music)
            elif not held and leg.music is not None:
                leg.music = None
                leg.media.play(leg.line.source)
            leg.offer(outcome)
            return outcome

        self._loop.run(work).wait(timeout)

    # -- media

    @property
    def media_port(self) -> int:
        """The UDP port at which this phone gets its media."""
        return self._media.port

    @property
    def remote_media(self) -> tuple[str, int] | None:
        """The address to which this phone was told to send its media; None before it was."""
        remote = self._leg.remote
        return None if remote is None else (remote.host, remote.port)

    @property
    def codec(self) -> Codec | None:
        """The codec in use; None before there is one."""
        return self._media.codec

    @property
    def rate(self) -> int:
        """Its sampling rate in Hz; 8000 before there is one."""
        return self._media.codec.rate if self._media.codec else 8000

    def play(self, source: Source) -> None:
        """Say something else from the next frame on."""
        if self._media.codec is not None:
            frames_of(source, self._media.codec)  # computed here, not in the thread that keeps time
        self._loop.run(lambda: self._media.play(source))

    def wear(self, headset: Headset | None) -> None:
        """Hear and speak through a headset from now on; None: through one that gives back nothing."""

        def put_on() -> None:
            self._media.headset = headset

        self._loop.run(put_on)

    def impair(self, loss: float = 0.0, reorder: float = 0.0, seed: int = 0) -> None:
        """Drop and swap packets that we send from now on, with these probabilities; `dropped` tells which were."""
        self._loop.run(lambda: self._media.impair(loss, reorder, seed))

    @property
    def sent(self) -> list[TxFrame]:
        """What was sent, in the order of sequence numbers (keep='frames'); `t_ns` tells the order on the wire."""
        return [TxFrame(*frame) for frame in list(self._media.tx)]

    @property
    def dropped(self) -> list[TxFrame]:
        """What `impair` kept from being sent."""
        return [TxFrame(*frame) for frame in list(self._media.dropped)]

    @property
    def received(self) -> list[RxFrame]:
        """What arrived, in the order of arrival (keep='frames'), without telephone events."""
        return [RxFrame(*frame) for frame in list(self._media.rx)]

    @property
    def counts(self) -> dict[str, int]:
        """Packets sent and received, lost on the way to us by sequence number (keep='drain' only), refused by SRTP."""
        media = self._media
        return {"sent": media.sent, "received": media.received, "lost": media.lost, "srtp_errors": media.srtp_errors}

    def telephone_events_received(self) -> list[TelephoneEvent]:
        """The keys that arrived as RTP events, in order."""
        found: dict[int, TelephoneEvent] = {}
        clock = self._media.codec.clock if self._media.codec else 8000
        for t_ns, _, ts, payload in list(self._media.events):
            if len(payload) < 4 or payload[0] >= len(DTMF):
                continue
            before = found.get(ts)
            duration = (payload[2] << 8 | payload[3]) * 1000 / clock
            ended = bool(payload[1] & 0x80) or (before is not None and before.ended)
            found[ts] = TelephoneEvent(DTMF[payload[0]], before.t_ns if before else t_ns, duration, ended)
        return list(found.values())

    def wait_keys(self, count: int, timeout: float = 5.0) -> str:
        """Wait until `count` keys have arrived whole, and give back all that have; a switch takes its time."""

        def ended() -> str:
            return "".join(event.digit for event in self.telephone_events_received() if event.ended)

        if not self._loop.wait(lambda: len(ended()) >= count, timeout, 0.01):
            raise TimeoutError(f"{count} keys were awaited and {ended()!r} arrived within {timeout} s")
        return ended()

    def forget(self, before_ns: int) -> None:
        """Drop the recorded frames from before a moment, so that a call may go on for days."""
        media = self._media

        def trim() -> None:
            del media.rx[: sum(frame[0] < before_ns for frame in media.rx)]
            del media.tx[: sum(frame[0] < before_ns for frame in media.tx)]

        self._loop.run(trim)

    @staticmethod
    def mark() -> int:
        """Now, in ns of CLOCK_MONOTONIC: a border for `heard` and the analyses."""
        return time.monotonic_ns()

    def codec_of(self, payload_type: int) -> Codec | None:
        """The codec of a received payload type."""
        return self._media.codecs.get(payload_type)

    def timeline(self, since_ns: int | None = None, until_ns: int | None = None) -> Timeline:
        """What arrived in [since_ns, until_ns) as one stretch of sound, with the times of its packets."""
        received = self.received
        before = [] if since_ns is None else in_window(received, since_ns - _WARM_UP_NS, since_ns)
        return timeline(in_window(received, since_ns, until_ns), self.codec_of, self.rate, before)

    def heard(self, since_ns: int | None = None, until_ns: int | None = None) -> Float:
        """What arrived in [since_ns, until_ns), as samples in ±1.0 at `rate`; gaps are zeros."""
        return self.timeline(since_ns, until_ns).samples

    def wait_time(self, until_ns: int) -> None:
        """Wait until a moment of the clock, and a little for the packets that arrived by then to be recorded."""
        self._loop.wait(lambda: False, max(0.0, (until_ns - time.monotonic_ns()) / 1e9) + 0.01)

    def wait_received(self, count: int, timeout: float = 5.0) -> None:
        """Wait until `count` more packets have arrived."""
        target = self._media.received + count
        if not self._loop.wait(lambda: self._media.received >= target, timeout, 0.005):
            raise TimeoutError(f"{target - self._media.received} of {count} packets had not arrived after {timeout} s")
