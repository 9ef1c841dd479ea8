"""The relay between coaches' browsers and the switch, when a page's connection is lost: who goes on, who does not."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import pytest

from ccwhisper.web import browser_phones
from ccwhisper.web.browser_phones import BrowserSettings
from ccwhisper.web.resume import ResumeKeys, kept_secret
from ccwhisper.web.sip import Message
from ccwhisper.web.upstream import Upstream
from tests.e2e.registrar import SIGNED_BY, Page, Registrar, answer, asked, bye, coaching, heard, upgrade
from tests.e2e.service import PATIENCE, Service, token

pytestmark = pytest.mark.e2e


@pytest.fixture
def service(registrar_and_service: tuple[Registrar, Service]) -> Service:
    return registrar_and_service[1]


def lose(page: Page) -> None:
    """Its connection is gone without a word, as when a tab crashes or a network is left."""
    page.ws.sock.shutdown(socket.SHUT_RDWR)
    page.ws.thread.join(PATIENCE)


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
