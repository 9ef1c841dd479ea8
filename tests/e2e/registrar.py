"""A switch that only speaks SIP over WebSocket, and open pages that talk with it through the service."""

from __future__ import annotations

import http.client
import json
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import simple_websocket
from gevent.pywsgi import WSGIServer

from ccwhisper.coaching import events as ev
from ccwhisper.web.browser_phones import PATH, BrowserSettings
from ccwhisper.web.sip import Message
from ccwhisper.web.websocket import converse
from tests.e2e.fake_switch import NODE
from tests.e2e.service import PATIENCE, Client, Service, token
from tests.unit.test_sip import message

SIGNED_BY = b"what signs resume keys, 32 bytes."


class Registrar:
    """A switch's WebSocket: accepts registrations, keeps what it is told, and says what a test wants."""

    def __init__(self) -> None:
        self.heard: queue.Queue[str] = queue.Queue()
        self.open: list[Any] = []
        self.server = WSGIServer(("127.0.0.1", 0), self._answer, log=None)
        self.server.start()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        return converse(environ, start_response, self._serve, "sip", 65536, 30)

    def _serve(self, ws: Any) -> None:
        self.open.append(ws)
        with suppress(simple_websocket.ConnectionClosed, OSError):
            while True:
                text = ws.receive()
                self.heard.put(text)
                asked = Message.parse(text)
                if asked.method == "REGISTER":
                    same = {name.title(): asked.one(name) for name in ("via", "from", "to", "call-id", "cseq")}
                    ws.send(message("SIP/2.0 200 OK", same))
        self.open.remove(ws)

    def say(self, text: str) -> None:
        for ws in self.open:
            ws.send(text)


@contextmanager
def behind(tls: tuple[Path, Path] | None = None) -> Iterator[tuple[Registrar, Service]]:
    """A service in front of such a switch."""
    found: list[Registrar] = []

    def settings() -> BrowserSettings:
        found.append(Registrar())  # in the service's thread, on its hub
        return BrowserSettings(
            {"fs1": ("127.0.0.1", found[0].server.server_port)}, [{"urls": ["stun:stun.example.org"]}], SIGNED_BY
        )

    service = Service(browsers=settings, tls=tls).start()
    yield found[0], service
    service.run(found[0].server.stop)
    service.stop()


class Page:
    """An open page."""

    def __init__(self, service: Service, bearer: str, key: str = "") -> None:
        offered = ["ccwhisper.phone", f"bearer.{bearer}", *([f"resume.{key}"] if key else [])]
        self.ws = simple_websocket.Client(f"ws://127.0.0.1:{service.port}{PATH}", subprotocols=offered)
        self.device = ""
        self.resumed = False
        self.key = ""

    def receive(self) -> str:
        """The next message but resume keys."""
        while True:
            text = self.ws.receive(timeout=PATIENCE)
            assert isinstance(text, str)
            if not text.startswith('{"resume"'):
                return text
            self.key = json.loads(text)["resume"]

    def ready(self) -> Page:
        """Registered."""
        told = json.loads(self.receive())
        self.device, self.resumed = told["device"], told["resumed"]
        assert json.loads(self.receive()) == {"registered": ["fs1"]}
        return self

    def closed(self) -> int:
        """The code that it was closed with."""
        try:
            while self.ws.receive(timeout=PATIENCE) is not None:
                pass
        except simple_websocket.ConnectionClosed as error:
            self.ws.thread.join(PATIENCE)
            return int(error.reason)
        raise AssertionError("it stays open")

    def close(self) -> None:
        """Go."""
        self.ws.close()
        self.ws.thread.join(PATIENCE)


def heard(registrar: Registrar, method: str) -> Message:
    """The next request of this method that the switch hears."""
    while True:
        found = Message.parse(registrar.heard.get(timeout=PATIENCE))
        if found.method == method:
            return found


def upgrade(service: Service, *protocols: str, **headers: str) -> int:
    """How a request for an upgrade is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
    asked = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": ", ".join(protocols),
        **headers,
    }
    try:
        connection.request("GET", PATH, headers=asked)
        return connection.getresponse().status
    finally:
        connection.close()


def asked(service: Service, bearer: str, **headers: str) -> int:
    """The same, with a token."""
    return upgrade(service, "ccwhisper.phone", f"bearer.{bearer}", **headers)


def invite(page: Page, session: str) -> str:
    user = page.device.partition("@")[0]
    return message(
        f"INVITE sip:{user}@{user}.invalid;transport=ws SIP/2.0",
        {
            "Via": "SIP/2.0/WS 127.0.0.1;branch=z9hG4bK1",
            "From": "<sip:1001@127.0.0.1>;tag=switch",
            "To": f"<sip:{page.device}>",
            "Call-ID": "call-1",
            "CSeq": "7 INVITE",
            "Contact": "<sip:mod_sofia@127.0.0.1:5066;transport=ws>",
            "X-CCW-Session": session,
        },
    )


def bye(page: Page) -> str:
    user = page.device.partition("@")[0]
    return message(
        f"BYE sip:{user}@{user}.invalid;transport=ws SIP/2.0",
        {
            "Via": "SIP/2.0/WS 127.0.0.1;branch=z9hG4bK2",
            "From": "<sip:1001@127.0.0.1>;tag=switch",
            "To": f"<sip:{page.device}>;tag=page",
            "Call-ID": "call-1",
            "CSeq": "8 BYE",
        },
    )


def answer(page: Page, cseq: str, via: str) -> str:
    user = page.device.partition("@")[0]
    return message(
        "SIP/2.0 200 OK",
        {
            "Via": via,
            "From": "<sip:1001@127.0.0.1>;tag=switch",
            "To": f"<sip:{page.device}>;tag=page",
            "Call-ID": "call-1",
            "CSeq": cseq,
            "Contact": f"<sip:{user}@{user}.invalid;transport=ws>",
        },
    )


def coaching(service: Service, registrar: Registrar, page: Page, answered: bool = False) -> str:
    """A session on this page, ringing or answered."""
    api = Client(service, token())
    service.switch.ringing.add(page.device)
    call = service.call()
    session = str(api.post("/sessions", {"call": call, "device": page.device}).body["id"])
    registrar.say(invite(page, session))
    asked = Message.parse(page.receive())
    if answered:
        page.ws.send(answer(page, "7 INVITE", asked.one("via")))
        leg = service.run(lambda: service.engine.state.sessions[session].leg)
        service.run(lambda: service.switch.say(ev.Answered(NODE, leg), ev.Parked(NODE, leg, ours=True)))
        api.get(f"/sessions/{session}?wait=listening&timeout={PATIENCE:g}")
    return session
