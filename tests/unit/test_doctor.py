"""The doctor's judges, by what a real node answered (`tests/live/record_doctor.py`), one thing changed at a time."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from ccwhisper.certificates import self_signed
from ccwhisper.config import Config, load
from ccwhisper.doctor import service
from ccwhisper.doctor.agents import PREFIX
from ccwhisper.doctor.node import APIS, APPLICATIONS
from ccwhisper.doctor.reading import read
from ccwhisper.doctor.rules import NODE, RULES, SERVICE, Finding, Severity
from ccwhisper.doctor.visit import judged
from ccwhisper.settings import IceServer
from ccwhisper.switch.commands import Command
from tests.live.record_doctor import KEPT

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
ANSWERS: Mapping[str, str | None] = json.loads(KEPT.read_text())
PASSWORD = "0123456789abcdef"
USER = "1001@127.0.0.1"
NOW = 1_795_000_000.25
AGENTS = 'json {"command":"callcenter_config","data":{"arguments":"agent list"}}'

Answers = dict[str, str | None]


@pytest.fixture(autouse=True)
def _at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccwhisper.doctor.reading.time.time", lambda: NOW)
    monkeypatch.setattr("ccwhisper.doctor.reading.time.sleep", lambda _seconds: None)


def examined(
    change: Callable[[Answers], object] = lambda _answers: None,
    users: Sequence[str] = (),
    password: str = PASSWORD,
    **more: Any,
) -> list[Finding]:
    answers = {**ANSWERS, "strepoch": str(int(NOW)), "uptime s": "86400"}
    change(answers)

    def ask(commands: Sequence[Command]) -> list[str | None]:
        return [answers.get(command.text) for command in commands]

    return judged(read(ask, password, users, **more))


def replaced(command: str, old: str, new: str, count: int = 1) -> Callable[[Answers], None]:
    def change(answers: Answers) -> None:
        before = answers[command]
        assert before is not None
        assert old in before, f"{command} does not say {old}"
        answers[command] = before.replace(old, new, count)

    return change


def without(kind: str, name: str) -> Callable[[Answers], None]:
    return replaced(f"show {kind} as json", f'"name":"{name}"', '"name":"other"')


def conf(file: str) -> str:
    return f"xml_locate configuration configuration name {file}.conf"


def setting(name: str, old: str, new: str, file: str = "sofia", of: str = "phones") -> Callable[[Answers], None]:
    """The value of a param; of sofia's, in this profile or the next that has it."""

    def change(answers: Answers) -> None:
        whole = answers[conf(file)] or ""
        at = whole.index(f'<profile name="{of}">') if file == "sofia" else 0
        before, after = whole[:at], whole[at:]
        old_text = f'name="{name}" value="{old}'
        assert old_text in after
        answers[conf(file)] = before + after.replace(old_text, f'name="{name}" value="{new}', 1)

    return change


def said(command: str, answer: str | None) -> Callable[[Answers], None]:
    return lambda answers: answers.update({command: answer})


def both(*changes: Callable[[Answers], object]) -> Callable[[Answers], None]:
    def change(answers: Answers) -> None:
        for each in changes:
            each(answers)

    return change


def profile(name: str, old: str, new: str) -> Callable[[Answers], None]:
    """A setting of the browsers' profile."""
    return setting(name, old, new, of="browsers")


def last(name: str, old: str, new: str) -> Callable[[Answers], None]:
    """A setting of the last profile that has it."""

    def change(answers: Answers) -> None:
        before, found, after = (answers[conf("sofia")] or "").rpartition(f'name="{name}" value="{old}')
        assert found
        answers[conf("sofia")] = f'{before}name="{name}" value="{new}{after}'

    return change


def scraped(name: str) -> Callable[[Answers], object]:
    """The same, taken away."""

    def change(answers: Answers) -> None:
        before = answers[conf("sofia")] or ""
        answers[conf("sofia")], count = re.subn(rf'<param name="{name}" value="[^"]*"></param>', "", before)
        assert count

    return change


DIAL = f"user_data {USER} param dial-var-jitterbuffer_msec"
OWN = f"user_data {USER} var jitterbuffer_msec"
CONTACT = "[jitterbuffer_msec=40,rtp_jitter_buffer_during_bridge=true,leg_timeout=20]"
PUBLIC = "8.8.8.8"
SOCKET = "event_socket_clients"
CARRIER = replaced(conf("sofia"), 'name="apply-inbound-acl" value="trunk_peers"', 'name="ignored" value=""')
PORTS = "-".join(re.findall(r'name="rtp-(?:start|end)-port" value="(\d+)"', ANSWERS[conf("switch")] or ""))

CASES: dict[str, tuple[str, str, Callable[[Answers], object]]] = {
    "a module": ("module_missing", "mod_tone_stream", said("module_exists mod_tone_stream", "false")),
    "no queues": ("module_for_queues_missing", "mod_callcenter", said("module_exists mod_callcenter", "false")),
    "no browsers": ("module_for_browsers_missing", "mod_opus", said("module_exists mod_opus", "false")),
    "no wideband": ("module_for_g722_missing", "mod_spandsp", said("module_exists mod_spandsp", "false")),
    "no eavesdrop": ("interface_missing", "application eavesdrop", without("application", "eavesdrop")),
    "no displace": ("interface_missing", "api uuid_displace", without("api", "uuid_displace")),
    "strangers at the socket": ("event_socket_open", SOCKET, said(f"acl 203.0.113.1 {SOCKET}", "true")),
    "strangers by IPv6": ("event_socket_open", SOCKET, said(f"acl 2001:db8::1 {SOCKET}", "true")),
    "everywhere": ("event_socket_listens_widely", "::", setting("listen-ip", "127.0.0.1", "::", "event_socket")),
    "in public": ("event_socket_listens_widely", PUBLIC, setting("listen-ip", "127.0.0.1", PUBLIC, "event_socket")),
    "no profile": ("profile_missing", "sofia", said("sofia xmlstatus", "<profiles></profiles>")),
    "a profile is down": ("profile_down", "trunk", replaced("sofia xmlstatus", "<name>trunk<", "<name>gone<")),
    "nobody is asked": ("profile_without_digest", "trunk", CARRIER),
    "an open list": ("profile_open_acl", "trunk", said("acl 203.0.113.1 trunk_peers", "true")),
    "blind calls": ("profile_believes_unproved", "phones", setting("accept-blind-auth", "false", "true")),
    "blind registrations": ("profile_believes_unproved", "phones", setting("accept-blind-reg", "false", "yes")),
    "browsers": ("browsers_exposed", "browsers", profile("ws-binding", "127.0.0.1", "")),
    "browsers in public": ("browsers_exposed", "browsers", profile("ws-binding", "127.0.0.1", PUBLIC)),
    "browsers wherever it happens to be": ("browsers_exposed", "browsers", scraped("sip-ip")),
    "numbers for browsers": (
        "browsers_context_exists", "browsers", said("xml_locate dialplan context name nowhere", "<context/>")
    ),
    "users as browsers": (
        "browsers_register_users", "browsers", said("xml_locate directory domain name browser.invalid", "<domain/>")
    ),
    "any domain": ("browsers_register_users", "browsers", scraped("force-register-domain")),
    "no page registers": ("browsers_cannot_register", "browsers", scraped("apply-register-acl")),
    "public browsers only": ("browsers_addresses_refused", "browsers", scraped("apply-candidate-acl")),
    "nobody at home": ("browsers_addresses_refused", "browsers", said("acl 203.0.113.1 any_v4.auto", "false")),
    "media here": ("browsers_media_on_loopback", "browsers", last("rtp-ip", "127.0.0.1", "192.0.2.1")),
    "media inside": ("browsers_media_private", "browsers", profile("rtp-ip", "127.0.0.1", "10.0.0.5")),
    "many bits": ("opus_bits_many", "opus.conf", setting("maxaveragebitrate", "24000", "64000", "opus")),
    "any bits": ("opus_bits_many", "opus.conf", setting("maxaveragebitrate", "24000", "0", "opus")),
    "hi-fi": ("opus_rate_high", "opus.conf", setting("maxplaybackrate", "16000", "48000", "opus")),
    "INFO": ("extended_info_parsing", "phones", setting("extended-info-parsing", "false", "true")),
    "messages": ("fire_message_events", "phones", setting("fire-message-events", "false", "1")),
    "bypass": ("bypass_media", "phones", setting("inbound-bypass-media", "false", "true")),
    "proxy": ("proxy_media", "phones", setting("inbound-proxy-media", "false", "on")),
    "no G.711": ("codec_g711_missing", "phones", setting("inbound-codec-prefs", "PCMU,PCMA,", "")),
    "no Opus": ("codec_not_loaded", "phones", without("codec", "OPUS (STANDARD)")),
    "no timer": ("rtp_timer_missing", "phones", setting("rtp-timer-name", "soft", "none")),
    "another timer": ("rtp_timer_missing", "phones", setting("rtp-timer-name", "soft", "timerfd")),
    "dialled bare": ("jitter_buffer_missing", USER, both(replaced(AGENTS, CONTACT, ""), said(DIAL, None))),
    "dialled short": ("jitter_buffer_missing", USER, both(replaced(AGENTS, CONTACT, ""), said(DIAL, "5"))),
    "dialled by address": ("jitter_buffer_missing", USER, replaced(AGENTS, CONTACT + "user/", "sofia/phones/")),
    "calls bare": ("jitter_buffer_missing_on_own_calls", USER, said(OWN, None)),
    "clock ahead": ("clock_differs", "clock", said("strepoch", str(int(NOW) + 60))),
    "clock behind": ("clock_differs", "clock", said("strepoch", str(int(NOW) - 60))),
    "coarse timer": ("timer_coarse", "soft timer", said("timer_test 20 10 soft", "Avg: 31.2ms Total Time: 312.0ms")),
    "sessions": ("sessions_nearly_used", "max-sessions", replaced("status", "- peak 0, last", "- peak 1900, last")),
    "rate": ("rate_nearly_used", "sessions-per-second", replaced("status", "max 300, peak 0", "max 300, peak 290")),
    "busy": ("cpu_busy", "cpu", lambda a: a.update(status=re.sub(r"cpu \S+", "cpu 0.00/7.50", a["status"] or ""))),
    "few ports": (
        "rtp_ports_few", "16000-16100",
        lambda a: a.update({
            conf("switch"): re.sub(r'(rtp-(start|end)-port" value=")\d+',
                                   lambda m: m[1] + ("16000" if m[2] == "start" else "16100"), a[conf("switch")] or "")
        }),
    ),
    "another version": ("version_not_proved", "FreeSWITCH", said("version", "FreeSWITCH Version 1.10.12-release (x)")),
    "an old version": ("version_too_old", "FreeSWITCH", said("version", "FreeSWITCH Version 1.8.7 (git 6047ebd)")),
    "garbage": ("answer_not_understood", "show codec as json", said("show codec as json", "what?")),
}  # fmt: skip


def test_a_node_as_it_should_be_lacks_nothing() -> None:
    assert examined(users=[USER]) == []


@pytest.mark.parametrize("case", CASES)
def test_what_is_lacking_is_found_and_nothing_else(case: str) -> None:
    rule, subject, change = CASES[case]
    found = {(each.id, each.subject) for each in examined(change)}
    also = {
        "no profile": {("profile_down", name) for name in ("browsers", "phones", "trunk")},
        "no Opus": {("codec_not_loaded", "trunk"), ("codec_not_loaded", "browsers")},
        "sessions": {("rtp_ports_few", PORTS)},
    }
    assert found == {(rule, subject)} | also.get(case, set())


def test_a_setting_that_is_on_in_one_profile_is_named_with_it() -> None:
    (found,) = examined(CASES["INFO"][2])
    assert 'profile phones: <param name="extended-info-parsing" value="false"/>' in found.mend
    assert "sofia profile phones restart" in found.mend


@pytest.mark.parametrize(
    ("password", "rule"), [("ClueCon", "event_socket_stock_password"), ("short", "event_socket_weak_password")]
)
def test_the_password(password: str, rule: str) -> None:
    (found,) = examined(password=password)
    assert found.id == rule
    assert "short" not in f"{found.message}{found.mend}"


# --- the browsers' profile, from where the service is ----------------------------------------------------------------

UPGRADE = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


@pytest.fixture
def answering() -> Iterator[Callable[[str | None], tuple[str, int]]]:
    """Somebody who answers whoever connects once, or not at all; and where that is."""
    threads: list[threading.Thread] = []
    with contextlib.ExitStack() as stack:

        def answer(text: str | None) -> tuple[str, int]:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve() -> None:
                end, _ = server.accept()
                with end:
                    heard = b""
                    while b"\r\n\r\n" not in heard:
                        heard += end.recv(4096)
                    if text is None:
                        assert end.recv(1) == b""  # the other side has given up
                    end.sendall((text or "").encode())

            threads.append(threading.Thread(target=serve))
            threads[-1].start()
            return "127.0.0.1", int(server.getsockname()[1])

        yield answer
        for thread in threads:
            thread.join(20)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (f"{UPGRADE}Sec-WebSocket-Protocol: sip\r\n\r\n", None),
        (f"{UPGRADE}\r\n", "not for SIP"),
        (f"{UPGRADE}Sec-WebSocket-Protocol: other\r\n\r\n", "not for SIP"),
        ("SIP/2.0 400 Bad Request\r\n\r\n", "not with a WebSocket"),
        ("", "not with a WebSocket"),
        (None, "does not answer"),
    ],
)
def test_the_profile_is_where_the_service_looks_for_it(
    answering: Callable[[str | None], tuple[str, int]], monkeypatch: pytest.MonkeyPatch, answer: str | None,
    words: str | None,
) -> None:  # fmt: skip
    if answer is None:
        monkeypatch.setattr("ccwhisper.doctor.door.PATIENCE", 0.2)
    found = examined(browsers=answering(answer))
    assert [each.id for each in found] == ([] if words is None else ["browsers_unreachable"])
    assert all(words is not None and words in each.message for each in found)


def test_nobody_is_where_the_service_looks_for_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        where = ("127.0.0.1", int(gone.getsockname()[1]))
    (found,) = examined(browsers=where)
    assert (found.id, found.subject) == ("browsers_unreachable", f"127.0.0.1:{where[1]}")
    assert "connection refused" in found.message
    assert "ws-binding is 127.0.0.1:" in found.message
    other = both(
        replaced(conf("sofia"), '<profile name="browsers"', '<profile name="other"'),
        replaced("sofia xmlstatus", "<name>browsers<", "<name>other<", 2),
    )
    (found,) = examined(other, browsers=where)
    assert found.id == "browsers_profile_missing"


def test_a_switch_on_this_machine_has_a_certificate_for_its_media(tmp_path: Path) -> None:
    folder = said("global_getvar certs_dir", str(tmp_path))
    assert [each.id for each in examined(folder, local=True)] == ["browsers_certificate_missing"]
    (tmp_path / "dtls-srtp.pem").touch()
    assert examined(folder, local=True) == []
    assert examined(said("global_getvar certs_dir", str(tmp_path / "not-for-us")), local=True) == []


def test_an_agent_of_the_file_whom_the_directory_does_not_have() -> None:
    (found,) = examined(said("user_exists id 7777 127.0.0.1", "false"), users=["7777@127.0.0.1"])
    assert (found.id, found.subject) == ("agent_unknown", "7777@127.0.0.1")


def test_own_calls_may_get_the_buffer_from_their_dialplan() -> None:
    part = (ROOT / "dialplans/agent-legs.xml").read_text()
    context = part.replace("<include>", '<context name="agents">').replace("</include>", "</context>")
    bare = both(said(OWN, None), said(f"user_data {USER} var rtp_jitter_buffer_during_bridge", None))
    name = "xml_locate dialplan context name agents"
    assert [each.id for each in examined(bare)] == ["jitter_buffer_missing_on_own_calls"]
    assert examined(both(bare, said(name, context[context.index("<context") :]))) == []


def test_the_prefix_that_is_told_is_the_one_that_is_enough() -> None:
    mended = replaced(AGENTS, CONTACT + "user/", PREFIX + "sofia/phones/")
    assert examined(mended) == []


def test_a_password_in_a_contact_is_not_shown() -> None:
    (found,) = examined(replaced(AGENTS, CONTACT + "user/", "[sip_auth_password=hidden]sofia/phones/"))
    assert found.id == "jitter_buffer_missing"
    assert "hidden" not in found.mend


@pytest.mark.parametrize(
    ("buffer", "channels", "ids"),
    [("40", "1", []), (None, "1", ["jitter_buffer_missing_on_leg"]), ("40", "2", ["agent_in_stereo"])],
)
@pytest.mark.parametrize("user", ["1001", "9001"])
def test_a_leg_that_is_up(user: str, buffer: str | None, channels: str, ids: list[str]) -> None:
    leg = "8d6d2a53-0000-4000-8000-000000000001"
    dump = {
        "Unique-ID": leg, "Call-Direction": "outbound", "Answer-State": "answered",
        "variable_dialed_user": user, "variable_dialed_domain": "127.0.0.1",
        "variable_rtp_jitter_buffer_during_bridge": "true", "variable_jitterbuffer_msec": buffer,
        "variable_rtp_use_codec_channels": channels,
    }  # fmt: skip
    up = said("show channels as json", json.dumps({"row_count": 1, "rows": [{"uuid": leg}]}))
    found = examined(both(up, said(f"uuid_dump {leg} json", json.dumps(dump))))
    assert [(each.id, each.subject) for each in found] == [(each, leg) for each in ids if user == "1001"]


@pytest.mark.parametrize("dump", ["[]", "null", "-ERR", '"text"', "1"])
def test_a_leg_of_which_the_switch_says_something_else(dump: str) -> None:
    leg = "8d6d2a53-0000-4000-8000-000000000001"
    up = said("show channels as json", json.dumps({"row_count": 1, "rows": [{"uuid": leg}]}))
    assert examined(both(up, said(f"uuid_dump {leg} json", dump))) == []


def test_every_list_is_read_again_while_the_node_is_young(monkeypatch: pytest.MonkeyPatch) -> None:
    """`show` lags: what it lists just after the start is not all there is."""
    answers = {**ANSWERS, "strepoch": str(int(NOW)), "uptime s": "2"}
    whole = answers["show codec as json"]
    late = iter(['{"rows":[]}', '{"rows":[{"name":"G.711 ulaw"}]}', '{"rows":[{"name":"OPUS (STANDARD)"}]}'])

    def ask(commands: Sequence[Command]) -> list[str | None]:
        return [next(late, whole) if each.text == "show codec as json" else answers.get(each.text) for each in commands]

    assert judged(read(ask, PASSWORD)) == []


def test_no_answer_at_all_is_no_traceback() -> None:
    ids = {each.id for each in judged(read(lambda commands: [None] * len(commands), PASSWORD))}
    assert {"module_missing", "answer_not_understood"} <= ids


# --- the service's own configuration ---------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "ccwhisper.toml"
    path.write_text('[[node]]\nname = "fs1"\npassword_env = "ESL"\n')
    return load(path, {"ESL": PASSWORD, "CCWHISPER_JWT_SECRET": "00112233445566778899aabbccddeeff"})


def lacking(config: Config, wrong: tuple[str, str] | None = None) -> list[str]:
    return [each.id for each in service.configuration(config, lambda: wrong)]


def test_a_configuration_as_it_should_be_lacks_nothing(config: Config) -> None:
    assert list(service.pins()) == []
    assert lacking(config) == []


def test_what_the_configuration_lacks(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(**parts: object) -> Config:
        return type(config)(**{name: parts.get(name, getattr(config, name)) for name in config.__dataclass_fields__})

    assert lacking(config, ("schema_missing", "no schema")) == ["store_unusable"]
    config.state_directory.mkdir(mode=0o750)
    assert lacking(config) == ["state_directory_open"]
    config.state_directory.chmod(0o700)
    assert lacking(changed(jwt_secret=SecretStr("secretsecretsecretsecretsecretsecret"))) == ["secret_guessable"]
    jwks = config.auth.model_copy(update={"jwks_url": "https://id.example.org/keys"})
    assert lacking(changed(auth=jwks, jwt_secret=None)) == ["token_audience_unchecked"]
    wide = config.service.model_copy(update={"listen": "0.0.0.0:8810"})
    assert lacking(changed(service=wide)) == ["http_beyond_loopback"]
    expired, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    for path, content in zip((expired, key), self_signed(days=3), strict=True):
        path.write_bytes(content)
        path.chmod(0o640)
    given = {"certificate": str(expired), "key": str(key)}
    assert lacking(changed(service=wide.model_copy(update=given))) == ["certificate_expires"]
    key.chmod(0o644)
    assert lacking(changed(service=config.service.model_copy(update=given))) == ["certificate_expires", "key_open"]
    for path, content in zip((expired, key), self_signed(days=30), strict=True):
        path.write_bytes(content)
    assert lacking(changed(service=wide.model_copy(update=given))) == ["key_open"]
    urls = ["stun:127.0.0.1", "turns:[::1]:443?transport=tcp", "stun:localhost:3478", "stun:nobody.invalid"]
    ice = config.browser_phone.model_copy(update={"ice_servers": [IceServer(urls=urls)]})
    known = {"localhost", "127.0.0.1", "::1"}

    def resolved(name: str, _port: None) -> None:
        if name not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(service.socket, "getaddrinfo", resolved)
    found = service.configuration(changed(browser_phone=ice), lambda: None)
    assert [(each.id, each.subject) for each in found] == [("ice_server_unknown", "nobody.invalid")]
    monkeypatch.setattr(service, "version", lambda _name: "0.0.20")
    assert [each.id for each in service.pins()] == ["greenswitch_version"]


def test_the_pin_is_the_one_of_the_package() -> None:
    assert f"greenswitch=={service.GREENSWITCH}\n" in (ROOT / "setup.cfg").read_text()


# --- the rules -------------------------------------------------------------------------------------------------------


def test_every_rule_is_described_with_its_severity() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", (ROOT / "docs/doctor.md").read_text(), re.MULTILINE)
    assert {name: Severity(word) for name, word in rows} == {name: rule.severity for name, rule in RULES.items()}
    assert len(rows) == len(RULES) == len(NODE) + len(SERVICE)


def test_every_command_of_the_service_is_asked_for() -> None:
    """What the service says to a switch, out of the module that writes it."""
    text = (ROOT / "ccwhisper/switch/commands.py").read_text()
    used = set(re.findall(r'(?:Command\(|text = )f?"([a-z_]+) ', text)) | {"json"}
    assert used - {"sendevent", "event", "bgapi"} <= set(APIS), used
    assert {"eavesdrop", "park"} <= set(APPLICATIONS)
