"""What a page may say of its media (SDP, RFC 8866): audio alone, encrypted with a key that only the two ends have, and
by the way that both have tried (DTLS-SRTP and ICE, RFC 8827).

The switch would go along with less: without this a page could have the audio sent in the clear, and to any address.
"""

from __future__ import annotations

import re
from typing import Final

TYPE: Final = "application/sdp"

_LINE: Final = re.compile(r"[a-z]=[^\x00-\x08\x0a-\x1f\x7f]*")
_AUDIO: Final = re.compile(r"m=audio [1-9][0-9]{0,4} (UDP/TLS/)?RTP/SAVPF( [0-9]{1,3}){1,64}")
_NEEDED: Final = ("a=fingerprint:", "a=ice-ufrag:", "a=ice-pwd:")
_KEYS_IN_THE_OPEN: Final = ("a=crypto:", "k=")


def is_safe(text: str) -> bool:
    """Whether a page may say so."""
    lines = text.removesuffix("\r\n").split("\r\n")
    if not all(_LINE.fullmatch(line) for line in lines):
        return False
    media = [line for line in lines if line.startswith("m=")]
    if len(media) != 1 or not _AUDIO.fullmatch(media[0]) or any(line.startswith(_KEYS_IN_THE_OPEN) for line in lines):
        return False
    return all(any(line.startswith(each) for line in lines) for each in _NEEDED)
