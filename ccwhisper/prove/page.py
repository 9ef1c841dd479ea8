"""The report for people: one HTML file with everything in it, made from the record alone and the spectrograms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ccwhisper.proof.scene import BEEP, SILENT, TONES
from ccwhisper.prove.pictures import levels_svg, spectrogram_png

_VERDICTS: Final = {
    "passed": ("Nothing leaked, and nothing failed", "The caller heard neither the coach nor the beep."),
    "leaks": ("It leaks", "Somebody heard what he must not hear. What, and how it is mended, is below."),
    "failed": ("It failed", "Nothing leaked, but coaching did not work as it should. What to mend is below."),
}
_CHECKS: Final = {"passed": "✓ passed", "warned": "! warning", "failed": "✗ failed"}
_PAIRS: Final = (
    ("caller", "agent"),
    ("caller", "coach"),
    ("agent", "caller"),
    ("agent", "coach"),
    ("coach", "caller"),
    ("coach", "agent"),
)
_FREQUENCIES: Final = {"caller": TONES["caller"], "agent": TONES["agent"], "coach": TONES["carla"], "beep": BEEP}
_METHOD: Final = """
<p>Three synthetic phones take part: a caller, an agent, and a coach. They are real telephones to the switch: they
register, ring and answer, and send and receive sound. Each says a tone of his own, so whom a phone hears is read off
the sound that arrived there, and not off anything that the switch says of itself.</p>
<p>Levels are in dBFS: 0 is the loudest that a line can carry. Everybody speaks at −16. What is below −50 is 34 dB
quieter than any speaker and is heard by nobody; what a caller may find of a coach is limited to −80 where his codec
is the agent's.</p>
<p>While frames are counted the agent says noise of which no 20 ms are alike, so each frame that reaches the caller is
known by itself. How late a whisper is, is taken from short bursts, from the packet that leaves the coach's phone to
the one that reaches the agent's.</p>
"""
_LIMITS: Final = """
<p>It shows what this switch did with these calls, at this time, with these codecs and this number. It says nothing of
numbers that were not dialled, of phones that mix sound by themselves, or of a later configuration. The coaching
service beside it was one of its own, with the default policies.</p>
"""
_HEAD: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,"><title>"""


def page(record: Mapping[str, Any], pictures: Mapping[str, NDArray[np.float64]]) -> str:
    """The whole page. `record` is as `Record.plain` gives it."""
    title, words = _VERDICTS[record["verdict"]]
    sections = [
        f'<header class="{record["verdict"]}"><p>Proof of private coaching</p><h1>{title}</h1><p>{words}</p></header>',
        _about(record),
        _section("In short", _checks(record["checks"])),
        _section("What was found", _findings(record["findings"])) if record["findings"] else "",
        _section("Who heard whom", _matrix(record["looks"])) if record["looks"] else "",
        _section("Over time", _course(record["course"], pictures)) if record["course"] else "",
        _section("Figures", _figures(record["checks"])),
        _section("How it was measured", _METHOD),
        _section("What it does not show", _LIMITS),
    ]
    # </script> within a string would end the element.
    content = json.dumps(record).replace("<", "\\u003c")
    style = files("ccwhisper.prove").joinpath("report.css").read_text()
    return (
        f"{_HEAD}{title}: proof of private coaching</title><style>\n{style}</style></head>\n"
        f"<body><main>{''.join(sections)}</main>\n"
        f'<script type="application/json" id="record">{content}</script></body></html>\n'
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>\n"


def _wide(label: str, content: str) -> str:
    """What may be wider than the page scrolls by itself, by keys as well."""
    return f'<div class="wide" role="region" tabindex="0" aria-label="{label}">{content}</div>'


def _about(record: Mapping[str, Any]) -> str:
    switch, call = record.get("switch", {}), record.get("call", {})
    kind = "a private node, booted for this proof" if switch.get("private") else str(switch.get("host", ""))
    codecs = ", ".join(f"{who} {codec}" for who, codec in call.get("codecs", {}).items())
    rows = {
        "Date": f"{str(record.get('began', '')).replace('T', ' ').replace('+00:00', ' UTC')},"
        f" {record.get('seconds', '')} s",
        "Switch": f"FreeSWITCH {switch.get('version', '')}, {kind}",
        "Call": f"{call.get('caller', '')} dialled {call.get('number', '')} and reached {call.get('agent', '')};"
        f" {call.get('coach', '')} coached",
        "Codecs": codecs,
        "By": f"ccwhisper {record.get('ccwhisper', '')}",
    }
    cells = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in rows.items())
    return f'<dl class="about">{cells}</dl>'


def _checks(checks: Iterable[Mapping[str, Any]]) -> str:
    rows = "".join(
        f'<li class="{check["verdict"]}"><span class="verdict">{_CHECKS[check["verdict"]]}</span>'
        f"<b>{escape(check['title'])}</b> {escape(check['answer'])}</li>"
        for check in checks
    )
    return f'<ul class="checks">{rows}</ul>'


def _findings(findings: Iterable[Mapping[str, Any]]) -> str:
    return "".join(
        f'<article class="finding {each["gravity"]}"><h3><span class="gravity">{each["gravity"]}</span>'
        f" {escape(each['title'])}</h3><p>{escape(each['why'])}</p>"
        f"<p><b>Seen</b> at “{escape(each['step'])}”: {escape(each['said'])}</p>"
        f"<p><b>Mend</b> {escape(each['mend'])}</p>"
        f"<p><code>{escape(each['id'])}</code></p></article>"
        for each in findings
    )


def _matrix(looks: Iterable[Mapping[str, Any]]) -> str:
    heads = "".join(f"<th>{listener} hears<br>{speaker}</th>" for listener, speaker in _PAIRS)
    rows = []
    for look in looks:
        cells = "".join(_cell(look, listener, speaker) for listener, speaker in _PAIRS)
        verdict = f'<td class="bad">✗ {escape("; ".join(look["faults"]))}</td>' if look["faults"] else "<td>✓</td>"
        step = f"{escape(look['step'])}<small>{escape(look['promise'])}</small>"
        rows.append(f'<tr><th scope="row">{step}</th>{cells}{verdict}</tr>')
    head = f"<thead><tr><th>step</th>{heads}<th>as it must be</th></tr></thead>"
    return (
        _wide("Who heard whom", f'<table class="matrix">{head}<tbody>{"".join(rows)}</tbody></table>')
        + f"<p class=note>dBFS. <b>Bold</b> is heard (above {SILENT:.0f}), the rest is silence.</p>"
    )


def _cell(look: Mapping[str, Any], listener: str, speaker: str) -> str:
    # The one caller's place is taken by the next.
    heard = look["levels"].get(listener, {})
    name = speaker if speaker in heard else f"next {speaker}"
    if name not in heard:
        return "<td></td>"
    level = heard[name]
    must = name in look["wanted"].get(listener, ())
    kind = ("heard" if level > SILENT else "silent") + ("" if (level > SILENT) == must else " bad")
    where = f'data-listener="{listener}" data-speaker="{escape(name)}" data-step="{escape(look["step"])}"'
    return f'<td class="{kind}" {where}>{level:.1f}</td>'


def _course(course: Mapping[str, Any], pictures: Mapping[str, NDArray[np.float64]]) -> str:
    key = "".join(f'<span class="key {name}">{name}</span>' for name in _FREQUENCIES)
    parts = [f'<p class="note">Each picture is what one phone heard. <span class="keys">{key}</span></p>']
    for listener in course["levels_dbfs"]:
        figure = levels_svg(listener, course)
        if listener in pictures:
            ticks = "".join(
                f'<span class="{name}" style="bottom:{freq / 40:.1f}%">{name}</span>'
                for name, freq in _FREQUENCIES.items()
                if name != listener
            )
            picture, words = spectrogram_png(pictures[listener]), f"Spectrogram of what the {escape(listener)} heard"
            figure += (
                f'<div class="spectrogram"><div class="ticks">{ticks}</div><img alt="{words}" src="{picture}"></div>'
            )
        title = f"What the {escape(listener)} heard"
        parts.append(f"<h3>{title}</h3>{_wide(title, f'<figure class=plot>{figure}</figure>')}")
    parts.append(
        "<p class=note>Above: the level of each speaker in dBFS, the dashed line is −50. Below: all sound from 0 to"
        " 4 kHz, the brighter the louder; each speaker is a line at the height of his name.</p>"
    )
    return "".join(parts)


def _figures(checks: Iterable[Mapping[str, Any]]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(check["title"])}</th><td>{name}</td><td>{value}</td></tr>'
        for check in checks
        for name, value in _flat(check["figures"])
    )
    return _wide("Figures", f'<table class="figures"><tbody>{rows}</tbody></table>')


def _flat(figures: Any, name: str = "") -> Iterable[tuple[str, str]]:
    if isinstance(figures, Mapping):
        for key, value in figures.items():
            yield from _flat(value, f"{name} {key}".strip())
    elif isinstance(figures, list):
        for index, value in enumerate(figures):
            yield from _flat(value, f"{name} {index + 1}")
    else:
        yield escape(name.replace("_", " ")), "–" if figures is None else escape(str(figures))
