"""The keys of a coach's phone, as the switch is told of them."""

from __future__ import annotations

from typing import Final

KEY_EVENT: Final = "ccwhisper::key"
"""What a key raises."""

# What a coach's phone does, for as long as it coaches: each key raises an event, and goes nowhere else. A realm of its
# own, so that no binding of the dialplan's counts meanwhile. Written with delimiters that need no quotes and no
# backslashes, for it is taken apart three times (inline_dialplan_hunt, bind_digit_action_function, event_function).
KEYS: Final = (
    f"bind_digit_action:^^;ccw;~^[0-9*#]$;exec[i]:event;Event-Name=CUSTOM,Event-Subclass={KEY_EVENT}"
    "|digit_action_set_realm:ccw"
)
"""Inline applications that bind every key of a leg."""
