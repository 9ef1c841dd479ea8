"""Rules about the media's way: that it stays on the switch, and on which leg it is recorded."""

from __future__ import annotations

import re

from ccwhisper.dialplan.facts import Facts
from ccwhisper.dialplan.model import Level
from ccwhisper.dialplan.rule import Found, rule
from ccwhisper.dialplan.steps import Leg, Step, true

_AWAY = frozenset({"bypass_media", "proxy_media"})
_AWAY_PARAMS = ("inbound-bypass-media", "inbound-no-media", "inbound-proxy-media")
_LATER = frozenset({"bypass_media_after_bridge", "bypass_media_after_hold"})
_LATER_OPTIONS = frozenset({"bypass-media-after-att-xfer", "bypass-media-after-hold"})


@rule(
    "media-off-switch",
    Level.ERROR,
    "calls whose media passes by the switch",
    why="A coach is attached to a call with bypass or proxy media without any error, and hears nothing.",
    mend="Leave `bypass_media`, `proxy_media` and the profile's `inbound-bypass-media`, `inbound-proxy-media` off "
    "wherever an agent takes part; for calls without an agent, ignore this with that reason.",
    bad='<action application="set" data="bypass_media=true"/>',
    good='<action application="set" data="bypass_media=false"/>',
)
def media_off_switch(facts: Facts) -> Found:
    for each in facts.settings:
        if each.name in _AWAY and true(each.value):
            yield each.place, f"{each.name} is true: such a call cannot be coached"
    for profile in facts.profiles:
        for name in _AWAY_PARAMS:
            param = profile.param(name)
            if param is not None and true(param.get("value")):
                yield param.place, f"{name} of profile {profile.name}: its calls cannot be coached"


@rule(
    "media-off-after-bridge",
    Level.ERROR,
    "calls whose media leaves the switch once they are connected",
    why="The call begins on the switch and then goes directly between the phones: a coach who was there falls silent, "
    "and recording ends, in the middle of the call.",
    mend="Leave `bypass_media_after_bridge`, the `bypass-media-after-…` media options and `uuid_media off` out of "
    "calls with an agent.",
    bad='<action application="export" data="bypass_media_after_bridge=true"/>',
    good='<action application="export" data="bypass_media_after_bridge=false"/>',
)
def media_off_after_bridge(facts: Facts) -> Found:
    for each in facts.settings:
        if each.name in _LATER and true(each.value):
            yield each.place, f"{each.name} is true: the media leaves the switch"
    for profile in facts.profiles:
        for param in profile.element.walk("param"):
            if param.get("name").lower() == "media-option" and param.get("value").lower() in _LATER_OPTIONS:
                yield param.place, f"media-option {param.get('value')} of profile {profile.name}"
    for step in facts.steps:
        if step.api and step.app == "uuid_media" and step.data.split()[:1] == ["off"]:
            yield step.place, "uuid_media off: the media leaves the switch"


_RECORDS = frozenset({"record_session", "uuid_record"})
_PARTNER = re.compile(r"\$\{(bridge_uuid|signal_bond|bridge_to|cc_agent_uuid)\}")


@rule(
    "record-agent-leg",
    Level.ERROR,
    "recording on the agent's leg",
    why="What the agent hears is recorded as the customer's side, and a whisper is part of it: the private words stay "
    "in the recording for everybody who may listen to it.",
    mend="Record the caller's leg: `record_session` in the dialplan that the caller runs, or mod_callcenter's "
    "`record-template`, which does that. Not on the leg that is dialled, and not in the agents' own context.",
    bad='<action application="export" data="nolocal:execute_on_answer=record_session /recordings/${uuid}.wav"/>\n'
    '<action application="bridge" data="user/1001"/>',
    good='<action application="set" data="execute_on_answer=record_session /recordings/${uuid}.wav"/>\n'
    '<action application="bridge" data="user/1001"/>',
)
def record_agent_leg(facts: Facts) -> Found:
    ids = {agent.user for agent in facts.agents}
    only_agents = _contexts_of_agents(facts, ids)
    out: dict[int, bool] = {}
    for step in facts.steps:
        if step.app not in _RECORDS or (step.app == "uuid_record" and not step.api):
            continue
        user = step.element.up("user")
        if step.leg is Leg.OTHER:
            if not _dials_out(facts, step, out):
                yield step.place, f"{step.app} runs on the leg that is dialled: the agent's, when an agent is called"
        elif step.app == "uuid_record" and _PARTNER.match(step.data):
            yield step.place, "uuid_record of the other party's leg, which is the agent's"
        elif step.context is not None and step.context in only_agents:
            yield step.place, f"{step.app} in context {step.context}, which the agents' own calls run"
        elif user is not None and user.get("id") in ids:
            yield step.place, f"{step.app} on each call of agent {user.get('id')}"
    for each in facts.settings:
        if each.name == "fifo_record_template" and each.value:
            yield each.place, "fifo_record_template records the leg of the agent who takes the call"


def _dials_out(facts: Facts, step: Step, known: dict[int, bool]) -> bool:
    """Everything that this extension dials is behind a gateway: the other leg is the customer's."""
    key = id(step.extension)
    if key not in known:
        strings = [each.data for each in facts.steps_of(step.extension) if each.app == "bridge"]
        known[key] = bool(strings) and all("sofia/gateway/" in each and "user/" not in each for each in strings)
    return known[key]


def _contexts_of_agents(facts: Facts, ids: set[str]) -> set[str]:
    """Contexts that only agents' phones call from, as far as it is written down."""
    theirs = {user.variables.get("user_context", "") for user in facts.users if user.id in ids}
    others = {user.variables.get("user_context", "") for user in facts.users if user.id not in ids}
    others |= {profile.params.get("context", "") for profile in facts.profiles}
    for step in facts.steps:
        if step.app in ("transfer", "execute_extension", "bridge") and step.context not in theirs:
            others |= theirs & set(re.split(r"[\s/]+", step.data))
    return theirs - others - {""}
