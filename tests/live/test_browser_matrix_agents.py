"""Agents on every codec that the switch has, with a page and a desk phone that coach them at once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from ccwhisper.proof.node import PrivateNode, default_conf
from ccwhisper.proof.stage import SILENT
from tests.live.pages import EAR, PagesStage
from tests.live.report import Report
from tests.scenarios.stage import TIMES

pytestmark = pytest.mark.live

COARSE = replace(EAR, silent=-36.0)
SHIPPED = "PCMU,PCMA,OPUS,G722"


@pytest.fixture(scope="module")
def pages(freeswitch: Path, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesStage]:
    """The example node, which offers L16 at 16 kHz, too."""
    conf = tmp_path_factory.mktemp("codecs") / "conf"
    shutil.copytree(default_conf(), conf)
    for profile in ("phones", "trunk"):
        path = conf / f"sip_profiles/{profile}.xml"
        text = path.read_text()
        assert text.count(SHIPPED) == 2
        path.write_text(text.replace(SHIPPED, f"{SHIPPED},L16@16000h"))
    with PrivateNode(binary=freeswitch, conf=conf) as node, PagesStage(node, TIMES, browser) as stage:
        yield stage


@pytest.fixture
def stage(pages: PagesStage, report: Report, request: pytest.FixtureRequest) -> Iterator[PagesStage]:
    """Carla coaches from a page, dora from a desk phone; the caller's codec is not always the agent's."""
    pages.browsers = ("carla",)
    pages.floor = SILENT
    pages.verdicts.clear()
    yield pages
    report.add(pages.node.version, request.node.name, pages.verdicts)
    pages.clear()


@pytest.mark.parametrize(
    ("agent", "rate", "coach"),
    [
        ("PCMU", "8000", "8000"),
        ("PCMA", "8000", "8000"),
        ("G722", "16000", "16000"),
        ("L16", "16000", "16000"),
        ("opus", "48000", "16000"),
    ],
)
def test_a_page_and_a_desk_phone_coach_an_agent(stage: PagesStage, agent: str, rate: str, coach: str) -> None:
    stage.ears = {"carla": EAR}
    if agent == "opus":  # as coarse as a page's, to whoever hears it: up to -42 dBFS between the tones
        stage.ears = dict.fromkeys(("carla", "agent", "caller", "dora"), COARSE)
        stage.floor = COARSE.silent
    scene = stage.call(agent_codecs=(agent,))
    assert stage.dump(stage.leg_of(scene.agent))["variable_read_rate"] == rate
    both = [stage.coach(name, scene) for name in ("carla", "dora")]
    carla, dora = both
    [leg] = stage.legs_of_pages()
    assert stage.dump(leg)["Channel-Write-Codec-Rate"] == coach
    for each in both:
        each.mode("whisper")
    stage.after_beep(scene)
    pair = {"caller", "agent"}
    stage.expect(scene, both, label=f"both whisper to {agent}", caller={"agent"}, agent={"caller", "carla", "dora"},
                 dora={*pair, "carla"})  # fmt: skip
    carla.mode("barge")
    dora.mode("listen")
    stage.after_beep(scene)
    stage.expect(scene, both, label=f"the page barges, {agent}", caller={"agent", "carla"}, agent={"caller", "carla"},
                 dora={*pair, "carla"})  # fmt: skip
