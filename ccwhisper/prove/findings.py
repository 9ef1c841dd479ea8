"""What can be found wrong: an id that stays the same, how grave it is, what it means to people, and the mend."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Gravity(StrEnum):
    """How grave a finding is. With a leak or a fault the proof has failed."""

    LEAK = "leak"
    FAULT = "fault"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding."""

    id: str
    gravity: Gravity
    title: str
    why: str
    mend: str


_LEAK, _FAULT, _WARNING = Gravity.LEAK, Gravity.FAULT, Gravity.WARNING
_ATTACH: Final = (
    "Set neither eavesdrop_whisper_aleg nor eavesdrop_whisper_bleg, neither as a global variable nor for the coach's"
    " user, and let nothing but ccwhisper attach to the call."
)
_BUFFER: Final = (
    "Give agents' legs jitterbuffer_msec=40 and rtp_jitter_buffer_during_bridge=true, in the directory (dial-var-) or"
    " as [...] before the queue's contact."
)

KINDS: Final[dict[str, Kind]] = {
    kind.id: kind
    for kind in (
        Kind(
            "leak.caller-hears-coach", _LEAK, "The caller hears the coach",
            "What was meant for the agent, or for nobody, reached the customer.", _ATTACH,
        ),
        Kind(
            "leak.agent-hears-coach", _LEAK, "The agent hears a coach who only listens",
            "A closed microphone was open.", _ATTACH,
        ),
        Kind(
            "leak.caller-hears-beep", _LEAK, "The caller hears the beep",
            "The tone that tells the agent of a whisper tells the customer, too.",
            "Play the beep by nothing but ccwhisper, and on no other leg than the agent's.",
        ),
        Kind(
            "leak.next-caller", _LEAK, "The next caller hears the coach",
            "A coach who had joined one conversation was heard in the next.",
            "Let nothing but ccwhisper move the gate; look in its log for what it answered to the re-bridge.",
        ),
        Kind(
            "leak.on-hold", _LEAK, "Somebody hears the coach while the call is on hold",
            "The gate stayed open while the agent believed himself alone.",
            "Let the switch send its CHANNEL_HOLD events, and let nothing but ccwhisper move the gate.",
        ),
        Kind(
            "attach.callers-leg", _LEAK, "A coach is attached to the caller's leg",
            "There the meaning of the gate is turned round: a whisper goes to the customer.", _ATTACH,
        ),
        Kind(
            "keypad.reached-party", _LEAK, "The coach's keys reach a party",
            "Keys (RFC 4733) that a coach presses arrive at agent or caller, where a voice menu would obey them.",
            "Attach coaches with eavesdrop_enable_dtmf=false only.",
        ),
        Kind(
            "keypad.moved-gate", _LEAK, "A key of the coach moves the gate",
            "Pressing 1 on an unprotected eavesdrop opens the microphone towards the customer.",
            "Attach coaches with eavesdrop_enable_dtmf=false only.",
        ),
        Kind(
            "recording.holds-coach", _LEAK, "The recording holds the coach's voice",
            "Whoever may listen to the recording, the customer included, hears what was whispered.",
            "Record the caller's leg and never the agent's.",
        ),
        Kind(
            "recording.holds-beep", _LEAK, "The recording holds the beep",
            "It tells whoever listens that the agent was being coached.",
            "Record the caller's leg and never the agent's.",
        ),
        Kind(
            "recording.agents-leg", _LEAK, "Something records the agent's leg",
            "A whisper is mixed into what the agent hears, and a recording of his leg holds it.",
            "Record the caller's leg: record-template in mod_callcenter does; record_session belongs before bridge.",
        ),
        Kind(
            "whisper.not-heard", _FAULT, "The agent does not hear the whisper",
            "The coach believes that he is heard and is not.",
            "See whether the call's media is in the switch, and which codecs coach and agent have.",
        ),
        Kind(
            "barge.not-heard", _FAULT, "The coach is not heard after barging in",
            "The coach believes that he is heard and is not.",
            "See whether the call's media is in the switch, and which codecs coach and agent have.",
        ),
        Kind(
            "coach.hears-nobody", _FAULT, "The coach does not hear the call",
            "Attached without an error, and silence.",
            "Keep the call's media in the switch: no bypass, no proxy media.",
        ),
        Kind(
            "party.not-heard", _FAULT, "Caller and agent do not hear each other",
            "Coaching harms the conversation, or the call was not whole to begin with.",
            "Compare with the look before anybody coached; the beep needs mux.",
        ),
        Kind(
            "sound.garbled", _FAULT, "Somebody hears what nobody says",
            "Typical of a whisper at another rate than the agent's leg: noise at a wrong pitch.",
            "Offer the coach's phone a codec whose rate is not above that of the agent's leg.",
        ),
        Kind(
            "codec.coach-too-wide", _FAULT, "The coach's codec is wider than the agent's leg",
            "The switch mixes the whisper at the agent's rate and does not convert it.",
            "Let ccwhisper choose the coach's codecs: nothing may set absolute_codec_string for his user.",
        ),
        Kind(
            "beep.not-heard", _FAULT, "The agent hears no beep",
            "He is spoken to without notice.",
            "Load mod_tone_stream; see the service's log for what displace answered.",
        ),
        Kind(
            "beep.cuts-speech", _FAULT, "The beep interrupts the conversation",
            "While it sounds the parties lose each other.",
            "Play it by uuid_displace with mux and never by uuid_broadcast: ccwhisper does.",
        ),
        Kind(
            "frames.lost", _FAULT, "The caller loses some of the agent's speech",
            "Each attach and each beep empties the input of the agent's leg, about 40 ms.", _BUFFER,
        ),
        Kind(
            "frames.foreign", _FAULT, "The caller gets frames that the agent did not send",
            "Something is mixed into the agent's voice, or it is coded anew.",
            "Put the same 8 kHz codec first on both profiles, and attach nothing to the caller's leg.",
        ),
        Kind(
            "media.not-in-switch", _FAULT, "The call's media does not pass through the switch",
            "What the switch does not hold it can neither copy to a coach nor mix.",
            "Set neither bypass_media nor proxy_media on calls that are to be coached.",
        ),
        Kind(
            "call.not-delivered", _FAULT, "The synthetic call did not reach the agent",
            "Nothing could be proved.", "Dial the number by hand; the agent must be available in the queue, and free.",
        ),
        Kind(
            "call.not-recognised", _FAULT, "The service does not see the call as the agent's",
            "A call whose agent leg is not proved to be one cannot be coached.",
            "auth-calls=true on the agents' profile; the agent's leg must be a directory user's.",
        ),
        Kind(
            "coach.not-attached", _FAULT, "The coach could not be attached",
            "Nothing could be proved.", "See whether the coach's phone rings by `originate user/…`.",
        ),
        Kind(
            "proof.interfered", _FAULT, "The proof did not come to its end",
            "A leg ended, or the service refused, in the middle.", "See the words beside it, and the service's log.",
        ),
        Kind(
            "jitter-buffer.missing", _WARNING, "The agent's leg has no jitter buffer of its own",
            "The service gives it one as it attaches; a beep or a coach of anything else would cost speech.", _BUFFER,
        ),
        Kind(
            "codec.coded-anew", _WARNING, "Caller and agent have different codecs",
            "Every frame is coded anew, so what is untouched cannot be shown bit by bit, only by its spectrum.",
            "Put the same 8 kHz codec first on both profiles, with inherit_codec=true.",
        ),
        Kind(
            "latency.high", _WARNING, "The whisper is late",
            "An agent who hears advice late answers the wrong question.",
            "See the load of the switch, and its network to the coach's phone.",
        ),
        Kind(
            "latency.not-measured", _WARNING, "How late a whisper is was not measured",
            "The codecs of coach and agent have different rates, or the whisper was not found.",
            "Give both phones a codec of the same rate.",
        ),
        Kind(
            "recording.not-checked", _WARNING, "The recording could not be read here",
            "Whether it is clean was not shown.", "Name a folder that the switch writes to and that can be read here.",
        ),
        Kind(
            "browser.not-ready", _FAULT, "A coach's browser cannot be rung",
            "The page that is to be his phone is not registered at the switch.",
            "See what ccwhisper doctor finds of the profile for browsers.",
        ),
        Kind(
            "browser.not-checked", _WARNING, "Coaching from the browser was not proved",
            "The node has a profile for browsers, and there was no browser to try it with.",
            "Run it where Chromium and Playwright are (apt-get install chromium; pip install playwright).",
        ),
        Kind(
            "call.of-others", _WARNING, "Real calls were offered to the synthetic agent",
            "They were refused as busy, and nothing was done to them.",
            "Prove on a queue of its own, made like yours, with the synthetic agent alone.",
        ),
    )
}  # fmt: skip
