"""What is on a node: its legs, each from its own dump, and which of them are bridged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

import orjson

from ccwhisper.coaching.model import Leg, LegId
from ccwhisper.switch import commands as cmd
from ccwhisper.switch import grammar
from ccwhisper.switch.errors import CommandRefused, SwitchError, UnsafeArgument
from ccwhisper.switch.link import Link
from ccwhisper.switch.translate import leg_of

Pairs = frozenset[tuple[LegId, LegId]]


def read_pairs(link: Link) -> Pairs:
    """Which legs are bridged with which, as of half a second ago."""
    rows = orjson.loads(link.api(cmd.show_calls())).get("rows", ())
    pairs = ((row.get("uuid"), row.get("b_uuid")) for row in rows)
    return frozenset((min(a, b), max(a, b)) for a, b in pairs if a and b)


def read_legs(link: Link, installation: str, pairs: Pairs) -> Iterable[Leg]:
    """Every leg on a node, each from its own dump."""
    rows = orjson.loads(link.api(cmd.show_channels())).get("rows", ())
    peers = {**dict(pairs), **{b: a for a, b in pairs}}
    names = []
    for row in rows:
        # Where the profile says inbound-use-callid-as-uuid a caller chooses the name of his leg. One that no command
        # may hold cannot be coached; it must not keep the whole node away.
        with suppress(UnsafeArgument):
            names.append(grammar.leg(row["uuid"]))
    for start in range(0, len(names), 50):
        part = names[start : start + 50]
        for name, dump in zip(part, link.pipeline([cmd.uuid_dump(each) for each in part]), strict=True):
            leg = dumped(dump, installation, peers.get(name))
            if leg:
                yield leg


def dumped(reply: str | SwitchError, installation: str, peer: str | None) -> Leg | None:
    """The leg in the answer to `uuid_dump`; None for one that is gone. Raises the other errors in its place."""
    if isinstance(reply, CommandRefused):
        return None
    if isinstance(reply, SwitchError):
        raise reply
    plain: Mapping[str, object] = orjson.loads(reply)
    dump = {name: value for name, value in plain.items() if isinstance(value, str)}
    # The bond is written when a bridge begins (switch_ivr_bridge.c) and stays after its end, so it cannot say that
    # there is a bridge; but a peer that is not the bonded one is that of an older bridge.
    if peer and dump.get("variable_signal_bond", peer) != peer:
        peer = None
    return leg_of(dump, installation, peer)
