"""The configuration file: TOML in, checked values out.

Nothing unknown is let through, nothing secret is in the file: it names the environment variables that hold secrets.
A file with mistakes raises `ConfigError`, which lists all of them, each with a stable code.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydantic import SecretStr, ValidationError

from ccwhisper.coaching.model import Actor, Agent
from ccwhisper.coaching.policies import layered
from ccwhisper.coaching.policy import Lamps, Rules
from ccwhisper.settings import (
    AgentEntry,
    Auth,
    BrowserPhone,
    Coaching,
    File,
    Node,
    Queue,
    Recording,
    Service,
    Store,
    Supervisor,
)

MIN_JWT_SECRET_BYTES: Final = 32
"""RFC 7518, 3.2: a key for HS256 has at least the size of the hash."""

_SYMMETRIC: Final = frozenset({"HS256", "HS384", "HS512"})


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


@dataclass(frozen=True, slots=True)
class Config:
    """A checked file with the secrets that it names. `jwt_secret` is None when keys come from a JWKS URL;
    `passwords` are the nodes', by name, `ice_credentials` those of the TURN servers, by their variables' names."""

    path: Path
    service: Service
    auth: Auth
    store: Store
    nodes: tuple[Node, ...]
    coaching: Coaching
    browser_phone: BrowserPhone
    recording: Recording
    queues: Mapping[str, Queue]
    agents: Mapping[str, AgentEntry]
    answers: Mapping[str, str]
    supervisors: Mapping[str, Supervisor]
    jwt_secret: SecretStr | None
    passwords: Mapping[str, SecretStr]
    store_password: SecretStr | None
    ice_credentials: Mapping[str, SecretStr]

    @property
    def tls(self) -> tuple[Path, Path] | None:
        """The files of certificate and key; None: http."""
        return _tls(self.path, self.service)

    @property
    def state_directory(self) -> Path:
        """Where the installation's id, the database unless another is named, and rows that wait for it are kept."""
        return self.path.resolve().parent / self.service.state

    @property
    def raw_directory(self) -> Path:
        """Where tracks are that no file for people has been made of yet."""
        directory = self.recording.directory
        return Path(directory) if directory else self.state_directory / "recordings" / "raw"

    @property
    def journal_directory(self) -> Path:
        """Where the journals of recordings are."""
        return self.state_directory / "recordings" / "journal"

    @property
    def headsets(self) -> Mapping[str, str]:
        """By agent, the model of the headset that he wears, where it is named."""
        return {name: entry.headset for name, entry in self.agents.items() if entry.headset}

    @property
    def raw_places(self) -> tuple[str, ...]:
        """Folders and buckets in which raw tracks are looked for."""
        here = [node.recordings_here or str(self.raw_directory) for node in self.nodes]
        return tuple(dict.fromkeys(here))

    @property
    def recording_archive(self) -> str:
        """The folder or bucket with the files of recordings."""
        return self.recording.archive or str(self.state_directory / "recordings" / "archive")

    def rules(self) -> Rules:
        """What the core decides by."""
        agents = {
            name: Agent(name, entry.name, frozenset(entry.users), frozenset(entry.queues))
            for name, entry in self.agents.items()
        }
        supervisors = {user: _actor(name, entry) for name, entry in self.supervisors.items() for user in entry.users}
        times = self.coaching
        rules = Rules(
            agents=MappingProxyType(agents),
            supervisors=MappingProxyType(supervisors),
            file=MappingProxyType({name: queue.part for name, queue in self.queues.items()}),
            ring_seconds=times.ring_seconds,
            attach_timeout=times.attach_timeout,
            seek_grace=times.seek_grace,
            press_ttl=times.press_ttl,
            key_talk_seconds=times.key_talk_seconds,
            key_again_seconds=times.key_again_seconds,
            deadman_seconds=times.deadman_seconds,
            deadman_rearm=times.deadman_rearm,
            refresh_seconds=times.refresh_seconds,
            lease_every=times.lease_every,
            adopt_unknown_cc_agents=times.adopt_unknown_cc_agents,
            lamps=Lamps(times.lamps),
            keys=times.keys,
        )
        return layered(rules, {})


def _actor(name: str, entry: Supervisor) -> Actor:
    return Actor(
        id=name,
        name=entry.name,
        permissions=frozenset(entry.permissions),
        roles=frozenset(entry.roles),
        queues=frozenset(entry.queues),
        devices=tuple(entry.users),
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
        raise ConfigError(path, problems_of(error)) from None
    problems = [problem for check in _CHECKS for problem in check(file)]
    problems += _check_tls(path, file.service)
    secret, passwords = _secrets(file, environ, problems)
    store_password = _store_password(file, environ, problems)
    credentials = _ice_credentials(file, environ, problems)
    _check_bucket(file, environ, problems)
    if problems:
        raise ConfigError(path, problems)
    return Config(
        path=path,
        service=file.service,
        auth=file.auth,
        store=file.store,
        nodes=tuple(file.node),
        coaching=file.coaching,
        browser_phone=file.browser_phone,
        recording=file.recording,
        queues=MappingProxyType(file.queue),
        agents=MappingProxyType(file.agent),
        answers=MappingProxyType({name: device.answer for name, device in file.device.items()}),
        supervisors=MappingProxyType(file.supervisor),
        jwt_secret=secret,
        passwords=MappingProxyType(passwords),
        store_password=store_password,
        ice_credentials=MappingProxyType(credentials),
    )


def _tls(path: Path, service: Service) -> tuple[Path, Path] | None:
    if service.certificate is None or service.key is None:
        return None
    folder = path.resolve().parent
    return folder / service.certificate, folder / service.key


def _check_tls(path: Path, service: Service) -> list[Problem]:
    if (service.certificate is None) != (service.key is None):
        missing = "key" if service.key is None else "certificate"
        return [Problem("key_missing", f"service.{missing}", "certificate and key go together")]
    files = _tls(path, service)
    if files:
        from ccwhisper.certificates import CertificateError, context  # noqa: PLC0415 - cryptography takes its time

        try:
            context(*files)
        except CertificateError as error:
            return [Problem(error.code, f"service.{'key' if error.of_key else 'certificate'}", str(error))]
    return []


_CODES: Final = MappingProxyType({"extra_forbidden": "key_unknown", "missing": "key_missing"})


def problems_of(error: ValidationError) -> list[Problem]:
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


def _check_users(file: File) -> list[Problem]:
    found = []
    for kind, people in (("agent", file.agent), ("supervisor", file.supervisor)):
        seen: dict[str, str] = {}
        for name, entry in people.items():
            for index, user in enumerate(entry.users):
                if seen.setdefault(user.lower(), name) != name:
                    text = f"{user} is already a user of {kind} {seen[user.lower()]}: a leg belongs to one {kind}"
                    found.append(Problem("user_twice", f"{_dotted((kind, name, 'users', index))}", text))
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


def _check_ice(file: File) -> list[Problem]:
    """Given a TURN server without a password, a browser makes no connection at all (RTCPeerConnection's constructor
    throws InvalidAccessError)."""
    return [
        Problem("key_missing", f"browser_phone.ice_servers[{index}].{key}", "is required for TURN")
        for index, server in enumerate(file.browser_phone.ice_servers)
        if any(url.startswith("turn") for url in server.urls)
        for key, value in (("username", server.username), ("credential_env", server.credential_env))
        if value is None
    ]


_CHECKS: Final[tuple[Callable[[File], list[Problem]], ...]] = (
    _check_nodes, _check_users, _check_auth, _check_times, _check_ice,
)  # fmt: skip


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


def _store_password(file: File, environ: Mapping[str, str], problems: list[Problem]) -> SecretStr | None:
    name = file.store.password_env
    if not name:
        return None
    if not environ.get(name):
        problems.append(Problem("secret_missing", "store.password_env", f"the environment has no {name}"))
    return SecretStr(environ.get(name, ""))


def _ice_credentials(file: File, environ: Mapping[str, str], problems: list[Problem]) -> dict[str, SecretStr]:
    found = {}
    for index, server in enumerate(file.browser_phone.ice_servers):
        name = server.credential_env
        if name and not environ.get(name):
            key = f"browser_phone.ice_servers[{index}].credential_env"
            problems.append(Problem("secret_missing", key, f"the environment has no {name}"))
        if name:
            found[name] = SecretStr(environ.get(name, ""))
    return found


def _check_bucket(file: File, environ: Mapping[str, str], problems: list[Problem]) -> None:
    """The keys of buckets stay in the environment: those who do the work have it, too."""
    recording = file.recording
    places = [recording.archive, *(node.recordings_here for node in file.node)]
    if not any(each and each.startswith("s3:") for each in places):
        return
    for key, name in (("key_env", recording.key_env), ("secret_env", recording.secret_env)):
        if not environ.get(name):
            problems.append(Problem("secret_missing", f"recording.{key}", f"the environment has no {name}"))
