"""What may stand where in a line that the switch will parse. Every check raises UnsafeArgument without the value."""

from __future__ import annotations

import re
from typing import Final

from ccwhisper.switch.errors import UnsafeArgument

MAX_LINE_BYTES: Final = 8 * 1024 * 1024
"""``read_packet`` of mod_event_socket cuts a command at 10,485,760 bytes without a word; we stop before it."""

_LEG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}\Z")
_NAME = re.compile(r"[A-Za-z0-9_]{1,128}\Z")
_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}\Z")
_PRINTABLE = re.compile(r"[\x20-\x7e]*\Z")
# C0, DEL, C1 (which holds U+0085), the two Unicode line separators, and halves of surrogate pairs
_UNSAFE_IN_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def matched(pattern: re.Pattern[str], value: object, what: str) -> str:
    """``value`` if it is a string that matches as a whole."""
    if not isinstance(value, str) or not pattern.match(value):
        raise UnsafeArgument(f"{what} is not acceptable")
    return value


def number(value: object, low: int, high: int, what: str) -> int:
    """``value`` if it is an int (no bool) within the bounds, both included."""
    if type(value) is not int or not low <= value <= high:
        raise UnsafeArgument(f"{what} must be a whole number from {low} to {high}")
    return value


def line(text: object) -> str:
    """One safe, non-empty line, or UnsafeArgument.

    Refused besides control characters and line separators: a line that mentions both ``reload`` or ``unload`` and
    ``mod_event_socket``, wherever they stand: ``parse_command`` replaces such a line by the real (un)load command.
    """
    if not isinstance(text, str) or not text.strip(" "):
        raise UnsafeArgument("a command must be one line of text")
    if _UNSAFE_IN_LINE.search(text):
        raise UnsafeArgument("a command must not hold control characters or line separators")
    lowered = text.lower()
    if "mod_event_socket" in lowered and ("reload" in lowered or "unload" in lowered):
        raise UnsafeArgument("a command must not touch mod_event_socket")
    if len(text) > MAX_LINE_BYTES or len(text.encode()) > MAX_LINE_BYTES:
        raise UnsafeArgument("a command must be shorter")
    return text


def leg(value: object) -> str:
    """A leg's uuid: the usual 36 characters, or what somebody else chose with ``origination_uuid``.

    ``all`` is refused: to the application eavesdrop it means every channel of the switch (mod_dptools.c,
    ``eavesdrop_function``). A leading ``-`` is refused: ``-bleg`` and ``-both`` are flags of uuid_transfer.
    """
    text = matched(_LEG, value, "a leg's uuid")
    if text.lower() == "all":
        raise UnsafeArgument("'all' is every channel, not a leg")
    return text


def variable(value: object) -> str:
    """The name of a channel variable."""
    return matched(_NAME, value, "a variable's name")


def group(value: object) -> str:
    """The group of a scheduled task. All digits are refused: ``sched_del`` takes them for a task id."""
    text = matched(_GROUP, value, "a task group")
    if text.isdigit():
        raise UnsafeArgument("a task group must not be a number")
    return text


def stored_text(value: object, also: str = "") -> str:
    """A variable's value that the switch stores exactly as given: printable ASCII, one line, not empty.

    Quotes ``'`` and backslashes are refused because ``cleanup_separated_string`` (switch_utils.c) eats them, spaces at
    the ends because it trims them, a leading ``ARRAY::`` because it makes a list. Anything richer goes as base64url.
    ``also`` names further characters to refuse.
    """
    text = matched(_PRINTABLE, value, "a variable's value")
    if not text:
        raise UnsafeArgument("an empty value unsets a variable: say so with None")
    if text != text.strip(" ") or text.startswith("ARRAY::") or any(char in text for char in "'\\" + also):
        raise UnsafeArgument("a variable's value would not be stored as it is")
    return text


def header_text(value: object) -> str:
    """The value of one header line of ``sendevent``: any text of one line that arrives as it was sent."""
    if not isinstance(value, str) or _UNSAFE_IN_LINE.search(value):
        raise UnsafeArgument("a header must be one line of text")
    if not value or value != value.strip(" ") or value.startswith("ARRAY::"):
        raise UnsafeArgument("a header would not arrive as it is")
    return value
