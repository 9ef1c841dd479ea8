"""The relay between coaches' browsers and the switch, with a switch that only speaks SIP over WebSocket."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import suppress

import pytest
import simple_websocket

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import BROWSERS, Actor
from ccwhisper.coaching.policy import MONITOR, VIEW
from ccwhisper.web import browser_phones
from ccwhisper.web.browser_phones import EXPIRED, MALFORMED, MAX_PAGES, REFUSED, BrowserSettings
from ccwhisper.web.limits import Limits
from ccwhisper.web.sip import Message
from tests.e2e.fake_switch import NODE
from tests.e2e.registrar import Page, Registrar, answer, asked, bye, coaching, heard, invite, upgrade
from tests.e2e.service import PATIENCE, Client, Service, token
from tests.unit.test_sip import message

pytestmark = pytest.mark.e2e


@pytest.fixture
def service(registrar_and_service: tuple[Registrar, Service]) -> Service:
    return registrar_and_service[1]


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


def test_a_key_opens_no_more_of_them(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """It might have taken the place of the page that it is for."""
    monkeypatch.setattr(browser_phones, "ANSWER_SECONDS", PATIENCE)  # which is there, however busy the machine
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
