"""The media of one call: an RTP socket (RFC 3550) that is paced by a wheel, records what passes, and can be impaired.

All of it runs in the loop's thread. The wheel turns once in 20 ms and has twenty places of 1 ms; each stream sits at
one place for life, so its packets leave at its own phase and, as the wheel follows the absolute clock, without drift.
Sends that come late (a busy box) are made up for at once; after 200 ms the missed frames are skipped, as a sound card
would.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import socket
import struct
from collections import deque
from typing import Literal

from pylibsrtp import Error as SrtpError
from pylibsrtp import Policy, Session

from ccwhisper.proof.codecs import Codec
from ccwhisper.proof.headset import Headset
from ccwhisper.proof.loop import NEVER, Loop
from ccwhisper.proof.sources import Silence, Source, frames_of

Keep = Literal["frames", "drain"]

PLACES = 20
PLACE_NS = 1_000_000
SKIP_AFTER_NS = 200_000_000
STUMBLE_NS = 10_000_000

# Linux, asm-generic/socket.h; the socket module does not name it. The stamp is a struct timespec of CLOCK_REALTIME.
SO_TIMESTAMPNS = 35

DTMF = "0123456789*#ABCD"
EVENT_FRAMES = 5  # 100 ms
EVENT_PAUSE_FRAMES = 4
_HEADER = struct.Struct("!BBHII")
_TIMESPEC = struct.Struct("@qq")


class Wheel:
    """The clock of all streams; see the module's text. `late_ns` is how late the latest tick so far was."""

    def __init__(self) -> None:
        self.due_ns = NEVER
        self.late_ns = 0
        self.skipped = 0
        self.stumbles = 0
        self._places: list[list[RtpStream]] = [[] for _ in range(PLACES)]
        self._place = 0  # the number of the next place to serve, never wrapped: its time is that number in ms
        self._next = 0
        self._seated = 0

    def seat(self, stream: RtpStream, now_ns: int) -> None:
        """Give a stream its place; places are dealt so that neighbours in time are far apart."""
        place = self._next = (self._next + 7) % PLACES
        self._places[place].append(stream)
        if not self._seated:
            self._place = now_ns // PLACE_NS + 1
        self._seated += 1
        self._find()

    def leave(self, stream: RtpStream) -> None:
        """Take a stream off the wheel."""
        for place in self._places:
            if stream in place:
                place.remove(stream)
                self._seated -= 1
        self._find()

    def run(self, now_ns: int) -> None:
        """Serve every place whose time has come, in order."""
        while self.due_ns <= now_ns:
            late = now_ns - self.due_ns
            self.late_ns = max(self.late_ns, late)
            self.stumbles += late > STUMBLE_NS
            for stream in self._places[self._place % PLACES]:
                if late < SKIP_AFTER_NS:
                    stream.tick(self._place * PLACE_NS)
                else:
                    stream.skip()
                    self.skipped += 1
            self._place += 1
            self._find()

    def _find(self) -> None:
        if not self._seated:
            self.due_ns = NEVER
            return
        while not self._places[self._place % PLACES]:
            self._place += 1
        self.due_ns = self._place * PLACE_NS


class RtpStream:
    """Sends a source and takes what comes. Fields may be read from any thread; methods belong to the loop's thread."""

    def __init__(self, loop: Loop, wheel: Wheel, host: str, source: Source, keep: Keep) -> None:
        self._loop, self._wheel = loop, wheel
        self.socket, self.port = _even_port(host)
        self.source: Source = source
        self.codec: Codec | None = None
        self.codecs: dict[int, Codec] = {}  # every payload type ever agreed upon, to decode what was recorded
        self.sending = False
        self.headset: Headset | None = None
        #: (t_ns, seq, ts, pt, payload) as received; (t_ns, seq, ts, payload) as sent and as dropped on purpose.
        self.rx: list[tuple[int, int, int, int, bytes]] = []
        self.tx: list[tuple[int, int, int, bytes]] = []
        self.dropped: list[tuple[int, int, int, bytes]] = []
        self.events: list[tuple[int, int, int, bytes]] = []  # received telephone-event packets
        self.sent = self.received = self.lost = self.srtp_errors = 0
        self._keep = keep
        self._event_type: int | None = None
        self._event_types: set[int] = set()
        self._pt = 0
        self._frames: tuple[bytes, ...] = ()
        self._at = 0
        self._looped = True
        self._seq = secrets.randbelow(1 << 16)
        self._ts = secrets.randbelow(1 << 32)
        self._ssrc = secrets.randbelow(1 << 32)
        self._marker = 0x80
        self._digits: deque[int] = deque()
        self._event = self._event_ts = self._event_step = self._pause = 0
        self._loss = self._reorder = 0.0
        self._chance = random.Random(0)
        self._held: tuple[bytes, tuple[int, int, int, bytes]] | None = None
        self._remote: tuple[str, int] | None = None
        self._tx_key = self._rx_key = b""
        self._protect: Session | None = None
        self._unprotect: Session | None = None
        self._last_seq = -1
        self._buffer = bytearray(2048)
        self._open = True
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, int(keep == "frames"))
        loop.add_reader(self.socket.fileno(), self._drain if keep == "drain" else self._receive)

    @property
    def busy_with_digits(self) -> bool:
        """Whether telephone events are still to be sent."""
        return bool(self._digits or self._event_step or self._pause)

    def connect(self, remote: tuple[str, int], payload_type: int, codec: Codec, event_type: int | None) -> None:
        """Send `codec` to `remote` from now on; the source goes on where it was when only the address changed."""
        self.codecs[payload_type] = codec
        self._pt = payload_type
        if codec is not self.codec:
            self.codec = codec
            self.play(self.source)
        self._event_type = event_type
        if event_type is not None:
            self._event_types.add(event_type)
        if remote != self._remote:
            self._remote = remote
            with contextlib.suppress(OSError):
                self.socket.connect(remote)

    def secure(self, tx_key: bytes, rx_key: bytes) -> None:
        """Encrypt with `tx_key`, decrypt with `rx_key` (SDES master key and salt, 30 bytes)."""
        if tx_key != self._tx_key:
            self._tx_key = tx_key
            self._protect = Session(Policy(key=tx_key, ssrc_type=Policy.SSRC_ANY_OUTBOUND))
        if rx_key != self._rx_key:
            self._rx_key = rx_key
            self._unprotect = Session(Policy(key=rx_key, ssrc_type=Policy.SSRC_ANY_INBOUND))

    def start(self, sending: bool, now_ns: int) -> None:
        """Send or keep silent; the timestamps run on either way."""
        if sending and not self.sending:
            self._marker = 0x80
            if not self.codec:
                return
            self._wheel.seat(self, now_ns)
        elif self.sending and not sending:
            self._wheel.leave(self)
        self.sending = sending

    def play(self, source: Source) -> None:
        """Say `source` from its start, from the next frame on."""
        self.source = source
        if self.codec is not None:
            self._frames = frames_of(source, self.codec)
            self._at, self._looped = 0, source.loop

    def send_digits(self, digits: str) -> None:
        """Queue telephone events. Raises ValueError for what is no key, or when the peer does not take events."""
        if self._event_type is None:
            raise ValueError("the peer did not agree to telephone-event")
        self._digits.extend(DTMF.index(digit) for digit in digits.upper())

    def impair(self, loss: float, reorder: float, seed: int) -> None:
        """Drop and swap packets from now on with these probabilities, by a generator of this seed."""
        self._loss, self._reorder, self._chance = loss, reorder, random.Random(seed)

    def skip(self) -> None:
        """Let one frame's time pass unsent."""
        if self.codec is not None:
            self._ts = (self._ts + self.codec.frame_ticks) & 0xFFFFFFFF

    def tick(self, now_ns: int) -> None:
        """Send what is due now: one frame of the source, or the packet of a telephone event."""
        codec = self.codec
        if codec is None:  # not on the wheel before it has one
            return
        if self._event_step or (self._digits and not self._pause):
            self._tick_event(codec)
            self._ts = (self._ts + codec.frame_ticks) & 0xFFFFFFFF
            return
        self._pause = max(0, self._pause - 1)
        if self._at >= len(self._frames):
            self._at = 0
            if not self._looped:
                self.play(Silence())
        payload = self._frames[self._at]
        if self.headset is not None:
            payload = self.headset.record(codec, payload)
        self._at += 1
        seq, ts = self._seq, self._ts
        packet = _HEADER.pack(0x80, self._pt | self._marker, seq, ts, self._ssrc) + payload
        self._marker = 0
        self._seq = (seq + 1) & 0xFFFF
        self._ts = (ts + codec.frame_ticks) & 0xFFFFFFFF
        if self._protect is not None:
            packet = self._protect.protect(packet)
        if self._loss or self._reorder:
            self._send_impaired(packet, (now_ns, seq, ts, payload))
            return
        if self._keep == "frames":  # the time is taken before: on loopback the packet has arrived when send returns
            self.tx.append((self._now(), seq, ts, payload))
        self._send(packet)

    def close(self) -> None:
        """Stop and free the port. What was recorded stays."""
        if not self._open:
            return
        self._open = False
        if self.sending:
            self._wheel.leave(self)
        self.sending = False
        self._loop.remove_reader(self.socket.fileno())
        self.socket.close()

    # -- sending

    def _now(self) -> int:
        return self._loop.now_ns()

    def _send(self, packet: bytes) -> None:
        with contextlib.suppress(OSError):  # a peer that is gone refuses (ICMP); RTP does not mind
            self.socket.send(packet)
            self.sent += 1

    def _send_impaired(self, packet: bytes, record: tuple[int, int, int, bytes]) -> None:
        if self._chance.random() < self._loss:
            self.dropped.append(record)
        elif self._held is None and self._chance.random() < self._reorder:
            self._held = (packet, record)
            return
        else:
            record = (self._now(), *record[1:])
            self._send(packet)
            if self._held is not None:
                late, late_record = self._held
                self._held = None
                self.tx.append((self._now(), *late_record[1:]))
                self._send(late)
            self.tx.append(record)

    def _tick_event(self, codec: Codec) -> None:
        # RFC 4733: all packets of an event carry the timestamp of its start; the last is sent three times, with the end
        # bit.
        if not self._event_step:
            self._event, self._event_ts, self._marker = self._digits.popleft(), self._ts, 0x80
        self._event_step += 1
        last = self._event_step == EVENT_FRAMES
        duration = self._event_step * codec.frame_ticks
        body = struct.pack("!BBH", self._event, (0x80 if last else 0) | 10, duration)
        for _ in range(3 if last else 1):
            packet = (
                _HEADER.pack(0x80, (self._event_type or 0) | self._marker, self._seq, self._event_ts, self._ssrc) + body
            )
            self._marker = 0
            self._seq = (self._seq + 1) & 0xFFFF
            self._send(packet if self._protect is None else self._protect.protect(packet))
        if last:
            self._event_step = 0
            self._pause = EVENT_PAUSE_FRAMES

    # -- receiving

    def _drain(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.recv_into(self._buffer)
            self.received += 1
            seq = self._buffer[2] << 8 | self._buffer[3]
            ahead = (seq - self._last_seq - 1) & 0xFFFF
            if 0 < ahead < 100 and self._last_seq >= 0:
                self.lost += ahead
            self._last_seq = seq

    def _receive(self) -> None:
        try:
            packet, ancillary, _, _ = self.socket.recvmsg(2048, 64)
        except OSError:
            return
        if len(packet) < 12 or packet[0] >> 6 != 2 or 64 <= packet[1] & 0x7F < 96:  # RTCP on the same port: RFC 5761
            return
        now = self._now()
        seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2][:16]) if ancillary else (0, 0)
        stamped = seconds * 1_000_000_000 + nanoseconds - self._loop.clock_offset_ns
        t_ns = stamped if 0 <= now - stamped < 1_000_000_000 else now
        if self._unprotect is not None:
            try:
                packet = self._unprotect.unprotect(packet)
            except SrtpError:
                self.srtp_errors += 1
                return
        first, second, seq, ts, _ = _HEADER.unpack_from(packet)
        start = 12 + 4 * (first & 0x0F)
        if first & 0x10:
            start += 4 + 4 * int.from_bytes(packet[start + 2 : start + 4])
        end = len(packet) - packet[-1] if first & 0x20 else len(packet)
        payload_type = second & 0x7F
        self.received += 1
        if payload_type in self._event_types:
            self.events.append((t_ns, seq, ts, packet[start:end]))
        else:
            self.rx.append((t_ns, seq, ts, payload_type, packet[start:end]))
            if self.headset is not None and payload_type in self.codecs:
                self.headset.play(self.codecs[payload_type], packet[start:end])


def _even_port(host: str) -> tuple[socket.socket, int]:
    # RTP ports are even by custom; the switch sends RTCP to the next one.
    for _ in range(200):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        if port % 2 == 0:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 19)
            return sock, port
        sock.close()
    raise OSError("no free even UDP port")
