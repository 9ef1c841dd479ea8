"""Rules about what is written and never happens."""

from __future__ import annotations

from ccwhisper.dialplan.facts import Facts
from ccwhisper.dialplan.model import Element, Level
from ccwhisper.dialplan.patterns import Pattern, covers, pattern
from ccwhisper.dialplan.reach import expression_of
from ccwhisper.dialplan.rule import Found, rule
from ccwhisper.dialplan.steps import true

_MAX_QUESTIONS = 10_000
"""About as many pairs of patterns are compared in one context: the same pattern twice is found among any number."""
_TIMES = frozenset(
    {"year", "yday", "mon", "mday", "week", "mweek", "wday", "hour", "minute", "minute-of-day", "time-of-day"}
    | {"date-time", "tz-offset", "dst", "timezone"}
)


@rule(
    "unreachable-extension",
    Level.WARNING,
    "an extension that no call reaches",
    why="The first extension that matches takes the call, unless it says `continue`. What stands behind it for the "
    "same numbers never runs: a jitter buffer that is not set, a guard that is not asked.",
    mend='Move it before the one that takes its numbers, or give that one `continue="true"` if it only prepares. '
    "An extension without a condition never runs: give it `<condition>`.",
    bad='<context name="agents">\n'
    '  <extension name="all"><condition field="destination_number" expression="^(.*)$">\n'
    '    <action application="bridge" data="user/$1"/></condition></extension>\n'
    '  <extension name="queue"><condition field="destination_number" expression="^5000$">\n'
    '    <action application="callcenter" data="support@default"/></condition></extension>\n'
    "</context>",
    good='<context name="agents">\n'
    '  <extension name="queue"><condition field="destination_number" expression="^5000$">\n'
    '    <action application="callcenter" data="support@default"/></condition></extension>\n'
    '  <extension name="all"><condition field="destination_number" expression="^(.*)$">\n'
    '    <action application="bridge" data="user/$1"/></condition></extension>\n'
    "</context>",
)
def unreachable_extension(facts: Facts) -> Found:
    together: dict[tuple[int, object], list[Element]] = {}
    for each in facts.extensions:
        outermost = each.element.parent is facts.tree.root  # parts of a dialplan are only known to follow in their file
        where = (id(each.element.parent), each.element.place.path if outermost else None)
        together.setdefault(where, []).append(each.element)
    for siblings in together.values():
        yield from _unreached(siblings)


def _unreached(extensions: list[Element]) -> Found:
    takes: dict[str, Element] = {}
    """By pattern, the first that takes all its numbers."""
    known: list[tuple[Element, Pattern]] = []
    questions = 0
    everything: Element | None = None
    for number, each in enumerate(extensions):
        name = each.get("name", "without a name")
        if next(each.walk("condition"), None) is None:
            yield each.place, f"extension {name} has no condition, and so never runs"
            continue
        if everything is not None:
            more = len(extensions) - number - 1
            said = f"extension {name}{f' and {more} more are' if more else ' is'}"
            yield each.place, f"{said} behind {_said(each, everything)}, which takes every call"
            return
        asks = _asks(each)
        before = takes.get(asks) if asks is not None else None
        if before is None and asks is not None and questions < _MAX_QUESTIONS and (mine := pattern(asks)) is not None:
            questions += len(known)
            before = next((other for other, wide in known if covers(wide, mine)), None)
        if before is not None:
            yield each.place, f"extension {name} is behind {_said(each, before)}, which takes all its numbers"
        claim = None if true(each.get("continue")) else _claim(each)
        if claim == "":
            everything = each
        elif claim is not None:
            takes.setdefault(claim, each)
            made = pattern(claim) if questions < _MAX_QUESTIONS else None
            if made is not None:
                known.append((each, made))


def _said(each: Element, other: Element) -> str:
    where = f"line {other.place.line}" if other.place.path == each.place.path else str(other.place)
    return f"{other.get('name', 'one without a name')} ({where})"


def _asks(extension: Element) -> str | None:
    """The one pattern that a number must fit for this extension to run. None where that is not all there is to it."""
    found = [each for each in extension.each("condition") if each.get("field") == "destination_number"]
    if len(found) != 1 or next(extension.walk("anti-action"), None) is not None:
        return None
    if found[0].get("break", "on-false") not in ("on-false", "always") or next(found[0].each("regex"), None):
        return None
    return expression_of(found[0])


def _claim(extension: Element) -> str | None:
    """The pattern of which every number ends here: "" for every call, None where something else counts too."""
    found = ""
    for each in extension.walk("condition"):
        plain = each.parent is extension and not each.get("break") and not each.get("regex")
        if not plain or _TIMES & each.attributes.keys():
            return None
        if not each.get("field"):
            continue
        if each.get("field") != "destination_number" or found:
            return None
        found = expression_of(each)
        if not found:
            return None
    return "" if _anything(found) else found


def _anything(expression: str) -> bool:
    return expression in ("", ".*", "^.*$", "^(.*)$", "(.*)", "^")


@rule(
    "duplicate-context",
    Level.WARNING,
    "a context that is there twice",
    why="The switch takes the first context of a name and never looks at the second: extensions that were added there, "
    "guards among them, do nothing.",
    mend="Put the extensions of both into one context, for example by an include inside it.",
    bad='<section name="dialplan">\n'
    '  <context name="agents"><extension name="a"><condition field="destination_number" expression="^1$">\n'
    '    <action application="answer"/></condition></extension></context>\n'
    '  <context name="agents"><extension name="b"><condition field="destination_number" expression="^2$">\n'
    '    <action application="answer"/></condition></extension></context>\n'
    "</section>",
    good='<section name="dialplan">\n'
    '  <context name="agents"><extension name="a"><condition field="destination_number" expression="^1$">\n'
    '    <action application="answer"/></condition></extension></context>\n'
    '  <context name="callers"><extension name="b"><condition field="destination_number" expression="^2$">\n'
    '    <action application="answer"/></condition></extension></context>\n'
    "</section>",
)
def duplicate_context(facts: Facts) -> Found:
    first: dict[tuple[object, str], Element] = {}
    for each in facts.contexts:
        section = each.up("section")
        whole = id(section) if section is not None else each.place.path
        other = first.setdefault((whole, each.get("name")), each)
        if other is not each:
            yield each.place, f"context {each.get('name')} was there already ({other.place}): this one is never used"


@rule(
    "ignore-comment",
    Level.WARNING,
    "an ignore comment that excuses nothing",
    why="A comment without a reason, for a rule that does not exist, or where nothing is found any more, hides from "
    "the next reader what was decided.",
    mend="`<!-- ccwhisper: ignore RULE: why -->` on the line before, the same line, or before the element; "
    "take it out when it is no longer needed.",
    bad='<!-- ccwhisper: ignore media-off-switch -->\n<action application="set" data="bypass_media=true"/>',
    good="<!-- ccwhisper: ignore media-off-switch: fax trunk, no agent takes part -->\n"
    '<action application="set" data="bypass_media=true"/>',
)
def ignore_comment(facts: Facts) -> Found:
    """Judged where comments are obeyed, in ccwhisper.dialplan.check: what they excuse is known there."""
    yield from facts.remarks
