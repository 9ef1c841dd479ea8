from collections.abc import Iterator
from pathlib import Path

import pytest

from ccwhisper.proof import stage as proof
from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.phones import PhoneBank
from tests.scenarios.calls import *

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def whole_stage(freeswitch: Path) -> Iterator[proof.Stage]:
    """A node whose trunk leads somewhere: to a phone that answers every number."""
    with PhoneBank() as bank:
        carrier = bank.phone("carrier", registrar=None, source=proof.Stage.tone("caller"))
        with (
            PrivateNode(binary=freeswitch, trunk_peer=carrier.uri.split("@")[1]) as node,
            proof.Stage(node) as stage,
        ):
            stage.carrier = carrier
            yield stage
