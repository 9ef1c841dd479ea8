"""Bearer tokens. Which algorithms and keys are good is decided by configuration; what a token says of itself is only
compared with that.

Claims: `sub` and `exp` are required; `name`, `permissions`, `roles`, `queues` ("*" for all), `devices` (user@domain,
the first is rung unless a request names another) and `agent` (whose own token it is) are optional.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Protocol

import gevent
import jwt
from gevent.lock import BoundedSemaphore
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ccwhisper.coaching.errors import Unavailable
from ccwhisper.coaching.model import Actor, AgentId, is_browser
from ccwhisper.web.errors import Unauthorised
from ccwhisper.web.strangers import Strangers

MAX_TOKEN: Final = 8192
_DEVICE = re.compile(r"[A-Za-z0-9_.+-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a coach by his `actor`, and an agent by `agent` when the token is an agent's own."""

    actor: Actor
    agent: AgentId | None
    expires_at: float


class Keys(Protocol):
    """Where the key comes from that a token must be signed with."""

    def key(self, header: Mapping[str, Any]) -> jwt.PyJWK | str:
        """The key for a token with this (unverified) header. Raises Unauthorised or Unavailable."""


@dataclass(frozen=True, slots=True, repr=False)
class SharedSecret:
    """One secret for all."""

    secret: str

    def key(self, header: Mapping[str, Any]) -> str:  # noqa: ARG002 - the secret is the same for every header
        """The secret."""
        return self.secret


class Jwks:
    """The keys of an identity provider. Read in a thread, because the standard library's HTTP would stop every
    greenlet of the service; kept for `lifespan` seconds; read early for an unknown key id, but at most once in
    `cooldown` seconds, or strangers could make us knock on the provider's door."""

    def __init__(
        self,
        url: str,
        timeout: float = 5.0,
        lifespan: float = 300.0,
        cooldown: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=timeout)
        self._lifespan = lifespan
        self._cooldown = cooldown
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._lock = BoundedSemaphore(1)

    def key(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        """The key that the header names by `kid`."""
        kid = header.get("kid")
        if not isinstance(kid, str):
            raise Unauthorised("token_key_unknown", "The token does not name its key.")
        if kid not in self._keys or self._is_old():
            with self._lock:
                self._read()
        if kid in self._keys:
            return self._keys[kid]
        if self._read_at is None:
            raise Unavailable("identity_provider_unavailable", "The identity provider's keys cannot be read.")
        raise Unauthorised("token_key_unknown", "The identity provider has no such key.")

    def _is_old(self) -> bool:
        return self._read_at is None or self._clock() - self._read_at >= self._lifespan

    def _read(self) -> None:
        now = self._clock()  # who waited for the lock finds the try of who held it
        if self._tried_at is not None and now - self._tried_at < self._cooldown:
            return
        self._tried_at = now
        keys = gevent.get_hub().threadpool.apply(self._fetch)
        if keys is not None:
            self._keys, self._read_at = keys, now

    def _fetch(self) -> dict[str, jwt.PyJWK] | None:
        try:
            found = jwt.PyJWKSet.from_dict(self._client.fetch_data()).keys
        except (jwt.PyJWTError, OSError, ValueError, AttributeError, TypeError):
            return None  # the keys that we have stay good until they are known to be others
        return {key.key_id: key for key in found if key.key_id and key.public_key_use in (None, "sig")}


def _word(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("must not hold control characters")
    return value


def _device(value: str) -> str:
    if not _DEVICE.fullmatch(value) or is_browser(value):  # an open page is nobody's by a token
        raise ValueError("must be user@domain")
    return value


Word = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_word)]
Words = Annotated[list[Word], Field(max_length=256)]


class _Claims(BaseModel):
    model_config = ConfigDict(strict=True)  # claims that are not ours are the provider's business

    sub: Word
    exp: float
    name: Word | None = None
    permissions: Words = []
    roles: Words = []
    queues: Words = []
    devices: Annotated[list[Annotated[str, AfterValidator(_device)]], Field(max_length=16)] = []
    agent: Word | None = None


class Auth:
    """Tells who asks."""

    def __init__(
        self,
        keys: Keys,
        algorithms: tuple[str, ...],
        issuer: str | None = None,
        audience: str | None = None,
        leeway: int = 10,
    ) -> None:
        if not algorithms or "none" in {name.lower() for name in algorithms}:
            raise ValueError("algorithms must be named, and 'none' is not one")
        self._keys = keys
        self._algorithms = algorithms
        self._issuer = issuer
        self._audience = audience
        self._leeway = leeway
        self._strangers = Strangers()

    def identify(self, authorization: str | None) -> Principal:
        """The principal behind an Authorization header. Raises Unauthorised, or Unavailable when keys cannot be
        read."""
        try:
            return self._identified(authorization)
        except Unauthorised as error:
            self._strangers.count(error.code)
            raise

    def _identified(self, authorization: str | None) -> Principal:
        scheme, _, token = (authorization or "").partition(" ")
        if not authorization or scheme.lower() != "bearer":
            raise Unauthorised("token_missing", "Send a token: Authorization: Bearer …")
        claims = self._claims(self._verified(token.strip()))
        actor = Actor(
            id=claims.sub,
            name=claims.name or claims.sub,
            permissions=frozenset(claims.permissions),
            roles=frozenset(claims.roles),
            queues=frozenset(claims.queues),
            devices=tuple(claims.devices),
        )
        return Principal(actor, claims.agent, claims.exp)

    def _verified(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN:
            raise Unauthorised("token_invalid", "The token is not valid.")
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in self._algorithms:
                raise jwt.InvalidAlgorithmError
            return jwt.decode(
                token,
                self._keys.key(header),
                algorithms=list(self._algorithms),
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway,
                options={
                    "require": ["exp", "sub"],
                    "verify_aud": self._audience is not None,
                    "verify_iss": self._issuer is not None,
                },
            )
        except jwt.ExpiredSignatureError:
            raise Unauthorised("token_expired", "The token has expired.") from None
        except jwt.InvalidAlgorithmError:
            raise Unauthorised("token_algorithm", "Tokens of this algorithm are not accepted.") from None
        except jwt.InvalidAudienceError:
            raise Unauthorised("token_audience", "The token is for somebody else.") from None
        except jwt.InvalidIssuerError:
            raise Unauthorised("token_issuer", "The token is from somebody else.") from None
        except jwt.MissingRequiredClaimError as error:
            raise Unauthorised(*_missing(error.claim)) from None
        except (jwt.PyJWTError, UnicodeError, ValueError, RecursionError):
            raise Unauthorised("token_invalid", "The token is not valid.") from None

    def _claims(self, payload: dict[str, Any]) -> _Claims:
        try:
            return _Claims.model_validate(payload)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
            raise Unauthorised("token_claims", f"The token's claim {where} is not as it must be.") from None


def _missing(claim: str) -> tuple[str, str]:
    code = {"aud": "token_audience", "iss": "token_issuer"}.get(claim, "token_claims")
    return code, f"The token lacks the claim {claim}."
