"""The doctor at real nodes: one as it should be, and some that lack things. The command as people run it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ccwhisper.proof.node import PrivateNode, default_conf
from ccwhisper.proof.stage import Stage, wait_until
from tests.e2e.service import PATIENCE

pytestmark = pytest.mark.live

LOAD = {"cpu_busy", "timer_coarse"}
"""What else runs on this machine is not the node's fault."""


def doctor(node: PrivateNode, *arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
    """Exit code and answer."""
    given = arguments or ("--host", node.host, "--port", str(node.esl_port))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "ccwhisper", "doctor", "--json", *given],
        env={**os.environ, "CCW_ESL_PASSWORD": node.esl_password, **environment},
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert node.esl_password == "ClueCon" or node.esl_password not in done.stdout
    return done.returncode, json.loads(done.stdout)


def ids(answer: dict[str, Any]) -> set[tuple[str, str]]:
    found = {(each["id"], each["subject"]) for section in answer["checked"] for each in section["findings"]}
    return {each for each in found if each[0] not in LOAD}


@pytest.fixture
def odd(freeswitch: Path, tmp_path: Path) -> Iterator[Callable[..., PrivateNode]]:
    """Nodes of `freeswitch-conf/` in which something is written otherwise: file, what stands there, what shall."""
    nodes: list[PrivateNode] = []

    def boot(*changes: tuple[str, str, str], password: str | None = None, **environment: str) -> PrivateNode:
        conf = tmp_path / f"conf{len(nodes)}"
        shutil.copytree(default_conf(), conf)
        for file, old, new in changes:
            path = conf / file
            text, count = re.subn(old, lambda _found, new=new: new, path.read_text())
            assert count, f"{file} does not say {old}"
            path.write_text(text)
        node = PrivateNode(binary=freeswitch, conf=conf, environment=environment)
        node.esl_password = password or node.esl_password
        nodes.append(node)
        return node.start()

    yield boot
    for node in nodes:
        node.close()


MODULES = "autoload_configs/modules.conf.xml"
SWITCH = "autoload_configs/switch.conf.xml"
SOCKET = "autoload_configs/event_socket.conf.xml"
LISTS = "autoload_configs/acl.conf.xml"
PHONES = "sip_profiles/phones.xml"
TRUNK = "sip_profiles/trunk.xml"
BROWSERS = "sip_profiles/browsers.xml"
OPUS = "autoload_configs/opus.conf.xml"


def test_a_node_as_it_should_be_lacks_nothing(whole_stage: Stage) -> None:
    service = whole_stage.service
    config = ("--config", str(service.config))
    code, answer = doctor(whole_stage.node, *config, CCWHISPER_JWT_SECRET=service.secret)
    # The stage's own directory is not made by the service alone.
    assert ids(answer) == set()
    assert [section["name"] for section in answer["checked"]] == ["configuration", "fs1"]
    assert code == (0 if answer["ok"] else 1)


def test_modules_and_interfaces_that_are_not_there(odd: Callable[..., PrivateNode]) -> None:
    gone = "mod_tone_stream|mod_opus|mod_spandsp|mod_callcenter|mod_sndfile"
    node = odd(
        (MODULES, rf'<load module="({gone})"/>', ""),
        (SWITCH, "</configuration>", f"{allowed()}</configuration>"),
    )
    code, answer = doctor(node)
    assert code == 1
    assert ids(answer) == {
        ("module_missing", "mod_tone_stream"),
        ("module_missing", "mod_sndfile"),
        ("module_for_queues_missing", "mod_callcenter"),
        ("module_for_browsers_missing", "mod_opus"),
        ("module_for_g722_missing", "mod_spandsp"),
        *(("codec_not_loaded", profile) for profile in profiles()),
        ("codec_not_loaded", "browsers"),
        ("interface_missing", "application eavesdrop"),
        ("interface_missing", "api uuid_displace"),
    }


def profiles() -> list[str]:
    """Of `freeswitch-conf/`; all of them name Opus and G.722."""
    texts = (path.read_text() for path in (default_conf() / "sip_profiles").glob("*.xml"))
    return [name for text in texts for name in re.findall(r'<profile name="(\w+)"', text)]


def allowed() -> str:
    """Everything that a node like this offers but eavesdrop and uuid_displace."""
    with PrivateNode() as node:
        whole = node.api("interface_allowlist_dump")
    return re.sub(r'<allow name="[^"]*\.(eavesdrop\.app|uuid_displace\.api)"/>|<!--.*?-->', "", whole)


def off(name: str) -> str:
    return rf'<param name="{name}" value="[^"]*"/>'


def on(name: str, value: str = "true") -> str:
    return f'<param name="{name}" value="{value}"/>'


def test_doors_that_stand_open(odd: Callable[..., PrivateNode]) -> None:
    node = odd(
        (SOCKET, re.escape("$${ccw_esl_password}"), "ClueCon"),
        (SOCKET, off("listen-ip"), on("listen-ip", "0.0.0.0")),
        (MODULES, re.escape("$${ccw_esl_module}"), "mod_event_socket"),
        (LISTS, 'event_socket_clients" default="deny"', 'event_socket_clients" default="allow"'),
        *((PHONES, off(name), on(name)) for name in (
            "accept-blind-auth", "accept-blind-reg", "extended-info-parsing", "fire-message-events",
            "inbound-bypass-media", "inbound-proxy-media",
        )),
        (PHONES, off("nonce-ttl"), on("apply-inbound-acl", "event_socket_clients")),
        (TRUNK, off("apply-inbound-acl"), ""),
        password="ClueCon",
    )  # fmt: skip
    code, answer = doctor(node)
    assert code == 1
    assert ids(answer) == {
        ("event_socket_stock_password", SOCKET),
        ("event_socket_open", "event_socket_clients"),
        ("event_socket_listens_widely", "0.0.0.0"),
        ("profile_open_acl", "phones"),
        ("profile_believes_unproved", "phones"),
        ("extended_info_parsing", "phones"),
        ("fire_message_events", "phones"),
        ("bypass_media", "phones"),
        ("proxy_media", "phones"),
        ("profile_without_digest", "trunk"),
    }


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that a profile cannot have, and where calls ring for ever."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as somebody:
        somebody.bind(("127.0.0.1", 0))
        yield somebody.getsockname()[1]


def test_what_costs_audio_and_room(odd: Callable[..., PrivateNode], tmp_path: Path, taken: int) -> None:
    third = f'<profile name="third"><settings>{on("sip-ip", "127.0.0.1")}{on("sip-port", str(taken))}'
    ours = r'<(param|variable) name="(dial-var-)?(jitterbuffer_msec|rtp_jitter_buffer_during_bridge)" value="\w+"/>'
    node = odd(
        (SWITCH, off("max-sessions"), on("max-sessions", "2")),
        (PHONES, off("inbound-codec-prefs"), on("inbound-codec-prefs", "OPUS,G722")),
        (PHONES, off("rtp-timer-name"), on("rtp-timer-name", "none")),
        ("autoload_configs/sofia.conf.xml", "</profiles>", f"{third}</settings></profile></profiles>"),
        ("directory/domain.xml", ours, ""),
        ("autoload_configs/callcenter.conf.xml", re.escape("jitterbuffer_msec=40,"), ""),
        CCW_RTP_MIN="16000", CCW_RTP_MAX="16010",
    )  # fmt: skip
    for _ in range(2):
        node.api(f"bgapi originate sofia/phones/nobody@127.0.0.1:{taken} &park()")
    wait_until("both are counted", lambda: "2 session(s) - peak 2" in node.api("status"), 30)
    path = tmp_path / "ccwhisper.toml"
    path.write_text(
        f'[[node]]\nname = "fs1"\nport = {node.esl_port}\npassword_env = "CCW_ESL_PASSWORD"\n'
        f'[agent.one]\nname = "One"\nusers = ["7777@{node.domain}"]\n'
    )
    code, answer = doctor(node, "--config", str(path), CCWHISPER_JWT_SECRET="ab" * 32)
    assert code == 1
    assert ids(answer) == {
        ("secret_guessable", "CCWHISPER_JWT_SECRET"),
        ("sessions_nearly_used", "max-sessions"),
        ("rtp_ports_few", "16000-16010"),
        ("codec_g711_missing", "phones"),
        ("rtp_timer_missing", "phones"),
        ("profile_down", "third"),
        ("profile_without_digest", "third"),
        ("agent_unknown", f"7777@{node.domain}"),
        *(("jitter_buffer_missing", f"{user}@{node.domain}") for user in ("1001", "1002", "1004")),
        *(("jitter_buffer_missing_on_own_calls", f"{user}@{node.domain}") for user in ("1001", "1002", "1004")),
    }


def test_a_door_for_browsers_that_is_open_or_shut(odd: Callable[..., PrivateNode], tmp_path: Path) -> None:
    node = odd(
        (BROWSERS, off("context"), on("context", "agents")),
        (BROWSERS, off("force-register-domain"), on("force-register-domain", "$${ccw_domain}")),
        (BROWSERS, off("apply-register-acl"), ""),
        (BROWSERS, off("apply-candidate-acl"), ""),
        (BROWSERS, off("rtp-ip"), on("rtp-ip", "10.1.2.3")),
        (OPUS, off("maxaveragebitrate"), on("maxaveragebitrate", "64000")),
        (OPUS, off("maxplaybackrate"), ""),
    )
    path = tmp_path / "ccwhisper.toml"
    there = f'[[node]]\nname = "fs1"\nport = {node.esl_port}\npassword_env = "CCW_ESL_PASSWORD"\n'
    path.write_text(there + f'browsers = "127.0.0.1:{node.phones_port}"\n')  # SIP over TCP, and no WebSocket
    code, answer = doctor(node, "--config", str(path), CCWHISPER_JWT_SECRET=secrets.token_hex(32))
    assert code == 1
    assert ids(answer) == {
        ("browsers_unreachable", f"127.0.0.1:{node.phones_port}"),
        ("browsers_context_exists", "browsers"),
        ("browsers_register_users", "browsers"),
        ("browsers_cannot_register", "browsers"),
        ("browsers_addresses_refused", "browsers"),
        ("browsers_media_private", "browsers"),
        ("opus_bits_many", "opus.conf"),
        ("opus_rate_high", "opus.conf"),
    }
    path.write_text(there + f'browsers = "127.0.0.1:{node.browsers_ws_port}"\n')
    _, answer = doctor(node, "--config", str(path), CCWHISPER_JWT_SECRET=secrets.token_hex(32))
    assert ("browsers_context_exists", "browsers") in ids(answer)
    assert not {each for each in ids(answer) if each[0] == "browsers_unreachable"}


def test_a_call_without_a_jitter_buffer(bare_stage: Stage) -> None:
    scene = bare_stage.call("1003")
    service = bare_stage.service
    leg = bare_stage.leg_of(scene.agent)
    config = ("--config", str(service.config))
    assert ("jitter_buffer_missing_on_leg", leg) in ids(
        doctor(bare_stage.node, *config, CCWHISPER_JWT_SECRET=service.secret)[1]
    )
    coach = bare_stage.coach("carla", scene, agent="1003")
    coach.mode("whisper")  # the service mends it, and the doctor sees that
    assert ("jitter_buffer_missing_on_leg", leg) not in ids(
        doctor(bare_stage.node, *config, CCWHISPER_JWT_SECRET=service.secret)[1]
    )


def test_an_agent_on_stereo_opus(stage: Stage) -> None:
    service = stage.service
    config = ("--config", str(service.config))
    scene = stage.call("1001", agent_codecs=("opus/stereo",))
    leg = stage.leg_of(scene.agent)
    assert ("agent_in_stereo", leg) in ids(doctor(stage.node, *config, CCWHISPER_JWT_SECRET=service.secret)[1])
    scene.hang_up()
    mono = stage.leg_of(stage.call("1002", agent_codecs=("opus",)).agent)
    assert ("agent_in_stereo", mono) not in ids(doctor(stage.node, *config, CCWHISPER_JWT_SECRET=service.secret)[1])


def test_a_password_that_is_wrong_and_a_node_that_is_away(node: PrivateNode) -> None:
    code, answer = doctor(node, CCW_ESL_PASSWORD="not-the-password")
    assert (code, {each[0] for each in ids(answer)}) == (6, {"node_unreachable"})
    code, answer = doctor(node, "--host", "127.0.0.1", "--port", "1")
    assert (code, ids(answer)) == (6, {("node_unreachable", "127.0.0.1:1")})
