"""The list of recordings on either database: what the queue of work says of them, how they are found, comments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ccwhisper.coaching.errors import Forbidden, Invalid, NotFound, Unavailable
from ccwhisper.recording.index import Person, Wanted
from ccwhisper.recording.journal import Start
from ccwhisper.recording.result import Agent, Bleed, Coach, Cue, Problem, Result, Span, Trace
from ccwhisper.store.database import Database
from ccwhisper.store.recordings import Recordings

from .test_store import execute

pytestmark = pytest.mark.e2e

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()
START = Start(NOON, "r0", "fs1", "leg", "r0-call.wav", "support@default", "inbound", "+1202", "Jo\0 \ud800", "separate")
ECHO = Trace("s1", "agent", "acoustic", -24.0, 120.0, 15.0, 0.9, True)


def result(number: int = 1, **more: Any) -> Result:
    """A minute with Ada, whom Grace whispers to from 10 to 20 s."""
    made = Result(
        id=f"r{number}", node="fs1", queue="support@default", direction="inbound", number=f"+120255{number:04}",
        name="Jo Meyer", started_at=NOON + number, duration=60.0,
        agents=(Agent("1001", "Ada", 0.0, 60.0),),
        coaches=(Coach("s1", "grace", "Grace", 1, 5.0, 30.0, ("listen", "whisper"), (Span(10.0, 20.0),)),),
        chapters=(), cues=(Cue(12.0, "s1", "Grace", "Ask for the ORDER number", None),), tracks=(),
        file=f"r{number}.mp4", size=1000, sha256="0" * 64, bleed=Bleed(-40.0, ()),
    )  # fmt: skip
    return replace(made, **more)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        made = Database.sqlite(tmp_path / "x.db")
    else:
        made = Database.postgresql(request.getfixturevalue("server").database())
    made.upgrade()
    yield made
    made.close()


@pytest.fixture
def listed(database: Database) -> Iterator[Recordings]:
    made = Recordings(database, "i", {"1001": "Model 40"})
    made.start()
    yield made
    made.stop()


def ids(listed: Recordings, **wanted: Any) -> list[str]:
    return [each.id for each in listed.search(Wanted(**wanted)).entries]


def test_a_recording_is_listed_from_its_beginning_to_its_file(listed: Recordings) -> None:
    assert not listed.state("r1", "waiting"), "nothing is known of it"
    assert listed.state("r1", "recording", start=replace(START, id="r1"), agents=[Person("1001", "Ada")])
    entry, found = listed.one("r1")
    assert (entry.state, entry.name, entry.duration, found) == ("recording", "Jo\ufffd ?", None, None)
    assert (entry.agents, entry.acoustic) == ((Person("1001", "Ada"),), None)
    assert listed.state("r1", "failed", Problem("disk_full", "The disk is full."))
    assert listed.one("r1")[0].problem == Problem("disk_full", "The disk is full.")
    assert listed.state("r1", "working", start=replace(START, id="r1"))
    assert listed.one("r1")[0].problem is None
    assert [listed.keep(result()) for _ in range(2)] == [True, True]
    entry, found = listed.one("r1")
    assert (entry.state, entry.name, entry.duration, found) == ("ready", "Jo Meyer", 60.0, result())
    assert (entry.coaches, entry.modes, entry.routing, entry.acoustic) == (
        (Person("grace", "Grace"),), ("listen", "whisper"), False, False,
    )  # fmt: skip
    assert entry.started_at == datetime.fromtimestamp(NOON + 1, UTC)


def test_what_is_deleted_stays_deleted(listed: Recordings) -> None:
    listed.keep(result())
    listed.comment("r1", "ada", "Ada", 3.0, "her card number")
    listed.forget("r1")
    listed.forget("r1")
    assert not listed.keep(result())
    assert not listed.state("r1", "working")
    assert not listed.state("r1", "working", start=replace(START, id="r1"))
    entry, found = listed.one("r1")
    assert (entry.state, entry.number, entry.name, found) == ("deleted", "", "", None)
    assert (entry.queue, entry.agents, entry.coaches) == ("support@default", (Person("1001", "Ada"),), ())
    assert (entry.duration, entry.modes, entry.routing, entry.acoustic) == (None, (), None, None)
    assert listed.comments("r1") == ()
    assert ids(listed) == []
    assert ids(listed, state="deleted") == ["r1"]
    assert ids(listed, state="deleted", text="order") == []


RESULTS = (
    result(1),
    result(2, queue="sales@default", agents=(Agent("1002", "Ben", 0.0, 60.0),), coaches=(), name="50%_"),
    result(3, queue=None, bleed=Bleed(-40.0, (ECHO,))),
    result(4, coaches=(replace(result().coaches[0], coach="alan", name="Alan", modes=("barge",)),), bleed=None),
)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [4, 3, 2, 1]),
        ({"queues": frozenset({"support@default"})}, [4, 1]),
        ({"queues": frozenset({"support@default", "sales@default"})}, [4, 2, 1]),
        ({"queues": frozenset()}, []),
        ({"since": datetime.fromtimestamp(NOON + 2, UTC)}, [4, 3, 2]),
        ({"until": datetime.fromtimestamp(NOON + 2, UTC)}, [1]),
        ({"agent": "1002"}, [2]),
        ({"agent": "grace"}, []),
        ({"coach": "grace"}, [3, 1]),
        ({"queue": "sales@default"}, [2]),
        ({"mode": "whisper"}, [3, 1]),
        ({"mode": "%"}, []),
        ({"state": "ready"}, [4, 3, 2, 1]),
        ({"state": "failed"}, []),
        ({"flagged": True}, [3]),
        ({"flagged": False}, [4, 2, 1]),
        ({"text": "Order"}, [4, 3, 2, 1]),
        ({"text": "50%_"}, [2]),
        ({"text": "alan"}, [4]),
        ({"text": "2550003"}, [3]),
        ({"text": "calm"}, [1]),
        ({"coach": "grace", "text": "calm", "mode": "listen"}, [1]),
        ({"agent": "' OR 1=1 --"}, []),
    ],
)
def test_recordings_are_found(listed: Recordings, wanted: dict[str, Any], found: list[int]) -> None:
    for each in RESULTS:
        assert listed.keep(each)
    listed.comment("r1", "ada", "Ada", 3.0, "Very CALM")
    assert ids(listed, **wanted) == [f"r{number}" for number in found]


@pytest.mark.parametrize("text", ["MÜLLER", "müller", "Müller", "ÉLAN", "élan"])
def test_every_alphabet_is_found_in_any_case(listed: Recordings, text: str) -> None:
    listed.keep(result(1, name="Frau MÜLLER"))
    listed.keep(result(2, cues=(Cue(1.0, "s1", "Grace", "Plus d'ÉLAN", None),)))
    listed.comment("r2", "ada", "Ada", 1.0, "Herr müller?")
    assert ids(listed, text=text) == (["r2", "r1"] if "m" in text.lower() else ["r2"])


def test_pages_follow_each_other_while_recordings_are_added(listed: Recordings) -> None:
    for number in range(10):
        listed.keep(result(number, started_at=NOON + number // 3))
    seen: list[str] = []
    page = listed.search(Wanted(), limit=4)
    while True:
        seen += [each.id for each in page.entries]
        if page.next is None:
            break
        listed.keep(result(100 + len(seen)))
        page = listed.search(Wanted(), page.next, 4)
    assert seen == [f"r{number}" for number in range(9, -1, -1)]


@pytest.mark.parametrize("cursor", ["", "1", "1.", "-1.a", "1.a OR 1", "9" * 18 + ".a", "\u0661.a"])
def test_a_cursor_is_one_of_ours(listed: Recordings, cursor: str) -> None:
    with pytest.raises(Invalid) as refusal:
        listed.search(Wanted(), cursor)
    assert refusal.value.code == "cursor_invalid"


def test_comments_are_their_authors_own(listed: Recordings) -> None:
    listed.keep(result())
    late = listed.comment("r1", "ada", "Ada", 30.0, "well\0 done")
    early = listed.comment("r1", "ben", "Ben", 3.0, "slowly")
    assert [(each.at, each.author, each.text, each.edited_at) for each in listed.comments("r1")] == [
        (3.0, "ben", "slowly", None),
        (30.0, "ada", "well\ufffd done", None),
    ]
    edited = listed.edit_comment("r1", late.id, "ada", "better")
    assert (edited.text, edited.at) == ("better", 30.0)
    assert edited.edited_at is not None
    for refused in (partial(listed.edit_comment, text="mine"), listed.drop_comment):
        with pytest.raises(Forbidden) as forbidden:
            refused("r1", early.id, "ada")
        assert forbidden.value.code == "comment_of_another"
    for recording, number in (("r2", early.id), ("r1", 99), ("r1", 10**40)):
        with pytest.raises(NotFound) as missing:
            listed.drop_comment(recording, number, "ben")
        assert missing.value.code == "comment_not_found"
    listed.drop_comment("r1", early.id, "ben")
    assert [each.text for each in listed.comments("r1")] == ["better"]
    assert [each.comments for each in listed.search(Wanted()).entries] == [1]
    assert listed.comment("r1", "ben", "Ben", 1.0, "again").id > late.id, "no number is given twice"


def test_bleed_is_counted_by_agent_and_headset(database: Database, listed: Recordings) -> None:
    both = (Agent("1001", "Ada", 0.0, 12.0), Agent("1002", "Ben", 12.0, 60.0))
    loud, quiet = replace(ECHO, level=-20.0), replace(ECHO, level=-45.0, flagged=False)
    listed.keep(result(1, bleed=Bleed(-40.0, (ECHO, loud))))
    listed.keep(result(2, bleed=Bleed(-40.0, (quiet,))))
    listed.keep(result(3, agents=both, bleed=Bleed(-40.0, (ECHO,))))  # in Ben's time
    listed.keep(result(4, coaches=()))  # nobody who could come back
    listed.keep(result(5, bleed=None))  # not measured
    listed.keep(result(6, queue="sales@default", bleed=Bleed(-40.0, (replace(ECHO, kind="routing"),))))
    later = Recordings(database, "i", {"1001": "Model 60"})
    later.start()
    later.keep(result(7, bleed=Bleed(-40.0, ())))
    later.keep(result(1, bleed=Bleed(-40.0, (ECHO, loud))))  # again: with the headset of then
    later.stop()
    found = [
        (each.agent, each.headset, each.measured, each.routing, each.acoustic, each.worst)
        for each in listed.tallies(None, None)
    ]
    assert found == [
        ("1001", "Model 40", 4, 1, 1, -20.0),
        ("1002", None, 1, 0, 1, -24.0),
        ("1001", "Model 60", 1, 0, 0, None),
    ]
    assert [each.routing for each in listed.tallies(frozenset({"support@default"}), None)] == [0, 0, 0]
    since = datetime.fromtimestamp(NOON + 7, UTC)
    assert [(each.headset, each.measured) for each in listed.tallies(None, since)] == [("Model 60", 1)]


def test_another_installation_s_are_not_ours(database: Database, listed: Recordings) -> None:
    listed.keep(result())
    other = Recordings(database, "j")
    other.start()
    assert other.search(Wanted()).entries == ()
    other.forget("r1")
    with pytest.raises(NotFound):
        other.one("r1")
    other.stop()
    assert ids(listed) == ["r1"]


def test_a_result_of_a_later_version_is_listed(database: Database, listed: Recordings) -> None:
    listed.keep(result())
    execute(database, "UPDATE recording SET result = '{\"id\": 7}'")
    entry, found = listed.one("r1")
    assert (entry.state, found) == ("ready", None)


def test_a_database_that_is_away_is_told(database: Database, listed: Recordings) -> None:
    execute(database, "ALTER TABLE recording RENAME TO elsewhere")
    asks = partial(listed.search, Wanted()), partial(listed.keep, result()), partial(listed.state, "r1", "failed")
    for ask in asks:
        with pytest.raises(Unavailable) as refusal:
            ask()
        assert (refusal.value.code, refusal.value.retry) == ("store_unavailable", True)
    execute(database, "ALTER TABLE elsewhere RENAME TO recording")
    assert listed.keep(result()), "and said again, it is kept"
