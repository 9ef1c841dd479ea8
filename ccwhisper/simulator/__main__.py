"""``python -m ccwhisper.simulator``: the simulator as a process of its own, for programs; people have
``ccwhisper simulate``.

Prints one line of JSON when it listens: host, port, domain, and that it is a simulator. The password is in the
environment variable CCW_ESL_PASSWORD; without one it makes one and prints it too.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence

import gevent
from gevent.event import Event

from ccwhisper.simulator.server import Simulator


def _options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m ccwhisper.simulator",
        description="A simulated switch, for trying and testing; never for production.",
    )
    options.add_argument("--host", default="127.0.0.1", help="where to listen (%(default)s)")
    options.add_argument("--port", type=int, default=0, help="0, as it is by default: any free one")
    options.add_argument("--domain", default="ccwhisper.local", help="the directory's domain (%(default)s)")
    options.add_argument("--agents", type=int, default=8, help="how many: 1001, 1002, … (%(default)s)")
    options.add_argument("--coaches", type=int, default=9, help="how many: 9001, 9002, … (%(default)s)")
    options.add_argument("--ring", type=float, default=1.0, help="seconds until a phone is answered (%(default)s)")
    options.add_argument("--calls", type=int, default=0, help="so many calls at a time by themselves, up to 1000")
    options.add_argument("--talk", type=float, default=90.0, help="their mean length in seconds (%(default)s)")
    options.add_argument("--seed", type=int, help="the same seed tells the same story")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM. Returns the exit status: 1 when the port cannot be had."""
    given = _options().parse_args(arguments)
    password = os.environ.get("CCW_ESL_PASSWORD", "")
    stopped = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stopped.set)
    simulator = Simulator(
        given.host, given.port, password, domain=given.domain, agents=given.agents, coaches=given.coaches,
        ring=given.ring, talk=given.talk, seed=given.seed,
    )  # fmt: skip
    try:
        simulator.start()
    except OSError as error:
        sys.stderr.write(f"cannot listen on {given.host} port {given.port}: {error.strerror}\n")
        return 1
    try:
        if given.calls:
            simulator.sim(f"stories {given.calls}")
        about = {"simulator": True, "host": simulator.host, "port": simulator.port, "domain": simulator.domain}
        sys.stdout.write(json.dumps(about if password else about | {"password": simulator.password}) + "\n")
        sys.stdout.flush()
        stopped.wait()
    finally:
        simulator.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
