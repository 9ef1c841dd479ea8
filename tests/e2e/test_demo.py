"""What the demo says where it cannot run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.e2e


def test_a_switch_that_is_not_there() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ccwhisper", "demo"],
        env={**os.environ, "FREESWITCH_BIN": "/nowhere/freeswitch"},
        capture_output=True,
        check=False,
        text=True,
        timeout=20,
    )
    assert done.returncode == 6
    assert done.stdout == ""
    assert done.stderr == "FREESWITCH_BIN=/nowhere/freeswitch is not a program.\n"
