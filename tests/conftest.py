"""Every test module says of what kind it is, and lives where its kind lives: `scripts/test live` must mean it."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.register_assert_rewrite("tests.scenarios")  # they are no test modules, and their assertions must speak

CATEGORIES = ("unit", "protocol", "e2e", "browser", "live")

RERUNS = 2
LEAK = "must not"
"""What a verdict or an assertion says of somebody, or of a key, that reaches whoever must not be reached."""


def pytest_configure(config: pytest.Config) -> None:
    """What the scenarios come to is kept, switch by switch."""
    from tests.scenarios.record import Record

    config.pluginmanager.register(Record(config.rootpath / "reports"), "scenarios")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--rounds N` runs every selected test N times: what must hold once must hold always."""
    parser.addoption("--rounds", type=int, default=1, metavar="N", help="run every selected test N times")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One parameter more, for the rounds."""
    rounds = metafunc.config.getoption("--rounds")
    if rounds > 1:
        metafunc.fixturenames.append("_round")
        metafunc.parametrize("_round", range(1, rounds + 1))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A module without the mark of its folder fails the collection. What shares the processor with a switch, phones or
    a browser may fail by a frame that came late: it is run again, and the summary says so. What says LEAK never is, nor
    anything of the pure core, nor one of `--rounds`, nor more than ten in a run (setup.cfg). `--fail-on-flaky` is for
    who will have none of it."""
    again = pytest.mark.flaky(reruns=RERUNS, rerun_except=LEAK)
    here = Path(__file__).parent
    wrong = set()
    for item in items:
        folder = item.path.relative_to(here).parts[0]
        marks = {mark.name for mark in item.iter_markers() if mark.name in CATEGORIES}
        if folder not in CATEGORIES or marks != {folder}:
            wrong.add(
                f"{item.path.relative_to(here.parent)}: needs pytestmark = pytest.mark.{folder}, has {marks or 'none'}"
            )
        if folder != "unit" and config.getoption("--rounds") == 1:
            item.add_marker(again)
    if wrong:
        raise pytest.UsageError("test modules without their category:\n  " + "\n  ".join(sorted(wrong)))


@pytest.fixture(autouse=True, scope="module")
def nothing_to_sweep() -> None:
    """Phones, simulated switches and services live in this process. What some thousand tests have left in it takes the
    collector up to a second to look through, and all of them are silent as long: it looks now, and there not again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, one for the whole run: Playwright runs once in a process. Skips where there is none, or fails when
    browser tests are required."""
    from tests.browser.chromium import chromium, launched

    path = chromium()
    if path is None:
        if os.environ.get("CCW_REQUIRE_BROWSER") == "1":
            pytest.fail("browser tests are required and no chromium was found", pytrace=False)
        pytest.skip("no chromium found: apt-get install chromium, or set CHROMIUM")
    with launched(path) as browser:
        yield browser
