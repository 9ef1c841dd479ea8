"""A real switch for the live suite: one private node for the whole run.

Without a switch the suite is skipped, and says so where it cannot be overlooked; with CCW_REQUIRE_LIVE=1 it fails.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ccwhisper.proof.node import PrivateNode, default_conf, find_freeswitch
from ccwhisper.proof.stage import Stage
from tests.live.report import Report
from tests.scenarios.cable import Cable
from tests.scenarios.record import seen
from tests.scenarios.recording import RECORDED
from tests.scenarios.stage import TIMES

_HOW = "set FREESWITCH_BIN, or see docs/freeswitch.md for how to get one"
_missing: list[str] = []  # node ids of the tests that wanted a switch and had none


@pytest.fixture(scope="session")
def freeswitch() -> Path:
    """The switch's binary; skips, or fails when live tests are required."""
    binary = find_freeswitch()
    if binary is None:
        if os.environ.get("CCW_REQUIRE_LIVE") == "1":
            pytest.fail(f"live tests are required and no freeswitch was found: {_HOW}", pytrace=False)
        pytest.skip(f"no freeswitch found: {_HOW}")
    return binary


@pytest.fixture(scope="session")
def node(freeswitch: Path) -> Iterator[PrivateNode]:
    """The node that live tests share."""
    with PrivateNode(binary=freeswitch) as private:
        yield private


@pytest.fixture(scope="session")
def report() -> Iterator[Report]:
    """Who heard whom, written to reports/live.md at the end of the run."""
    collected = Report(Path("reports/live.md"))
    yield collected
    collected.write()


@pytest.fixture(scope="session")
def whole_stage(node: PrivateNode) -> Iterator[Stage]:
    """The service and the phones that live tests share."""
    with Stage(node, TIMES) as stage:
        yield stage


@pytest.fixture(scope="session")
def new_stage() -> type[Stage]:
    """What makes a stage, for those who need one of their own."""
    return Stage


@pytest.fixture(scope="module")
def cable(node: PrivateNode) -> Iterator[Cable]:
    """Between a service and the shared node."""
    with Cable(node.host, node.esl_port) as cable:
        yield cable


@pytest.fixture(scope="module")
def own_stage(node: PrivateNode, cable: Cable) -> Iterator[Stage]:
    """A service of one's own on the shared node, at the other end of the cable."""
    stage = Stage(node, TIMES)
    cable.carry(stage.service)
    with stage:
        yield stage


@pytest.fixture(scope="module")
def recording_stage(node: PrivateNode) -> Iterator[Stage]:
    """A service on the shared node whose policies want every call recorded."""
    with Stage(node, RECORDED) as stage:
        yield stage


@pytest.fixture
def on_stage(report: Report, request: pytest.FixtureRequest) -> Callable[..., Iterator[Stage]]:
    """One test on a stage, with nobody on it before and after; `restored` is called when the test is over."""

    def use(stage: Stage, restored: Callable[[], object] = lambda: None) -> Iterator[Stage]:
        stage.verdicts.clear()
        stage.said.clear()
        yield stage
        seen(request, stage)
        report.add(stage.node.version, request.node.name, stage.verdicts)
        for line in stage.said:
            report.say(request.node.name, line)
        restored()
        stage.clear()

    return use


@pytest.fixture
def stage(whole_stage: Stage, on_stage: Callable[..., Iterator[Stage]]) -> Iterator[Stage]:
    """The shared stage."""
    yield from on_stage(whole_stage)


@pytest.fixture(scope="session")
def whole_bare_stage(freeswitch: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The example node without its jitter buffers."""
    conf = tmp_path_factory.mktemp("bare") / "conf"
    shutil.copytree(default_conf(), conf)
    directory = conf / "directory/domain.xml"
    ours = r'^.*name="(dial-var-)?(jitterbuffer_msec|rtp_jitter_buffer_during_bridge)".*\n'
    text, count = re.subn(ours, "", directory.read_text(), flags=re.MULTILINE)
    assert count == 4
    directory.write_text(text)
    with PrivateNode(binary=freeswitch, conf=conf) as node, Stage(node, TIMES) as stage:
        yield stage


@pytest.fixture
def bare_stage(whole_bare_stage: Stage, on_stage: Callable[..., Iterator[Stage]]) -> Iterator[Stage]:
    """The same, for one test."""
    yield from on_stage(whole_bare_stage)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple) and "no freeswitch found" in report.longrepr[2]:
        _missing.append(report.nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _missing:
        terminalreporter.section("NO FREESWITCH: NOTHING WAS PROVED ON A REAL SWITCH", sep="!", red=True, bold=True)
        terminalreporter.line(f"{len(_missing)} live tests did not run: {_HOW}.")
