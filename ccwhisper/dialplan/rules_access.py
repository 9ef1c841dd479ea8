"""Rules about who may: listen, dial a feature code, command the switch."""

from __future__ import annotations

import ipaddress
import re

from ccwhisper.dialplan.facts import Facts
from ccwhisper.dialplan.model import Element, Level
from ccwhisper.dialplan.reach import expression_of, guarded, reached
from ccwhisper.dialplan.rule import Found, rule
from ccwhisper.dialplan.steps import SPIES, UNKNOWN, Step, true

_LISTENS = SPIES | {"three_way", "native_eavesdrop"}
_SCRIPTS = frozenset({"lua", "javascript", "python", "python3", "perl", "httapi", "socket", "check_acl"})
_CALLER_ID = re.compile(
    r"(\$\{)?(caller_id_(number|name)|ani|aniii|rdnis|sip_from_\w+|sip_contact_\w+|sip_h_[\w-]+|sip_P-[\w-]+|"
    r"sip_user_agent|effective_caller_id_\w+|origination_caller_id_\w+)\b",
    re.IGNORECASE,
)


def _power(step: Step) -> bool:
    """Lets whoever dials it listen to a call, take it, or ask this product for it."""
    return not step.api and (
        step.app in _LISTENS or step.app == "intercept" or (step.app == "event" and "ccwhisper::" in step.data)
    )


@rule(
    "eavesdrop-unguarded",
    Level.ERROR,
    "eavesdrop for everybody who can dial it",
    why="Whoever may dial in this context may listen to every call of the node, speak into it where keys are on, and "
    "leaves no trace. That a phone had to register says who it is, and not that it may.",
    mend="Set `eavesdrop_require_group` here and `eavesdrop_group` on the agents' legs, or ask in a condition who is "
    "calling by what his password proved (`${sip_auth_username}`, `${user_data(…)}`). Better: no eavesdrop in the "
    "dialplan; the service attaches coaches, by permission and with an audit.",
    bad='<extension name="spy"><condition field="destination_number" expression="^88(.+)$">\n'
    '  <action application="eavesdrop" data="${hash(select/spymap/$1)}"/>\n'
    "</condition></extension>",
    good='<extension name="spy">\n'
    '  <condition field="${user_data(${sip_auth_username}@${domain_name} var coach)}" expression="^true$"/>\n'
    '  <condition field="destination_number" expression="^88(.+)$">\n'
    '    <action application="eavesdrop" data="${hash(select/spymap/$1)}"/>\n'
    "  </condition></extension>",
)
def eavesdrop_unguarded(facts: Facts) -> Found:
    fine: dict[int, bool] = {}
    for step in facts.steps:
        key = id(step.extension)
        if step.app in _SCRIPTS:
            fine[key] = True  # what it decides cannot be read here
        if step.api or step.app not in _LISTENS or step.extension is None:
            continue
        if key not in fine:
            fine[key] = guarded(step.extension)
        if not fine[key] and not facts.before(step, "eavesdrop_require_group"):
            yield step.place, f"{step.app} without a group and without a condition on who is calling"


@rule(
    "feature-code-from-trunk",
    Level.ERROR,
    "a caller can dial what is meant for coaches",
    why="A call that came in without a password reaches an extension that listens to calls or takes them over: "
    "a stranger on the telephone network becomes a coach.",
    mend="Give the trunk a context of its own that names its numbers one by one; never pass on what the caller dialled "
    "(`^(.*)$`) to a context with feature codes. Set `disable-transfer` on the trunk's profile.",
    bad='<context name="public"><extension name="all"><condition field="destination_number" expression="^(.*)$">\n'
    '  <action application="transfer" data="$1 XML office"/></condition></extension></context>\n'
    '<context name="office"><extension name="take"><condition field="destination_number" expression="^\\*8$">\n'
    '  <action application="intercept" data="${last}"/></condition></extension></context>',
    good='<context name="public"><extension name="two">\n'
    '  <condition field="destination_number" expression="^(200[12])$">\n'
    '  <action application="transfer" data="$1 XML office"/></condition></extension></context>\n'
    '<context name="office"><extension name="take"><condition field="destination_number" expression="^\\*8$">\n'
    '  <action application="intercept" data="${last}"/></condition></extension></context>',
)
def feature_code_from_trunk(facts: Facts) -> Found:
    if not any(map(_power, facts.steps)):
        return
    for each in reached(facts, _power):
        way = " → ".join(each.path)
        for step in filter(_power, facts.steps_of(each.extension.element)):
            yield step.place, f"{step.app} in extension {each.extension.name} is reached without a password, by {way}"


@rule(
    "caller-id-trust",
    Level.ERROR,
    "a right that hangs on the caller id",
    why="A caller writes his own number, name and SIP headers. Whoever knows the number of a coach is a coach.",
    mend="Ask by what the password proved: `${sip_authorized}` and `${sip_auth_username}` on a profile with "
    "`auth-calls`. Keep the caller id for what is shown.",
    bad='<extension name="spy"><condition field="caller_id_number" expression="^9001$"/>\n'
    '  <condition field="destination_number" expression="^\\*8$"><action application="intercept" data="${last}"/>\n'
    "</condition></extension>",
    good='<extension name="spy"><condition field="${sip_auth_username}" expression="^9001$"/>\n'
    '  <condition field="destination_number" expression="^\\*8$"><action application="intercept" data="${last}"/>\n'
    "</condition></extension>",
)
def caller_id_trust(facts: Facts) -> Found:
    for extension in facts.extensions:
        if not any(map(_power, facts.steps_of(extension.element))):
            continue
        for condition in extension.conditions():
            field = condition.get("field")
            if _CALLER_ID.match(field) and expression_of(condition) not in (".*", "^.*$", "^(.*)$", "(.*)"):
                yield condition.place, f"extension {extension.name} trusts {field}, which the caller writes himself"
    for each in facts.settings:
        if each.name == "eavesdrop_require_group" and _CALLER_ID.search(each.value):
            yield each.place, "the group that is asked for is the caller id, which the caller writes himself"
        elif each.name in ("sip_auth_username", "sip_authorized") and each.element is not None:
            yield each.place, f"{each.name} is written here: nothing was proved"


def _event_socket(facts: Facts) -> list[tuple[Element, dict[str, Element], list[str]]]:
    """Each configuration of the event socket: its parameters, and the lists that guard it."""
    found = []
    for each in facts.configuration("event_socket.conf"):
        params = {param.get("name"): param for param in each.walk("param")}
        lists = [
            param.get("value")
            for param in each.walk("param")
            if param.get("name").lower() == "apply-inbound-acl" and param.get("value")
        ]
        found.append((each, params, lists))
    return found


@rule(
    "esl-address",
    Level.ERROR,
    "the event socket is open to other machines",
    why="The protocol is plain text, and whoever is let in may do anything that the switch may, run programs included.",
    mend="`listen-ip` 127.0.0.1; from another host through a tunnel, or on a private address with an "
    "`apply-inbound-acl` that names single hosts. Without any list the switch lets only its own machine in.",
    bad='<configuration name="event_socket.conf"><settings>\n'
    '  <param name="listen-ip" value="0.0.0.0"/><param name="password" value="a good one"/>\n'
    '  <param name="apply-inbound-acl" value="any_v4.auto"/>\n'
    "</settings></configuration>",
    good='<configuration name="event_socket.conf"><settings>\n'
    '  <param name="listen-ip" value="127.0.0.1"/><param name="password" value="a good one"/>\n'
    "</settings></configuration>",
)
def esl_address(facts: Facts) -> Found:
    for configuration, params, lists in _event_socket(facts):
        said = params.get("listen-ip")
        address = said.get("value") if said is not None else "127.0.0.1"
        if _loopback(address) or UNKNOWN in address:
            continue
        # A client must be on every list: one narrow list is enough.
        if lists and all(_wide(facts, name) for name in lists):
            place = said.place if said is not None else configuration.place
            yield place, f"listens on {address}, and {', '.join(lists)} lets others in"


def _loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return address == "localhost"


def _wide(facts: Facts, name: str) -> bool:
    """The list lets in more than a few hosts that it names."""
    if name.endswith(".auto"):
        return name != "loopback.auto"
    try:
        return _big(name)
    except ValueError:
        pass
    for configuration in facts.configuration("acl.conf"):
        for each in configuration.walk("list"):
            if each.get("name") == name:
                nodes = [node for node in each.walk("node") if node.get("type") == "allow"]
                return each.get("default") == "allow" or any(map(_open_node, nodes))
    return False  # nothing says what it holds


def _open_node(node: Element) -> bool:
    try:
        return _big(node.get("cidr"))
    except ValueError:
        return bool(node.get("domain"))  # every registered phone


def _big(cidr: str) -> bool:
    network = ipaddress.ip_network(cidr, strict=False)
    return not network.is_loopback and network.num_addresses > 256


@rule(
    "esl-password",
    Level.ERROR,
    "the event socket has the password that everybody knows",
    why="Every process of the machine may then do anything that the switch may: end calls, attach itself to them, run "
    "programs. An empty password is the same: the module falls back to the known one.",
    mend="A long random `password` in event_socket.conf, and the same in the service's configuration.",
    bad='<configuration name="event_socket.conf"><settings>\n'
    '  <param name="listen-ip" value="127.0.0.1"/><param name="password" value="ClueCon"/>\n'
    "</settings></configuration>",
    good='<configuration name="event_socket.conf"><settings>\n'
    '  <param name="listen-ip" value="127.0.0.1"/><param name="password" value="3vCpLr9mXw2k"/>\n'
    "</settings></configuration>",
)
def esl_password(facts: Facts) -> Found:
    for configuration, params, _ in _event_socket(facts):
        said = params.get("password")
        if said is None:
            yield configuration.place, "no password: the switch takes the one that everybody knows"
        elif said.get("value") in ("", "ClueCon"):
            yield said.place, "the password is the one that everybody knows"


def _profile_params(facts: Facts, name: str) -> Found:
    for profile in facts.profiles:
        param = profile.param(name)
        if param is not None and true(param.get("value")):
            yield param.place, f"{name} is on in profile {profile.name}"


@rule(
    "extended-info-parsing",
    Level.ERROR,
    "a SIP message can run commands",
    why="With `extended-info-parsing` an INFO that belongs to no call and was never authenticated runs api commands.",
    mend='Leave `extended-info-parsing` out, or set it to "false".',
    bad='<profile name="phones"><settings><param name="sip-port" value="5060"/>\n'
    '  <param name="extended-info-parsing" value="true"/></settings></profile>',
    good='<profile name="phones"><settings><param name="sip-port" value="5060"/>\n'
    '  <param name="extended-info-parsing" value="false"/></settings></profile>',
)
def extended_info_parsing(facts: Facts) -> Found:
    yield from _profile_params(facts, "extended-info-parsing")


@rule(
    "fire-message-events",
    Level.WARNING,
    "a SIP message can raise events",
    why="With `fire-message-events` whoever can send a MESSAGE puts headers of his choice into events that everything "
    "on the event socket reads.",
    mend='Leave `fire-message-events` out, or set it to "false".',
    bad='<profile name="phones"><settings><param name="sip-port" value="5060"/>\n'
    '  <param name="fire-message-events" value="true"/></settings></profile>',
    good='<profile name="phones"><settings><param name="sip-port" value="5060"/>\n'
    '  <param name="fire-message-events" value="false"/></settings></profile>',
)
def fire_message_events(facts: Facts) -> Found:
    yield from _profile_params(facts, "fire-message-events")
