"""The configuration file: TOML in, checked values out.

Nothing unknown is let through, nothing secret is in the file: it names the environment variables that hold secrets.
A file with mistakes raises `ConfigError`, which lists all of them, each with a stable code.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from ccwhisper.coaching.model import Agent
from ccwhisper.coaching.policy import QueuePolicy, Rules, Tone

MIN_JWT_SECRET_BYTES: Final = 32
"""RFC 7518, 3.2: a key for HS256 has at least the size of the hash."""

_SYMMETRIC: Final = frozenset({"HS256", "HS384", "HS512"})
_USER = re.compile(r"[A-Za-z0-9_.+-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `key` is the path of the value in the file, empty for the file as a whole."""

    code: str
    key: str
    message: str


class ConfigError(Exception):
    """The file cannot be used. `problems` holds every mistake that was found."""

    def __init__(self, path: Path, problems: list[Problem]) -> None:
        self.path = path
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{path}: {p.key + ': ' if p.key else ''}{p.message} [{p.code}]" for p in problems))


def _matching(pattern: str, what: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"must be {what}")
        return value

    return AfterValidator(check)


def _user(value: str) -> str:
    if not _USER.fullmatch(value):
        raise ValueError("must be a directory user, user@domain")
    return value


def _jwks(value: str) -> str:
    url = urlsplit(value)
    if url.scheme == "https" and url.hostname:
        return value
    if url.scheme == "http" and url.hostname in ("localhost", "127.0.0.1", "::1"):
        return value
    raise ValueError("must be an https URL (http is for loopback only): who can change the keys can be anybody")


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be address:port, for example 127.0.0.1:8810")
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        if host != "localhost":
            raise ValueError("must begin with an IP address or localhost") from None
    return value


EnvName = Annotated[str, _matching(r"[A-Z_][A-Z0-9_]{0,127}", "the name of an environment variable")]
QueueName = Annotated[str, Field(min_length=1, max_length=128)]
Frequency = Annotated[int, Field(ge=100, le=3400)]
Part = Annotated[
    tuple[
        Annotated[int, Field(ge=10, le=2000)],
        Annotated[int, Field(ge=0, le=2000)],
        Annotated[list[Frequency], Field(min_length=1, max_length=4)],
    ],
    Field(strict=False),  # TOML has arrays only
]
Algorithm = Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _origin(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or value != f"{parts.scheme}://{parts.netloc}" or not parts.hostname:
        raise ValueError("must be an origin such as https://crm.example.org")
    return value


class Service(_Section):
    """Where to listen, and where to keep what must outlive a restart (relative to the file's directory). `origins`:
    other origins whose pages may connect by Socket.IO; `frames`: whose pages may hold the agent's panel."""

    listen: Annotated[str, AfterValidator(_address)] = "127.0.0.1:8810"
    state: Annotated[str, Field(min_length=1)] = "var"
    origins: list[Annotated[str, AfterValidator(_origin)]] = []
    frames: list[Annotated[str, AfterValidator(_origin)]] = []

    @property
    def host(self) -> str:
        """The address to bind."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The TCP port; 0 lets the system choose."""
        return int(self.listen.rpartition(":")[2])


class Auth(_Section):
    """Whose tokens are believed. Algorithms are fixed here; what a token says of itself is only compared with them."""

    secret_env: EnvName | None = None
    jwks_url: Annotated[str, AfterValidator(_jwks)] | None = None
    algorithms: Annotated[list[Algorithm], Field(min_length=1)] | None = None
    issuer: Annotated[str, Field(min_length=1)] | None = None
    audience: Annotated[str, Field(min_length=1)] | None = None
    leeway: Annotated[int, Field(ge=0, le=300)] = 10

    @property
    def secret_name(self) -> str | None:
        """The environment variable with the shared secret; None when keys come from `jwks_url`."""
        return None if self.jwks_url else self.secret_env or "CCWHISPER_JWT_SECRET"

    @property
    def accepted(self) -> tuple[str, ...]:
        """The algorithms of a token that is looked at further."""
        if self.algorithms:
            return tuple(self.algorithms)
        return ("RS256", "ES256", "EdDSA") if self.jwks_url else ("HS256",)


class Node(_Section):
    """One FreeSWITCH and its Event Socket."""

    name: Annotated[str, _matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "letters, digits, dot, dash, underscore")]
    host: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8021
    password_env: EnvName


Seconds = Annotated[float, Field(gt=0, le=60)]


class Coaching(_Section):
    """Times in seconds unless a name says otherwise."""

    ring_seconds: Annotated[int, Field(ge=5, le=120)] = 30
    attach_timeout: Seconds = 4.0
    seek_grace: Seconds = 2.0
    lease_seconds: Annotated[int, Field(ge=6, le=300)] = 15
    lease_every: Seconds = 3.0
    press_ttl: Annotated[float, Field(ge=0.2, le=10)] = 1.0
    deadman_seconds: Annotated[int, Field(ge=2, le=30)] = 3
    deadman_rearm: Seconds = 1.0
    refresh_seconds: Seconds = 10.0
    jitter_buffer_ms: Annotated[int, Field(ge=20, le=200)] = 40
    caller_name: Annotated[str, _matching(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}", "plain letters, digits, spaces")] = (
        "Coaching"
    )
    adopt_unknown_cc_agents: bool = True


class Beep(_Section):
    """The tone that the agent alone hears: level in dBm0 (full scale is +3.17), parts of [ms, pause ms, [hertz, …]]."""

    on: list[Literal["listen", "whisper", "barge", "end"]] = ["whisper"]
    level: Annotated[int, Field(ge=-60, le=0)] = -13
    parts: Annotated[list[Part], Field(min_length=1, max_length=8)] = [(200, 0, [1400])]


class Queue(_Section):
    """What a queue wants; a key that is left out is as in [queue.default]."""

    beep: Beep | None = None
    max_coaches: Annotated[int, Field(ge=1, le=50)] | None = None

    def policy(self, default: QueuePolicy) -> QueuePolicy:
        """In the core's terms."""
        beep = self.beep
        return QueuePolicy(
            beep_on=frozenset(beep.on) if beep else default.beep_on,
            tone=Tone(beep.level, tuple((a, b, tuple(c)) for a, b, c in beep.parts)) if beep else default.tone,
            max_coaches=self.max_coaches if self.max_coaches is not None else default.max_coaches,
        )


class AgentEntry(_Section):
    """A known agent: the directory users whose legs are his, and the queues that he serves."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    users: Annotated[list[Annotated[str, AfterValidator(_user)]], Field(min_length=1)]
    queues: list[QueueName] = []


class File(_Section):
    """The whole file."""

    service: Service = Service()
    auth: Auth = Auth()
    node: Annotated[list[Node], Field(min_length=1)]
    coaching: Coaching = Coaching()
    queue: dict[QueueName, Queue] = {}
    agent: dict[Annotated[str, Field(min_length=1, max_length=128)], AgentEntry] = {}


@dataclass(frozen=True, slots=True)
class Config:
    """A checked file with the secrets that it names. `jwt_secret` is None when keys come from a JWKS URL;
    `passwords` are the nodes', by name."""

    path: Path
    service: Service
    auth: Auth
    nodes: tuple[Node, ...]
    coaching: Coaching
    queues: Mapping[str, Queue]
    agents: Mapping[str, AgentEntry]
    jwt_secret: SecretStr | None
    passwords: Mapping[str, SecretStr]

    @property
    def state_directory(self) -> Path:
        """Where the installation's id and the audit trail are kept."""
        return self.path.resolve().parent / self.service.state

    def rules(self) -> Rules:
        """What the core decides by."""
        queues = {name: queue for name, queue in self.queues.items() if name != "default"}
        default = self.queues.get("default", Queue()).policy(QueuePolicy())
        agents = {
            name: Agent(name, entry.name, frozenset(entry.users), frozenset(entry.queues))
            for name, entry in self.agents.items()
        }
        times = self.coaching
        return Rules(
            agents=MappingProxyType(agents),
            queues=MappingProxyType({name: queue.policy(default) for name, queue in queues.items()}),
            default=default,
            ring_seconds=times.ring_seconds,
            attach_timeout=times.attach_timeout,
            seek_grace=times.seek_grace,
            press_ttl=times.press_ttl,
            deadman_seconds=times.deadman_seconds,
            deadman_rearm=times.deadman_rearm,
            refresh_seconds=times.refresh_seconds,
            lease_every=times.lease_every,
            adopt_unknown_cc_agents=times.adopt_unknown_cc_agents,
        )


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read and check a file. Raises ConfigError."""
    try:
        content = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigError(path, [Problem("file_unreadable", "", error.strerror or "cannot be read")]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path, [Problem("not_toml", "", str(error))]) from None
    try:
        file = File.model_validate(content)
    except ValidationError as error:
        raise ConfigError(path, _problems(error)) from None
    problems = [problem for check in _CHECKS for problem in check(file)]
    secret, passwords = _secrets(file, environ, problems)
    if problems:
        raise ConfigError(path, problems)
    return Config(
        path=path,
        service=file.service,
        auth=file.auth,
        nodes=tuple(file.node),
        coaching=file.coaching,
        queues=MappingProxyType(file.queue),
        agents=MappingProxyType(file.agent),
        jwt_secret=secret,
        passwords=MappingProxyType(passwords),
    )


_CODES: Final = MappingProxyType({"extra_forbidden": "key_unknown", "missing": "key_missing"})


def _problems(error: ValidationError) -> list[Problem]:
    """pydantic's findings, without the values: what was typed in the wrong place may be a secret."""
    found = []
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        code = _CODES.get(each["type"], "value_invalid")
        message = {"key_unknown": "there is no such key", "key_missing": "is required"}.get(code, each["msg"])
        found.append(Problem(code, _dotted(each["loc"]), message.removeprefix("Value error, ")))
    return found


def _dotted(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part != "[key]":
            text += ("." if text else "") + (part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"')
    return text


def _check_nodes(file: File) -> list[Problem]:
    names = [node.name for node in file.node]
    return [
        Problem("node_twice", f"node[{index}].name", f"there is another node {name}")
        for index, name in enumerate(names)
        if name in names[:index]
    ]


def _check_agents(file: File) -> list[Problem]:
    seen: dict[str, str] = {}
    found = []
    for name, entry in file.agent.items():
        for index, user in enumerate(entry.users):
            if seen.setdefault(user.lower(), name) != name:
                text = f"{user} is already a user of agent {seen[user.lower()]}: a leg belongs to one agent"
                found.append(Problem("user_twice", f"{_dotted(('agent', name, 'users', index))}", text))
    return found


def _check_auth(file: File) -> list[Problem]:
    auth = file.auth
    if auth.jwks_url and auth.secret_env:
        return [Problem("auth_ambiguous", "auth", "name either secret_env or jwks_url")]
    # A public key that a shared-secret algorithm is allowed for is a password that everybody knows.
    wrong = sorted(set(auth.accepted) & _SYMMETRIC) if auth.jwks_url else sorted(set(auth.accepted) - _SYMMETRIC)
    if wrong:
        kind = "jwks_url" if auth.jwks_url else "a shared secret"
        return [Problem("algorithm_mismatch", "auth.algorithms", f"{', '.join(wrong)} cannot be used with {kind}")]
    return []


def _check_times(file: File) -> list[Problem]:
    times = file.coaching
    found = []
    if times.lease_seconds < 3 * times.lease_every:
        text = "must be at least three times lease_every, or one late renewal drops every coach"
        found.append(Problem("lease_too_short", "coaching.lease_seconds", text))
    if times.deadman_seconds < 2 * times.deadman_rearm:
        text = "must be at least twice deadman_rearm, or a held key is cut off"
        found.append(Problem("deadman_too_short", "coaching.deadman_seconds", text))
    return found


_CHECKS: Final[tuple[Callable[[File], list[Problem]], ...]] = (_check_nodes, _check_agents, _check_auth, _check_times)


def _secrets(
    file: File, environ: Mapping[str, str], problems: list[Problem]
) -> tuple[SecretStr | None, dict[str, SecretStr]]:
    secret = None
    name = file.auth.secret_name
    if name:
        value = environ.get(name, "")
        if not value:
            problems.append(Problem("secret_missing", "auth.secret_env", f"the environment has no {name}"))
        elif len(value.encode()) < MIN_JWT_SECRET_BYTES:
            text = f"{name} is shorter than {MIN_JWT_SECRET_BYTES} bytes"
            problems.append(Problem("secret_too_short", "auth.secret_env", text))
        secret = SecretStr(value)
    passwords = {}
    for index, node in enumerate(file.node):
        value = environ.get(node.password_env, "")
        key = f"node[{index}].password_env"
        if not value:
            problems.append(Problem("secret_missing", key, f"the environment has no {node.password_env}"))
        elif value == "ClueCon":
            text = f"{node.password_env} is the password that everybody knows"
            problems.append(Problem("secret_well_known", key, text))
        passwords[node.name] = SecretStr(value)
    return secret, passwords
