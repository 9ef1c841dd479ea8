"""The service as users run it: a process of its own, spoken to over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self
from urllib.parse import urlencode, urlsplit

import jwt

from ccwhisper.certificates import self_signed
from ccwhisper.coaching.policy import EVERY_QUEUE, MONITOR, ROLE_BARGE, ROLE_WHISPER, VIEW

PROGRAM: Final = (sys.executable, "-m", "ccwhisper")
"""The `ccwhisper` command."""


AGENTS: Final = ("1001", "1002", "1003", "1004")
"""The agents of `freeswitch-conf/`."""


class ServiceNode(Protocol):
    """What the service and its users must know of a switch. A `PrivateNode` is one."""

    host: str
    esl_port: int
    esl_password: str
    domain: str
    version: str

    def api(self, command: str) -> str:
        """The answer to one `api` command."""


class ServiceError(RuntimeError):
    """The service did not start; the message ends with what it printed."""


class Refused(RuntimeError):
    """The service refused a request; `code` is its stable code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code


class Api:
    """One person's view of the API, over one kept connection. Not for several threads."""

    def __init__(self, url: str, token: str, ca: Path | None = None) -> None:
        """`ca`: whom to trust, where it is https."""
        parts = urlsplit(url)
        where = (parts.hostname or "", parts.port or 80)
        self._connect: Callable[[], http.client.HTTPConnection] = partial(
            http.client.HTTPConnection, *where, timeout=40
        )
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=ca)
            self._connect = partial(http.client.HTTPSConnection, *where, timeout=40, context=context)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, **query: Any) -> Any:
        """A request to /api/v1; the decoded answer. Raises Refused, or OSError when nobody answers."""
        address = f"/api/v1{path}" + (f"?{urlencode(query)}" if query else "")
        content = None if body is None else json.dumps(body)
        for last in (False, True):
            connection = self._connection or self._connect()
            self._connection = connection
            try:
                connection.request(method, address, content, self._headers)
                response = connection.getresponse()
                text = response.read()
                break
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                # The server closed a connection that lay idle; a second time it is a refusal.
                self.close()
                if last:
                    raise
            except BaseException:
                self.close()
                raise
        answer = json.loads(text) if text else None
        if response.status >= 400:
            error = (answer or {}).get("error", {})
            raise Refused(response.status, error.get("code", ""), error.get("message", ""))
        return answer

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class ServiceProcess:
    """`ccwhisper serve` for one node, on a free port, with these agents: directory users of the node's domain.

    The state directory lives as long as this object, so `kill` and `start` is a crash and a restart of one
    installation. `program` is what is run with the arguments of `serve`.
    """

    def __init__(
        self,
        node: ServiceNode,
        extra: str = "",
        agents: Iterable[str] = AGENTS,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        port = getattr(node, "browsers_ws_port", None)  # the simulator has none: there is no audio in it
        browsers = getattr(node, "browsers", None) or (f"{node.host}:{port}" if port else None)
        more = [f'browsers = "{browsers}"'] if browsers else []
        self._node = node
        self._program = tuple(program)
        self._directory = tempfile.TemporaryDirectory(prefix="ccwhisper-service-", ignore_cleanup_errors=True)
        self.directory = Path(self._directory.name)
        self.secret = secrets.token_hex(32)
        self.url = ""
        self._ca: Path | None = None
        self.process: subprocess.Popen[str] | None = None
        self.output = self.directory / "output"
        lines = [
            "[service]",
            'listen = "127.0.0.1:0"',
            "[[node]]",
            'name = "fs1"',
            f'host = "{node.host}"',
            f"port = {node.esl_port}",
            'password_env = "CCW_ESL_PASSWORD"',
            *more,
        ]
        for agent in agents:
            lines += [
                f"[agent.{agent}]",
                f'name = "Agent {agent}"',
                f'users = ["{agent}@{node.domain}"]',
                'queues = ["support@default"]',
            ]
        self.config = self.directory / "ccwhisper.toml"
        self.config.write_text("\n".join(lines) + "\n" + extra)

    def start(self, timeout: float = 20.0) -> Self:
        """Start it, and wait until it answers and the switch is read. Raises ServiceError."""
        environment = {
            **os.environ,
            "CCWHISPER_JWT_SECRET": self.secret,
            "CCW_ESL_PASSWORD": self._node.esl_password,
            "PYTHONUNBUFFERED": "1",
        }
        with self.output.open("a") as output:
            self.process = subprocess.Popen(
                [*self._program, "--json", "serve", "--config", str(self.config)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None  # noqa: S101 - it is a pipe
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise ServiceError(f"the service ended with status {self.process.returncode}:\n{self.output.read_text()}")
        self.url = json.loads(line)["url"]
        deadline = time.monotonic() + timeout
        api = self.api("waiting")
        while not self._ready(api):
            if time.monotonic() > deadline:
                raise ServiceError(f"the service did not reach the switch:\n{self.output.read_text()}")
            time.sleep(0.02)
        api.close()
        return self

    @staticmethod
    def _ready(api: Api) -> bool:
        return bool(api.ask("GET", "/health")["status"] == "ok")

    def token(self, sub: str, **claims: Any) -> str:
        """A token for one hour; a coach with every right unless claims say otherwise."""
        whole = {
            "sub": sub,
            "name": sub.title(),
            "exp": int(time.time()) + 3600,
            "permissions": [VIEW, MONITOR],
            "roles": [ROLE_WHISPER, ROLE_BARGE],
            "queues": [EVERY_QUEUE],
            **claims,
        }
        return jwt.encode(whole, self.secret, "HS256")

    def api(self, sub: str, **claims: Any) -> Api:
        """The API as this person."""
        return Api(self.url, self.token(sub, **claims), self._ca)

    def secure(self) -> None:
        """Answer https from the next start on, with a certificate of its own making."""
        self._ca, key = self.directory / "certificate.pem", self.directory / "key.pem"
        for path, content in zip((self._ca, key), self_signed(), strict=True):
            path.write_bytes(content)
        files = f'certificate = "{self._ca}"\nkey = "{key}"\n'
        self.config.write_text(self.config.read_text().replace("[service]\n", f"[service]\n{files}", 1))

    def keep_address(self) -> None:
        """Start at the address that it has now, from now on: pages that are open find it again."""
        where = urlsplit(self.url).netloc
        self.config.write_text(self.config.read_text().replace('listen = "127.0.0.1:0"', f'listen = "{where}"'))

    def kill(self) -> None:
        """SIGKILL, as a crash."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, then insist."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._directory.cleanup()
