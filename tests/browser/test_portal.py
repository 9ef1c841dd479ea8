"""The demo's own page: one click, and one is somebody."""

from __future__ import annotations

from collections.abc import Callable
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page, expect

from ccwhisper.cli.demo.portal import Portal
from ccwhisper.cli.demo.simulated import people
from tests.browser.centre import Centre

pytestmark = pytest.mark.browser


def test_signing_in_as_anybody(centre: Centre, open_page: Callable[..., Page]) -> None:
    call = centre.call()
    somebody = people(centre.switch.domain)
    links = [
        (each, f"{centre.url}{each.path}#token={centre.service.token(each.name, **each.claims)}") for each in somebody
    ]
    with Portal(links) as portal:
        page = open_page("none")
        page.goto(portal.url)
        expect(page.get_by_text("simulated switch")).to_be_visible()
        for name, seen in (("Grace", "Jo Meyer"), ("Agent 1001", "Jo Meyer"), ("Agent 1002", "No call at the moment.")):
            with page.context.expect_page() as opened:
                page.get_by_role("link", name=name, exact=True).click()
            expect(opened.value.get_by_text(seen).first).to_be_visible()
            assert "token" not in opened.value.url
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"{portal.url}anything")
    assert call
