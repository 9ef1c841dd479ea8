"""Some tracks of a recording as a file of their own: one to listen to alone, or the call without its coaches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ccwhisper.recording import mp4
from ccwhisper.recording.result import Chapter, Result, ResultBroken, decoded

PUBLIC: Final = frozenset({"start", "party", "hold", "unhold", "pause", "resume"})
"""Chapters of the call itself. All others tell that somebody coached, who, and what he wrote."""


def extract(source: Path, out: Path, tracks: Sequence[int], chapters: Sequence[Chapter] = ()) -> None:
    """Some tracks (by `Track.index`) of a recording, not encoded anew. With coaches' tracks the chapters are those that
    are given; the call track alone has only those of the call itself, and nothing by which a coach could be known.
    Raises ValueError, OSError and av.FFmpegError; `out` is whole or was not there."""
    if list(tracks) == [0]:
        chapters = [each for each in chapters or _beside(source) if each.kind in PUBLIC and each.session is None]
    part = out.with_name(f".{out.name}.part")
    try:
        mp4.copy(source, part, tracks, mp4.moments(chapters))
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def _beside(source: Path) -> Sequence[Chapter]:
    try:
        found: Result = decoded(source.with_suffix(".json").read_bytes())
    except (OSError, ResultBroken):
        return ()
    return found.chapters
