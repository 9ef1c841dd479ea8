"""Policies that are set while the service runs: in force at once, kept over restarts, refused where they must be."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import pytest

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching.errors import Unavailable
from ccwhisper.coaching.model import Actor
from ccwhisper.coaching.policy import AUDIT, EDIT_POLICIES, MONITOR, VIEW, PolicyPart, Rules
from ccwhisper.engine import Engine
from ccwhisper.keeper import Keeper
from ccwhisper.store.archive import Archive
from ccwhisper.store.database import Database

from . import postgres
from .fake_switch import FakeSwitch
from .service import PATIENCE, RULES, Client, Service, token
from .test_api import started
from .test_sockets import Page

pytestmark = pytest.mark.e2e

QUEUE = "/policies/support@default"
EVERYTHING = {
    "beep": {"on": ["barge", "end"], "level": -20, "parts": [[100, 50, [440, 480]], [200, 0, [1400]]]},
    "max_coaches": 3,
    "cues": ["Größe?", "Slow down"],
    "modes": ["listen", "whisper"],
    "talk": "push",
    "tell_listening": True,
    "record": True,
    "record_whisper": "separate",
    "keep_days": 30,
}


@pytest.fixture
def admin(service: Service) -> Client:
    return Client(service, token(sub="ada", permissions=[EDIT_POLICIES], roles=[], queues=["*"], devices=None))


def by_name(client: Client) -> dict[str, Any]:
    return {each["queue"]: each for each in client.get("/policies").body["policies"]}


# --- what is told ----------------------------------------------------------------------------------------------------


def test_the_queues_are_those_that_are_known(service: Service, admin: Client) -> None:
    assert list(by_name(admin)) == ["default", "sales@default", "support@default"]
    service.call(queue="vip@default")
    admin.put("/policies/closed@default", {"modes": []})
    assert list(by_name(admin)) == ["default", "closed@default", "sales@default", "support@default", "vip@default"]
    mine = Client(service, token(permissions=[EDIT_POLICIES], queues=["vip@default"]))
    assert {name: each["editable"] for name, each in by_name(mine).items()} == {"default": False, "vip@default": True}


def test_a_policy_is_set_told_and_taken_back(service: Service, admin: Client) -> None:
    before = by_name(admin)["support@default"]
    assert before["sources"]["max_coaches"] == "file"
    assert before["edited"] == dict.fromkeys(EVERYTHING)
    answer = admin.put(QUEUE, EVERYTHING)
    assert answer.status == 200
    assert answer.body == by_name(admin)["support@default"]
    assert answer.body["policy"] == answer.body["edited"] == EVERYTHING
    assert set(answer.body["sources"].values()) == {"edited"}
    assert answer.body["without"] == before["policy"]
    assert answer.body["without_sources"] == before["sources"]
    admin.put(QUEUE, {"max_coaches": 4})
    part = by_name(admin)["support@default"]
    assert part["policy"] == {**before["policy"], "max_coaches": 4}, "what a PUT leaves out is as in the file"
    assert admin.delete(QUEUE).body == before
    assert admin.delete(QUEUE).body == before
    admin.put(QUEUE, {"talk": None})
    assert service.run(lambda: service.engine.rules.edited) == {}, "to set nothing is to set nothing"


def test_what_others_leave_to_the_default(admin: Client) -> None:
    admin.put("/policies/default", {"talk": "push", "max_coaches": 9})
    found = by_name(admin)
    assert found["default"]["sources"]["talk"] == "edited"
    assert found["default"]["sources"]["cues"] == "built_in"
    assert (found["sales@default"]["policy"]["talk"], found["sales@default"]["sources"]["talk"]) == ("push", "default")
    assert found["support@default"]["policy"]["max_coaches"] == 2, "the file says so of this queue"


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"max_coaches": 0}, "field_invalid", "max_coaches"),
        ({"max_coaches": "3"}, "field_invalid", "max_coaches"),
        ({"modes": ["whisper"]}, "field_invalid", "modes"),
        ({"modes": ["spy"]}, "field_invalid", "modes.0"),
        ({"talk": "closed"}, "field_invalid", "talk"),
        ({"tell_listening": 1}, "field_invalid", "tell_listening"),
        ({"cues": ["ok", " "]}, "field_invalid", "cues.1"),
        ({"cues": ["x"] * 101}, "field_invalid", "cues"),
        ({"beep": {"level": 1}}, "field_invalid", "beep.level"),
        ({"beep": {"parts": [[200, 0, [1400]], [5, 0, [1400]]]}}, "field_invalid", "beep.parts.1.0"),
        ({"beep": {"parts": [[200, 0, [14]]]}}, "field_invalid", "beep.parts.0.2.0"),
        ({"beep": {"loud": True}}, "field_unknown", "beep.loud"),
        ({"colour": "red"}, "field_unknown", "colour"),
    ],
)
def test_the_rules_are_those_of_the_file(
    service: Service, admin: Client, body: dict[str, Any], code: str, field: str
) -> None:
    answer = admin.put(QUEUE, body)
    assert (answer.status, answer.code, answer.body["error"]["field"]) == (400, code, field)
    assert answer.body["error"]["message"]
    assert service.run(lambda: service.engine.rules) is RULES


def test_a_queue_s_name(service: Service, admin: Client) -> None:
    assert admin.put("/policies/" + "q" * 129, {}).code == "field_invalid"
    page = Page(service, permissions=[EDIT_POLICIES], queues=["*"])
    for name in ("", "q" * 129, "a\nb"):
        code = page.ask("set_policy", {}, queue=name)["error"]["code"]
        assert code == "field_invalid"
    page.io.disconnect()


# --- who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("permissions", [[], [VIEW, MONITOR, AUDIT], [EDIT_POLICIES]])
@pytest.mark.parametrize("queues", [["*"], ["support@default"], ["sales@default"], []])
@pytest.mark.parametrize("queue", ["support@default", "default"])
def test_who_may_set_them(service: Service, permissions: list[str], queues: list[str], queue: str) -> None:
    claims: dict[str, Any] = {"sub": "eve", "permissions": permissions, "queues": queues}
    client, page = Client(service, token(**claims)), Page(service, **claims)
    code = None
    if queues != ["*"] and (queue == "default" or queues != ["support@default"]):
        code = "queue_out_of_scope"
    if EDIT_POLICIES not in permissions:
        code = "permission_missing"
    answers = [
        client.put(f"/policies/{queue}", {"talk": "push"}).code,
        client.delete(f"/policies/{queue}").code,
        page.ask("set_policy", {"talk": "push"}, queue=queue).get("error", {}).get("code"),
        page.ask("drop_policy", queue=queue).get("error", {}).get("code"),
    ]
    page.io.disconnect()
    assert answers == [code] * 4
    assert client.get("/policies").code == (None if EDIT_POLICIES in permissions else "permission_missing")
    found = service.run(lambda: [row.refusal for row in service.audit if row.action == "policy"])
    assert set(found) == {code}
    assert service.run(lambda: service.engine.rules.edited) == {}


# --- what follows ----------------------------------------------------------------------------------------------------


def test_a_change_is_in_force_at_once(service: Service, admin: Client, coach: Client) -> None:
    call = service.call()
    session = started(coach, call=call, mode="barge")
    assert coach.get(f"/sessions/{session}?wait=gate").body["gate"] == "everyone"
    admin.put(QUEUE, {"modes": ["listen", "whisper"]})
    put_back = coach.get(f"/sessions/{session}?wait=gate").body
    assert (put_back["mode"], put_back["gate"]) == ("listen", "closed")
    refused = coach.put(f"/sessions/{session}/mode", {"mode": "barge"})
    assert (refused.status, refused.code, refused.body["error"]["retry"]) == (409, "mode_not_allowed", False)
    assert coach.post(f"/sessions/{session}/take-over").code == "mode_not_allowed"
    assert coach.put(f"/sessions/{session}/mode", {"mode": "whisper"}).status == 200
    admin.put(QUEUE, {"modes": []})
    ended = coach.get(f"/sessions/{session}?wait=ended").body
    assert (ended["phase"], ended["reason"]) == ("ended", "mode_not_allowed")
    assert coach.post("/sessions", {"call": call}).code == "mode_not_allowed"
    admin.put(QUEUE, {"talk": "push"})
    assert coach.post("/sessions", {"call": call}).body["talk"] == "push"


def test_pages_are_told(service: Service, admin: Client) -> None:
    admin.put("/policies/sales@default", {"cues": ["not for everybody"]})
    coach = Page(service, sub="carla")
    agent = Page(service, sub="anna", agent="1001", permissions=[], roles=[], queues=[])
    told: list[Any] = []
    coach.io.on("delta", lambda data: told.extend(data["events"]))
    call = service.call()
    session = coach.ask("start_session", {"call": call})["data"]["id"]
    service.until(lambda engine: engine.state.sessions[session].phase.value == "attached")
    agent.until(lambda: agent.panels and agent.panels[-1]["calls"])
    assert agent.panels[-1]["coaches"] == []
    admin.put(QUEUE, {"tell_listening": True, "cues": ["Slow down"], "modes": ["listen"]})
    agent.until(lambda: bool(agent.panels[-1]["coaches"]))
    assert {key: agent.panels[-1]["coaches"][0][key] for key in ("name", "mode", "gate")} == {
        "name": "Grace", "mode": "listen", "gate": "closed",
    }  # fmt: skip
    plain = {"modes": ["listen", "whisper", "barge", "take_over"], "talk": "open", "cues": []}
    rules = {"modes": ["listen"], "talk": "open", "cues": ["Slow down"]}

    def found() -> list[Any]:
        return [each["data"] for each in told if each["type"] == "policies.changed"]

    deadline = time.monotonic() + PATIENCE
    while {"": plain, "support@default": rules} not in found():
        assert time.monotonic() < deadline, found()
        time.sleep(0.01)
    assert not any("sales@default" in each for each in found())
    admin.delete(QUEUE)
    agent.until(lambda: agent.panels[-1]["coaches"] == [])
    for page in (coach, agent):
        page.io.disconnect()


def test_a_change_is_a_row(service: Service, admin: Client) -> None:
    auditor = Client(service, token(sub="audrey", permissions=[AUDIT]))
    long = [f"{number:03} " + "ö" * 60 for number in range(30)]
    assert admin.put(QUEUE, {"cues": long}).status == 200
    admin.delete(QUEUE)
    deadline = time.monotonic() + PATIENCE
    while len(rows := auditor.get("/audit?action=policy").body["rows"]) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert {(row["actor"], row["origin"], row["refusal"]) for row in rows} == {("ada", "http 127.0.0.1", None)}
    after, before = [json.loads(row["detail"]) for row in rows]
    assert before == {"queue": "support@default", "before": None, "after": {"cues": long}}, "whole, however long"
    assert after == {"queue": "support@default", "before": {"cues": long}, "after": None}
    assert len(auditor.get("/audit?text=029%20ö".replace("ö", "%C3%B6")).body["rows"]) == 2


# --- the store -------------------------------------------------------------------------------------------------------


class Shelf:
    """A store that can be away."""

    def __init__(self, kept: Mapping[str, Any] | None = None, away: bool = False) -> None:
        self.kept = dict(kept or {})
        self.away = away

    def policies(self) -> Mapping[str, Any]:
        if self.away:
            raise Unavailable("store_unavailable", "away")
        return self.kept

    def keep_policy(self, queue: str, said: Mapping[str, Any] | None) -> None:
        if self.away:
            raise Unavailable("store_unavailable", "away")
        self.kept[queue] = said


class Bench:
    """An engine and its keeper, in the test's own hub."""

    def __init__(self, shelf: Any, rules: Rules = RULES, pauses: tuple[float, float] = (0.01, 0.02)) -> None:
        self.rows: list[fx.Audit] = []
        self.engine = Engine(rules, FakeSwitch(), [], lambda row, _at: self.rows.append(row))
        self.keeper = Keeper(self.engine, shelf, pauses=pauses)
        self.keeper.start()
        self.engine.start()

    def set(self, part: PolicyPart | None, queue: str = "support@default") -> None:
        self.keeper.set(
            Actor("ada", "Ada", frozenset({EDIT_POLICIES}), frozenset(), frozenset({"*"})), queue, part, "o"
        )

    def until(self, condition: Callable[[], bool]) -> None:
        assert self.engine.wait_for(lambda _: condition(), PATIENCE)

    def stop(self) -> None:
        self.engine.stop()
        self.keeper.stop()


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(*arguments: Any) -> Bench:
        made.append(Bench(*arguments))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_it_survives_a_restart(
    kind: str, tmp_path: Path, bench: Callable[..., Bench], request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        database = Database.sqlite(tmp_path / "x.db")
    else:
        server: postgres.Server = request.getfixturevalue("server")
        database = Database.postgresql(server.database())
    database.upgrade()

    def life(installation: str, act: Callable[[Bench], None]) -> Mapping[str, PolicyPart]:
        archive = Archive(database, tmp_path, installation)
        archive.start()
        running = bench(archive)
        running.until(lambda: running.keeper.in_force)
        act(running)
        running.stop()
        archive.stop()
        return running.engine.rules.edited

    one, two = PolicyPart(max_coaches=4, cues=("Größe?",)), PolicyPart(tell_listening=True)

    def begin(running: Bench) -> None:
        running.set(one)
        running.set(two, "vip")
        running.set(PolicyPart(max_coaches=5))
        running.set(one)

    def known(running: Bench) -> None:
        running.until(lambda: len(running.engine.rules.edited) == 2)
        running.set(None, "vip")

    life("a", begin)
    assert life("another", lambda running: running.set(two)) == {"support@default": two}
    assert life("a", known) == {"support@default": one}
    assert life("a", lambda running: running.until(lambda: bool(running.engine.rules.edited))) == {
        "support@default": one
    }


def test_what_is_kept_is_in_force_before_a_switch_is_read(bench: Callable[..., Bench]) -> None:
    running = bench(Shelf({"support@default": {"max_coaches": 7}}))
    assert running.keeper.in_force
    running.until(lambda: "fs1" in running.engine.state.nodes)
    assert running.engine.rules.queue("support@default").max_coaches == 7


def test_while_the_store_is_away_the_file_counts(
    bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccwhisper.keeper.FIRST_SECONDS", 0.05)
    shelf = Shelf({"support@default": {"max_coaches": 7}}, away=True)
    running = bench(shelf)
    assert not running.keeper.in_force
    running.until(lambda: running.engine.rules.unread)
    assert running.engine.rules.queue("support@default").max_coaches == 2
    with pytest.raises(Unavailable) as refusal:
        running.set(PolicyPart(max_coaches=9))
    assert (refusal.value.code, refusal.value.retry) == ("store_unavailable", True)
    assert [(row.action, row.refusal, row.detail) for row in running.rows] == [
        ("policy", "store_unavailable", "support@default")
    ]
    assert caplog.text.count("the database is away") == 1
    shelf.away = False
    running.until(lambda: running.engine.rules.queue("support@default").max_coaches == 7)
    assert not running.engine.rules.unread
    running.set(PolicyPart(max_coaches=9))
    assert running.engine.rules.queue("support@default").max_coaches == 9
    shelf.away = True
    with pytest.raises(Unavailable):
        running.set(PolicyPart(max_coaches=1))
    assert running.engine.rules.queue("support@default").max_coaches == 9, "what is not kept is not in force"


def test_an_empty_store_that_was_away_ends_the_wait(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccwhisper.keeper.FIRST_SECONDS", 0.05)
    shelf = Shelf(away=True)
    running = bench(shelf)
    running.until(lambda: running.engine.rules.unread)
    shelf.away = False
    running.until(lambda: not running.engine.rules.unread)


def test_nothing_is_set_over_what_has_not_been_read(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccwhisper.keeper.FIRST_SECONDS", 0.05)
    shelf = Shelf({"support@default": {"max_coaches": 7}}, away=True)
    running = bench(shelf, RULES, (100.0, 100.0))
    shelf.away = False
    with pytest.raises(Unavailable):
        running.set(PolicyPart(max_coaches=9))
    assert shelf.kept == {"support@default": {"max_coaches": 7}}


def test_what_is_in_force_last_is_what_is_kept_last(bench: Callable[..., Bench]) -> None:
    kept, go_on = gevent.event.Event(), gevent.event.Event()

    class Slow(Shelf):
        def keep_policy(self, queue: str, said: Mapping[str, Any] | None) -> None:
            super().keep_policy(queue, said)
            if not kept.is_set():
                kept.set()
                go_on.wait(PATIENCE)

    running = bench(shelf := Slow())
    first = gevent.spawn(running.set, PolicyPart(max_coaches=1))
    assert kept.wait(PATIENCE)
    second = gevent.spawn(running.set, PolicyPart(max_coaches=2))
    gevent.idle()
    go_on.set()
    gevent.joinall([first, second], timeout=PATIENCE, raise_error=True)
    assert shelf.kept == {"support@default": {"max_coaches": 2}}
    assert running.engine.rules.queue("support@default").max_coaches == 2


def test_what_is_not_in_force_is_not_kept(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf()
    running = bench(shelf)
    running.set(PolicyPart(max_coaches=9))

    def busy(_request: object) -> None:
        raise Unavailable("engine_busy", "busy")

    with monkeypatch.context() as patch:
        patch.setattr(running.engine, "ask", busy)
        for queue, part in (("support@default", PolicyPart(max_coaches=1)), ("vip", PolicyPart(max_coaches=1))):
            with pytest.raises(Unavailable):
                running.set(part, queue)
    assert shelf.kept == {"support@default": {"max_coaches": 9}, "vip": None}


@pytest.mark.parametrize("said", [None, "text", {"max_coaches": 0}, {"unknown": 1}])
def test_what_is_no_policy_is_not_used(
    said: Any, bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    running = bench(Shelf({"support@default": said, "vip": {"max_coaches": 7}}))
    running.until(lambda: bool(running.engine.rules.edited))
    assert running.engine.rules.edited.keys() == {"vip"}
    assert "'support@default' is no policy" in caplog.text


def test_rubbish_in_the_table(tmp_path: Path, bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture) -> None:
    database = Database.sqlite(tmp_path / "x.db")
    database.upgrade()
    archive = Archive(database, tmp_path, "i")
    archive.start()
    archive.keep_policy("vip", {"max_coaches": 3})
    with closing(sqlite3.connect(tmp_path / "x.db", isolation_level=None)) as connection:
        connection.execute("INSERT INTO policy SELECT installation, 'bad', '{' FROM policy")
    running = bench(archive)
    running.until(lambda: bool(running.engine.rules.edited))
    assert running.engine.rules.edited.keys() == {"vip"}
    assert "'bad' is no policy" in caplog.text
    archive.stop()


def test_a_database_that_goes_is_a_refusal(service: Service, admin: Client) -> None:
    path = service.folder / "ccwhisper.db"
    assert admin.get("/policies").body["in_force"] is True
    path.rename(path.with_suffix(".away"))
    answer = admin.put(QUEUE, {"talk": "push"})
    assert (answer.status, answer.code) == (503, "store_unavailable")
    assert by_name(admin)["support@default"]["policy"]["talk"] == "open"
    path.with_suffix(".away").rename(path)
    assert admin.put(QUEUE, {"talk": "push"}).body["policy"]["talk"] == "push"
