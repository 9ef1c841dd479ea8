"""What the switch itself says of the two legs of a call, before anybody coaches it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ccwhisper.proof.scene import Scene
from ccwhisper.prove.calls import SiteStage

_AWAY: Final = ("bypass_media", "bypass_media_after_bridge", "proxy_media")
_BUFFER: Final = ("jitterbuffer_msec", "rtp_jitter_buffer_during_bridge")


def wrong_with(stage: SiteStage, scene: Scene) -> Iterator[tuple[str, str]]:
    """The ids of findings, each with what was seen."""
    dumps = {
        who: stage.own.dump(stage.own.claim(call)) for who, call in (("caller", scene.caller), ("agent", scene.agent))
    }
    away = [
        f"{name} of the {who}'s leg"
        for name in _AWAY
        for who, dump in dumps.items()
        if dump.get(f"variable_{name}") == "true"
    ]
    if scene.caller.remote_media == (stage.bank.host, scene.agent.media_port):
        away.insert(0, "caller and agent send their media to each other")
    if away:
        yield "media.not-in-switch", ", ".join(away)
    if missing := [name for name in _BUFFER if dumps["agent"].get(f"variable_{name}") in (None, "false", "0")]:
        yield "jitter-buffer.missing", f"the agent's leg has no {' and no '.join(missing)}"
