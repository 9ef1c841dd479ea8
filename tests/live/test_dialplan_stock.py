"""The checker beside a real switch: it reads what the switch reads, and says of stock files what is true."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from ccwhisper.dialplan import check
from ccwhisper.dialplan.load import load
from ccwhisper.dialplan.model import Element
from ccwhisper.proof.node import PrivateNode

pytestmark = pytest.mark.live


def elements(path: Path) -> list[Element]:
    loaded = load([path])
    assert not loaded.problems, loaded.problems
    [tree] = loaded.trees
    return [each for each in tree.root.walk() if each.name]


def test_the_switch_read_the_same(node: PrivateNode) -> None:
    """Every element and every attribute of what the switch wrote down when it had read our configuration, but for
    values that only a running switch knows."""
    ours = elements(node.conf)
    theirs = elements(node.directory / "log/freeswitch.xml.fsxml")
    assert len(ours) > 200
    assert [each.name for each in ours] == [each.name for each in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.attributes.keys() == other.attributes.keys()
        known = {name: value for name, value in one.attributes.items() if "$${" not in value}
        assert known == {name: other.attributes[name] for name in known}, one.place


@pytest.fixture
def stock(freeswitch: Path) -> Path:
    """The configuration that comes with the switch: FREESWITCH_STOCK_CONF, or where builds and packages put it."""
    named = os.environ.get("FREESWITCH_STOCK_CONF")
    places = [Path(named)] if named else [freeswitch.parents[1] / "conf", Path("/usr/share/freeswitch/conf/vanilla")]
    for place in places:
        if (place / "dialplan/skinny-patterns.xml").is_file():
            return place
    pytest.skip("no freeswitch found with its stock configuration: set FREESWITCH_STOCK_CONF")


def test_the_stock_configuration(stock: Path) -> None:
    """Exactly this, and docs/dialplan-check.md says why each of it is true. If yours has been edited, name another one
    in FREESWITCH_STOCK_CONF."""
    report = check([stock])
    assert not report.problems
    assert report.files > 100
    assert Counter((each.rule, each.place.path.name) for each in report.findings) == {
        ("codec-rates", "default.xml"): 2,
        ("eavesdrop-dtmf", "default.xml"): 2,
        ("eavesdrop-unguarded", "default.xml"): 2,
        ("esl-password", "event_socket.conf.xml"): 1,
        ("record-agent-leg", "default.xml"): 1,
        ("unreachable-extension", "20-Demo.xml"): 1,
    }
