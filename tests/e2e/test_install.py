"""`ccwhisper node`: the command as people run it. What it writes is looked at in `tests/unit/test_install.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.configuration import PASSWORD, everything, put

from .service import PATIENCE

pytestmark = pytest.mark.e2e


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return put(tmp_path / "conf")


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "ccwhisper", "node", *arguments],
        env={**os.environ, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip


def test_the_command(conf: Path) -> None:
    before = everything(conf)
    shown = command("install", str(conf), "--dry-run", CCW_ESL_PASSWORD=PASSWORD)
    assert shown.returncode == 0
    assert "+++ b/freeswitch.xml" in shown.stdout
    assert PASSWORD not in shown.stdout
    assert command("install", str(conf)).returncode == 130  # nobody to say yes
    assert everything(conf) == before
    written = command("install", str(conf), "--yes", "--json", CCW_ESL_PASSWORD=PASSWORD)
    answer = json.loads(written.stdout)
    assert answer["written"]
    assert Path(answer["backup"]).is_dir()
    again = json.loads(command("install", str(conf), "--yes", "--json", CCW_ESL_PASSWORD=PASSWORD).stdout)
    assert (again["changed"], again["written"]) == ([], False)
    assert command("uninstall", str(conf), "--yes").returncode == 0
    assert everything(conf) == before
    refused = command("uninstall", str(conf), "--yes", "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stderr)["error"]["code"] == "not_installed"
    assert command("install", str(conf), "--json").returncode == 2
