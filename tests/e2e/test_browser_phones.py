"""The relay between coaches' browsers and the switch, with a switch that only speaks SIP over WebSocket."""

from __future__ import annotations

import http.client
import json
import queue
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import jwt
import pytest
import simple_websocket
from gevent.pywsgi import WSGIServer

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import BROWSERS, Actor
from ccwhisper.coaching.policy import MONITOR, VIEW
from ccwhisper.web import browser_phones
from ccwhisper.web.browser_phones import EXPIRED, MALFORMED, MAX_PAGES, PATH, REFUSED, BrowserSettings
from ccwhisper.web.limits import Limits
from ccwhisper.web.resume import ResumeKeys, kept_secret
from ccwhisper.web.sip import Message
from ccwhisper.web.upstream import Upstream
from ccwhisper.web.websocket import converse
from tests.e2e.fake_switch import NODE
from tests.e2e.service import PATIENCE, Client, Service, token
from tests.unit.test_sip import message

pytestmark = pytest.mark.e2e

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
            {"fs1": ("127.0.0.1", found[0].server.server_port)}, [{"urls": ["stun:stun.example.org"]}], SIGNED_BY
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


@pytest.mark.parametrize(
    "wrong",
    [
        {"Sec-WebSocket-Version": "12"},
        {"Connection": "close"},
        {"Upgrade": "h2c"},
        {"X-Anything": "a\x00b"},
    ],
)
@pytest.mark.filterwarnings("ignore")  # simple-websocket leaves its copy of the socket to the collector
def test_a_handshake_that_is_none(service: Service, capfd: pytest.CaptureFixture[str], wrong: dict[str, str]) -> None:
    assert asked(service, token(), **wrong) == 400
    assert "Traceback" not in capfd.readouterr().err


def test_one_person_has_only_so_many(service: Service) -> None:
    pages = [Page(service, token()).ready() for _ in range(MAX_PAGES)]
    assert asked(service, token()) == 403
    pages.append(Page(service, token(sub="another")).ready())
    for page in pages:
        page.close()


def test_a_key_opens_no_more_of_them(service: Service) -> None:
    """It might have taken the place of the page that it is for."""
    pages = [Page(service, token()).ready() for _ in range(MAX_PAGES)]
    more = [Page(service, token(), pages[0].key) for _ in range(3)]
    assert [each.closed() for each in more] == [REFUSED] * 3
    for page in pages:
        page.close()


def test_nobody_opens_them_without_end() -> None:
    """Each is two messages to every switch."""
    settings = BrowserSettings({"fs1": ("127.0.0.1", 1)})
    service = Service(browsers=lambda: settings, limits=Limits(rate=0.001, burst=3)).start()
    try:
        for _ in range(3):
            Page(service, token()).close()
        assert asked(service, token()) == 429
        assert asked(service, token(sub="another")) == 101
    finally:
        service.stop()


def test_a_page_that_floods_the_switch_is_cut_off(registrar: Registrar) -> None:
    settings = BrowserSettings({"fs1": ("127.0.0.1", registrar.server.server_port)})
    service = Service(browsers=lambda: settings, limits=Limits(rate=0.001, burst=40)).start()
    try:
        page = Page(service, token()).ready()
        coaching(service, registrar, page, answered=True)
        user = page.device.partition("@")[0]
        about = {"From": f"<sip:{page.device}>;tag=page", "To": "<sip:1001@127.0.0.1>;tag=switch", "Call-ID": "call-1"}
        for number in range(1, 101):
            via = f"SIP/2.0/WS {user}.invalid;branch=z9hG4bK{number}"
            text = {"Via": via, **about, "CSeq": f"{number} INVITE"}
            with suppress(simple_websocket.ConnectionClosed, OSError):
                page.ws.send(message("INVITE sip:mod_sofia@127.0.0.1:5066;transport=ws SIP/2.0", text))
        assert page.closed() == MALFORMED
        assert heard(registrar, "BYE").cseq == (40, "BYE"), "39 of them, after its answer"
    finally:
        service.stop()


def test_it_ends_with_the_token(service: Service, registrar: Registrar) -> None:
    page = Page(service, token(exp=int(time.time()) + 2)).ready()
    assert page.closed() == EXPIRED
    assert heard(registrar, "REGISTER").one("expires") == "120"
    assert heard(registrar, "REGISTER").one("expires") == "0"


def test_a_customer_whose_call_was_taken_over_is_not_cut_off(service: Service, registrar: Registrar) -> None:
    call = service.call()
    until = int(time.time()) + 8  # all of this has happened by then, on a slow machine, too
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
    again = api.post("/sessions", {"call": service.call("b"), "device": page.device})
    assert again.code == "device_not_yours", "an expired page is rung for nothing more"
    registrar.say(bye(page))
    page.ws.send(answer(page, "8 BYE", Message.parse(page.receive()).one("via")))
    assert page.closed() == EXPIRED


def test_a_call_that_is_over_keeps_nobody_here_beyond_his_token(service: Service, registrar: Registrar) -> None:
    """A page that does not answer the switch's BYE would talk for ever."""
    page = Page(service, token(exp=int(time.time()) + 8)).ready()
    session = coaching(service, registrar, page, answered=True)
    api = Client(service, token())
    assert api.delete(f"/sessions/{session}").status == 200
    service.until(lambda engine: session not in engine.state.sessions)
    registrar.say(bye(page))
    assert page.closed() == EXPIRED
    assert Message.parse(registrar.heard.get(timeout=PATIENCE)).method == "REGISTER"


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


# --- a page whose connection is lost ----------------------------------------------------------------------------------


def lose(page: Page) -> None:
    """Its connection is gone without a word, as when a tab crashes or a network is left."""
    page.ws.sock.shutdown(socket.SHUT_RDWR)
    page.ws.thread.join(PATIENCE)


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


def latest_key(page: Page) -> str:
    """With the call that is up in it."""
    while not (calls := jwt.decode(page.key, options={"verify_signature": False})["lines"]["fs1"]["calls"]):
        text = page.ws.receive(timeout=PATIENCE)
        assert text is not None
        assert text.startswith('{"resume"')
        page.key = json.loads(text)["resume"]
    assert [each["call"] for each in calls] == ["call-1"]
    return page.key


def test_a_page_that_comes_back_has_its_address_its_call_and_what_it_missed(
    service: Service, registrar: Registrar
) -> None:
    page = Page(service, token()).ready()
    session = coaching(service, registrar, page, answered=True)
    key = latest_key(page)
    lose(page)
    service.until(lambda engine: engine.state.sessions[session].away)
    registrar.say(bye(page))
    again = Page(service, token(), key)
    told = json.loads(again.receive())
    assert (told["device"], told["resumed"]) == (page.device, True)
    again.device = page.device
    assert json.loads(again.receive()) == {"registered": ["fs1"]}
    assert again.receive() == bye(page)
    service.until(lambda engine: not engine.state.sessions[session].away)
    again.close()


def test_a_page_that_does_not_come_back_is_gone(
    service: Service, registrar: Registrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Page(service, token()).ready()
    session = coaching(service, registrar, page, answered=True)
    key = latest_key(page)
    monkeypatch.setattr(browser_phones, "GRACE_SECONDS", 1.0)
    lose(page)
    service.until(lambda engine: session not in engine.state.sessions)
    assert heard(registrar, "BYE").one("call-id") == "call-1"
    late = Page(service, token(), key).ready()
    assert not late.resumed
    assert late.device != page.device
    late.close()


def test_a_page_that_says_nothing_any_more_is_heard_by_nobody(
    service: Service, registrar: Registrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a lid that is closed: its connection looks whole."""
    page = Page(service, token()).ready()
    session = coaching(service, registrar, page, answered=True)
    service.until(lambda engine: not engine.state.sessions[session].away)
    monkeypatch.setattr(page.ws.ws, "receive_data", lambda _data: None)  # it answers no ping
    service.until(lambda engine: engine.state.sessions[session].away)
    page.close()


@pytest.fixture
def another(registrar: Registrar, tmp_path: Path) -> Iterator[Callable[[bytes], Service]]:
    """A service in front of the same switch that knows nothing of the first, as one that has just been started."""
    started: list[Service] = []

    def start(secret: bytes) -> Service:
        settings = BrowserSettings({"fs1": ("127.0.0.1", registrar.server.server_port)}, secret=secret)
        started.append(Service(browsers=lambda: settings).start())
        return started[-1]

    yield start
    for each in started:
        each.stop()


def test_a_service_that_starts_next_goes_on_with_the_call(
    service: Service, registrar: Registrar, another: Callable[[bytes], Service]
) -> None:
    page = Page(service, token()).ready()
    coaching(service, registrar, page, answered=True)
    key = latest_key(page)
    next_one = another(SIGNED_BY)
    lose(page)
    again = Page(next_one, token(), key).ready()
    assert (again.resumed, again.device) == (True, page.device)
    again.ws.send(answer(page, "7 INVITE", "SIP/2.0/WS 127.0.0.1;branch=z9hG4bK1"))  # repeated: it has seen no ACK
    registrar.say(bye(page))
    assert again.receive() == bye(page)
    again.ws.send(answer(page, "8 BYE", Message.parse(bye(page)).one("via")))
    again.close()
    assert Message.parse(registrar.heard.get(timeout=PATIENCE)).method == "REGISTER"


def test_what_is_no_resume_key_resumes_nothing(
    service: Service, registrar: Registrar, another: Callable[[bytes], Service]
) -> None:
    page = Page(service, token()).ready()
    coaching(service, registrar, page, answered=True)
    key = latest_key(page)
    keys = ResumeKeys(SIGNED_BY)
    user = page.device.partition("@")[0]
    old = jwt.decode(key, SIGNED_BY, ["HS256"], audience="ccwhisper.phone") | {"exp": int(time.time()) - 1}
    head, claims, signature = key.split(".")
    aimed = jwt.decode(key, options={"verify_signature": False}) | {"sub": "another"}
    lose(page)
    tries = [
        (service, token(sub="another"), key),  # another person's
        (service, token(sub="another"), f"{head}.{jwt.encode(aimed, 'x' * 32).split('.')[1]}.{signature}"),  # altered
        (service, token(), f"{head}.{claims}.{signature[:-2]}"),
        (service, token(), jwt.encode(old, SIGNED_BY, "HS256")),  # expired
        (service, token(), ResumeKeys(b"x" * 32).make("coach-1", user, {})),  # of another installation
        (service, token(), token()),  # a token is no key
        (another(b"x" * 32), token(), key),
    ]
    for where, bearer, presented in tries:
        thief = Page(where, bearer, presented).ready()
        assert not thief.resumed
        assert thief.device != page.device
        thief.close()
    assert asked(service, key) == 401, "a key is no token"
    assert upgrade(service, "ccwhisper.phone", f"bearer.{token(exp=int(time.time()) - 60)}", f"resume.{key}") == 401
    assert upgrade(service, "ccwhisper.phone", f"resume.{key}") == 401
    assert keys.read(key, "coach-1") is not None
    mine = Page(service, token(), key).ready()
    assert mine.resumed, "and the page itself still can"
    mine.close()


def test_a_key_is_of_no_use_while_its_page_is_open(service: Service, registrar: Registrar) -> None:
    page = Page(service, token()).ready()
    coaching(service, registrar, page, answered=True)
    thief = Page(service, token(), latest_key(page)).ready()
    assert not thief.resumed
    assert thief.device != page.device
    registrar.say(bye(page))
    assert page.receive() == bye(page)
    thief.close()
    page.close()


def test_a_page_whose_old_connection_is_dead_and_does_not_know_takes_its_place(
    service: Service, registrar: Registrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a change of networks."""
    monkeypatch.setattr(browser_phones, "PING_SECONDS", 1e3)  # closed for the other's sake, and not by and by
    page = Page(service, token()).ready()
    coaching(service, registrar, page, answered=True)
    key = latest_key(page)
    monkeypatch.setattr(page.ws.ws, "receive_data", lambda _data: None)
    again = Page(service, token(), key).ready()
    assert again.resumed
    page.ws.thread.join(PATIENCE)
    assert not page.ws.connected
    registrar.say(bye(page))
    assert again.receive() == bye(page)
    again.close()


def test_a_page_that_went_for_good_is_not_taken_up_again(service: Service, registrar: Registrar) -> None:
    page = Page(service, token()).ready()
    coaching(service, registrar, page, answered=True)
    key = latest_key(page)
    page.close()
    heard(registrar, "BYE")
    again = Page(service, token(), key).ready()
    assert not again.resumed
    assert again.device != page.device
    again.close()


def test_the_secret_is_this_installations(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    secret = kept_secret(tmp_path)
    assert len(secret) >= 32
    assert kept_secret(tmp_path) == secret != kept_secret(tmp_path / "other")
    assert [file.stat().st_mode & 0o777 for file in tmp_path.iterdir() if file.is_file()] == [0o600]


def test_a_connection_to_the_switch_comes_back_from_its_port(service: Service, registrar: Registrar) -> None:
    """There the switch says what it says in a call that is up."""

    def ports() -> tuple[int, int, int]:
        first = Upstream("127.0.0.1", registrar.server.server_port)
        port = first.near
        first.drop()
        second = Upstream("127.0.0.1", registrar.server.server_port, port)
        third = Upstream("127.0.0.1", registrar.server.server_port, port)  # which somebody has: any other
        found = port, second.near, third.near
        second.close()
        third.close()
        return found

    before, after, other = service.run(ports)
    assert before == after != other
