"""What the log says of coaches' browsers: who, and nothing by which he could be taken for another."""

from __future__ import annotations

import logging
import time

import pytest

from ccwhisper.web import browser_phones
from ccwhisper.web.browser_phones import MALFORMED
from tests.e2e.registrar import Page, Registrar, asked, coaching
from tests.e2e.service import PATIENCE, Service, token
from tests.e2e.test_browser_phones_lost import latest_key, lose

pytestmark = pytest.mark.e2e


@pytest.fixture
def service(registrar_and_service: tuple[Registrar, Service]) -> Service:
    return registrar_and_service[1]


def test_no_token_no_key_and_no_address(
    service: Service,
    registrar: Registrar,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of those that are good, and of those that are refused."""
    caplog.set_level(logging.DEBUG)
    bearer, expired = token(), token(exp=int(time.time()) - 60)
    page = Page(service, bearer).ready()
    coaching(service, registrar, page, answered=True)
    key = latest_key(page)
    with monkeypatch.context() as patient:
        patient.setattr(browser_phones, "ANSWER_SECONDS", PATIENCE)  # the page is there, however busy the machine
        thief = Page(service, bearer, key).ready()
    thief.ws.send("no message")
    assert thief.closed() == MALFORMED
    stranger = Page(service, token(sub="another"), key).ready()
    lose(page)
    again = Page(service, bearer, key).ready()
    assert asked(service, expired) == 401
    for each in (stranger, again):
        each.close()
    told = caplog.text + "".join(capfd.readouterr())
    assert "a page of coach-1 has been cut off" in told
    assert "a resume key of another is not a good one" in told
    pages = page, thief, stranger, again
    for secret in (bearer, expired, *(each.key for each in pages), *(each.device.partition("@")[0] for each in pages)):
        assert secret
        assert secret not in told
