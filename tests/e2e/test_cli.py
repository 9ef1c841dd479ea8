"""The command line as scripts and people use it: a process, its output, its exit code."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest

from ccwhisper.coaching import events as ev
from ccwhisper.coaching.centre import Doing, Member, Presence, Roster, Status
from ccwhisper.coaching.model import Tap

from .fake_switch import NODE
from .service import PATIENCE, SECRET, Client, Service, token

pytestmark = pytest.mark.e2e

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = (sys.executable, "-W", "error", "-m", "ccwhisper")


def environment(service: Service | None, bearer: str | None = None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CCWHISPER")}
    if service:
        kept |= {"CCWHISPER_URL": service.url, "CCWHISPER_TOKEN": bearer or token()}
    return kept


def ran(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def run(service: Service) -> Run:
    def run(*arguments: str, bearer: str | None = None) -> subprocess.CompletedProcess[str]:
        return ran(*arguments, env=environment(service, bearer))

    return run


class Running:
    """A command that goes on until it is told."""

    def __init__(self, service: Service, *arguments: str, stdin: int = subprocess.DEVNULL) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], env=environment(service), stdin=stdin, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def until(self, text: str) -> str:
        """Read lines up to one that holds the text."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if text in line:
                return line
        raise AssertionError(f"no {text!r}: {self._broken_off()}")

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        self.process.send_signal(number)
        return self.over()

    def over(self) -> tuple[int, str]:
        try:
            out, err = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end: {self._broken_off()}") from None
        assert "Traceback" not in err
        return self.process.returncode, out

    def _broken_off(self) -> str:
        """What it has said of its errors. Nothing of it stays."""
        self.process.kill()
        return self.process.communicate()[1]


def test_calls(service: Service, run: Run) -> None:
    empty = run("calls")
    assert (empty.returncode, empty.stdout) == (0, "There are no calls.\n")
    call = service.call(number="+15550101", caller="Bob")
    listed = run("calls")
    assert call in listed.stdout
    assert "+15550101 Bob" in listed.stdout
    found = json.loads(run("calls", "--json", "--agent", "1001").stdout)
    assert found["calls"][0]["id"] == call
    assert json.loads(run("--json", "calls", "--queue", "other").stdout) == {"calls": []}


def test_a_callers_name_does_not_reach_the_terminal_as_commands(service: Service, run: Run) -> None:
    service.call(caller="\x1b]0;owned\x07\x1b[2J\r\n\u202egnp.exe\x9b31m\u2028\x7f")
    for arguments in (("calls",), ("calls", "--json")):
        out = run(*arguments).stdout
        assert not set(out) & {"\x1b", "\x07", "\r", "\u202e", "\x9b", "\u2028", "\x7f"}
        assert len(out.splitlines()) == (1 if "--json" in arguments else 2)
    assert r"\u{1b}[2J" in run("calls").stdout


def test_a_session_by_commands(service: Service, run: Run, coach: Client) -> None:
    call = service.call()
    listening = run("listen", "1001")
    assert listening.returncode == 0, listening.stderr
    assert "listen · nobody hears you" in listening.stdout
    whispering = run("whisper", call[:6])
    assert whispering.stdout.splitlines()[-2] == "whisper · Ada hears you"
    assert run("barge", "1001").stdout.splitlines()[-2] == "barge · Ada and the caller hear you"
    assert run("mute").stdout == "barge · nobody hears you (muted)\n"
    assert run("unmute", "1001").stdout == "barge · Ada and the caller hear you\n"
    assert run("talk", "push", call).stdout == "barge · nobody hears you (press to talk)\n"
    held = run("press", "--seconds", "0.3")
    assert held.stdout.splitlines() == ["Ada and the caller hear you", "barge · nobody hears you (press to talk)"]
    assert json.loads(run("talk", "open", "--json").stdout)["talk"] == "open"
    session = coach.get("/sessions").body["sessions"]
    assert len(session) == 1
    assert run("leave", session[0]["id"][:5]).stdout == "ended: coach_left\n"


def test_whisper_starts_by_listening(service: Service, run: Run) -> None:
    service.call()
    done = run("whisper", "1001", "--talk", "push", "--device", "9002@ccwhisper.local", "--json")
    view = json.loads(done.stdout)
    assert (view["mode"], view["talk"], view["device"], view["settled"]) == (
        "whisper", "push", "9002@ccwhisper.local", True,
    )  # fmt: skip


def test_take_over(service: Service, run: Run) -> None:
    service.call()
    assert run("listen", "1001").returncode == 0
    assert run("takeover").stdout == "you are talking with the caller\n"
    assert run("takeover").returncode == 4


def test_following_an_agent_without_a_call(service: Service, run: Run, coach: Client) -> None:
    assert run("listen", "1002", bearer=token(queues=["*"])).returncode == 5
    done = run("listen", "1001", "--follow", "agent")
    assert (done.returncode, "waiting for Ada's next call" in done.stdout) == (0, True)
    service.call()
    session = coach.get("/sessions").body["sessions"][0]["id"]
    assert coach.get(f"/sessions/{session}?wait=listening").body["phase"] == "attached"
    refused = run("whisper", "1001", "--follow", "call")
    assert (refused.returncode, "[already_coaching]" in refused.stderr) == (5, True)


def test_stay_leaves_with_the_terminal(service: Service, coach: Client) -> None:
    service.call()
    for number in (signal.SIGINT, signal.SIGTERM):
        running = Running(service, "whisper", "1001", "--stay")
        running.until("Ada hears you")
        code, out = running.end(number)
        assert (code, out.splitlines()[-1]) == (0, "ended: coach_left")
        assert coach.get("/sessions").body["sessions"] == []


def test_stay_ends_with_the_call(service: Service) -> None:
    service.call()
    running = Running(service, "listen", "1001", "--stay", "--json")
    assert json.loads(running.until('"settled": true'))["mode"] == "listen"
    service.run(lambda: service.switch.hang_up("a-agent", "a-caller"))
    code, out = running.over()
    assert code == 0
    assert json.loads(out.splitlines()[-1])["reason"] == "call_ended"


def test_an_interrupted_start_leaves_nothing_behind(service: Service, coach: Client) -> None:
    service.call()
    service.switch.ringing.add("9001@ccwhisper.local")
    running = Running(service, "listen", "1001")
    running.until("rings")
    assert running.end()[0] == 130
    assert coach.get("/sessions").body["sessions"] == []


def test_press_until_enter(service: Service, run: Run, coach: Client) -> None:
    service.call()
    run("whisper", "1001", "--talk", "push")
    keyboard, terminal = pty.openpty()
    try:
        running = Running(service, "press", stdin=terminal)
        running.until("Ada hears you")
        session = coach.get("/sessions").body["sessions"][0]
        assert session["pressed"] is True
        service.run(lambda: service.engine.wait_for(lambda _: False, 1.0))  # longer than a press that is not repeated
        assert coach.get(f"/sessions/{session['id']}").body["gate"] == "agent"
        os.write(keyboard, b"\n")
        code, out = running.over()
        assert (code, out) == (0, "whisper · nobody hears you (press to talk)\n")
    finally:
        os.close(keyboard)
        os.close(terminal)


def test_press_until_interrupted(service: Service, run: Run) -> None:
    service.call()
    run("whisper", "1001", "--talk", "push")
    running = Running(service, "press", "1001")
    running.until("Ada hears you")
    assert running.end(signal.SIGTERM) == (0, "whisper · nobody hears you (press to talk)\n")


def test_watch(service: Service) -> None:
    running = Running(service, "watch", "--json")
    assert json.loads(running.until("reset"))["data"]["calls"] == []
    call = service.call(caller="Bob")
    assert json.loads(running.until("call.changed"))["data"]["id"] == call
    assert running.end()[0] == 0


def test_watch_for_people(service: Service, run: Run) -> None:
    call = service.call(caller="Bob\x1b[2J")
    running = Running(service, "watch")
    running.until("1 calls, 0 sessions")
    assert r"Bob\u{1b}[2J" in running.until(call[:8])
    run("whisper", "1001", bearer=token(sub="coach-2", name="Alan"))
    running.until("Alan on 1001  whisper, gate agent")
    run("listen", "1001", "--device", "9002@ccwhisper.local")
    running.until("you on 1001  listen · nobody hears you")
    run("leave", bearer=token(sub="coach-2"))
    running.until("Alan left 1001")
    spy = Tap(NODE, "a-agent", "x1", "Eve\x1b[2J")
    service.run(lambda: service.switch.say(ev.Tapped(NODE, "a-agent", (spy,))))
    running.until(rf"call {call[:8]}  tapped by Eve\u{{1b}}[2J, not by ccwhisper")
    assert "tapped" in run("calls").stdout
    service.run(lambda: service.switch.say(ev.Tapped(NODE, "a-agent", (Tap(NODE, "a-agent", None, other=True),))))
    running.until(f"call {call[:8]}  tapped, another ccwhisper")
    running.until(f"call {call[:8]}  no longer tapped by Eve")
    service.run(lambda: service.switch.hang_up("a-agent", "a-caller"))
    running.until(f"call {call[:8]}  1001 Ada  ended")
    service.run(service.switch.lose)
    running.until("switch fs1 lost")
    assert running.end()[0] == 0


def test_watch_agents_and_queues(service: Service) -> None:
    running = Running(service, "watch")
    running.until("0 calls")
    queue = "support@default"
    ada = Presence(NODE, "1001", Status.ON_BREAK, Doing.IN_CALL, 50)
    roster = Roster((ada,), ((queue, frozenset({"1001"})),), (Member("m", NODE, queue, "c", "Eve", "+1", 60),))
    service.run(lambda: service.switch.say(ev.NodeSynced(NODE, (), roster)))
    running.until("1001 Ada  on break, in a queue call")
    running.until("support@default  1 waiting; 0 available, 1 on call, 0 on break")
    service.run(lambda: service.switch.say(ev.NodeSynced(NODE, ())))
    running.until("1001 Ada  no status, no state")
    running.until("support@default  gone")
    assert running.end()[0] == 0


# --- exit codes ------------------------------------------------------------------------------------------------------


def test_exit_codes(service: Service, run: Run) -> None:
    call = service.call()
    cases = [
        (1, "busy", ("listen", "1001", "--device", "9002@ccwhisper.local"), token()),
        (2, "", ("listen",), token()),
        (2, "", ("shout", "1001"), token()),
        (2, "", ("listen", "1001", "--talk", "loud"), token()),
        (3, "token_expired", ("calls",), token(exp=1)),
        (3, "token_invalid", ("calls",), "nonsense"),
        (3, "role_missing", ("whisper", call), token(roles=[])),
        (3, "permission_missing", ("calls",), token(permissions=[])),
        (4, "target_not_found", ("listen", "9999"), token()),
        (4, "session_not_found", ("mute",), token()),
        (4, "session_not_found", ("mute", "1001"), token()),
        (4, "device_unknown", ("listen", "1001"), token(devices=[])),
        (5, "agent_has_no_call", ("listen", "1002"), token(queues=["*"])),
    ]
    service.switch.causes["9002@ccwhisper.local"] = "USER_BUSY"
    for code, name, arguments, bearer in cases:
        done = run(*arguments, bearer=bearer)
        assert (done.returncode, f"[{name}]" in done.stderr or not name) == (code, True), (arguments, done)
    failed = run("mute", "--json")
    assert json.loads(failed.stderr)["error"]["code"] == "session_not_found"
    service.run(service.switch.lose)
    service.until(lambda engine: not engine.state.nodes["fs1"].up)
    assert run("listen", "1001").returncode == 6


def test_several_sessions_must_be_told_apart(service: Service, run: Run) -> None:
    service.call("a")
    service.call("b", user="1002")
    run("listen", "1001")
    run("listen", "1002", "--device", "9002@ccwhisper.local")
    done = run("leave")
    assert (done.returncode, "[ambiguous]" in done.stderr) == (5, True)
    assert run("leave", "1002").returncode == 0
    assert run("leave").returncode == 0


@pytest.mark.parametrize(
    ("url", "code", "name"),
    [
        ("http://127.0.0.1:1", 6, "service_unreachable"),
        ("ftp://127.0.0.1", 6, "url_invalid"),
        ("http://127.0.0.1:99999", 6, "url_invalid"),
    ],
)
def test_no_service(url: str, code: int, name: str) -> None:
    done = ran("calls", "--url", url, "--token", "x", env=environment(None))
    assert (done.returncode, f"[{name}]" in done.stderr) == (code, True)


def test_an_option_wins_over_the_environment_wherever_it_stands(service: Service) -> None:
    env = environment(service, "nonsense")
    assert ran("calls", "--token", token(), env=env).returncode == 0
    assert ran("--token", token(), "calls", env=env).returncode == 0
    assert ran("--token", token(), "calls", "--token", "nonsense", env=env).returncode == 3


# --- commands that need no service -----------------------------------------------------------------------------------


def test_help_names_the_exit_codes() -> None:
    done = ran("--help", env=environment(None))
    assert done.returncode == 0
    assert "130" in done.stdout
    for command in ("serve", "token", "calls", "watch", "listen", "whisper", "barge", "takeover", "leave", "mute",
                    "unmute", "talk", "press", "completion"):  # fmt: skip
        assert command in done.stdout


def test_a_token_is_good(service: Service) -> None:
    env = {**environment(None), "CCWHISPER_JWT_SECRET": SECRET}
    arguments = ("token", "--sub", "ada", "--role", "whisper", "--queue", "*", "--device", "9001@a.b", "--ttl", "8h")
    made = ran(*arguments, env=env).stdout.strip()
    me = Client(service, made).get("/me").body
    assert (me["id"], me["roles"], me["queues"], me["devices"]) == ("ada", ["whisper"], ["*"], ["9001@a.b"])
    assert me["permissions"] == ["monitor_live_calls", "view_contact_center_dashboard"]
    extra = json.loads(ran(*arguments, "--issuer", "i", "--audience", "a", "--agent", "1", "--json", env=env).stdout)
    claims: dict[str, Any] = jwt.decode(extra["token"], SECRET, ["HS256"], audience="a", issuer="i")
    assert claims["exp"] == extra["expires_at"]
    assert claims["exp"] - claims["iat"] == 8 * 3600


def test_a_token_needs_the_secret() -> None:
    assert ran("token", "--sub", "ada", env=environment(None)).returncode == 2
    env = {**environment(None), "OTHER": SECRET}
    assert ran("token", "--sub", "ada", "--secret-env", "OTHER", env=env).returncode == 0
    assert ran("token", "--sub", "ada", "--secret-env", "OTHER", "--ttl", "soon", env=env).returncode == 2


def test_serve_names_the_mistakes_of_its_configuration(tmp_path: Path) -> None:
    path = tmp_path / "ccwhisper.toml"
    path.write_text("[service]\nport = 1\n")
    done = ran("serve", "--config", str(path), env=environment(None))
    assert done.returncode == 1
    assert "service.port: there is no such key [key_unknown]" in done.stderr
    done = ran("serve", "--config", str(path), "--json", env=environment(None))
    assert {problem["code"] for problem in json.loads(done.stdout)["problems"]} == {"key_unknown", "key_missing"}


def test_serve_until_it_is_told_to_stop(tmp_path: Path) -> None:
    path = tmp_path / "ccwhisper.toml"
    # port 1 answers nobody: a service without its switch says so, and goes on trying
    path.write_text('[service]\nlisten = "127.0.0.1:0"\n[[node]]\nname = "fs1"\nport = 1\npassword_env = "ESL"\n')
    env = {**environment(None), "CCWHISPER_JWT_SECRET": SECRET, "ESL": "only for this test"}
    arguments = [sys.executable, "-m", "ccwhisper", "serve", "--json", "--config", str(path)]
    with subprocess.Popen(arguments, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with urllib.request.urlopen(f"{url}/api/v1/health", timeout=PATIENCE) as response:
            assert json.load(response) == {
                "status": "degraded",
                "nodes": {"up": 0, "down": 1},
                "store": {"status": "ok", "waiting": 0, "lost": 0},
            }
        assert ran("calls", "--url", url, env=env).returncode == 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert (tmp_path / "var" / "ccwhisper.db").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    done = ran("completion", shell, env=environment(None))
    assert done.returncode == 0
    assert "_CCWHISPER_COMPLETE" in done.stdout
    at = "whis" if shell == "fish" else "1"
    words = {"COMP_WORDS": "ccwhisper whis", "COMP_CWORD": at, "_CCWHISPER_COMPLETE": f"{shell}_complete"}
    completed = subprocess.run(
        COMMAND, env={**environment(None), **words}, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert "whisper" in completed.stdout
