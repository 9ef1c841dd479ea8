"""`demo`: a contact centre that is not there, and its calls coached before one's eyes.

simulated   on the simulator: sets it up;      process   the simulator's process
            view      by keys, on a terminal;  picture   what it shows;  desk  what it does;  ears  who hears whom
            script    step by step, with verdicts, where nothing can be painted
freeswitch  step by step on a private FreeSWITCH with synthetic phones
words       what both say;     orderly   how both end
"""

from __future__ import annotations

import click

from ccwhisper.cli.options import output_option
from ccwhisper.cli.output import Output

_PACE = 3.0


@click.command()
@click.option(
    "--switch", type=click.Choice(["simulator", "freeswitch"]), default="simulator", show_default=True,
    help="What carries the calls: a simulator, or a private FreeSWITCH node with synthetic phones.",
)  # fmt: skip
@click.option(
    "--pace", type=click.FloatRange(0, 600), metavar="SECONDS",
    help=f"With FreeSWITCH: how long each step is shown.  [default: {_PACE:g}]",
)  # fmt: skip
@click.option(
    "--keep", is_flag=True,
    help="With FreeSWITCH: stay when the steps are done, to be coached from a second terminal.",
)  # fmt: skip
@output_option
def demo(out: Output, switch: str, pace: float | None, keep: bool) -> None:
    """See calls, and coach them.

    By itself it needs nothing but this program: a simulated switch, lively calls, and keys to listen, whisper, barge
    in and take over, until q or Ctrl-C. With --json, or where there is no terminal of 80 x 24, it goes through the
    steps of a coached call by itself, and says of each whether everybody heard whom he should and nobody else.

    With --switch freeswitch it does the same between synthetic phones on a FreeSWITCH that is installed here. It
    starts a node of its own, on loopback, and touches none that runs.

    Exit code 0 means that each step was as promised; 1, that it was not so; 6, that there is no FreeSWITCH.
    """
    from ccwhisper.cli.demo.orderly import orderly  # noqa: PLC0415 - the other commands need not wait for all this
    from ccwhisper.cli.screen import Screen  # noqa: PLC0415

    with orderly():
        if switch == "freeswitch":
            from ccwhisper.cli.demo import freeswitch  # noqa: PLC0415

            raise SystemExit(freeswitch.run(out, Screen(), _PACE if pace is None else pace, keep))
        if keep or pace is not None:
            raise click.UsageError("--pace and --keep go with --switch freeswitch")
        from ccwhisper.cli.demo import simulated  # noqa: PLC0415

        raise SystemExit(simulated.run(out, Screen()))
