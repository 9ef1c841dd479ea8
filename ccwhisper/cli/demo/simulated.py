"""`demo --switch simulator`: the simulator and the service, each in a process of its own, and a coach at the keys."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ccwhisper.cli.client import Client, Refused
from ccwhisper.cli.demo.desk import Desk
from ccwhisper.cli.demo.ears import Ears
from ccwhisper.cli.demo.orderly import held, perhaps_nobody_reads, undisturbed, visible_lines
from ccwhisper.cli.demo.picture import Picture
from ccwhisper.cli.demo.portal import Person, Portal
from ccwhisper.cli.demo.script import perform
from ccwhisper.cli.demo.view import View
from ccwhisper.cli.demo.words import environment
from ccwhisper.cli.output import Exit, Output, visible
from ccwhisper.cli.screen import HEIGHT, WIDTH, Screen
from ccwhisper.proof.service import ServiceError, ServiceProcess
from ccwhisper.proof.simulated import SimulatorError, SimulatorProcess
from ccwhisper.proof.steps import COACH

DEVICE: Final = "9001"
AGENTS: Final = tuple(str(number) for number in range(1001, 1009))
CALLS: Final = 5
"""Lively calls at a time, beside the one that nobody hangs up."""

_HOURS: Final = 12  # that the coach's token is good


@dataclass(frozen=True, slots=True)
class Centre:
    """What was set up: the switch, the service, and the coach's client with his token."""

    switch: SimulatorProcess
    url: str
    client: Client
    environment: Path
    portal: str  # where one signs in to the pages


def run(out: Output, screen: Screen) -> int:
    """The view, or the steps where there is nothing to paint on or nobody at the keys. Returns the exit code."""
    by_keys = screen.live and sys.stdin.isatty() and not out.as_json
    settled = False
    rest = contextlib.ExitStack()
    try:
        if not out.as_json:
            screen.line("Starting a simulated switch (for trying, not for production) and the service …")
            if sys.stdout.isatty() and not screen.live:
                screen.line(f"The terminal is smaller than {WIDTH} x {HEIGHT}, or a simple one: shown as lines.")
        centre = _set_up(rest, lively=by_keys)
        settled = by_keys
        if not by_keys:
            return perform(out, screen, centre.switch, centre.client, centre.url)
        _show(screen, centre)
        return Exit.OK
    except KeyboardInterrupt:
        return Exit.OK if settled else Exit.INTERRUPTED
    except BrokenPipeError:
        raise  # nobody reads any more; how that ends is the same for every command
    except Refused as error:
        out.note(visible(f"{error.message} [{error.code}]"))
        return Exit.FAILED
    except (SimulatorError, ServiceError, OSError) as error:
        out.note(visible_lines(f"{type(error).__name__}: {error}"))
        return Exit.FAILED
    finally:
        with undisturbed():
            rest.close()
            if by_keys:
                with perhaps_nobody_reads():
                    screen.line("The demo has ended; nothing of it is left.")


def _set_up(rest: contextlib.ExitStack, *, lively: bool) -> Centre:
    # Phones for people ring for a moment; those of a script need not.
    switch = rest.enter_context(SimulatorProcess("--ring", "0.4" if lively else "0.02", "--talk", "120"))
    with held():
        switch.start()
    service = ServiceProcess(switch, agents=AGENTS)
    rest.push(service)  # before it starts: one that does not come up is taken down, too
    with held():
        service.start()
    until = int(time.time()) + _HOURS * 3600
    claims = {"devices": [f"{DEVICE}@{switch.domain}"], "exp": until}
    token = service.token(COACH, **claims)
    client = rest.enter_context(contextlib.closing(Client(service.url, token)))
    links = [
        (each, f"{service.url}{each.path}#token={service.token(each.name.lower(), exp=until, **each.claims)}")
        for each in people(switch.domain)
    ]
    portal = rest.enter_context(Portal(links))
    return Centre(switch, service.url, client, environment(service.directory, service.url, token), portal.url)


def people(domain: str) -> list[Person]:
    """Whom one can be on the pages."""
    nothing: dict[str, Any] = {"permissions": [], "roles": [], "queues": []}
    return [
        Person("Supervisors", "Grace", "may do everything; her phone is 9002", "/", {"devices": [f"9002@{domain}"]}),
        Person("Supervisors", "Dora", "may listen and whisper; her phone is 9003", "/",
               {"devices": [f"9003@{domain}"], "roles": ["whisper"]}),
        *(Person("Agents", f"Agent {agent}", "", "/agent", {**nothing, "agent": agent}) for agent in AGENTS[:4]),
        Person("Administrators", "Ada", "edits policies, reads the audit trail", "/admin",
               {**nothing, "queues": ["*"], "permissions": ["view_audit_trail", "edit_coaching_policies"]}),
    ]  # fmt: skip


def _show(screen: Screen, centre: Centre) -> None:
    from ccwhisper.cli.terminal import Terminal  # noqa: PLC0415 - only where there is one

    opening = AGENTS[0]
    centre.switch.sim(f"call {opening} +493023125042 Ada+Ahorn")
    centre.switch.sim(f"stories {CALLS}")
    picture = Picture(screen, centre.portal, DEVICE, str(centre.environment))
    if any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):  # else it might be one in this terminal
        with contextlib.suppress(webbrowser.Error):
            webbrowser.open(centre.portal)
    with Terminal() as terminal:
        View(terminal, Desk(centre.client), Ears(centre.switch.sim, DEVICE), picture, opening).run()
