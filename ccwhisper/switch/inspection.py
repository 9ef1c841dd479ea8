"""Commands that only read: what `ccwhisper doctor` asks a node.

None of them changes anything, and none runs a program or opens a file on the switch. Where the switch answers a command
of `xml_locate` or `user_data` it asks its XML bindings too (mod_xml_curl), so the answer is what a call would get.
"""

from __future__ import annotations

import re
from typing import Final

from ccwhisper.switch import grammar
from ccwhisper.switch.commands import Command

_FILE: Final = re.compile(r"[a-z_]{1,64}\.conf\Z")
_MODULE: Final = re.compile(r"mod_[a-z0-9_]{1,60}\Z")
_LIST: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
_CONTEXT: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}\Z")
_ADDRESS: Final = re.compile(r"[0-9a-fA-F.:]{2,45}\Z")
_USER: Final = re.compile(r"[A-Za-z0-9_.+-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,252}\Z")
_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_WORDS: Final = re.compile(r"[a-z ]{1,40}\Z")


def _asked(text: str) -> Command:
    return Command(text, text)


def status() -> Command:
    """Sessions, their limits and the idle CPU, in lines for people."""
    return _asked("status")


def version() -> Command:
    """One line with the version and the commit."""
    return _asked("version")


def uptime() -> Command:
    """For how many seconds the switch has been up."""
    return _asked("uptime s")


def epoch() -> Command:
    """The node's clock in whole seconds (mod_dptools)."""
    return _asked("strepoch")


def timer_test() -> Command:
    """Ten frames of 20 ms on the soft timer: takes 0.2 s, and tells the mean frame."""
    return _asked("timer_test 20 10 soft")


def listing(kind: str) -> Command:
    """`show application`, `api`, `codec`, `timer` as JSON."""
    return _asked(f"show {grammar.matched(_WORDS, kind, 'a listing')} as json")


def module_exists(module: str) -> Command:
    """`true` or `false`."""
    return _asked(f"module_exists {grammar.matched(_MODULE, module, 'a module')}")


def configuration(file: str) -> Command:
    """A module's configuration as it was parsed, passwords included: never print it."""
    return _asked(f"xml_locate configuration configuration name {grammar.matched(_FILE, file, 'a configuration')}")


def context(name: str) -> Command:
    """A context of the XML dialplan as it was parsed."""
    return _asked(f"xml_locate dialplan context name {grammar.matched(_CONTEXT, name, 'a context')}")


def domain(name: str) -> Command:
    """A domain of the directory as it was parsed, its users' passwords included: never print it."""
    return _asked(f"xml_locate directory domain name {grammar.matched(_CONTEXT, name, 'a domain')}")


def profiles() -> Command:
    """SIP profiles and gateways with their states, as XML."""
    return _asked("sofia xmlstatus")


def acl(address: str, name: str) -> Command:
    """Whether a list lets an address in. `false` also for a list that does not exist."""
    return _asked(f"acl {grammar.matched(_ADDRESS, address, 'an address')} {grammar.matched(_LIST, name, 'a list')}")


def user_exists(user: str) -> Command:
    """Whether the directory has `user@domain`."""
    name, _, domain = grammar.matched(_USER, user, "a directory user").partition("@")
    return _asked(f"user_exists id {name} {domain}")


def user_data(user: str, kind: str, name: str) -> Command:
    """A `param` or `var` of a directory user, his group's and domain's merged in; -ERR when he has none."""
    if kind not in ("param", "var"):
        raise ValueError("param or var")
    who, what = grammar.matched(_USER, user, "a directory user"), grammar.matched(_KEY, name, "a name in the directory")
    return _asked(f"user_data {who} {kind} {what}")


def global_variable(name: str) -> Command:
    """A global variable; empty when there is none."""
    return _asked(f"global_getvar {grammar.variable(name)}")
