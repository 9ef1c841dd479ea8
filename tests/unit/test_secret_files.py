"""A secret of the installation's: made once, for one reader, and whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ccwhisper.secret_files import secret_in

pytestmark = pytest.mark.unit


def modes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()}


def test_it_is_made_once(tmp_path: Path) -> None:
    assert secret_in(tmp_path / "secret", lambda: b"first") == b"first"
    assert secret_in(tmp_path / "secret", lambda: b"second") == b"first"
    assert secret_in(tmp_path / "other", lambda: "text\n") == b"text\n"
    assert modes(tmp_path) == {"secret": 0o600, "other": 0o600}


def test_a_disk_that_is_full_leaves_no_secret_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            secret_in(tmp_path / "secret", lambda: b"lost")
    assert secret_in(tmp_path / "secret", lambda: b"made") == b"made"
    assert modes(tmp_path) == {"secret": 0o600}


def test_one_that_was_left_empty_is_none(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch(0o644)
    assert secret_in(path, lambda: b"made") == secret_in(path, lambda: b"again") == b"made"
    assert modes(tmp_path) == {"secret": 0o600}
