"""https: the service's own certificate, who is let in with it, and what goes over it."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
import gevent.socket
import pytest
import simple_websocket
from gevent.pool import Pool
from gevent.ssl import SSLContext

from ccwhisper import certificates
from ccwhisper.web import secured
from ccwhisper.web.browser_phones import EXPIRED, PATH
from ccwhisper.web.secured import Secured
from ccwhisper.web.websocket import Whole, converse
from tests.e2e.registrar import Page, Registrar, heard
from tests.e2e.service import PATIENCE, SECRET, Service, token
from tests.e2e.test_cli import environment, ran

pytestmark = pytest.mark.e2e

Files = tuple[Path, Path]


def written(folder: Path, *names: str, days: int = 30) -> Files:
    folder.mkdir(exist_ok=True)
    made = folder / "certificate.pem", folder / "key.pem"
    for path, content in zip(made, certificates.self_signed(names or certificates.LOCAL, days), strict=True):
        path.write_bytes(content)
    return made


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return written(tmp_path / "tls")


@pytest.fixture
def service(registrar_and_service: tuple[Registrar, Service]) -> Service:
    return registrar_and_service[1]


def trusting(ca: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)


def fingerprint(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port))


class SecurePage(Page):
    """An open page, over TLS."""

    def __init__(self, service: Service, bearer: str, ca: Path) -> None:
        offered = ["ccwhisper.phone", f"bearer.{bearer}"]
        where = f"wss://localhost:{service.port}{PATH}"
        self.ws = simple_websocket.Client(where, subprotocols=offered, ssl_context=trusting(ca))
        self.device = ""


# --- who gets in -----------------------------------------------------------------------------------------------------


def test_the_command_trusts_what_it_is_told_to(service: Service, files: Files, tmp_path: Path) -> None:
    call = service.call()
    env = environment(service)
    assert service.url.startswith("https://")
    said = ran("calls", "--json", "--ca", str(files[0]), env=env)
    assert [each["id"] for each in json.loads(said.stdout)["calls"]] == [call]
    assert ran("calls", env={**env, "CCWHISPER_CA": str(files[0])}).returncode == 0
    refused = ran("calls", env=env)
    assert refused.returncode == 6
    assert "[certificate_not_trusted]" in refused.stderr
    other = written(tmp_path / "other")[0]
    assert "[certificate_not_trusted]" in ran("calls", "--ca", str(other), env=env).stderr
    broken = ran("audit", "--export", "csv", "--ca", str(other), env=env)
    assert "[certificate_not_trusted]" in broken.stderr
    assert "[ca_unreadable]" in ran("calls", "--ca", str(tmp_path / "nowhere"), env=env).stderr
    assert "[ca_unreadable]" in ran("calls", "--ca", str(files[1]), env=env).stderr


def test_old_protocols_and_other_names_are_refused(service: Service, files: Files) -> None:
    old = trusting(files[0])
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")  # or this side would not even try
    with socket.create_connection(("127.0.0.1", service.port)) as sock, pytest.raises(ssl.SSLError, match="PROTOCOL"):
        old.wrap_socket(sock, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", service.port)) as sock, pytest.raises(ssl.SSLCertVerificationError):
        trusting(files[0]).wrap_socket(sock, server_hostname="example.org")


def test_who_speaks_no_tls_is_dropped_and_costs_nothing(
    service: Service, files: Files, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(secured, "HANDSHAKE_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", service.port), PATIENCE) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with suppress(ConnectionResetError):
            assert b"HTTP/1" not in plain.recv(1000)
    with socket.create_connection(("127.0.0.1", service.port), PATIENCE) as silent:
        assert silent.recv(1000) == b""
    with socket.create_connection(("127.0.0.1", service.port), PATIENCE) as sock:
        short = trusting(files[0]).wrap_socket(sock, server_hostname="localhost")
        short.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n")  # and goes in the middle of it
        short.close()
    assert ran("calls", "--ca", str(files[0]), env=environment(service)).returncode == 0
    assert "Traceback" not in capfd.readouterr().err


# --- WebSockets ------------------------------------------------------------------------------------------------------


def test_what_is_longer_than_a_record_does_not_wait_for_more(files: Files) -> None:
    """SIP with all the addresses of a browser is longer than what simple-websocket reads at a time."""

    def answered(ws: Any) -> None:
        with suppress(simple_websocket.ConnectionClosed):
            while True:
                ws.send(str(len(ws.receive())))

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        return converse(environ, start_response, answered, "sip", 65536, 3600)

    server = Secured(("127.0.0.1", 0), app, Pool(), certificates.context(*files, SSLContext))  # type: ignore[arg-type]
    server.start()

    def talk() -> list[str | bytes | None]:
        where = f"wss://localhost:{server.server_port}/"
        ws = simple_websocket.Client(where, subprotocols=["sip"], ssl_context=trusting(files[0]))
        try:
            return [(ws.send("x" * size), ws.receive(timeout=PATIENCE))[1] for size in (1, 4090, 9000, 40000)]
        finally:
            ws.close()
            ws.thread.join(PATIENCE)

    try:
        found = gevent.get_hub().threadpool.spawn(talk).get(timeout=2 * PATIENCE)
    finally:
        server.stop()
    assert found == ["1", "4090", "9000", "40000"]


def test_a_page_is_a_phone_until_its_token_ends(service: Service, registrar: Registrar, files: Files) -> None:
    page = SecurePage(service, token(exp=int(time.time()) + 2), files[0])
    assert json.loads(page.receive())["device"]
    assert heard(registrar, "REGISTER").one("expires") == "120"
    assert page.closed() == EXPIRED
    assert heard(registrar, "REGISTER").one("expires") == "0"


def test_who_waits_for_the_next_record_is_told_that_the_connection_is_shut(files: Files) -> None:
    ours, theirs = gevent.socket.socketpair()
    accepting = gevent.spawn(certificates.context(*files, SSLContext).wrap_socket, ours, server_side=True)
    trusted = SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusted.load_verify_locations(files[0])
    client = trusted.wrap_socket(theirs, server_hostname="localhost")
    server = Whole(accepting.get(timeout=PATIENCE))

    def wait() -> bytes:
        with suppress(OSError):  # what simple-websocket takes for the end
            return bytes(server.recv(100))
        return b""

    waiting = gevent.spawn(wait)
    gevent.idle()
    server.shut()
    assert waiting.get(timeout=PATIENCE) == b""
    assert client.recv(100) == b""
    with pytest.raises(BrokenPipeError):
        server.send(b"in the clear")
    for end in (server, client):
        end.close()


# --- the files -------------------------------------------------------------------------------------------------------

PROGRAM = "import ccwhisper.bootstrap as b, sys; b.RENEWAL_SECONDS = 0.05; from ccwhisper.cli import main; main()"


def test_a_renewed_certificate_is_taken_without_a_restart(tmp_path: Path) -> None:
    made = ran("certificate", "--out", str(tmp_path), "--name", "localhost", "--days", "7", env=environment(None))
    path = tmp_path / "ccwhisper.toml"
    path.write_text(made.stdout + 'listen = "127.0.0.1:0"\n[[node]]\nname = "fs1"\nport = 1\npassword_env = "ESL"\n')
    env = {**environment(None), "CCWHISPER_JWT_SECRET": SECRET, "ESL": "only for this test"}
    arguments = [sys.executable, "-c", PROGRAM, "serve", "--json", "--config", str(path)]
    log = tmp_path / "log"
    with log.open("w") as errors, subprocess.Popen(
        arguments, env=env, stdout=subprocess.PIPE, stderr=errors, text=True
    ) as process:  # fmt: skip
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        port = int(url.rpartition(":")[2])
        assert url == f"https://127.0.0.1:{port}"
        first = fingerprint(port)
        assert "certificate.pem: expires in 7 days" in log.read_text()
        kept = (tmp_path / "key.pem").read_bytes()
        fresh = written(tmp_path / "renewed", days=90)
        (tmp_path / "certificate.pem").write_bytes(fresh[0].read_bytes())  # the key is still the old one
        until(lambda: "is not the key" in log.read_text())
        assert fingerprint(port) == first
        assert kept != fresh[1].read_bytes()
        (tmp_path / "key.pem").write_bytes(fresh[1].read_bytes())
        until(lambda: fingerprint(port) == fresh[0].read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_making_one(tmp_path: Path) -> None:
    env = environment(None)
    done = ran("certificate", "--json", "--out", str(tmp_path / "new"), "--name", "coach.example.org", env=env)
    told = json.loads(done.stdout)
    assert told["names"] == ["coach.example.org"]
    assert Path(told["key"]).stat().st_mode & 0o077 == 0
    certificates.context(Path(told["certificate"]), Path(told["key"]))
    before = Path(told["key"]).read_bytes()
    again = ran("certificate", "--out", str(tmp_path / "new"), env=env)
    assert (again.returncode, Path(told["key"]).read_bytes()) == (1, before)
    assert "[file_in_the_way]" in again.stderr
    for name in ("a b", "https://example.org", "", "ä.example"):
        assert ran("certificate", "--out", str(tmp_path / "not"), "--name", name, env=env).returncode == 2
    assert not (tmp_path / "not").exists()
    (tmp_path / "file").write_text("")
    refused = ran("certificate", "--out", str(tmp_path / "file" / "below"), env=env)
    assert (refused.returncode, "[not_written]" in refused.stderr) == (1, True)
