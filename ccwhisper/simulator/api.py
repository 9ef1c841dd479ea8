"""The api commands. Replies are worded as those of mod_commands.c in FreeSWITCH 1.11, asked one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ccwhisper.simulator.bugs import Bugs
from ccwhisper.simulator.callcenter import CallCenter
from ccwhisper.simulator.control import Control
from ccwhisper.simulator.legs import Leg
from ccwhisper.simulator.media import FRAME
from ccwhisper.simulator.parties import Parties
from ccwhisper.simulator.queries import NO_CHANNEL, OK, as_json, queries, split
from ccwhisper.simulator.wire import Request

if TYPE_CHECKING:
    from ccwhisper.simulator.state import Switch

Done = Callable[[str], object]

CAUSES = frozenset({
    "NORMAL_CLEARING", "MANAGER_REQUEST", "USER_BUSY", "NO_ANSWER", "NO_USER_RESPONSE", "CALL_REJECTED",
    "ORIGINATOR_CANCEL", "ALLOTTED_TIMEOUT", "DESTINATION_OUT_OF_ORDER", "NORMAL_TEMPORARY_FAILURE",
    "NORMAL_UNSPECIFIED",
})  # fmt: skip


class Api:
    """Everything that can be said after ``api``."""

    def __init__(self, switch: Switch, parties: Parties, callcenter: CallCenter, control: Control) -> None:
        self._switch, self._parties = switch, parties
        self._commands: dict[str, Callable[[str], str]] = {
            name.removeprefix("_do_"): getattr(self, name) for name in dir(self) if name.startswith("_do_")
        }
        self._commands |= queries(switch)
        self._commands["callcenter_config"] = lambda rest: callcenter.config(split(rest))
        self._commands["json"] = lambda rest: as_json(rest, {"callcenter_config": callcenter.lists})
        self._commands["sim"] = control.run

    # --- the wire's host ----------------------------------------------------------------------------------------------

    def uuid(self) -> str:
        """A fresh uuid."""
        return self._switch.uuid()

    def api(self, line: str, done: Done) -> None:
        """Run a command; ``done`` gets its output when there is one."""
        name, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if name == "originate":
            self._originate(rest, done)
        elif name in self._commands:
            done(self._commands[name](rest))
        else:
            done(f"-ERR {name} Command not found!\n")

    def background(self, line: str, job: str) -> None:
        """Run a command; its output comes as BACKGROUND_JOB."""
        name, _, rest = line.partition(" ")
        more = {"Job-UUID": job, "Job-Command": name} | ({"Job-Command-Arg": rest} if rest else {})

        def done(output: str) -> None:
            self._switch.raise_event("BACKGROUND_JOB", more, body=output)

        self._switch.clock.after(0, self.api, line, done)

    def send_event(self, name: str, request: Request) -> str:
        """``sendevent``. With the Unique-ID of a live leg it is queued to that leg and nobody else sees it; for one
        that is gone it is published, and the answer is +OK all the same (``parse_command``)."""
        identifier = self._switch.uuid()
        leg = self._switch.find(request.get("unique-id"))
        if leg is not None:
            command = request.get("eavesdrop-command")
            if command:
                self._switch.bugs.command(leg, command)
            return identifier
        more = {key: value for key, value in request.headers.items() if key.lower() != "content-length"}
        more |= {"Command": request.line, "Event-UUID": identifier}
        subclass = request.get("event-subclass")
        self._switch.raise_event(name.upper() or "COMMAND", more, body=request.body, subclass=subclass)
        return identifier

    def send_message(self, leg: str, request: Request) -> str:
        """``sendmsg``: queued to a leg, and answered before it has been read (``parse_command``)."""
        found = self._switch.find(leg)
        if found is None:
            return f"-ERR invalid session id [{leg}]"
        match request.get("call-command"):
            case "execute":
                found.messages.append((request.get("execute-app-name"), request.get("execute-app-arg")))
            case "hangup":
                found.messages.append(("hangup", request.get("hangup-cause")))
        self._switch.clock.after(FRAME, self._switch.read_messages, found)
        return "+OK"

    # --- variables ----------------------------------------------------------------------------------------------------

    def _do_uuid_setvar(self, rest: str) -> str:
        uuid, _, rest = rest.partition(" ")
        name, _, value = rest.strip().partition(" ")
        if not name:
            return "-USAGE: <uuid> <var> [value]\n"
        leg = self._switch.find(uuid)
        if leg is None:
            return NO_CHANNEL
        _store(leg, name, value.strip(" '"))
        return OK

    def _do_uuid_setvar_multi(self, rest: str) -> str:
        uuid, _, pairs = rest.partition(" ")
        leg = self._switch.find(uuid)
        if leg is None:
            return NO_CHANNEL
        for pair in pairs.split(";")[:64]:  # argv[64]
            name, _, value = pair.partition("=")
            if name and not ("${" in value or "$$" in value):  # a value that looks like a variable is dropped, with +OK
                _store(leg, name.strip(), value.strip(" '"))
        return OK

    # --- moving legs --------------------------------------------------------------------------------------------------

    def _originate(self, rest: str, done: Done) -> None:
        variables: dict[str, str] = {}
        if rest.startswith("{"):
            block, _, rest = rest[1:].partition("}")
            for pair in block.split(","):
                name, _, value = pair.partition("=")
                variables[name.strip()] = value.strip(" '")
        words = split(rest)
        if len(words) < 2:
            done("-USAGE: <call url> <exten>|&<application_name>(<app_args>) [<dialplan>] …\n")
            return
        endpoint, target = words[0], words[1]
        if not endpoint.startswith("user/"):
            done("-ERR CHAN_NOT_IMPLEMENTED\n")  # only directory users have phones here
            return
        applications = _inline(target) if "inline" in words[2:3] else _application(target)

        def up(leg: Leg) -> None:
            # +OK also when what the leg is to listen to does not exist: eavesdrop only finds out when it runs.
            leg.pending = applications
            self._switch.clock.after(0, self._switch.next_application, leg)
            done(f"+OK {leg.id}\n")

        timeout = float(variables.get("originate_timeout", 60))
        user = endpoint.removeprefix("user/")
        self._parties.ring(user, variables, up, lambda cause: done(f"-ERR {cause}\n"), None, timeout)

    def _do_uuid_transfer(self, rest: str) -> str:
        words = split(rest)
        leg = self._switch.find(words[0]) if len(words) > 1 else None
        if leg is None:
            return NO_CHANNEL if len(words) > 1 else "-USAGE: <uuid> [-bleg|-both] <dest-exten> [<dialplan>] …\n"
        if words[2:3] != ["inline"]:
            return "-ERR the simulator has no dialplan: inline only\n"
        self._switch.transfer(leg, _inline(words[1]))
        return OK

    def _do_uuid_bridge(self, rest: str) -> str:
        a, b = ([self._switch.find(word) for word in split(rest)] + [None, None])[:2]
        if a is None or b is None or a is b or not (a.up and b.up):
            return "-ERR Invalid uuid\n"
        self._switch.uuid_bridge(a, b)
        return f"+OK {b.id}\n"

    def _do_uuid_park(self, rest: str) -> str:
        leg = self._switch.find(rest)
        if leg is None:
            return NO_CHANNEL
        self._switch.transfer(leg, [("park", "")])
        return OK

    def _do_uuid_kill(self, rest: str) -> str:
        uuid, _, cause = rest.partition(" ")
        leg = self._switch.find(uuid)
        if leg is None:
            return NO_CHANNEL
        self._switch.hang_up(leg, _cause(cause, "NORMAL_CLEARING"))
        return OK

    def _do_hupall(self, rest: str) -> str:
        words = split(rest)
        cause = _cause(words[0] if words else "", "MANAGER_REQUEST")
        pairs = dict(zip(words[1::2], words[2::2], strict=False))
        for leg in self._switch.live():  # without a value: every call of the switch (hupall_api_function)
            if all(self._switch.variable(leg, name) == value for name, value in pairs.items()):
                self._switch.hang_up(leg, cause)
        name, value = next(iter(pairs.items()), ("", ""))
        which = f" matching [{name}]=[{value}] with cause: " if pairs else " with cause "
        return f"+OK hangup all channels{which}{cause}\n"

    def _do_uuid_hold(self, rest: str) -> str:
        words = split(rest)
        off = words[:1] == ["off"]
        leg = self._switch.find(words[1 if off else 0]) if words[1 if off else 0 :] else None
        if leg is not None:
            self._switch.hold(leg, not off)
        return "+OK Success\n"  # also for a leg that does not exist (asked)

    # --- what is attached to legs -------------------------------------------------------------------------------------

    def _do_uuid_media_reneg(self, rest: str) -> str:
        leg = self._switch.find(rest.partition(" ")[0])
        if leg is None:
            return "-ERR Operation Failed\n"
        self._switch.clock.after(FRAME, self._parties.codec, leg, 8000)  # every phone here has PCMU
        return "+OK Success\n"

    def _do_uuid_jitterbuffer(self, rest: str) -> str:
        words = split(rest)
        leg = self._switch.find(words[0]) if len(words) > 1 else None
        if leg is None:
            return "-ERR Operation failed\n"
        match words[1]:  # check_jb in switch_core_media.c
            case "pause" | "resume" as what:
                leg.buffer_paused = what == "pause"
            case "stop":
                leg.buffer_ms = 0
            case size:  # one that the bridge has paused stays paused
                leg.variables["jitterbuffer_msec"] = size
                leg.set_buffer(size)
        return "+OK Success\n"

    def _do_uuid_displace(self, rest: str) -> str:
        words = split(rest)
        if len(words) < 3:
            return "-USAGE: <uuid> [start|stop] <path> [<limit>] [mux]\n"
        leg = self._switch.find(words[0])
        if leg is None:
            return "-ERR Cannot locate session!\n"
        limit = int(words[3]) if words[3:] and words[3].isdigit() else 0
        done = (
            self._switch.bugs.stop_displacing(leg, words[2])
            if words[1] == "stop"
            else self._switch.bugs.displace(leg, words[2], limit, words[4] if words[4:] else "")
        )
        return "+OK Success\n" if done else f"-ERR Cannot {'stop ' if words[1] == 'stop' else ''}displace session!\n"

    def _do_uuid_record(self, rest: str) -> str:
        words = split(rest)
        if len(words) < 3:
            return "-USAGE: <uuid> [start|stop|mask|unmask] <path> [<limit>]\n"
        leg = self._switch.find(words[0])
        if leg is None:
            return "-ERR Cannot locate session!\n"
        bugs, path = self._switch.bugs, words[2]
        given = dict(each.partition("=")[::2] for each in words[4].strip("{}").split(",")) if words[4:] else {}
        done = _record(bugs, leg, words[1], path, given)
        what = {"start": "record", "stop": "stop record"}.get(words[1], f"{words[1]} recording")
        return "+OK Success\n" if done else f"-ERR Cannot {what} session!\n"

    # --- later --------------------------------------------------------------------------------------------------------

    def _do_sched_api(self, rest: str) -> str:
        when, _, rest = rest.partition(" ")
        group, _, command = rest.strip().partition(" ")
        if not command or not when.removeprefix("+").isdigit():
            return "-ERR Invalid syntax. USAGE: [+@]<time> <group_name> <command_string>[&]\n"
        seconds = int(when[1:]) if when.startswith("+") else int(when) - int(self._switch.clock.wall())
        line = command.removesuffix("&")
        task = self._switch.tasks.add(seconds, group, "sched_api_function", lambda: self.api(line, lambda _out: None))
        return f"+OK Added: {task.id}\n"

    def _do_sched_del(self, rest: str) -> str:
        tasks = self._switch.tasks
        return f"+OK Deleted: {tasks.delete(int(rest)) if rest.isdigit() else tasks.delete_group(rest)}\n"


def _record(bugs: Bugs, leg: Leg, action: str, path: str, given: Mapping[str, str]) -> bool:
    if action == "start":
        return bugs.record(leg, path, given)
    if action == "stop":
        return bugs.stop_recording(leg, path)
    return action in ("mask", "unmask", "pause", "resume") and bugs.change_recording(leg, path, action)


def _store(leg: Leg, name: str, value: str) -> None:
    if value:
        leg.variables[name] = value
    else:
        leg.variables.pop(name, None)


def _cause(word: str, default: str) -> str:
    return word if word in CAUSES else default


def _inline(text: str) -> list[tuple[str, str]]:
    delimiter = ","
    if text[:2] == "m:" and text[3:4] == ":":  # inline_dialplan_hunt in mod_dptools.c
        delimiter, text = text[2], text[4:]
    pairs = (each.partition(":") for each in text.split(delimiter))
    return [(name, unquote(data) if "%" in data else data) for name, _, data in pairs]


def _application(text: str) -> list[tuple[str, str]]:
    name, _, data = text.removeprefix("&").partition("(")
    return [(name, data.rstrip(")"))]
