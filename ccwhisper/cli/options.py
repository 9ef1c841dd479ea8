"""Options that every command has, before or after its name."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import click

from ccwhisper.cli.client import Client, Refused
from ccwhisper.cli.output import Output

DEFAULT_URL = "http://127.0.0.1:8810"


class Api:
    """What a command works with."""

    def __init__(self, client: Client, out: Output) -> None:
        self.client = client
        self.out = out


def _shared(command: Callable[..., Any], env: bool) -> Callable[..., Any]:
    # The environment is asked on the group only: on a command too, it would win over an option before its name.
    for option in (
        click.option("--json", "as_json", is_flag=True, help="JSON for programs."),
        click.option(
            "--token", envvar="CCWHISPER_TOKEN" if env else None, help="Bearer token.  [env: CCWHISPER_TOKEN]"
        ),
        click.option(
            "--url",
            envvar="CCWHISPER_URL" if env else None,
            help=f"The service's address.  [env: CCWHISPER_URL; default: {DEFAULT_URL}]",
        ),
        click.option(
            "--ca",
            envvar="CCWHISPER_CA" if env else None,
            metavar="FILE",
            help="Trust this certificate, and no other, where the address is https.  [env: CCWHISPER_CA]",
        ),
    ):
        command = option(command)
    return command


def group_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options on the group: kept for whichever command follows."""

    @functools.wraps(command)
    def wrapped(url: str | None, token: str | None, ca: str | None, as_json: bool) -> Any:
        click.get_current_context().obj = {"url": url, "token": token, "ca": ca, "as_json": as_json}
        return command()

    return _shared(wrapped, env=True)


def output_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json` alone, for commands that ask no service: they get `out`."""

    @functools.wraps(command)
    def wrapped(as_json: bool, **rest: Any) -> Any:
        return command(out=Output(as_json or _common()["as_json"]), **rest)

    return click.option("--json", "as_json", is_flag=True, help="JSON for programs.")(wrapped)


def api_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """All of them; the command gets `api`, and its `Refused` becomes a message and an exit code."""

    @functools.wraps(command)
    def wrapped(url: str | None, token: str | None, ca: str | None, as_json: bool, **rest: Any) -> Any:
        common = _common()
        out = Output(as_json or common["as_json"])
        try:
            client = Client(url or common["url"] or DEFAULT_URL, token or common["token"], ca or common["ca"])
            with contextlib.closing(client):
                return command(api=Api(client, out), **rest)
        except Refused as error:
            out.fail(error)

    return _shared(wrapped, env=False)


def _common() -> dict[str, Any]:
    common: dict[str, Any] = click.get_current_context().obj
    return common
