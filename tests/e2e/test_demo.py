"""The demo as a user runs it: keys at a terminal, what its screen shows, what the API says, and what is left."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from ccwhisper.cli.client import Client, Refused

from .glass import PATIENCE, Glass
from .traces import Traces, until

pytestmark = pytest.mark.e2e

DEMO = (sys.executable, "-W", "error", "-m", "ccwhisper", "demo")
UP, DOWN = "\x1b[A", "\x1b[B"
CTRL_C, CTRL_Z = "\x03", "\x1a"


@contextmanager
def view(traces: Traces, columns: int = 80, lines: int = 24, **env: str) -> Iterator[Glass]:
    """A demo at a terminal, once the opening call is coached."""
    with Glass(DEMO, columns, lines, {**traces.env, **env}) as glass:
        glass.until("Nobody hears you. Press w")
        yield glass


def session(client: Client) -> dict[str, Any]:
    (only,) = client.get("sessions")["sessions"]
    return dict(only)


def ears(text: str) -> dict[str, list[str]]:
    """The rows of who hears whom: caller, agent, Carla, beep."""
    return {line.split(" hears ")[0].strip(): line.split(" hears ")[1].split() for line in text.splitlines()
            if " hears " in line and line.split(" hears ")[1].strip()[:1] in "·y–"}  # fmt: skip


# --- the view --------------------------------------------------------------------------------------------------------


def test_within_seconds_a_call_is_coached(traces: Traces) -> None:
    with view(traces) as glass:
        text = glass.until(lambda text: "Agent 1001 and Ada Ahorn" in text and "yes" in text)
        assert "SIMULATED SWITCH: for trying, not for production" in text
        assert "you: listen · nobody hears you" in text
        assert text.splitlines()[-1].endswith("q quit")
        assert session(traces.api())["mode"] == "listen"
        glass.until(lambda text: sum("Agent 10" in line for line in text.splitlines()[:13]) > 3)  # lively calls
        glass.press("q")
        assert glass.end() == 0
        assert glass.restored
        assert glass.screen.lines[1] == "The demo has ended; nothing of it is left."
    traces.assert_none()


def test_keys_change_the_mode_and_who_hears_whom(traces: Traces) -> None:
    rows = {
        "listen": (["·", "yes", "–"], ["yes", "·", "–"], ["yes", "yes", "·"]),
        "whisper": (["·", "yes", "–"], ["yes", "·", "yes"], ["yes", "yes", "·"]),
        "barge": (["·", "yes", "yes"], ["yes", "·", "yes"], ["yes", "yes", "·"]),
    }
    with view(traces) as glass:
        client = traces.api()

        def shows(mode: str) -> Callable[[str], bool]:
            def check(text: str) -> bool:
                heard = ears(text)
                now = tuple(heard[who][:3] for who in ("caller", "Agent 1001", "Carla (you)") if who in heard)
                return now == rows[mode]

            return check

        for key, mode, words in (
            ("w", "whisper", "whisper · Agent 1001 hears you"),
            ("b", "barge", "barge · Agent 1001 and the caller hear you"),
            ("l", "listen", "listen · nobody hears you"),
            ("W", "whisper", "whisper · Agent 1001 hears you"),
        ):
            glass.press(key)
            glass.until(words)
            glass.until(shows(mode))
            assert session(client)["mode"] == mode
        # Only the agent hears the beep, which is shown for a while.
        assert ears(glass.until(lambda text: "yes" in ears(text).get("Agent 1001", [""])[-1]))["caller"][-1] == "–"
        glass.press("m")
        glass.until("· muted")
        glass.until(shows("listen"))
        assert session(client)["muted"] is True
        glass.press("m")
        glass.until(lambda text: "muted" not in text)
        glass.press("x")
        glass.until("you are not on this call")
        assert client.get("sessions")["sessions"] == []
        glass.press("m")
        glass.until("First listen")


def test_the_space_bar_is_heard_for_as_long_as_it_is_held(traces: Traces) -> None:
    with view(traces) as glass:
        client = traces.api()
        glass.press(" ")
        glass.until("p makes it push-to-talk")
        glass.press("w")
        glass.until("Agent 1001 hears you")
        glass.press("p")
        glass.until("push-to-talk, not held")
        identifier = session(client)["id"]
        for _ in range(40):  # as a keyboard repeats; longer than a press that is not said again is good for
            glass.press(" ")
            glass.read(0.05)
            time.sleep(0.04)
        assert client.get("sessions", identifier)["gate"] == "agent"
        assert "push-to-talk, held" in glass.screen.text
        glass.until("push-to-talk, not held")
        assert client.get("sessions", identifier)["gate"] == "closed"
        glass.press("p")
        glass.until("microphone open")


def test_another_call_is_chosen_and_coached_instead(traces: Traces) -> None:
    with view(traces) as glass:
        client = traces.api()
        glass.until(lambda text: len(client.get("calls")["calls"]) > 1 and "Agent 10" in text.splitlines()[5])
        glass.press(DOWN)
        glass.until("you are on another call: Agent 1001, listen")
        glass.press("k")
        glass.until("you: listen")
        glass.press("j")
        glass.until("you are on another call")
        first = session(client)
        glass.press("w")
        glass.until(lambda text: "you: whisper · Agent 10" in text)
        second = session(client)
        assert second["call"] != first["call"]
        assert client.get("sessions", first["id"])["reason"] == "coach_left"
        glass.press(UP)
        glass.until("you are on another call")


def test_take_over_and_hang_up(traces: Traces) -> None:
    with view(traces) as glass:
        glass.press("t")
        glass.until("You and Ada Ahorn; Agent 1001 has been released")
        glass.until(lambda text: ears(text).get("caller", [])[:3] == ["·", "–", "yes"])
        assert "Agent 1001 hears  " not in glass.screen.text.replace("Agent 1001 hears you", "") or not ears(
            glass.screen.text
        ).get("Agent 1001")
        glass.press("l")
        glass.until("You are on the phone with the caller: x hangs up.")
        glass.press("x")
        glass.until("The call that you took over has ended.")
        glass.until("you are not on this call")
        assert traces.api().get("sessions")["sessions"] == []


def test_the_eye_goes_with_the_caller(traces: Traces) -> None:
    with view(traces) as glass:
        traces.sim("stories stop")
        glass.press("w")
        glass.until("you: whisper · Agent 1001 hears you")

        def leg() -> str:
            return next(str(each["leg"]) for each in traces.sim("legs") if each["party"] == "1001")

        traces.sim(f"hold {leg()}")
        glass.until("The call is on hold: nobody hears anybody until it goes on.")
        assert "you: whisper · nobody hears you" in glass.screen.text
        traces.sim(f"unhold {leg()}")
        glass.until("you: whisper · Agent 1001 hears you")
        busy = {each["party"] for each in traces.sim("legs")}
        colleague = next(str(each) for each in range(1002, 1009) if str(each) not in busy)
        traces.sim(f"transfer {leg()} {colleague}")
        text = glass.until(f"Agent {colleague} and Ada Ahorn")
        assert "you are on another call" not in text
        glass.until("you: listen · nobody hears you")  # nobody was asked whether the next agent may be whispered to
        caller = next(each["leg"] for each in traces.sim("legs") if each["party"] == "+493023125042")
        traces.sim(f"hangup {caller}")
        glass.until("The call has ended.")
        traces.sim("clear")
        glass.until("Waiting for a call")
        glass.press("w")
        glass.until("There is no call.")


def test_callers_choose_their_own_names(traces: Traces) -> None:
    with view(traces) as glass:
        traces.sim("clear")
        traces.sim("call 1001 +49123 %1b[2J%e2%80%aeevil+日本語日本語日本語日本語日本語")
        glass.until(r"\u{1b}[2J\u{202e}evil 日本")  # the glass refuses control characters, and cut lines
        assert "SIMULATED SWITCH" in glass.screen.text


def test_a_phone_that_does_not_answer(traces: Traces) -> None:
    with view(traces) as glass:
        glass.press("x")
        glass.until("you are not on this call")
        traces.sim("phone 9001 busy")
        glass.press("l")
        glass.until("Your session has ended: busy.")
        traces.sim("phone 9001 ring")
        glass.press("b")
        glass.until("you: 9001@ccwhisper.local rings")
        glass.press("m")
        glass.until("A moment: you are not on the call yet.")
        glass.press("x")
        glass.until("you are not on this call")


def test_a_second_terminal_drives_it_too(traces: Traces) -> None:
    with view(traces) as glass:
        glass.press("?")
        text = glass.until("KEYS")
        assert "Any key: back" in text
        (file,) = traces.directory.glob("ccwhisper-service-*/env")
        assert f". {file}" in text.replace("\n ", "")  # however long it is
        done = subprocess.run(
            ["sh", "-c", f". {file} && ccwhisper barge 1001"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        glass.press("?")
        glass.until("you: barge · Agent 1001 and the caller hear you")


# --- the terminal ----------------------------------------------------------------------------------------------------


def test_a_large_terminal_shows_more(traces: Traces) -> None:
    with view(traces, 120, 40) as glass:
        glass.press("w")
        text = glass.until("you on 1001  whisper · Agent 1001 hears you")
        assert "LATELY" in text
        glass.resize(80, 24)
        glass.until(lambda text: "LATELY" not in text and "q quit" in text)
        glass.resize(60, 20)
        glass.until(lambda text: text.split("\n")[0] == "80 x 24 are needed.")
        glass.resize(100, 30)
        glass.until("LATELY")


def test_only_what_has_changed_is_painted(traces: Traces) -> None:
    with view(traces) as glass:
        age = re.compile(r" \d:\d\d ")
        before = age.findall(glass.until("0:02"))
        glass.written = ""
        glass.until(lambda text: age.findall(text)[0] != before[0])
        # A second of five looks: ages, and calls that come and go. A whole picture has 1,900 characters.
        assert 0 < len(glass.written) < 1900
        assert "\x1b[2J" not in glass.written
        glass.written = ""
        glass.press("\x0c")
        glass.until(lambda _text: "\x1b[2J" in glass.written)


def test_without_colour(traces: Traces) -> None:
    with view(traces, NO_COLOR="1") as glass:
        assert glass.screen.styles == set()
        assert "▸ Agent 1001" in glass.screen.text
    with view(traces) as glass:
        assert glass.screen.styles


def test_a_terminal_that_knows_no_unicode(traces: Traces) -> None:
    with view(traces, PYTHONIOENCODING="ascii") as glass:
        assert "> Agent 1001" in glass.screen.text
        assert glass.screen.text.isascii()


def test_the_terminal_is_given_back_while_it_is_stopped(traces: Traces) -> None:
    with view(traces) as glass:
        demo = psutil.Process(glass.process.pid)
        glass.press(CTRL_Z)
        until(lambda: demo.status() == psutil.STATUS_STOPPED)
        until(lambda: (glass.read(), glass.restored)[1])  # what it wrote is on its way still
        demo.send_signal(signal.SIGCONT)
        glass.until("you: listen")
        glass.press("q")
        assert glass.end() == 0
    traces.assert_none()


@pytest.mark.parametrize("size", [(79, 24), (80, 23)])
def test_a_terminal_that_is_too_small_gets_lines(traces: Traces, size: tuple[int, int]) -> None:
    with Glass(DEMO, *size, traces.env) as glass:
        assert glass.end() == 0
        assert "As promised in all 6 steps." in glass.screen.text
        assert "smaller than 80 x 24" in glass.written
        assert 1049 not in glass.screen.modes
    traces.assert_none()


# --- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["ctrl-c", "SIGTERM", "ctrl-d"])
def test_nothing_is_left(traces: Traces, how: str) -> None:
    with view(traces) as glass:
        assert len(traces.processes()) == 3
        if how == "SIGTERM":
            glass.process.terminate()
        else:
            glass.press({"ctrl-c": CTRL_C, "ctrl-d": "\x04"}[how])
        assert glass.end() == 0
        assert glass.restored
    traces.assert_none()


def test_nothing_is_left_of_a_closed_terminal(traces: Traces) -> None:
    with view(traces) as glass:
        glass.hang_up()
        assert glass.process.wait(PATIENCE) == 0
    traces.assert_none()


@pytest.mark.parametrize("started", [1, 2, 3])
def test_interrupted_while_it_starts(traces: Traces, started: int) -> None:
    with Glass(DEMO, env=traces.env) as glass:
        until(lambda: len(traces.processes()) >= started)
        glass.process.terminate()
        code = glass.end()
        assert "Traceback" not in glass.written
        assert glass.restored
        # Before its first line of Python ran it is the signal itself that ends it.
        assert code in (130, -signal.SIGTERM) if started == 1 else code == 130
    traces.assert_none()


def test_a_service_that_dies_ends_it(traces: Traces) -> None:
    with view(traces) as glass:
        traces.process("serve").kill()
        assert glass.end() == 1
        assert glass.restored
        assert "[service_unreachable]" in glass.screen.text.replace("\n", "")
    traces.assert_none()


def test_the_token_permits_coaching_only(traces: Traces) -> None:
    with view(traces):
        client = traces.api()
        assert client.get("me")["devices"] == ["9001@ccwhisper.local"]
        with pytest.raises(Refused):
            client.post("sessions", body={"agent": "1001", "device": "9002@ccwhisper.local"})
