"""``python -m ccwhisper.simulator``: the simulator as a process of its own.

Prints one line of JSON when it listens: host, port, and that it is a simulator. The password is in the environment
variable CCW_ESL_PASSWORD; without one it makes one and prints it too.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
from collections.abc import Sequence

import gevent
from gevent.event import Event

from ccwhisper.simulator.server import Simulator


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m ccwhisper.simulator", description="A simulated switch, for trying."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--domain", default="ccwhisper.local", help="the directory's domain")
    parser.add_argument("--agents", type=int, default=8, help="how many: 1001, 1002, …")
    parser.add_argument("--coaches", type=int, default=9, help="how many: 9001, 9002, …")
    parser.add_argument("--ring", type=float, default=1.0, help="seconds until a phone is answered")
    parser.add_argument("--calls", type=int, default=0, help="so many calls at a time by themselves, up to 1000")
    parser.add_argument("--talk", type=float, default=90.0, help="their mean length in seconds")
    parser.add_argument("--seed", type=int, help="the same seed tells the same story")
    given = parser.parse_args(arguments)
    password = os.environ.get("CCW_ESL_PASSWORD", "")
    stopped = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stopped.set)
    with Simulator(
        given.host, given.port, password, domain=given.domain, agents=given.agents, coaches=given.coaches,
        ring=given.ring, talk=given.talk, seed=given.seed,
    ) as simulator:  # fmt: skip
        if given.calls:
            simulator.sim(f"stories {given.calls}")
        about = {"simulator": True, "host": simulator.host, "port": simulator.port, "domain": simulator.domain}
        print(json.dumps(about if password else about | {"password": simulator.password}), flush=True)  # noqa: T201
        stopped.wait()


if __name__ == "__main__":
    main()
