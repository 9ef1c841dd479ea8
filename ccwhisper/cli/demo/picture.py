"""The demo's picture: calls above, below them the selected one, who hears whom on it, and what to press."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Mapping
from typing import Any, Final

from ccwhisper.cli.demo.desk import Desk
from ccwhisper.cli.demo.ears import Hearing
from ccwhisper.cli.follow import stage_of
from ccwhisper.cli.output import visible
from ccwhisper.cli.screen import HEIGHT, WIDTH, Screen
from ccwhisper.cli.terminal import fit
from ccwhisper.cli.watch import age_of

ROWS: Final = 8  # calls on a terminal of 24 lines
_WHO: Final = ("caller", "agent", "coach", "beep")

KEYS: Final = (
    "l listen  w whisper  b barge in  t take over  m mute  p push-to-talk  x leave",
    "↑ ↓ choose a call  space: hold to talk  ? help  q quit",
)


class Picture:
    """`where` is where one signs in to the pages, `device` the coach's phone, `file` what to source elsewhere."""

    def __init__(self, screen: Screen, where: str, device: str, file: str) -> None:
        self._screen, self._where, self._device, self._file = screen, where, device, file

    def lines(self, desk: Desk, hearing: Hearing, size: tuple[int, int], now: float) -> list[str]:
        """At most as many lines as the terminal has, none wider than it. `now` is the desk's time."""
        if self._small(size):
            return self._too_small(size)
        columns, height = size
        spare = max(0, height - HEIGHT)
        style = self._screen.style
        below = self._below(desk, hearing, columns)
        hint = visible(desk.message(now)) or hint_of(desk)
        return [
            *self._head(columns),
            *self._calls(desk, columns),
            *below,
            *self._lately(desk, columns, spare),
            "",
            style(fit(f" {hint}", columns), "good"),
            *(style(fit(f" {line}", columns), "faint") for line in KEYS),
        ]

    def help(self, size: tuple[int, int]) -> list[str]:
        """All keys, and what one is looking at."""
        if self._small(size):
            return self._too_small(size)
        columns, _ = size
        file = textwrap.fill(f". {self._file}", columns - 3, initial_indent="  ", break_on_hyphens=False)
        text = HELP.format(device=self._device, file=file)
        return [*self._head(columns), *(fit(f" {line}", columns) for line in text.splitlines())]

    @staticmethod
    def _small(size: tuple[int, int]) -> bool:
        return size[0] < WIDTH or size[1] < HEIGHT

    @staticmethod
    def _too_small(size: tuple[int, int]) -> list[str]:
        return [fit(f"{WIDTH} x {HEIGHT} are needed.", size[0])]

    def _head(self, columns: int) -> list[str]:
        style = self._screen.style
        title = " ccwhisper   "
        warning = "SIMULATED SWITCH: for trying, not for production"
        second = f" You are Carla, phone {self._device} · dashboard and panels: {self._where}"
        return [
            style(title, "strong") + style(fit(warning, columns - len(title)), "bad"),
            style(fit(second, columns), "faint"),
            "",
        ]

    # --- calls -------------------------------------------------------------------------------------------------------

    def _calls(self, desk: Desk, columns: int) -> list[str]:
        listed = desk.listed
        at = next((at for at, call in enumerate(listed) if call["id"] == desk.selected), 0)
        first = max(0, min(at - ROWS // 2, len(listed) - ROWS))
        shown = listed[first : first + ROWS]
        heads = self._row("", "AGENT", "CALLER", "QUEUE", "AGE", "STATE", "COACH", columns)
        rows = [self._call(desk, call, columns) for call in shown]
        return [self._screen.style(heads, "strong"), *rows, *[""] * (ROWS - len(rows))]

    def _call(self, desk: Desk, call: dict[str, Any], columns: int) -> str:
        chosen = call["id"] == desk.selected
        session = desk.live
        mine = session is not None and session["call"] == call["id"]
        coaches = [f"{session['mode']}"] if session and mine else []
        coaches += [coach["name"] for coach in desk.coaches.values() if coach["call"] == call["id"]]
        agent, other = sides(desk, call)
        party = other["name"] if other else f"{call['name']} {call['number']}"
        state = "held" if call["held"] else ""
        row = self._row("▸" if chosen else "", agent["name"], party, call["queue"] or "", age_of(call), state,
                        ", ".join(coaches), columns)  # fmt: skip
        return self._screen.style(row, "good" if mine else "strong") if chosen or mine else row

    @staticmethod
    def _row(mark: str, agent: str, party: str, queue: str, age: str, state: str, coach: str, columns: int) -> str:
        extra = (columns - WIDTH) // 4  # a wide terminal has more room for each name
        sizes = (10 + extra, 0, 15 + extra, 5, 5, 7 + extra)
        party_size = columns - 2 - sum(sizes) - 2 * (len(sizes) - 1)
        cells = zip((agent, party, queue, age.rjust(5), state, coach), sizes, strict=True)
        return fit(mark, 2) + "  ".join(fit(visible(text), size or party_size) for text, size in cells)

    # --- the selected one --------------------------------------------------------------------------------------------

    def _below(self, desk: Desk, hearing: Hearing, columns: int) -> list[str]:
        call = desk.shown
        if call is None:
            return [""] * 8
        style = self._screen.style
        agent, other = sides(desk, call)
        names = {
            "caller": "colleague" if other else "caller",
            "agent": agent["name"],
            "coach": "Carla (you)",
            "beep": "beep",
        }
        party = other["name"] if other else call["name"] or call["number"]
        title = f"{agent['name']} and {party}"
        if desk.taken:
            title = f"You and {party}; {agent['name']} has been released"
        you = _you(desk, call)
        lines = [
            style(" " + "─" * (columns - 2), "faint"),
            style(fit(f" {visible(title)}", columns), "strong"),
            fit(f" {visible(you)}", columns),
            fit(f" {microphone(desk.live)}", columns),
            style(fit(" WHO HEARS WHOM NOW " + "".join(visible(names[who]).rjust(14)[:14] for who in _WHO), columns),
                  "strong"),
        ]  # fmt: skip
        lines += [self._hears(who, names[who], hearing.heard.get(who), columns) for who in _WHO[:3]]
        return lines

    def _hears(self, who: str, name: str, heard: frozenset[str] | None, columns: int) -> str:
        line = fit(f" {visible(name)} hears", 20)
        used = 20
        for other in _WHO:
            word = "" if heard is None else "·" if other == who else "yes" if other in heard else "–"
            line += self._screen.style(word.rjust(14), "good") if word == "yes" else word.rjust(14)
            used += 14
        return line + " " * max(0, columns - used)

    def _lately(self, desk: Desk, columns: int, spare: int) -> list[str]:
        if spare < 3:
            return []
        newest = list(desk.lately)[-(spare - 2) :]
        lines = [time.strftime(" %H:%M:%S  ", time.localtime(at)) + text for at, text in newest]
        heading = self._screen.style(" LATELY", "strong")
        return ["", heading, *(fit(line, columns) for line in lines), *[""] * (spare - 2 - len(lines))]


# --- words -----------------------------------------------------------------------------------------------------------


def sides(desk: Desk, call: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """The agent who is coached on a call, or would be; and the other agent, where two of them talk."""
    agents = call["agents"]
    session = desk.live
    coached = session["agent"] if session and session["call"] == call["id"] else agents[0]["agent"]
    agent = next((each for each in agents if each["agent"] == coached), agents[0])
    return agent, next((each for each in agents if each is not agent), None)


def _you(desk: Desk, call: Mapping[str, Any]) -> str:
    session = desk.live
    if desk.taken:
        return "you took the call over: you talk with the caller"
    if session is None:
        return "you are not on this call"
    if session["call"] not in (None, call["id"]):
        return f"you are on another call: {session['agent_name']}, {stage_of(session)}"
    return f"you: {stage_of(session)}"


def microphone(session: Mapping[str, Any] | None) -> str:
    """Gate and microphone, in a line."""
    if session is None or session["phase"] != "attached":
        return ""
    talk = "open"
    if session["talk"] == "push":
        talk = f"push-to-talk, {'held' if session['pressed'] else 'not held'}"
    return f"gate {session['gate']} · microphone {talk}" + (" · muted" if session["muted"] else "")


def hint_of(desk: Desk) -> str:
    """What to do next."""
    session = desk.live
    if desk.taken:
        return "The agent is free for the next call. x hangs up."
    if session is None:
        return "Choose a call with ↑ ↓, then press l to listen." if desk.calls else "Waiting for a call …"
    if session["phase"] != "attached":
        return _ON_THE_WAY.get(session["phase"], "A moment …")
    if session["call"] != desk.selected:
        return "Press l, w or b to leave your call for this one."
    if desk.call and desk.call["held"]:
        return "The call is on hold: nobody hears anybody until it goes on."
    if session["muted"]:
        return "You are muted. Press m to speak again."
    if session["talk"] == "push" and session["mode"] != "listen":
        return "Hold the space bar to be heard; p opens the microphone again."
    return _NEXT[session["mode"]]


_ON_THE_WAY: Final = {
    "dialling": "Your phone is called; the simulator answers it for you.",
    "ringing": "Your phone rings; the simulator answers it for you.",
    "waiting": "The caller is on the way to another agent, and you with him.",
}
_NEXT: Final = {
    "listen": "Nobody hears you. Press w to whisper: only the agent will hear you.",
    "whisper": "Only the agent hears you. Press b to barge in: both will hear you.",
    "barge": "Both hear you. Press l to listen again, or t to take the call over.",
}

HELP: Final = """\
KEYS
  ↑ ↓ or k j   choose a call
  l            listen: you hear both, nobody hears you
  w            whisper: the agent hears you, the caller does not
  b            barge in: both hear you
  t            take over: you stay with the caller, the agent is released
  x            leave the call
  m            mute yourself, and unmute
  p            push-to-talk; then you are heard while you hold the space bar
  q, Ctrl-C    end the demo; nothing of it stays

The service is the real one. The switch is simulated: calls come by themselves, and
your phone, {device}, answers and speaks for you. Who hears whom is what the simulator
gives each party to hear.

It can be driven from a second terminal too:
{file}
  ccwhisper calls

Any key: back"""
