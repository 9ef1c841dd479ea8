"""Recordings whose raw tracks or files are elsewhere: in a folder, or in a real S3-compatible store on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccwhisper.recording import places
from ccwhisper.recording.job import Job
from ccwhisper.recording.places import CHECKSUM, Bucket, Folder, Place, PlaceError, place
from ccwhisper.recording.process import Processes
from ccwhisper.recording.push import push
from ccwhisper.recording.result import decoded, load
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
    for ask in (lambda: list(gone.files()), lambda: gone.path("a"), lambda: gone.keep("a", file(tmp_path, b"1"))):
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
    refused = ran("recording", "push", str(tape.raws), str(tmp_path / "nowhere" / "x\x1b"), env=env)
    assert refused.returncode == 1
    assert "there is no folder" in refused.stdout
    assert "\x1b" not in refused.stdout
    assert tape.call.exists()
