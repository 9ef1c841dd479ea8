"""Policies of queues that change while calls are coached: how what several places say becomes one policy, who may set
it, and what becomes of coaches who are in a mode that is no longer allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching import notices
from ccwhisper.coaching.errors import Conflict
from ccwhisper.coaching.model import Phase, Session
from ccwhisper.coaching.modes import Mode
from ccwhisper.coaching.policy import DEFAULT_QUEUE, WAYS, PolicyPart, QueuePolicy, Rules, check_edit
from ccwhisper.coaching.recorded import Whispers
from ccwhisper.coaching.turn import Turn

_NOTHING = PolicyPart()
_OCCASIONS = ("listen", "whisper", "barge", "end")


# --- layers ----------------------------------------------------------------------------------------------------------


def layered(rules: Rules, edited: Mapping[str, PolicyPart]) -> Rules:
    """The rules with these policies on top of the configuration's. Of each field the first that says anything counts:
    what was set at run time for the queue, the configuration of the queue, the same two of the default policy."""
    default = _over(QueuePolicy(), edited.get(DEFAULT_QUEUE), rules.file.get(DEFAULT_QUEUE))
    names = (rules.file.keys() | edited.keys()) - {DEFAULT_QUEUE}
    queues = {name: _over(default, edited.get(name), rules.file.get(name)) for name in sorted(names)}
    queues = {name: _excluded(policy, rules, name) for name, policy in queues.items()}
    default = _excluded(default, rules, DEFAULT_QUEUE)
    return replace(
        rules, default=default, queues=MappingProxyType(queues), edited=MappingProxyType(dict(sorted(edited.items())))
    )


def _over(base: QueuePolicy, *parts: PolicyPart | None) -> QueuePolicy:
    """What is said first counts, and the base where nothing is said."""
    for part in reversed([part for part in parts if part]):
        said = {each.name: getattr(part, each.name) for each in fields(part)}
        base = replace(base, **{name: value for name, value in said.items() if value is not None})
    return base


def _excluded(policy: QueuePolicy, rules: Rules, queue: str) -> QueuePolicy:
    return replace(policy, record_whisper=Whispers.EXCLUDED) if excluded(rules, queue) else policy


def excluded(rules: Rules, queue: str) -> bool:
    """Whether the configuration excludes whispers of this queue from recordings: that counts first, whatever is set at
    run time, for the queue or for the default policy."""
    said = [rules.file.get(name, _NOTHING).record_whisper for name in (queue, DEFAULT_QUEUE)]
    return next((each for each in said if each is not None), None) is Whispers.EXCLUDED


def without(rules: Rules, queue: str) -> Rules:
    """The rules as they would be had nothing been set for this queue at run time."""
    return layered(rules, {name: part for name, part in rules.edited.items() if name != queue})


def source(rules: Rules, queue: str, name: str) -> str:
    """Where a field of a queue's policy comes from: `edited` (at run time), `file`, `default` or `built_in`."""
    places = [("edited", rules.edited), ("file", rules.file)]
    if name == "record_whisper" and excluded(rules, queue):
        del places[0]  # whatever is said there
    for place, parts in places:
        if getattr(parts.get(queue, _NOTHING), name) is not None:
            return place
    if queue != DEFAULT_QUEUE and source(rules, DEFAULT_QUEUE, name) != "built_in":
        return "default"
    return "built_in"


def words(policy: QueuePolicy | PolicyPart) -> dict[str, Any]:
    """A policy in the words of the configuration file, without what it leaves to others."""
    said: dict[str, Any] = {}
    if policy.tone is not None and policy.beep_on is not None:
        parts = [[length, pause, list(hertz)] for length, pause, hertz in policy.tone.parts]
        occasions = [each for each in _OCCASIONS if each in policy.beep_on]
        said["beep"] = {"on": occasions, "level": policy.tone.level, "parts": parts}
    if policy.max_coaches is not None:
        said["max_coaches"] = policy.max_coaches
    if policy.cues is not None:
        said["cues"] = list(policy.cues)
    if policy.modes is not None:
        said["modes"] = [each for each in WAYS if each in policy.modes]
    if policy.talk is not None:
        said["talk"] = policy.talk.value
    if policy.tell_listening is not None:
        said["tell_listening"] = policy.tell_listening
    if policy.record is not None:
        said["record"] = policy.record
    if policy.record_whisper is not None:
        said["record_whisper"] = policy.record_whisper.value
    if policy.keep_days is not None:
        said["keep_days"] = policy.keep_days
    return said


# --- rules -----------------------------------------------------------------------------------------------------------


def set_policy(turn: Turn, ask: cmd.SetPolicy) -> None:
    """Another policy for a queue, from now on; None is what the configuration says."""
    check_edit(ask.actor, ask.queue)
    wanted = ask.policy.record_whisper if ask.policy else None
    if wanted not in (None, Whispers.EXCLUDED) and excluded(turn.rules, ask.queue):
        text = "The configuration excludes whispers of this queue from recordings; that cannot be changed here."
        raise Conflict("whisper_recording_excluded", text, retry=False)
    edited = dict(turn.rules.edited)
    before = edited.pop(ask.queue, None)
    if ask.policy is not None:
        edited[ask.queue] = ask.policy
    _replace(turn, edited)
    told = {"queue": ask.queue, "before": before and words(before), "after": ask.policy and words(ask.policy)}
    detail = json.dumps(told, ensure_ascii=False)
    turn.effects.append(fx.Audit("policy", ask.actor, None, None, None, None, detail, ask.origin))


def unread(turn: Turn, _fact: ev.PoliciesUnread) -> None:
    """The file's policies count until the store is back, but for what they would have recorded."""
    turn.rules = replace(turn.rules, unread=True)
    turn.effects.append(notices.RulesChanged(turn.rules))


def read(turn: Turn, fact: ev.PoliciesRead) -> None:
    """The store said what was set at run time, in this life of the service or in one before."""
    turn.rules = replace(turn.rules, unread=False)
    _replace(turn, fact.edited)


def _replace(turn: Turn, edited: Mapping[str, PolicyPart]) -> None:
    turn.rules = layered(turn.rules, edited)
    turn.effects.append(notices.RulesChanged(turn.rules))
    for session in turn.sessions:
        turn.touch(session)


def enforce(turn: Turn) -> None:
    """Nobody is in a mode, or about to be, that the queue of his call does not allow: whether the policy has changed,
    the call, or the service. Called at the end of each turn."""
    for session in turn.touched():
        call = turn.call_of(session)
        busy = session.phase in (Phase.ENDING, Phase.TAKING_OVER)
        if call is None or busy or not turn.node_up(session.node):
            continue
        policy = turn.policy(call)
        if not policy.allows(Mode.LISTEN.value):
            turn.end(session, "mode_not_allowed")
        elif not policy.allows(session.mode.value):
            _put_back(turn, session)
        elif not policy.allows(session.wanted.value):
            turn.change(session, wanted=session.mode)


def _put_back(turn: Turn, session: Session) -> None:
    turn.leave_mode(session)
    turn.change(session, mode=Mode.LISTEN, wanted=Mode.LISTEN)
    # He did not ask for it, so it came from nowhere.
    whom = session.id, session.agent, session.call, session.node
    turn.effects.append(fx.Audit("put_back", session.coach, *whom, session.mode.value, ""))
