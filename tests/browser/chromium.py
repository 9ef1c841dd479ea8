"""The one Chromium of a test run."""

from __future__ import annotations

import os
import shutil
import tempfile
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from ccwhisper.proof.stage import Stage

# A browser that keeps to itself: no updates, no look-ups.
_QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")


def chromium() -> str | None:
    """Debian's, or the one that CHROMIUM names."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


SPEAKER = "carla"
"""Whose tone the browser's one microphone hears."""


def _microphone(file: Path) -> tuple[str, ...]:
    """A microphone that hears a tone for ever, and that every page may use; a speaker that needs no click."""
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(48000)
        sound.writeframes(Stage.tone(SPEAKER).pcm(48000).astype("<i2").tobytes())
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={file}",
        "--autoplay-policy=no-user-gesture-required",
    )


@contextmanager
def launched(path: str) -> Iterator[Browser]:
    """Without a window."""
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium's own does not work for root
    with tempfile.TemporaryDirectory(prefix="ccwhisper-sound-") as folder, sync_playwright() as playwright:
        microphone = _microphone(Path(folder, "microphone.wav"))
        browser = playwright.chromium.launch(executable_path=path, args=[*_QUIET, *sandbox, *microphone])
        yield browser
        browser.close()
