"""Rules about what is heard: by whom, and whether whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ccwhisper.dialplan.facts import Agent, Facts
from ccwhisper.dialplan.model import Level
from ccwhisper.dialplan.rule import Found, rule
from ccwhisper.dialplan.steps import SPIES, UNKNOWN, Step, dial_variables, true

LENGTH, DURING = "jitterbuffer_msec", "rtp_jitter_buffer_during_bridge"


@rule(
    "whisper-aleg",
    Level.ERROR,
    "eavesdrop_whisper_aleg lets the other party hear the coach",
    why="Attached to an agent's leg, `aleg` is whoever the agent talks to: the caller hears the coach, "
    "and the agent does not.",
    mend="Set neither `eavesdrop_whisper_aleg` nor `eavesdrop_whisper_bleg`: "
    "attach closed, and open the gate by command.",
    bad='<action application="set" data="eavesdrop_whisper_aleg=true"/>',
    good='<action application="set" data="eavesdrop_whisper_aleg=false"/>',
)
def whisper_aleg(facts: Facts) -> Found:
    for each in facts.settings:
        if each.name == "eavesdrop_whisper_aleg" and true(each.value):
            yield each.place, "eavesdrop_whisper_aleg is true: the caller hears the coach"


@rule(
    "whisper-bleg",
    Level.WARNING,
    "eavesdrop_whisper_bleg attaches a coach with an open microphone",
    why="The agent hears the coach's room from the first moment, before anybody chose to whisper, and no beep "
    "tells him.",
    mend="Do not set `eavesdrop_whisper_bleg`: attach closed, and open the gate by command.",
    bad='<action application="set" data="eavesdrop_whisper_bleg=true"/>',
    good='<action application="set" data="eavesdrop_whisper_bleg=false"/>',
)
def whisper_bleg(facts: Facts) -> Found:
    for each in facts.settings:
        if each.name == "eavesdrop_whisper_bleg" and true(each.value):
            yield each.place, "eavesdrop_whisper_bleg is true: the agent hears the coach at once"


@rule(
    "eavesdrop-dtmf",
    Level.ERROR,
    "eavesdrop obeys the keys of the coach's phone",
    why="With DTMF on, which is the default, a key of the coach's phone switches who hears him, past every permission "
    "and audit: 1 makes the caller hear him, 3 both. One slip of a finger is enough.",
    mend="Set `eavesdrop_enable_dtmf=false` before eavesdrop runs; move the gate by command.",
    bad='<action application="eavesdrop" data="${agent_leg}"/>',
    good='<action application="set" data="eavesdrop_enable_dtmf=false"/>\n'
    '<action application="eavesdrop" data="${agent_leg}"/>',
)
def eavesdrop_dtmf(facts: Facts) -> Found:
    for step in facts.steps:
        if step.app in SPIES and not step.api:
            value = facts.before(step, "eavesdrop_enable_dtmf")
            if value is None or (true(value) and UNKNOWN not in value):
                yield step.place, f"{step.app} with DTMF on: eavesdrop_enable_dtmf is not false here"


@rule(
    "jitter-buffer",
    Level.WARNING,
    "an agent's leg without a jitter buffer",
    why="Attaching a coach, or playing the coaching beep, empties the input of the agent's leg. Without the buffer the "
    "caller loses about 40 ms of the agent's speech each time. Without `rtp_jitter_buffer_during_bridge` the buffer is "
    "off for as long as the two talk.",
    mend="Begin the contact with `[jitterbuffer_msec=40,rtp_jitter_buffer_during_bridge=true]`, or give the agents' "
    "directory group both as `dial-var-…` parameters, and as variables for the calls that agents make.",
    bad='<configuration name="callcenter.conf">\n'
    '  <agents><agent name="1001" type="callback" contact="user/1001"/></agents>\n'
    "</configuration>",
    good='<configuration name="callcenter.conf">\n'
    '  <agents><agent name="1001" type="callback" '
    'contact="[jitterbuffer_msec=40,rtp_jitter_buffer_during_bridge=true]user/1001"/></agents>\n'
    "</configuration>",
)
def jitter_buffer(facts: Facts) -> Found:
    everywhere = {name: value for name, value in facts.globals.items() if name in (LENGTH, DURING)}
    if any(_given(profile.params.get("auto-jitterbuffer-msec", "")) for profile in facts.profiles):
        everywhere.setdefault(LENGTH, UNKNOWN)
    for agent in facts.agents:
        missing = _missing({**everywhere, **_buffer_of(facts, agent)})
        if missing and not _dialled_elsewhere(facts, agent):
            yield agent.element.place, f"the leg of agent {agent.name} gets no {' and no '.join(missing)}"
    for user in facts.users:
        group = user.element.up("group")
        if group is None or "agent" not in group.get("name").lower():
            continue
        missing = _missing({**everywhere, **_of(user.params, "dial-var-")})
        if missing:
            yield user.element.place, f"calls to agent {user.id} get no {' and no '.join(missing)}"


def _buffer_of(facts: Facts, agent: Agent) -> dict[str, str]:
    """What is written for this agent's leg: in the contact, the directory or, for calls that he makes, a dialplan."""
    user = facts.users_by_id.get(agent.user)
    if not agent.standby:
        return _of(user.params if user else {}, "dial-var-") | dict(dial_variables(agent.contact))
    return {**facts.set_by_dialplan, **_of(user.variables if user else {})}


def _of(named: Mapping[str, str], prefix: str = "") -> dict[str, str]:
    return {name: value for name in (LENGTH, DURING) if (value := named.get(prefix + name))}


def _dialled_elsewhere(facts: Facts, agent: Agent) -> bool:
    """His leg is made by something that is not in what was read."""
    if agent.standby:
        return agent.user not in facts.users_by_id
    return agent.contact.rpartition("]")[2].startswith("loopback/")


def _missing(given: Mapping[str, str]) -> list[str]:
    return [
        name
        for name, fine in ((LENGTH, _given(given.get(LENGTH, ""))), (DURING, _on(given.get(DURING, ""))))
        if not fine
    ]


def _given(value: str) -> bool:
    return bool(value) and value != "0"


def _on(value: str) -> bool:
    return true(value) or "$" in value


@rule(
    "broadcast-beep",
    Level.WARNING,
    "a sound that is broadcast into a call",
    why="While `uuid_broadcast` plays to a leg, that party's voice does not reach the other: the caller hears the "
    "agent cut off for as long as the beep lasts.",
    mend="Play a beep with `uuid_displace <agent leg> start <tone> 0 mux`: the agent hears it, the caller does not, "
    "and nobody is cut.",
    bad='<action application="set" data="api_on_answer=uuid_broadcast ${uuid} tone_stream://%(200,0,1400) aleg"/>',
    good='<action application="set" data="api_on_answer=uuid_displace ${uuid} start tone_stream://%(9,0,999) 0 mux"/>',
)
def broadcast_beep(facts: Facts) -> Found:
    for step in facts.steps:
        if (step.app == "uuid_broadcast" and step.api) or step.app == "sched_broadcast":
            words = step.data.split()
            what = words[1] if len(words) > 1 else ""
            if "::" not in what or what.startswith(("playback::", "gentones::")):
                yield step.place, f"{step.app} plays into the call"


_RATES = {"opus": 48_000, "g722": 16_000, "g7221": 16_000, "amr-wb": 16_000, "silk": 16_000, "isac": 16_000}
_AUDIO = frozenset({"pcmu", "pcma", "g729", "g723", "gsm", "ilbc", "amr", "speex", "l16", "bv16", "codec2", "lpc"})
_NARROW = 8_000


@rule(
    "codec-rates",
    Level.WARNING,
    "a coach's phone with a wider codec than the agents'",
    why="The switch mixes the coach's samples as they are into the agent's: a coach at 48 kHz on an agent at 8 kHz is "
    "played at a sixth of its pitch, and nothing says so.",
    mend="Set `absolute_codec_string` to narrow-band codecs (`PCMU,PCMA`; for a browser `OPUS@8000h@20i`) on the "
    "coach's leg before it is answered.",
    bad='<profile name="phones"><settings>\n'
    '  <param name="sip-port" value="5060"/><param name="context" value="phones"/>\n'
    '  <param name="inbound-codec-prefs" value="OPUS,PCMU"/><param name="outbound-codec-prefs" value="OPUS,PCMU"/>\n'
    "</settings></profile>\n"
    '<context name="phones"><extension name="spy"><condition field="destination_number" expression="^88(.+)$">\n'
    '  <action application="eavesdrop" data="$1"/>\n'
    "</condition></extension></context>",
    good='<profile name="phones"><settings>\n'
    '  <param name="sip-port" value="5060"/><param name="context" value="phones"/>\n'
    '  <param name="inbound-codec-prefs" value="OPUS,PCMU"/><param name="outbound-codec-prefs" value="OPUS,PCMU"/>\n'
    "</settings></profile>\n"
    '<context name="phones"><extension name="spy"><condition field="destination_number" expression="^88(.+)$">\n'
    '  <action application="set" data="absolute_codec_string=PCMU,PCMA"/>\n'
    '  <action application="eavesdrop" data="$1"/>\n'
    "</condition></extension></context>",
)
def codec_rates(facts: Facts) -> Found:
    agents = [codec for each in facts.profiles for codec in _codecs(each.params, "outbound-codec-prefs")]
    narrow = min(map(_rate, agents), default=None)
    if narrow is None:
        return
    contexts = {user.variables.get("user_context") for user in facts.users}
    for step in facts.steps:
        if step.app in SPIES and not step.api:
            codecs, where = _of_coach(facts, step, step.context in contexts)
            wide = [codec for codec in codecs if _rate(codec) > narrow]
            if wide:
                yield step.place, f"a coach may come in with {wide[0]} ({where}), and an agent may be at {narrow} Hz"


def _of_coach(facts: Facts, step: Step, users: bool) -> tuple[list[str], str]:
    """The codecs with which a coach may come in, and where that is written. `users`: users call from this context."""
    for name in ("absolute_codec_string", "codec_string"):
        said = facts.before(step, name)
        if said is not None:
            return list(_audio(said)), name
    for profile in facts.profiles:
        # Where a profile's calls arrive, unless the user whose password was asked for has a context of his own.
        asks = profile.params.get("auth-calls", "")
        if profile.params.get("context") == step.context or (users and (true(asks) or UNKNOWN in asks)):
            found = _codecs(profile.params, "inbound-codec-prefs")
            if any(_rate(codec) > _NARROW for codec in found):
                return found, f"inbound-codec-prefs of profile {profile.name}"
    return [], ""


def _codecs(params: Mapping[str, str], name: str) -> list[str]:
    return list(_audio(params.get(name) or params.get("codec-prefs", "")))


def _audio(names: str) -> Iterator[str]:
    for each in re.split(r"[,:\s]+", names):
        base = each.strip().partition("@")[0].lower()
        if base in _RATES or base in _AUDIO:
            yield each.strip()


def _rate(codec: str) -> int:
    base, _, options = codec.partition("@")
    said = re.search(r"(\d{1,6})h", options)
    return int(said[1]) if said else _RATES.get(base.lower(), _NARROW)
