"""`prove`: what a coached call does on this very switch, measured between synthetic phones."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ccwhisper.cli.demo.orderly import orderly, perhaps_nobody_reads, undisturbed, visible_lines
from ccwhisper.cli.options import output_option
from ccwhisper.cli.output import Exit, Output, visible
from ccwhisper.cli.screen import Screen

if TYPE_CHECKING:
    from ccwhisper.prove.record import Record
    from ccwhisper.prove.script import Script
    from ccwhisper.prove.site import Site

_PARTS = ("matrix", "keypad", "hold", "recording", "speech", "browser", "next", "rebridge")
_MARKS = {"passed": ("✓", "good"), "warned": ("!", "strong"), "failed": ("✗", "bad")}


@click.command()
@click.option(
    "--config", "path", type=click.Path(path_type=Path), default=Path("ccwhisper.toml"), envvar="CCWHISPER_CONFIG",
    show_default=True, show_envvar=True, help="The configuration file, with a [prove] section.",
)  # fmt: skip
@click.option("--private", is_flag=True, help="Prove on a private node from freeswitch-conf/, not on yours.")
@click.option(
    "--only", multiple=True, type=click.Choice(_PARTS), help="Prove but this part; may be repeated.  [default: all]"
)
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a report for people to this file.")
@click.option(
    "--report", type=click.Path(path_type=Path, dir_okay=False), help="Write the record as JSON to this file."
)
@output_option
def prove(
    out: Output, path: Path, private: bool, only: tuple[str, ...], html: Path | None, report: Path | None
) -> None:
    """Prove who hears whom on your own switch.

    A synthetic caller dials your number, your dialplan and queue bring him to a synthetic agent, and a synthetic coach
    listens, whispers and joins. What each of the three phones receives is measured. It takes about a minute.

    It coaches, records and hangs up its own legs only, by their uuid. It refuses to begin where one of the users that
    it is to play has a telephone already.

    Exit code 0 means that nothing leaked and nothing failed; 1, that something did; 6, that the switch is not there.
    """
    with orderly():
        raise SystemExit(_run(out, Screen(), path, private, only or _PARTS, html, report))


def _run(
    out: Output, screen: Screen, path: Path, private: bool, parts: tuple[str, ...], html: Path | None,
    report: Path | None,
) -> int:  # fmt: skip
    if not sys.platform.startswith("linux"):
        out.note("The synthetic phones need Linux.")
        return Exit.UNAVAILABLE
    try:
        from ccwhisper.config import ConfigError  # noqa: PLC0415 - what only this command needs
        from ccwhisper.proof.node import NodeError  # noqa: PLC0415
        from ccwhisper.proof.phones import PhoneError  # noqa: PLC0415
        from ccwhisper.proof.service import ServiceError  # noqa: PLC0415
        from ccwhisper.prove.config import site_from  # noqa: PLC0415
    except ImportError as error:
        out.note(f"It needs the synthetic phones: pip install 'ccwhisper[proof]' ({error}).")
        return Exit.UNAVAILABLE
    rest = contextlib.ExitStack()
    script: Script | None = None
    try:
        site = _private(rest) if private else site_from(path)
        site.read_version()
        script = _prove(out, screen, rest, site, parts)
    except ConfigError as error:
        out.note(str(error))
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except (NodeError, ServiceError, OSError) as error:
        out.note(visible_lines(f"{type(error).__name__}: {error}"))
        return Exit.UNAVAILABLE
    except PhoneError as error:
        out.note(visible_lines(f"A phone cannot register: {error}"))
        return Exit.FAILED
    finally:
        with undisturbed():
            with perhaps_nobody_reads():
                if not out.as_json:
                    screen.line(screen.style("taking everything down …", "faint"))
            rest.close()
    if script is None:
        return Exit.FAILED
    _tell(out, screen, script.record)
    _write(out, script, html, report)
    return Exit.OK if script.record.passed else Exit.FAILED


def _private(rest: contextlib.ExitStack) -> Site:
    from ccwhisper.proof.node import PrivateNode  # noqa: PLC0415
    from ccwhisper.prove.node import site_of  # noqa: PLC0415

    node = PrivateNode()
    rest.callback(node.close)
    rest.callback(node.kill)  # first: a switch that is asked to end takes four seconds over it, for nobody's sake
    node.start()
    return site_of(node)


def _prove(
    out: Output, screen: Screen, rest: contextlib.ExitStack, site: Site, parts: tuple[str, ...]
) -> Script | None:
    from ccwhisper.prove.calls import SiteStage  # noqa: PLC0415
    from ccwhisper.prove.script import Script  # noqa: PLC0415

    where = "a private node" if site.private else f"{site.host}:{site.esl_port}"
    if not out.as_json:
        screen.line(f"FreeSWITCH {visible(site.version.partition('+')[0][:40])} · {visible(where)}")
    busy = site.in_use()
    if busy:
        out.note(f"Not begun: {', '.join(busy)} has a telephone already. Name users that nobody else plays.")
        return None
    stage = rest.enter_context(SiteStage(site))

    def say(step: str) -> None:
        if not out.as_json:
            screen.line(screen.style(f"  … {step}", "faint"))

    script = Script(stage, parts, say)
    script.run()
    return script


def _tell(out: Output, screen: Screen, record: Record) -> None:
    from ccwhisper.prove.findings import KINDS  # noqa: PLC0415

    if out.as_json:
        out.record(record.plain(), "")
        return
    screen.line()
    for check in record.checks:
        mark, style = _MARKS[check.verdict]
        screen.line(f"  {screen.style(mark, style)} {check.title}: {check.answer}")
    for finding in record.findings:
        kind = KINDS[finding.id]
        screen.line()
        screen.line(screen.style(f"{kind.gravity.upper()} {finding.id}", "bad"))
        screen.line(f"  {kind.title}, at {finding.step!r}: {visible(finding.said)}")
        screen.line(f"  {kind.why}")
        screen.line(f"  Mend: {kind.mend}")
    screen.line()
    said = {"passed": "Nothing leaked, and nothing failed.", "leaks": "IT LEAKS.", "failed": "IT FAILED."}
    screen.line(screen.style(said[record.verdict], "good" if record.passed else "bad"))


def _write(out: Output, script: Script, html: Path | None, report: Path | None) -> None:
    from ccwhisper.prove.page import page  # noqa: PLC0415

    if html is not None:
        html.write_text(page(script.record.plain(), script.pictures))
        out.note(f"{html}: the report")
    if report is not None:
        report.write_text(json.dumps(script.record.plain(), indent=1) + "\n")
        out.note(f"{report}: the record")
