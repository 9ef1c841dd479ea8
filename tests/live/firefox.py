"""A stock Firefox without a window, driven through Marionette, the protocol that is built into it
(https://firefox-source-docs.mozilla.org/testing/marionette/Protocol.html): Playwright drives only a Firefox of its own.

Its one microphone is fake and hears a tone; every page may use it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from ccwhisper.proof.stage import wait_until

PATIENCE: Final = 60

HERTZ: Final = 800
"""What the microphone hears. It comes out at half of what is asked for (Firefox 153)."""

_PREFERENCES: Final = {
    "media.navigator.streams.fake": True,
    "media.navigator.audio.fake_frequency": 2 * HERTZ,
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "media.autoplay.blocking_policy": 0,
    # A page that was given a microphone shows its addresses to whom it calls. One that is fake was never given.
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "media.peerconnection.ice.loopback": True,
    # A browser that keeps to itself: no updates, no look-ups.
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#",
    "toolkit.telemetry.enabled": False,
}


def firefox() -> str | None:
    """Debian's, or the one that FIREFOX names."""
    return os.environ.get("FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")


class Firefox:
    """One window. Raises RuntimeError for what the browser refuses."""

    def __init__(self, port: int) -> None:
        self._socket = wait_until("Firefox listens", lambda: _connected(port), PATIENCE)
        self._count = 0
        self._read()  # its greeting
        self.ask("WebDriver:NewSession", capabilities={"alwaysMatch": {}})

    def ask(self, command: str, **parameters: Any) -> Any:
        """One command of Marionette; what it answers."""
        self._count += 1
        message = json.dumps([0, self._count, command, parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._read()
        if error:
            raise RuntimeError(f"{command}: {error['message']}")
        return result

    def _read(self) -> Any:
        size = b""
        while not size.endswith(b":"):
            size += self._receive(1)
        return json.loads(self._receive(int(size[:-1])))

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise RuntimeError("Firefox has gone")
            data += part
        return data

    def goto(self, url: str) -> None:
        """Open a page."""
        self.ask("WebDriver:Navigate", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that a script returns in the page."""
        return self.ask("WebDriver:ExecuteScript", script=script, args=list(arguments))["value"]

    def see(self, selector: str, text: str) -> None:
        """Wait until an element that can be seen has this text in it."""
        script = "return [...document.querySelectorAll(arguments[0])].some((e) => e.innerText.includes(arguments[1]))"
        wait_until(f"{selector} shows {text}", lambda: self.run(script, selector, text), PATIENCE)

    def until(self, condition: str) -> None:
        """Wait until this is so in the page."""
        wait_until(condition, lambda: self.run(f"return {condition}"), PATIENCE)

    def click(self, selector: str) -> None:
        """Click an element, when it is there and may be clicked."""
        self.until(f"document.querySelector({json.dumps(selector)})?.disabled === false")
        found = self.ask("WebDriver:FindElement", using="css selector", value=selector)["value"]
        self.ask("WebDriver:ElementClick", id=next(iter(found.values())))

    def key(self, key: str, *, down: bool = True, up: bool = True) -> None:
        """Press a key, or only one half of that."""
        kinds = ["keyDown"] * down + ["keyUp"] * up
        actions = [{"type": kind, "value": key} for kind in kinds]
        self.ask("WebDriver:PerformActions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])

    def close(self) -> None:
        """Let go of it."""
        self._socket.close()


def _connected(port: int) -> socket.socket | None:
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    except OSError:
        return None


@contextmanager
def launched(path: str) -> Iterator[Firefox]:
    """With a profile of its own, for as long as this lasts."""
    with tempfile.TemporaryDirectory(prefix="ccwhisper-firefox-", ignore_cleanup_errors=True) as folder:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        lines = {**_PREFERENCES, "marionette.port": port}.items()
        Path(folder, "user.js").write_text(
            "\n".join(f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in lines)
        )
        process = subprocess.Popen(
            [path, "--headless", "--marionette", "--no-remote", "--profile", folder],
            env={**os.environ, "HOME": folder},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            found = Firefox(port)
            yield found
            found.close()
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
