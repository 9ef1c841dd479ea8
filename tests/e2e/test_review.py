"""Recordings over HTTP: who finds them, who hears them and how, what reviewers say of them, what the trail keeps."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from ccwhisper.coaching.errors import Conflict
from ccwhisper.coaching.policy import AUDIT, DELETE_RECORDINGS, MONITOR, PERMISSIONS, REVIEW, VIEW
from ccwhisper.recording.export import PUBLIC
from ccwhisper.recording.index import Person
from ccwhisper.recording.journal import Start
from ccwhisper.recording.result import Problem, Result
from ccwhisper.web.files import MOST
from ccwhisper.web.tickets import COOKIE, LIFETIME, kept_key

from .service import PATIENCE, Client, Service, token
from .tones import COACH, HERTZ, SECOND, coach, recording

pytestmark = pytest.mark.e2e

HOSTILE = 'Jo"\r\nSet-Cookie: x=y\r\n; filename="../../etc/passwd" <script>'


@dataclass(frozen=True)
class Raw:
    """An answer that is not JSON."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Reviewer(Client):
    """One who may review the recordings of support@default, unless said otherwise."""

    def __init__(self, service: Service, sub: str = "rita", **claims: Any) -> None:
        usual = {"sub": sub, "name": sub.title(), "permissions": [REVIEW], "roles": [], "devices": None}
        bearer = token(**{**usual, **claims})
        super().__init__(service, bearer)
        self.bearer = bearer
        self._port = service.port

    def raw(self, path: str, method: str = "GET", bearer: bool = True, **headers: str) -> Raw:
        """Headers are named with underscores."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if bearer:
            sent["Authorization"] = f"Bearer {self.bearer}"
        try:
            connection.request(method, f"/api/v1{path}", headers=sent)
            response = connection.getresponse()
            return Raw(response.status, response.headers, response.read())
        finally:
            connection.close()

    def opened(self, recording: str, opening: str | None = None, cookie: str = "") -> tuple[dict[str, Any], str]:
        """The answer, and the cookie that came with it."""
        headers = {"Cookie": cookie} if cookie else {}
        answer = self.post(f"/recordings/{recording}/media", {"opening": opening}, headers=headers)
        assert answer.status == 200, answer.body
        said = answer.headers["Set-Cookie"]
        return answer.body, said.partition(";")[0]


def keep(service: Service, result: Result) -> Result:
    assert service.run(lambda: service.shelves.index.keep(result))
    return result


def made(service: Service, number: int = 1, **more: Any) -> Result:
    return keep(service, recording(service.shelves.archive.folder, number, **more))


@pytest.fixture
def one(service: Service) -> Result:
    return made(service)


@pytest.fixture
def rita(service: Service) -> Reviewer:
    return Reviewer(service)


def acts(service: Service) -> list[tuple[str, str, str | None, str]]:
    """Rows of the trail: what, by whom, the refusal, the detail."""
    return [(row.action, row.who.id, row.refusal, row.detail) for row in service.run(lambda: list(service.audit))]


def code(answer: Raw) -> str:
    return str(json.loads(answer.body)["error"]["code"])


def level(data: bytes, channel: int, hertz: float, tmp_path: Path) -> float:
    """How strong a tone is in the second before 3.9 s, of full scale."""
    file = tmp_path / "heard.mp4"
    file.write_bytes(data)
    with av.open(str(file)) as container:
        (stream,) = container.streams.audio
        frames = [frame.to_ndarray() for frame in container.decode(stream)]
        sound = np.concatenate(frames, axis=1)[channel][int(2.9 * stream.rate) : int(3.9 * stream.rate)]
        turns = np.exp(-2j * np.pi * hertz * np.arange(len(sound)) / stream.rate)
    return float(2 * abs(np.mean(sound * turns)))


# --- the list --------------------------------------------------------------------------------------------------------


def test_recordings_are_found_by_who_may_hear_them(service: Service, rita: Reviewer) -> None:
    file = recording(service.shelves.archive.folder)
    mine = [keep(service, replace(file, id=f"r{number}", started_at=float(number))) for number in (1, 2, 3)]
    keep(service, replace(mine[0], id="sales", queue="sales@default"))
    keep(service, replace(mine[0], id="none", queue=None))
    gone = made(service, 2)
    service.run(lambda: service.shelves.index.forget(gone.id))

    def ids(client: Client, query: str = "") -> list[str]:
        return [each["id"] for each in client.get(f"/recordings{query}").body["recordings"]]

    assert ids(rita) == ["r3", "r2", "r1"]
    assert ids(rita, "?queue=sales@default") == []
    assert set(ids(Reviewer(service, queues=["*"]))) == {"r1", "r2", "r3", "sales", "none"}
    assert ids(Reviewer(service, queues=[])) == []
    page = rita.get("/recordings?limit=2").body
    assert [each["id"] for each in page["recordings"]] == ["r3", "r2"]
    assert ids(rita, f"?limit=2&after={page['next']}") == ["r1"]
    assert ids(rita, "?agent=1001&coach=grace&mode=whisper&flagged=true&text=ORDER&state=ready") == ["r3", "r2", "r1"]
    assert ids(rita, "?from=1970-01-01T00:00:02Z&to=1970-01-01T00:00:03Z") == ["r2"]
    for wrong in ("?mode=shout", "?state=lost", "?from=yesterday", "?limit=0", "?after=x", "?agnet=1"):
        assert rita.get(f"/recordings{wrong}").status == 400


@pytest.mark.parametrize("path", ["", "/media", "/peaks", "/tracks/0", "/file", "/comments"])
def test_nobody_else_is_told_that_there_is_one(service: Service, one: Result, path: str) -> None:
    method = {"/media": "POST", "/comments": "POST"}.get(path, "GET")
    body = {"/media": {}, "/comments": {"at": 1, "text": "x"}}.get(path)
    strangers = {
        "recording_not_found": Reviewer(service, "other", queues=["sales@default"]),
        "permission_missing": Reviewer(service, "lacks", permissions=sorted(PERMISSIONS - {REVIEW})),
    }
    for refusal, client in strangers.items():
        assert client.send(method, f"/recordings/{one.id}{path}", body).code == refusal
    assert Client(service, None).send(method, f"/recordings/{one.id}{path}", body).code == "token_missing"
    assert [row for row in acts(service) if row[2] is None] == [], "nothing was played"
    refused = [(who, why) for _, who, why, detail in acts(service) if one.id in detail]
    assert ("lacks", "permission_missing") in refused
    assert (("other", "recording_not_found") in refused) == (path not in ("", "/peaks")), (
        "who wanted to hear it is told"
    )


def test_a_recording_is_told_with_all_that_is_on_it(service: Service, one: Result, rita: Reviewer) -> None:
    told = rita.get(f"/recordings/{one.id}").body
    assert told["recording"]["state"] == "ready"
    assert told["recording"]["agents"] == [{"id": "1001", "name": "Ada"}]
    content = told["content"]
    assert [each["kind"] for each in content["tracks"]] == ["call", "coach"]
    assert content["coaches"][0]["spans"] == [{"start": 2.0, "end": 4.0}]
    assert content["bleed"]["traces"][1]["level"] == -32.5
    assert (content["cues"][0]["reply"], content["waveforms"], told["deletable"]) == ("got_it", True, False)
    assert rita.get("/recordings/nothing").code == "recording_not_found"


def test_one_that_is_not_finished_says_why(service: Service, rita: Reviewer) -> None:
    start = Start(5.0, "r1", "fs1", "leg", "r1-call.wav", "support@default", "inbound", "+1", "Jo", "off")
    problem = Problem("disk_full", "The disk is full.")
    service.run(lambda: service.shelves.index.state("r1", "failed", problem, start, [Person("1001", "Ada")]))
    told = rita.get("/recordings/r1").body
    assert told["recording"]["problem"] == {"code": "disk_full", "text": "The disk is full."}
    assert (told["content"], told["comments"]) == (None, [])
    assert rita.post("/recordings/r1/media", {}).code == "recording_not_ready"
    assert rita.post("/recordings/r1/comments", {"at": 0, "text": "x"}).code == "recording_not_ready"


def test_bleed_is_counted_for_who_may_hear_it(service: Service, one: Result, rita: Reviewer) -> None:
    assert rita.get("/recordings/bleed").body["counts"] == [
        {"agent": "1001", "name": "Ada", "headset": "Model 40", "measured": 1, "routing": 0, "acoustic": 1,
         "worst": -32.5}
    ]  # fmt: skip
    assert rita.get("/recordings/bleed?since=2099-01-01T00:00:00Z").body["counts"] == []
    assert Reviewer(service, queues=["sales@default"]).get("/recordings/bleed").body["counts"] == []


# --- hearing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("remote", [False, True], ids=["folder", "bucket"])
@pytest.mark.parametrize("codec", ["aac", "opus"])
def test_a_track_is_heard_alone(service: Service, rita: Reviewer, tmp_path: Path, codec: str, remote: bool) -> None:
    one = made(service, codec=codec)
    service.shelves.archive.remote = remote
    for track, channel in HERTZ:
        answer = rita.raw(f"/recordings/{one.id}/tracks/{track}")
        if track == SECOND.index:
            assert code(answer) == "track_not_found"
            continue
        assert (answer.status, answer.headers["Content-Type"]) == (200, "audio/mp4")
        for each, hertz in HERTZ.items():
            heard = level(answer.body, channel, hertz, tmp_path)
            assert (heard > 0.2) == (each == (track, channel)), (each, heard)
    for wrong in ("-1", "1.0", "x", "%D9%A1", "9" * 30):
        assert code(rita.raw(f"/recordings/{one.id}/tracks/{wrong}")) == "track_not_found"


def test_ranges(service: Service, one: Result, rita: Reviewer) -> None:
    path = f"/recordings/{one.id}/tracks/0"
    whole = rita.raw(path)
    size, tag = len(whole.body), whole.headers["ETag"]
    assert (whole.headers["Accept-Ranges"], int(whole.headers["Content-Length"])) == ("bytes", size)
    head = rita.raw(path, "HEAD")
    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(size))
    for asked, first, last in (
        ("0-", 0, size - 1),
        ("10-19", 10, 19),
        ("-5", size - 5, size - 1),
        (f"1-{size * 2}", 1, size - 1),
    ):
        part = rita.raw(path, Range=f"bytes={asked}")
        assert part.status == 206
        assert part.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
        assert part.body == whole.body[first : last + 1]
    beyond = rita.raw(path, Range=f"bytes={size}-")
    assert (beyond.status, code(beyond)) == (416, "range_not_satisfiable")
    assert beyond.headers["Content-Range"] == f"bytes */{size}"
    assert rita.raw(path, Range="bytes=0-9", If_Range=tag).status == 206
    assert rita.raw(path, Range="bytes=0-9", If_Range='"another"').body == whole.body
    assert rita.raw(path, If_None_Match=tag).status == 304
    for odd in ("bytes=9-5", "bytes=x", "lines=0-1", "bytes="):
        assert rita.raw(path, Range=odd).status in (200, 416)


def test_a_long_track_is_sent_piece_by_piece(service: Service, rita: Reviewer) -> None:
    """A browser has six connections: who has enough for now must not hold one that others wait for."""
    one = made(service, seconds=300.0, codec="opus")
    path = f"/recordings/{one.id}/tracks/0"
    whole = rita.raw(path).body
    assert len(whole) > MOST + 5
    for asked, first, last in (
        ("0-", 0, MOST - 1),
        (f"5-{len(whole)}", 5, MOST + 4),
        (f"0-{MOST - 1}", 0, MOST - 1),
        (f"{len(whole) - 9}-", len(whole) - 9, len(whole) - 1),
    ):
        part = rita.raw(path, Range=f"bytes={asked}")
        assert part.headers["Content-Range"] == f"bytes {first}-{last}/{len(whole)}"
        assert part.body == whole[first : last + 1]
    file = rita.raw(f"/recordings/{one.id}/file", Range="bytes=0-")
    assert len(file.body) == one.size, "who saves it gets all of it at once"


def test_the_whole_file_and_the_one_without_coaches(service: Service, rita: Reviewer) -> None:
    one = keep(service, replace(made(service), name=HOSTILE, number=HOSTILE))
    whole = rita.raw(f"/recordings/{one.id}/file")
    assert whole.body == (service.shelves.archive.folder / one.file).read_bytes()
    call = rita.raw(f"/recordings/{one.id}/file?coaches=no")
    assert call.status == 200
    for answer, end in ((whole, ".mp4"), (call, "-call.mp4")):
        name = answer.headers["Content-Disposition"]
        assert name == f'attachment; filename="recording-20260921T141321Z-{one.sha256[:8]}{end}"'
        assert answer.headers["Set-Cookie"] is None
    assert b"Grace" in whole.body
    assert b"Grace" not in call.body
    assert b"order number" not in call.body
    assert rita.raw(f"/recordings/{one.id}/file?coaches=maybe").status == 400
    exports = [(row[0], row[3]) for row in acts(service) if row[2] is None]
    assert exports == [
        ("export_recording", f"{one.id} with coaches"), ("export_recording", f"{one.id} without coaches"),
    ]  # fmt: skip


@pytest.mark.parametrize("remote", [False, True], ids=["folder", "bucket"])
def test_the_one_without_coaches_has_the_calls_own_chapters(
    service: Service, one: Result, rita: Reviewer, tmp_path: Path, remote: bool
) -> None:
    service.shelves.archive.remote = remote
    file = tmp_path / "call.mp4"
    file.write_bytes(rita.raw(f"/recordings/{one.id}/file?coaches=no").body)
    with av.open(str(file)) as container:
        found = [each["metadata"]["title"] for each in container.chapters()]
    assert found == [each.text for each in one.chapters if each.kind in PUBLIC and each.session is None]
    assert found


def test_peaks(service: Service, one: Result, rita: Reviewer) -> None:
    answer = rita.raw(f"/recordings/{one.id}/peaks")
    assert answer.status == 200
    head, _, rest = answer.body.partition(b"\n")
    said = json.loads(head)
    assert len(rest) == said["count"] * len(said["channels"])
    keep(service, replace(one, peaks=None))
    assert code(rita.raw(f"/recordings/{one.id}/peaks")) == "peaks_not_found"


def test_an_archive_that_is_away_or_lacks_the_file_is_told(service: Service, one: Result, rita: Reviewer) -> None:
    service.shelves.archive.away = True
    for path in ("tracks/0", "file", "file?coaches=no", "peaks"):
        answer = rita.raw(f"/recordings/{one.id}/{path}")
        assert (answer.status, code(answer)) == (503, "archive_unavailable")
    service.shelves.archive.away = False
    (service.shelves.archive.folder / one.file).unlink()
    for remote in (False, True):
        service.shelves.archive.remote = remote
        for path in ("tracks/0", "file", "file?coaches=no"):
            answer = rita.raw(f"/recordings/{one.id}/{path}")
            assert (answer.status, code(answer)) == (404, "file_not_found")


def test_a_file_that_cannot_be_cut_is_told(service: Service, one: Result, rita: Reviewer) -> None:
    (service.shelves.archive.folder / one.file).write_bytes(b"no MP4")
    answer = rita.raw(f"/recordings/{one.id}/tracks/0")
    assert (answer.status, code(answer)) == (503, "cutting_failed")
    assert list((service.folder / "cuttings").iterdir()) == [], "nothing of it is kept"


def test_cuttings_are_bounded_and_the_one_that_nobody_asks_for_goes_first(service: Service, rita: Reviewer) -> None:
    one = made(service, coaches=(coach(COACH, [(2.0, 4.0)]), coach(SECOND, [(1.0, 2.0)], "alan", "Alan")))
    sizes = [len(rita.raw(f"/recordings/{one.id}/tracks/{track}").body) for track in (0, 1)]
    rita.raw(f"/recordings/{one.id}/tracks/0")  # the other one was not asked for since
    service.shelves.files._largest = sum(sizes) + 10
    rita.raw(f"/recordings/{one.id}/tracks/2")
    kept = {path.name.rpartition(".")[2] for path in (service.folder / "cuttings").iterdir()}
    assert kept == {"track-0", "track-2"}
    assert rita.raw(f"/recordings/{one.id}/tracks/1").status == 200


def test_what_a_service_that_died_was_cutting_goes(service: Service, one: Result, rita: Reviewer) -> None:
    """Also with the recording: it may be hidden, and whole."""
    rita.raw(f"/recordings/{one.id}/tracks/0")
    folder = service.folder / "cuttings"
    parts = [folder / f"{begin}another.0.call.9.part{end}" for begin, end in (("", ""), (".", ".part"))]
    mine = [folder / f"{begin}{one.id}.0.call.9.part{end}" for begin, end in (("", ""), (".", ".part"))]
    for path in (*parts, *mine):
        path.write_bytes(b"sound")
    rita.raw(f"/recordings/{one.id}/tracks/1")
    assert all(path.exists() for path in parts), "somebody may be cutting it"
    for path in parts:
        os.utime(path, (0.0, 0.0))
    rita.raw(f"/recordings/{one.id}/file?coaches=no")
    assert not any(path.exists() for path in parts)
    service.run(lambda: service.shelves.files.delete(one))
    assert list(folder.iterdir()) == []


def test_what_an_archive_elsewhere_gives_back_is_what_was_kept(service: Service, one: Result, rita: Reviewer) -> None:
    service.shelves.archive.remote = True
    path = service.shelves.archive.folder / one.file
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"x")
    answer = rita.raw(f"/recordings/{one.id}/file")
    assert (answer.status, code(answer)) == (503, "archive_unavailable")
    path.write_bytes(whole)
    assert rita.raw(f"/recordings/{one.id}/file").body == whole


def test_the_service_goes_on_while_somebody_waits_for_a_track(service: Service, rita: Reviewer) -> None:
    """Cutting is another process: beside it, requests are answered."""
    one = made(service, seconds=120.0)
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
    connection.request(
        "GET", f"/api/v1/recordings/{one.id}/tracks/0", headers={"Authorization": f"Bearer {rita.bearer}"}
    )
    answered = 0
    while not any((service.folder / "cuttings").glob("*.track-0")):
        assert rita.get("/health").status == 200
        answered += 1
    assert connection.getresponse().status == 200
    connection.close()
    assert answered > 3


# --- tickets ---------------------------------------------------------------------------------------------------------


def test_a_browser_gets_a_ticket_and_hears_with_it(service: Service, one: Result, rita: Reviewer) -> None:
    answer = rita.post(f"/recordings/{one.id}/media", {}, headers={"Origin": f"https://127.0.0.1:{service.port}"})
    cookie = answer.headers["Set-Cookie"]
    said = {part.strip().partition("=")[0]: part.strip().partition("=")[2] for part in cookie.split(";")}
    assert {"HttpOnly", "Secure"} <= set(said)
    assert (said["Path"], said["SameSite"], said["Max-Age"]) == (
        f"/api/v1/recordings/{one.id}", "Strict", str(int(LIFETIME)),
    )  # fmt: skip
    assert set(answer.body) == {"opening", "expires_at"}, "no script sees the ticket"
    assert said[COOKIE] not in json.dumps(answer.body)
    ticket = f"{COOKIE}={said[COOKIE]}"
    for path in ("tracks/0", "tracks/1", "file", "file?coaches=no"):
        assert rita.raw(f"/recordings/{one.id}/{path}", bearer=False, Cookie=ticket, Range="bytes=0-9").status == 206
    plays = [row for row in acts(service) if row[0] == "play"]
    assert plays == [("play", "rita", None, one.id)], "once for the opening, not for each range"
    exports = [row for row in acts(service) if row[0] == "export_recording"]
    assert [row[1] for row in exports] == ["rita", "rita"], "with a ticket it is known whose"


def test_a_ticket_opens_nothing_else(service: Service, one: Result, rita: Reviewer) -> None:
    other = made(service, 2)
    _, ticket = rita.opened(one.id)
    refused = rita.raw(f"/recordings/{other.id}/tracks/0", bearer=False, Cookie=ticket)
    assert (refused.status, code(refused)) == (401, "ticket_other")
    for path in ("", "/peaks"):
        assert code(rita.raw(f"/recordings/{one.id}{path}", bearer=False, Cookie=ticket)) == "token_missing"
    bare = {"Cookie": ticket}
    nobody = Client(service, None)
    assert nobody.delete(f"/recordings/{one.id}", headers=bare).code == "token_missing"
    assert nobody.post(f"/recordings/{one.id}/media", {}, headers=bare).code == "token_missing"
    assert nobody.post(f"/recordings/{one.id}/comments", {"at": 1, "text": "x"}, headers=bare).code == "token_missing"


def test_a_ticket_that_is_another_s_old_or_forged_is_none(service: Service, one: Result, rita: Reviewer) -> None:
    path = f"/recordings/{one.id}/tracks/0"
    _, ticket = rita.opened(one.id)
    head, body, signature = ticket.partition("=")[2].split(".")
    _, of_sam = Reviewer(service, "sam").opened(one.id)
    sams = of_sam.partition("=")[2].split(".")
    forged = [
        "", "x", ticket.partition("=")[2][:-4], f"{head}.{sams[1]}.{signature}", f"{head}.{body}.", rita.bearer,
        token(sub="rita"),
    ]  # fmt: skip
    for value in forged:
        answer = rita.raw(path, bearer=False, Cookie=f"{COOKIE}={value}")
        assert (answer.status, code(answer)) == (401, "ticket_invalid" if value else "token_missing"), value
    service.shelves.later = LIFETIME + 1
    answer = rita.raw(path, bearer=False, Cookie=ticket)
    assert (answer.status, code(answer)) == (401, "ticket_expired")
    assert rita.raw(path, Cookie=ticket).status == 200, "the token is good for longer"


def test_a_ticket_is_good_for_no_longer_than_the_token(service: Service, one: Result) -> None:
    soon = int(time.time()) + 60
    answer, _ = Reviewer(service, exp=soon).opened(one.id)
    assert answer["expires_at"] == soon


def test_who_goes_on_hearing_has_not_opened_it_again(service: Service, one: Result, rita: Reviewer) -> None:
    first, ticket = rita.opened(one.id)
    again, renewed = rita.opened(one.id, first["opening"], ticket)
    assert (again["opening"], len([row for row in acts(service) if row[0] == "play"])) == (first["opening"], 1)
    sam = Reviewer(service, "sam")
    rita.opened(one.id)  # another page
    sam.opened(one.id, first["opening"], renewed)  # another person
    rita.opened(one.id, first["opening"])  # without the ticket
    plays = [row[1] for row in acts(service) if row[0] == "play"]
    assert plays == ["rita", "rita", "sam", "rita"]


def test_who_hears_with_his_token_is_in_the_trail_too(service: Service, one: Result, rita: Reviewer) -> None:
    for number in range(3):
        rita.raw(f"/recordings/{one.id}/tracks/0", Range=f"bytes={number}-{number}")
    assert [row for row in acts(service) if row[0] == "play"] == [("play", "rita", None, one.id)]
    service.shelves.later = LIFETIME + 1
    rita.raw(f"/recordings/{one.id}/tracks/1")
    assert len([row for row in acts(service) if row[0] == "play"]) == 2


def test_the_key_is_made_once_and_nobody_else_s_to_read(tmp_path: Path) -> None:
    key = kept_key(tmp_path)
    assert (len(key), kept_key(tmp_path)) == (32, key)
    assert (tmp_path / "tickets.key").stat().st_mode & 0o777 == 0o600


def test_who_leaves_takes_his_ticket_along(service: Service, one: Result, rita: Reviewer) -> None:
    rita.opened(one.id)
    for client in (rita, Reviewer(service, "rita", permissions=[])):  # nobody must keep what he may not use any more
        closed = client.delete(f"/recordings/{one.id}/media")
        assert closed.status == 200
        name, _, attributes = closed.headers["Set-Cookie"].partition(";")
        assert name == f"{COOKIE}="
        assert {"Max-Age=0", f"Path=/api/v1/recordings/{one.id}"} <= {each.strip() for each in attributes.split(";")}
    assert Client(service, None).delete(f"/recordings/{one.id}/media").code == "token_missing"


# --- comments --------------------------------------------------------------------------------------------------------


def test_comments(service: Service, one: Result, rita: Reviewer) -> None:
    where = f"/recordings/{one.id}/comments"
    sam = Reviewer(service, "sam")
    said = rita.post(where, {"at": 2.5, "text": "  Well\nhandled  "}).body
    assert (said["at"], said["text"], said["own"], said["edited_at"]) == (2.5, "Well\nhandled", True, None)
    changed = rita.put(f"{where}/{said['id']}", {"text": "Better"}).body
    assert (changed["text"], changed["edited_at"] is not None) == ("Better", True)
    assert [each["own"] for each in sam.get(f"/recordings/{one.id}").body["comments"]] == [False]
    assert sam.put(f"{where}/{said['id']}", {"text": "mine"}).code == "comment_of_another"
    assert sam.delete(f"{where}/{said['id']}").code == "comment_of_another"
    for wrong in ({"at": 6.5, "text": "x"}, {"at": -1, "text": "x"}, {"at": 1, "text": " "}, {"at": 1, "text": "\x07"}):
        assert rita.post(where, wrong).code == "field_invalid"
    for missing in ("0", "99", "x", "9" * 18):
        assert rita.delete(f"{where}/{missing}").code == "comment_not_found"
    assert rita.delete(f"{where}/{said['id']}").body["id"] == said["id"]
    assert rita.get(f"/recordings/{one.id}").body["comments"] == []
    done = [(row[0], row[1]) for row in acts(service) if row[2] is None]
    assert done == [("comment", "rita"), ("edit_comment", "rita"), ("delete_comment", "rita")]
    refused = [(row[0], row[1], row[2]) for row in acts(service) if row[1] == "sam"]
    assert refused == [
        ("edit_comment", "sam", "comment_of_another"), ("delete_comment", "sam", "comment_of_another"),
    ]  # fmt: skip
    assert "Better" not in json.dumps(acts(service)), "what is deleted is not kept in the trail"


@pytest.mark.parametrize(
    "text",
    [
        "x" * 2000,
        "Tr\u00e8s bien\u00a0! Ou\u202f?",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001fae8 \u26a0\ufe0f",
        "\u0646\u0627\u0645\u0647\u200c\u0627\u06cc \u05d0\u200e",
        "first\n\t- second",
        "\U0010ffff\ufeff",
    ],
    ids=["long", "french", "emoji", "persian", "tab", "unassigned"],
)
def test_a_comment_is_kept_as_it_was_written(service: Service, one: Result, rita: Reviewer, text: str) -> None:
    said = rita.post(f"/recordings/{one.id}/comments", {"at": 1, "text": text}).body
    assert said["text"] == text
    assert rita.put(f"/recordings/{one.id}/comments/{said['id']}", {"text": text}).body["text"] == text
    assert rita.get(f"/recordings/{one.id}").body["comments"][0]["text"] == text


@pytest.mark.parametrize("text", ["\0", "\x1b[2J", "a\rb", "\u202egnp.exe", "\u2067a", "a\u2028b", "\x9b", "\ud800"])
def test_a_comment_that_would_break_a_page_or_a_terminal_is_refused(
    service: Service, one: Result, rita: Reviewer, text: str
) -> None:
    assert rita.post(f"/recordings/{one.id}/comments", {"at": 1, "text": f"x{text}"}).status == 400


# --- deleting --------------------------------------------------------------------------------------------------------


def test_what_is_deleted_is_gone(service: Service, one: Result, rita: Reviewer) -> None:
    _, ticket = rita.opened(one.id)
    rita.raw(f"/recordings/{one.id}/tracks/0")
    assert rita.delete(f"/recordings/{one.id}").code == "permission_missing"
    other = Reviewer(service, "otto", permissions=[REVIEW, DELETE_RECORDINGS], queues=["sales@default"])
    assert other.delete(f"/recordings/{one.id}").code == "recording_not_found"
    dora = Reviewer(service, "dora", permissions=[REVIEW, DELETE_RECORDINGS])
    assert dora.get(f"/recordings/{one.id}").body["deletable"] is True
    assert dora.delete(f"/recordings/{one.id}").body["recording"]["state"] == "deleted"
    assert [path for path in service.shelves.archive.folder.rglob("*") if path.is_file()] == []
    assert list((service.folder / "cuttings").iterdir()) == []
    assert code(rita.raw(f"/recordings/{one.id}/tracks/0", bearer=False, Cookie=ticket)) == "recording_not_ready"
    assert rita.get("/recordings").body["recordings"] == []
    assert dora.delete(f"/recordings/{one.id}").status == 200, "and once more is the same"
    deletions = [row for row in acts(service) if row[0] == "delete_recording"]
    assert [(row[1], row[2]) for row in deletions] == [
        ("rita", "permission_missing"), ("otto", "recording_not_found"), ("dora", None), ("dora", None),
    ]  # fmt: skip


def test_what_is_deleted_while_it_is_cut_leaves_nothing(service: Service, one: Result, rita: Reviewer) -> None:
    """Who cuts has the file open, so that it goes on: here, because another name of it is deleted."""
    beside = (service.shelves.archive.folder / one.file).with_suffix(".json")
    told = beside.read_bytes()
    beside.unlink()
    os.mkfifo(beside)
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
    asks = {"Authorization": f"Bearer {rita.bearer}"}
    connection.request("GET", f"/api/v1/recordings/{one.id}/tracks/0", headers=asks)
    with beside.open("wb") as pipe:  # is open as soon as somebody reads from it
        service.run(lambda: service.shelves.files.delete(replace(one, file="another.mp4", peaks=None)))
        pipe.write(told)
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["error"]["code"]) == (404, "file_not_found")
    connection.close()
    assert list((service.folder / "cuttings").iterdir()) == []


def test_what_could_not_be_deleted_is_heard_on(service: Service, one: Result) -> None:
    dora = Reviewer(service, "dora", permissions=[REVIEW, DELETE_RECORDINGS])
    service.shelves.archive.stuck = True
    assert dora.delete(f"/recordings/{one.id}").code == "archive_unavailable"
    assert dora.raw(f"/recordings/{one.id}/tracks/0").status == 200
    service.shelves.archive.stuck = False
    assert dora.delete(f"/recordings/{one.id}").status == 200


def test_what_is_not_finished_is_deleted_with_its_raw_tracks(service: Service) -> None:
    dora = Reviewer(service, "dora", permissions=[DELETE_RECORDINGS])
    start = Start(5.0, "r1", "fs1", "leg", "r1-call.wav", "support@default", "inbound", "+1", "Jo", "off")
    for state in ("recording", "working"):
        service.run(lambda state=state: service.shelves.index.state("r1", state, start=start))  # type: ignore[misc]
        assert dora.delete("/recordings/r1").code == "recording_busy"
    service.run(lambda: service.shelves.index.state("r1", "failed"))
    service.shelves.raw.problem = Conflict("recording_busy", "It is worked on.")
    assert dora.delete("/recordings/r1").code == "recording_busy"
    service.shelves.raw.problem = None
    assert dora.delete("/recordings/r1").status == 200
    assert service.shelves.raw.discarded == ["r1"]


def test_only_what_has_failed_is_tried_again(service: Service, one: Result, rita: Reviewer) -> None:
    start = Start(5.0, "r1", "fs1", "leg", "r1-call.wav", "support@default", "inbound", "+1", "Jo", "off")
    problem = Problem("track_missing", "there is no raw track")
    service.run(lambda: service.shelves.index.state("r1", "failed", problem, start))
    assert rita.post("/recordings/r1/retry").body["recording"]["problem"]["code"] == "track_missing"
    assert rita.post(f"/recordings/{one.id}/retry").code == "recording_not_failed"
    assert rita.post("/recordings/r2/retry").code == "recording_not_found"
    nobody = Reviewer(service, "p", permissions=[DELETE_RECORDINGS])
    assert nobody.post("/recordings/r1/retry").code == "permission_missing"
    assert service.shelves.raw.retried == ["r1"]
    assert [row for row in acts(service) if row[2] is None] == [("retry_recording", "rita", None, "r1")]


def test_the_page_may_play_what_the_service_serves_and_nothing_else(service: Service) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
    connection.request("GET", "/review")
    policy = connection.getresponse().headers["Content-Security-Policy"]
    connection.close()
    assert "media-src 'self'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


# --- permissions -----------------------------------------------------------------------------------------------------

OPERATIONS: Mapping[str, tuple[str, str, Any]] = {
    "list": ("GET", "/recordings", None),
    "bleed": ("GET", "/recordings/bleed", None),
    "one": ("GET", "/recordings/{id}", None),
    "open": ("POST", "/recordings/{id}/media", {}),
    "comment": ("POST", "/recordings/{id}/comments", {"at": 1, "text": "x"}),
    "delete": ("DELETE", "/recordings/{id}", None),
}


@pytest.mark.parametrize("queue", ["support@default", "sales@default", "*"])
@pytest.mark.parametrize(
    "permissions", [[], [VIEW, MONITOR, AUDIT], [REVIEW], [DELETE_RECORDINGS], [REVIEW, DELETE_RECORDINGS]]
)
def test_who_may_what(service: Service, one: Result, permissions: list[str], queue: str) -> None:
    client = Reviewer(service, "p", permissions=permissions, queues=[queue])
    for name, (method, path, body) in OPERATIONS.items():
        needs = DELETE_RECORDINGS if name == "delete" else REVIEW
        expected = None
        if needs not in permissions:
            expected = "permission_missing"
        elif queue == "sales@default" and "{id}" in path:
            expected = "recording_not_found"
        answer = client.send(method, path.format(id=one.id), body)
        assert answer.code == expected, name
