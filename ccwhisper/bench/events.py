"""How many FreeSWITCH events a CPU second can take in: ours (JSON) beside greenswitch (plain, which is all it reads).

The events are the same channel event in both formats, about 3.8 KB in the plain one, numbered, written over a loopback
socket by a process of its own. Only the consumer's CPU time counts (``time.process_time``), from the subscription to
the last event: greenswitch parses all it can read before it calls the first handler.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import gevent
import orjson
from gevent.event import Event as Signal
from greenswitch import InboundESL

from ccwhisper.bench import Figure
from ccwhisper.switch.wire import Connection

EVENTS = 100_000
EVENTS_OF_GREENSWITCH = 20_000
"""Fewer, because it is slow; the figure is a rate."""

DEADLINE = 300.0
"""Seconds after which a run is given up."""

SAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$'()*,/"
NUMBER = "@@@@@@@@@@"
"""Stands for the event's number in the template, ten digits."""

LEG = "5f3c6a52-8f0e-4d0f-9d0a-0c6f2f3b7e11"
OTHER = "c0b8e7a4-51a9-4c7e-8f7d-6f0f8f0b2d27"

FEEDER = r"""
import socket, sys
kind, count = sys.argv[1], int(sys.argv[2])
template = sys.stdin.buffer.read()
head, tail = template.split(b"@@@@@@@@@@")
frame = b"Content-Length: %d\nContent-Type: text/event-" + kind.encode() + b"\n\n"
frame = frame % (len(head) + 10 + len(tail)) + head
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
sock, _ = listener.accept()
sock.sendall(b"Content-Type: auth/request\n\n")
for _ in range(2):
    text = b""
    while not text.endswith(b"\n\n"):
        text += sock.recv(4096)
    sock.sendall(b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n")
for start in range(0, count, 100):
    sock.sendall(b"".join(frame + b"%010d" % n + tail for n in range(start, min(start + 100, count))))
while sock.recv(4096):
    pass
"""


def channel_event() -> dict[str, str]:
    """A CHANNEL_ANSWER of an inbound SIP call, with the headers and the sizes that FreeSWITCH gives it."""
    headers = {
        "Event-Name": "CHANNEL_ANSWER",
        "Core-UUID": "0d2b3c1e-7c55-4a5e-a5e0-3d1fb0a1d9c4",
        "FreeSWITCH-Hostname": "node1",
        "FreeSWITCH-Switchname": "node1",
        "FreeSWITCH-IPv4": "192.0.2.10",
        "FreeSWITCH-IPv6": "::1",
        "Event-Date-Local": "2026-08-14 10:15:31",
        "Event-Date-GMT": "Fri, 14 Aug 2026 10:15:31 GMT",
        "Event-Date-Timestamp": "1786702531123456",
        "Event-Calling-File": "switch_channel.c",
        "Event-Calling-Function": "switch_channel_perform_mark_answered",
        "Event-Calling-Line-Number": "3921",
        "Event-Sequence": NUMBER,
        "Channel-State": "CS_EXECUTE",
        "Channel-Call-State": "ACTIVE",
        "Channel-State-Number": "4",
        "Channel-Name": "sofia/internal/1001@192.0.2.10",
        "Unique-ID": LEG,
        "Call-Direction": "inbound",
        "Presence-Call-Direction": "inbound",
        "Channel-HIT-Dialplan": "true",
        "Channel-Presence-ID": "1001@192.0.2.10",
        "Channel-Call-UUID": LEG,
        "Answer-State": "answered",
        "Channel-Read-Codec-Name": "PCMU",
        "Channel-Read-Codec-Rate": "8000",
        "Channel-Read-Codec-Bit-Rate": "64000",
        "Channel-Write-Codec-Name": "PCMU",
        "Channel-Write-Codec-Rate": "8000",
        "Channel-Write-Codec-Bit-Rate": "64000",
        "variable_direction": "inbound",
        "variable_uuid": LEG,
        "variable_call_uuid": LEG,
        "variable_session_id": "1203",
        "variable_sip_from_user": "1001",
        "variable_sip_from_uri": "1001@192.0.2.10",
        "variable_sip_from_host": "192.0.2.10",
        "variable_sip_local_network_addr": "192.0.2.10",
        "variable_sip_network_ip": "192.0.2.77",
        "variable_sip_network_port": "5062",
        "variable_sip_received_ip": "192.0.2.77",
        "variable_sip_via_protocol": "udp",
        "variable_sip_authorized": "true",
        "variable_sip_auth_username": "1001",
        "variable_sip_auth_realm": "192.0.2.10",
        "variable_sip_to_user": "5000",
        "variable_sip_to_uri": "5000@192.0.2.10",
        "variable_sip_contact_uri": "1001@192.0.2.77:5062",
        "variable_sip_user_agent": "Example Desk Phone 4.2.1",
        "variable_sip_call_id": "9f0b3c5d7a2e4f61@192.0.2.77",
        "variable_sip_full_via": "SIP/2.0/UDP 192.0.2.77:5062;rport=5062;branch=z9hG4bK-524287-1---8f0b2d27",
        "variable_sip_full_from": '"Alice Example" <sip:1001@192.0.2.10>;tag=6a528f0e',
        "variable_sip_full_to": "<sip:5000@192.0.2.10>",
        "variable_switch_r_sdp": "v=0\r\no=- 38 2 IN IP4 192.0.2.77\r\ns=-\r\nc=IN IP4 192.0.2.77\r\nt=0 0\r\n"
        "m=audio 40012 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n",
        "variable_ep_codec_string": "CORE_PCM_MODULE.PCMU@8000h@20i@64000b,CORE_PCM_MODULE.PCMA@8000h@20i@64000b",
        "variable_endpoint_disposition": "ANSWER",
        "variable_user_context": "default",
        "variable_domain_name": "192.0.2.10",
        "variable_rtp_use_codec_string": "PCMU,PCMA,OPUS,G722",
        "variable_remote_media_ip": "192.0.2.77",
        "variable_remote_media_port": "40012",
        "variable_local_media_ip": "192.0.2.10",
        "variable_local_media_port": "27418",
        "variable_current_application": "answer",
    }
    profiles = (
        ("Username", "1001"),
        ("Dialplan", "XML"),
        ("Caller-ID-Name", "Alice Example"),
        ("Caller-ID-Number", "1001"),
        ("Network-Addr", "192.0.2.77"),
        ("Destination-Number", "5000"),
        ("Unique-ID", LEG),
        ("Source", "mod_sofia"),
        ("Context", "default"),
        ("Channel-Name", "sofia/internal/1001@192.0.2.10"),
        ("Channel-Created-Time", "1786702529903456"),
        ("Channel-Answered-Time", "1786702531123456"),
        ("Channel-Hangup-Time", "0"),
        ("Screen-Bit", "true"),
    )
    for side, leg in (("Caller", LEG), ("Other-Leg", OTHER)):
        headers |= {f"{side}-{name}": leg if name == "Unique-ID" else value for name, value in profiles}
    return headers


def templates() -> tuple[bytes, bytes]:
    """The event as plain and as JSON text, ``NUMBER`` where its number belongs."""
    headers = channel_event()
    plain = "".join(f"{name}: {_encoded(value)}\n" for name, value in headers.items()) + "\n"
    return plain.encode(), orjson.dumps(headers)


def _encoded(value: str) -> str:
    if value == NUMBER:
        return value
    return "".join(char if char in SAFE else f"%{ord(char):02X}" for char in value)


def consume(client: Any, kind: str, template: bytes, count: int) -> tuple[float, int]:
    """Feed ``count`` events to a client and return its CPU seconds and how many came, in order from the first."""
    feeder = subprocess.Popen(
        [sys.executable, "-c", FEEDER, kind, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    if feeder.stdin is None or feeder.stdout is None:
        raise RuntimeError("the feeder has no pipes")
    feeder.stdin.write(template)
    feeder.stdin.close()
    done = Signal()
    began = ended = 0.0
    expected = 0

    def on_event(event: Any) -> None:
        nonlocal ended, expected
        if int(event.headers["Event-Sequence"]) != expected:
            done.set()
            return
        expected += 1
        if expected == count:
            ended = time.process_time()
            done.set()

    try:
        client.port = int(feeder.stdout.readline())
        client.register_handle("CHANNEL_ANSWER", on_event)
        client.connect()
        began = time.process_time()
        client.send(f"event {kind} CHANNEL_ANSWER")
        done.wait(DEADLINE)
    finally:
        feeder.kill()
        feeder.wait()
        feeder.stdout.close()
    return max(ended - began, 0.0), expected


def _rate(make: Callable[[], Any], kind: str, template: bytes, count: int) -> tuple[float, int]:
    client = make()
    seconds, came = consume(client, kind, template, count)
    if isinstance(client, Connection):
        client.stop()
    else:  # its stop() would wait for ever on a peer that has gone
        gevent.killall([client._receive_events_greenlet, client._process_events_greenlet], timeout=1)
        client.sock_file.close()
        client.sock.close()
    return (came / seconds if seconds else 0.0), came


def run() -> list[Figure]:
    """Both clients, one after the other, in this process. About ten seconds."""
    plain, json = templates()
    theirs, _ = _rate(lambda: InboundESL("127.0.0.1", 0, "-", timeout=10), "plain", plain, EVENTS_OF_GREENSWITCH)
    ours, came = _rate(lambda: Connection("127.0.0.1", 0, "-", timeout=10), "json", json, EVENTS)
    ratio = ours / theirs if theirs else 0.0
    return [
        Figure("size of the event, plain", len(plain), "bytes"),
        Figure("events per CPU second, greenswitch", round(theirs), "1/s"),
        Figure("events per CPU second, ccwhisper", round(ours), "1/s"),
        Figure("ccwhisper : greenswitch", round(ratio, 2), "x", ">= 4", ratio >= 4),
        Figure("events delivered, in order, none lost", came, "events", str(EVENTS), came == EVENTS),
    ]
