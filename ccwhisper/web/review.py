"""What the API offers of recordings: to find them, to hear them, to say something of them, to delete them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching.errors import Conflict, Forbidden, Invalid, NotFound
from ccwhisper.coaching.policy import DELETE_RECORDINGS, REVIEW
from ccwhisper.recording.index import Entry
from ccwhisper.recording.result import Result
from ccwhisper.web.operations import Context, Table
from ccwhisper.web.recordings import (
    PEAKS,
    SOUND,
    BleedQuery,
    BleedReport,
    CommentChange,
    CommentNew,
    CommentView,
    FileQuery,
    MediaClosed,
    MediaOpened,
    MediaOpening,
    Peaks,
    RecordingDetail,
    RecordingList,
    RecordingsQuery,
    Sound,
    comment_view,
    count_view,
    detail,
    view,
)
from ccwhisper.web.shelf import finished, found, scope

TABLE: Final = Table(records=True)


@TABLE.operation("GET", "/recordings", RecordingList, query=RecordingsQuery, scope=REVIEW)
def list_recordings(it: Context) -> RecordingList:
    """The recordings of one's queues, newest first."""
    page = it.shelf.index.search(it.ask.wanted(it.actor), it.ask.after, it.ask.limit)
    return RecordingList(recordings=[view(each) for each in page.entries], next=page.next)


@TABLE.operation("GET", "/recordings/bleed", BleedReport, query=BleedQuery, scope=REVIEW)
def count_bleed(it: Context) -> BleedReport:
    """By agent and headset, on how many recordings of one's queues a coach's voice came back."""
    return BleedReport(counts=[count_view(each) for each in it.shelf.index.tallies(scope(it.actor), it.ask.since)])


@TABLE.operation("GET", "/recordings/{recording}", RecordingDetail, scope=REVIEW, refusals=(NotFound,))
def get_recording(it: Context, recording: str) -> RecordingDetail:
    """One recording: what is on it, and what reviewers say of it."""
    entry, result = found(it.shelf.index, it.actor, recording)
    return detail(entry, result, it.shelf.index.comments(recording), it.actor, it.engine.rules)


@TABLE.operation("DELETE", "/recordings/{recording}", RecordingDetail, scope=DELETE_RECORDINGS,
                 refusals=(NotFound, Conflict))  # fmt: skip
def delete_recording(it: Context, recording: str) -> RecordingDetail:
    """Delete a recording: its file, its comments, and whose call it was. What stays is that it was."""
    entry, result = found(it.shelf.index, it.actor, recording)
    if entry.state in ("recording", "working") or (it.shelf.work is None and entry.state in ("waiting", "failed")):
        raise Conflict("recording_busy", "The recording is not finished yet; it can be deleted then.")
    if result is not None:
        it.shelf.files.delete(result)
    elif it.shelf.work is not None and entry.state != "deleted":
        it.shelf.work.discard(recording)
    it.shelf.index.forget(recording)
    _record(it, "delete_recording", entry)
    entry, result = found(it.shelf.index, it.actor, recording)
    return detail(entry, result, (), it.actor, it.engine.rules)


@TABLE.operation("POST", "/recordings/{recording}/retry", RecordingDetail, scope=REVIEW,
                 refusals=(NotFound, Conflict))  # fmt: skip
def retry_recording(it: Context, recording: str) -> RecordingDetail:
    """Try again now to make a recording that could not be made."""
    entry, result = found(it.shelf.index, it.actor, recording)
    if entry.state != "failed" or it.shelf.work is None:
        raise Conflict("recording_not_failed", "Only a recording that could not be made is tried again.", retry=False)
    it.shelf.work.retry(recording)
    _record(it, "retry_recording", entry, result)
    return detail(entry, result, (), it.actor, it.engine.rules)


@TABLE.operation("POST", "/recordings/{recording}/media", MediaOpened, body=MediaOpening, scope=REVIEW,
                 refusals=(NotFound,))  # fmt: skip
def open_media(it: Context, recording: str) -> MediaOpened:
    """Open a recording to this browser, for some minutes: what plays audio cannot send a token. Each opening is in the
    audit trail."""
    entry, result = finished(it.shelf.index, it.actor, recording)
    opening = str(uuid4())
    if it.shelf.tickets.renews(it.cookie, it.who, recording, it.ask.opening):
        opening = it.ask.opening
    else:
        _record(it, "play", entry, result)
    ticket = it.shelf.tickets.issue(it.who, recording, entry.queue, opening)
    return MediaOpened(opening=opening, expires_at=ticket.expires_at, cookie=ticket.value)


@TABLE.operation("DELETE", "/recordings/{recording}/media", MediaClosed)
def close_media(_: Context, recording: str) -> MediaClosed:  # noqa: ARG001 - the cookie of its address goes
    """Close a recording to this browser again: who signs out leaves no ticket to the next one."""
    return MediaClosed()


@TABLE.operation("GET", "/recordings/{recording}/peaks", Peaks, scope=REVIEW, refusals=(NotFound,))
def get_peaks(it: Context, recording: str) -> Peaks:
    """The peaks that the waveforms of a recording are drawn from."""
    _, result = finished(it.shelf.index, it.actor, recording)
    return Peaks(form=PEAKS, file=None, tag=f"{result.sha256[:32]}-peaks", path=it.shelf.files.peaks(result))


@TABLE.operation("GET", "/recordings/{recording}/tracks/{track}", Sound, scope=REVIEW, ticket=True,
                 refusals=(NotFound,))  # fmt: skip
def get_track(it: Context, recording: str, track: str) -> Sound:
    """The audio of one track, in ranges if asked for."""
    entry, result = finished(it.shelf.index, it.actor, recording)
    index = _number(track, "track_not_found", "The recording has no such track.")
    path = it.shelf.files.track(result, index)
    if not it.by_ticket and it.shelf.tickets.first(it.actor.id, f"{recording} play"):
        _record(it, "play", entry, result)
    return _sound(result, path, f"track-{index}")


@TABLE.operation("GET", "/recordings/{recording}/file", Sound, query=FileQuery, scope=REVIEW, ticket=True,
                 refusals=(NotFound,))  # fmt: skip
def get_file(it: Context, recording: str) -> Sound:
    """The whole recording as a file, with or without the tracks of coaches."""
    entry, result = finished(it.shelf.index, it.actor, recording)
    all_of_it = it.ask.coaches == "yes"
    path = it.shelf.files.whole(result) if all_of_it else it.shelf.files.without_coaches(result)
    what = "with coaches" if all_of_it else "without coaches"
    if it.shelf.tickets.first(it.actor.id, f"{recording} {what}"):
        _record(it, "export_recording", entry, result, what)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(result.started_at))
    name = f"recording-{stamp}-{result.sha256[:8]}{'' if all_of_it else '-call'}.mp4"
    return _sound(result, path, "whole" if all_of_it else "call", name)


@TABLE.operation("POST", "/recordings/{recording}/comments", CommentView, body=CommentNew, status=201, scope=REVIEW,
                 refusals=(NotFound, Conflict))  # fmt: skip
def add_comment(it: Context, recording: str) -> CommentView:
    """Say something of a moment of a recording."""
    entry, result = finished(it.shelf.index, it.actor, recording)
    if it.ask.at > result.duration:
        raise Invalid("field_invalid", f"at: the recording is {result.duration:.1f} seconds long.")
    made = it.shelf.index.comment(recording, it.actor.id, it.actor.name, it.ask.at, it.ask.text)
    _record(it, "comment", entry, result, f"{made.id} at {made.at:.1f} s")
    return comment_view(made, it.actor)


@TABLE.operation("PUT", "/recordings/{recording}/comments/{comment}", CommentView, body=CommentChange, scope=REVIEW,
                 refusals=(NotFound, Forbidden))  # fmt: skip
def edit_comment(it: Context, recording: str, comment: str) -> CommentView:
    """Say it in other words; one's own only."""
    entry, result = finished(it.shelf.index, it.actor, recording)
    number = _number(comment, "comment_not_found", "There is no such comment.")
    changed = it.shelf.index.edit_comment(recording, number, it.actor.id, it.ask.text)
    _record(it, "edit_comment", entry, result, str(number))
    return comment_view(changed, it.actor)


@TABLE.operation("DELETE", "/recordings/{recording}/comments/{comment}", CommentView, scope=REVIEW,
                 refusals=(NotFound, Forbidden))  # fmt: skip
def delete_comment(it: Context, recording: str, comment: str) -> CommentView:
    """Take it back; one's own only."""
    entry, result = finished(it.shelf.index, it.actor, recording)
    number = _number(comment, "comment_not_found", "There is no such comment.")
    dropped = it.shelf.index.drop_comment(recording, number, it.actor.id)
    _record(it, "delete_comment", entry, result, str(number))
    return comment_view(dropped, it.actor)


def _sound(result: Result, path: Path, what: str, name: str | None = None) -> Sound:
    return Sound(form=SOUND, file=name, tag=f"{result.sha256[:32]}-{what}", path=path)


def _number(said: str, code: str, message: str) -> int:
    if not (said.isascii() and said.isdigit()) or len(said) > 18:
        raise NotFound(code, message)
    return int(said)


def _record(it: Context, action: str, entry: Entry, result: Result | None = None, more: str = "") -> None:
    """A row of the audit trail. Of whom and when the recording is, its id tells as long as it is there."""
    agents: list[Any] = [each.id for each in entry.agents]
    told = f"{entry.id} {more}".strip()
    node = result.node if result else entry.node
    it.engine.record(fx.Audit(action, it.actor, None, agents[0] if agents else None, None, node, told, it.origin))
