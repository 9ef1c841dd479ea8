"""The engine's switch port, for one or more nodes."""

from __future__ import annotations

from collections.abc import Iterable

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.switch.node import NodeAddress, SwitchNode, SwitchSettings


class Nodes:
    """All nodes of this service."""

    def __init__(self, addresses: Iterable[NodeAddress], settings: SwitchSettings) -> None:
        self._nodes = {address.name: SwitchNode(address, settings) for address in addresses}

    def perform(self, effect: fx.SwitchEffect) -> None:
        """Queue one effect for its node."""
        self._nodes[effect.node].perform(effect)

    def start(self, post: ev.Post) -> None:
        """Connect to every node."""
        for node in self._nodes.values():
            node.start(post)

    def stop(self) -> None:
        """Disconnect from every node."""
        for node in self._nodes.values():
            node.stop()
