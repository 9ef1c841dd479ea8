"""Reads a FreeSWITCH configuration and says what in it would harm coached calls.

>>> report = check([Path("/etc/freeswitch")])
>>> [(finding.rule, str(finding.place), RULES[finding.rule].mend) for finding in report.findings]

Knows the switch's files and nothing else of this product; needs nothing but the standard library.
"""

from __future__ import annotations

from ccwhisper.dialplan import rules_access, rules_media, rules_order, rules_sound  # noqa: F401 - each adds its rules
from ccwhisper.dialplan.check import Report, check
from ccwhisper.dialplan.model import Finding, Level, Place, Problem
from ccwhisper.dialplan.rule import RULES, Rule

__all__ = ["RULES", "Finding", "Level", "Place", "Problem", "Report", "Rule", "check"]
