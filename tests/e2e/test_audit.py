"""The audit trail from outside: what is in it, who may read it, and that coaching goes on without its database."""

from __future__ import annotations

import csv
import http.client
import io
import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gevent
import pytest

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching.errors import Unavailable
from ccwhisper.coaching.model import Actor
from ccwhisper.coaching.policy import AUDIT, MONITOR, VIEW
from ccwhisper.coaching.trail import Filter
from ccwhisper.store import archive, recorder, rows
from ccwhisper.store.archive import PIECE, Archive
from ccwhisper.store.database import Database
from ccwhisper.web.limits import Limits
from ccwhisper.web.trail import COLUMNS

from . import postgres
from .service import PATIENCE, Client, Service, token
from .test_api import started
from .test_cli import Run, environment, ran

pytestmark = pytest.mark.e2e


@pytest.fixture
def auditor(service: Service) -> Client:
    return Client(service, token(sub="audrey", permissions=[AUDIT], roles=[], queues=[], devices=None))


@pytest.fixture
def run(service: Service) -> Run:
    def run(*arguments: str, **claims: Any) -> Any:
        bearer = token(**{"sub": "audrey", "permissions": [AUDIT], **claims})
        return ran(*arguments, env=environment(service, bearer))

    return run


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def trail(auditor: Client, count: int, query: str = "") -> list[dict[str, Any]]:
    """The rows, oldest first, as soon as there are so many."""
    until(lambda: len(auditor.get(f"/audit?{query}").body["rows"]) >= count)
    found: list[dict[str, Any]] = auditor.get(f"/audit?{query}").body["rows"][::-1]
    assert len(found) == count, found
    return found


def fill(service: Service, *texts: str) -> None:
    """Rows whose detail is this."""

    def record() -> None:
        who = Actor("eve", "Eve")
        for text in texts:
            service.engine.record(fx.Audit("test", who, None, "1001", None, "fs1", text, "o"))

    service.run(record)
    until(lambda: service.run(service.archive.health).waiting == 0)


def export(service: Service, query: str, **claims: Any) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
    bearer = token(**{"sub": "audrey", "permissions": [AUDIT], **claims})
    connection.request("GET", f"/api/v1/audit/export?{query}", headers={"Authorization": f"Bearer {bearer}"})
    try:
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


# --- what is in it ---------------------------------------------------------------------------------------------------


def test_a_session_is_told_from_beginning_to_end(service: Service, coach: Client, auditor: Client) -> None:
    call = service.call()
    session = started(coach, call=call)
    coach.put(f"/sessions/{session}/mode", {"mode": "whisper"})
    coach.delete(f"/sessions/{session}")
    found = trail(auditor, 4)
    assert [(row["action"], row["detail"], row["origin"]) for row in found] == [
        ("start", "listen", "http 127.0.0.1"),
        ("listen", "", ""),
        ("mode", "whisper", "http 127.0.0.1"),
        ("end", "coach_left", ""),
    ]
    for row in found:
        assert (row["actor"], row["name"], row["agent"], row["call"]) == ("coach-1", "Grace", "1001", call)
        assert (row["session"], row["node"], row["refusal"], row["times"]) == (session, "fs1", None, 1)
        assert (row["permissions"], row["roles"]) == ([MONITOR, VIEW], ["barge", "whisper"])
        assert datetime.fromisoformat(row["at"]).tzinfo is not None
    assert [row["seq"] for row in found] == sorted({row["seq"] for row in found})


def test_refusals_are_rows_wherever_they_were_made(service: Service, coach: Client, auditor: Client) -> None:
    call = service.call()
    session = started(coach, call=call)
    eve = Client(service, token(sub="eve", roles=[], devices=["9009@ccwhisper.local"]))
    assert eve.put(f"/sessions/{session}/mode", {"mode": "barge"}).status == 404  # by the core
    assert eve.post("/sessions", {"call": call, "mode": "whisper"}).code == "role_missing"
    assert eve.post("/sessions", {"call": call, "mode": "shout"}).code == "field_invalid"  # before it
    assert eve.get("/audit").code == "permission_missing"
    assert eve.get("/calls?agnet=1001").status == 400
    assert eve.get("/calls/nothing").status == 404  # reading what is not there is nobody's business
    told = [(row["action"], row["detail"], row["refusal"], row["agent"]) for row in trail(auditor, 4, "refused=true")]
    assert told == [
        ("mode", "barge", "session_not_found", "1001"),
        ("start", "whisper", "role_missing", "1001"),
        ("start", "POST /sessions", "field_invalid", None),
        ("read", "GET /audit", "permission_missing", None),
    ]
    assert {row["actor"] for row in trail(auditor, 4, "refused=true")} == {"eve"}


def test_what_is_refused_again_and_again_is_counted(service: Service, auditor: Client) -> None:
    eve = Client(service, token(sub="eve", permissions=[]))
    for _ in range(20):
        assert eve.get("/calls").status == 403
    assert len(trail(auditor, 1)) == 1
    service.run(lambda: service.archive.record.sweep(everything=True))
    assert [row["times"] for row in trail(auditor, 2)] == [1, 19]


def test_the_number_of_them_is_a_row_although_nothing_else_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(recorder, "ALIKE_SECONDS", 0.05)
    database = Database.sqlite(tmp_path / "x.db")
    database.upgrade()
    kept = Archive(database, tmp_path, "i")
    kept.start()
    for _ in range(3):
        kept.record(fx.Audit("press", Actor("a", "A"), None, None, None, None, "", "", "not_listening"), 1.7e9)
    deadline = time.monotonic() + PATIENCE
    while len(rows.search(database, Filter()).rows) < 2:
        assert time.monotonic() < deadline
        gevent.sleep(0.01)
    assert [row.times for row in rows.search(database, Filter()).rows] == [2, 1]
    kept.stop()


def test_strangers_are_no_rows(service: Service, auditor: Client, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        assert Client(service, "rubbish").get("/calls").status == 401
        assert Client(service, None).post("/sessions", {"agent": "1001"}).status == 401
    fill(service, "a row")
    assert [row["detail"] for row in trail(auditor, 1)] == ["a row"]
    lines = [line for line in caplog.messages if "without a good token" in line]
    assert lines == ["1 requests without a good token since the last such line, now: token_invalid"]


def test_who_asks_too_often_is_a_row() -> None:
    service = Service(limits=Limits(rate=0.001, burst=1)).start()
    try:
        coach = Client(service, token(permissions=[AUDIT, VIEW]))
        for _ in range(9):
            coach.post("/sessions/x/press")
        told = [(row["action"], row["refusal"]) for row in trail(coach, 2)]
        assert told == [("press", "session_not_found"), ("press", "rate_limited")]
    finally:
        service.stop()


# --- who may read it, and how ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/audit", "/audit/export"])
def test_it_takes_the_permission_and_no_other(service: Service, path: str) -> None:
    everything = Client(service, token(permissions=[VIEW, MONITOR], queues=["*"]))
    assert (everything.get(path).status, everything.get(path).code) == (403, "permission_missing")


def test_filters_and_pages(service: Service, coach: Client, auditor: Client) -> None:
    fill(service, *(f"number {number}" for number in range(7)))
    assert len(auditor.get("/audit?actor=eve&agent=1001&action=test&text=NUMBER").body["rows"]) == 7
    for nothing in ("actor=e", "agent=1002", "action=end", "call=x", "session=x", "refused=true", "text=letter"):
        assert auditor.get(f"/audit?{nothing}").body == {"rows": [], "next": None}, nothing
    first = auditor.get("/audit?limit=4").body
    assert [row["detail"] for row in first["rows"]] == ["number 6", "number 5", "number 4", "number 3"]
    second = auditor.get(f"/audit?limit=4&after={first['next']}").body
    assert [row["detail"] for row in second["rows"]] == ["number 2", "number 1", "number 0"]
    assert second["next"] is None
    middle = first["rows"][1]["at"]
    assert len(auditor.get(f"/audit?from={quote(middle)}").body["rows"]) == 2
    assert len(auditor.get(f"/audit?to={quote(middle)}").body["rows"]) == 5


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "field_invalid"),
        ("limit=501", "field_invalid"),
        ("from=yesterday", "field_invalid"),
        ("from=2026-01-31T12:00:00", "field_invalid"),
        ("to=0001-01-01T00:00:00%2B23:00", "field_invalid"),
        ("since=2026-01-31T12:00:00Z", "field_unknown"),
        ("actor=", "field_invalid"),
        ("text=a%00b", "field_invalid"),
        ("refused=perhaps", "field_invalid"),
        ("after=rubbish", "cursor_invalid"),
    ],
)
def test_queries_that_make_no_sense(auditor: Client, query: str, code: str) -> None:
    assert (auditor.get(f"/audit?{query}").status, auditor.get(f"/audit?{query}").code) == (400, code)


# --- export ----------------------------------------------------------------------------------------------------------

FORMULAS = ("=cmd|' /C calc'!A1", "+1", "-1", "@SUM(1)", "\t=1", 'a "quoted", cell\nof two lines', "plain")


def test_csv_holds_every_row_and_no_formula(service: Service) -> None:
    fill(service, *FORMULAS)
    response, body = export(service, "format=csv")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"].startswith('attachment; filename="audit-2')
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    head, *table = csv.reader(io.StringIO(body.decode(), newline=""))
    assert tuple(head) == COLUMNS
    details = [row[head.index("detail")] for row in table][::-1]
    assert details == [f"'{text}" if text[0] in "=+-@\t" else text for text in FORMULAS]
    assert [row[head.index("refusal")] for row in table] == [""] * len(FORMULAS)


def test_json_lines_are_the_rows_of_the_search(service: Service, auditor: Client) -> None:
    fill(service, *FORMULAS)
    listed = auditor.get("/audit").body["rows"]
    response, body = export(service, "format=jsonl&text=plain")
    assert response.headers["Content-Type"] == "application/jsonl"
    assert [json.loads(line) for line in body.splitlines()] == [row for row in listed if row["detail"] == "plain"]


def test_an_export_is_streamed_and_is_a_row_itself(service: Service, auditor: Client) -> None:
    fill(service, *(str(number) for number in range(2 * PIECE + 1)))
    response, body = export(service, "format=jsonl&actor=eve")
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert [json.loads(line)["detail"] for line in body.splitlines()] == [str(n) for n in range(2 * PIECE, -1, -1)]
    (row,) = trail(auditor, 1, "action=export")
    assert (row["actor"], json.loads(row["detail"])) == ("audrey", {"actor": "eve", "format": "jsonl"})


def test_an_export_that_breaks_off_says_so(
    service: Service, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(service, *(str(number) for number in range(PIECE + 1)))
    pages = service.archive.pages

    def breaking(wanted: Filter) -> Iterator[Any]:
        yield next(pages(wanted))
        raise Unavailable("store_unavailable", "the database has gone")

    service.archive.pages = breaking  # type: ignore[method-assign]
    with pytest.raises(http.client.IncompleteRead):
        export(service, "format=jsonl")
    assert "Traceback" not in capfd.readouterr().err
    assert "broke off: the database has gone" in caplog.text


# --- without a database ----------------------------------------------------------------------------------------------


def test_coaching_goes_on_without_the_database_and_its_rows_come_later(
    service: Service, coach: Client, auditor: Client, caplog: pytest.LogCaptureFixture
) -> None:
    call = service.call()
    database = service.folder / "ccwhisper.db"
    database.rename(service.folder / "elsewhere")
    session = started(coach, call=call, mode="whisper")
    until(lambda: Client(service, None).get("/health").body["store"]["status"] == "behind")
    assert Client(service, None).get("/health").body["status"] == "degraded"
    coach.delete(f"/sessions/{session}")
    until(lambda: Client(service, None).get("/health").body["store"]["waiting"] == 4)
    answer = auditor.get("/audit")
    assert (answer.status, answer.code) == (503, "store_unavailable")
    assert auditor.get("/audit/export").code == "store_unavailable"
    assert not database.exists()
    (service.folder / "elsewhere").rename(database)
    assert [row["action"] for row in trail(auditor, 4)] == ["start", "listen", "mode", "end"]
    store = {"status": "ok", "waiting": 0, "lost": 0}
    until(lambda: Client(service, None).get("/health").body["store"] == store)
    assert "takes no audit rows" in caplog.text
    assert "takes audit rows again" in caplog.text


def test_rows_of_one_life_are_written_by_the_next(tmp_path: Path) -> None:
    database = Database.sqlite(tmp_path / "x.db")
    one = Archive(database, tmp_path, "i", pauses=(0.05, 0.05))
    one.start()
    one.record(fx.Audit("start", Actor("a", "A"), None, None, None, None, "", ""), 1.7e9)
    one.stop()
    database.upgrade()
    other = Archive(database, tmp_path, "i", pauses=(0.05, 0.05))
    other.start()
    other.record(fx.Audit("end", Actor("a", "A"), None, None, None, None, "", ""), 1.7e9)
    until(lambda: other.health().waiting == 0)
    assert [row.action for row in rows.search(database, Filter()).rows] == ["end", "start"]
    other.stop()


def test_a_server_that_is_shut_down_and_comes_back(server: postgres.Server, tmp_path: Path) -> None:
    database = Database.postgresql(server.database())
    database.upgrade()
    kept = Archive(database, tmp_path, "i", pauses=(0.05, 0.2))
    kept.start()

    def record(number: int) -> None:
        kept.record(fx.Audit("test", Actor("a", "A"), None, None, None, None, str(number), ""), 1.7e9 + number)

    record(0)
    until(lambda: kept.health().waiting == 0)
    server.stop()
    try:
        record(1)
        record(2)
        until(lambda: kept.health().away and kept.health().waiting == 2)
    finally:
        server.start()
    record(3)
    until(lambda: not kept.health().away and kept.health().waiting == 0)
    assert [row.detail for row in kept.search(Filter()).rows] == ["3", "2", "1", "0"]
    kept.stop()


# --- the command -----------------------------------------------------------------------------------------------------


def test_audit_on_the_command_line(service: Service, run: Run) -> None:
    fill(service, "first", "sec\x1b[2Jond")
    shown = run("audit", "--text", "sec").stdout.splitlines()
    assert shown[0].split() == ["TIME", "ACTOR", "ACTION", "AGENT", "DETAIL", "REFUSAL", "ORIGIN"]
    assert shown[1].split()[1:] == ["eve", "test", "1001", "sec\\u{1b}[2Jond", "-", "o"]
    page = run("audit", "--limit", "1")
    assert len(page.stdout.splitlines()) == 2
    rest = run("audit", "--after", page.stderr.split()[-1], "--json")
    assert [row["detail"] for row in json.loads(rest.stdout)["rows"]] == ["first"]
    assert run("audit", "--refused").stdout == "There are no such rows.\n"
    assert len(run("audit", "--done", "--from", "2026-01-01T00:00:00Z").stdout.splitlines()) == 3
    assert run("audit", permissions=[VIEW]).returncode == 3


def test_an_export_on_the_command_line(service: Service, run: Run) -> None:
    fill(service, *(str(number) for number in range(PIECE + 1)))
    lines = run("audit", "--export", "jsonl", "--actor", "eve").stdout.splitlines()
    assert [json.loads(line)["detail"] for line in lines] == [str(number) for number in range(PIECE, -1, -1)]
    assert run("audit", "--export", "csv").stdout.startswith("at,switch_at,action,")
    assert run("audit", "--export", "csv", "--after", "1.1").returncode == 2
    refused = run("audit", "--export", "csv", permissions=[VIEW])
    assert (refused.returncode, "[permission_missing]" in refused.stderr, refused.stdout) == (3, True, "")
