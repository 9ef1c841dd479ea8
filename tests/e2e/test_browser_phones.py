"""The relay between coaches' browsers and the switch, with a switch that only speaks SIP over WebSocket."""

from __future__ import annotations

import http.client
import json
import queue
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import simple_websocket
from gevent.pywsgi import WSGIServer

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import BROWSERS, Actor
from ccwhisper.coaching.policy import MONITOR, VIEW
from ccwhisper.web import browser_phones
from ccwhisper.web.browser_phones import EXPIRED, MALFORMED, MAX_PAGES, PATH, BrowserSettings
from ccwhisper.web.sip import Message
from ccwhisper.web.websocket import converse
from tests.e2e.fake_switch import NODE
from tests.e2e.service import PATIENCE, Client, Service, token
from tests.unit.test_sip import message

pytestmark = pytest.mark.e2e


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


@pytest.fixture
def registrar_and_service() -> Iterator[tuple[Registrar, Service]]:
    found: list[Registrar] = []

    def settings() -> BrowserSettings:
        found.append(Registrar())  # in the service's thread, on its hub
        return BrowserSettings(
            {"fs1": ("127.0.0.1", found[0].server.server_port)}, [{"urls": ["stun:stun.example.org"]}]
        )

    service = Service(browsers=settings).start()
    yield found[0], service
    service.run(found[0].server.stop)
    service.stop()


@pytest.fixture
def service(registrar_and_service: tuple[Registrar, Service]) -> Service:
    return registrar_and_service[1]


@pytest.fixture
def registrar(registrar_and_service: tuple[Registrar, Service]) -> Registrar:
    return registrar_and_service[0]


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


def test_an_open_page_is_registered_under_a_random_address(service: Service, registrar: Registrar) -> None:
    pages = [Page(service, token()) for _ in range(2)]
    told = [json.loads(page.receive()) for page in pages]
    assert [each["ice_servers"] for each in told] == [[{"urls": ["stun:stun.example.org"]}]] * 2
    assert len({each["device"] for each in told}) == 2
    asked = {heard(registrar, "REGISTER").one("to") for _ in pages}
    assert asked == {f"<sip:{each['device']}>" for each in told}
    for page in pages:
        page.close()


def test_who_may_not_have_one(service: Service, registrar: Registrar) -> None:
    assert asked(service, token(exp=int(time.time()) - 60)) == 401
    assert asked(service, token(secret="another secret, which is long enough too")) == 401
    assert asked(service, "nonsense") == 401
    assert upgrade(service, "ccwhisper.phone") == 401
    assert upgrade(service, f"bearer.{token()}") == 401
    assert asked(service, token(permissions=[])) == 403
    assert asked(service, token(), Origin="https://evil.example.org") == 403
    assert asked(service, token(), Origin="null") == 403
    assert registrar.heard.empty()
    assert registrar.open == []


def test_one_person_has_only_so_many(service: Service) -> None:
    pages = [Page(service, token()).ready() for _ in range(MAX_PAGES)]
    assert asked(service, token()) == 403
    pages.append(Page(service, token(sub="another")).ready())
    for page in pages:
        page.close()


def test_it_ends_with_the_token(service: Service, registrar: Registrar) -> None:
    page = Page(service, token(exp=int(time.time()) + 2)).ready()
    assert page.closed() == EXPIRED
    assert heard(registrar, "REGISTER").one("expires") == "120"
    assert heard(registrar, "REGISTER").one("expires") == "0"


def test_a_customer_whose_call_was_taken_over_is_not_cut_off(service: Service, registrar: Registrar) -> None:
    call = service.call()
    until = int(time.time()) + 3
    page = Page(service, token(exp=until)).ready()
    api = Client(service, token())
    service.switch.ringing.add(page.device)
    session = api.post("/sessions", {"call": call, "device": page.device}).body["id"]
    registrar.say(invite(page, session))
    page.ws.send(answer(page, "7 INVITE", Message.parse(page.receive()).one("via")))
    leg = service.run(lambda: service.engine.state.sessions[session].leg)
    service.run(lambda: service.switch.say(ev.Answered(NODE, leg), ev.Parked(NODE, leg, ours=True)))
    api.get(f"/sessions/{session}?wait=listening&timeout={PATIENCE:g}")
    assert api.post(f"/sessions/{session}/take-over").status == 200
    service.until(lambda engine: session not in engine.state.sessions)
    while text := page.ws.receive(timeout=max(0.0, until - time.time()) + 2):
        assert text.startswith('{"resume"')  # neither closed nor told anything else
    registrar.say(bye(page))
    page.ws.send(answer(page, "8 BYE", Message.parse(page.receive()).one("via")))
    assert page.closed() == EXPIRED


@pytest.mark.parametrize("method", ["INVITE", "REGISTER", "MESSAGE"])
def test_a_page_that_wants_to_call_is_cut_off(service: Service, registrar: Registrar, method: str) -> None:
    page = Page(service, token()).ready()
    user = page.device.partition("@")[0]
    heard(registrar, "REGISTER")
    page.ws.send(
        message(
            f"{method} sip:1001@ccwhisper.local SIP/2.0",
            {
                "Via": f"SIP/2.0/WS {user}.invalid;branch=z9hG4bK1",
                "From": f"<sip:{page.device}>;tag=1",
                "To": "<sip:1001@ccwhisper.local>",
                "Call-ID": "mine",
                "CSeq": f"1 {method}",
                "Contact": f"<sip:{user}@{user}.invalid;transport=ws>",
            },
        )
    )
    assert page.closed() == MALFORMED
    last = Message.parse(registrar.heard.get(timeout=PATIENCE))
    assert (last.method, last.one("expires")) == ("REGISTER", "0")  # ours, and the end of it


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


def test_a_page_is_rung_for_its_own_session_only(service: Service, registrar: Registrar) -> None:
    call = service.call()
    page = Page(service, token()).ready()
    api = Client(service, token())
    service.switch.ringing.add("9001@ccwhisper.local")
    other = api.post("/sessions", {"call": call, "device": "9001@ccwhisper.local"}).body["id"]
    registrar.say(invite(page, other))
    while not (refusal := Message.parse(registrar.heard.get(timeout=PATIENCE))).status:
        pass
    assert refusal.status == 403
    page.close()


def test_a_page_that_goes_ends_its_session(
    service: Service, registrar: Registrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser_phones, "GRACE_SECONDS", 1e6)  # at once, and not because it has been away for a while
    call = service.call()
    page = Page(service, token()).ready()
    api = Client(service, token())
    service.switch.ringing.add(page.device)
    session = api.post("/sessions", {"call": call, "device": page.device}).body["id"]
    registrar.say(invite(page, session))
    assert page.receive() == invite(page, session)
    page.close()
    while not (answer := Message.parse(registrar.heard.get(timeout=PATIENCE))).status:
        pass
    assert answer.status == 480
    assert api.get(f"/sessions/{session}?wait=ended&timeout={PATIENCE:g}").body["reason"] == "coach_left"


def test_a_page_is_a_device_of_its_own_coach_only(service: Service) -> None:
    call = service.call()
    page = Page(service, token()).ready()
    stranger = Client(service, token(sub="another")).post("/sessions", {"call": call, "device": page.device})
    assert (stranger.status, stranger.code) == (403, "device_not_yours")
    by_token = Client(service, token(sub="another", devices=[page.device])).get("/me")
    assert by_token.status == 401
    assert Client(service, token()).get("/me").body["browser_phone"] is True
    page.close()


def test_where_no_switch_has_a_profile_for_it_there_is_nothing() -> None:
    service = Service().start()
    try:
        assert asked(service, token()) == 404
        assert Client(service, token()).get("/me").body["browser_phone"] is False
    finally:
        service.stop()


def test_a_session_whose_page_is_gone_and_unknown_is_ended(service: Service) -> None:
    """As after a restart: the state is read from the switch, the page has not come back."""
    leg = service.call()
    session = str(uuid.uuid4())
    coach = Actor(
        "coach-1",
        "Grace",
        frozenset({VIEW, MONITOR}),
        queues=frozenset({"support@default"}),
        devices=(f"{'a' * 32}@{BROWSERS}",),
    )
    service.run(
        lambda: service.engine.ask(
            cmd.Start(coach, session, str(uuid.uuid4()), time.time(), call=leg, device=coach.devices[0])
        )
    )
    service.until(lambda engine: session not in engine.state.sessions)
