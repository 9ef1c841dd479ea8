"""`db`: the schema of the service's database."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ccwhisper.cli.options import output_option
from ccwhisper.cli.output import Exit, Output
from ccwhisper.cli.service import config_option, loaded

if TYPE_CHECKING:
    from ccwhisper.store.database import Database


@click.group()
def db() -> None:
    """The service's database."""


@db.command()
@config_option
@output_option
def upgrade(out: Output, path: Path) -> None:
    """Bring the database to this version's schema, or make it."""
    _run(out, path, lambda database: database.upgrade())


@db.command()
@config_option
@output_option
def check(out: Output, path: Path) -> None:
    """Whether the database has this version's schema; exit code 1 when not."""
    _run(out, path, lambda database: database.check())


def _run(out: Output, path: Path, act: Callable[[Database], None]) -> None:
    from ccwhisper.bootstrap import database  # noqa: PLC0415 - the client commands do without gevent and SQLAlchemy
    from ccwhisper.store.errors import StoreError  # noqa: PLC0415

    config = loaded(out, path)
    try:
        with closing(database(config)) as found:
            act(found)
            revision = found.revision()
    except StoreError as error:
        out.problem(error.code, error.message)
        raise SystemExit(Exit.UNAVAILABLE if error.code == "database_unreachable" else Exit.FAILED) from None
    out.record({"database": str(found), "revision": revision}, f"{found} is at revision {revision}")
