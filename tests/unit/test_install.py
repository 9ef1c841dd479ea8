"""The installer on a configuration: what it writes, what it leaves alone, what it refuses."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccwhisper.dialplan import check
from ccwhisper.dialplan.load import load
from ccwhisper.install import manifest, parts, plan
from ccwhisper.install.edit import applied, inserted, taken_back
from ccwhisper.install.errors import InstallError
from ccwhisper.install.parts import Kind
from ccwhisper.install.source import Source
from ccwhisper.install.steps import CHOSEN, STEPS, Wish
from tests.unit.configuration import FILES, PASSWORD, WISH, change, done, everything, put

pytestmark = pytest.mark.unit


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return put(tmp_path / "conf")


# --- what it writes --------------------------------------------------------------------------------------------------


def test_what_it_writes(conf: Path) -> None:
    done(conf)
    text = {file: content.decode("latin-1") for file, (content, _) in everything(conf).items()}
    prompts = {f"ccwhisper/sounds/{path.name}" for path in Path("freeswitch-conf/sounds").glob("*.wav")}
    assert len(prompts) == 8
    ours = {f"ccwhisper/{name}.xml" for name in ("callers", "coaches", "feature-codes")}
    assert set(text) - set(FILES) == {manifest.NAME, *ours, *prompts}
    assert 'data="ccw_sounds=$${conf_dir}/ccwhisper/sounds"' in text["ccwhisper/feature-codes.xml"]
    assert 'data="../ccwhisper/callers.xml"' in text["dialplan/public.xml"]
    assert 'data="ccwhisper/coaches.xml"' in text["freeswitch.xml"]
    ours = '<!-- ccwhisper node install: modules -->\n    <load module="mod_tone_stream"/>\n'
    assert f'<load module="mod_sndfile"/>\n    {ours}' in text["autoload_configs/modules.conf.xml"]
    assert 'name="listen-ip" value="127.0.0.1"' in text["autoload_configs/event_socket.conf.xml"]
    assert f'name="password" value="{PASSWORD}"' in text["autoload_configs/event_socket.conf.xml"]
    assert "ClueCon" not in text["autoload_configs/event_socket.conf.xml"]
    assert 'name="user_context" value="coaches"' in text["directory/staff/2000.xml"]
    for name in ("jitterbuffer_msec", "rtp_jitter_buffer_during_bridge"):
        assert text["directory/default.xml"].count(f'<param name="dial-var-{name}"') == 1
        assert text["directory/default.xml"].count(f'<variable name="{name}"') == 1


def test_contacts_that_bypass_the_directory_get_the_buffer(conf: Path) -> None:
    done(conf)
    text = (conf / "autoload_configs/callcenter.conf.xml").read_text()
    assert 'contact="[leg_timeout=10]user/1000@example.org"' in text
    buffer = "jitterbuffer_msec=40,rtp_jitter_buffer_during_bridge=true"
    assert f'contact="[{buffer},leg_timeout=10]sofia/gateway/far/3000"' in text
    assert f"contact='{{{buffer},a=b}}loopback/3001'" in text
    assert f'contact="[{buffer}]sofia/gateway/far/3002"' in text
    assert text.count(buffer) == 3


def test_an_agent_s_name_may_hold_anything(conf: Path) -> None:
    path = conf / "autoload_configs/callcenter.conf.xml"
    path.write_text(path.read_text().replace('"3002@example.org"', '"Юлия --> 3002"'))
    before = everything(conf)
    done(conf)
    text = path.read_text()
    assert text.count("-->") == 3 * 2 + 1  # two comments for each contact, and the name as it is
    assert "Юлия --> 3002" in text
    plan.carry_out(plan.uninstall(conf))
    assert everything(conf) == before


BROWSERS = replace(WISH, steps=WISH.steps | {"browsers"})


def test_a_profile_for_browsers_is_put_in_where_it_is_wanted(conf: Path) -> None:
    before = everything(conf)
    plain = plan.install(conf, WISH)
    assert not any("browsers" in each.file for each in plain.changes)
    assert "browsers" not in plain.diff()
    made = done(conf, BROWSERS)
    assert 'browsers = "127.0.0.1:5076"' in made.notes[-1]
    assert check([conf]).problems == []
    sofia, opus, modules = (
        (conf / f"autoload_configs/{name}.conf.xml").read_text() for name in ("sofia", "opus", "modules")
    )
    assert 'data="../sip_profiles/*.xml"/>\n    <!-- ccwhisper node install: browsers -->\n' in sofia
    told = re.findall(r'^\s*<param name="(max\w+)" value="(\d+)"', opus, re.MULTILINE)
    assert dict(told) == {"maxplaybackrate": "16000", "maxaveragebitrate": "20000"}
    assert len(told) == 2
    assert 'name="complexity" value="10"' in opus
    assert modules.count('module="mod_opus"') == 1
    (profile,) = load([conf / "freeswitch.xml"]).trees[0].root.walk("profile")
    settings = {each.get("name"): each.get("value") for each in profile.walk("param")}
    ours = (conf / "ccwhisper/browsers.xml").read_text()
    for port, name in (("5076", "ccw_browsers_ws_port"), ("5075", "ccw_browsers_port")):
        assert f'cmd="set" data="{name}={port}"' in ours
        (place,) = [value for value in settings.values() if name in value]  # what else is a variable is known
        assert place.endswith(f"$${{{name}}}")
    assert len([value for value in settings.values() if "ccw_" in value]) == 2
    assert plan.install(conf, BROWSERS).changes == ()
    plan.carry_out(plan.install(conf, WISH))  # and no more
    assert not (conf / "ccwhisper/browsers.xml").exists()
    done(conf, BROWSERS)
    plan.carry_out(plan.uninstall(conf))
    assert everything(conf) == before


@pytest.mark.parametrize(
    ("file", "old", "new", "code"),
    [
        ("autoload_configs/sofia.conf.xml", "<profiles>", '<profiles>\n<profile name="browsers"/>', "profile_taken"),
        ("dialplan/public.xml", "<include>", '<include>\n<context name="nowhere"/>', "context_taken"),
        ("autoload_configs/opus.conf.xml", "opus.conf", "other.conf", "configuration_missing"),
        ("autoload_configs/sofia.conf.xml", "sofia.conf", "other.conf", "configuration_missing"),
    ],
)
def test_where_a_profile_for_browsers_has_no_place(conf: Path, file: str, old: str, new: str, code: str) -> None:
    change(conf, file, old, new)
    with pytest.raises(InstallError) as caught:
        plan.install(conf, BROWSERS)
    assert caught.value.code == code
    plan.install(conf, WISH)


def test_the_command_knows_every_step() -> None:
    from ccwhisper.cli.node import _CHOSEN, _STEPS

    assert (_STEPS, _CHOSEN) == (STEPS, CHOSEN)


def test_the_switch_reads_it_as_it_is_meant(conf: Path) -> None:
    """By the checker's reader, which reads as the switch does: the first <params> of a group counts."""
    from ccwhisper.dialplan.load import load

    done(conf)
    loaded = load([conf / "freeswitch.xml"])
    assert loaded.problems == []
    root = loaded.trees[0].root
    (group,) = (each for each in root.walk("group") if each.get("name") == "staff")
    params = next(group.each("params"))
    assert [each.get("name") for each in params.each("param")] == [
        "dial-var-jitterbuffer_msec", "dial-var-rtp_jitter_buffer_during_bridge", "vm-password",
    ]  # fmt: skip
    assert len(list(next(group.each("variables")).each("variable"))) == 2
    (public,) = (each for each in root.walk("context") if each.get("name") == "public")
    assert next(public.each("extension")).get("name") == "name unfit for a header"
    (coaches,) = (each for each in root.walk("context") if each.get("name") == "coaches")
    names = [each.get("name") for each in coaches.each("extension")]
    assert (names[0], names[-1]) == ("coaching: listen", "nothing to dial")


def test_the_checker_finds_nothing_that_was_not_there_before(conf: Path) -> None:
    before = {(each.rule, each.message) for each in check([conf]).findings}
    done(conf)
    after = {(each.rule, each.message) for each in check([conf]).findings}
    assert after <= before


def test_line_ends_white_space_encoding_and_rights_stay(conf: Path) -> None:
    (conf / "directory/default.xml").chmod(0o640)
    done(conf)
    lines = (conf / "directory/default.xml").read_bytes().split(b"\n")
    assert all(line.endswith(b"\r") for line in lines[:-1])
    assert stat.S_IMODE((conf / "directory/default.xml").stat().st_mode) == 0o640
    assert "J\xfcrgen".encode("latin-1") in (conf / "directory/staff/2000.xml").read_bytes()
    for file, text in FILES.items():
        ours = (conf / file).read_bytes().decode("latin-1").splitlines()
        if "callcenter" in file:
            continue
        gone = {'    <param name="listen-ip" value="::"/>', '    <param name="password" value="ClueCon"/>',
                '      <variable name="user_context" value="default"/>'}  # fmt: skip
        assert [line for line in text.splitlines() if line not in gone] == [
            line for line in ours if line in text.splitlines() and line not in gone
        ]


def test_the_difference_is_one_that_patch_takes(conf: Path, tmp_path: Path) -> None:
    made = plan.install(conf, replace(WISH, password=None))
    other = tmp_path / "other"
    subprocess.run(["cp", "-a", conf, other], check=True)
    taken = subprocess.run(["patch", "-p1", "--binary"], cwd=other, input=made.diff().encode(), check=False)
    plan.carry_out(made)
    (conf / manifest.NAME).unlink()
    assert taken.returncode == 0
    changed = {file for file in FILES if "Jürgen" not in FILES[file]}  # a diff for people is UTF-8
    assert {file: everything(other)[file][0] for file in changed} == {
        file: everything(conf)[file][0] for file in changed
    }


def test_a_password_is_not_shown(conf: Path) -> None:
    text = plan.install(conf, WISH).diff()
    assert "********" in text
    assert PASSWORD not in text
    assert PASSWORD not in repr(plan.install(conf, WISH).manifest is None) + repr(WISH)


@pytest.mark.parametrize("step", STEPS)
def test_each_step_can_be_left_out(conf: Path, step: str) -> None:
    all_ = {each.name for found in _edits(plan.install(conf, WISH)) for each in found}
    left = {
        each.name for found in _edits(plan.install(conf, replace(WISH, steps=WISH.steps - {step}))) for each in found
    }
    assert left < all_


def _edits(made: plan.Plan) -> list[list[object]]:
    assert made.manifest is not None
    return list(made.manifest.edits.values())  # type: ignore[arg-type]


def test_what_is_right_already_is_left_alone(conf: Path) -> None:
    change(conf, "autoload_configs/event_socket.conf.xml", "::", "127.0.0.1")
    change(conf, "autoload_configs/event_socket.conf.xml", "ClueCon", "of-my-own-choice")
    change(
        conf,
        "autoload_configs/modules.conf.xml",
        '<!-- <load module="mod_tone_stream"/> -->',
        '<load module="mod_tone_stream"/>',
    )
    changed = {each.file for each in plan.install(conf, WISH).changes}
    assert not {"autoload_configs/event_socket.conf.xml", "autoload_configs/modules.conf.xml"} & changed


def test_a_setting_of_the_group_that_is_there_already_is_the_administrator_s(conf: Path) -> None:
    change(
        conf,
        "directory/default.xml",
        'name="vm-password" value="$${secret}"',
        'name="dial-var-jitterbuffer_msec" value="60"',
    )
    done(conf)
    text = (conf / "directory/default.xml").read_text()
    assert text.count("dial-var-jitterbuffer_msec") == 1
    assert text.count("dial-var-rtp_jitter_buffer_during_bridge") == 1


def test_users_without_a_group_get_it_from_their_domain(conf: Path) -> None:
    change(conf, "directory/default.xml", '<group name="staff">', "")
    change(conf, "directory/default.xml", "</group>", "")
    done(conf)
    lines = (conf / "directory/default.xml").read_text().splitlines()
    assert lines.index('  <domain name="example.org">') + 1 == next(
        i for i, line in enumerate(lines) if "install" in line
    )


def test_an_event_socket_with_a_list_is_the_administrator_s(conf: Path) -> None:
    change(
        conf,
        "autoload_configs/event_socket.conf.xml",
        "  </settings>",
        '    <param name="apply-inbound-acl" value="mine"/>\n  </settings>',
    )
    made = plan.install(conf, WISH)
    assert any("by your list" in note for note in made.notes)
    assert "127.0.0.1" not in made.diff()


def test_without_a_password_the_stock_one_is_told(conf: Path) -> None:
    made = plan.install(conf, replace(WISH, password=None))
    assert any("everybody knows" in note for note in made.notes)
    assert '-    <param name="password"' not in made.diff()


# --- what it refuses -------------------------------------------------------------------------------------------------

USERS = '<group name="sales"><users><user id="1000" type="pointer"/>'
TWICE = '<group name="staff"><users><user id="7"/>'
ENTITY = "<include>\n<!DOCTYPE x [<!ENTITY a 'b'>]>"
LISTEN = '"::"/>'
SOCKET = "autoload_configs/event_socket.conf.xml"
MODULES = "autoload_configs/modules.conf.xml"
CALLCENTER = "autoload_configs/callcenter.conf.xml"
PUBLIC = "dialplan/public.xml"
DOMAIN = "directory/default.xml"
COACH = "directory/staff/2000.xml"
REFUSED: Mapping[str, tuple[str, str, str, str]] = {
    "no closing tag": ("malformed", DOMAIN, "    </groups>", ""),
    "a document type": ("doctype", PUBLIC, "<include>", ENTITY),
    "two groups of a name": ("group_ambiguous", DOMAIN, USERS, TWICE),
    "two groups with users": ("group_ambiguous", DOMAIN, 'type="pointer"', ""),
    "no such context": ("context_missing", PUBLIC, 'name="public"', 'name="outside"'),
    "coaches is taken": ("context_taken", PUBLIC, "</context>", '</context>\n<context name="coaches"></context>'),
    "several on a line": ("shares_its_line", SOCKET, LISTEN, f'{LISTEN} <param name="a" value="b"/>'),
    "no such user": ("user_missing", COACH, 'id="2000"', 'id="2001"'),
    "no module list": ("configuration_missing", MODULES, '"modules.conf"', '"other.conf"'),
    "no context of his own": ("user_context_missing", COACH, "user_context", "context"),
    "an empty context": ("not_well_formed", PUBLIC, 'name="public">', 'name="public"/><context name="x">'),
    "a contact on a line below": ("contact_unclear", CALLCENTER, ' contact="sofia', '\n contact="sofia'),
    "zeros": ("encoding_unsupported", SOCKET, "  <settings>", "  <settings>\0"),
    "two on a line": ("shares_its_line", DOMAIN, "<params>\r\n", "<params/><params>\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_understood_is_refused(conf: Path, case: str) -> None:
    code, file, old, new = REFUSED[case]
    change(conf, file, old, new)
    before = everything(conf)
    with pytest.raises(InstallError) as error:
        plan.install(conf, WISH)
    assert error.value.code == code, error.value.message
    assert everything(conf) == before


def test_links_other_folders_and_strange_names_are_refused(conf: Path, tmp_path: Path) -> None:
    def code(wish: Wish = WISH, where: Path = conf) -> str:
        with pytest.raises(InstallError) as error:
            plan.install(where, wish)
        return error.value.code

    assert code(where=tmp_path) == "not_a_configuration"
    assert code(replace(WISH, password="too short")) == "password_unfit"
    assert code(replace(WISH, into=(("nothing", "public"),))) == "part_unknown"
    assert code(replace(WISH, into=(("coaches", "public"),))) == "part_unknown"
    assert code(replace(WISH, groups=("nobody",))) == "group_missing"
    (conf / "ccwhisper").mkdir()
    (conf / "ccwhisper/callers.xml").write_text("mine")
    assert code() == "file_in_the_way"
    (conf / "ccwhisper/callers.xml").unlink()
    public = conf / "dialplan/public.xml"
    public.rename(tmp_path / "elsewhere.xml")
    public.symlink_to(tmp_path / "elsewhere.xml")
    assert code() == "outside_folder"


def test_what_has_become_a_link_since_is_not_written_through(conf: Path, tmp_path: Path) -> None:
    """An administrator who moves files into a repository and leaves links behind: not even a look changes them."""
    plan.carry_out(plan.install(conf, WISH))
    outside = tmp_path / "repository"
    outside.mkdir()
    for name in ("dialplan", "ccwhisper", "dialplan/public.xml"):
        moved = outside / Path(name).name
        (conf / name).rename(moved)
        (conf / name).symlink_to(moved)
        there = everything(outside)
        for act in (plan.uninstall, lambda where: plan.install(where, WISH)):
            with pytest.raises(InstallError) as error:
                act(conf)
            assert error.value.code == "outside_folder"
        assert everything(outside) == there
        (conf / name).unlink()
        moved.rename(conf / name)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "edits": {"../x": []}, "created": {}}']
)
def test_a_manifest_that_is_not_ours_is_refused(conf: Path, text: str) -> None:
    (conf / manifest.NAME).write_text(text)
    for act in (plan.uninstall, lambda where: plan.install(where, WISH)):
        with pytest.raises(InstallError) as error:
            act(conf)
        assert error.value.code == "manifest_unreadable"


def test_nothing_is_taken_back_that_was_not_put_there(conf: Path) -> None:
    with pytest.raises(InstallError) as error:
        plan.uninstall(conf)
    assert error.value.code == "not_installed"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another owner")
def test_the_owner_stays(conf: Path) -> None:
    os.chown(conf / "freeswitch.xml", 1234, 1235)
    done(conf)
    there = (conf / "freeswitch.xml").stat()
    assert (there.st_uid, there.st_gid) == (1234, 1235)


# --- files -----------------------------------------------------------------------------------------------------------


@given(st.text(alphabet="ab \n\t\r", max_size=40), st.text(alphabet="xy \n<!->", max_size=20))
def test_what_is_put_into_any_white_space_is_taken_out_again(space: str, tail: str) -> None:
    text = f'<a>{space}<b c="&lt;>">{space}</b>{space}</a>'
    source = Source(Path("a.xml"), text.encode())
    (outer,) = source.root.children
    edits = [
        inserted(source, "first", outer, ["<c/>"]),
        inserted(source, "second", outer, ["<d/>"]),
        inserted(source, "third", outer.children[0], ["<e/>"], last=True),
    ]
    changed = applied(text, edits)
    assert [each.name for each in Source(Path("a.xml"), changed.encode()).root.children[0].children] == ["c", "d", "b"]
    assert taken_back(changed + tail, edits, "a.xml") == text + tail


def test_every_part_that_lies_there_is_known_for_what_it_is() -> None:
    kinds = {name: part.kind for name, part in parts.read(parts.folder()).items()}
    assert kinds["callers"] is Kind.EXTENSION
    assert kinds["agent-legs"] is Kind.EXTENSION
    assert kinds["feature-codes"] is Kind.EXTENSION
    assert kinds["coaches"] is Kind.CONTEXT
    assert kinds["agent-directory"] is Kind.GROUP
    assert kinds["callcenter-contacts"] is Kind.OTHER
