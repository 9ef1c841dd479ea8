"""The commands ccwhisper gives a switch, each built from checked parts.

A builder either returns a Command or raises UnsafeArgument; there is no third way for text to reach the switch.
``text`` of an api command is the command without the word ``api``; Connection and Link add that. Other commands
(``sendevent``, ``event``) are complete, and only they have more than one line.

Reads of the FreeSWITCH source behind the checks are beside the line that depends on them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from ccwhisper.switch import grammar
from ccwhisper.switch.errors import UnsafeArgument
from ccwhisper.switch.keypad import KEYS

_JOB = re.compile(r"[0-9a-fA-F-]{36}\Z")
_CAUSE = re.compile(r"[A-Z][A-Z0-9_]{1,63}\Z")
_USER = re.compile(r"[A-Za-z0-9_.+-]{1,64}\Z")
_DOMAIN = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9]([A-Za-z0-9-]{0,62}))*\Z")
_TONE = re.compile(
    r"tone_stream://v=-?[0-9]{1,2}(;%\([0-9]{1,5},[0-9]{1,5}(,[0-9]{1,5}(\.[0-9]{1,2})?){1,4}\)){1,16}\Z"
)
_EVENT_NAME = re.compile(r"[A-Z][A-Z_]{1,63}\Z")
_SUBCLASS = re.compile(r"[A-Za-z0-9_.-]{1,64}::[A-Za-z0-9_.-]{1,64}\Z")
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}\Z")
_RANDOM = re.compile(r"[A-Za-z0-9_-]{8,128}\Z")
_WORD = re.compile(r"[A-Za-z0-9_.:@+-]{1,128}\Z")

# Applications that may run on a leg we originate. None of them takes a shell command, a script or a file.
_INLINE_APPS: Final = frozenset({"answer", "eavesdrop", "echo", "hangup", "park", "sleep"})

# With Unique-ID the event goes to that leg and no listener sees it; Content-Length makes read_packet wait for a body;
# the rest are written by the switch or by the builder.
_RESERVED_HEADERS: Final = frozenset(
    {"unique-id", "content-length", "event-name", "event-subclass", "command", "content-type", "event-uuid", "job-uuid"}
)

_DIGITS: Final = ("0", "2", "3")


@dataclass(frozen=True, slots=True)
class Command:
    """What goes over the wire (``text``) and what may go into a log (``label``: verb and leg, never a value)."""

    text: str
    label: str
    api: bool = True

    def __post_init__(self) -> None:
        if self.api:
            grammar.line(self.text)
        else:
            for one in self.text.split("\n"):
                grammar.line(one)

    def __repr__(self) -> str:
        return f"Command({self.label})"

    def background(self, job_uuid: str) -> Command:
        """The same api command through ``bgapi``; its result comes as a BACKGROUND_JOB event with this Job-UUID."""
        if not self.api:
            raise UnsafeArgument("only an api command can run in the background")
        job = grammar.matched(_JOB, job_uuid, "a job's uuid")
        return Command(f"bgapi {self.text}\nJob-UUID: {job}", f"bgapi {self.label}", api=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A directory user to ring, ``user/1001@example.org``."""

    user: str
    domain: str

    def __post_init__(self) -> None:
        grammar.matched(_USER, self.user, "a directory user")
        grammar.matched(_DOMAIN, self.domain, "a domain")

    @property
    def dial(self) -> str:
        """The dial string."""
        return f"user/{self.user}@{self.domain}"


@dataclass(frozen=True, slots=True)
class Registration(Endpoint):
    """Whoever has registered an address at a profile, by whatever connection, without a look at the directory."""

    profile: str

    def __post_init__(self) -> None:
        super(Registration, self).__post_init__()
        grammar.matched(_USER, self.profile, "a profile's name")

    @property
    def dial(self) -> str:
        """The dial string."""
        return f"sofia/{self.profile}/{self.user}%{self.domain}"


def user(name: str, domain: str) -> Endpoint:
    """The endpoint of a directory user. The domain is a host name or an IPv4 address."""
    return Endpoint(name, domain)


# --- variables and views ------------------------------------------------------------------------------------------


def uuid_setvar(leg: str, name: str, value: str | None) -> Command:
    """Set one channel variable, or unset it with None. ``-ERR`` when the leg is gone.

    ``${…}`` is stored as text (``uuid_setvar_function`` switches the variable check off).
    """
    target, variable = grammar.leg(leg), grammar.variable(name)
    tail = "" if value is None else " " + grammar.stored_text(value)
    return Command(f"uuid_setvar {target} {variable}{tail}", f"uuid_setvar {target} {variable}")


def uuid_setvar_multi(leg: str, values: Mapping[str, str | None]) -> Command:
    """Set several variables of a leg in one command, 1 to 60; None unsets.

    ``;`` would start another variable. ``$`` is refused because here the switch drops a value that looks like a
    variable and still answers +OK (``switch_channel_set_variable`` checks, mod_commands.c does not look).
    """
    if not 1 <= len(values) <= 60:  # argv[64] in uuid_setvar_multi_function; more would be cut off
        raise UnsafeArgument("between 1 and 60 variables can be set at once")
    target = grammar.leg(leg)
    pairs = [
        f"{grammar.variable(name)}={'' if value is None else grammar.stored_text(value, also=';$')}"
        for name, value in values.items()
    ]
    return Command(f"uuid_setvar_multi {target} {';'.join(pairs)}", f"uuid_setvar_multi {target}")


def uuid_dump(leg: str) -> Command:
    """All headers and variables of a leg as one JSON object (``Unique-ID``, ``variable_…``)."""
    target = grammar.leg(leg)
    return Command(f"uuid_dump {target} json", f"uuid_dump {target}")


def uuid_buglist(leg: str) -> Command:
    """What is attached to a leg: a function and a target each, in XML whose text is not escaped
    (``switch_core_media_bug_enumerate``)."""
    target = grammar.leg(leg)
    return Command(f"uuid_buglist {target}", f"uuid_buglist {target}")


def show_channels() -> Command:
    """All legs of the switch as JSON; ``rows`` is absent when there is none.

    ``show`` reads the core database, which is written from events: it lags (tasks were seen after 0.15 s), and is
    ``-ERR SQL disabled`` on a switch started with ``-nosql``. Both measured.
    """
    return Command("show channels as json", "show channels")


def show_calls() -> Command:
    """All bridged pairs as JSON (``uuid``, ``b_uuid``), kept by the core from its BRIDGE and UNBRIDGE events."""
    return Command("show bridged_calls as json", "show bridged_calls")


def show_tasks() -> Command:
    """Scheduled tasks as JSON (``task_id``, ``task_group``), to find leases left behind. Lags too."""
    return Command("show tasks as json", "show tasks")


def callcenter(listing: Literal["agent list", "queue list", "tier list", "member list"]) -> Command:
    """A list of mod_callcenter's as JSON; an object whose ``status`` is not success where the module is not loaded.

    By way of ``json`` and not of ``callcenter_config``: that one writes rows between bars, as they are
    (``list_result_callback`` in mod_callcenter.c), and a caller's name with a bar or a line break in it adds columns
    and callers. No list is asked for by a queue's name, so that no name from outside becomes part of a command.
    """
    if listing not in ("agent list", "queue list", "tier list", "member list"):
        raise UnsafeArgument("a list that mod_callcenter does not have")
    text = f'json {{"command":"callcenter_config","data":{{"arguments":"{listing}"}}}}'
    return Command(text, f"callcenter {listing}")


# --- coaching -----------------------------------------------------------------------------------------------------


def eavesdrop_gate(coach_leg: str, digit: Literal["0", "2", "3"] | str) -> Command:
    """Move a coach's gate: 0 nobody, 2 the agent, 3 everyone. Takes effect within a frame, raises no event.

    Exactly one digit: the switch reads the string character by character. 1 (only the caller) is never sent.
    +OK also for a leg that is gone.
    """
    target = grammar.leg(coach_leg)
    if digit not in _DIGITS:
        raise UnsafeArgument("the gate is 0, 2 or 3")
    text = f"sendevent NOTIFY\nunique-id: {target}\neavesdrop-command: {digit}"
    return Command(text, f"gate {digit} {target}", api=False)


def attach(coach_leg: str, agent_leg: str) -> Command:
    """Put a coach's leg on an agent's leg, gate closed; the coach is parked when the agent's leg ends."""
    coach, agent = grammar.leg(coach_leg), grammar.leg(agent_leg)
    if coach == agent:
        raise UnsafeArgument("a leg cannot coach itself")
    return Command(f"uuid_transfer {coach} 'eavesdrop:{agent},park' inline", f"attach {coach} {agent}")


def broadcast(leg: str, tone: str) -> Command:
    """Play a tone to the party of a parked leg. Never to one that is bridged or eavesdropped on."""
    target, stream = grammar.leg(leg), grammar.matched(_TONE, tone, "a tone")
    return Command(f"uuid_broadcast {target} {stream} aleg", f"uuid_broadcast {target}")


def tone(level_db: int, segments: Iterable[tuple[int, int, Sequence[int]]]) -> str:
    """A tone stream from numbers: level in dB (-60 to 0), then (sound ms, silence ms, frequencies in Hz) each."""
    parts = [f"tone_stream://v={grammar.number(level_db, -60, 0, 'a tone level')}"]
    for sound, silence, frequencies in segments:
        fields = [grammar.number(sound, 1, 60000, "a duration"), grammar.number(silence, 0, 60000, "a pause")]
        fields += [grammar.number(frequency, 20, 20000, "a frequency") for frequency in frequencies]
        parts.append(f"%({','.join(map(str, fields))})")
    return grammar.matched(_TONE, ";".join(parts), "a tone")


def displace_start(leg: str, tone: str, mux: bool = True) -> Command:
    """Play a tone to the party of a leg, mixed with what he hears. Without ``mux`` the two parties lose each other.

    The same tone again while it still plays is ``-ERR``.
    """
    target, stream = grammar.leg(leg), grammar.matched(_TONE, tone, "a tone")
    return Command(f"uuid_displace {target} start {stream} 0{' mux' if mux else ''}", f"uuid_displace {target}")


def jitterbuffer(leg: str, ms: int) -> Command:
    """Give a leg a jitter buffer of ``ms`` (20 to 1000), or take it away with 0."""
    target = grammar.leg(leg)
    # Not a length of 0: check_jb in switch_core_media.c makes a buffer of one frame out of it.
    size = "stop" if ms == 0 else grammar.number(ms, 20, 1000, "a jitter buffer")
    return Command(f"uuid_jitterbuffer {target} {size}", f"uuid_jitterbuffer {target}")


def jitterbuffer_resume(leg: str) -> Command:
    """Let a jitter buffer work that the switch has paused at a bridge. Nothing to a leg that has none."""
    target = grammar.leg(leg)
    return Command(f"uuid_jitterbuffer {target} resume", f"uuid_jitterbuffer {target}")


def renegotiate(leg: str) -> Command:
    """Offer a leg's phone G.711 and nothing else, by a re-INVITE: it does not ring (``uuid_media_reneg``). The answer
    says only that there is such a leg; the new codec comes as the event CODEC."""
    target = grammar.leg(leg)
    codecs = "=PCMU@8000h@20i,PCMA@8000h@20i"
    return Command(f"uuid_media_reneg {target} {codecs}", f"uuid_media_reneg {target}")


def uuid_bridge(leg: str, other: str) -> Command:
    """Bridge two legs. Clear the lease variable of a coach's leg before."""
    one, two = grammar.leg(leg), grammar.leg(other)
    return Command(f"uuid_bridge {one} {two}", f"uuid_bridge {one} {two}")


def uuid_kill(leg: str, cause: str = "NORMAL_CLEARING") -> Command:
    """Hang up one leg."""
    target = grammar.leg(leg)
    return Command(f"uuid_kill {target} {grammar.matched(_CAUSE, cause, 'a hangup cause')}", f"uuid_kill {target}")


def uuid_park(leg: str) -> Command:
    """Park a leg."""
    target = grammar.leg(leg)
    return Command(f"uuid_park {target}", f"uuid_park {target}")


def originate(
    variables: Mapping[str, str],
    endpoint: Endpoint,
    inline_app: str = "park",
    headers: Mapping[str, str] = MappingProxyType({}),
    keys: bool = False,
) -> Command:
    """Ring a directory user and run ``inline_app`` when he answers: ``park``, or ``eavesdrop:<leg>,park``. ``headers``
    are put into the INVITE (``sip_h_…``); angle brackets mean something at the very beginning of a dial string only.
    With ``keys`` his keys are bound first.

    The reply is ``+OK <uuid>`` also when the target of eavesdrop is gone. Slow: send it with ``bgapi``.

    Values are refused that could end the ``{}`` or start another variable or leg: brackets, quotes, ``$``, comma, ``|``
    and ``:_:`` (SWITCH_ENT_ORIGINATE_DELIM). A list of codecs is written ``^^:PCMU:PCMA``. A value with spaces is
    quoted; ``cleanup_separated_string`` takes the quotes off again before the ``{}`` is read.
    """
    pairs = []
    for name, value in variables.items():
        text = grammar.stored_text(value, also=',{}[]<>"$|')
        if ":_:" in text:
            raise UnsafeArgument("a variable's value would start another leg")
        pairs.append(f"{grammar.variable(name)}=" + (f"'{text}'" if " " in text else text))
    for name, value in headers.items():
        text = grammar.stored_text(value, also=',{}[]"$|')
        header = grammar.matched(_HEADER_NAME, name, "a header name")
        pairs.append(f"sip_h_{header}=" + (f"'{text}'" if " " in text else text))
    braces = f"{{{','.join(pairs)}}}" if pairs else ""
    target = "&park()" if inline_app == "park" else f"'{_inline(inline_app)}' inline"
    if keys:
        target = f"'m:|:{KEYS}|{_inline(inline_app).replace(',', '|')}' inline"
    return Command(f"originate {braces}{endpoint.dial} {target}", "originate")


def _inline(apps: str) -> str:
    for app in apps.split(","):
        name, colon, argument = app.partition(":")
        if name not in _INLINE_APPS:
            raise UnsafeArgument("an application that is not on the list")
        if name == "eavesdrop":
            grammar.leg(argument)
        elif colon:
            grammar.matched(_WORD, argument, "an application's argument")
    return apps


# --- what happens when nobody is left to say it --------------------------------------------------------------------


def sched_api(seconds: int, group: str, command: Command) -> Command:
    """Run an api command in so many whole seconds (1 to 86400). The reply is ``+OK Added: <task id>``.

    Measured: +2 can fire after 1.5 s. A ``&`` at the end would be taken off and mean "own thread"
    (``sched_api_function``). A task whose group is a leg's uuid is deleted when that leg ends
    (``switch_scheduler_del_task_group`` in switch_core_session.c).
    """
    delay = grammar.number(seconds, 1, 86400, "a delay in seconds")
    task_group = grammar.group(group)
    if not command.api or command.text.endswith("&"):
        raise UnsafeArgument("only a plain api command can be scheduled")
    return Command(f"sched_api +{delay} {task_group} {command.text}", f"sched_api {command.label}")


def sched_del(task_id: int) -> Command:
    """Delete one scheduled task. The answer is +OK also when there is none: ``+OK Deleted: 0``."""
    return Command(f"sched_del {grammar.number(task_id, 1, 2**31 - 1, 'a task id')}", f"sched_del {task_id}")


def sched_del_group(group: str) -> Command:
    """Delete every task of a group, whoever made it. Prefer ``sched_del``."""
    task_group = grammar.group(group)
    return Command(f"sched_del {task_group}", "sched_del group")


def lease(seconds: int, group: str, variable: str, value: str) -> Command:
    """Hang up, in so many seconds, every leg whose ``variable`` has ``value``, unless the task is deleted before.

    The value must be a random id, 8 characters at least of ``A-Z a-z 0-9 _ -``. Without a value ``hupall`` hangs up
    every call of the switch, and a global variable of that name and value does too, as look-up falls back to globals.
    """
    name = grammar.variable(variable)
    text = f"hupall NORMAL_CLEARING {name} {grammar.matched(_RANDOM, value, 'the value of a lease')}"
    return sched_api(seconds, group, Command(text, f"hupall {name}"))


def deadman(seconds: int, coach_leg: str, agent_leg: str) -> Command:
    """Close a coach's gate, in so many seconds, by attaching his leg afresh. The group is the coach's leg.

    So the switch deletes the task by itself when that leg ends (measured on 1.11, DEL_SCHEDULE).
    """
    return sched_api(seconds, coach_leg, attach(coach_leg, agent_leg))


# --- events -------------------------------------------------------------------------------------------------------


def custom_event(subclass: str, headers: Mapping[str, str]) -> Command:
    """Raise a CUSTOM event for all listeners. Never with Unique-ID, in any case: that would send it to a leg."""
    lines = ["sendevent CUSTOM", f"Event-Subclass: {grammar.matched(_SUBCLASS, subclass, 'an event subclass')}"]
    for name, value in headers.items():
        if grammar.matched(_HEADER_NAME, name, "a header name").lower() in _RESERVED_HEADERS:
            raise UnsafeArgument("a header that the switch gives a meaning")
        lines.append(f"{name}: {grammar.header_text(value)}")
    return Command("\n".join(lines), f"sendevent {subclass}", api=False)


def events_subscription(names: Sequence[str], subclasses: Sequence[str] = ()) -> Command:
    """Subscribe to events, as JSON. Names after CUSTOM are subclasses, so CUSTOM stands last (``parse_command``)."""
    words = [grammar.matched(_EVENT_NAME, name, "an event name") for name in names]
    if "CUSTOM" in words:
        raise UnsafeArgument("CUSTOM events are named by their subclass")
    if subclasses:
        words += ["CUSTOM", *(grammar.matched(_SUBCLASS, one, "an event subclass") for one in subclasses)]
    if not words:
        raise UnsafeArgument("a subscription names at least one event")
    return Command(f"event json {' '.join(words)}", "event json", api=False)
