"""Event Socket bytes to frames and events, without I/O.

The rules that keep a stranger's text from becoming a header:

1. Frames are cut by ``\\n\\n`` and Content-Length, on bytes. Nothing is decoded before it is cut.
2. A line ends at ``\\n`` and nowhere else; ``str.splitlines`` would also cut at U+0085, U+2028, VT and others.
3. A value is decoded (UTF-8, then URL-decoding for plain events) once, after it has been cut, and never cut again.

A peer's garbage is a state (``Splitter.broken``), never an exception.

Events come as JSON, written by ``switch_event_serialize_json_obj`` (FreeSWITCH ``src/switch_event.c``): every value is
a string, or an array of strings for a header with several values; the event's body is the key ``_body``. Its printer
copies bytes above 0x7F as they are, so one Latin-1 display name makes the document invalid UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson

MAX_HEADER_BYTES = 64 * 1024
"""Largest frame header block accepted; FreeSWITCH writes less than 1 KiB for everything but user permissions."""

MAX_BODY_BYTES = 64 * 1024 * 1024
"""Largest body accepted. ``show channels as json`` is about 1 KiB a channel."""

_DIGITS = re.compile(r"[0-9]{1,10}\Z")


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of the Event Socket: its header lines, decoded, and its body as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """The frame's ``Content-Type``, or an empty string."""
        return self.headers.get("Content-Type", "")


@dataclass(frozen=True, slots=True)
class Event:
    """An event, or the reply to a command, in the shape that greenswitch handlers expect (``headers``, ``data``).

    A header with several values reads ``ARRAY::one|:two``, as ``switch_event_base_add_header`` joins it and as the
    plain format shows it. Where a header is repeated (only another Event Socket client can do that) the last
    one stands.
    """

    headers: Mapping[str, str]
    body: str | None = None

    @property
    def data(self) -> str | None:
        """The body under greenswitch's name: event body, api output, or the Reply-Text of a command."""
        return self.body

    @property
    def name(self) -> str:
        """``Event-Name``, or an empty string for a reply."""
        return self.headers.get("Event-Name", "")

    @property
    def subclass(self) -> str | None:
        """``Event-Subclass`` of a CUSTOM event."""
        return self.headers.get("Event-Subclass")


class Splitter:
    """Cuts a byte stream into frames. Chunk borders do not matter; no input makes it raise."""

    __slots__ = ("_buffer", "_headers", "_length", "_scanned", "broken", "closed")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._headers: dict[str, str] | None = None  # of a frame whose body is still coming
        self._length = 0
        self._scanned = 0
        self.broken: str | None = None
        """Why the stream cannot be understood any more. Once set, ``feed`` returns nothing."""
        self.closed = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take what the socket gave; return the frames it completes."""
        if self.broken is not None or self.closed:
            return []
        self._buffer += data
        if self._headers is not None and len(self._buffer) < self._length:
            return []  # a large body in many pieces costs no copying
        return self._cut()

    def eof(self) -> None:
        """The peer closed. Inside a frame that is a break, between frames it is the normal end."""
        self.closed = True
        if self.broken is None and (self._headers is not None or self._buffer.strip(b"\n")):
            self._break("the stream ended inside a frame")

    def _break(self, reason: str) -> None:
        self.broken = reason
        self._buffer = bytearray()
        self._headers = None

    def _cut(self) -> list[Frame]:
        frames: list[Frame] = []
        buffer = self._buffer
        end = len(buffer)
        position = 0
        headers, length = self._headers, self._length
        while True:
            if headers is None:
                while position < end and buffer[position] == 10:  # a reply that ended in \n leaves one behind
                    position += 1
                border = buffer.find(b"\n\n", max(position, self._scanned))
                if border < 0:
                    if end - position > MAX_HEADER_BYTES:
                        self._break("header block too large")
                        return frames
                    self._scanned = max(end - position - 1, 0)
                    break
                self._scanned = 0
                if border - position > MAX_HEADER_BYTES:
                    self._break("header block too large")
                    return frames
                headers, length_or_reason = _parse_headers(bytes(buffer[position:border]))
                if isinstance(length_or_reason, str):
                    self._break(length_or_reason)
                    return frames
                length = length_or_reason
                position = border + 2
            if end - position < length:
                break
            frames.append(Frame(headers, bytes(buffer[position : position + length])))
            position += length
            headers = None
        self._headers, self._length = headers, length
        del buffer[:position]
        return frames


def _parse_headers(block: bytes) -> tuple[dict[str, str], int | str]:
    headers: dict[str, str] = {}
    length: str | None = None
    for line in block.decode("utf-8", "replace").split("\n"):
        name, colon, value = line.partition(":")
        if not colon:
            continue
        value = value.strip(" \r\t")
        if name.lower() == "content-length":
            if length is not None and length != value:
                return headers, "two different Content-Length headers"
            length = value
        headers[name] = value
    if length is None:
        return headers, 0
    if not _DIGITS.match(length):
        return headers, "Content-Length is not a number"
    size = int(length)
    return headers, size if size <= MAX_BODY_BYTES else "body too large"


def parse_event_plain(body: bytes) -> dict[str, str]:
    """Headers of a ``text/event-plain`` body: cut first, then each value URL-decoded. The event's body is ``_body``.

    ``switch_url_encode`` leaves a ``%0A`` that the caller wrote as it is, so a decoded value may hold a newline: it is
    text, never a header. ccwhisper asks for JSON; this is for other users of the layer.
    """
    block, _, rest = body.partition(b"\n\n")
    headers: dict[str, str] = {}
    for line in block.split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon:
            decoded = unquote_to_bytes(value.strip(b" \r")).decode("utf-8", "replace")
            headers[name.decode("utf-8", "replace")] = decoded
    length = headers.get("Content-Length", "")
    if _DIGITS.match(length):
        headers["_body"] = rest[: int(length)].decode("utf-8", "replace")
    return headers


def parse_event_json(body: bytes) -> Event:
    """The event of a ``text/event-json`` body.

    Raises ValueError when the body is no JSON object even after invalid UTF-8 has been replaced by U+FFFD. Replacing
    cannot move a quote: it only touches bytes above 0x7F.
    """
    try:
        document: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = orjson.loads(body.decode("utf-8", "replace"))
    if not isinstance(document, dict):
        raise ValueError("an event must be a JSON object")
    try:
        "".join(document.values())  # the quickest question whether all are strings; they nearly always are
    except TypeError:
        document = {name: _text(value) for name, value in document.items()}
    text: str | None = document.pop("_body", None)
    return Event(document, text)


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "ARRAY::" + "|:".join(map(_text, value))
    return orjson.dumps(value).decode()
