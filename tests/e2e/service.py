"""The service as its clients meet it: a real port, in a thread with a hub of its own, over a fake switch."""

from __future__ import annotations

import gc
import http.client
import json
import re
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import gevent
import gevent.event
import jwt
from gevent.ssl import SSLContext
from jsonschema import Draft202012Validator

from ccwhisper.certificates import context
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching.model import Agent
from ccwhisper.coaching.policies import layered
from ccwhisper.coaching.policy import MONITOR, VIEW, PolicyPart, Rules
from ccwhisper.engine import Engine
from ccwhisper.keeper import Keeper
from ccwhisper.store.archive import Archive
from ccwhisper.store.database import Database
from ccwhisper.web.app import create_web, make_server
from ccwhisper.web.auth import Auth, Keys, SharedSecret
from ccwhisper.web.browser_phones import BrowserSettings
from ccwhisper.web.journal import Journal
from ccwhisper.web.limits import Limits

from .fake_switch import NODE, FakeSwitch, agent_leg, caller_leg
from .folder import Shelves

T = TypeVar("T")
SECRET = "a secret that is long enough for SHA-256"
PATIENCE = 20.0

RULES = layered(
    Rules(
        agents=MappingProxyType(
            {
                "1001": Agent("1001", "Ada", frozenset({"1001@ccwhisper.local"}), frozenset({"support@default"})),
                "1002": Agent("1002", "Ben", frozenset({"1002@ccwhisper.local"}), frozenset({"sales@default"})),
            }
        ),
        file=MappingProxyType({"support@default": PolicyPart(max_coaches=2)}),
        press_ttl=0.8,
        attach_timeout=0.2,
        ring_seconds=5,
    ),
    {},
)


def token(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    """A supervisor's token who may do everything in the queue support@default, unless said otherwise. A claim of None
    is left out."""
    usual = {
        "sub": "coach-1",
        "name": "Grace",
        "exp": int(time.time()) + 28_800,  # parameters of tests are made when the run begins
        "permissions": [VIEW, MONITOR],
        "roles": ["whisper", "barge"],
        "queues": ["support@default"],
        "devices": ["9001@ccwhisper.local", "9002@ccwhisper.local"],
    }
    merged = {key: value for key, value in {**usual, **claims}.items() if value is not None}
    return jwt.encode(merged, secret, algorithm)


class Service:
    """Start, use from any thread, stop."""

    def __init__(
        self,
        rules: Rules = RULES,
        keys: Keys | None = None,
        limits: Limits | None = None,
        origins: Sequence[str] = (),
        browsers: Callable[[], BrowserSettings] | None = None,
        tls: tuple[Path, Path] | None = None,
        **auth: Any,
    ) -> None:
        self._rules = rules
        self._tls = tls
        self._origins = origins
        self._browsers = browsers
        self._limits = limits or Limits(rate=10_000, burst=10_000)  # a test is faster than any person
        self._auth = Auth(keys or SharedSecret(SECRET), **{"algorithms": ("HS256",), **auth})
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Service:
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        return self

    def connection(self) -> http.client.HTTPConnection:
        """Of somebody who trusts its certificate, if it has one."""
        if self._tls is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        trusting = ssl.create_default_context(cafile=self._tls[0])
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=PATIENCE, context=trusting)

    def stop(self) -> None:
        self._loop.run_callback_threadsafe(self._stopped.set)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        self._loop = gevent.get_hub().loop
        self._stopped = gevent.event.Event()
        self.switch = FakeSwitch()
        self.audit: list[fx.Audit] = []
        folder = tempfile.TemporaryDirectory(prefix="ccwhisper-")
        self.folder = Path(folder.name)
        database = Database.sqlite(self.folder / "ccwhisper.db")
        database.upgrade()
        self.archive = Archive(database, self.folder, "an installation", pauses=(0.05, 0.05))
        self.archive.start()
        self.shelves = Shelves(database, self.folder)
        self.shelves.index.start()

        def keep(row: fx.Audit, at: float) -> None:
            self.audit.append(row)
            self.archive.record(row, at)

        self.engine = Engine(self._rules, self.switch, [NODE], keep)
        self.keeper = Keeper(self.engine, self.archive, pauses=(0.05, 0.05))
        self.keeper.start()
        self.engine.start()
        journal = Journal(self.engine)
        journal.start()
        browsers = self._browsers() if self._browsers else None
        web = create_web(
            self.engine,
            self._auth,
            journal,
            self.archive,
            self.keeper,
            self.shelves.shelf,
            self._limits,
            self._origins,
            browsers=browsers,
        )
        web.start()
        tls = context(*self._tls, SSLContext) if self._tls else None
        server = make_server(web.app, "127.0.0.1", 0, tls)
        server.start()
        self.sockets = web.sockets
        self.server = server
        self.port = server.address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        self._ready.set()
        self._stopped.wait()
        server.stop(timeout=0)
        web.stop()
        journal.stop()
        self.engine.stop()
        self.keeper.stop()
        self.shelves.index.stop()
        self.archive.stop()
        folder.cleanup()
        gc.collect()  # requests that were broken off have left circles with sockets, which need the loop to close
        gevent.get_hub().destroy(destroy_loop=True)

    def run(self, act: Callable[[], T]) -> T:
        """Run something in the service's own thread, where the engine lives."""
        result: list[T] = []
        errors: list[BaseException] = []
        over = threading.Event()

        def inside() -> None:
            try:
                result.append(act())
            except BaseException as error:
                errors.append(error)
            over.set()

        self._loop.run_callback_threadsafe(lambda: gevent.spawn(inside) and None)
        assert over.wait(PATIENCE)
        if errors:
            raise errors[0]
        return result[0]

    def until(self, condition: Callable[[Engine], bool]) -> None:
        """Wait for the engine's state."""
        assert self.run(lambda: self.engine.wait_for(lambda _: condition(self.engine), PATIENCE))

    def call(self, name: str = "a", user: str = "1001", queue: str | None = "support@default", **caller: str) -> str:
        """Bridge an agent with a caller; returns the id of the call."""
        one = agent_leg(f"{name}-agent", f"{user}@ccwhisper.local", f"{name}-caller", queue)
        other = caller_leg(f"{name}-caller", f"{name}-agent", **caller)
        before = self.run(lambda: set(self.engine.state.calls))
        self.run(lambda: self.switch.bridge(one, other))
        self.until(lambda engine: bool(set(engine.state.calls) - before))
        return (self.run(lambda: set(self.engine.state.calls)) - before).pop()


@dataclass
class Answer:
    """A response that has been compared with the OpenAPI document."""

    status: int
    headers: Mapping[str, str]
    raw: bytes
    body: Any = field(default=None)

    @property
    def code(self) -> str | None:
        """The code of an error."""
        return self.body["error"]["code"] if "error" in self.body else None


class Client:
    """An HTTP client that believes no answer which the OpenAPI document does not describe."""

    def __init__(self, service: Service, bearer: str | None) -> None:
        self._service = service
        self._bearer = bearer
        self._document: dict[str, Any] | None = None

    def get(self, path: str, **more: Any) -> Answer:
        return self.send("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> Answer:
        return self.send("POST", path, body, **more)

    def put(self, path: str, body: Any, **more: Any) -> Answer:
        return self.send("PUT", path, body, **more)

    def delete(self, path: str, **more: Any) -> Answer:
        return self.send("DELETE", path, **more)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        described: bool = True,
    ) -> Answer:
        """One request below /api/v1. `described=False` is for addresses and methods that the document does not have;
        their answers must be errors in the common form."""
        connection = self._service.connection()
        sent = {"Authorization": f"Bearer {self._bearer}"} if self._bearer else {}
        data = raw
        if body is not None:
            data, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        try:
            connection.request(method, f"/api/v1{path}", data, {**sent, **(headers or {})})
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        finally:
            connection.close()
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in answer.headers
        answer.body = json.loads(answer.raw)
        if path != "/openapi.json":
            self._compare(method, path, answer, described)
        return answer

    @property
    def document(self) -> dict[str, Any]:
        """The served document."""
        if self._document is None:
            self._document = self.get("/openapi.json").body
        return self._document

    def _compare(self, method: str, path: str, answer: Answer, described: bool) -> None:
        if not described:
            self._validate(answer.body, "#/components/schemas/ErrorAnswer")
            return
        bare = "/api/v1" + path.partition("?")[0]
        operation = next(
            methods[method.lower()]
            for template, methods in self.document["paths"].items()
            if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), bare) and method.lower() in methods
        )
        response = operation["responses"][str(answer.status)]
        self._validate(answer.body, response["content"]["application/json"]["schema"]["$ref"])
        for name, header in response.get("headers", {}).items():
            assert not header.get("required") or name in answer.headers

    def _validate(self, body: Any, reference: str) -> None:
        # The document lets answers gain fields; these tests do not let them gain any that it does not name.
        schemas = {
            name: {**schema, "additionalProperties": False} if schema.get("type") == "object" else schema
            for name, schema in self.document["components"]["schemas"].items()
        }
        Draft202012Validator({"$ref": reference, "components": {"schemas": schemas}}).validate(body)
