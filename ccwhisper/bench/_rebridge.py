"""An agent's leg that goes from caller to caller while a coach barges in: how much of him does the next caller hear?"""

from __future__ import annotations

import json
import time
from typing import Final

from ccwhisper.bench._hearing import Hearing
from ccwhisper.proof.phones import Phone, PhoneCall
from ccwhisper.proof.sources import Silence
from ccwhisper.proof.stage import TONES, Coach, NotAsExpected, Stage, wait_until

CALLER: Final = "+4930789"


class Rebridging:
    """Agent 1003, coached by emil, who follows the agent and barges in on every call. Each next caller waits parked,
    and the agent's leg is bridged to him by `uuid_bridge`, straight from the one before: the switch takes about 20 ms
    from UNBRIDGE to BRIDGE, and the eavesdrop with its gate lives on through both."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        node = stage.node
        self._phone: Phone = stage.bank.phone(CALLER, None, node.domain, (node.host, node.trunk_port), source=Silence())
        for agent in ("1001", "1002"):  # or the queue would ring them for callers who are only to wait
            node.api(f"callcenter_config agent set status {agent}@{node.domain} 'Logged Out'")

    def run(self, rounds: int) -> list[float]:
        """For each round the milliseconds during which the next caller heard the coach. Raises NotAsExpected when the
        coach was not heard by the caller before, for then nothing would be proved."""
        scene = self._stage.call("1003")
        agent = self._stage.leg_of(scene.agent)
        coach = self._stage.coach("emil", scene, follow="agent")
        caller, found = scene.caller, []
        for _ in range(rounds):
            following, leg = self._waiting()
            coach.mode("barge")
            time.sleep(0.4)
            since = time.monotonic_ns()
            answer = self._stage.node.api(f"uuid_bridge {agent} {leg}")
            if not answer.startswith("+OK"):
                raise NotAsExpected(f"uuid_bridge: {answer}")
            following.wait_time(since + 600_000_000)
            before = _coach_in(caller).between(since - 200_000_000, since)
            if not before.holding.all() or len(before.times) < 5:
                raise NotAsExpected("the caller did not hear the coach who barges in")
            after = _coach_in(following).between(since, time.monotonic_ns())
            if (
                not Hearing.of(following, TONES["agent"], (TONES["emil"],))
                .between(since, since + 600_000_000)
                .holding.any()
            ):
                raise NotAsExpected("the next caller does not hear the agent")
            found.append(20.0 * int(after.holding.sum()))
            self._settled(coach)
            caller.hangup()
            caller = following
        coach.leave()
        caller.hangup()
        scene.agent.hangup()
        return found

    def _waiting(self) -> tuple[PhoneCall, str]:
        """Another caller, parked, and his leg."""
        known = set(self._legs())
        call = self._phone.dial("5000").wait("up", 10)
        [leg] = wait_until("the next caller has a leg", lambda: [each for each in self._legs() if each not in known])
        self._stage.node.api(f"uuid_transfer {leg} park inline")
        return call, leg

    def _legs(self) -> list[str]:
        rows = json.loads(self._stage.node.api("show channels as json")).get("rows", [])
        return [row["uuid"] for row in rows if row.get("cid_num") == CALLER]

    @staticmethod
    def _settled(coach: Coach) -> None:
        def on_the_new_call() -> bool:
            view = coach.view()
            return bool(view["settled"] and view["call"] and view["mode"] == "listen" and view["gate"] == "closed")

        wait_until("the coach listens to the next call", on_the_new_call)


def _coach_in(call: PhoneCall) -> Hearing:
    return Hearing.of(call, TONES["emil"], (TONES["agent"],))
