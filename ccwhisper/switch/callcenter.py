"""mod_callcenter: what it lists, and its events as facts.

Asked of a real switch: ``members-count`` is no measure of who waits. It still counts a caller whom an agent has just
taken, and does not come when that call ends. So callers are counted one by one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import orjson

from ccwhisper.coaching import events as ev
from ccwhisper.coaching.centre import Doing, Member, Presence, Roster, Status
from ccwhisper.switch import commands as cmd
from ccwhisper.switch.errors import CommandRefused, SwitchError
from ccwhisper.switch.link import Link

logger = logging.getLogger(__name__)

SUBCLASS: Final = "callcenter::info"

# AGENT_STATUS_CHART and AGENT_STATE_CHART in mod_callcenter.c; "Unknown" is none.
STATUSES: Final[Mapping[str, Status]] = MappingProxyType(
    {
        "Available": Status.AVAILABLE,
        "Available (On Demand)": Status.ON_DEMAND,
        "On Break": Status.ON_BREAK,
        "Logged Out": Status.LOGGED_OUT,
    }
)
STATES: Final[Mapping[str, Doing]] = MappingProxyType(
    {
        "Waiting": Doing.WAITING,
        "Receiving": Doing.RECEIVING,
        "In a queue call": Doing.IN_CALL,
        "Reserved": Doing.RESERVED,
        "Idle": Doing.IDLE,
    }
)

_LONGEST = 256
_TIMES = ("last_status_change", "last_offered_call", "last_bridge_start", "last_bridge_end")
_IN_QUEUE: Final[Mapping[str, bool]] = MappingProxyType({"Waiting": False, "Trying": False, "Answered": True})
_LISTS: Final = ("agent list", "queue list", "tier list", "member list")


def read(link: Link, node: str) -> Roster:
    """Agents, queues and callers of a node; nothing where mod_callcenter is not loaded or says what is not understood:
    calls are coached without it. Raises SwitchError when the connection is lost."""
    replies = link.pipeline([cmd.callcenter(each) for each in _LISTS])
    agents, queues, tiers, members = map(_rows, replies)
    serving: dict[str, set[str]] = {_text(row, "name"): set() for row in queues}
    for row in tiers:  # one of a queue that is not loaded is kept by the module, and means nothing
        serving.get(_text(row, "queue"), set()).add(_text(row, "agent"))
    return Roster(
        agents=tuple(_presence(node, row) for row in agents if _text(row, "name")),
        queues=tuple((name, frozenset(each)) for name, each in serving.items() if name),
        members=tuple(_member(node, row) for row in members if _text(row, "state") in _IN_QUEUE and _text(row, "uuid")),
    )


def facts(node: str, headers: Mapping[str, str], at: float | None) -> Iterator[ev.Fact]:
    """The facts in an event of the module, raised at this time of the switch."""
    agent, member = headers.get("CC-Agent"), headers.get("CC-Member-UUID")
    since = float(int(at or 0))  # whole seconds, as in the lists: so it is the same time after a restart
    match headers.get("CC-Action"):
        case "agent-status-change" if agent:
            yield ev.AgentReported(node, agent, since, status=STATUSES.get(headers.get("CC-Agent-Status", "")))
        case "agent-state-change" if agent:
            yield ev.AgentReported(node, agent, since, doing=STATES.get(headers.get("CC-Agent-State", "")))
        case "member-queue-start" | "member-queue-resume" if member and headers.get("CC-Queue"):
            yield ev.CallerQueued(
                Member(
                    id=member,
                    node=node,
                    queue=_text(headers, "CC-Queue"),
                    leg=_text(headers, "CC-Member-Session-UUID"),
                    name=_text(headers, "CC-Member-CID-Name"),
                    number=_text(headers, "CC-Member-CID-Number"),
                    since=since,
                )
            )
        case "bridge-agent-start" if member:
            yield ev.CallerAnswered(node, member, answered=True)
        case "bridge-agent-end" if member and headers.get("CC-Agent-Bridged") == "false":
            yield ev.CallerAnswered(node, member, answered=False)
        case "member-queue-end" if member:
            yield ev.CallerLeft(node, member)


def _rows(reply: str | SwitchError) -> list[Mapping[str, Any]]:
    if isinstance(reply, SwitchError):
        if isinstance(reply, CommandRefused):
            return []
        raise reply
    try:
        answer = orjson.loads(reply)
        rows = answer["response"] if answer["status"] == "success" else []
        return [row for row in rows if isinstance(row, dict)]
    except (ValueError, TypeError, KeyError):
        logger.warning("what mod_callcenter lists is not understood")
        return []


def _presence(node: str, row: Mapping[str, Any]) -> Presence:
    since = max(_number(row, name) for name in _TIMES)
    name, status, doing = (_text(row, name) for name in ("name", "status", "state"))
    return Presence(node, name, STATUSES.get(status), STATES.get(doing), since)


def _member(node: str, row: Mapping[str, Any]) -> Member:
    return Member(
        id=_text(row, "uuid"),
        node=node,
        queue=_text(row, "queue"),
        leg=_text(row, "session_uuid"),
        name=_text(row, "cid_name"),
        number=_text(row, "cid_number"),
        since=max(_number(row, "joined_epoch"), _number(row, "rejoined_epoch")),
        answered=_IN_QUEUE[_text(row, "state")],
    )


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    return value[:_LONGEST] if isinstance(value, str) else ""


def _number(row: Mapping[str, Any], name: str) -> float:
    digits = _text(row, name)
    return float(digits) if digits.isascii() and digits.isdigit() and len(digits) < 18 else 0.0
