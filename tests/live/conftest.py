"""A real switch for the live suite: one private node for the whole run.

Without a switch the suite is skipped, and says so where it cannot be overlooked; with CCW_REQUIRE_LIVE=1 it fails.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccwhisper.proof.node import PrivateNode, find_freeswitch
from ccwhisper.proof.stage import Stage
from tests.live.report import Report

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
    with Stage(node) as stage:
        yield stage


@pytest.fixture
def stage(whole_stage: Stage, node: PrivateNode, report: Report, request: pytest.FixtureRequest) -> Iterator[Stage]:
    """The shared stage, with nobody on it before and after."""
    whole_stage.verdicts.clear()
    yield whole_stage
    report.add(node.version, request.node.name, whole_stage.verdicts)
    whole_stage.clear()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple) and "no freeswitch found" in report.longrepr[2]:
        _missing.append(report.nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _missing:
        terminalreporter.section("NO FREESWITCH: NOTHING WAS PROVED ON A REAL SWITCH", sep="!", red=True, bold=True)
        terminalreporter.line(f"{len(_missing)} live tests did not run: {_HOW}.")
