"""`recording`: what was recorded, and the tracks of a switch on another machine."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ccwhisper.cli.options import Api, api_options, output_option
from ccwhisper.cli.output import Output, visible

_HEADS = ("ID", "STARTED", "LENGTH", "STATE", "QUEUE", "AGENTS", "COACHES", "REASON")


@click.group()
def recording() -> None:
    """What was recorded."""


@recording.command("list")
@click.option("--from", "since", metavar="TIME", help="Began not before this, as 2026-01-31T12:00:00Z.")
@click.option("--to", "until", metavar="TIME", help="Began before this.")
@click.option("--agent", help="The agent's id.")
@click.option("--coach", help="The coach's id.")
@click.option("--queue", help="The queue.")
@click.option("--mode", type=click.Choice(["listen", "whisper", "barge"]), help="That a coach was in.")
@click.option("--state", help="recording, waiting, working, ready, failed or deleted.")
@click.option("--flagged/--clean", default=None, help="Only with, or without, a coach's voice that came back.")
@click.option("--text", help="Found in numbers, names, cues and comments.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="How many.")
@click.option("--after", metavar="NEXT", help="Go on where another answer ended.")
@api_options
def list_them(
    api: Api,
    since: str | None,
    until: str | None,
    flagged: bool | None,
    limit: int,
    after: str | None,
    **same: str | None,
) -> None:
    """The recordings of one's queues, newest first. Needs the permission review_recordings, as all of these do."""
    wanted = {"from": since, "to": until, "flagged": None if flagged is None else str(flagged).lower(), **same}
    answer = api.client.get("recordings", limit=limit, after=after, **wanted)
    rows = [_cells(each) for each in answer["recordings"]]
    api.out.table(answer, _HEADS, rows, "There are no such recordings.")
    if answer["next"] and not api.out.as_json:
        api.out.note(f"There are more: --after {answer['next']}")


@recording.command()
@click.argument("name", metavar="ID")
@api_options
def show(api: Api, name: str) -> None:
    """What is on a recording."""
    answer = api.client.get("recordings", name)
    content = answer["content"] or {"chapters": [], "problems": [], "tracks": []}
    found = [*content["problems"], *([answer["recording"]["problem"]] if answer["recording"]["problem"] else [])]
    rows: list[list[object]] = [["track", each["index"], each["name"]] for each in content["tracks"]]
    rows += [["problem", each["code"], each["text"]] for each in found]
    rows += [[_length(each["at"]), each["kind"], each["text"]] for each in content["chapters"]]
    api.out.table(answer, ("AT", "WHAT", "TEXT"), rows, f"It is {answer['recording']['state']}.")


@recording.command()
@click.argument("name", metavar="ID")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--without-coaches", is_flag=True, help="The call alone, with nothing that tells of coaches.")
@click.option("--track", type=click.IntRange(0), help="One track alone.")
@api_options
def export(api: Api, name: str, file: Path, without_coaches: bool, track: int | None) -> None:
    """Write a recording's file. It is in the audit trail."""
    if without_coaches and track is not None:
        raise click.UsageError("--track and --without-coaches exclude each other")
    if track is not None:
        pieces = api.client.pieces("recordings", name, "tracks", str(track))
    else:
        pieces = api.client.pieces("recordings", name, "file", coaches="no" if without_coaches else "yes")
    part = file.with_name(f".{file.name}.part")
    try:
        with part.open("wb") as out:
            for piece in pieces:
                out.write(piece)
        part.replace(file)
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror or error}") from None
    finally:
        part.unlink(missing_ok=True)
    api.out.note(f"{file}: {file.stat().st_size} bytes")


@recording.command()
@click.argument("name", metavar="ID")
@api_options
def retry(api: Api, name: str) -> None:
    """Try again now to make a recording that could not be made."""
    api.client.post("recordings", name, "retry")
    api.out.note(f"{name} is tried again.")


@recording.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("target")
@click.option("--every", type=click.FloatRange(1), metavar="SECONDS", help="Go on, and look so often.")
@click.option("--endpoint", help="URL of an S3-compatible store that is not Amazon's.")
@click.option("--region", default="us-east-1", show_default=True)
@click.option("--key-env", default="AWS_ACCESS_KEY_ID", show_default=True, help="The variable with the key's id.")
@click.option("--secret-env", default="AWS_SECRET_ACCESS_KEY", show_default=True, help="The variable with the key.")
@output_option
def push(out: Output, folder: Path, target: str, every: float | None, **access: Any) -> None:
    """Send the finished raw tracks of a switch from FOLDER to TARGET, a folder or s3://bucket/prefix, and delete them
    when they have arrived. For the machine of a switch that shares no folder with the service."""
    from ccwhisper.recording.places import BUCKET, Access, PlaceError, place  # noqa: PLC0415 - for this alone
    from ccwhisper.recording.push import push as send  # noqa: PLC0415 - numpy

    if BUCKET.fullmatch(target):
        _check(access)
    elif "://" in target:
        raise click.BadParameter("must be a folder or s3://bucket/prefix", param_hint="TARGET")
    failed = False
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            try:
                for each in send(folder, place(target, Access(**access))):
                    failed |= each.problem is not None
                    word = each.problem or "sent"
                    out.record({"file": each.name, "problem": each.problem}, visible(f"{each.name}: {word}"))
            except PlaceError as error:
                failed = True
                out.record({"file": None, "problem": str(error)}, visible(error))
            if every is None:
                break
            time.sleep(every)
    if failed and every is None:
        raise SystemExit(1)


def _check(access: Mapping[str, str | None]) -> None:
    """What would be said of each track anew. Raises click.UsageError."""
    endpoint = access["endpoint"]
    if endpoint is not None and not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._~/-]*)?", endpoint):
        raise click.BadParameter("must be a URL, as https://s3.example.org", param_hint="--endpoint")
    for name in (access["key_env"], access["secret_env"]):
        if name and not os.environ.get(name):
            raise click.UsageError(f"the environment has no {name}")


def _cells(each: dict[str, Any]) -> list[object]:
    return [
        each["id"],
        datetime.fromtimestamp(each["started_at"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "-" if each["duration"] is None else _length(each["duration"]),
        each["state"],
        each["queue"] or "-",
        ", ".join(agent["name"] for agent in each["agents"]) or "-",
        ", ".join(coach["name"] for coach in each["coaches"]) or "-",
        each["problem"]["text"] if each["problem"] else "-",
    ]


def _length(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
