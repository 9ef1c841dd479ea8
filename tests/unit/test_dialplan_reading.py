"""The checker reads as the switch does, says where it read, and survives whatever it is given."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from ccwhisper.dialplan import RULES, check
from ccwhisper.dialplan.load import Loaded, load
from ccwhisper.dialplan.model import Element

pytestmark = pytest.mark.unit

BROKEN = Path(__file__).parent / "broken"
BAD = '<action application="set" data="bypass_media=true"/>'
CODES = {
    "malformed", "doctype", "too_large", "too_deep", "too_many_files", "include_loop", "include_depth",
    "include_pattern", "include_unknown", "unreadable", "not_a_file", "nothing_to_read",
}  # fmt: skip


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def found(path: Path) -> list[tuple[str, int, str]]:
    return [(each.place.path.name, each.place.line, each.rule) for each in check([path]).findings]


def codes(path: Path) -> list[tuple[str, int, str]]:
    return [(each.place.path.name, each.place.line, each.code) for each in check([path]).problems]


def elements(loaded: Loaded) -> list[Element]:
    return [each for tree in loaded.trees for each in tree.root.walk() if each.name]


def read(tmp_path: Path, text: str) -> list[Element]:
    loaded = load([written(tmp_path, {"a.xml": text}) / "a.xml"])
    assert not loaded.problems, loaded.problems
    return elements(loaded)


class TestPreprocessing:
    def test_a_node_is_read_from_its_root_by_its_includes(self, tmp_path: Path) -> None:
        written(
            tmp_path,
            {
                "freeswitch.xml": "<document>\n"
                '<X-PRE-PROCESS cmd="include" data="vars.xml"/>\n<section name="dialplan">\n'
                '<X-PRE-PROCESS cmd="include" data="$${conf_dir}/dialplan/*.xml"/>\n</section></document>',
                "vars.xml": '<include>\n<X-PRE-PROCESS cmd="set" data="media=bypass_media"/>\n</include>',
                "dialplan/b.xml": '<include>\n<X-PRE-PROCESS cmd="include" data="b/*.xml"/>\n</include>',
                "dialplan/b/c.xml": '<include>\n\n<action application="set" data="$${media}=true"/>\n</include>',
                "dialplan/not-included.txt": BAD,
                "elsewhere.xml": BAD,
            },
        )
        assert found(tmp_path) == [("c.xml", 3, "media-off-switch")]
        assert check([tmp_path]).files == 4

    def test_a_folder_of_parts_shares_variables_and_reads_each_file_once(self, tmp_path: Path) -> None:
        written(
            tmp_path,
            {
                "vars.xml": '<X-PRE-PROCESS cmd="set" data="media=bypass_media"/>',
                "a.xml": '<X-PRE-PROCESS cmd="include" data="sub/*.xml"/>',
                "sub/c.xml": '<action application="set" data="$${media}=true"/>',
                ".git/d.xml": BAD,
            },
        )
        assert found(tmp_path) == [("c.xml", 1, "media-off-switch")]
        assert len(elements(load([tmp_path]))) == 1

    def test_what_follows_what_is_known_within_a_file_only(self, tmp_path: Path) -> None:
        answer = '<condition field="destination_number" expression="%s"><action application="answer"/></condition>'
        extension = f'<extension name="e">{answer}</extension>'
        context = f'<context name="c">{extension % "^1$"}</context>'
        written(tmp_path, {"a.xml": extension % ".*" + context, "b.xml": extension % "^1$" + context})
        assert found(tmp_path) == []

    def test_a_folder_of_nodes_and_parts(self, tmp_path: Path) -> None:
        written(
            tmp_path,
            {
                "one/freeswitch.xml": '<document>\n<X-PRE-PROCESS cmd="include" data="a.xml"/>\n</document>',
                "one/a.xml": BAD,
                "one/b.xml": BAD,
                "one/sub/d.xml": BAD,
                "parts/c.xml": BAD,
            },
        )
        assert found(tmp_path) == [("a.xml", 1, "media-off-switch"), ("c.xml", 1, "media-off-switch")]

    @pytest.mark.parametrize(
        ("text", "values"),
        [
            ('<X-PRE-PROCESS cmd="set" data="a=1"/>\n<e v="$${a}$${a}"/>', ["11"]),
            ('<x-pre-process CMD="SET" data = "a = 1"/>\n<e v="$${a}"/>', ["1"]),
            ('<X-PRE-PROCESS cmd="set" data="a=1"/> <e v="lost"/>\n<e v="$${a}"/>', ["1"]),
            ('<e v="lost"/> <X-PRE-PROCESS cmd="set" data="a=1"/>\n<e v="$${a}"/>', ["1"]),
            ('<X-PRE-PROCESS\ncmd="set" data="a=1"/>\n<e v="$${a}"/>', ["$${a}"]),
            ('<!--\n<X-PRE-PROCESS cmd="set" data="a=1"/>\n-->\n<e v="$${a}"/>', ["1"]),
            ('<X-NO-PRE-PROCESS cmd="set" data="a=1"/>\n<e v="$${a}"/>', ["$${a}"]),
            ('<!--#set "a=1"-->\n<e v="$${a}"/>', ["1"]),
            ('<!--#comment\n<e v="lost"/>\n-->\n<e v="kept"/>', ["kept"]),
            ('<?xml version="1.0"?><e v="lost"/>\n<include><e v="lost too"/>\n<e v="kept"/>', ["kept"]),
            ('<X-PRE-PROCESS cmd="env-set" data="a=$HOME"/>\n<e v="$${a}"/>', ["$${a}"]),
            ('<!--#set "b=$${a}"-->\n<!--#set "a=1"-->\n<e v="$${b}"/>', ["$${a}"]),
            ('<e v="a<b>&amp;&#65;&lol;&"/>', ["a<b>&A&lol;&"]),
            ("<e v='1' v='2'/>", ["1"]),
            ("<e v='&#x41;&#x110000;&#xD800;'/>", ["A\ufffd\ufffd"]),
            ('X-PRE-PROCESS cmd="set" data="a=1"/>\n<e v="$${a}"/>', ["$${a}"]),
            ("<a>" + "<b></b>" * 300 + "<e v='1'/></a>", ["1"]),
        ],
    )  # fmt: skip
    def test_as_the_switch_does(self, tmp_path: Path, text: str, values: list[str]) -> None:
        loaded = load([written(tmp_path, {"a.xml": text}) / "a.xml"])
        assert [each.get("v") for each in elements(loaded) if each.name == "e"] == values

    def test_text_and_cdata(self, tmp_path: Path) -> None:
        whole = read(tmp_path, "<e>a &lt; <![CDATA[<b> & ]]>c</e>\n")
        assert [(each.name, each.text) for each in whole] == [("e", "a < <b> & c")]

    def test_lines_are_counted_as_an_editor_does(self, tmp_path: Path) -> None:
        (tmp_path / "a.xml").write_bytes(b"<a>\r\n<b\r\n x='1'/>\r</a>\xff")
        places = [(each.name, each.place.line, each.end.line) for each in elements(load([tmp_path / "a.xml"]))]
        assert places == [("a", 1, 4), ("b", 2, 3)]

    def test_nothing_is_executed_and_nobody_is_called(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*arguments: object, **named: object) -> object:
            raise AssertionError(arguments)

        for module, name in ((os, "system"), (os, "popen"), (subprocess, "Popen"), (socket, "socket")):
            monkeypatch.setattr(module, name, refuse)
        told = tmp_path / "executed"
        commands = "".join(
            f'<X-PRE-PROCESS cmd="{command}" data="{data}"/>\n'
            for command, data in (
                ("exec", f"touch {told}"), ("exec-set", f"a=touch {told}"), ("stun-set", "a=stun:192.0.2.1"),
                ("include", "http://192.0.2.1/a.xml"), ("unheard-of", "a=b"),
            )
        )  # fmt: skip
        assert [each.get("v") for each in read(tmp_path, commands + '<e v="$${a}"/>')] == ["$${a}"]
        assert not told.exists()


class TestHostileFiles:
    @pytest.mark.parametrize(
        ("text", "line", "code"),
        [
            ("<a>\n<b>\n</a>", 3, "malformed"),
            ("<a>\n<b>", 2, "malformed"),
            ("</a>", 1, "malformed"),
            ("<a\nb='1", 1, "malformed"),
            ("<a b='1'", 1, "malformed"),
            ("\n< a/>", 2, "malformed"),
            ("<a>\n<!-- a -- b --></a>", 2, "malformed"),
            ("<a>\n<!-- ", 2, "malformed"),
            ("<a>\n<![CDATA[ ", 2, "malformed"),
            ('<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d "&b;&b;&b;&b;">]>\n<a>&d;</a>', 1, "doctype"),
            ('\n<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>\n<a>&b;</a>', 2, "doctype"),
            ('<!DOCTYPE a SYSTEM "http://192.0.2.1/a.dtd">', 1, "doctype"),
            ("<a>" * 10_000, 1, "too_deep"),
            ("<a/>" * 100_001, 1, "too_large"),
            ("\n" * 300_000, 200_001, "too_large"),
            (f"<a {'b ' * 200}/>", 1, "too_large"),
            ('<X-PRE-PROCESS cmd="include" data="*/*/*/*/*.xml"/>', 1, "include_pattern"),
            ('\n<X-PRE-PROCESS cmd="include" data="$${base_dir}/a.xml"/>', 2, "include_unknown"),
            ("".join('<X-PRE-PROCESS cmd="set" data="a=$${a}$${a}bb"/>\n' for _ in range(40)), 16, "too_large"),
        ],
    )
    def test_is_a_problem_with_a_place_and_a_code(self, tmp_path: Path, text: str, line: int, code: str) -> None:
        if "$${a}$${a}" in text:
            text = '<X-PRE-PROCESS cmd="set" data="a=b"/>\n' + text
        written(tmp_path, {"a.xml": text})
        assert codes(tmp_path / "a.xml") == [("a.xml", line, code)]

    def test_fifty_megabytes_are_not_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "a.xml"
        with path.open("wb") as file:
            file.truncate(50 << 20)
        assert codes(path) == [("a.xml", 1, "too_large")]

    def test_many_files_that_are_large_together(self, tmp_path: Path) -> None:
        comment = "<!-- " + "x" * 1_000_000 + " -->\n"
        written(tmp_path, {f"{number}.xml": comment for number in range(12)})
        assert [code for _, _, code in codes(tmp_path)] == ["too_large"] * 4

    def test_an_include_loop(self, tmp_path: Path) -> None:
        include = '<X-PRE-PROCESS cmd="include" data="%s"/>\n'
        written(tmp_path, {"a.xml": "\n" + include % "b.xml" + BAD, "b.xml": include % "./a*.xml" + BAD})
        assert codes(tmp_path / "a.xml") == [("b.xml", 1, "include_loop")]
        assert found(tmp_path / "a.xml") == [("a.xml", 3, "media-off-switch"), ("b.xml", 2, "media-off-switch")]

    def test_a_file_that_includes_itself(self, tmp_path: Path) -> None:
        written(tmp_path, {"a.xml": '<X-PRE-PROCESS cmd="include" data="*.xml"/>'})
        (tmp_path / "link.xml").symlink_to("a.xml")
        assert codes(tmp_path / "a.xml") == [("a.xml", 1, "include_loop")] * 2

    def test_includes_that_double_at_each_step(self, tmp_path: Path) -> None:
        twice = '<X-PRE-PROCESS cmd="include" data="%d.xml"/>\n' * 2
        written(tmp_path, {f"{number}.xml": twice % (number + 1, number + 1) for number in range(40)})
        assert {code for _, _, code in codes(tmp_path / "0.xml")} == {"too_many_files"}

    def test_includes_in_includes_without_end(self, tmp_path: Path) -> None:
        written(tmp_path, {f"{n}.xml": f'<X-PRE-PROCESS cmd="include" data="{n + 1}.xml"/>' for n in range(120)})
        assert codes(tmp_path / "0.xml") == [("99.xml", 1, "include_depth")]

    def test_what_is_no_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.xml")
        (tmp_path / "gone.xml").symlink_to("nowhere")
        (tmp_path / "zero.xml").symlink_to("/dev/zero")
        assert codes(tmp_path) == [
            ("gone.xml", 1, "unreadable"), ("pipe.xml", 1, "not_a_file"), ("zero.xml", 1, "not_a_file"),
        ]  # fmt: skip

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        assert codes(tmp_path) == [(tmp_path.name, 1, "nothing_to_read")]

    def test_the_rest_is_checked_nevertheless(self, tmp_path: Path) -> None:
        written(tmp_path, {"a.xml": f"{BAD}\n<a", "b.xml": BAD})
        assert codes(tmp_path) == [("a.xml", 2, "malformed")]
        assert found(tmp_path) == [("a.xml", 1, "media-off-switch"), ("b.xml", 1, "media-off-switch")]


TEXTS = [path.read_bytes() for path in sorted(BROKEN.glob("*.xml"))]
PIECES = some.sampled_from(
    [b"<", b">", b"</", b"/>", b'"', b"'", b"=", b"&", b"&#0;", b"&#x110000;", b"<!--", b"-->", b"<![CDATA[",
     b"]]>", b"<?", b"$${", b"${", b"}", b"{", b"[", b"]", b"(", b")", b"^^:", b"\\", b"\x00", b"\xff", b"\r",
     b"\n", b"inline", b"::", b",", b"(a{9999}){9999}",
     b'<X-PRE-PROCESS cmd="include" data="*.xml"/>', b'<X-PRE-PROCESS cmd="set" data="="/>', b"<!-- ccwhisper: ignore "]
)  # fmt: skip


@some.composite
def mutated(draw: some.DrawFn) -> bytes:
    text = draw(some.sampled_from(TEXTS))
    for _ in range(draw(some.integers(1, 6))):
        at = draw(some.integers(0, len(text)))
        until = min(len(text), at + draw(some.integers(0, 60)))
        put = draw(some.one_of(PIECES, some.binary(max_size=6), some.just(text[at:until] * 2)))
        text = text[:at] + put + text[until:]
    return text


@settings(max_examples=400, deadline=None)
@given(text=mutated())
def test_no_file_is_too_strange(text: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "strange" / "a.xml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text)
    report = check([path])
    lines = text.count(b"\n") + text.count(b"\r") + 1
    assert {each.code for each in report.problems} <= CODES
    assert {each.rule for each in report.findings} <= set(RULES)
    assert all(1 <= each.place.line <= lines for each in [*report.findings, *report.problems])
