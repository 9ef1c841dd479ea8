"""The example node's roads: who reaches whom, by which variables an agent's leg is known, and its jitter buffer."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ccwhisper.proof.node import PrivateNode, default_conf
from ccwhisper.proof.phones import Phone, PhoneBank, PhoneCall, SipRefused

pytestmark = pytest.mark.live


class Site:
    """A node with its phones: agents 1001–1004, a coach, a caller, and the carrier's far end."""

    def __init__(self, bank: PhoneBank, node: PrivateNode, carrier: Phone) -> None:
        self.bank, self.node, self.carrier = bank, node, carrier
        self.caller = bank.phone("5551234", registrar=(node.host, node.trunk_port))
        self._phones: dict[str, Phone] = {}

    def phone(self, user: str, *codecs: str) -> Phone:
        if user not in self._phones or codecs:
            registrar = (self.node.host, self.node.phones_port)
            password = self.node.phone_secret(user)
            phone = self.bank.phone(user, password, self.node.domain, registrar, codecs=codecs or ("PCMU",))
            phone.register()
            self._phones[user] = phone
        return self._phones[user]

    def legs(self) -> list[dict[str, Any]]:
        rows = json.loads(self.node.api("show channels as json")).get("rows", [])
        dumps = (self.node.api(f"uuid_dump {row['uuid']} json") for row in rows)
        return [json.loads(dump) for dump in dumps if dump.startswith("{")]

    def leg(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The one leg; waits, because the table behind `show channels` is written late."""
        deadline = time.monotonic() + 5
        while True:
            found = [leg for leg in self.legs() if wanted(leg)]
            if len(found) == 1:
                return found[0]
            assert time.monotonic() < deadline, f"{len(found)} such legs"
            time.sleep(0.05)

    def idle(self) -> None:
        deadline = time.monotonic() + 10
        while self.node.api("show channels count").split()[0] != "0":
            assert time.monotonic() < deadline, "legs are left over"
            time.sleep(0.05)


def dialled(user: str) -> Callable[[dict[str, Any]], bool]:
    return lambda leg: leg.get("variable_dialed_user") == user and leg["Call-Direction"] == "outbound"


def calling(user: str) -> Callable[[dict[str, Any]], bool]:
    return lambda leg: (
        leg.get("variable_sip_auth_username") == user
        and leg.get("variable_sip_authorized") == "true"
        and leg["Call-Direction"] == "inbound"
    )


def has_jitter_buffer(leg: dict[str, Any]) -> bool:
    variables = ("variable_jitterbuffer_msec", "variable_rtp_jitter_buffer_during_bridge")
    return [leg.get(name) for name in variables] == ["40", "true"]


def codecs(*calls: PhoneCall) -> list[str]:
    return [call.codec.name if call.codec else "" for call in calls]


@pytest.fixture(scope="module")
def whole_site(freeswitch: Path) -> Iterator[Site]:
    with PhoneBank() as bank:
        carrier = bank.phone("carrier", registrar=None)
        # A domain that is no address: an agent is user@domain, and nothing may depend on the host of a header.
        with PrivateNode(
            binary=freeswitch, trunk_peer=carrier.uri.split("@")[1], domain="agents.example.test"
        ) as private:
            yield Site(bank, private, carrier)


@pytest.fixture
def site(whole_site: Site) -> Iterator[Site]:
    yield whole_site
    for phone in whole_site.bank.phones:
        for call in phone.calls:
            call.hangup()
    whole_site.idle()


def test_a_caller_rings_an_agent(site: Site) -> None:
    agent = site.phone("1001")
    call = site.caller.dial("2001").wait("up")
    agent.wait_call().wait("up")
    assert has_jitter_buffer(site.leg(dialled("1001")))
    # The caller's leg says dialed_user too, and there it means whom he dialled: the direction tells them apart.
    others = [leg for leg in site.legs() if not dialled("1001")(leg)]
    assert [(leg["Call-Direction"], leg["variable_dialed_user"]) for leg in others] == [("inbound", "1001")]
    assert not has_jitter_buffer(others[0])
    assert call.state == "up"


def test_an_agent_calls_another_and_both_legs_are_agents(site: Site) -> None:
    callee = site.phone("1001")
    site.phone("1002").dial("1001").wait("up")
    callee.wait_call().wait("up")
    assert has_jitter_buffer(site.leg(dialled("1001")))
    assert has_jitter_buffer(site.leg(calling("1002")))


def test_an_agent_calls_outside(site: Site) -> None:
    site.phone("1002").dial("95551234").wait("up")
    far = site.carrier.wait_call().wait("up")
    assert far.caller_id[1].startswith("sip:1002@")
    assert has_jitter_buffer(site.leg(calling("1002")))
    [other] = [leg for leg in site.legs() if not calling("1002")(leg)]
    assert "variable_dialed_user" not in other
    assert "variable_sip_auth_username" not in other


def test_the_queue_reaches_an_agent(site: Site) -> None:
    agent = site.phone("1001")
    site.node.api(f"callcenter_config agent set status 1002@{site.node.domain} 'On Break'")
    call = site.caller.dial("5000").wait("up")
    agent.wait_call(15).wait("up")
    leg = site.leg(dialled("1001"))
    assert has_jitter_buffer(leg)
    assert leg["variable_cc_side"] == "agent"
    assert leg["variable_cc_agent"] == f"1001@{site.node.domain}"
    assert leg["variable_cc_queue"] == "support@default"
    member = site.leg(lambda leg: leg.get("variable_cc_side") == "member")
    assert leg["variable_cc_member_session_uuid"] == member["Unique-ID"]
    assert member["variable_cc_agent_uuid"] == leg["Unique-ID"]
    assert call.state == "up"


def test_an_agent_stays_off_hook_between_callers(site: Site) -> None:
    for other in ("1001", "1002"):
        site.node.api(f"callcenter_config agent set status {other}@{site.node.domain} 'On Break'")
    agent = site.phone("1004").dial("6000").wait("up")
    own = site.leg(calling("1004"))["Unique-ID"]
    members = set()
    for _ in range(2):
        caller = site.caller.dial("5000").wait("up")
        leg = site.leg(lambda leg: leg.get("variable_cc_agent_bridged") == "true" and leg["Unique-ID"] == own
                       and leg.get("variable_cc_member_session_uuid") not in members)  # fmt: skip
        assert has_jitter_buffer(leg)
        assert leg["variable_cc_side"] == "agent"
        assert leg["variable_cc_agent_type"] == "uuid-standby"
        members.add(leg["variable_cc_member_session_uuid"])
        caller.hangup()
        assert agent.state == "up"
    assert len(members) == 2


@pytest.mark.parametrize("number", ["2003", "5000"])
@pytest.mark.parametrize(
    ("caller_has", "agent_has", "agreed"),
    [
        (("PCMA",), ("PCMU", "PCMA"), ["PCMA", "PCMA"]),
        (("PCMU",), ("PCMA", "PCMU"), ["PCMU", "PCMU"]),
        (("PCMU",), ("PCMA",), ["PCMU", "PCMA"]),  # nothing in common: coded anew, not refused
    ],
)
def test_caller_and_agent_share_a_codec_where_they_can(
    site: Site, number: str, caller_has: tuple[str, ...], agent_has: tuple[str, ...], agreed: list[str]
) -> None:
    domain = site.node.domain
    agent = site.phone("1003", *agent_has)
    for other in ("1001", "1002"):
        site.node.api(f"callcenter_config agent set status {other}@{domain} 'On Break'")
    site.node.api(f"callcenter_config agent add 1003@{domain} callback")
    site.node.api(f"callcenter_config agent set contact 1003@{domain} user/1003@{domain}")
    site.node.api(f"callcenter_config agent set status 1003@{domain} Available")
    site.node.api(f"callcenter_config tier add support@default 1003@{domain} 1 1")
    caller = site.bank.phone("5554321", registrar=(site.node.host, site.node.trunk_port), codecs=caller_has)
    call = caller.dial(number).wait("up")
    there = agent.wait_call(15).wait("up")
    try:
        assert codecs(call, there) == agreed
    finally:
        site.node.api(f"callcenter_config agent del 1003@{domain}")


def test_an_agent_transfers_a_caller_to_another_agent_and_outside(site: Site) -> None:
    first, second = site.phone("1001"), site.phone("1002")
    call = site.caller.dial("2001").wait("up")
    assert first.wait_call().wait("up").refer("1002").accepted == 202
    third = second.wait_call().wait("up").refer("95554321")
    assert third.accepted == 202
    site.carrier.wait_call().wait("up")
    assert call.state == "up"


def test_a_caller_cannot_transfer(site: Site) -> None:
    agent = site.phone("1001")
    call = site.caller.dial("2001").wait("up")
    agent.wait_call().wait("up")
    with pytest.raises(SipRefused):
        call.refer("1002")


def test_the_parts_for_an_existing_dialplan_do_the_same(freeswitch: Path, tmp_path: Path) -> None:
    """A node without our directory's buffer, given `dialplans/agent-legs.xml` as its README says."""
    conf, parts = tmp_path / "conf", default_conf().parent / "dialplans"
    shutil.copytree(default_conf(), conf)
    directory = conf / "directory/domain.xml"
    directory.write_text("".join(row for row in directory.read_text().splitlines(True) if "jitter" not in row))
    agents = conf / "dialplan/agents.xml"
    include = f'<context name="agents">\n<X-PRE-PROCESS cmd="include" data="{parts}/agent-legs.xml"/>\n'
    agents.write_text(agents.read_text().replace('<context name="agents">\n', include))
    (conf / "dialplan/coaches.xml").write_text((parts / "coaches.xml").read_text())
    with PhoneBank() as bank:
        carrier = bank.phone("carrier", registrar=None)
        with PrivateNode(binary=freeswitch, conf=conf, trunk_peer=carrier.uri.split("@")[1]) as node:
            site = Site(bank, node, carrier)
            site.phone("1002").dial("95551234").wait("up")
            assert has_jitter_buffer(site.leg(calling("1002")))
            with pytest.raises(Exception, match="403"):
                site.phone("9001").dial("1001").wait("up")
