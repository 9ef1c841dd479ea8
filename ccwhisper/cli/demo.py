"""`demo`: a whole contact centre on this machine, and one of its calls coached before one's eyes."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from ccwhisper.cli.follow import stage_of
from ccwhisper.cli.options import output_option
from ccwhisper.cli.output import Exit, Output, visible
from ccwhisper.cli.screen import Screen

if TYPE_CHECKING:
    from ccwhisper.proof.node import PrivateNode
    from ccwhisper.proof.show import Glance, Look, Show, Step
    from ccwhisper.proof.stage import Stage

_SILENT = -60.0
_NAMES = {
    "caller": "caller",
    "agent": "agent",
    "second": "caller 2",
    "colleague": "agent 1002",
    "carla": "Carla",
}


@click.command()
@click.option(
    "--switch", type=click.Choice(["freeswitch"]), default="freeswitch", show_default=True,
    help="What carries the calls: a private FreeSWITCH node, taken down again at the end.",
)  # fmt: skip
@click.option(
    "--pace", type=click.FloatRange(0, 600), default=3.0, show_default=True, metavar="SECONDS",
    help="How long each step is shown.",
)  # fmt: skip
@click.option("--keep", is_flag=True, help="Stay when the steps are done, to be coached from a second terminal.")
@output_option
def demo(out: Output, switch: str, pace: float, keep: bool) -> None:  # noqa: ARG001 - one switch so far
    """Coach a call between synthetic phones, and see who hears whom.

    Needs a FreeSWITCH on this machine, and touches none that runs: it starts a node of its own, on loopback. Exit code
    0 means that at each step everybody heard whom he should and nobody else; 1, that it was not so; 6, that there is no
    FreeSWITCH.
    """
    with _orderly():
        raise SystemExit(_demo(out, Screen(), pace, keep))


@contextlib.contextmanager
def _orderly() -> Iterator[None]:
    """SIGTERM and a closed terminal mean the same as Ctrl-C."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Nothing interrupts the taking down: a second Ctrl-C would leave a switch behind."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _demo(out: Output, screen: Screen, pace: float, keep: bool) -> int:
    if not sys.platform.startswith("linux"):
        out.note("The demo's synthetic phones need Linux.")
        return Exit.UNAVAILABLE
    try:
        from ccwhisper.proof.node import NodeError, find_freeswitch  # noqa: PLC0415 - what only the demo needs
        from ccwhisper.proof.service import ServiceError  # noqa: PLC0415
        from ccwhisper.proof.show import Show  # noqa: PLC0415
        from ccwhisper.proof.stage import NotAsExpected, Refused  # noqa: PLC0415
    except ImportError as error:
        out.note(f"The demo needs the synthetic phones: pip install 'ccwhisper[proof]' ({error}).")
        return Exit.UNAVAILABLE
    try:
        binary = find_freeswitch()
    except FileNotFoundError as error:
        out.note(f"{error}.")
        return Exit.UNAVAILABLE
    if binary is None:
        out.note(
            "No FreeSWITCH was found on this machine. docs/freeswitch.md says how to get one;\n"
            "one in an unusual place is named by FREESWITCH_BIN=/path/to/freeswitch."
        )
        return Exit.UNAVAILABLE
    verdict: int | None = None
    rest = contextlib.ExitStack()
    try:
        stage = _set_up(out, screen, rest, binary)
        show = Show(stage)
        show.open()
        verdict = _perform(out, screen, show, pace)
        if keep:
            _stay(out, screen, show)
        return verdict
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # of a terminal that was closed
            screen.line()
        return Exit.INTERRUPTED if verdict is None else verdict
    except (NodeError, ServiceError, NotAsExpected, Refused, OSError, RuntimeError) as error:
        out.note(visible_lines(f"{type(error).__name__}: {error}"))
        return Exit.FAILED
    finally:
        with _undisturbed():
            with contextlib.suppress(OSError):
                if not out.as_json:
                    screen.line(screen.style("taking everything down …", "faint"))
            rest.close()


def visible_lines(text: str) -> str:
    """Text of several lines for a terminal: a log may hold what callers wrote."""
    return "\n".join(visible(line) for line in text.splitlines())


def _set_up(out: Output, screen: Screen, rest: contextlib.ExitStack, binary: Path) -> Stage:
    from ccwhisper.proof.node import PrivateNode  # noqa: PLC0415
    from ccwhisper.proof.stage import Stage  # noqa: PLC0415

    say: Callable[[str], None] = (lambda _line: None) if out.as_json else screen.line
    began = time.monotonic()
    node = PrivateNode(binary=binary)
    rest.callback(_remove, node)
    node.start()
    say(f"FreeSWITCH {visible(node.version.partition('+')[0][:40])} · a private node from freeswitch-conf/")
    stage = rest.enter_context(Stage(node))
    say(f"ccwhisper at {stage.service.url} · ready after {time.monotonic() - began:.1f} s")
    return stage


def _remove(node: PrivateNode) -> None:
    # The phones have hung up by now. A switch that is asked to end takes four seconds over it, for nobody's sake.
    node.kill()
    node.close()


# --- the steps -------------------------------------------------------------------------------------------------------


def _perform(out: Output, screen: Screen, show: Show, pace: float) -> int:
    from ccwhisper.proof.stage import LEVEL  # noqa: PLC0415

    looks: list[Look] = []
    for look in show.perform(pace):
        if looks and looks[-1].step is not look.step:
            _report(out, screen, looks)
        looks.append(look)
        if screen.live and not out.as_json:
            screen.paint(_picture(screen, looks))
    _report(out, screen, looks)
    wrong = [look for look in looks if look.wrong]
    summary = {
        "kept": not wrong,
        "looks": len(looks),
        "wrong": len(wrong),
        "trace_at_caller_dbfs": round(show.trace, 1),
    }
    if out.as_json:
        out.record(summary, "")
        return Exit.FAILED if wrong else Exit.OK
    screen.line()
    if wrong:
        screen.line(screen.style(f"NOT AS PROMISED in {len(wrong)} of {len(looks)} looks:", "bad"))
        for step, fault in dict.fromkeys((look.step.name, look.wrong) for look in wrong):
            screen.line(f"  {step}: {fault}")
        return Exit.FAILED
    screen.line(screen.style(f"As promised in all {len(looks)} looks.", "good"))
    screen.line("Outside of barge, the loudest trace of Carla or the beep at the caller was")
    screen.line(f"{show.trace:.0f} dBFS; her voice was sent at {LEVEL:.0f}.")
    return Exit.OK


def _report(out: Output, screen: Screen, looks: list[Look]) -> None:
    """A finished step: as JSON, or as a block of lines where nothing can be painted."""
    look = looks[-1]
    of_step = [each for each in looks if each.step is look.step]
    if out.as_json:
        faults = [each.wrong for each in of_step if each.wrong]
        record: dict[str, Any] = {"step": look.step.name, "kept": not faults, "faults": faults, "looks": len(of_step)}
        record["levels_dbfs"] = {who: _rounded(heard) for who, heard in look.levels.items()}
        record["other_call_dbfs"] = {who: _rounded(heard) for who, heard in look.other_call.items()}
        record["session"] = look.session
        record["switched_ms"] = None if look.switched_ms is None else round(look.switched_ms, 1)
        record["beep_dbfs"] = None if look.beep is None else _rounded(look.beep)
        out.record(record, "")
    elif not screen.live:
        screen.line()
        screen.line(f"{look.step.name}: {look.step.promise}")
        for line in filter(None, (*_matrix(look.levels), *_facts(screen, of_step))):
            screen.line(line)


def _rounded(levels: Mapping[str, float]) -> dict[str, float]:
    return {name: round(level, 1) for name, level in levels.items()}


def _picture(screen: Screen, looks: list[Look]) -> list[str]:
    """At most 21 lines of at most 80 columns."""
    from ccwhisper.proof.show import STEPS  # noqa: PLC0415

    current = looks[-1].step
    of_step = [each for each in looks if each.step is current]
    steps = [_step_line(screen, step, current, looks) for step in STEPS]
    matrix = _matrix(looks[-1].levels)
    matrix += [""] * (4 - len(matrix))  # without a coach a line shorter: the picture does not jump
    return ["", *steps, "", *matrix, "", *_facts(screen, of_step)]


def _step_line(screen: Screen, step: Step, current: Step, looks: list[Look]) -> str:
    seen = [look for look in looks if look.step is step]
    text = f"{step.name:<9}{step.promise}"
    if any(look.wrong for look in seen):
        return f"  {screen.style('✗', 'bad')} {text}"
    if step is current:
        return f"  {screen.style('▸', 'good')} {screen.style(text, 'strong')}"
    return f"  {screen.style('✓', 'good')} {text}" if seen else f"    {screen.style(text, 'faint')}"


def _matrix(levels: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Who hears whom: a row for each who listens, a column for each who speaks."""
    names = [name for name in _NAMES if any(name in heard for heard in levels.values())]
    lines = ["  " + "dBFS".ljust(18) + "".join(_NAMES[name].rjust(11) for name in names)]
    for listener, heard in levels.items():
        cells = (
            "·" if name == listener else f"{heard[name]:.0f}" if heard.get(name, -120.0) > _SILENT else "–"
            for name in names
        )  # fmt: skip
        lines.append(f"  {_NAMES[listener] + ' hears':<18}" + "".join(cell.rjust(11) for cell in cells))
    return lines


def _facts(screen: Screen, looks: list[Look]) -> list[str]:
    from ccwhisper.proof.show import COACH  # noqa: PLC0415

    look = looks[-1]
    faults = list(dict.fromkeys(each.wrong for each in looks if each.wrong))
    if faults:
        verdict = screen.style(faults[0][:66], "bad")
    else:
        verdict = screen.style(f"as promised, {_count(len(looks), 'look')}", "good") + "; the other call untouched"
    lines = [f"  measured    {verdict}", f"  the API     {visible(_api(look.session))[:66]}"]
    change = "heard" if COACH in look.step.agent else "no longer heard"
    switched = "" if look.switched_ms is None else f"  switched    {change} {look.switched_ms:.0f} ms after the request"
    lines.append(switched)
    beep = ""
    if look.beep is not None:
        heard = ", ".join(
            f"{_NAMES[who]} {level:.0f} dBFS" if level > _SILENT else f"{_NAMES[who]} –"
            for who, level in look.beep.items()
        )
        beep = f"  beep        {heard}"
    return [*lines, beep]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _api(session: Mapping[str, Any] | None) -> str:
    if session is None:
        return "no session"
    if session["phase"] == "ended":
        return stage_of(dict(session))
    return f"mode {session['mode']}, gate {session['gate']}: {stage_of(dict(session)).partition(' · ')[2]}"


# --- afterwards ------------------------------------------------------------------------------------------------------


def _stay(out: Output, screen: Screen, show: Show) -> None:
    """Leave the stage to whoever comes, until Ctrl-C."""
    path = _environment(show)
    if out.as_json:
        out.record({"environment": str(path), "url": show.stage.service.url, "agents": ["1001", "1002"]}, "")
    else:
        for line in (
            "",
            "Now you: in a second terminal,",
            f"    . {path}",
            "    ccwhisper calls",
            "    ccwhisper whisper 1001        then barge, listen, mute, takeover, leave",
            "Carla's phone answers by itself and speaks for you. Ctrl-C here ends it all.",
        ):
            screen.line(line)
    last: list[str] = []
    for glance in show.stay():
        lines = _glance(glance)
        if out.as_json:
            continue
        if screen.live:
            screen.paint(lines)
        elif lines != last:
            for line in lines:
                screen.line(line)
        last = lines


def _glance(glance: Glance) -> list[str]:
    told = [
        f"{visible(each['name'])} on agent {visible(each['agent'])}: {each['mode']}, gate {each['gate']}"
        for each in glance.coaches
    ]
    return ["", *_matrix(glance.levels), f"  the API           {', '.join(told) or 'nobody coaches'}"[:80]]


def _environment(show: Show) -> Path:
    """A file to source: address, token, and where the command is. Removed with the demo."""
    path = show.stage.service.directory / "env"
    scripts = sysconfig.get_path("scripts")
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(f"export CCWHISPER_URL={shlex.quote(show.stage.service.url)}\n")
        file.write(f"export CCWHISPER_TOKEN={shlex.quote(show.token())}\n")
        file.write(f'export PATH={shlex.quote(scripts)}:"$PATH"\n')
    return path
