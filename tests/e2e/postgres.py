"""A private PostgreSQL, on a Unix socket in a directory of its own, for as long as the tests run."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import psycopg

USER = "ccwhisper"
PATIENCE = 30.0


def programs() -> Path | None:
    """Where `initdb` and `postgres` are: on the PATH, or where Debian puts them; the newest."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    places = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    return max(places, key=lambda path: float(path.parent.name), default=None)


def obstacle() -> str | None:
    """Why there can be none here."""
    if programs() is None:
        return "there is no PostgreSQL on this machine: apt-get install postgresql"
    if os.geteuid() == 0 and _unprivileged() is None:
        return "PostgreSQL does not run as root, and there is no user postgres"
    return None


def _unprivileged() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return None


class Server:
    """Start, stop, start again."""

    def __init__(self) -> None:
        bin_directory, owner = programs(), _unprivileged() if os.geteuid() == 0 else None
        assert bin_directory is not None
        self._bin = bin_directory
        self._user: dict[str, int] = {"user": owner.pw_uid, "group": owner.pw_gid} if owner else {}
        # Not below pytest's: a Unix socket's path has room for 107 characters, and the owner must reach it.
        self._folder = tempfile.TemporaryDirectory(prefix="ccw-pg-")
        self.folder = Path(self._folder.name)
        if owner:
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        self._data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "-D", str(self._data), "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._bin / program), *arguments], capture_output=True, text=True, cwd=self.folder, check=False,
            **self._user,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Start, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self._data), "-k", str(self.folder), "-h", "", "-F"],
                stdout=log, stderr=log, cwd=self.folder, **self._user,
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                psycopg.connect(host=str(self.folder), user=USER, dbname="postgres").close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop at once; whoever is connected is cut off."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGQUIT)
            process.wait(PATIENCE)

    def close(self) -> None:
        """Stop, and leave nothing behind."""
        self.stop()
        self._folder.cleanup()

    def database(self) -> str:
        """The URL of a new, empty database."""
        name = f"ccw{uuid4().hex}"
        with psycopg.connect(host=str(self.folder), user=USER, dbname="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        return f"postgresql://{USER}@/{name}?host={self.folder}"
