"""`listen`, `whisper` and `barge`."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import click

from ccwhisper.cli.client import Refused
from ccwhisper.cli.follow import FAILED, Follower, Progress, ended, stage_of
from ccwhisper.cli.options import Api, api_options
from ccwhisper.cli.output import Exit, visible
from ccwhisper.cli.targets import call_or_agent, sessions_on


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM means the same as Ctrl-C while this holds, so that nothing stays open behind a script that is ended."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def leave(api: Api, session: str) -> dict[str, Any]:
    """Leave, and wait until the leg is gone. Raises Refused when that was not confirmed."""
    try:
        api.client.delete("sessions", session)
    except Refused as error:
        if error.code != "session_ended":
            raise
    gone = api.client.get("sessions", session, wait="ended", timeout=5)
    if gone["phase"] != "ended":
        raise Refused(FAILED, "leave_not_confirmed", "The switch has not confirmed that the leg is gone.")
    return gone


def _mode(name: str, summary: str, explanation: str) -> click.Command:
    def command(api: Api, target: str, talk: str | None, follow: str | None, device: str | None, stay: bool) -> None:
        with interruptible():
            _run(api, name, target, talk, follow, device, stay)

    command.__doc__ = f"""{summary}

    CALL_OR_AGENT is an agent's id, or a call's id or the beginning of it. {explanation} If you are already coaching
    that call or agent, your session changes to this mode.
    """
    decorated: Callable[..., Any] = api_options(command)
    for option in (
        click.option("--stay", is_flag=True, help="Keep following; Ctrl-C leaves the call."),
        click.option("--device", help="Which of your devices to ring; default the token's first."),
        click.option(
            "--follow", type=click.Choice(["call", "agent"]), help="Stay with the call (default) or the agent."
        ),
        click.option("--talk", type=click.Choice(["open", "push"]), help="Open microphone (default) or push-to-talk."),
        click.argument("target", metavar="CALL_OR_AGENT"),
    ):
        decorated = option(decorated)
    return click.command(name)(decorated)


def _run(api: Api, mode: str, typed: str, talk: str | None, follow: str | None, device: str | None, stay: bool) -> None:
    target = call_or_agent(api.client, typed)
    follower = Follower(api.client)
    existing = sessions_on(api.client, target)
    session: dict[str, Any] | None = existing[0] if existing else None
    states = _states(api) if stay else lambda _session: None
    progress: Progress | None = None
    try:
        if session:
            session = _switch(api, session, mode, talk, follow, device)
        else:
            session = api.client.post(
                "sessions", body=_given(mode=mode, talk=talk, follow=follow, device=device, **target)
            )
        progress = Progress(api.client, api.out, follower, session, states)
        _establish(progress, mode)
        if stay:
            progress.until(lambda _session: False)
        else:
            api.out.record(progress.session, visible(f"session {session['id']}"))
    except KeyboardInterrupt:
        # Interrupted while it was being made, it is there all the same.
        session = session or next(iter(sessions_on(api.client, target)), None)
        if session and (stay or not existing):
            gone = leave(api, session["id"])
            api.out.stage(visible(stage_of(gone)))
            states(gone)
        latest = progress.session if progress else None if existing else session
        done = stay and latest is not None and _there(latest)
        raise SystemExit(Exit.OK if done else Exit.INTERRUPTED) from None


def _given(**values: str | None) -> dict[str, str]:
    return {name: value for name, value in values.items() if value is not None}


def _states(api: Api) -> Callable[[dict[str, Any]], None]:
    return lambda session: api.out.record(session, "") if api.out.as_json else None


def _switch(
    api: Api, session: dict[str, Any], mode: str, talk: str | None, follow: str | None, device: str | None
) -> dict[str, Any]:
    for name, value in (("follow", follow), ("device", device)):
        if value is not None and session[name] != value:
            text = f"Your session there has {name} {session[name]}; that is chosen when it starts. Leave first."
            raise Refused(409, "already_coaching", text)
    if talk is not None and session["talk"] != talk:
        api.client.put("sessions", session["id"], "talk", body={"talk": talk})
    return api.client.put("sessions", session["id"], "mode", body={"mode": mode})


def _establish(progress: Progress, mode: str) -> None:
    """Wait for the mode. A session that waits for the agent's next call has no mode to wait for: it is reported as it
    is, and followed if it is to be."""
    progress.until(_there)
    session = progress.session
    if session["phase"] == "ended":
        raise ended(session)
    if session["mode"] != mode and not _waits(session):
        raise Refused(FAILED, "mode_not_reached", f"The session is in {session['mode']}.")


def _there(session: dict[str, Any]) -> bool:
    return _waits(session) or bool(session["settled"] and session["mode"] == session["wanted"])


def _waits(session: dict[str, Any]) -> bool:
    return bool(session["phase"] == "waiting" and session["follow"] == "agent")


listen = _mode("listen", "Listen to a call: nobody hears you.", "Your device rings; when it answers, you listen.")
whisper = _mode(
    "whisper", "Whisper to the agent: the caller does not hear you.",
    "Your device rings; when it answers, you listen, and then whisper.",
)  # fmt: skip
barge = _mode(
    "barge", "Barge in: agent and caller hear you.",
    "Your device rings; when it answers, you listen, and then speak with both.",
)  # fmt: skip
