"""`calls` and `watch`."""

from __future__ import annotations

import time
from typing import Any

import click

from ccwhisper.cli.client import Refused
from ccwhisper.cli.follow import Follower, stage_of
from ccwhisper.cli.options import Api, api_options
from ccwhisper.cli.output import visible


@click.command()
@click.option("--agent", help="Only calls of this agent.")
@click.option("--queue", help="Only calls of this queue.")
@api_options
def calls(api: Api, agent: str | None, queue: str | None) -> None:
    """List the calls that you may see."""
    answer = api.client.get("calls", agent=agent, queue=queue)
    rows = [
        (
            call["id"],
            agents_of(call),
            party_of(call),
            call["direction"],
            call["queue"] or "-",
            age_of(call),
            state_of(call),
        )
        for call in answer["calls"]
    ]
    api.out.table(answer, ("CALL", "AGENT", "PARTY", "DIRECTION", "QUEUE", "AGE", "STATE"), rows, "There are no calls.")


def agents_of(call: dict[str, Any]) -> str:
    """The agents on a call."""
    return ", ".join(f"{each['agent']} {each['name']}" for each in call["agents"])


def party_of(call: dict[str, Any]) -> str:
    """Number and name of the other party: a stranger's text."""
    name, number = str(call["name"]), str(call["number"])
    return f"{number} {name}".strip() if name != number else number


def age_of(call: dict[str, Any]) -> str:
    """How long a call has lasted."""
    minutes, seconds = divmod(max(0, int(time.time() - call["started_at"])), 60)
    return f"{minutes}:{seconds:02}"


def state_of(call: dict[str, Any]) -> str:
    """Up, held, or why it cannot be coached; and whether somebody listens whom the service knows nothing of."""
    return (call["obstacle"] or ("held" if call["held"] else "up")) + (", tapped" if call["taps"] else "")


@click.command()
@api_options
def watch(api: Api) -> None:
    """Follow what happens, until Ctrl-C. With --json one event a line, beginning with a snapshot."""
    follower = Follower(api.client)
    first = {"type": "reset", "v": 1, "at": time.time(), "data": follower.snapshot}
    try:
        _print(api, first)
        while True:
            try:
                for event in follower.read():
                    _print(api, event)
            except Refused as error:
                if error.status not in (0, 503):
                    raise
                api.out.note(f"{visible(error.message)} Trying again.")
                time.sleep(1)
    except KeyboardInterrupt:
        return


def _print(api: Api, event: dict[str, Any]) -> None:
    stamp = time.strftime("%H:%M:%S", time.localtime(event["at"]))
    for line in lines_of(event):
        api.out.record(event, f"{stamp}  {visible(line)}")
        if api.out.as_json:
            return


def lines_of(event: dict[str, Any]) -> list[str]:
    """An event in words; with strangers' text in them as it is."""
    data = event["data"]
    match event["type"]:
        case "reset":
            return [
                f"{len(data['calls'])} calls, {len(data['sessions'])} sessions of yours, "
                f"{len(data['coaches'])} other coaches",
                *(f"call {call['id'][:8]}  {agents_of(call)}  {party_of(call)}" for call in data["calls"]),
            ]
        case "call.changed":
            return [f"call {data['id'][:8]}  {agents_of(data)}  {party_of(data)}  {state_of(data)}"]
        case "call.ended":
            return [f"call {data['id'][:8]}  {agents_of(data)}  ended"]
        case "session.changed" | "session.ended":
            return [f"you on {data['agent']}  {stage_of(data)}"]
        case "coach.changed":
            return [f"{data['name']} on {data['agent']}  {data['mode']}, gate {data['gate']}"]
        case "coach.left":
            return [f"{data['name']} left {data['agent']}"]
        case "agent.changed":
            status = (data["status"] or "no status").replace("_", " ")
            return [f"{data['id']} {data['name']}  {status}, {(data['state'] or 'no state').replace('_', ' ')}"]
        case "queue.changed":
            agents = data["agents"]
            there = ", ".join(f"{agents[key]} {key.replace('_', ' ')}" for key in ("available", "on_call", "on_break"))
            return [f"{data['name']}  {data['waiting']} waiting; {there}"]
        case "queue.gone":
            return [f"{data['name']}  gone"]
        case "node.changed":
            return [f"switch {data['name']} {'connected' if data['up'] else 'lost'}"]
        case "beep.failed":
            return [f"beep not heard: {data['why']}"]
        case "tap.noticed" | "tap.gone":
            by = f" by {data['who']}" if data["who"] else ""
            kind = "another ccwhisper" if data["kind"] == "other_installation" else "not by ccwhisper"
            over = "no longer " if event["type"] == "tap.gone" else ""
            return [f"call {data['call'][:8]}  {over}tapped{by}, {kind}"]
        case other:
            return [str(other)]
