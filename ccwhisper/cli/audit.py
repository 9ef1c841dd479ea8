"""`audit`: who did what to whom."""

from __future__ import annotations

import sys
from typing import Any

import click

from ccwhisper.cli.options import Api, api_options

_ROW = ("at", "actor", "action", "agent", "detail", "refusal", "origin")


@click.command()
@click.option("--from", "since", metavar="TIME", help="Not before this, as 2026-01-31T12:00:00Z.")
@click.option("--to", "until", metavar="TIME", help="Before this.")
@click.option("--actor", help="Who did it: the sub of a token.")
@click.option("--agent", help="Whom it was about.")
@click.option("--call", help="A call's id.")
@click.option("--session", help="A session's id.")
@click.option("--action", help="start, listen, mode, end …")
@click.option("--refused/--done", default=None, help="Only refusals, or only what was done.")
@click.option("--text", help="Found anywhere in a row's words.")
@click.option("--limit", type=click.IntRange(1, 500), default=100, show_default=True, help="How many rows.")
@click.option("--after", metavar="NEXT", help="Go on where another answer ended.")
@click.option("--export", "form", type=click.Choice(["csv", "jsonl"]), help="All rows, as a file to standard output.")
@api_options
def audit(
    api: Api,
    since: str | None,
    until: str | None,
    refused: bool | None,
    limit: int,
    after: str | None,
    form: str | None,
    **same: str | None,
) -> None:
    """Search the audit trail, newest first. Needs the permission view_audit_trail."""
    wanted = {"from": since, "to": until, "refused": None if refused is None else str(refused).lower(), **same}
    if form:
        if after:
            raise click.UsageError("--export is everything; it takes no --after")
        out = sys.stdout.buffer
        for piece in api.client.pieces("audit", "export", format=form, **wanted):
            out.write(piece)
        return
    answer = api.client.get("audit", limit=limit, after=after, **wanted)
    heads = ("TIME", *(name.upper() for name in _ROW[1:]))
    api.out.table(answer, heads, [_cells(row) for row in answer["rows"]], "There are no such rows.")
    if answer["next"] and not api.out.as_json:
        api.out.note(f"There are more: --after {answer['next']}")


def _cells(row: dict[str, Any]) -> list[object]:
    cells = [row[name] or "-" for name in _ROW]
    if row["times"] > 1:
        cells[_ROW.index("refusal")] += f" ×{row['times']}"
    return cells
