"""`simulate`: the simulator alone, for those who write clients."""

from __future__ import annotations

import os
import signal

import click

from ccwhisper.cli.options import output_option
from ccwhisper.cli.output import Exit, Output

_PASSWORD = "CCW_ESL_PASSWORD"  # noqa: S105 - the name of a variable
_QUEUE = "support@default"


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8021, show_default=True,
    help="That of an Event Socket; 0: any free one.",
)  # fmt: skip
@click.option("--domain", default="ccwhisper.local", show_default=True, help="The directory's domain.")
@click.option("--agents", type=click.IntRange(1, 2000), default=8, show_default=True, help="How many: 1001, 1002, …")
@click.option("--coaches", type=click.IntRange(0, 900), default=9, show_default=True, help="How many: 9001, 9002, …")
@click.option(
    "--ring", type=click.FloatRange(0, 60), default=1.0, show_default=True, help="Seconds until a phone is answered."
)
@click.option(
    "--calls", type=click.IntRange(0, 1000), default=0, show_default=True, help="So many calls at a time by themselves."
)
@click.option(
    "--talk", type=click.FloatRange(1, 86400), default=90.0, show_default=True, help="Their mean length in seconds."
)
@click.option("--seed", type=int, help="The same seed tells the same story.")
@output_option
def simulate(
    out: Output,
    host: str,
    port: int,
    domain: str,
    agents: int,
    coaches: int,
    ring: float,
    calls: int,
    talk: float,
    seed: int | None,
) -> None:
    """Run a simulated switch, for trying and testing; never for production.

    It speaks the Event Socket as FreeSWITCH does, for `ccwhisper serve` and for clients of your own. The password is
    in the environment variable CCW_ESL_PASSWORD; without one it makes one and prints it. Ctrl-C ends it.
    """
    import gevent  # noqa: PLC0415 - the other commands do without the simulator
    from gevent.event import Event  # noqa: PLC0415

    from ccwhisper.simulator import Simulator  # noqa: PLC0415

    given = os.environ.get(_PASSWORD, "")
    simulator = Simulator(
        host, port, given, domain=domain, agents=agents, coaches=coaches, ring=ring, talk=talk, seed=seed
    )
    stopped = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stopped.set)
    try:
        simulator.start()
    except OSError as error:
        out.note(f"{host}:{port}: {error.strerror or error}. --port 0 takes any free one.")
        raise SystemExit(Exit.FAILED) from None
    try:
        if calls:
            simulator.sim(f"stories {calls}")
        about = {"simulator": True, "host": simulator.host, "port": simulator.port, "domain": domain}
        about |= {} if given else {"password": simulator.password}
        out.record(about, _told(simulator.host, simulator.port, domain, agents, coaches, simulator.password, given))
        stopped.wait()
    finally:
        simulator.stop()


def _told(host: str, port: int, domain: str, agents: int, coaches: int, password: str, given: str) -> str:
    lines = [
        "SIMULATED SWITCH: for trying and testing, not for production.",
        "",
        f"  Event Socket   {host}:{port}",
        f"  password       from {_PASSWORD}" if given else f"  password       export {_PASSWORD}={password}",
        f"  agents         {_users(1001, agents, domain)}",
        f"  coaches        {_users(9001, coaches, domain)}",
        f"  queue          {_QUEUE}",
        "",
        "Callers and agents do what they are told over the Event Socket, with any client:",
        "  api sim call 1001 +493023125042 Ada+Ahorn     api sim legs     api sim stories 5",
        "In bash, without one:",
        f"  (exec 3<>/dev/tcp/{host}/{port};"
        f" printf 'auth %s\\n\\napi sim legs\\n\\nexit\\n\\n' \"${_PASSWORD}\" >&3; cat <&3)",
        "docs/simulator.md lists the commands.",
        "",
        "Ctrl-C ends it.",
    ]
    return "\n".join(lines)


def _users(first: int, number: int, domain: str) -> str:
    if number == 0:
        return "none"
    return f"{first}@{domain}" + (f" to {first + number - 1}@{domain}" if number > 1 else "")
