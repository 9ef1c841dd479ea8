"""`certificate`: a self-signed one, for a machine that has none."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ccwhisper.cli.options import output_option
from ccwhisper.cli.output import Exit, Output


@click.command()
@click.option(
    "--name", "names", multiple=True, metavar="NAME",
    help="A host name or address that the service is reached by; repeatable.  [default: localhost, 127.0.0.1, ::1]",
)  # fmt: skip
@click.option("--days", type=click.IntRange(1, 825), default=365, show_default=True, help="How long it is good.")
@click.option(
    "--out", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Where to.  [default: .]"
)
@output_option
def certificate(out: Output, names: tuple[str, ...], days: int, folder: Path) -> None:
    """Make a self-signed certificate and its key, for [service] certificate and key.

    Writes certificate.pem and key.pem, and overwrites neither. Nobody trusts it until he is told to: browsers warn, and
    the ccwhisper command wants it as --ca.
    """
    from ccwhisper.certificates import LOCAL, self_signed  # noqa: PLC0415 - cryptography takes its time

    try:
        made, key = self_signed(names or LOCAL, days)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--name") from None
    files = {"certificate": folder / "certificate.pem", "key": folder / "key.pem"}
    for file in files.values():
        if file.exists():
            out.problem("file_in_the_way", f"{file} is there already")
            raise SystemExit(Exit.FAILED)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(files["key"], key, 0o600)
        _write(files["certificate"], made, 0o644)
    except OSError as error:
        out.problem("not_written", f"{folder}: {error.strerror or error}")
        raise SystemExit(Exit.FAILED) from None
    told = {name: str(file) for name, file in files.items()}
    lines = "\n".join(f'{name} = "{file}"' for name, file in told.items())
    out.record({**told, "names": list(names or LOCAL), "days": days}, f"[service]\n{lines}")


def _write(path: Path, content: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
