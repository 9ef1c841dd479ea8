"""Session descriptions of the phones: one audio stream, offer and answer (RFC 4566, 3264), SDES keys (RFC 4568)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from ccwhisper.proof.codecs import Codec, codec_of_rtpmap

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

EVENT_TYPE = 101
SUITE = "AES_CM_128_HMAC_SHA1_80"
_DIRECTIONS: dict[str, Direction] = {word: word for word in get_args(Direction)}
_STATIC = {0: "PCMU/8000", 8: "PCMA/8000", 9: "G722/8000"}


@dataclass(frozen=True)
class Description:
    """What one side says about its audio: where to send it, what it can decode, and which way it wants it to flow.

    `codecs` holds (payload type, codec) in order of preference; `event_type` is the payload type of
    telephone-event (RFC 4733) or None. In RTP/SAVP `key` is the SDES master key and salt, `crypto_tag` its tag.
    """

    host: str
    port: int
    codecs: tuple[tuple[int, Codec], ...]
    direction: Direction = "sendrecv"
    event_type: int | None = EVENT_TYPE
    secure: bool = False
    crypto_tag: int = 1
    key: bytes | None = field(default=None, repr=False)

    def render(self, session: int, version: int) -> bytes:
        """The description as text, with the session id and version of its origin line."""
        types = [number for number, _ in self.codecs] + ([self.event_type] if self.event_type is not None else [])
        lines = [
            "v=0",
            f"o=- {session} {version} IN IP4 {self.host}",
            "s=-",
            f"c=IN IP4 {self.host}",
            "t=0 0",
            f"m=audio {self.port} RTP/{'SAVP' if self.secure else 'AVP'} {' '.join(map(str, types))}",
        ]
        for number, codec in self.codecs:
            lines += [f"a=rtpmap:{number} {codec}"] + [f"a=fmtp:{number} {codec.parameters}"] * bool(codec.parameters)
        if self.event_type is not None:
            lines += [f"a=rtpmap:{self.event_type} telephone-event/8000", f"a=fmtp:{self.event_type} 0-15"]
        if self.secure and self.key is not None:
            lines.append(f"a=crypto:{self.crypto_tag} {SUITE} inline:{base64.b64encode(self.key).decode()}")
        lines += ["a=ptime:20", f"a={self.direction}", ""]
        return "\r\n".join(lines).encode()


def parse(body: bytes) -> Description:
    """Read the first audio stream of a description. Raises ValueError when there is none or it cannot be read."""
    host, port, secure = "", -1, False
    types: list[int] = []
    maps = dict(_STATIC)
    direction: Direction = "sendrecv"
    key: bytes | None = None
    tag = 1
    inside = False
    for line in body.decode("utf-8", "replace").splitlines():
        kind, _, value = line.partition("=")
        if kind == "m":
            if inside:
                break
            media, port_text, profile, *formats = value.split()
            inside = media == "audio"
            if inside:
                port, secure = int(port_text.partition("/")[0]), "SAVP" in profile
                types = [int(number) for number in formats if number.isdigit()]
        elif kind == "c" and value.strip() and (inside or not host):
            host = value.split()[-1].partition("/")[0]
        elif kind == "a" and (inside or port < 0):
            name, _, rest = value.partition(":")
            if name == "rtpmap":
                number, encoding = rest.split(None, 1)
                maps[int(number)] = encoding.strip()
            elif name in _DIRECTIONS:
                direction = _DIRECTIONS[name]
            elif name == "crypto" and key is None:
                tag_text, suite, parameters, *_ = rest.split()
                if suite == SUITE:
                    tag, key = int(tag_text), base64.b64decode(parameters.removeprefix("inline:").partition("|")[0])
    if port < 0 or not host:
        raise ValueError("the description has no audio stream")
    codecs: list[tuple[int, Codec]] = []
    event_type: int | None = None
    for payload_type in types:
        encoding = maps.get(payload_type, "")
        codec = codec_of_rtpmap(encoding)
        if codec is not None:
            codecs.append((payload_type, codec))
        elif encoding.lower().startswith("telephone-event/") and (event_type is None or encoding.endswith("/8000")):
            event_type = payload_type
    if host == "0.0.0.0":  # the hold of RFC 2543, still sent by some
        direction = "inactive" if direction in ("recvonly", "inactive") else "sendonly"
    return Description(host, port, tuple(codecs), direction, event_type, secure, tag, key)


def common(offer: Description, mine: Sequence[Codec]) -> tuple[int, Codec] | None:
    """The first codec of the offer that we speak, with the offer's payload type; None when there is none."""
    return next(((number, ours) for number, codec in offer.codecs for ours in mine if str(ours) == str(codec)), None)


def answer_direction(offered: Direction, wanted: Direction) -> Direction:
    """What to answer to an offered direction when we want `wanted` (RFC 3264, section 6.1)."""
    send = offered in ("sendrecv", "recvonly") and wanted in ("sendrecv", "sendonly")
    receive = offered in ("sendrecv", "sendonly") and wanted in ("sendrecv", "recvonly")
    if send:
        return "sendrecv" if receive else "sendonly"
    return "recvonly" if receive else "inactive"
