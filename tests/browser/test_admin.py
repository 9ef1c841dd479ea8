"""The administrator's pages: policies that are set there, and the audit trail, by mouse and by keys, wide and on a
phone's screen."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from ccwhisper.coaching.policy import AUDIT, EDIT_POLICIES, VIEW
from ccwhisper.proof.service import Refused
from tests.browser.centre import Centre, until
from tests.browser.conftest import PHONE, WIDE

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
SCREENS = pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
QUEUE = "support@default"


@pytest.fixture
def admin(centre: Centre) -> Iterator[Callable[..., str]]:
    """Makes tokens of an administrator. What was set is taken back."""

    def token(*permissions: str, **claims: Any) -> str:
        return centre.service.token(
            "ada", name="Ada", permissions=list(permissions or (EDIT_POLICIES, AUDIT)), roles=[], **claims
        )

    yield token
    api = centre.service.api("ada", permissions=[EDIT_POLICIES])
    for each in api.ask("GET", "/policies")["policies"]:
        api.ask("DELETE", f"/policies/{each['queue']}")
    api.close()


def policy(centre: Centre, queue: str = QUEUE) -> Any:
    api = centre.service.api("ada", permissions=[EDIT_POLICIES])
    found = {each["queue"]: each for each in api.ask("GET", "/policies")["policies"]}
    api.close()
    return found[queue]


def setting(page: Page, title: str) -> Locator:
    return page.get_by_role("group", name=title, exact=True)


def choose(page: Page, queue: str = QUEUE) -> None:
    page.get_by_role("navigation", name="Queues").get_by_role("link", name=queue).click()
    expect(page.get_by_role("heading", level=2)).to_have_text("Default policy" if queue.startswith("Def") else queue)


def saved(page: Page) -> None:
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("Everything is saved and in force.")


@pytest.fixture
def excluding(centre: Centre, admin: Callable[..., str]) -> Iterator[None]:
    """The file excludes whispers of a queue from recordings, since a restart. Somebody had switched them on before."""
    api = centre.service.api("ada", permissions=[EDIT_POLICIES])
    api.ask("PUT", f"/policies/{QUEUE}", {"record_whisper": "separate"})
    api.ask("PUT", "/policies/default", {"record": True, "record_whisper": "separate"})
    api.close()
    before = centre.service.config.read_text()
    centre.service.stop()
    centre.service.config.write_text(f'{before}[queue."{QUEUE}"]\nrecord_whisper = "excluded"\n')
    centre.service.start()
    yield
    centre.service.stop()
    centre.service.config.write_text(before)
    centre.service.start()


def test_nobody_switches_on_what_the_file_excludes(
    centre: Centre, open_page: Open, admin: Callable[..., str], excluding: None
) -> None:
    until(lambda: policy(centre, "default")["policy"]["record"])
    found = policy(centre)
    assert (found["policy"]["record_whisper"], found["sources"]["record_whisper"]) == ("excluded", "file")
    assert found["edited"]["record_whisper"] == "separate", "of the life before"
    api = centre.service.api("ada", permissions=[EDIT_POLICIES])
    for wish in ("off", "separate"):
        with pytest.raises(Refused, match="whisper_recording_excluded"):
            api.ask("PUT", f"/policies/{QUEUE}", {"record_whisper": wish})
    api.close()
    page = open_page(admin(), "/admin")
    choose(page)
    whispers = setting(page, "Whispers in recordings")
    expect(whispers.get_by_label("Never, by anybody")).to_be_checked()
    expect(whispers.get_by_label("Never, by anybody")).to_be_disabled()
    expect(whispers.get_by_label("On a track of its own for each coach")).to_be_disabled()
    expect(whispers).to_contain_text("From the file")
    expect(page.get_by_role("status")).to_have_text("Everything is saved and in force.")
    page.get_by_role("spinbutton", name="Coaches").fill("3")
    saved(page)
    found = policy(centre)
    assert (found["policy"]["max_coaches"], found["policy"]["record_whisper"]) == (3, "excluded")
    choose(page, "Default policy")
    setting(page, "Whispers in recordings").get_by_label("Not recorded").check()
    saved(page)
    assert policy(centre)["policy"]["record_whisper"] == "excluded"


@SCREENS
def test_every_setting_is_set_and_in_force(
    centre: Centre, open_page: Open, admin: Callable[..., str], size: dict[str, int]
) -> None:
    page = open_page(admin(), "/admin", size=size)
    choose(page)
    modes = setting(page, "What coaches may do")
    modes.get_by_label("Barge in").uncheck()
    modes.get_by_label("Take over").uncheck()
    setting(page, "A session begins with").get_by_label("Push-to-talk").check()
    page.get_by_label("Show “Listening”").check()
    page.get_by_role("spinbutton", name="Coaches").fill("3")
    beep = setting(page, "Beep")
    beep.get_by_label("It ends").check()
    beep.get_by_label("Level").fill("-20")
    beep.get_by_role("button", name="Add a tone").click()
    beep.get_by_label("Hertz").nth(1).fill("440, 480")
    beep.get_by_label("Pause").nth(0).fill("50")
    page.get_by_role("textbox", name="Templates").fill("Slow down\n\n  Offer a callback \n")
    expect(page.get_by_role("status")).to_have_text("6 changes not saved")
    assert policy(centre)["edited"]["modes"] is None, "nothing is in force before it is saved"
    saved(page)
    assert policy(centre)["policy"] == {
        "modes": ["listen", "whisper"],
        "talk": "push",
        "tell_listening": True,
        "record": False,
        "record_whisper": "off",
        "keep_days": None,
        "max_coaches": 3,
        "beep": {"on": ["whisper", "end"], "level": -20, "parts": [[200, 50, [1400]], [200, 0, [440, 480]]]},
        "cues": ["Slow down", "Offer a callback"],
    }
    page.reload()
    expect(setting(page, "What coaches may do").get_by_label("Whisper")).to_be_checked()
    expect(setting(page, "What coaches may do").get_by_label("Barge in")).not_to_be_checked()
    expect(page.get_by_role("textbox", name="Templates")).to_have_value("Slow down\nOffer a callback")
    expect(page.locator(".setting .tag", has_text="Set here")).to_have_count(6)


def test_what_is_inherited_and_the_way_back(centre: Centre, open_page: Open, admin: Callable[..., str]) -> None:
    page = open_page(admin(), "/admin")
    coaches = setting(page, "Coaches on one call")
    expect(page.get_by_role("heading", level=2)).to_have_text("Default policy")
    expect(coaches.locator(".tag")).to_have_text("Built in")
    page.get_by_role("spinbutton", name="Coaches").fill("9")
    saved(page)
    choose(page)
    expect(coaches.locator(".tag")).to_have_text("From the default policy")
    expect(page.get_by_role("spinbutton", name="Coaches")).to_have_value("9")
    page.get_by_role("spinbutton", name="Coaches").fill("2")
    expect(coaches.locator(".tag")).to_have_text(["Set here", "Not saved"])
    saved(page)
    assert policy(centre)["policy"]["max_coaches"] == 2
    coaches.get_by_role("button", name="Back to the default policy’s value").click()
    expect(page.get_by_role("spinbutton", name="Coaches")).to_have_value("9")
    saved(page)
    assert (policy(centre)["policy"]["max_coaches"], policy(centre)["edited"]["max_coaches"]) == (9, None)
    page.get_by_role("spinbutton", name="Coaches").fill("4")
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("spinbutton", name="Coaches")).to_have_value("9")


def test_without_listening_there_is_nothing(centre: Centre, open_page: Open, admin: Callable[..., str]) -> None:
    page = open_page(admin(), "/admin")
    choose(page)
    modes = setting(page, "What coaches may do")
    modes.get_by_label("Listen").uncheck()
    for name in ("Whisper", "Barge in", "Take over"):
        expect(modes.get_by_label(name)).not_to_be_checked()
    saved(page)
    assert policy(centre)["policy"]["modes"] == []
    modes.get_by_label("Whisper").check()
    expect(modes.get_by_label("Listen")).to_be_checked()


@SCREENS
@pytest.mark.parametrize(
    ("label", "text", "says"),
    [
        ("Coaches", "99", "less than or equal to 50"),
        ("Coaches", "", "integer"),
        ("Level", "3", "less than or equal to 0"),
        ("Tone", "5", "greater than or equal to 10"),
        ("Hertz", "1400, 9000", "less than or equal to 3400"),
        ("Hertz", "loud", "integer"),
        ("Templates", "x" * 501, "at most 500 characters"),
    ],
)
def test_a_mistake_is_told_at_its_field(
    centre: Centre, open_page: Open, admin: Callable[..., str], size: dict[str, int], label: str, text: str, says: str
) -> None:
    page = open_page(admin(), "/admin", size=size)
    choose(page)
    field = page.locator(".setting").get_by_label(label).and_(page.locator("input, textarea"))
    field.fill(text)
    page.get_by_role("button", name="Save").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(says)
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(alert.inner_text())
    expect(field).to_be_in_viewport()
    assert set(policy(centre)["sources"].values()) == {"built_in"}
    field.fill("1")
    expect(alert).to_have_count(0)


def test_what_is_not_saved_is_not_lost_by_a_click(centre: Centre, open_page: Open, admin: Callable[..., str]) -> None:
    page = open_page(admin(), "/admin")
    choose(page)
    page.get_by_role("spinbutton", name="Coaches").fill("7")
    dialog = page.get_by_role("dialog", name="Not saved")
    for link in ("Default policy", "Audit"):
        page.get_by_role("link", name=link).click()
        expect(dialog).to_be_visible()
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(page.get_by_role("spinbutton", name="Coaches")).to_have_value("7")
    page.go_back()
    dialog.get_by_role("button", name="Keep editing").click()
    expect(page.get_by_role("heading", level=2)).to_have_text(QUEUE)
    asked: list[str] = []
    page.once("dialog", lambda each: (asked.append(each.type), each.accept()))
    page.reload()
    assert asked == ["beforeunload"]
    page.get_by_role("spinbutton", name="Coaches").fill("7")
    page.get_by_role("link", name="Audit").click()
    dialog.get_by_role("button", name="Discard changes").click()
    expect(page.get_by_role("search")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("spinbutton", name="Coaches")).to_have_value("5")


def test_by_keys_alone(centre: Centre, open_page: Open, admin: Callable[..., str]) -> None:
    api = centre.service.api("ada", permissions=[EDIT_POLICIES])
    api.ask("PUT", f"/policies/{QUEUE}", {"max_coaches": 4})  # a row before the one that is written by keys
    api.close()
    page = open_page(admin(), "/admin")
    link = page.get_by_role("navigation", name="Queues").get_by_role("link", name=QUEUE)
    expect(link).to_be_visible()
    for _ in range(20):
        page.keyboard.press("Tab")
        if link.evaluate("each => each === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=2, name=QUEUE)).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(setting(page, "What coaches may do").get_by_label("Whisper")).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("Control+s")
    expect(page.get_by_role("status")).to_have_text("Everything is saved and in force.")
    assert policy(centre)["policy"]["modes"] == ["listen", "barge", "take_over"]
    page.get_by_role("link", name="Audit").focus()
    page.keyboard.press("Enter")
    rows = page.get_by_role("table").get_by_role("button")
    expect(rows.first).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("Anywhere")).to_be_focused()
    page.keyboard.type("support@")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr").first).to_contain_text("policy")
    rows.first.focus()
    page.keyboard.press("ArrowDown")
    expect(rows.nth(1)).to_be_focused()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text('["listen","barge","take_over"]')
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(rows.first).to_be_focused()


def test_another_queue(centre: Centre, open_page: Open, admin: Callable[..., str]) -> None:
    page = open_page(admin(), "/admin")
    page.get_by_label("Another queue").fill("vip@default")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("heading", level=2)).to_have_text("vip@default")
    setting(page, "A session begins with").get_by_label("Push-to-talk").check()
    saved(page)
    assert policy(centre, "vip@default")["policy"]["talk"] == "push"


@pytest.mark.parametrize(
    ("permissions", "queues", "views"),
    [
        ((EDIT_POLICIES,), ["*"], ["Policies"]),
        ((AUDIT,), [], ["Audit"]),
        ((EDIT_POLICIES, AUDIT), [QUEUE], ["Policies", "Audit"]),
        ((VIEW,), ["*"], []),
    ],
    ids=["edit", "audit", "both", "neither"],
)
def test_only_what_the_token_permits(
    open_page: Open, admin: Callable[..., str], permissions: tuple[str, ...], queues: list[str], views: list[str]
) -> None:
    page = open_page(admin(*permissions, queues=queues), "/admin")
    nav = page.get_by_role("navigation", name="Views")
    expect(nav.get_by_role("link")).to_have_text(views)
    if not views:
        expect(page.locator(".empty")).to_contain_text("permits neither")
    elif views[0] == "Audit":
        expect(page.get_by_role("search")).to_be_visible()
    elif queues == [QUEUE]:
        expect(page.get_by_role("heading", level=2)).to_have_text("Default policy")
        expect(page.get_by_role("spinbutton", name="Coaches")).to_be_disabled()
        expect(page.get_by_role("button", name="Save")).to_have_count(0)
        choose(page)
        expect(page.get_by_role("spinbutton", name="Coaches")).to_be_enabled()
        expect(page.get_by_label("Another queue")).to_have_count(0)


def test_a_token_that_is_not_believed(centre: Centre, open_page: Open) -> None:
    page = open_page("rubbish", "/admin")
    expect(page.get_by_role("alert")).to_contain_text("not valid")
    page.get_by_label("Token").fill(centre.service.token("ada", permissions=[AUDIT]))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Audit")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()


def test_while_the_database_is_away(centre: Centre, open_page: Open, admin: Callable[..., str]) -> None:
    page = open_page(admin(), "/admin")
    choose(page)
    database = centre.service.directory / "var/ccwhisper.db"
    away = database.with_suffix(".away")
    database.rename(away)
    try:
        page.get_by_role("spinbutton", name="Coaches").fill("7")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("alert")).to_contain_text("cannot keep the policy")
        expect(page.get_by_role("spinbutton", name="Coaches")).to_have_value("7")
    finally:
        away.rename(database)
    saved(page)
    assert policy(centre)["policy"]["max_coaches"] == 7


# --- what follows for coaches and agents -----------------------------------------------------------------------------


def test_a_coach_is_put_back_and_told(centre: Centre, open_page: Open, admin: Callable[..., str]) -> None:
    call = centre.call()
    coach = open_page(centre.supervisor())
    coach.get_by_role("button", name="Listen to Agent 1001").click()
    dock = coach.get_by_role("complementary")
    dock.get_by_role("button", name="Barge in").click()
    expect(dock.locator(".lamp")).to_have_text("Agent 1001 and the caller hear you")
    api = centre.service.api("ada", permissions=[EDIT_POLICIES])
    api.ask("PUT", "/policies/default", {"modes": ["listen", "whisper"], "cues": ["Slow down"]})
    expect(dock.locator(".lamp")).to_have_text("Nobody hears you")
    assert "9001" not in centre.hears(call["caller"])
    expect(coach.get_by_role("alert")).to_contain_text("does not allow this any more: Barge in")
    expect(dock.get_by_role("button", name="Barge in")).to_be_disabled()
    expect(dock.locator("#take-over")).to_be_disabled()
    expect(dock.get_by_role("button", name="Whisper")).to_be_enabled()
    expect(dock.get_by_role("button", name="Slow down")).to_be_visible()
    api.close()


def test_the_agent_is_told_who_listens(centre: Centre, open_page: Open, admin: Callable[..., str]) -> None:
    centre.call()
    agent = open_page(centre.agent("1001"), "/agent", size={"width": 320, "height": 480})
    coach = open_page(centre.supervisor())
    coach.get_by_role("button", name="Listen to Agent 1001").click()
    expect(coach.get_by_role("complementary").locator(".stage")).to_have_text("You hear both. Nobody hears you.")
    expect(agent.locator(".badge")).to_have_count(0)
    page = open_page(admin(), "/admin")
    page.get_by_label("Show “Listening”").check()
    saved(page)
    expect(agent.locator(".badge")).to_contain_text("Listening")
    expect(agent.locator(".badge")).to_contain_text("Grace")


def test_the_way_from_the_dashboard_and_back(centre: Centre, open_page: Open, admin: Callable[..., str]) -> None:
    page = open_page(admin(VIEW, AUDIT))
    page.get_by_role("link", name="Administration").click()
    expect(page.get_by_role("search")).to_be_visible()
    page.get_by_role("link", name="Live calls").click()
    expect(page.get_by_role("heading", name="Live calls")).to_be_visible()
    other = open_page(centre.supervisor())
    expect(other.get_by_role("heading", name="Live calls")).to_be_visible()
    expect(other.get_by_role("link", name="Administration")).to_have_count(0)


# --- the audit trail -------------------------------------------------------------------------------------------------


def rows(page: Page) -> Locator:
    return page.locator("tbody tr")


def fill(centre: Centre, sub: str, count: int, **claims: Any) -> None:
    """Rows of somebody who is refused so many different things."""
    api = centre.service.api(sub, permissions=[AUDIT], **claims)
    for number in range(count):
        with pytest.raises(Refused, match="session_not_found"):
            api.ask("DELETE", f"/sessions/{sub}-{number}")
    until(lambda: len(api.ask("GET", "/audit", actor=sub, limit=200)["rows"]) == count)
    api.close()


@SCREENS
def test_a_search(centre: Centre, open_page: Open, admin: Callable[..., str], size: dict[str, int]) -> None:
    sub = f"eve-{size['width']}"
    fill(centre, sub, 3)
    page = open_page(admin(), "/admin", size=size)
    page.get_by_role("link", name="Audit").click()
    form = page.get_by_role("search")
    if size == PHONE:
        page.get_by_role("button", name="Filters").click()
    form.get_by_label("Who").fill(sub)
    form.get_by_label("Action").fill("leave")
    form.get_by_label("Outcome").select_option("Refused")
    form.get_by_label("From").fill("2020-01-01T00:00")
    page.get_by_role("button", name="Search").click()
    expect(rows(page)).to_have_count(3)
    expect(rows(page).first).to_contain_text("session_not_found")
    page.reload()
    expect(rows(page)).to_have_count(3)
    form.get_by_label("Anywhere").fill(f"{sub}-2")
    page.keyboard.press("Enter")
    expect(rows(page)).to_have_count(1)
    rows(page).get_by_role("button").click()
    detail = page.get_by_role("dialog")
    expect(detail).to_contain_text(f"{sub}-2")
    expect(detail).to_contain_text("refused: session_not_found")
    detail.get_by_role("button", name="All of this").click()
    expect(rows(page)).to_have_count(3)
    if size == PHONE:  # it was folded by the reload
        page.get_by_role("button", name="Filters").click()
    form.get_by_label("Before").fill("2020-01-01T00:00")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".empty")).to_have_text("There are no such rows.")
    page.go_back()
    expect(rows(page)).to_have_count(3)
    form.get_by_label("Before").fill("12345-01-01T00:00")  # as the control takes it, and no calendar of the service
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("alert")).to_contain_text("to:")


def test_pages_of_rows(centre: Centre, open_page: Open, admin: Callable[..., str]) -> None:
    fill(centre, "mallory", 55)
    page = open_page(admin(), "/admin")
    page.goto(f"{centre.url}/admin#audit?actor=mallory")
    expect(rows(page)).to_have_count(50)
    expect(page.get_by_role("button", name="Newer")).to_be_disabled()
    page.get_by_role("button", name="Older").click()
    expect(rows(page)).to_have_count(5)
    expect(page.get_by_role("button", name="Older")).to_be_disabled()
    page.get_by_role("button", name="Newer").click()
    expect(rows(page)).to_have_count(50)


def test_exports_are_of_the_filter(centre: Centre, open_page: Open, admin: Callable[..., str], tmp_path: Path) -> None:
    fill(centre, "oscar", 2)
    page = open_page(admin(), "/admin")
    page.goto(f"{centre.url}/admin#audit?actor=oscar&refused=true")
    expect(rows(page)).to_have_count(2)
    found = {}
    for form, name in (("csv", "Export CSV"), ("jsonl", "Export JSON Lines")):
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        assert download.value.suggested_filename.startswith("audit-")
        assert download.value.suggested_filename.endswith(f".{form}")
        path = tmp_path / form
        download.value.save_as(path)
        found[form] = path.read_text()
    assert [row["session"] for row in csv.DictReader(found["csv"].splitlines())] == ["oscar-1", "oscar-0"]
    assert [json.loads(line)["session"] for line in found["jsonl"].splitlines()] == ["oscar-1", "oscar-0"]


def test_a_name_is_text(centre: Centre, open_page: Open, admin: Callable[..., str]) -> None:
    name = "<img src=x onerror=alert(1)>"
    fill(centre, "walter", 1, name=name)
    page = open_page(admin(), "/admin")
    page.goto(f"{centre.url}/admin#audit?text=onerror")
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text(name)
    rows(page).get_by_role("button").click()
    expect(page.get_by_role("dialog")).to_contain_text(name)
    expect(page.locator("img")).to_have_count(0)


# --- for everybody ---------------------------------------------------------------------------------------------------


@SCREENS
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_is_wrong_for_a_screen_reader(
    centre: Centre, open_page: Open, admin: Callable[..., str], size: dict[str, int], scheme: str
) -> None:
    fill(centre, f"trent-{scheme}-{size['width']}", 2)
    page = open_page(admin(), "/admin", size=size, color_scheme=scheme)
    choose(page)
    page.get_by_role("spinbutton", name="Coaches").fill("99")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_be_visible()
    _sound(page)
    page.get_by_role("link", name="Audit").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    _sound(page)
    page.get_by_role("button", name="Discard changes").click()
    expect(rows(page).first).to_be_visible()
    if size == PHONE:
        page.get_by_role("button", name="Filters").click()
    _sound(page)
    rows(page).first.get_by_role("button").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    _sound(page)


def _sound(page: Page) -> None:
    found = Axe().run(page)
    serious = [each for each in found.response["violations"] if each["impact"] in ("serious", "critical")]
    assert serious == [], json.dumps(serious, indent=1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out"
