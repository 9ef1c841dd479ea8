"""Every finding that there is: its id, how bad it is, and why it matters. Ids are stable: scripts go by them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final


class Severity(Enum):
    """An error stops coaching or lets strangers in. A warning costs audio, or will stop it. A note is to be known."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Rule:
    """A kind of finding."""

    severity: Severity
    why: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is amiss. `subject`: what it was found at; `mend`: a command, or what to write where."""

    id: str
    subject: str
    message: str
    mend: str

    @property
    def rule(self) -> Rule:
        """Its kind."""
        return RULES[self.id]


_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE

NODE: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "node_unreachable": Rule(_E, "Without the Event Socket the service neither sees calls nor moves a gate."),
        "answer_not_understood": Rule(_W, "What cannot be read is not checked."),
        # modules
        "module_missing": Rule(_E, "The service uses what this module brings."),
        "module_for_queues_missing": Rule(_W, "Without mod_callcenter there are no queues; other calls are coached."),
        "module_for_browsers_missing": Rule(_W, "Without mod_opus a coach's browser is heard in G.711 or not at all."),
        "module_for_g722_missing": Rule(_N, "Without mod_spandsp phones that want G.722 fall back to G.711."),
        "interface_missing": Rule(
            _E, "The service uses it, and the switch does not offer it: an interface-allowlist in switch.conf.xml."
        ),
        # Event Socket
        "event_socket_stock_password": Rule(_E, "Everybody knows it, and it opens every command of the switch."),
        "event_socket_weak_password": Rule(_W, "Who guesses it can run any command on the switch."),
        "event_socket_open": Rule(_E, "The list lets strangers try passwords; the protocol is not encrypted."),
        "event_socket_listens_widely": Rule(
            _W, "On an address that others reach, one mistake in the list lets them try passwords."
        ),
        # SIP
        "profile_missing": Rule(_E, "Without a running SIP profile there are no calls."),
        "profile_down": Rule(_E, "Phones and callers of this profile reach nobody."),
        "profile_without_digest": Rule(
            _N, "Its callers are nobody: no agent and no coach is known by a call without a digest."
        ),
        "profile_open_acl": Rule(_E, "Addresses on apply-inbound-acl skip the digest, and any address is on it."),
        "profile_believes_unproved": Rule(_E, "With blind authentication whoever names an agent is the agent."),
        "browsers_exposed": Rule(
            _E, "The profile of coaches' browsers has no passwords: whoever reaches it can register there."
        ),
        "browsers_profile_missing": Rule(
            _E, "The configuration lets coaches speak from their browsers, and nobody's browser can be rung."
        ),
        "browsers_unreachable": Rule(
            _E, "The service connects there for every open page; where nobody answers no browser can be rung."
        ),
        "browsers_context_exists": Rule(
            _E, "Who gets to the profile past the service reaches numbers of the dialplan."
        ),
        "browsers_register_users": Rule(
            _E, "Who gets to the profile past the service registers as a user of the directory, and takes his calls."
        ),
        "browsers_cannot_register": Rule(_E, "The service registers each page there, and has no password."),
        "browsers_addresses_refused": Rule(
            _W, "A coach's browser there is refused with INCOMPATIBLE_DESTINATION as soon as it answers."
        ),
        "browsers_media_on_loopback": Rule(_W, "Only a browser on the switch's own machine reaches its media there."),
        "browsers_media_private": Rule(_N, "Browsers outside that network hear nothing without a TURN server."),
        "browsers_certificate_missing": Rule(_E, "Media of a browser is encrypted with it; without, calls fail."),
        "opus_bits_many": Rule(_W, "Browsers then send more than 54 kbit/s, or whatever they like."),
        "opus_rate_high": Rule(_W, "Browsers then spend bits on what no telephone plays."),
        "extended_info_parsing": Rule(_E, "An INFO without authentication then runs commands on the switch."),
        "fire_message_events": Rule(_E, "A SIP message then raises events, from strangers too."),
        "bypass_media": Rule(_E, "Media that passes by the switch cannot be coached: the coach hears nothing."),
        "proxy_media": Rule(_E, "Media that is not opened cannot be coached: the coach hears nothing."),
        "codec_g711_missing": Rule(
            _W, "A coach is offered PCMU and PCMA; a profile without either meets an agent's 8 kHz with other codecs."
        ),
        "codec_not_loaded": Rule(_W, "It is offered by nobody, although the profile names it."),
        "rtp_timer_missing": Rule(_W, "Frames are then paced by what arrives, and a whisper goes with gaps."),
        # agents
        "jitter_buffer_missing": Rule(
            _W, "Attaching a coach costs the caller 40 ms of the agent's speech, at every attach and at every beep."
        ),
        "jitter_buffer_missing_on_own_calls": Rule(
            _W, "The same on calls that the agent makes: those legs do not come from a dial string."
        ),
        "jitter_buffer_missing_on_leg": Rule(
            _W, "This call is up without one: the service switches it on when somebody coaches, which may be heard."
        ),
        "agent_in_stereo": Rule(
            _W, "The switch adds the two channels up: caller and coach hear this agent 6 dB too loud."
        ),
        "agent_unknown": Rule(_W, "The file names a user that the directory does not have: he is never seen."),
        "agents_not_all_checked": Rule(_N, "So many look-ups at once would be a load on a live node."),
        # clock and room
        "clock_differs": Rule(_W, "Tokens, audit rows and recordings then disagree about when something was."),
        "timer_coarse": Rule(_W, "Frames come late, and every conversation through this node with them."),
        "sessions_nearly_used": Rule(_W, "A coach is one more leg; beyond the limit calls are refused."),
        "rate_nearly_used": Rule(_W, "Beyond sessions-per-second calls are refused, the coach's among them."),
        "cpu_busy": Rule(_W, "A coached call takes about 1.5 % of a core; a busy node makes frames late."),
        "rtp_ports_few": Rule(_W, "Two ports a leg: without a free pair a call has no audio."),
        "open_files_few": Rule(_W, "A leg holds about four files; beyond the limit calls fail."),
        # versions
        "version_not_proved": Rule(_N, "What the service relies on was measured on FreeSWITCH 1.11."),
        "version_too_old": Rule(_E, "Before 1.10 eavesdrop's commands by event are missing or behave otherwise."),
    }
)

SERVICE: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "configuration_invalid": Rule(_E, "The service does not start with it."),
        "greenswitch_version": Rule(_E, "The Event Socket layer replaces parts of exactly one version of it."),
        "store_unusable": Rule(_E, "The service does not start, or keeps its audit rows in files until it is back."),
        "state_directory_open": Rule(_W, "The installation's id there is the secret of the lease."),
        "secret_guessable": Rule(_E, "Who guesses the secret of the tokens makes tokens for himself."),
        "token_audience_unchecked": Rule(
            _W, "The identity provider's tokens for other applications are then believed here, too."
        ),
        "certificate_expires": Rule(_W, "Browsers show a warning in the place of the page once it has."),
        "key_open": Rule(_W, "Who has the key can pretend to be the service."),
        "ice_server_unknown": Rule(_W, "Coaches whose browsers need it are not heard."),
        "http_beyond_loopback": Rule(_W, "HTTP is not encrypted: tokens can be read on the way."),
    }
)

RULES: Final[Mapping[str, Rule]] = MappingProxyType({**NODE, **SERVICE})
