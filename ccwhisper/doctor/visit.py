"""One node, from connecting to its findings."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from ccwhisper.doctor import agents, browsers, node, sip
from ccwhisper.doctor.reading import is_local, read
from ccwhisper.doctor.rules import Finding
from ccwhisper.doctor.snapshot import Snapshot
from ccwhisper.switch.commands import Command
from ccwhisper.switch.errors import AuthenticationFailed, CommandRefused, SwitchError
from ccwhisper.switch.wire import Connection, accepted

JUDGES: tuple[Callable[[Snapshot], Iterator[Finding]], ...] = (
    *node.JUDGES, *sip.JUDGES, *browsers.JUDGES, *agents.JUDGES,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """Where a node's Event Socket is."""

    name: str
    host: str
    port: int
    password: str = field(repr=False)
    browsers: tuple[str, int] | None = None
    """Where the service is to find the profile of coaches' browsers."""


def visit(target: Target, users: Collection[str]) -> tuple[str, list[Finding]]:
    """What the node is, in one line, and what it lacks. `users`: the agents' directory users."""
    where = f"{target.host}:{target.port}"
    connection = Connection(target.host, target.port, target.password, timeout=5, command_timeout=30)
    try:
        connection.connect()
        local = is_local(target.host)
        seen = read(_ask(connection), target.password, users, local=local, browsers=target.browsers)
    except SwitchError as error:
        return where, [_unreachable(where, target, error)]
    finally:
        connection.stop()
    return f"FreeSWITCH {seen.version or 'of unknown version'} at {where}", judged(seen)


def judged(seen: Snapshot) -> list[Finding]:
    """All that is lacking."""
    return [finding for judge in JUDGES for finding in judge(seen)]


def _ask(connection: Connection) -> Callable[[Sequence[Command]], list[str | None]]:
    def ask(commands: Sequence[Command]) -> list[str | None]:
        waiting = [connection.submit(command) for command in commands]
        answers: list[str | None] = []
        for command, reply in zip(commands, waiting, strict=True):
            try:
                answers.append(accepted(command, reply.wait(connection.command_timeout)))
            except CommandRefused:
                answers.append(None)
        return answers

    return ask


def _unreachable(where: str, target: Target, error: SwitchError) -> Finding:
    if isinstance(error, AuthenticationFailed):
        mend = "compare the password with that of the node's autoload_configs/event_socket.conf.xml"
    else:
        mend = (
            "is mod_event_socket loaded, does it listen there (listen-ip, listen-port), and is this machine on its "
            f"apply-inbound-acl? On the node: fs_cli -P {target.port} -x status"
        )
    return Finding("node_unreachable", where, str(error), mend)
