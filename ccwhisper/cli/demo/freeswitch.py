"""`demo --switch freeswitch`: a contact centre on a private node, and one of its calls coached before one's eyes."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccwhisper.cli.demo.orderly import perhaps_nobody_reads, undisturbed, visible_lines
from ccwhisper.cli.demo.words import NAMES, SILENT, api, count, environment, matrix, rounded
from ccwhisper.cli.output import Exit, Output, visible
from ccwhisper.cli.screen import Screen
from ccwhisper.proof.steps import COACH, STEPS, Step

if TYPE_CHECKING:
    from ccwhisper.proof.node import PrivateNode
    from ccwhisper.proof.show import Glance, Look, Show
    from ccwhisper.proof.stage import Stage


def run(out: Output, screen: Screen, pace: float, keep: bool) -> int:
    """Perform, and stay if it is to be kept. `pace` is how many seconds each step is shown. Returns the exit code."""
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
        with perhaps_nobody_reads():
            screen.line()
        return Exit.INTERRUPTED if verdict is None else verdict
    except (NodeError, ServiceError, NotAsExpected, Refused, OSError, RuntimeError) as error:
        out.note(visible_lines(f"{type(error).__name__}: {error}"))
        return Exit.FAILED
    finally:
        with undisturbed():
            with perhaps_nobody_reads():
                if not out.as_json:
                    screen.line(screen.style("taking everything down …", "faint"))
            rest.close()


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
        record["levels_dbfs"] = {who: rounded(heard) for who, heard in look.levels.items()}
        record["other_call_dbfs"] = {who: rounded(heard) for who, heard in look.other_call.items()}
        record["session"] = look.session
        record["switched_ms"] = None if look.switched_ms is None else round(look.switched_ms, 1)
        record["beep_dbfs"] = None if look.beep is None else rounded(look.beep)
        out.record(record, "")
    elif not screen.live:
        screen.line()
        screen.line(f"{look.step.name}: {look.step.promise}")
        for line in filter(None, (*matrix(look.levels), *_facts(screen, of_step))):
            screen.line(line)


def _picture(screen: Screen, looks: list[Look]) -> list[str]:
    """At most 21 lines of at most 80 columns."""
    current = looks[-1].step
    of_step = [each for each in looks if each.step is current]
    steps = [_step_line(screen, step, current, looks) for step in STEPS]
    levels = matrix(looks[-1].levels)
    levels += [""] * (4 - len(levels))  # without a coach a line shorter: the picture does not jump
    return ["", *steps, "", *levels, "", *_facts(screen, of_step)]


def _step_line(screen: Screen, step: Step, current: Step, looks: list[Look]) -> str:
    seen = [look for look in looks if look.step is step]
    text = f"{step.name:<9}{step.promise}"
    if any(look.wrong for look in seen):
        return f"  {screen.style('✗', 'bad')} {text}"
    if step is current:
        return f"  {screen.style('▸', 'good')} {screen.style(text, 'strong')}"
    return f"  {screen.style('✓', 'good')} {text}" if seen else f"    {screen.style(text, 'faint')}"


def _facts(screen: Screen, looks: list[Look]) -> list[str]:
    look = looks[-1]
    faults = list(dict.fromkeys(each.wrong for each in looks if each.wrong))
    if faults:
        verdict = screen.style(faults[0][:66], "bad")
    else:
        verdict = screen.style(f"as promised, {count(len(looks), 'look')}", "good") + "; the other call untouched"
    lines = [f"  measured    {verdict}", f"  the API     {visible(api(look.session))[:66]}"]
    change = "heard" if COACH in look.step.agent else "no longer heard"
    switched = "" if look.switched_ms is None else f"  switched    {change} {look.switched_ms:.0f} ms after the request"
    lines.append(switched)
    beep = ""
    if look.beep is not None:
        heard = ", ".join(
            f"{NAMES[who]} {level:.0f} dBFS" if level > SILENT else f"{NAMES[who]} –"
            for who, level in look.beep.items()
        )
        beep = f"  beep        {heard}"
    return [*lines, beep]


# --- afterwards ------------------------------------------------------------------------------------------------------


def _stay(out: Output, screen: Screen, show: Show) -> None:
    """Leave the stage to whoever comes, until Ctrl-C."""
    service = show.stage.service
    path = environment(service.directory, service.url, show.token())
    if out.as_json:
        out.record({"environment": str(path), "url": service.url, "agents": ["1001", "1002"]}, "")
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
    return ["", *matrix(glance.levels), f"  the API           {', '.join(told) or 'nobody coaches'}"[:80]]
