"""The pictures of docs/prove.md: `python -m tests.live.screenshots` makes them anew in docs/images/."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.service import PROGRAM
from ccwhisper.prove.calls import SiteStage
from ccwhisper.prove.node import site_of
from ccwhisper.prove.page import page
from ccwhisper.prove.script import PARTS, Script
from tests.browser.chromium import chromium, launched
from tests.live import misled

FOLDER = Path(__file__).parents[2] / "docs/images"
FAULT = "gate: agent and everyone swapped"


def report(node: PrivateNode, place: Path, *parts: str, fault: str = "") -> Path:
    """A proof's page."""
    program = (sys.executable, misled.__file__, fault) if fault else PROGRAM
    with SiteStage(site_of(node), program) as stage:
        script = Script(stage, parts or PARTS)
        script.run()
    path = place / f"{fault or 'right'}.html"
    path.write_text(page(script.record.plain(), script.pictures))
    return path


def take(browser: Browser, path: Path, name: str, scheme: str, what: str = "") -> None:
    """The top of a page, or one element of it."""
    context = browser.new_context(viewport={"width": 1000, "height": 860}, color_scheme=scheme)  # type: ignore[arg-type]
    sheet = context.new_page()
    sheet.goto(path.as_uri())
    shot = sheet.locator(what).first.screenshot() if what else sheet.screenshot()
    context.close()
    with Image.open(io.BytesIO(shot)) as picture:
        small = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        small.save(FOLDER / f"{name}.png", optimize=True)


def main() -> None:
    """A right node, and a service that tells the gate wrong digits."""
    path = chromium()
    if path is None:
        raise SystemExit("no chromium found")
    with tempfile.TemporaryDirectory() as folder, PrivateNode() as node, launched(path) as browser:
        right = report(node, Path(folder))
        wrong = report(node, Path(folder), "matrix", fault=FAULT)
        take(browser, right, "prove-light", "light")
        take(browser, wrong, "prove-leak-dark", "dark", "figure")


if __name__ == "__main__":
    main()
