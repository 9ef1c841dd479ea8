"""How a coach's phone is rung: with whose call it is on its display, and with the headers by which its maker lets it
answer by itself. docs/provisioning.md has what each maker wants, and the phone's own setting. And what becomes of a
phone that has dialled in.

What a display shows comes from names that people have given to agents, so it is reduced to plain text: `%` would be
decoded once more on its way (`check_decode` in sofia_glue.c), and what is not ASCII cannot stand in a dial string.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching.model import is_browser
from ccwhisper.coaching.modes import Gate
from ccwhisper.switch import commands as cmd
from ccwhisper.switch import grammar, records
from ccwhisper.switch.commands import Command
from ccwhisper.switch.keypad import KEYS

# The address in front is what the syntax of both headers wants (RFC 3261, 20.4 and 20.9); phones read the parameters.
# Plain words, "Alert-Info: Auto Answer", are no address: the switch leaves such a header out without a word (measured;
# sip_info_d in sofia-sip).
_CALL_INFO: Final = {"Call-Info": "<sip:ccwhisper.invalid>;answer-after=0"}
_ALERT_INFO: Final = {"Alert-Info": "<sip:ccwhisper.invalid>;info=alert-autoanswer;delay=0"}

ANSWERS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "none": {},
        "common": _CALL_INFO | _ALERT_INFO,
        "audiocodes": _CALL_INFO | _ALERT_INFO,
        "avaya": _CALL_INFO | _ALERT_INFO,
        "cisco": _CALL_INFO,
        "fanvil": _CALL_INFO | _ALERT_INFO,
        "gigaset": _CALL_INFO | _ALERT_INFO,
        "grandstream": _CALL_INFO | _ALERT_INFO,
        "mitel": _ALERT_INFO,
        "poly": {"Alert-Info": "<http://ccwhisper.invalid/auto-answer>"},
        "snom": _CALL_INFO,
        "yealink": _ALERT_INFO,
        "answer-after": {"Answer-After": "0"},
        "answer-mode": {"Answer-Mode": "Auto"},  # RFC 5373
        "p-auto-answer": {"P-Auto-Answer": "normal"},
    }
)
"""The words of the configuration, and the headers that they put into the INVITE. A phone that does not know them, or is
set not to obey them, rings."""

BROWSER_PROFILE: Final = "browsers"
"""The profile of `freeswitch-conf/` at which coaches' browsers are registered."""

SESSION_HEADER: Final = "X-CCW-Session"

_LONGEST: Final = 60
_NOT_PLAIN: Final = re.compile(r"[^A-Za-z0-9 ._+-]+")

_PROMPT: Final = re.compile(r"[a-z][a-z-]{0,31}\Z")


def plain(text: str) -> str:
    """Text as any phone can show it: letters without their accents, digits, a few signs; the rest is left out."""
    letters = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join(_NOT_PLAIN.sub(" ", letters).split())[:_LONGEST].rstrip()


def ring(effect: fx.Dial, installation: str, title: str, answer: str) -> Command:
    """Originate a coach's leg, parked when it is answered. `title` stands before the agent's name, `answer` is a word
    of ANSWERS. Raises UnsafeArgument for a device that is none."""
    user, _, domain = effect.device.partition("@")
    variables = {
        "origination_uuid": effect.leg,
        "origination_caller_id_name": f"{title} {plain(effect.agent_name)}".rstrip(),
        "absolute_codec_string": "^^:" + ":".join(effect.codecs),
        "originate_timeout": str(effect.ring_seconds),
        "ignore_early_media": "true",
        # Keys of the coach's phone must not reach eavesdrop's own handler, nor the agent.
        "eavesdrop_enable_dtmf": "false",
        records.ROLE: records.COACH,
        records.LEASE: installation,
        records.SESSION: records.dump(effect.record),
        records.GATE: Gate.CLOSED.value,
        **records.ALONE,
    }
    number = plain(effect.caller_number).replace(" ", "")
    if number:
        variables["origination_caller_id_number"] = number
    if is_browser(effect.device):
        # By the header its relay and its page know that the call is theirs to answer.
        where = cmd.Registration(user, domain, BROWSER_PROFILE)
        return cmd.originate(variables, where, headers={SESSION_HEADER: effect.session})
    return cmd.originate(variables, cmd.user(user, domain), headers=ANSWERS[answer], keys=True)


def _file(prompt: str) -> str:
    # The switch puts the directory in: a channel variable of the dialplan's, or else a global one.
    return f"${{ccw_sounds}}/{grammar.matched(_PROMPT, prompt, 'a prompt')}.wav"


def admit(leg: str, prompt: str | None) -> Command:
    """Bind the keys of a leg that has dialled in, let it hear a prompt if there is one, and park it."""
    target = grammar.leg(leg)
    play = "" if prompt is None else f"|playback:{_file(prompt)}"
    return Command(f"uuid_transfer {target} 'm:|:{KEYS}{play}|park' inline", f"admit {target}")


def decline(leg: str, prompt: str) -> Command:
    """Let a leg hear a prompt, and end it."""
    target = grammar.leg(leg)
    return Command(f"uuid_transfer {target} 'm:|:playback:{_file(prompt)}|hangup' inline", f"decline {target}")
