"""What a finished recording says of itself: out and in again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ccwhisper.recording import result as res

pytestmark = pytest.mark.unit

RESULT = res.Result(
    id="b2f2c9d0-5c39-5a10-9a8e-3c0f5b1f0a11",
    node="main",
    queue="sales",
    direction="inbound",
    number="+491701234567",
    name="Müller\u2028",
    started_at=1795258967.25,
    duration=61.5,
    agents=(res.Agent("anna", "Anna", 0.0, 61.5),),
    coaches=(res.Coach("s1", "carl", "Carl", 1, 4.0, 60.0, ("listen", "whisper"), (res.Span(5.0, 7.5),)),),
    chapters=(res.Chapter(0.0, "start", "sales"), res.Chapter(5.0, "mode", "Carl: whisper", "s1")),
    cues=(res.Cue(9.0, "s1", "Carl", "Offer the annual plan", "got_it"), res.Cue(12.0, "s1", "Carl", "Slower")),
    tracks=(
        res.Track(0, "call", "Call", "eng", 2, "aac"),
        res.Track(1, "coach", "Coach Carl", "eng", 1, "aac", "s1"),
    ),
    file="2026/11/21/b2f2c9d0-5c39-5a10-9a8e-3c0f5b1f0a11.mp4",
    size=123456,
    sha256="0" * 64,
    peaks="2026/11/21/b2f2c9d0-5c39-5a10-9a8e-3c0f5b1f0a11.peaks",
    bleed=res.Bleed(
        -40.0,
        (res.Trace("s1", "agent", "acoustic", -33.5, 85.0, 6.25, 0.9, True), res.Trace("s1", "caller", "none")),
    ),
    problems=(res.Problem("track_missing", "there is no raw track s2.wav"),),
)


def test_what_is_written_is_what_is_read() -> None:
    assert res.decoded(res.encoded(RESULT)) == RESULT
    bare = replace(RESULT, queue=None, bleed=None, peaks=None, problems=(), coaches=(), cues=())
    assert res.load(json.loads(json.dumps(res.dump(bare)))) == bare


def test_a_whole_number_is_a_time() -> None:
    assert res.load(res.dump(RESULT) | {"duration": 60}).duration == 60.0


def test_what_a_later_version_adds_is_left_out() -> None:
    said = res.dump(RESULT) | {"version": 2, "mood": "good"}
    said["tracks"][0]["loudness"] = -23
    assert res.load(said) == replace(RESULT, version=2)


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("id", None, "result.id"),
        ("size", "12", "result.size"),
        ("size", True, "result.size"),
        ("duration", "1", "result.duration"),
        ("agents", {}, "result.agents"),
        ("agents", ["anna"], "result.agents[0]"),
        ("agents", [{"agent": "anna"}], "result.agents[0]"),
        ("tracks", [{"kind": "music"}], "result.tracks[0].kind"),
        ("bleed", {"threshold": -40.0, "traces": [{"session": 1}]}, "result.bleed.traces[0].session"),
    ],
)
def test_a_result_that_is_none_is_refused_with_the_place(key: str, value: Any, word: str) -> None:
    with pytest.raises(res.ResultBroken) as refused:
        res.load(res.dump(RESULT) | {key: value})
    assert word in str(refused.value)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff", b"{}"])
def test_what_is_no_result_is_refused(raw: bytes) -> None:
    with pytest.raises(res.ResultBroken):
        res.decoded(raw)
