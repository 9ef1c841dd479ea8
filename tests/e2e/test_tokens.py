"""Attacks on the token, and what is said about them."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from ccwhisper.web.auth import Auth, Jwks, SharedSecret

from .service import SECRET, Answer, Client, Service, token

pytestmark = pytest.mark.e2e


def asked(service: Service, bearer: str | None) -> Answer:
    return Client(service, bearer).get("/calls")


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: str = "") -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims))
    return ".".join((*parts, signature))


CLAIMS = {
    "sub": "coach-1",
    "exp": time.time() + 28_800,
    "permissions": ["view_contact_center_dashboard"],
    "queues": ["*"],
}
HS = {"alg": "HS256", "typ": "JWT"}


@pytest.mark.parametrize(
    ("bearer", "code"),
    [
        (None, "token_missing"),
        ("", "token_missing"),
        ("nonsense", "token_invalid"),
        ("a.b.c", "token_invalid"),
        ("x" * 9000, "token_invalid"),
        (unsigned({"alg": "none"}, CLAIMS), "token_algorithm"),
        (unsigned({"alg": "None", "typ": "JWT"}, CLAIMS), "token_algorithm"),
        (unsigned({"alg": ["HS256"]}, CLAIMS), "token_algorithm"),
        (unsigned({"typ": "JWT"}, CLAIMS), "token_algorithm"),
        (unsigned(HS, CLAIMS), "token_invalid"),
        (unsigned({**HS, "crit": ["exp"]}, CLAIMS, "AAAA"), "token_invalid"),
        (f"{'W' * 4000}.e30.", "token_invalid"),
        (token()[:-4] + "AAAA", "token_invalid"),
        (token(secret="another secret of the right length ....."), "token_invalid"),
        (token(algorithm="HS512", secret=SECRET * 2), "token_algorithm"),
        (token(exp=int(time.time()) - 60), "token_expired"),
        (token(nbf=int(time.time()) + 28_800), "token_invalid"),
        (token(exp=None), "token_claims"),
        (token(sub=None), "token_claims"),
        (token(sub=""), "token_claims"),
        (token(sub="a\nb"), "token_claims"),
        (token(name="\x1b[2J"), "token_claims"),
        (token(permissions="monitor_live_calls"), "token_claims"),
        (token(queues={"*": True}), "token_claims"),
        (token(roles=[1]), "token_claims"),
        (token(devices=["9001"]), "token_claims"),
        (token(devices=["9001@a,sofia/external/x@evil"]), "token_claims"),
        (token(devices=["${system(id)}@a"]), "token_claims"),
        (token(devices=["9001@a\n"]), "token_claims"),
    ],
)
def test_tokens_that_are_not_believed(service: Service, bearer: str | None, code: str) -> None:
    answer = asked(service, bearer)
    assert (answer.status, answer.code) == (401, code)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "Traceback" not in answer.raw.decode()


def test_a_header_with_deep_json(service: Service) -> None:
    deep = base64.urlsafe_b64encode(b"[" * 5500).decode().rstrip("=")
    assert asked(service, f"{deep}.e30.AAAA").code == "token_invalid"


def test_only_the_header_carries_a_token(service: Service) -> None:
    nobody = Client(service, None)
    assert nobody.get("/calls", headers={"Authorization": f"Basic {token()}"}).code == "token_missing"
    assert nobody.get("/calls", headers={"Cookie": f"token={token()}"}).code == "token_missing"
    assert nobody.get(f"/calls?token={token()}").code == "token_missing"
    assert nobody.get("/calls", headers={"Authorization": f"bearer {token()}"}).status == 200


def test_every_address_but_health_and_the_document_wants_a_token(service: Service, coach: Client) -> None:
    nobody = Client(service, None)
    for path, methods in coach.document["paths"].items():
        for method in methods:
            if path.endswith("/health"):
                continue
            bare = path.removeprefix("/api/v1").replace("{session}", "x").replace("{call}", "x")
            answer = nobody.send(method.upper(), bare, raw=b"{" if method in ("put", "post") else None)
            assert (answer.status, answer.code) == (401, "token_missing")


def test_issuer_and_audience_are_compared_when_they_are_configured() -> None:
    service = Service(issuer="https://id", audience="ccwhisper").start()
    try:
        assert asked(service, token(iss="https://id", aud="ccwhisper")).status == 200
        assert asked(service, token(iss="https://id", aud=["x", "ccwhisper"])).status == 200
        assert asked(service, token(iss="https://other", aud="ccwhisper")).code == "token_issuer"
        assert asked(service, token(iss="https://id", aud="other")).code == "token_audience"
        assert asked(service, token(iss="https://id")).code == "token_audience"
        assert asked(service, token(aud="ccwhisper")).code == "token_issuer"
    finally:
        service.stop()


def test_an_audience_does_no_harm_where_none_is_configured(service: Service) -> None:
    assert asked(service, token(aud="anybody", iss="anybody")).status == 200


def test_none_cannot_be_configured() -> None:
    for algorithms in ((), ("none",), ("HS256", "None")):
        with pytest.raises(ValueError, match="algorithms"):
            Auth(SharedSecret(SECRET), algorithms)


# --- an identity provider --------------------------------------------------------------------------------------------


class Provider:
    """A JWKS address on loopback, and the private keys behind it."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(65537, 2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.ed = ed25519.Ed25519PrivateKey.generate()
        self.keys: list[dict[str, Any]] = [
            {**RSAAlgorithm.to_jwk(self.rsa.public_key(), as_dict=True), "kid": "rsa", "use": "sig"},
            {**ECAlgorithm.to_jwk(self.ec.public_key(), as_dict=True), "kid": "ec"},
            {**OKPAlgorithm.to_jwk(self.ed.public_key(), as_dict=True), "kid": "ed"},
            {**RSAAlgorithm.to_jwk(self.rsa.public_key(), as_dict=True), "kid": "for-encryption", "use": "enc"},
        ]
        self.reads = 0
        self.broken = False
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.reads += 1
                self.send_response(500 if provider.broken else 200)
                self.end_headers()
                self.wfile.write(json.dumps({"keys": provider.keys}).encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="module")
def keys() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.stop()


@pytest.fixture
def provider(keys: Provider) -> Provider:
    keys.reads, keys.broken = 0, False
    return keys


@pytest.fixture
def trusting(provider: Provider) -> Iterator[Service]:
    running = Service(keys=Jwks(provider.url), algorithms=("RS256", "ES256", "EdDSA")).start()
    yield running
    running.stop()


def test_tokens_of_each_kind_of_key(trusting: Service, provider: Provider) -> None:
    for key, algorithm, kid in (
        (provider.rsa, "RS256", "rsa"),
        (provider.ec, "ES256", "ec"),
        (provider.ed, "EdDSA", "ed"),
    ):
        assert asked(trusting, jwt.encode(CLAIMS, key, algorithm, {"kid": kid})).status == 200
    assert provider.reads == 1


def test_attacks_on_a_service_that_trusts_a_provider(trusting: Service, provider: Provider) -> None:
    stranger = rsa.generate_private_key(65537, 2048)
    public = provider.rsa.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    confused = jwt.api_jws.PyJWS()
    confused.unregister_algorithm("HS256")
    confused.register_algorithm("HS256", _Unguarded())
    attacks = {
        unsigned({"alg": "none", "kid": "rsa"}, CLAIMS): "token_algorithm",
        confused.encode(json.dumps(CLAIMS).encode(), public, "HS256", {"kid": "rsa"}): "token_algorithm",
        jwt.encode(CLAIMS, stranger, "RS256", {"kid": "rsa"}): "token_invalid",
        jwt.encode(CLAIMS, stranger, "RS256"): "token_key_unknown",
        jwt.encode(CLAIMS, stranger, "RS256", {"kid": "stranger"}): "token_key_unknown",
        jwt.encode(CLAIMS, provider.rsa, "RS256", {"kid": "for-encryption"}): "token_key_unknown",
        jwt.encode(CLAIMS, provider.rsa, "RS256", {"kid": "ec"}): "token_algorithm",
        jwt.encode(CLAIMS, provider.rsa, "RS512", {"kid": "rsa"}): "token_algorithm",
        jwt.encode(CLAIMS, stranger, "RS256", {"kid": "x", "jku": provider.url, "jwk": provider.keys[0]}): (
            "token_key_unknown"
        ),
    }
    for bearer, code in attacks.items():
        answer = asked(trusting, bearer)
        assert (answer.status, answer.code) == (401, code)
    assert provider.reads == 1  # strangers do not make us ask again and again


class _Unguarded(jwt.algorithms.HMACAlgorithm):
    """HMAC with any key, as an attacker would."""

    def __init__(self) -> None:
        super().__init__(jwt.algorithms.HMACAlgorithm.SHA256)

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else key.encode()


def test_a_provider_that_is_away(provider: Provider) -> None:
    provider.broken = True
    now = [0.0]
    service = Service(keys=Jwks(provider.url, clock=lambda: now[0]), algorithms=("RS256",)).start()
    good = jwt.encode(CLAIMS, provider.rsa, "RS256", {"kid": "rsa"})
    try:
        answer = asked(service, good)
        assert (answer.status, answer.code) == (503, "identity_provider_unavailable")
        provider.broken = False
        assert asked(service, good).status == 503
        assert provider.reads == 1
        now[0] = 11.0
        assert asked(service, good).status == 200
        provider.broken = True
        now[0] = 1000.0  # the keys are old, but better than none
        assert asked(service, good).status == 200
        assert provider.reads == 3
    finally:
        service.stop()


def test_a_new_key_is_found(provider: Provider) -> None:
    now = [0.0]
    service = Service(keys=Jwks(provider.url, clock=lambda: now[0]), algorithms=("RS256",)).start()
    fresh = rsa.generate_private_key(65537, 2048)
    try:
        bearer = jwt.encode(CLAIMS, fresh, "RS256", {"kid": "fresh"})
        assert asked(service, bearer).code == "token_key_unknown"
        provider.keys.append({**RSAAlgorithm.to_jwk(fresh.public_key(), as_dict=True), "kid": "fresh"})
        now[0] = 20.0
        assert asked(service, bearer).status == 200
    finally:
        provider.keys.pop()
        service.stop()
