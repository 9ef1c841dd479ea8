"""What the demo's coach knows and does: calls and his session, kept current from the API, and a key for each request.

No terminal in here. Time is an argument, in seconds of one monotonic clock.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ccwhisper.cli.client import Client, Refused
from ccwhisper.cli.follow import Follower
from ccwhisper.cli.output import visible
from ccwhisper.cli.watch import lines_of

_SAID: Final = 5.0  # seconds that a message stays
_LATELY: Final = 100

# A terminal tells when a key goes down, and again while it is held, but never that it was let go of. The first
# repetition comes after 250 to 660 ms, the next ones every 20 to 100.
_FIRST: Final = 0.8
_AGAIN: Final = 0.3


@dataclass(frozen=True, slots=True)
class Wish:
    """A call that is to be coached when the session before has ended."""

    call: str
    mode: str


class Desk:
    """One coach, with at most one session at a time. Raises Refused when the service cannot be reached; what it
    refuses becomes `message`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._follower = Follower(client)
        self.calls: dict[str, dict[str, Any]] = {}
        self.coaches: dict[str, dict[str, Any]] = {}
        """Other people's sessions."""
        self.session: dict[str, Any] | None = None
        """The coach's own: the one that is there, or the last one that was."""
        self.selected: str | None = None
        self.taken: dict[str, Any] | None = None
        """The call that he took over, while he is still talking with its caller."""
        self.lately: deque[tuple[float, str]] = deque(maxlen=_LATELY)
        """What happened: seconds since the epoch, and in words."""
        self._coached: dict[str, Any] | None = None  # the session's call, as it was last seen
        self._message = ("", 0.0)
        self._wish: Wish | None = None
        self._together = False  # the selected call is the coached one, and is to remain so when the caller moves
        self._held_until: float | None = None
        self._press_at = 0.0
        self._reset(self._follower.snapshot)

    # --- what is there -----------------------------------------------------------------------------------------------

    @property
    def live(self) -> dict[str, Any] | None:
        """The session, unless it has ended."""
        return self.session if self.session and self.session["phase"] != "ended" else None

    @property
    def listed(self) -> list[dict[str, Any]]:
        """The calls, oldest first."""
        return sorted(self.calls.values(), key=lambda call: (call["started_at"], call["id"]))

    @property
    def call(self) -> dict[str, Any] | None:
        """The selected call."""
        return self.calls.get(self.selected) if self.selected else None

    @property
    def shown(self) -> dict[str, Any] | None:
        """The call that one looks at: the selected one, unless one is talking on one's own."""
        return self.taken or self.call

    @property
    def restless(self) -> bool:
        """Whether something is on its way that will be there in a moment."""
        session = self.live
        return session is not None and (self._wish is not None or session["phase"] in _MOMENTARY or _changing(session))

    def message(self, now: float) -> str:
        """The last thing that had to be said, for as long as it is new."""
        text, until = self._message
        return text if now < until else ""

    def say(self, text: str, now: float, seconds: float = _SAID) -> None:
        """Something to know; nothing any more, with an empty text."""
        self._message = (text, now + seconds)

    def refresh(self, now: float) -> None:
        """Take in what has happened since the last time, without waiting for more."""
        before = self.listed
        if self.live and self.live["call"] in self.calls:
            self._coached = self.calls[self.live["call"]]
        for event in self._follower.read(timeout=0):
            self._take(event, now)
        if self._together and self.live and self.live["call"] in self.calls:
            self.selected = self.live["call"]
        self._reselect(before)
        if self._wish and self.live is None:
            wish, self._wish = self._wish, None
            if wish.call in self.calls:
                self._start(self.calls[wish.call], wish.mode, now)

    def _reset(self, snapshot: Mapping[str, Any]) -> None:
        self.calls = {call["id"]: call for call in snapshot["calls"]}
        self.coaches = {coach["session"]: coach for coach in snapshot["coaches"]}
        live = {session["id"]: session for session in snapshot["sessions"]}
        if self.session is None or self.session["id"] not in live:
            self.session = next(iter(live.values()), None)
        else:
            self.session = live[self.session["id"]]

    def _take(self, event: Mapping[str, Any], now: float) -> None:
        data = event["data"]
        match event["type"]:
            case "reset":
                self._reset(data)
            case "call.changed":
                self.calls[data["id"]] = data
            case "call.ended":
                self.calls.pop(data["id"], None)
            case "session.changed" | "session.ended":
                self._own(data, now)
            case "coach.changed":
                self.coaches[data["session"]] = data
            case "coach.left":
                self.coaches.pop(data["session"], None)
            case "beep.failed":
                self.say(f"The agent did not hear the beep: {visible(data['why'])}", now)
        if event["type"] != "reset":
            self.lately.extend((event["at"], visible(line)) for line in lines_of(dict(event)))

    def _own(self, session: dict[str, Any], now: float) -> None:
        mine = self.session
        if mine is None or mine["id"] == session["id"] or mine["phase"] == "ended":
            self.session = session
        if session["phase"] == "ended":
            self._held_until = None
            self.taken = self._coached if session["reason"] == "took_over" else None
            if session["reason"] not in ("took_over", "coach_left"):
                self.say(_ENDED.get(session["reason"], f"Your session has ended: {session['reason']}."), now)

    def _reselect(self, before: list[dict[str, Any]]) -> None:
        """The selection stays in its place when its call has ended."""
        if self.selected in self.calls:
            return
        listed = self.listed
        at = next((at for at, call in enumerate(before) if call["id"] == self.selected), 0)
        self.selected = listed[min(at, len(listed) - 1)]["id"] if listed else None

    # --- what he does ------------------------------------------------------------------------------------------------

    def select(self, call: str) -> None:
        """Select a call."""
        self.selected = call
        self._together = self.live is not None and self.live["call"] == call

    def move(self, by: int) -> None:
        """Select a call further down in the list, or up."""
        listed = self.listed
        at = next((at for at, call in enumerate(listed) if call["id"] == self.selected), 0)
        if listed:
            self.select(listed[max(0, min(at + by, len(listed) - 1))]["id"])

    def coach(self, mode: str, now: float) -> None:
        """Be in this mode on the selected call; leave another one for it."""
        call, session = self.call, self.live
        if self.taken:
            self.say("You are on the phone with the caller: x hangs up.", now)
        elif call is None:
            self.say("There is no call. The next one will come by itself.", now)
        elif session is None:
            self._start(call, mode, now)
        elif session["call"] == call["id"] and session["phase"] != "ending":
            with self._asked(now):
                self._change("mode", mode)
        else:
            self._wish = Wish(call["id"], mode)
            with self._asked(now):
                self._end(session)

    def take_over(self, now: float) -> None:
        """Stay with the caller, release the agent."""
        session = self._attached(now)
        if session:
            with self._asked(now):
                self.session = self._client.post("sessions", session["id"], "take-over")

    def mute(self, now: float) -> None:
        """Mute, or no longer."""
        session = self._attached(now)
        if session:
            with self._asked(now):
                self._change("muted", not session["muted"])

    def talk(self, now: float) -> None:
        """Push-to-talk, or an open microphone."""
        session = self._attached(now)
        if session:
            with self._asked(now):
                self._change("talk", "open" if session["talk"] == "push" else "push")

    def press(self, now: float) -> None:
        """The space bar was pressed, or is still held."""
        session = self._attached(now)
        if session is None:
            return
        if session["talk"] != "push":
            self.say("The microphone is open. p makes it push-to-talk; then hold the space bar.", now)
            return
        self._held_until = now + (_FIRST if self._held_until is None else _AGAIN)
        self.hold(now)

    def hold(self, now: float) -> None:
        """Say again that push-to-talk is held, when it is time; or that it was let go of."""
        session = self.live
        if self._held_until is None or session is None:
            return
        with self._asked(now):
            if now >= self._held_until:
                self._held_until, self._press_at = None, 0.0
                self._client.post("sessions", session["id"], "release")
            elif now >= self._press_at:
                answer = self._client.post("sessions", session["id"], "press")
                self._press_at = now + answer["again_within"] / 3

    def leave(self, now: float) -> None:
        """Leave the call."""
        self._wish = None
        session = self.live
        if session is None:
            self.say("You are on no call.", now)
            return
        with self._asked(now):
            self._end(session)

    def _attached(self, now: float) -> dict[str, Any] | None:
        session = self.live
        if session is None or session["phase"] != "attached":
            if session is None:
                self.say("First listen: choose a call with ↑ ↓, then press l.", now)
            else:
                self.say("A moment: you are not on the call yet.", now, 1.5)
            return None
        return session

    def _start(self, call: Mapping[str, Any], mode: str, now: float) -> None:
        with self._asked(now):
            body = {"call": call["id"], "agent": call["agents"][0]["agent"], "mode": mode}
            self.session = self._client.post("sessions", body=body)
            self._together = call["id"] == self.selected

    def _change(self, what: str, value: str | bool) -> None:
        if self.session:
            self.session = self._client.put("sessions", self.session["id"], what, body={what: value})

    def _end(self, session: Mapping[str, Any]) -> None:
        self.session = self._client.delete("sessions", session["id"])

    @contextlib.contextmanager
    def _asked(self, now: float) -> Iterator[None]:
        try:
            yield
        except Refused as error:
            if error.status == 0:
                raise
            self.say(visible(f"{error.message} [{error.code}]"), now)


_MOMENTARY: Final = frozenset({"dialling", "ringing", "connected", "attaching", "taking_over", "ending"})
_ENDED: Final = {
    "call_ended": "The call has ended. Choose another with ↑ ↓, then press l.",
    "lost": "The session was lost. Choose a call with ↑ ↓, then press l.",
}


def _changing(session: Mapping[str, Any]) -> bool:
    return bool(session["phase"] == "attached" and not session["settled"])
