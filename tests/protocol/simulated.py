"""The simulator without its port, in a time that passes only when a test says so: two runs are equal."""

from __future__ import annotations

import json
from typing import Any

from ccwhisper.simulator import World
from ccwhisper.simulator.clock import VirtualClock
from ccwhisper.simulator.wire import Conversation

PASSWORD = "open sesame"
DOMAIN = "ccwhisper.local"
BEEP = "tone_stream://v=-13;%(200,0,1400)"
FIRST, SECOND = "+493023125001", "+493023125002"


def frames(data: bytes) -> list[tuple[dict[str, str], bytes]]:
    """What a switch wrote, message by message: headers and content."""
    found = []
    while data:
        head, _, data = data.partition(b"\n\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\n"))
        length = int(headers.get("Content-Length", "0"))
        found.append((headers, data[:length]))
        data = data[length:]
    return found


def party(event: dict[str, str]) -> str:
    """Whose leg raised an event: a user, or a caller's number."""
    return event.get("Channel-Name", "").partition("@")[0].rpartition("/")[2]


class Simulated:
    """A world, a client of it that gets every event, and the words that tests use."""

    def __init__(self, **world: Any) -> None:
        self.clock = VirtualClock()
        self.world = World(self.clock, **{"seed": 1, **world})
        self._messages: list[tuple[dict[str, str], bytes]] = []
        self._jobs = 0
        self.conversation = Conversation(self.world.api, PASSWORD, self._take, lambda: None)
        self.world.switch.conversations.append(self.conversation)
        self.send(f"auth {PASSWORD}")
        self.send("event json ALL")

    def _take(self, data: bytes) -> None:
        self._messages += frames(data)

    def send(self, text: str) -> str:
        """A command of the Event Socket; its Reply-Text."""
        before = len(self._messages)
        self.conversation.receive(text.encode() + b"\n\n")
        [reply] = [headers["Reply-Text"] for headers, _ in self._messages[before:] if "Reply-Text" in headers]
        return reply

    # --- commands ----------------------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)

    def api(self, line: str) -> str:
        """An api command that answers at once."""
        return self.world.command(line)

    def bgapi(self, line: str, seconds: float = 0.2) -> str:
        """A command that takes time: its output, that much later."""
        self._jobs += 1
        self.send(f"bgapi {line}\nJob-UUID: {self._jobs}")
        self.run(seconds)
        [job] = [event for event in self.raised("BACKGROUND_JOB") if event["Job-UUID"] == str(self._jobs)]
        return str(job["_body"])

    def sim(self, line: str) -> Any:
        """A command of the control interface."""
        answer = self.api(f"sim {line}")
        assert not answer.startswith("-ERR"), answer
        return None if answer.startswith("+OK") else json.loads(answer)

    # --- scenes ------------------------------------------------------------------------------------------------------

    def call(self, agent: str = "1001", number: str = FIRST) -> tuple[str, str]:
        """A caller talks to an agent: their legs."""
        legs = self.sim(f"call {agent} {number}")
        self.run(0.2)
        return legs["caller"], legs["agent"]

    def coach(self, agent_leg: str, user: str = "9001", then: str = ",park", variables: str = "") -> str:
        """A coach listens; his leg. `then` is what his leg does when it is over."""
        given = f"{{eavesdrop_enable_dtmf=false{variables}}}user/{user}@{DOMAIN}"
        answer = self.bgapi(f"originate {given} 'eavesdrop:{agent_leg}{then}' inline")
        assert answer.startswith("+OK ")
        self.forget()
        return answer.split()[1]

    def gate(self, coach_leg: str, command: str) -> None:
        """Move a coach's gate, and let the frame pass in which it moves."""
        reply = self.send(f"sendevent NOTIFY\nunique-id: {coach_leg}\neavesdrop-command: {command}")
        assert reply.startswith("+OK ")
        self.run(0.04)

    # --- what is seen ------------------------------------------------------------------------------------------------

    def hears(self, leg: str, ms: int = 100) -> set[str]:
        """Whom a leg's party hears in the time from now on."""
        self.run(ms / 1000)
        return set(self.sim(f"hears {leg} {ms}")["heard"])

    def raised(self, *names: str) -> list[dict[str, str]]:
        """Events so far, of these names or all."""
        events = [json.loads(text) for headers, text in self._messages if headers["Content-Type"] == "text/event-json"]
        return [event for event in events if not names or event["Event-Name"] in names]

    def story(self, *names: str) -> list[tuple[str, str]]:
        """Events so far in their order, as (name, whose leg)."""
        return [(event["Event-Name"], party(event)) for event in self.raised(*names)]

    def forget(self) -> None:
        """From here on `raised` and `story` begin anew."""
        self._messages.clear()

    def legs(self) -> dict[str, dict[str, Any]]:
        """Every leg by its party's name."""
        return {each["party"]: each for each in self.sim("legs")}

    def dump(self, leg: str) -> dict[str, str]:
        """All headers of a leg."""
        found: dict[str, str] = json.loads(self.api(f"uuid_dump {leg} json"))
        return found
