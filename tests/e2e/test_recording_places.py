"""Recordings whose raw tracks or files are elsewhere: in a folder, or in a real S3-compatible store on loopback."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ccwhisper.recording import places
from ccwhisper.recording.job import Job
from ccwhisper.recording.journal import Begun
from ccwhisper.recording.places import CHECKSUM, Bucket, Folder, Place, PlaceError, digest, place
from ccwhisper.recording.process import Processes
from ccwhisper.recording.push import push
from ccwhisper.recording.raw import Raw, RawBroken
from ccwhisper.recording.result import decoded, encoded, load
from tests.unit.tapes import ID, Tape, heard, killed, near
from tests.unit.tapes import decoded as sound

from .bucket import BUCKET, KEYS, Server
from .test_cli import environment, ran

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("s3"))
    yield made
    made.close()


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["folder", "bucket"])
def where(request: pytest.FixtureRequest, tmp_path: Path, server: Server, keys: None) -> str:
    if request.param == "bucket":
        return f"s3://{BUCKET}/{tmp_path.name.lower()}"
    (tmp_path / "there").mkdir()
    return str(tmp_path / "there")


@pytest.fixture
def there(where: str, server: Server) -> Place:
    return place(where, server.access)


def file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(content)
    return path


def names(where: Place) -> list[str]:
    return sorted(name for name, _ in where.files())


def test_what_is_kept_is_there_and_can_go(there: Place, tmp_path: Path) -> None:
    assert names(there) == []
    assert there.read("a/b.json") is None
    assert not there.fetch("a/b.json", tmp_path / "c")
    there.remove("a/b.json")  # what is not there is gone
    there.keep("a/b.json", file(tmp_path, b"one"))
    there.keep("a/b.json", file(tmp_path, b"two"))
    there.keep("c", file(tmp_path, b"big" * 5_000_000))
    assert there.read("a/b.json") == b"two"
    assert there.fetch("c", tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == b"big" * 5_000_000
    assert names(there) == ["a/b.json", "c"]
    assert all(abs(at - time.time()) < 3600 for _, at in there.files())
    there.remove("a/b.json")
    assert names(there) == ["c"]
    if isinstance(there, Folder):
        assert not (there.folder / "a").exists()
        assert there.path("c") == there.folder / "c"
    else:
        assert there.path("c") is None


def test_a_folder_that_is_not_there_is_no_empty_folder(tmp_path: Path) -> None:
    gone = Folder(tmp_path / "gone")
    for ask in (
        lambda: list(gone.files()), lambda: gone.path("a"), lambda: gone.keep("a", file(tmp_path, b"1")),
        lambda: gone.remove("a"),  # else it would be said to be deleted
    ):  # fmt: skip
        with pytest.raises(PlaceError) as refused:
            ask()
        assert refused.value.code == "place_unreachable"


def test_a_store_that_cannot_be_reached_says_so(server: Server, keys: None, tmp_path: Path) -> None:
    away = places.Access("http://127.0.0.1:9", "us-east-1", *KEYS)
    bucket = Bucket(BUCKET, "", away, dict(os.environ))
    bucket._store = type(bucket._store).from_url(  # without its patience
        f"s3://{BUCKET}", endpoint=away.endpoint, region="us-east-1", access_key_id="k", secret_access_key="s",
        client_options={"allow_http": True, "connect_timeout": "1s"}, retry_config={"max_retries": 0},
    )  # fmt: skip
    for ask in (
        lambda: bucket.read("a"), lambda: bucket.keep("a", file(tmp_path, b"1")), lambda: list(bucket.files()),
        lambda: bucket.fetch("a", tmp_path / "a"), lambda: bucket.remove("a"),
    ):  # fmt: skip
        with pytest.raises(PlaceError) as refused:
            ask()
        assert refused.value.code == "place_unreachable"
        assert "\n" not in str(refused.value)
    missing = place("s3://there-is-no-such-bucket", server.access)
    with pytest.raises(PlaceError):
        missing.keep("a", file(tmp_path, b"1"))


class Store(http.server.BaseHTTPRequestHandler):
    """Gives a file in ranges, and is told which."""

    content = random.Random(7).randbytes(20_000_000)
    asked: ClassVar[list[tuple[int, int]]] = []
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._say(200, len(self.content))

    def do_GET(self) -> None:
        said = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", f"bytes=0-{len(self.content) - 1}"))
        assert said
        first, last = map(int, said.groups())
        self.asked.append((first, last))
        self._say(206, last + 1 - first, ("Content-Range", f"bytes {first}-{last}/{len(self.content)}"))
        self.wfile.write(self.content[first : last + 1])

    def _say(self, status: int, length: int, *more: tuple[str, str]) -> None:
        self.send_response(status)
        heads = ("ETag", '"x"'), ("Last-Modified", "Sat, 21 Nov 2026 10:00:00 GMT"), ("Content-Length", str(length))
        for head in (*heads, *more):
            self.send_header(*head)
        self.end_headers()

    def log_message(self, *_given: object) -> None:
        pass


def test_hours_of_a_call_come_in_pieces(keys: None, tmp_path: Path) -> None:
    """A request has its time, and a slow line takes longer for all of it."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            access = places.Access(f"http://127.0.0.1:{server.server_port}", "us-east-1", *KEYS)
            assert place(f"s3://{BUCKET}", access).fetch("a", tmp_path / "a")
        finally:
            server.shutdown()
    assert (tmp_path / "a").read_bytes() == Store.content
    assert max(last + 1 - first for first, last in Store.asked) <= places._PIECE < len(Store.content)


def test_a_full_disk_leaves_nothing_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Any, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    folder = Folder(tmp_path / "there", own=True)
    folder.keep("a", file(tmp_path, b"whole"))
    monkeypatch.setattr(places.shutil, "copyfile", full)
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(18, "Invalid cross-device link")))
    with pytest.raises(PlaceError) as refused:
        folder.keep("a", file(tmp_path, b"other"))
    assert refused.value.code == "disk_full"
    assert [path.name for path in folder.folder.iterdir()] == ["a"]
    assert folder.read("a") == b"whole"


def test_names_are_on_the_disk_up_to_the_folder_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut takes a file with the folder that was made for it, and its raw tracks are gone."""
    (tmp_path / "there" / "2026").mkdir(parents=True)
    synced: list[Path] = []
    monkeypatch.setattr(places, "sync", synced.append)
    Folder(tmp_path / "there").keep("2026/11/21/a", file(tmp_path, b"1"))
    day = tmp_path / "there/2026/11/21"
    assert synced[0] == day / ".a.part"
    assert set(synced[1:]) == {day, day.parent, day.parent.parent}


def test_a_folder_that_may_not_be_read_is_no_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, closed = os.scandir, tmp_path / "lost+found"

    def scandir(path: Any) -> Any:
        if Path(path) == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return whole(path)

    monkeypatch.setattr(os, "scandir", scandir)
    closed.mkdir()
    file(tmp_path, b"1")
    assert names(Folder(tmp_path)) == ["file"]
    with pytest.raises(PlaceError) as refused:
        names(Folder(closed))
    assert refused.value.code == "place_unreachable"


def test_links_and_pipes_are_no_raw_tracks(tmp_path: Path) -> None:
    """Who may write to a switch's folder may not read what the service may."""
    tape = Tape(tmp_path)
    secret = tmp_path / "secret"
    secret.write_bytes(tape.call.read_bytes())
    (tape.raws / f"{ID}-link.wav").symlink_to(secret)
    os.mkfifo(tape.raws / f"{ID}-pipe.wav")
    for path in tape.raws.iterdir():
        os.utime(path, (0.0, 0.0), follow_symlinks=False)
    there = Folder(tmp_path / "there", own=True)
    assert names(Folder(tape.raws)) == [tape.call.name]
    assert [each.name for each in push(tape.raws, there)] == [tape.call.name]
    for name in ("link", "pipe"):
        with pytest.raises(RawBroken) as refused:
            Raw(tape.raws / f"{ID}-{name}.wav")
        assert refused.value.code == "track_unreadable"


def job(tape: Tape, raws: str, archive: str, server: Server, folder: Path) -> Job:
    (folder / "archive").mkdir(exist_ok=True)
    return Job("make", (raws,), server.said, archive, str(tape.journal), room=str(folder / "room"))


def test_a_recording_by_way_of_another_machine(where: str, there: Place, server: Server, tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.coach("s1", 3.0, [(5.0, 6.0)])
    tape.write()
    (tape.raws / "somebody-elses.wav").write_bytes(b"1")
    assert {(each.name, each.problem) for each in push(tape.raws, there)} == {
        (f"{ID}-call.wav", None),
        (f"{ID}-s1.wav", None),
    }
    assert [path.name for path in tape.raws.iterdir()] == ["somebody-elses.wav"]
    assert there.read(f"{ID}-s1.wav{CHECKSUM}") is not None
    archive = str(tmp_path / "archive") if where.startswith("s3") else f"s3://{BUCKET}/{tmp_path.name.lower()}/archive"
    outcome = Processes().run(job(tape, where, archive, server, tmp_path))
    assert outcome["ok"], outcome
    assert [name for name in names(there) if "archive" not in name] == []
    result = load(outcome["result"])
    kept = place(archive, server.access)
    assert decoded(kept.read(result.file.replace(".mp4", ".json")) or b"") == result
    copy = tmp_path / "copy.mp4"
    assert kept.fetch(result.file, copy)
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == result.sha256
    found, rate = sound(copy, 1)
    assert near(heard(found[0], rate), [(5.0, 6.0)])
    # Whoever does it again finds it done.
    assert load(Processes().run(job(tape, where, archive, server, tmp_path))["result"]) == result
    assert not (tmp_path / "room" / f".{ID}.part").exists()


def test_what_came_changed_is_not_used(where: str, there: Place, server: Server, tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.write()
    assert [each.problem for each in push(tape.raws, there)] == [None]
    there.keep(f"{ID}-call.wav", file(tmp_path, b"RIFF, but not what was sent"))
    outcome = Processes().run(job(tape, where, str(tmp_path / "archive"), server, tmp_path))
    assert outcome["code"] == "checksum_wrong"
    assert f"{ID}-call.wav" in names(there)


def test_what_has_come_without_its_checksum_has_not_come_to_a_bucket(
    server: Server, keys: None, tmp_path: Path
) -> None:
    tape = Tape(tmp_path)
    tape.write()
    where = f"s3://{BUCKET}/{tmp_path.name.lower()}"
    place(where, server.access).keep(tape.call.name, tape.call)
    outcome = Processes().run(job(tape, where, str(tmp_path / "archive"), server, tmp_path))
    assert outcome["code"] == "track_missing"


def test_a_coachs_track_that_is_still_on_its_way_is_waited_for(server: Server, keys: None, tmp_path: Path) -> None:
    """The call's comes first; the service looks before the other one has come."""
    tape = Tape(tmp_path)
    tape.coach("s1", 3.0, [(5.0, 6.0)])
    tape.lines = [line for line in tape.lines if not (isinstance(line, Begun) and "s1" in line.file)]  # it was away
    tape.write()
    where = f"s3://{BUCKET}/{tmp_path.name.lower()}"
    sent = push(tape.raws, place(where, server.access))
    assert next(sent).name == tape.call.name
    work = job(tape, where, str(tmp_path / "archive"), server, tmp_path)
    outcome = Processes().run(work)
    assert (outcome["ok"], outcome.get("code"), outcome.get("final")) == (False, "track_missing", False)
    assert next(sent).name == f"{ID}-s1.wav"
    outcome = Processes().run(work)
    assert [each["session"] for each in outcome["result"]["tracks"]] == [None, "s1"]


@pytest.mark.parametrize("spoil", ["gone", "short", "of another"])
def test_a_result_without_its_file_is_none(server: Server, tmp_path: Path, spoil: str) -> None:
    """Raw tracks are not let go of because a result says that they are not needed."""
    tape = Tape(tmp_path)
    tape.write()
    content = tape.call.read_bytes()
    work = job(tape, str(tape.raws), str(tmp_path / "archive"), server, tmp_path)
    result = load(Processes().run(work)["result"])
    path = tmp_path / "archive" / result.file
    whole = path.read_bytes()
    if spoil == "gone":
        path.unlink()
    elif spoil == "short":
        path.write_bytes(whole[:-1])
    else:
        path.with_suffix(".json").write_bytes(encoded(replace(result, file="../../elsewhere.mp4")))
    tape.call.write_bytes(content)
    again = load(Processes().run(work)["result"])
    assert again.file == result.file
    assert digest(path) == again.sha256
    assert not tape.call.exists()


def test_a_recording_is_for_nobody_else_on_the_machine(server: Server, tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.write()
    before = os.umask(0)
    try:
        outcome = Processes().run(job(tape, str(tape.raws), str(tmp_path / "archive"), server, tmp_path))
    finally:
        os.umask(before)
    assert outcome["ok"]
    made = list((tmp_path / "archive").rglob("*"))
    assert len(made) == 6
    assert [path for path in made if path.stat().st_mode & 0o007] == []


def test_a_worker_works_where_less_memory_is_allowed(server: Server, tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.write()
    limited = f"import resource\nresource.setrlimit(resource.RLIMIT_AS, ({3 << 30}, {3 << 30}))\n"
    script = limited + "from ccwhisper.recording import work\nwork.main()\n"
    said = job(tape, str(tape.raws), str(tmp_path / "archive"), server, tmp_path).dumped()
    ended = subprocess.run([sys.executable, "-c", script], input=said, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_folder_is_not_sent_to_itself(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    (tmp_path / "link").symlink_to(tape.raws)
    for target in (tape.raws, tmp_path / "link"):
        with pytest.raises(PlaceError):
            list(push(tape.raws, Folder(target)))
    assert [path.name for path in tape.raws.iterdir()] == [tape.call.name]


def test_what_a_folder_gives_back_changed_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tape = Tape(tmp_path)
    monkeypatch.setattr(places.shutil, "copyfile", lambda _source, target: target.write_bytes(b"something else"))
    (sent,) = push(tape.raws, Folder(tmp_path / "there", own=True))
    assert sent.problem is not None
    assert "gives back something else" in sent.problem
    assert tape.call.exists()


def test_what_is_still_written_is_sent_later(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    killed(tape.call)
    target = Folder(tmp_path / "there", own=True)
    assert list(push(tape.raws, target)) == []
    assert tape.call.exists()
    long_ago = time.time() - 3600
    os.utime(tape.call, (long_ago, long_ago))
    assert [each.name for each in push(tape.raws, target)] == [tape.call.name]
    assert not tape.call.exists()


def test_what_cannot_be_sent_stays(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    (tmp_path / "there").write_text("a file where the folder should be")
    (sent,) = push(tape.raws, Folder(tmp_path / "there"))
    assert sent.problem
    assert tape.call.exists()


def test_push_on_the_command_line(where: str, there: Place, server: Server, tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    env = environment(None) | KEYS
    more = ["--endpoint", f"http://127.0.0.1:{server.port}", "--key-env", "CCW_S3_KEY", "--secret-env", "CCW_S3_SECRET"]
    done = ran("recording", "push", str(tape.raws), where, *more, "--json", env=env)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"file": tape.call.name, "problem": None})
    assert names(there) == [tape.call.name, tape.call.name + CHECKSUM]
    again = ran("recording", "push", str(tape.raws), where, *more, env=env)
    assert (again.returncode, again.stdout) == (0, "")
    Tape(tmp_path)
    for wrong in (
        [where if "://" in where else "s3://calls", "--endpoint", "no url"],
        ["s3://calls", "--key-env", "CCW_NOBODYS"],
        ["s3://b ad"],
        ["https://calls"],
    ):
        refused = ran("recording", "push", str(tape.raws), *wrong, env=env)
        assert (refused.returncode, "Error: " in refused.stderr, "Traceback" in refused.stderr) == (2, True, False)
    refused = ran("recording", "push", str(tape.raws), str(tmp_path / "nowhere" / "x\x1b"), env=env)
    assert refused.returncode == 1
    assert "there is no folder" in refused.stdout
    assert "\x1b" not in refused.stdout
    assert tape.call.exists()
