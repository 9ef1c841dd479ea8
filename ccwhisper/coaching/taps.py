"""The guard: eavesdrops on calls that are not of this installation.

The switch's event says on whose leg an eavesdrop has begun or ended, not whose it is. So whatever begins or ends, the
leg is looked at, and what is on it besides coaches of ours is a tap. Taps are kept by leg, also of legs that are in no
call: one that is on an agent's leg between two calls hears the next caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching import notices
from ccwhisper.coaching.model import Actor, Bond, Call, CallId, LegId, Tap, call_id
from ccwhisper.coaching.turn import Turn


def look(turn: Turn, node: str, leg: LegId) -> None:
    """Something has begun or ended on this leg."""
    turn.effects.append(fx.LookForTaps(node, leg, frozenset(each.leg for each in turn.on_target(leg))))


def tapped(turn: Turn, fact: ev.Tapped) -> None:
    """The leg has been looked at."""
    if fact.taps:
        turn.taps[fact.leg] = fact.taps
    else:
        turn.taps.pop(fact.leg, None)


def node_synced(turn: Turn, fact: ev.NodeSynced) -> None:
    """What began while nobody looked may be on any leg. What was known stays until it has been looked at again."""
    alive = {leg.id for leg in fact.legs}
    turn.taps = {leg: each for leg, each in turn.taps.items() if each[0].node != fact.node or leg in alive}
    for leg in fact.legs:
        if not leg.is_coach:
            look(turn, fact.node, leg.id)


def settle(turn: Turn) -> None:
    """Calls are shown with the taps on them; what is new and what is no more is told."""
    before = turn.before
    known = _by_call(before.taps, before.bonds, before.calls)
    now = _by_call(turn.taps, turn.bonds, turn.calls)
    for identifier in known | now:
        had, found = known.get(identifier, ()), now.get(identifier, ())
        call = turn.calls.get(identifier) or before.calls[identifier]
        if identifier in turn.calls:
            call = turn.calls[identifier] = replace(call, taps=found)
        for tap in found:
            if tap not in had:
                _tell(turn, notices.TapNoticed(call, tap), "tap")
        for tap in had:
            if tap not in found:
                _tell(turn, notices.TapGone(call, tap), "tap_end")


def _by_call(
    taps: Mapping[LegId, tuple[Tap, ...]], bonds: Mapping[LegId, Bond], calls: Mapping[CallId, Call]
) -> dict[CallId, tuple[Tap, ...]]:
    found: dict[CallId, tuple[Tap, ...]] = {}
    for leg, each in taps.items():
        bond = bonds.get(leg)
        identifier = call_id(leg, bond.peer) if bond else ""
        if identifier in calls:
            found[identifier] = found.get(identifier, ()) + each
    return found


def _tell(turn: Turn, notice: notices.TapNoticed | notices.TapGone, action: str) -> None:
    call, tap = notice.call, notice.tap
    own = call.on(tap.leg)
    side = "the agent's leg" if own else "the other party's leg"
    detail = f"on {side} {tap.leg}" + (f", by leg {tap.by}" if tap.by else "")
    turn.effects.append(notice)
    # No token has an empty subject: this is nobody whom the service knows.
    nobody = Actor("", tap.who)
    turn.effects.append(
        fx.Audit(action, nobody, None, (own or call.agents[0]).agent, call.id, call.node, detail, origin="")
    )
