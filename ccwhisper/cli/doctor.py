"""`doctor`: what a running node and the configuration lack."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ccwhisper.cli.options import output_option
from ccwhisper.cli.output import Exit, Output, visible
from ccwhisper.cli.service import config_option

if TYPE_CHECKING:
    from ccwhisper.config import Config
    from ccwhisper.doctor.rules import Finding

_ENV = "CCW_ESL_PASSWORD"


@click.command()
@config_option
@click.option("--host", help="A node that is in no configuration file; then only that is looked at.")
@click.option("--port", type=click.IntRange(1, 65535), default=8021, show_default=True, help="Its Event Socket.")
@click.option(
    "--password-env", metavar="NAME", default=_ENV, show_default=True,
    help="The environment variable with its password.",
)  # fmt: skip
@output_option
def doctor(out: Output, path: Path, host: str | None, port: int, password_env: str) -> None:
    """What the running nodes and the configuration lack, and what mends it.

    Asks each node of the configuration file through its Event Socket, with commands that only read. Exit code 1 when an
    error or a warning was found, 6 when a node cannot be reached.
    """
    from ccwhisper.doctor.visit import Target, visit  # noqa: PLC0415 - the client commands do without the switch

    sections: list[dict[str, Any]] = []
    targets: list[Target] = []
    users: list[str] = []
    if host is not None:
        password = os.environ.get(password_env, "")
        if not password:
            raise click.UsageError(f"the environment variable {password_env} must hold the Event Socket's password")
        targets.append(Target(host, host, port, password))
    else:
        config, lacking = _configuration(path)
        sections.append(_section("configuration", str(path), lacking))
        if config:
            for node in config.nodes:
                secret = config.passwords[node.name].get_secret_value()
                targets.append(Target(node.name, node.host, node.port, secret, _address(node.browsers)))
            users = [user for entry in config.agents.values() for user in entry.users]
    for target in targets:
        about, lacking = visit(target, users)
        sections.append(_section(target.name, about, lacking))
    _tell(out, sections)


def _address(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _configuration(path: Path) -> tuple[Config | None, list[Finding]]:
    from ccwhisper.bootstrap import database  # noqa: PLC0415
    from ccwhisper.config import ConfigError, load  # noqa: PLC0415
    from ccwhisper.doctor import service  # noqa: PLC0415
    from ccwhisper.store.errors import StoreError  # noqa: PLC0415

    try:
        config = load(path)
    except ConfigError as error:
        return None, [*service.pins(), *service.invalid(error)]

    def unusable() -> tuple[str, str] | None:
        try:
            found = database(config)
            try:
                found.check()
            finally:
                found.close()
        except StoreError as error:
            # The default database is made at the first start.
            fresh = error.code == "schema_missing" and config.store.url is None
            return None if fresh else (error.code, error.message)
        return None

    return config, [*service.pins(), *service.configuration(config, unusable)]


def _section(name: str, about: str, found: Iterable[Finding]) -> dict[str, Any]:
    order = ("error", "warning", "note")
    findings = [
        {
            "id": each.id,
            "severity": each.rule.severity.value,
            "subject": each.subject,
            "message": each.message,
            "why": each.rule.why,
            "mend": each.mend,
        }
        for each in found
    ]
    return {"name": name, "about": about, "findings": sorted(findings, key=lambda each: order.index(each["severity"]))}


def _tell(out: Output, sections: list[dict[str, Any]]) -> None:
    found = [each for section in sections for each in section["findings"]]
    bad = [each for each in found if each["severity"] != "note"]
    if out.as_json:
        out.record({"ok": not bad, "checked": sections}, "")
    else:
        for section in sections:
            click.echo(visible(f"{section['name']}: {section['about']}"))
            for each in section["findings"]:
                click.echo(visible(f"  {each['severity']}  {each['subject']}: {each['message']}  [{each['id']}]"))
                click.echo(visible(f"      {each['why']}"))
                click.echo(visible(f"      mend: {each['mend']}"))
            if not section["findings"]:
                click.echo("  nothing is lacking")
    if any(each["id"] == "node_unreachable" for each in found):
        raise SystemExit(Exit.UNAVAILABLE)
    if bad:
        raise SystemExit(Exit.FAILED)
