"""`ccwhisper prove` where it cannot begin: it says why, and how it ends can be told by a script."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest

from ccwhisper.proof.service import PROGRAM

pytestmark = pytest.mark.e2e

NODE = """
[[node]]
name = "fs1"
port = {port}
password_env = "ESL"
"""
PROVE = """
[prove]
domain = "127.0.0.1"
phones = "127.0.0.1:{port}"
trunk = "127.0.0.1:{port}"
number = "5000"
caller = {{ user = "+4930123" }}
agent = {{ user = "1099", password_env = "AGENT" }}
coach = {{ user = "9099", password_env = "COACH" }}
"""


def prove(tmp_path: Path, text: str, **secrets: str) -> subprocess.CompletedProcess[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = tmp_path / "ccwhisper.toml"
    config.write_text(text.format(port=port))
    command = [*PROGRAM, "prove", "--config", str(config), "--html", str(tmp_path / "proof.html")]
    done = subprocess.run(
        command, env={**os.environ, **secrets}, capture_output=True, text=True, check=False, timeout=60
    )
    assert not (tmp_path / "proof.html").exists()
    assert "Traceback" not in done.stderr
    return done


def test_without_its_section(tmp_path: Path) -> None:
    done = prove(tmp_path, NODE, ESL="e" * 16)
    assert done.returncode == 1
    assert "[key_missing]" in done.stderr


def test_without_a_password(tmp_path: Path) -> None:
    done = prove(tmp_path, NODE + PROVE, ESL="e" * 16, AGENT="agents-own-secret")
    assert done.returncode == 1
    assert "the environment has no COACH" in done.stderr
    assert "agents-own-secret" not in done.stdout + done.stderr


def test_without_a_switch(tmp_path: Path) -> None:
    done = prove(tmp_path, NODE + PROVE, ESL="e" * 16, AGENT="a", COACH="c")
    assert done.returncode == 6, done.stderr
    assert "refused" in done.stderr
