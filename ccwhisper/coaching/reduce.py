"""The core: one fact or one request in, the next state and the effects out.

Rules that hold after every turn, whatever the order of facts and requests (tests/unit/test_invariants.py):

1. The gate is EVERYONE only in an un-muted barge, on the call that the barge was asked for.
2. The gate is CLOSED while it is not certain who would hear: bond not read yet, somebody on hold, leg lost. It is also
   CLOSED while the coach's own phone is not heard of.
3. After a resync there is no session without a leg on the switch.
4. Nobody is in a mode that the policy of his call's queue does not allow.
5. Nothing is recorded on an agent's leg, nor of a coach where it is excluded; what nobody hears of him is silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import (
    cues,
    dialin,
    keys,
    lamps,
    notices,
    policies,
    recordings,
    requests,
    resync,
    taps,
    topology,
)
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import Phase, State
from ccwhisper.coaching.policy import Rules
from ccwhisper.coaching.turn import Turn


def _gate_told(turn: Turn, fact: ev.GateTold) -> None:
    session = turn.sessions.get(fact.session)
    if session and session.asked is fact.gate:  # else something newer has been told, or an attach has closed it
        turn.change(session, gate=fact.gate)


def _dial_failed(turn: Turn, fact: ev.DialFailed) -> None:
    session = turn.sessions.get(fact.session)
    if session and session.phase in (Phase.DIALLING, Phase.RINGING, Phase.ENDING):
        turn.gone(session, topology.DIAL_ENDINGS.get(fact.cause, "device_unreachable"))
        if session.target:
            turn.attach_next(session.target)


def _beep_failed(turn: Turn, fact: ev.BeepFailed) -> None:
    session = turn.sessions.get(fact.session)
    if session:
        turn.effects.append(notices.BeepNotHeard(session, fact.why))
        turn.audit("beep_failed", session, fact.why)


def _command_failed(turn: Turn, fact: ev.CommandFailed) -> None:
    session = turn.sessions.get(fact.session)
    if session and session.phase is not Phase.ENDING:
        failed = {"take_over": "take_over_failed", "narrow": topology.not_narrowed(session)}
        turn.end(session, failed.get(fact.what, "switch_refused"))


def _device(turn: Turn, fact: ev.DeviceWentQuiet | ev.DeviceHeard) -> None:
    """A coach whose phone may be gone is heard by nobody until it is back. He keeps his mode; a key that he held, he
    presses again."""
    away = isinstance(fact, ev.DeviceWentQuiet)
    for session in list(turn.sessions.values()):
        if session.device == fact.device and session.away is not away:
            turn.change(turn.release(session), away=away)


def _node_synced(turn: Turn, fact: ev.NodeSynced) -> None:
    resync.node_synced(turn, fact)
    taps.node_synced(turn, fact)
    recordings.node_synced(turn, fact)
    turn.centre = turn.centre.read(fact.node, fact.roster)


def _hung_up(turn: Turn, fact: ev.HungUp) -> None:
    topology.hung_up(turn, fact)
    recordings.hung_up(turn, fact)
    turn.taps.pop(fact.leg, None)
    turn.centre = turn.centre.hung_up(fact.node, fact.leg)


def _eavesdrop_started(turn: Turn, fact: ev.EavesdropStarted) -> None:
    topology.eavesdrop_started(turn, fact)
    taps.look(turn, fact.node, fact.leg)


def _inspected(turn: Turn, fact: ev.Inspected) -> None:
    topology.inspected(turn, fact)
    recordings.inspected(turn, fact)


def _rate_changed(turn: Turn, fact: ev.RateChanged) -> None:
    topology.rate_changed(turn, fact)
    recordings.rate_changed(turn, fact)


def _policies_read(turn: Turn, fact: ev.PoliciesRead) -> None:
    policies.read(turn, fact)
    recordings.policies_read(turn)


def _tick(turn: Turn, _fact: ev.Tick) -> None:
    topology.tick(turn)
    recordings.tick(turn)


def _agent_reported(turn: Turn, fact: ev.AgentReported) -> None:
    turn.centre = turn.centre.reported(fact.node, fact.agent, fact.at, fact.status, fact.doing)


def _caller_queued(turn: Turn, fact: ev.CallerQueued) -> None:
    turn.centre = turn.centre.joined(fact.member)


def _caller_answered(turn: Turn, fact: ev.CallerAnswered) -> None:
    turn.centre = turn.centre.answered(fact.node, fact.member, fact.answered)


def _caller_left(turn: Turn, fact: ev.CallerLeft) -> None:
    turn.centre = turn.centre.left(fact.node, fact.member)


_RULES: Mapping[type, Callable[[Turn, Any], None]] = MappingProxyType(
    {
        ev.NodeLost: resync.node_lost,
        ev.NodeSynced: _node_synced,
        ev.Ringing: topology.answered,
        ev.Answered: topology.answered,
        ev.Parked: topology.parked,
        ev.Bridged: topology.bridged,
        ev.Unbridged: topology.unbridged,
        ev.Held: topology.held,
        ev.Unheld: topology.held,
        ev.HungUp: _hung_up,
        ev.EavesdropStarted: _eavesdrop_started,
        ev.EavesdropStopped: lambda turn, fact: taps.look(turn, fact.node, fact.leg),
        ev.Tapped: taps.tapped,
        ev.LampProbed: lambda _turn, _fact: None,  # nothing has changed, and the phone is told
        ev.RateChanged: _rate_changed,
        ev.Inspected: _inspected,
        ev.DialedIn: dialin.dialed_in,
        ev.DialInRead: dialin.read,
        ev.KeyPressed: keys.pressed,
        ev.AgentReported: _agent_reported,
        ev.CallerQueued: _caller_queued,
        ev.CallerAnswered: _caller_answered,
        ev.CallerLeft: _caller_left,
        ev.GateTold: _gate_told,
        ev.DialFailed: _dial_failed,
        ev.BeepFailed: _beep_failed,
        ev.CommandFailed: _command_failed,
        ev.PoliciesUnread: policies.unread,
        ev.PoliciesRead: _policies_read,
        ev.RecordStarted: lambda _turn, _fact: None,  # nothing has changed, and the journal has the time
        ev.RecordStopped: recordings.stopped,
        ev.RecordFailed: recordings.failed,
        ev.DeviceWentQuiet: _device,
        ev.DeviceHeard: _device,
        ev.Tick: _tick,
        cmd.Start: requests.start,
        cmd.SetMode: requests.set_mode,
        cmd.SetTalk: requests.set_talk,
        cmd.SetMuted: requests.set_muted,
        cmd.Press: requests.press,
        cmd.Release: requests.release,
        cmd.TakeOver: requests.take_over,
        cmd.Next: keys.next_call,
        cmd.Leave: requests.leave,
        cmd.SendCue: cues.send,
        cmd.MarkCue: cues.mark,
        cmd.ReplyToCue: cues.reply,
        cmd.RaiseHand: cues.raise_hand,
        cmd.LowerHand: cues.lower_hand,
        cmd.SetPolicy: policies.set_policy,
        cmd.PauseRecording: recordings.pause,
    }
)


def reduce(state: State, event: ev.Fact | cmd.Request, now: float, rules: Rules) -> tuple[State, list[fx.Effect]]:
    """One turn. `now` is seconds of a monotonic clock. Raises CoachingError for a request that cannot be granted,
    and then nothing has changed."""
    turn = Turn(state, now, rules, getattr(event, "origin", ""))
    _RULES[type(event)](turn, event)
    policies.enforce(turn)
    cues.tidy(turn)
    recordings.settle(turn)
    taps.settle(turn)
    after, effects = turn.finish()
    return after, [
        *effects,
        *recordings.shown(state, after, turn.marks),
        *lamps.shown(state, rules, after, turn.rules, event),
    ]


def next_timer(state: State) -> float | None:
    """When the core wants a Tick next, or None."""
    times = [
        time
        for each in state.sessions.values()
        for time in (each.deadline, each.press_until, each.rearm_at, each.refresh_at, each.narrow_until)
        if time is not None
    ]
    times += recordings.next_timer(state)
    times += [node.lease_at for node in state.nodes.values() if node.up and node.lease_at is not None]
    return min(times, default=None)
