"""`serve`, `token` and `completion`."""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import get_completion_class

from ccwhisper.cli.options import output_option
from ccwhisper.cli.output import Exit, Output

if TYPE_CHECKING:
    from ccwhisper.config import Config

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


config_option = click.option(
    "--config", "path", type=click.Path(path_type=Path), default=Path("ccwhisper.toml"), envvar="CCWHISPER_CONFIG",
    show_default=True, show_envvar=True, help="The configuration file.",
)  # fmt: skip


def loaded(out: Output, path: Path) -> Config:
    """The configuration; says what is wrong with it, and ends."""
    from ccwhisper.config import ConfigError, load  # noqa: PLC0415 - the client commands do without pydantic

    try:
        return load(path)
    except ConfigError as error:
        found = [{"code": each.code, "key": each.key, "message": each.message} for each in error.problems]
        if out.as_json:
            out.record({"file": str(path), "problems": found}, "")
        else:
            out.note(str(error))
        raise SystemExit(Exit.FAILED) from None


@click.command()
@config_option
@output_option
def serve(out: Output, path: Path) -> None:
    """Run the service."""
    from ccwhisper.bootstrap import serve as run  # noqa: PLC0415 - the client commands do without gevent and the switch
    from ccwhisper.store.errors import StoreError  # noqa: PLC0415

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = loaded(out, path)
    try:
        run(config, lambda url: out.record({"url": url}, f"ccwhisper answers at {url}"))
    except StoreError as error:
        out.problem(error.code, error.message)
        raise SystemExit(Exit.FAILED) from None
    except OSError as error:
        out.note(f"{config.service.listen}: {error.strerror or error}")
        raise SystemExit(Exit.FAILED) from None


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str) -> int:
    found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", value)
    if not found or int(found[1]) == 0:
        raise click.BadParameter("a number of seconds, or 30m, 8h, 7d")
    return int(found[1]) * _UNITS[found[2]]


@click.command()
@click.option("--sub", required=True, help="Who it is for: an id that stays the same.")
@click.option("--name", help="The name that agents and other coaches see.")
@click.option("--role", "roles", multiple=True, metavar="ROLE", help="whisper, barge; may be repeated.")
@click.option(
    "--permission", "permissions", multiple=True, metavar="PERMISSION", show_default=True,
    default=("view_contact_center_dashboard", "monitor_live_calls"),
    help="Also review_recordings, view_audit_trail, edit_coaching_policies; may be repeated, and then the default is "
    "not among them.",
)  # fmt: skip
@click.option("--queue", "queues", multiple=True, metavar="QUEUE", help="A queue, or * for all; may be repeated.")
@click.option("--device", "devices", multiple=True, metavar="USER@DOMAIN", help="A phone to ring; may be repeated.")
@click.option("--agent", help="The agent whose own token it is.")
@click.option(
    "--ttl", default="1h", show_default=True, callback=_seconds, help="How long it is good: 900, 30m, 8h, 7d."
)
@click.option("--issuer", help="Claim iss, where the service's configuration asks for it.")
@click.option("--audience", help="Claim aud, likewise.")
@click.option(
    "--secret-env", default="CCWHISPER_JWT_SECRET", show_default=True, help="The environment variable with the secret."
)
@output_option
def token(
    out: Output,
    sub: str,
    name: str | None,
    roles: tuple[str, ...],
    permissions: tuple[str, ...],
    queues: tuple[str, ...],
    devices: tuple[str, ...],
    agent: str | None,
    ttl: int,
    issuer: str | None,
    audience: str | None,
    secret_env: str,
) -> None:
    """Make a token (HS256) from the service's shared secret, for trying things out and for integrations."""
    secret = os.environ.get(secret_env, "")
    if len(secret.encode()) < 32:
        raise click.UsageError(
            f"the environment variable {secret_env} must hold the service's secret (32 bytes or more)"
        )
    now = int(time.time())
    optional = {"name": name, "agent": agent, "iss": issuer, "aud": audience}
    claims = {
        "sub": sub,
        "iat": now,
        "exp": now + ttl,
        "permissions": list(permissions),
        "roles": list(roles),
        "queues": list(queues),
        "devices": list(devices),
        **{key: value for key, value in optional.items() if value is not None},
    }
    import jwt  # noqa: PLC0415 - it brings cryptography along, which the other commands need not wait for

    made = jwt.encode(claims, secret, "HS256")
    out.record({"token": made, "expires_at": now + ttl}, made)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  eval "$(ccwhisper completion bash)"     in ~/.bashrc
    zsh:   eval "$(ccwhisper completion zsh)"      in ~/.zshrc
    fish:  ccwhisper completion fish > ~/.config/fish/completions/ccwhisper.fish
    """
    kind = get_completion_class(shell)
    if kind is None:  # pragma: no cover - click has all three
        raise click.UsageError(f"no completion for {shell}")
    root = context.find_root()
    # Not source(), which runs bash to look at its version.
    made = kind(root.command, {}, "ccwhisper", "_CCWHISPER_COMPLETE")
    click.echo(made.source_template % made.source_vars())
