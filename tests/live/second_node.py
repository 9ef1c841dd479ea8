"""Telephones that are not ours: a second FreeSWITCH registers at a node as an agent and two coaches, and calls it.

It answers with its own SIP stack, speaks with its own tone generator, and records what it hears into wav files. Only
the level of a tone in such a file is computed here.
"""

from __future__ import annotations

import json
import wave
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import numpy as np

from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.stage import DEVICES, TONES, wait_until
from ccwhisper.proof.timeline import Float

USERS: Final[Mapping[str, str]] = {"agent": "1001", "carla": DEVICES["carla"], "dora": DEVICES["dora"]}
"""Whose telephones the second node plays, and the directory user of each."""

RATE: Final = 8000

_HEADER: Final = 44  # bytes of a wav header
_FRAME: Final = 4  # bytes of a sample of both channels


class Take(NamedTuple):
    """What was heard and what was said at a telephone over the same stretch of time, in ±1.0 at RATE."""

    heard: Float
    said: Float


class SecondNode:
    """The second switch, registered. A party is known by the uuid of his leg on it."""

    def __init__(self, node: PrivateNode) -> None:
        self.node = node
        environment: dict[str, str | None] = {
            "CCW_REGISTRAR": f"{node.host}:{node.phones_port}",
            "CCW_REALM": node.domain,
            "CCW_TONE_CALLER": f"{TONES['caller']:.0f}",
        }
        for name, user in USERS.items():
            environment[f"CCW_PASSWORD_{user}"] = node.phone_secret(user)
            environment[f"CCW_TONE_{user}"] = f"{TONES[name]:.0f}"
        conf = Path(__file__).parent / "phones_node"
        self.switch = PrivateNode(conf=conf, binary=node.binary, environment=environment, profiles=("trunk", "phones"))
        self._known: set[str] = set()
        self._takes = 0

    def __enter__(self) -> Self:
        self.switch.__enter__()
        try:
            for user in USERS.values():
                wait_until(f"{user} is registered from the second node", lambda user=user: self._registered(user), 15)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.switch.__exit__(kind, error, trace)

    def _registered(self, user: str) -> bool:
        """Whether a call to this user would ring here."""
        where = self.node.api(f"sofia_contact phones/{user}@{self.node.domain}")
        return f"@{self.switch.host}:{self.switch.phones_port};" in where

    def call(self, number: str) -> str:
        """A caller from outside dials a number of the node, and speaks when he is answered. Returns his leg."""
        where = f"sofia/trunk/{number}@{self.node.host}:{self.node.trunk_port}"
        answer = self.switch.api(f"originate {where} caller XML phones", timeout=15).split()
        assert answer[0] == "+OK", answer
        self._known.add(answer[1])
        return answer[1]

    def answered(self, name: str) -> str:
        """The leg of the call that has just been answered at somebody's telephone; waits for it."""

        def found() -> str | None:
            legs = (row["uuid"] for row in self._legs() if row["dest"] == USERS[name] and row["callstate"] == "ACTIVE")
            return next((leg for leg in legs if leg not in self._known), None)

        leg = str(wait_until(f"{name} has answered at the second node", found))
        self._known.add(leg)
        return leg

    def gone(self, leg: str) -> bool:
        """Whether a leg has ended."""
        return self.switch.api(f"uuid_exists {leg}").strip() == "false"

    def _legs(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.switch.api("show channels as json")).get("rows", [])
        return rows

    def record(
        self, legs: Mapping[str, str], seconds: float, settle: float, meanwhile: Callable[[], object]
    ) -> dict[str, Take]:
        """What each of these legs hears and says, by name, over the same `seconds`, after `settle` seconds.

        `meanwhile` is called again and again until everybody has been recorded for so long.
        """
        self._takes += 1
        folder = self.switch.directory / "recordings" / str(self._takes)
        files = {name: folder / f"{name}.wav" for name in legs}
        for name, file in files.items():
            answer = self.switch.api(f"uuid_record {legs[name]} start {file}")
            assert answer.startswith("+OK"), answer
        first, last = int(settle * RATE), int((settle + seconds) * RATE)

        def recorded() -> bool:
            meanwhile()
            return all(file.exists() and file.stat().st_size > _HEADER + last * _FRAME for file in files.values())

        wait_until("everybody is recorded", recorded)
        for name, file in files.items():
            self.switch.api(f"uuid_record {legs[name]} stop {file}")
        return {name: _take(file, first, last) for name, file in files.items()}


def _take(file: Path, first: int, last: int) -> Take:
    with wave.open(str(file)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (RATE, 2, 2)
        samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2") / 32768.0
    heard, said = samples.reshape(-1, 2)[first:last].T
    assert len(heard) == last - first
    return Take(heard, said)
