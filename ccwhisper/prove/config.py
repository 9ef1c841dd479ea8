"""The site of the `[prove]` section, with the passwords that it names."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from ccwhisper.config import ConfigError, Problem, problems_of
from ccwhisper.prove.site import Account, Site
from ccwhisper.settings import File, Node, ProofPhone


def site_from(path: Path, environ: Mapping[str, str] = os.environ) -> Site:
    """Read and check the file. Only the secrets that the proof needs are asked for. Raises ConfigError."""
    try:
        file = File.model_validate(tomllib.loads(path.read_bytes().decode()))
    except OSError as error:
        raise ConfigError(path, [Problem("file_unreadable", "", error.strerror or "cannot be read")]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path, [Problem("not_toml", "", str(error))]) from None
    except ValidationError as error:
        raise ConfigError(path, problems_of(error)) from None
    prove = file.prove
    if prove is None:
        raise ConfigError(path, [Problem("key_missing", "prove", "is required to prove anything on your own switch")])
    problems: list[Problem] = []

    def secret(name: str, key: str) -> str:
        value = environ.get(name, "")
        if not value:
            problems.append(Problem("secret_missing", key, f"the environment has no {name}"))
        return value

    def account(role: str, phone: ProofPhone) -> Account:
        named = phone.password_env
        if named is None and role != "caller":
            problems.append(Problem("key_missing", f"prove.{role}.password_env", "is required"))
        password = secret(named, f"prove.{role}.password_env") if named else None
        return Account(phone.user, password, tuple(phone.codecs))

    node = _node(file, prove.node, problems)
    users = [prove.caller.user, prove.agent.user, prove.coach.user]
    if len({*users}) < len(users):
        problems.append(Problem("user_twice", "prove", "caller, agent and coach are three different users"))
    if prove.trunk is None and prove.caller.password_env is None:
        problems.append(Problem("key_missing", "prove.trunk", "is required for a caller without a password"))
    host, _, port = prove.phones.rpartition(":")
    trunk_host, _, trunk = (prove.trunk or prove.phones).rpartition(":")
    if trunk_host != host:
        problems.append(Problem("value_invalid", "prove.trunk", "must be at the address of prove.phones"))
    site = Site(
        host=node.host,
        esl_port=node.port,
        esl_password=secret(node.password_env, "node.password_env"),
        domain=prove.domain,
        phones_port=int(port),
        trunk_port=int(trunk),
        caller=account("caller", prove.caller),
        agent=account("agent", prove.agent),
        coach=account("coach", prove.coach),
        number=prove.number,
        sip_host=host.strip("[]"),
        sign_in=prove.sign_in or "",
        recordings=prove.recordings,
        browsers=node.browsers,
    )
    if problems:
        raise ConfigError(path, problems)
    return site


def _node(file: File, name: str | None, problems: list[Problem]) -> Node:
    found = [node for node in file.node if name in (None, node.name)]
    if not found:
        problems.append(Problem("value_invalid", "prove.node", f"there is no node {name}"))
    return (found or list(file.node))[0]
