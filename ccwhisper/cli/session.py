"""Commands on a session that is there: `leave`, `takeover`, `mute`, `unmute`, `talk`, `press`."""

from __future__ import annotations

import contextlib
import select
import sys
import time
from typing import Any

import click

from ccwhisper.cli.client import Refused
from ccwhisper.cli.coach import interruptible
from ccwhisper.cli.coach import leave as leave_session
from ccwhisper.cli.follow import FAILED, ended, heard, stage_of
from ccwhisper.cli.options import Api, api_options
from ccwhisper.cli.output import visible
from ccwhisper.cli.targets import own_session

_session = click.argument("session", required=False, metavar="[SESSION]")
_WHICH = "SESSION is a session's id or the beginning of it, an agent or a call; needed only if you have several."


@click.command(help=f"Leave the call. Nobody notices.\n\n{_WHICH}")
@_session
@api_options
def leave(api: Api, session: str | None) -> None:
    gone = leave_session(api, own_session(api.client, session)["id"])
    api.out.record(gone, visible(stage_of(gone)))


@click.command(help=f"Take the call over: you stay with the caller, the agent is released.\n\n{_WHICH}")
@_session
@api_options
def takeover(api: Api, session: str | None) -> None:
    identifier = own_session(api.client, session)["id"]
    api.client.post("sessions", identifier, "take-over")
    over = api.client.get("sessions", identifier, wait="ended", timeout=10)
    if over["reason"] != "took_over":
        raise ended(over) if over["phase"] == "ended" else Refused(FAILED, "take_over_failed", "It did not come about.")
    api.out.record(over, "you are talking with the caller")


@click.command(help=f"Mute yourself.\n\n{_WHICH}")
@_session
@api_options
def mute(api: Api, session: str | None) -> None:
    _change(api, session, "muted", {"muted": True})


@click.command(help=f"Unmute yourself.\n\n{_WHICH}")
@_session
@api_options
def unmute(api: Api, session: str | None) -> None:
    _change(api, session, "muted", {"muted": False})


@click.command(help=f"Change to an open microphone or to push-to-talk.\n\n{_WHICH}")
@click.argument("how", type=click.Choice(["open", "push"]))
@_session
@api_options
def talk(api: Api, how: str, session: str | None) -> None:
    _change(api, session, "talk", {"talk": how})


def _change(api: Api, typed: str | None, what: str, body: dict[str, Any]) -> None:
    identifier = own_session(api.client, typed)["id"]
    changed = api.client.put("sessions", identifier, what, body=body)
    if changed["phase"] == "attached":
        changed = api.client.get("sessions", identifier, wait="gate", timeout=5)
    api.out.record(changed, visible(stage_of(changed)))


@click.command(help=f"Hold push-to-talk until Enter or Ctrl-C, or for some seconds.\n\n{_WHICH}")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Hold for so long.")
@_session
@api_options
def press(api: Api, session: str | None, seconds: float | None) -> None:
    identifier = own_session(api.client, session)["id"]
    with interruptible():
        try:
            _hold(api, identifier, seconds)
        except KeyboardInterrupt:
            pass
        finally:
            # Should this fail too, the switch closes the gate by itself within moments.
            with contextlib.suppress(Refused):
                api.client.post("sessions", identifier, "release")
    released = api.client.get("sessions", identifier, wait="gate", timeout=5)
    api.out.record(released, visible(stage_of(released)))


def _hold(api: Api, identifier: str, seconds: float | None) -> None:
    until = None if seconds is None else time.monotonic() + seconds
    told = False
    while until is None or time.monotonic() < until:
        answer = api.client.post("sessions", identifier, "press")
        pause = answer["again_within"] / 3
        if not told:
            told = True
            settled = api.client.get("sessions", identifier, wait="gate", timeout=pause)
            api.out.stage(visible(heard(settled)) + ("" if seconds else ": Enter or Ctrl-C to stop"))
        if until is not None:
            pause = min(pause, max(0.0, until - time.monotonic()))
        if _enter(pause if pause > 0 else 0, listen=seconds is None):
            return


def _enter(pause: float, listen: bool) -> bool:
    """Wait; True when Enter was pressed at a terminal meanwhile."""
    if listen and sys.stdin is not None and sys.stdin.isatty():
        return bool(select.select([sys.stdin], [], [], pause)[0]) and bool(sys.stdin.readline())
    time.sleep(pause)
    return False
