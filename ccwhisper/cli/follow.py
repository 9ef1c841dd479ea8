"""Following along by long poll."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from ccwhisper.cli.client import Client, Refused
from ccwhisper.cli.output import Output, visible

_POLL = 5.0
"""Seconds. A Ctrl-C that strikes just before the wait for the answer is noticed only after it."""

FAILED = 500
"""The status of an error that the service did not raise but report."""


class Follower:
    """Events from the moment of its making. After a gap, `reset` is told as an event of its own with the snapshot."""

    def __init__(self, client: Client) -> None:
        self._client = client
        first = client.get("events")
        self._next = first["next"]
        self.snapshot: dict[str, Any] = first["snapshot"]

    def read(self, timeout: float = _POLL) -> Iterator[dict[str, Any]]:
        """The next page, waiting up to `timeout` seconds for it."""
        answer = self._client.get("events", after=self._next, timeout=timeout)
        self._next = answer["next"]
        if answer["reset"]:
            yield {"type": "reset", "v": 1, "at": time.time(), "data": answer["snapshot"]}
        yield from answer["events"]


def stage_of(session: dict[str, Any]) -> str:
    """Where a session is, in words."""
    phase: str = session["phase"]
    name = session["agent_name"] or session["agent"]
    if phase == "attached":
        return f"{session['mode']} · {heard(session)}"
    return {
        "dialling": f"calling {session['device']}",
        "ringing": f"{session['device']} rings",
        "connected": f"{session['device']} is connected",
        "attaching": f"attaching to {name}",
        "waiting": f"waiting for {name}'s next call",
        "taking_over": "taking over",
        "ending": "ending",
        "ended": f"ended: {session['reason']}",
    }.get(phase, phase)


def heard(session: dict[str, Any]) -> str:
    """Who hears the coach, in words."""
    name = session["agent_name"] or session["agent"]
    if session["gate"] != "closed":
        return f"{name} hears you" if session["gate"] == "agent" else f"{name} and the caller hear you"
    if session["mode"] == "listen":
        return "nobody hears you"
    return "nobody hears you" + (
        " (muted)" if session["muted"] else " (press to talk)" if session["talk"] == "push" else ""
    )


class Progress:
    """A session, followed, with each of its stages printed once. `each` gets every new state of it."""

    def __init__(
        self,
        client: Client,
        out: Output,
        follower: Follower,
        session: dict[str, Any],
        each: Callable[[dict[str, Any]], None] = lambda _session: None,
    ) -> None:
        self._client = client
        self._out = out
        self._follower = follower
        self._each = each
        self._said = ""
        self.session = session
        self._say()

    def until(self, done: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until something is so of the session, or it has ended."""
        while not done(self.session) and self.session["phase"] != "ended":
            for event in self._follower.read():
                self._take(event)
                if done(self.session):
                    break

    def _take(self, event: dict[str, Any]) -> None:
        identifier = self.session["id"]
        if event["type"] == "reset":
            self.session = self._client.get("sessions", identifier)
        elif event["type"] in ("session.changed", "session.ended") and event["data"]["id"] == identifier:
            self.session = event["data"]
        elif event["type"] == "beep.failed" and event["data"]["session"] == identifier:
            self._out.note(f"The agent did not hear the beep: {visible(event['data']['why'])}")
            return
        else:
            return
        self._say()

    def _say(self) -> None:
        stage = stage_of(self.session)
        if stage != self._said:
            self._said = stage
            self._out.stage(visible(stage))
            self._each(self.session)


def ended(session: dict[str, Any]) -> Refused:
    """That a session has ended, as an error."""
    reason = session["reason"] or "ended"
    return Refused(FAILED, reason, f"The session has ended: {reason}.")
