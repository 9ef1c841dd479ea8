"""What is written into a configuration: step by step, each to be left out by its name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ccwhisper.dialplan.load import load
from ccwhisper.dialplan.model import Element
from ccwhisper.install import parts
from ccwhisper.install.edit import Edit, applied, inserted, replaced
from ccwhisper.install.errors import InstallError
from ccwhisper.install.parts import Kind, Part
from ccwhisper.install.source import Source, Tag

OURS: Final = "ccwhisper"
"""The folder in the configuration that holds the parts."""

MODULES: Final = (
    "mod_event_socket", "mod_sofia", "mod_commands", "mod_dptools", "mod_dialplan_xml", "mod_tone_stream",
    "mod_sndfile",
)  # fmt: skip

STEPS: Final = ("agents", "contacts", "contexts", "extensions", "event-socket", "modules")

CHOSEN: Final = ("browsers",)
"""Steps that are done only when they are asked for."""

_SOUNDS: Final = "$${conf_dir}/sounds"
BUFFER: Final = "jitterbuffer_msec=40,rtp_jitter_buffer_during_bridge=true"
_CONTACT: Final = re.compile(r"""(\bcontact\s*=\s*)(["'])([\[{]?)""")

_FIT: Final = re.compile(r"[A-Za-z0-9._-]{12,128}\Z")
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost", "")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted. `groups`: of the directory, whose users are agents; none means "the only one". `into`: which
    context gets a part with extensions, by the part's name. `coaches`: directory users who may dial nobody.
    `password`: for the Event Socket, in the place of the one that everybody knows."""

    groups: tuple[str, ...] = ()
    into: tuple[tuple[str, str], ...] = (("callers", "public"), ("feature-codes", "coaches"))
    coaches: tuple[str, ...] = ()
    password: str | None = field(default=None, repr=False)
    steps: frozenset[str] = frozenset(STEPS)


@dataclass(slots=True)
class Work:
    """What is to be done: edits by file, new files by their path in the configuration, and what to know besides."""

    edits: dict[str, list[Edit]] = field(default_factory=dict)
    created: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Steps:
    """One configuration, without what an earlier installation has written."""

    def __init__(self, conf: Path, wish: Wish, place: Path) -> None:
        self._conf, self._wish, self._place = conf, wish, place
        self._parts: Mapping[str, Part] = parts.read(place)
        loaded = load([conf / "freeswitch.xml"])
        for problem in loaded.problems:
            raise InstallError(problem.code, f"{problem.place}: {problem.message}")
        self._root = loaded.trees[0].root
        self._sources: dict[Path, Source] = {}
        self._work = Work()

    def work(self) -> Work:
        """All of it. Raises InstallError for what is not understood."""
        doing = {
            "agents": self._agents,
            "contacts": self._contacts,
            "contexts": self._contexts,
            "extensions": self._extensions,
            "event-socket": self._event_socket,
            "modules": self._modules,
            "browsers": self._browsers,
        }
        for name in (*STEPS, *CHOSEN):
            if name in self._wish.steps:
                doing[name]()
        if self._wish.coaches:
            self._coaches()
        return self._work

    # --- finding -----------------------------------------------------------------------------------------------------

    def _in(self, section: str, name: str) -> Iterator[Element]:
        for each in self._root.walk("section"):
            if each.get("name") == section:
                yield from each.walk(name)

    def _one(self, section: str, name: str, called: str) -> Element:
        found = [each for each in self._in(section, name) if each.get("name") == called]
        if not found:
            raise InstallError(f"{name}_missing", f"the {section} has no {name} {called}")
        if len(found) > 1:
            where = ", ".join(str(each.place) for each in found)
            raise InstallError(f"{name}_ambiguous", f"the {section} has more than one {name} {called}: {where}")
        return found[0]

    def _source(self, element: Element) -> tuple[Source, Tag]:
        path = element.place.path
        if path not in self._sources:
            # A link would be replaced by a file, and what it leads to may belong to others.
            if not path.is_relative_to(self._conf) or path.resolve() != path:
                raise InstallError("outside_folder", f"{path} is a link, or lies outside of {self._conf}")
            self._sources[path] = Source(path, path.read_bytes())
        source = self._sources[path]
        return source, source.find(element.name, element.place.line)

    def _add(self, source: Source, edit: Edit) -> None:
        self._work.edits.setdefault(str(source.path.relative_to(self._conf)), []).append(edit)

    def _put(self, part: Part) -> None:
        text = part.source.text
        if _SOUNDS in text:
            text = text.replace(_SOUNDS, f"$${{conf_dir}}/{OURS}/sounds")
            for name, content in parts.sounds(self._place).items():
                self._work.created[f"{OURS}/sounds/{name}"] = content.decode("latin-1")
        self._work.created[f"{OURS}/{part.name}.xml"] = text

    # --- steps -------------------------------------------------------------------------------------------------------

    def _agents(self) -> None:
        for part in self._parts.values():
            if part.kind is Kind.GROUP:
                for holder in self._holders():
                    name = holder.get("name")
                    source, tag = self._source(holder)
                    for inside in ("params", "variables"):
                        self._merge(source, tag, inside, part, f"{part.name} {inside} of {name}")

    def _merge(self, source: Source, group: Tag, inside: str, part: Part, name: str) -> None:
        # The switch reads the first <params> of a group and no other (switch_xml_merge_user).
        there = group.child(inside)
        given = {each.attributes.get("name") for each in there.children} if there else set()
        lines = [line for line in part.lines(inside) if not given & set(re.findall(r'name="([^"]*)"', line))]
        if not lines:
            return
        if there and there.closing != there.end:
            self._add(source, inserted(source, name, there, lines))
        elif there:
            self._add(source, replaced(source, name, there, f"<{inside}>{''.join(lines)}</{inside}>"))
        else:
            whole = [f"<{inside}>", *(f"  {line}" for line in lines), f"</{inside}>"]
            self._add(source, inserted(source, name, group, whole))

    def _holders(self) -> list[Element]:
        """Whose <params> the agents get: the groups that were named, the only one with users, or a domain without any.

        Users of type pointer only say where else a user is found."""
        if self._wish.groups:
            return [self._one("directory", "group", name) for name in self._wish.groups]
        for kind in ("group", "domain"):
            found = [
                each
                for each in self._in("directory", kind)
                if any(user.get("type") != "pointer" for user in each.walk("user"))
            ]
            if len(found) > 1:
                names = ", ".join(sorted(each.get("name") for each in found))
                raise InstallError("group_ambiguous", f"say which {kind}'s users are agents: {names}")
            if found:
                return found
        raise InstallError("group_missing", "the directory has no users; leave the step agents out")

    def _contacts(self) -> None:
        """Contacts of mod_callcenter that do not go through the directory, and so get nothing from it."""
        for agent in self._in("configuration", "agent"):
            contact = agent.get("contact")
            if not contact or "rtp_jitter_buffer_during_bridge" in contact or re.search(r"(^|[\],|}])user/", contact):
                continue
            source, tag = self._source(agent)
            text = source.text[tag.start : tag.end]
            whole, count = _CONTACT.subn(_buffered, text, count=1)
            if not count or "\n" in text:
                raise InstallError("contact_unclear", f"{agent.place}: the contact is not on the line of its agent")
            self._add(source, replaced(source, f"contact of {agent.get('name')}", tag, whole))

    def _contexts(self) -> None:
        for part in self._parts.values():
            if part.kind is not Kind.CONTEXT:
                continue
            taken = {each.get("name"): each.place for each in self._in("dialplan", "context")}
            for tag in part.source.root.walk():
                if tag.name == "context" and tag.attributes.get("name") in taken:
                    name = tag.attributes["name"]
                    raise InstallError("context_taken", f"{taken[name]}: there is a context {name} already")
            sections = [each for each in self._root.walk("section") if each.get("name") == "dialplan"]
            if len(sections) != 1:
                raise InstallError("section_missing", "freeswitch.xml has no section dialplan, or several")
            source, tag = self._source(sections[0])
            self._put(part)
            self._add(source, inserted(source, part.name, tag, [self._include(source, part)], last=True))

    def _include(self, source: Source, part: Part) -> str:
        depth = len(source.path.relative_to(self._conf).parts) - 1
        return f'<X-PRE-PROCESS cmd="include" data="{"../" * depth}{OURS}/{part.name}.xml"/>'

    def _extensions(self) -> None:
        for name, context in self._wish.into:
            part = self._parts.get(name)
            if part is None or part.kind is not Kind.EXTENSION:
                raise InstallError("part_unknown", f"there is no part {name} with extensions")
            if "contexts" not in self._wish.steps and self._only_ours(context):
                self._work.notes.append(f"{name} is left out, since its context {context} is")
                continue
            if not self._into_ours(part, context):
                source, tag = self._source(self._one("dialplan", "context", context))
                self._add(source, inserted(source, f"{name} in {context}", tag, [self._include(source, part)]))
            self._put(part)

    def _only_ours(self, context: str) -> bool:
        theirs = {each.get("name") for each in self._in("dialplan", "context")}
        tags = (tag for part in self._parts.values() for tag in part.source.root.walk() if tag.name == "context")
        return context not in theirs and context in {tag.attributes.get("name") for tag in tags}

    def _into_ours(self, part: Part, context: str) -> bool:
        """Into a context that comes with a part, which is not in the dialplan yet."""
        for file, text in self._work.created.items():
            if not file.endswith(".xml"):
                continue
            source = Source(self._conf / file, text.encode("latin-1"))
            for tag in source.root.walk():
                if tag.name == "context" and tag.attributes.get("name") == context:
                    line = f'<X-PRE-PROCESS cmd="include" data="{part.name}.xml"/>'
                    edit = inserted(source, f"{part.name} in {context}", tag, [line])
                    self._work.created[file] = applied(text, [edit])
                    return True
        return False

    def _event_socket(self) -> None:
        settings = {
            param.get("name"): param
            for param in self._one("configuration", "configuration", "event_socket.conf").walk("param")
        }
        listen, password = settings.get("listen-ip"), settings.get("password")
        if listen and listen.get("value") not in _LOOPBACK:
            if "apply-inbound-acl" in settings:
                self._work.notes.append(
                    f"{listen.place}: the Event Socket listens on {listen.get('value')}, by your list"
                )
            else:
                # Without a list the switch lets only loopback in: nobody who could connect is shut out.
                source, tag = self._source(listen)
                self._add(source, replaced(source, "listen-ip", tag, '<param name="listen-ip" value="127.0.0.1"/>'))
        if password is None or password.get("value") in ("ClueCon", ""):
            self._password(password)

    def _password(self, param: Element | None) -> None:
        wanted = self._wish.password
        if wanted is None or param is None:
            self._work.notes.append(
                "the Event Socket has the password that everybody knows, and the service refuses it: put one of your "
                "own into the environment, and run this again"
            )
            return
        if not _FIT.match(wanted):
            raise InstallError("password_unfit", "a password of 12 to 128 of A-Z a-z 0-9 . _ - is needed")
        source, tag = self._source(param)
        self._add(source, replaced(source, "password", tag, f'<param name="password" value="{wanted}"/>'))

    def _modules(self) -> None:
        self._load(MODULES, "modules")

    def _browsers(self) -> None:
        """The profile into mod_sofia, what browsers send into mod_opus."""
        profile, opus = parts.browsers(self._place)
        for section, kind, name in (("configuration", "profile", "browsers"), ("dialplan", "context", "nowhere")):
            taken = [each.place for each in self._in(section, kind) if each.get("name") == name]
            if taken:
                raise InstallError(f"{kind}_taken", f"{taken[0]}: there is a {kind} {name} already")
        source, tag = self._source(next(self._one("configuration", "configuration", "sofia.conf").each("profiles")))
        depth = len(source.path.relative_to(self._conf).parts) - 1
        line = f'<X-PRE-PROCESS cmd="include" data="{"../" * depth}{OURS}/browsers.xml"/>'
        self._add(source, inserted(source, "browsers", tag, [line], last=True))
        self._work.created[f"{OURS}/browsers.xml"] = profile
        settings = next(self._one("configuration", "configuration", "opus.conf").each("settings"))
        there = {param.get("name"): param for param in settings.walk("param")}
        for name, value in opus.items():
            wanted = f'<param name="{name}" value="{value}"/>'
            if name not in there:
                source, tag = self._source(settings)
                self._add(source, inserted(source, name, tag, [wanted]))
            elif there[name].get("value") != value:
                source, tag = self._source(there[name])
                self._add(source, replaced(source, name, tag, wanted))
        self._load(("mod_opus",), "module for browsers")
        self._work.notes.append(
            f'the service finds the profile with: [[node]] browsers = "127.0.0.1:{parts.BROWSERS_WS_PORT}"'
        )

    def _load(self, modules: Iterable[str], name: str) -> None:
        conf = self._one("configuration", "configuration", "modules.conf")
        loaded = {each.get("module") for each in self._root.walk("load")}
        lines = [f'<load module="{each}"/>' for each in modules if each not in loaded]
        if lines:
            source, tag = self._source(next(conf.each("modules"), conf))
            self._add(source, inserted(source, name, tag, lines, last=True))

    def _coaches(self) -> None:
        for name in self._wish.coaches:
            users = [
                each
                for each in self._in("directory", "user")
                if each.get("id") == name and each.get("type") != "pointer"
            ]
            if len(users) != 1:
                raise InstallError("user_missing", f"the directory has no user {name}, or several")
            given = [each for each in users[0].walk("variable") if each.get("name") == "user_context"]
            if len(given) != 1:
                raise InstallError(
                    "user_context_missing", f"{users[0].place}: user {name} has no user_context of his own"
                )
            source, tag = self._source(given[0])
            lines = [
                f'<variable name="{each}" value="coaches"/>' for each in ("user_context", "force_transfer_context")
            ]
            self._add(source, replaced(source, f"context of {name}", tag, *lines))


def _buffered(found: re.Match[str]) -> str:
    """`[a=1]x/y` gets another variable, `x/y` a prefix."""
    begin, quote, bracket = found.groups()
    return f"{begin}{quote}{bracket}{BUFFER}," if bracket else f"{begin}{quote}[{BUFFER}]"


def work(conf: Path, wish: Wish) -> Work:
    """What is to be done in a configuration (a resolved path). Raises InstallError."""
    return Steps(conf, wish, parts.folder()).work()
