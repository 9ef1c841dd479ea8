"""`node install` and `node uninstall`: coaching in a switch's configuration that is already there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from ccwhisper.cli.options import output_option
from ccwhisper.cli.output import Exit, Output, visible

if TYPE_CHECKING:
    from ccwhisper.install.errors import InstallError
    from ccwhisper.install.plan import Plan

_STEPS = ("agents", "contacts", "contexts", "extensions", "event-socket", "modules")
_CHOSEN = ("browsers",)


@click.group()
def node() -> None:
    """A FreeSWITCH configuration."""


def _shared(command: click.decorators.FC) -> click.decorators.FC:
    for option in (
        click.option("--backup", type=click.Path(path_type=Path), help="Where copies go; else beside PATH."),
        click.option("--yes", is_flag=True, help="Write without asking."),
        click.option("--dry-run", is_flag=True, help="Show the difference, and write nothing."),
        click.argument("path", type=click.Path(path_type=Path)),
    ):
        command = option(command)
    return command


def _pairs(
    _context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    pairs = [value.partition("=") for value in values]
    if not all(name and context for name, _, context in pairs):
        raise click.BadParameter("PART=CONTEXT, for example callers=public")
    return tuple((name, context) for name, _, context in pairs)


@node.command()
@_shared
@click.option(
    "--agents", "groups", multiple=True, metavar="GROUP",
    help="A group of the directory whose users are agents; may be repeated. Not needed where only one has users.",
)  # fmt: skip
@click.option(
    "--coach", "coaches", multiple=True, metavar="USER", help="A user who coaches, and from then on dials nobody."
)
@click.option(
    "--into", multiple=True, metavar="PART=CONTEXT",
    default=("callers=public", "feature-codes=coaches"), show_default=True, callback=_pairs,
    help="Which context gets a part of dialplans/; may be repeated, and then the defaults are not among them.",
)  # fmt: skip
@click.option(
    "--with", "also", multiple=True, type=click.Choice(_CHOSEN),
    help="Besides: browsers, the profile for coaches who speak from their browsers.",
)  # fmt: skip
@click.option("--without", multiple=True, type=click.Choice(_STEPS), help="Leave a step out; may be repeated.")
@click.option(
    "--password-env", metavar="NAME", default="CCW_ESL_PASSWORD", show_default=True,
    help="The environment variable with a password for an Event Socket that still has the stock one.",
)  # fmt: skip
@output_option
def install(
    out: Output,
    path: Path,
    dry_run: bool,
    yes: bool,
    backup: Path | None,
    groups: tuple[str, ...],
    coaches: tuple[str, ...],
    into: tuple[tuple[str, str], ...],
    also: tuple[str, ...],
    without: tuple[str, ...],
    password_env: str,
) -> None:
    """Put coaching into the configuration in PATH: shows the difference first, keeps a backup, can be taken back.

    A second time it changes nothing. What is not understood is refused, and then nothing is written.
    """
    from ccwhisper.install import plan  # noqa: PLC0415 - the client commands do without
    from ccwhisper.install.errors import InstallError  # noqa: PLC0415
    from ccwhisper.install.steps import Wish  # noqa: PLC0415

    steps = frozenset(_STEPS) - frozenset(without) | frozenset(also)
    wish = Wish(groups, into, coaches, os.environ.get(password_env) or None, steps)
    try:
        found = plan.install(path, wish)
    except InstallError as error:
        _fail(out, error)
    _go_on(out, found, dry_run, yes, backup, 'then: fs_cli -x "reloadxml"; docs/installing.md')


@node.command()
@_shared
@output_option
def uninstall(out: Output, path: Path, dry_run: bool, yes: bool, backup: Path | None) -> None:
    """Take out of the configuration in PATH what `install` put there. What you have written since stays."""
    from ccwhisper.install import plan  # noqa: PLC0415
    from ccwhisper.install.errors import InstallError  # noqa: PLC0415

    try:
        found = plan.uninstall(path)
    except InstallError as error:
        _fail(out, error)
    _go_on(out, found, dry_run, yes, backup, 'then: fs_cli -x "reloadxml"')


def _go_on(out: Output, found: Plan, dry_run: bool, yes: bool, backup: Path | None, after: str) -> None:
    from ccwhisper.install.errors import InstallError  # noqa: PLC0415
    from ccwhisper.install.plan import carry_out  # noqa: PLC0415

    if out.as_json and not (yes or dry_run):
        raise click.UsageError("with --json nobody can be asked: --yes or --dry-run")
    if not out.as_json:
        for line in found.diff().splitlines():
            click.echo("\t".join(map(visible, line.split("\t"))))
        for note in found.notes:
            out.note(f"note: {visible(note)}")
        if found.changes and not (yes or dry_run):
            click.confirm(f"Write this into {found.conf}?", abort=True)
    kept = None
    if not dry_run:
        try:
            kept = carry_out(found, backup)
        except InstallError as error:
            _fail(out, error)
        except OSError as error:
            out.problem("not_written", f"{error.filename or found.conf}: {error.strerror or error}")
            raise SystemExit(Exit.FAILED) from None
    files = [change.file for change in found.changes]
    told = {"changed": files, "written": kept is not None, "backup": str(kept) if kept else None}
    out.record({**told, "notes": list(found.notes), "diff": found.diff()}, _said(files, kept, dry_run, after))


def _said(files: list[str], kept: Path | None, dry_run: bool, after: str) -> str:
    if not files:
        return "There is nothing to change."
    count = f"{len(files)} file{'s' if len(files) > 1 else ''}"
    return f"{count} would change." if dry_run else f"{count} changed; copies are in {kept}; {after}"


def _fail(out: Output, error: InstallError) -> NoReturn:
    out.problem(error.code, error.message)
    raise SystemExit(Exit.FAILED)
