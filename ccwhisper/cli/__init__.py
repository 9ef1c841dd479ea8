"""The `ccwhisper` command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

import ccwhisper
from ccwhisper.cli.audit import audit
from ccwhisper.cli.certificate import certificate
from ccwhisper.cli.coach import barge, listen, whisper
from ccwhisper.cli.demo import demo
from ccwhisper.cli.dialplan import dialplan
from ccwhisper.cli.doctor import doctor
from ccwhisper.cli.node import node
from ccwhisper.cli.options import group_options
from ccwhisper.cli.output import EXIT_CODES, Exit
from ccwhisper.cli.prove import prove
from ccwhisper.cli.recording import recording
from ccwhisper.cli.service import completion, serve, token
from ccwhisper.cli.session import leave, mute, press, takeover, talk, unmute
from ccwhisper.cli.simulate import simulate
from ccwhisper.cli.store import db
from ccwhisper.cli.watch import calls, watch


@click.group(
    help="Private coaching on FreeSWITCH: listen, whisper, barge in.",
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(ccwhisper.__version__, prog_name="ccwhisper")
@group_options
def cli() -> None:
    """The group has nothing to do by itself."""


for _command in (
    serve, token, calls, watch, listen, whisper, barge, takeover, leave, mute, unmute, talk, press, completion, demo,
    simulate, audit, db, prove, dialplan, doctor, node, certificate,
    recording,
):  # fmt: skip
    cli.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, and exit with a code that scripts can use."""
    try:
        code = cli.main(list(arguments) if arguments is not None else None, "ccwhisper", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = Exit.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains once more
        code = Exit.FAILED
    sys.exit(code or 0)
