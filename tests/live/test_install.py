"""FreeSWITCH's own stock configuration, as an administrator has it: coaching is installed into it, the switch boots
with it, a call is coached there, and it is taken out again to the byte."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccwhisper.dialplan import check
from ccwhisper.proof.line import CallEnded
from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.sources import Noise
from ccwhisper.proof.stage import DEVICES, Stage
from ccwhisper.web.sip import Line, Message
from ccwhisper.web.upstream import Upstream
from tests.e2e.service import PATIENCE
from tests.live.report import Report
from tests.live.test_desk_phones import SUPERVISORS, coach_of, dial, hears, refused
from tests.live.test_doctor import doctor, ids
from tests.scenarios.stage import TIMES

pytestmark = pytest.mark.live

COACH = DEVICES["carla"]
USERS_PASSWORD = "a-password-of-the-lab"

CHANGES: tuple[tuple[str, str, str], ...] = (
    # where it listens, and who its users are: what every administrator changes
    ("vars.xml", r'data="default_password=1234"', f'data="default_password={USERS_PASSWORD}"'),
    ("vars.xml", r"\A<include>", '<include>\n  <X-PRE-PROCESS cmd="set" data="local_ip_v4=127.0.0.1"/>'),
    ("vars.xml", r'cmd="stun-set" data="(external_\w+_ip)=[^"]*"', r'cmd="set" data="\1=127.0.0.1"'),
    ("vars.xml", r'cmd="set" data="internal_sip_port=5060"', 'cmd="env-set" data="internal_sip_port=$CCW_PHONES_PORT"'),
    ("vars.xml", r'cmd="set" data="external_sip_port=5080"', 'cmd="env-set" data="external_sip_port=$CCW_TRUNK_PORT"'),
    ("vars.xml", r"</include>", '  <X-PRE-PROCESS cmd="env-set" data="lab_esl=$CCW_ESL_PORT"/>\n'
     '  <X-PRE-PROCESS cmd="env-set" data="lab_rtp_min=$CCW_RTP_MIN"/>\n'
     '  <X-PRE-PROCESS cmd="env-set" data="lab_rtp_max=$CCW_RTP_MAX"/>\n</include>'),
    ("autoload_configs/event_socket.conf.xml", r'value="8021"', 'value="$${lab_esl}"'),
    ("autoload_configs/switch.conf.xml", r"<settings>", "<settings>\n"
     '    <param name="rtp-start-port" value="$${lab_rtp_min}"/>\n'
     '    <param name="rtp-end-port" value="$${lab_rtp_max}"/>'),
    ("sip_profiles/internal.xml", r'<param name="wss?-binding".*?/>', ""),
    ("autoload_configs/modules.conf.xml", r'<load module="mod_(verto|rtc|signalwire|enum)"/>', ""),
)  # fmt: skip


@pytest.fixture(scope="module")
def conf(freeswitch: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stock configuration of the installed switch, on private ports, with a coach among its users."""
    places = (freeswitch.parents[1] / "conf", freeswitch.parents[1] / "etc/freeswitch", Path("/etc/freeswitch"))
    stock = next((place for place in places if (place / "vars.xml").is_file()), None)
    if stock is None:
        pytest.skip("the installed switch has no stock configuration")
    conf = tmp_path_factory.mktemp("stock") / "freeswitch"
    shutil.copytree(stock, conf)
    for file in conf.glob("sip_profiles/*ipv6*.xml"):
        file.unlink()
    for name, old, new in CHANGES:
        text, count = re.subn(old, new, (conf / name).read_text())
        assert count, f"{name} does not say {old}"
        (conf / name).write_text(text)
    coach = (conf / "directory/default/1019.xml").read_text().replace("1019", COACH)
    (conf / f"directory/default/{COACH}.xml").write_text(coach)
    return conf


def everything(conf: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in conf.rglob("*") if path.is_file())
    return {str(path.relative_to(conf)): (path.read_bytes(), path.stat().st_mode) for path in files}


def command(action: str, conf: Path, *arguments: str, password: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "ccwhisper", "node", action, str(conf), *arguments],
        env={**os.environ, "CCW_ESL_PASSWORD": password},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


class StockNode(PrivateNode):
    """The stock configuration, whose users share one password."""

    def phone_secret(self, user: str) -> str:
        return USERS_PASSWORD


@pytest.fixture(scope="module")
def before(conf: Path) -> dict[str, tuple[bytes, int]]:
    """The configuration as it was."""
    return everything(conf)


@pytest.fixture(scope="module")
def stock_node(freeswitch: Path, conf: Path, before: dict[str, tuple[bytes, int]]) -> Iterator[StockNode]:
    """A switch that runs with it. Its password is the one that the installation has put in."""
    node = StockNode(binary=freeswitch, conf=conf, profiles=("internal", "external", "browsers"))
    found = {(each.rule, each.message) for each in check([conf]).findings}
    assert command("install", conf, "--coach", COACH, "--with", "browsers", "--yes", password=node.esl_password)
    assert {(each.rule, each.message) for each in check([conf]).findings} <= found
    assert everything(conf) != before
    with node:
        yield node


def test_a_call_is_coached_on_the_stock_configuration(stock_node: StockNode, report: Report) -> None:
    with Stage(stock_node, TIMES + SUPERVISORS) as stage:
        scene = stage.call("1001", number="1001", agent_source=Noise(31))
        scene.caller.wait_received(25)
        begin = scene.caller.mark()
        for _ in range(3):
            coach = stage.coach("carla", scene)
            coach.mode("whisper")
            scene.caller.wait_received(25)
            coach.leave()
        scene.caller.wait_received(10)
        found = stage.frames(scene, begin)
        assert found.exact, found
        assert found.matched > 75
        report.say("Installed into the stock configuration", f"three attaches, beeps and whispers: {found}")
        stage.clear()

        scene = stage.call("1001", number="1001")
        coach = stage.coach("carla", scene)
        stage.expect(scene, coaches=[coach], agent={"caller"}, caller={"agent"})
        coach.mode("whisper")
        stage.expect(scene, coaches=[coach], agent={"caller", "carla"}, caller={"agent"})
        coach.mode("barge")
        stage.expect(scene, coaches=[coach], agent={"caller", "carla"}, caller={"agent", "carla"})
        coach.leave()
        stage.clear()

        # The codes came along, with what is said to whoever dials them in vain.
        scene = stage.call("1001", number="1001")
        coach = coach_of(stage, dial(stage, "*341001"))
        hears(stage, scene, coach, "whisper", "*34 on the stock configuration")
        stage.clear()
        assert refused(stage, dial(stage, "*334711")) == "agent_not_found"

        # The coach's phone dials nobody, not even an extension of the stock dialplan.
        phone = stage.phone_of(COACH, "carla")
        for number in ("1001", "9196", "5000"):
            with pytest.raises(CallEnded, match="403"):
                phone.dial(number).wait("up")


def test_a_browser_is_registered_and_reaches_nobody_there(stock_node: StockNode, tmp_path: Path) -> None:
    upstream = Upstream("127.0.0.1", stock_node.browsers_ws_port)
    line = Line("f" * 32, lambda _session: False)
    upstream.send(line.register())
    while not line.registered:
        line.from_switch(upstream.receive())
    assert "Total items returned: 1" in stock_node.api("sofia status profile browsers reg")
    who = f"Via: SIP/2.0/WS x.invalid;branch=z9hG4bK1\r\nFrom: <sip:{line.address}>;tag=1\r\nCSeq: 1 INVITE\r\n"
    where = f"sip:1001@{stock_node.domain}"
    more = f"To: <{where}>\r\nCall-ID: 1001\r\nContact: <{line.contact}>\r\nContent-Length: 0\r\n\r\n"
    upstream.send(f"INVITE {where} SIP/2.0\r\n{who}{more}")
    while (answer := Message.parse(upstream.receive())).status < 200:
        pass
    assert answer.status in (404, 480, 488), answer.start
    upstream.close()
    path = tmp_path / "ccwhisper.toml"
    path.write_text(
        f'[[node]]\nname = "fs1"\nport = {stock_node.esl_port}\npassword_env = "CCW_ESL_PASSWORD"\n'
        f'browsers = "127.0.0.1:{stock_node.browsers_ws_port}"\n'
    )
    found = ids(doctor(stock_node, "--config", str(path), CCWHISPER_JWT_SECRET=secrets.token_hex(32))[1])
    assert not [each for each in found if each[0].startswith(("browsers", "opus"))]


def test_the_doctor_finds_what_the_stock_configuration_lacks_and_nothing_that_was_installed(
    stock_node: StockNode,
) -> None:
    assert ids(doctor(stock_node)[1]) == {
        ("module_for_queues_missing", "mod_callcenter"),
        ("profile_without_digest", "external"),
    }
    user = f"user_data 1001@{stock_node.domain}"
    assert stock_node.api(f"{user} param dial-var-jitterbuffer_msec") == "40"
    assert stock_node.api(f"{user} var rtp_jitter_buffer_during_bridge") == "true"


def test_it_is_taken_out_to_the_byte_while_the_switch_runs(
    stock_node: StockNode, conf: Path, before: dict[str, tuple[bytes, int]]
) -> None:
    again = command("install", conf, "--coach", COACH, "--with", "browsers", "--yes", password=stock_node.esl_password)
    assert again == "There is nothing to change.\n"
    command("uninstall", conf, "--yes", password=stock_node.esl_password)
    assert everything(conf) == before
    assert "+OK" in stock_node.api("reloadxml")
    assert stock_node.api(f"user_data 1001@{stock_node.domain} param dial-var-jitterbuffer_msec").startswith("-ERR")
