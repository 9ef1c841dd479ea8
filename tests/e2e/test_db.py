"""`ccwhisper db`, and what `serve` makes of the database that it finds."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from . import postgres
from .service import PATIENCE, SECRET
from .test_cli import COMMAND, environment, ran

pytestmark = pytest.mark.e2e

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A configuration with this in its [store]."""

    def write(store: str) -> Path:
        path = tmp_path / "ccwhisper.toml"
        path.write_text(
            f'[service]\nlisten = "127.0.0.1:0"\n[store]\n{store}\n'
            '[[node]]\nname = "fs1"\nport = 1\npassword_env = "ESL"\n'
        )
        return path

    return write


def env() -> dict[str, str]:
    return {**environment(None), "CCWHISPER_JWT_SECRET": SECRET, "ESL": "only for this test"}


def db(command: str, path: Path) -> tuple[int, str]:
    """The exit code, and the revision or the code of the error."""
    done = ran("db", command, "--config", str(path), "--json", env=env())
    told = json.loads(done.stdout or done.stderr)
    return done.returncode, str(told["revision"] if done.returncode == 0 else told["error"]["code"])


@contextlib.contextmanager
def serving(path: Path) -> Iterator[dict[str, Any]]:
    """What a service says of its store."""
    arguments = [*COMMAND, "serve", "--json", "--config", str(path)]
    with subprocess.Popen(
        arguments, env=env(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            url = json.loads(process.stdout.readline())["url"]
            with urllib.request.urlopen(f"{url}/api/v1/health", timeout=PATIENCE) as response:
                yield json.load(response)["store"]
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0


def refused(path: Path) -> str:
    done = ran("serve", "--config", str(path), "--json", env=env())
    assert done.returncode == 1
    return str(json.loads(done.stderr.splitlines()[-1])["error"]["code"])


def test_the_file_in_the_state_directory_is_made_when_it_is_new(write: Write, tmp_path: Path) -> None:
    path = write("")
    assert db("check", path) == (1, "schema_missing")
    with serving(path) as store:
        assert store == {"status": "ok", "waiting": 0, "lost": 0}
    assert db("check", path) == (0, "0003")
    with contextlib.closing(sqlite3.connect(tmp_path / "var/ccwhisper.db", isolation_level=None)) as database:
        database.execute("UPDATE alembic_version SET version_num = 'x'")
    assert db("check", path) == (1, "schema_unknown")
    assert db("upgrade", path) == (1, "schema_unknown")
    assert refused(path) == "schema_unknown"


def test_any_other_file_is_the_administrator_s_to_make(write: Write, tmp_path: Path) -> None:
    path = write('url = "sqlite:///data%20base.db"')
    assert refused(path) == "schema_missing"
    assert not (tmp_path / "data base.db").exists()
    assert db("upgrade", path) == (0, "0003")
    assert (tmp_path / "data base.db").exists()
    with serving(path) as store:
        assert store["status"] == "ok"
    assert not (tmp_path / "var/ccwhisper.db").exists()


def test_a_file_that_is_no_database_is_refused(write: Write, tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("rubbish " * 1000)
    path = write(f'url = "sqlite:///{tmp_path}/x.db"')
    assert db("upgrade", path) == (1, "database_unusable")
    assert refused(path) == "database_unusable"


def test_a_server_that_is_away_is_waited_for(write: Write, tmp_path: Path) -> None:
    path = write(f'url = "postgresql://me@/x?host={tmp_path}"')
    assert db("check", path) == (6, "database_unreachable")
    assert db("upgrade", path) == (6, "database_unreachable")
    with serving(path) as store:
        assert store["lost"] == 0


def test_a_server(write: Write, server: postgres.Server) -> None:
    path = write(f'url = "{server.database()}"')
    assert refused(path) == "schema_missing"
    assert db("upgrade", path) == (0, "0003")
    with serving(path) as store:
        assert store["status"] == "ok"
