"""`dialplan`: what in a switch's configuration would harm coached calls."""

from __future__ import annotations

import json
from pathlib import Path

import click

import ccwhisper
from ccwhisper.cli.options import output_option
from ccwhisper.cli.output import Exit, Output, visible


@click.group()
def dialplan() -> None:
    """The configuration of a switch."""


@dialplan.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="PATH...")
@click.option("--format", "form", type=click.Choice(["text", "json", "sarif"]), help="How to tell it.  [default: text]")
@click.option("--rule", "only", multiple=True, metavar="ID", help="Only this rule; can be given several times.")
@output_option
def check(out: Output, paths: tuple[Path, ...], form: str | None, only: tuple[str, ...]) -> None:
    """Read FreeSWITCH XML and say what would harm coached calls.

    PATH is a node's configuration folder, a folder of parts, or one file. Includes and variables are resolved as the
    switch does it; nothing is executed. Exit code 1: something was found; 2: something could not be read.
    """
    from ccwhisper.dialplan import RULES, check, report  # noqa: PLC0415 - the other commands need none of it

    if unknown := [name for name in only if name not in RULES]:
        raise click.BadParameter(f"no such rule: {', '.join(unknown)}", param_hint="--rule")
    found = check(paths, only)
    if form == "sarif":
        click.echo(json.dumps(report.sarif(found, ccwhisper.__version__), indent=1))
    elif form == "json" or (form is None and out.as_json):
        click.echo(json.dumps(report.as_json(found)))
    else:
        for line in report.text(found, visible):
            click.echo(line)
    if not found.clean:
        raise SystemExit(Exit.USAGE if found.problems else Exit.FAILED)
