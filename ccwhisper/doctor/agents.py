"""The judges of agents: whether the switch knows them, and whether their legs have the jitter buffer, without which
attaching a coach empties the leg's input (docs/freeswitch.md)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from ccwhisper.doctor.rules import Finding
from ccwhisper.doctor.snapshot import AgentUser, Snapshot

PREFIX: Final = "[jitterbuffer_msec=40,rtp_jitter_buffer_during_bridge=true]"


def known(node: Snapshot) -> Iterator[Finding]:
    """Users of the configuration file that the directory has not. Those of mod_callcenter alone may be anything."""
    for agent in node.agents:
        if agent.from_file and not agent.known:
            user, _, domain = agent.user.partition("@")
            yield Finding(
                "agent_unknown", agent.user, "is not in the directory of this node",
                f'correct the file, or the directory; to look again: fs_cli -x "user_exists id {user} {domain}"',
            )  # fmt: skip
    if node.agents_left_out:
        yield Finding(
            "agents_not_all_checked", "agents", f"{node.agents_left_out} more were not looked at",
            "they are like the others where the directory's group has the jitter buffer",
        )  # fmt: skip


def buffers(node: Snapshot) -> Iterator[Finding]:
    """Legs to come: those that the switch dials, and those that agents make."""
    for agent in node.agents:
        if not agent.known:
            continue
        directory = (
            'the directory, <group> of the agents, <params>: <param name="dial-var-jitterbuffer_msec" value="40"/> '
        )
        directory += '<param name="dial-var-rtp_jitter_buffer_during_bridge" value="true"/>; then fs_cli -x "reloadxml"'
        if not _whole(agent.params) and not _in_contact(agent):
            yield Finding("jitter_buffer_missing", agent.user, "is dialled without a jitter buffer", directory)
        elif agent.contact and not _in_contact(agent) and not re.search(r"(^|[\],|}])user/", agent.contact):
            yield Finding(
                "jitter_buffer_missing", agent.user, "has a contact that the directory has no part in",
                f'fs_cli -x "callcenter_config agent set contact {agent.user} {PREFIX}{_shown(agent.contact)}"',
            )  # fmt: skip
        if not _whole({**agent.context_sets, **agent.variables}):
            yield Finding(
                "jitter_buffer_missing_on_own_calls", agent.user, "calls without a jitter buffer",
                'the directory, <group> of the agents, <variables>: <variable name="jitterbuffer_msec" value="40"/> '
                '<variable name="rtp_jitter_buffer_during_bridge" value="true"/>; then fs_cli -x "reloadxml"',
            )  # fmt: skip


def legs(node: Snapshot) -> Iterator[Finding]:
    """Agents' legs that are up now."""
    users = {agent.user for agent in node.agents}
    for leg in node.legs:
        who = leg.cc_agent or (leg.dialed_user if leg.outbound else leg.auth_user)
        if not leg.answered or who not in users:
            continue
        if leg.id in node.stereo:
            yield Finding(
                "agent_in_stereo", leg.id, f"is a leg of {who} with two channels",
                "set his phone to Opus on one channel, or to another codec; or take OPUS out of his profile's "
                "inbound-codec-prefs and outbound-codec-prefs",
            )  # fmt: skip
        if not leg.buffered:
            yield Finding(
                "jitter_buffer_missing_on_leg", leg.id, f"is a leg of {who} without a jitter buffer",
                f'fs_cli -x "uuid_setvar {leg.id} rtp_jitter_buffer_during_bridge true", then '
                f'fs_cli -x "uuid_jitterbuffer {leg.id} 40"',
            )  # fmt: skip


def _shown(contact: str) -> str:
    return "(the contact as it is)" if "password" in contact.lower() else contact


def _in_contact(agent: AgentUser) -> bool:
    # {…} of a contact counts as […] does: there is one leg.
    pairs = re.findall(r"([a-z_]+)=([^,\]}]*)", agent.contact or "")
    return _whole(dict(pairs))


def _whole(given: Mapping[str, str]) -> bool:
    length = re.match(r"[0-9]+", given.get("jitterbuffer_msec", ""))
    during = given.get("rtp_jitter_buffer_during_bridge", "")
    return bool(length and int(length[0]) >= 20) and during.lower() in {"true", "yes", "on", "t", "enabled", "1"}


JUDGES: Final[tuple[Callable[[Snapshot], Iterator[Finding]], ...]] = (known, buffers, legs)
