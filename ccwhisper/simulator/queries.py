"""Commands that only ask."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ccwhisper.simulator import legs as names
from ccwhisper.simulator.wire import plain_headers

if TYPE_CHECKING:
    from ccwhisper.simulator.state import Switch

OK: Final = "+OK\n"
NO_CHANNEL: Final = "-ERR No such channel!\n"

_WORD: Final = re.compile(r"((?:[^\s']|'[^']*')+)")


def split(text: str) -> list[str]:
    """Words; what stands between quotes is one, without them (``switch_separate_string``)."""
    if "'" not in text:
        return text.split()
    return [word.replace("'", "") for word in _WORD.findall(text)]


def queries(switch: Switch) -> dict[str, Callable[[str], str]]:
    """The commands by name."""
    asking = _Queries(switch)
    return {name.removeprefix("_do_"): getattr(asking, name) for name in dir(asking) if name.startswith("_do_")}


def as_json(text: str, commands: Mapping[str, Callable[[Mapping[str, Any]], list[dict[str, str]] | None]]) -> str:
    """``json``: the request, with the answer added to it (``switch_json_api_execute``)."""
    try:
        request = json.loads(text)
    except ValueError:
        return "-ERR Parse error.\n" if text else "-ERR No JSON supplied.\n"
    command = commands.get(str(request.get("command"))) if isinstance(request, dict) and "data" in request else None
    said: dict[str, Any]
    if command is None:
        said = {"status": "error", "message": "Invalid request or non-existant command", "response": None}
    else:
        rows = command(request)
        message = {"status": "error", "message": "The command returned an error"}
        said = {**({"status": "success"} if rows is not None else message), "response": rows}
    return json.dumps({**(request if isinstance(request, dict) else {}), **said}) + "\n"


class _Queries:
    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    def _do_version(self, _rest: str) -> str:
        return f"FreeSWITCH Version 1.11 {names.VERSION}\n"

    def _do_status(self, _rest: str) -> str:
        return (
            f"{names.VERSION}\nUP {self._switch.clock.now():.0f} seconds\n{self._switch.sessions} session(s) since "
            f"startup\n{len(self._switch.live())} session(s)\n"
        )

    def _do_create_uuid(self, _rest: str) -> str:
        return self._switch.uuid()

    def _do_module_exists(self, rest: str) -> str:
        return str(rest in ("mod_callcenter", "mod_commands", "mod_event_socket", "mod_dptools")).lower()

    def _do_global_getvar(self, rest: str) -> str:
        return self._switch.globals.get(rest, "")

    def _do_global_setvar(self, rest: str) -> str:
        name, _, value = rest.partition("=")
        self._switch.globals[name] = value
        return OK

    def _do_uuid_exists(self, rest: str) -> str:
        return str(self._switch.find(rest) is not None).lower()

    def _do_uuid_dump(self, rest: str) -> str:
        words = split(rest)
        leg = self._switch.find(words[0]) if words else None
        if leg is None:
            return NO_CHANNEL if words else "-USAGE: <uuid> [format]\n"
        dump = self._switch.head("CHANNEL_DATA") | names.headers(leg)
        if words[1:] == ["json"]:
            return json.dumps(dump)
        return plain_headers(dump)

    def _do_uuid_buglist(self, rest: str) -> str:
        words = split(rest)
        leg = self._switch.find(words[0]) if words else None
        if leg is None:
            return "-ERR no reply\n" if words else "-USAGE: <uuid>\n"  # the event socket's word for an empty answer
        bugs = "".join(
            f" <media-bug>\n  <function>{bug.kind}</function>\n  <target>{bug.target}</target>\n"
            "  <thread-locked>0</thread-locked>\n </media-bug>\n"
            for bug in leg.bugs
        )
        return f"<media-bugs>\n{bugs}</media-bugs>\n"

    def _do_uuid_getvar(self, rest: str) -> str:
        words = split(rest)
        leg = self._switch.find(words[0]) if len(words) > 1 else None
        if leg is None:
            return NO_CHANNEL if len(words) > 1 else "-USAGE: <uuid> <var>\n"
        value = self._switch.variable(leg, words[1])
        return "_undef_" if value is None else value

    def _do_show(self, rest: str) -> str:
        words = rest.split()
        rows = self._switch.tables.rows(words[0] if words else "")
        if rows is None:
            return "-USAGE: codec|endpoint|application|api|…\n"
        if words[1:2] == ["count"]:
            return f"\n{len(rows)} total.\n"
        if words[1:] == ["as", "json"]:
            table: dict[str, Any] = {"row_count": len(rows)}
            return json.dumps(table | ({"rows": rows} if rows else {}))  # "rows" is absent when there is none
        text = io.StringIO()
        if rows:
            writer = csv.DictWriter(text, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        return f"{text.getvalue()}\n{len(rows)} total.\n"
