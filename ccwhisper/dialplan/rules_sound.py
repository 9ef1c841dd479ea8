"""Rules about what is heard: by whom, and whether whole."""

from __future__ import annotations

from ccwhisper.dialplan.facts import Facts
from ccwhisper.dialplan.model import Level
from ccwhisper.dialplan.rule import Found, rule
from ccwhisper.dialplan.steps import true

SPIES = frozenset({"eavesdrop", "userspy"})
"""Applications that attach to another leg and obey `eavesdrop_…` variables."""


@rule(
    "whisper-aleg",
    Level.ERROR,
    "eavesdrop_whisper_aleg lets the other party hear the coach",
    why="Attached to an agent's leg, `aleg` is whoever the agent talks to: the caller hears the coach, "
    "and the agent does not.",
    mend="Set neither `eavesdrop_whisper_aleg` nor `eavesdrop_whisper_bleg`: "
    "attach closed, and open the gate by command.",
    bad='<action application="set" data="eavesdrop_whisper_aleg=true"/>',
    good='<action application="set" data="eavesdrop_enable_dtmf=false"/>',
)
def whisper_aleg(facts: Facts) -> Found:
    for each in facts.settings:
        if each.name == "eavesdrop_whisper_aleg" and true(each.value):
            yield each.place, "eavesdrop_whisper_aleg is true: the caller hears the coach"


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
            if value is None or true(value):
                yield step.place, f"{step.app} with DTMF on: eavesdrop_enable_dtmf is not false here"
