"""The installer on configurations of its own making: what it writes, what it leaves alone, what it refuses."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccwhisper.dialplan import check
from ccwhisper.install import folder, manifest, parts, plan
from ccwhisper.install.edit import applied, inserted, taken_back
from ccwhisper.install.errors import InstallError
from ccwhisper.install.parts import Kind
from ccwhisper.install.source import Source
from ccwhisper.install.steps import STEPS, Wish

pytestmark = pytest.mark.unit

PASSWORD = "a-long-enough-password"
WISH = Wish(coaches=("2000",), password=PASSWORD)

FILES: Mapping[str, str] = {
    "freeswitch.xml": """<?xml version="1.0"?>
<document type="freeswitch/xml">
  <X-PRE-PROCESS cmd="set" data="secret=1234"/>
  <section name="configuration"><!-- all of them -->
    <X-PRE-PROCESS cmd="include" data="autoload_configs/*.xml"/>
  </section>
  <section name="dialplan">
    <X-PRE-PROCESS cmd="include" data="dialplan/*.xml"/>
  </section>
  <section name="directory">
    <X-PRE-PROCESS cmd="include" data="directory/*.xml"/>
  </section>
</document>
""",
    "autoload_configs/modules.conf.xml": """<configuration name="modules.conf">
  <modules>
    <load module="mod_event_socket"/>
    <load module="mod_sofia"/>
    <load module="mod_commands"/>
    <load module="mod_dptools"/>
    <load module="mod_dialplan_xml"/>
    <!-- <load module="mod_tone_stream"/> -->
    <load module="mod_sndfile"/>

    <!-- that is all -->
  </modules>
</configuration>
""",
    "autoload_configs/event_socket.conf.xml": """<configuration name="event_socket.conf">
  <settings>
    <param name="listen-ip" value="::"/>   <!-- all -->
    <param name="listen-port" value="8021"/>
    <param name="password" value="ClueCon"/>
  </settings>
</configuration>
""".replace("   <!-- all -->", ""),
    "autoload_configs/callcenter.conf.xml": """<configuration name="callcenter.conf">
  <agents>
    <agent name="1000@example.org" type="callback" contact="[leg_timeout=10]user/1000@example.org"/>
    <agent name="3000@example.org" type="callback" contact="[leg_timeout=10]sofia/gateway/far/3000"/>
    <agent name="3001@example.org" type="callback" contact='{a=b}loopback/3001'/>
    <agent name="3002@example.org" type="callback" contact="sofia/gateway/far/3002"/>
    <agent name="3003@example.org" type="uuid-standby"/>
  </agents>
</configuration>
""",
    "dialplan/public.xml": """<include>
  <context name="public">
    <!-- ours -->
    <extension name="one"><condition field="destination_number" expression="^(10[01]\\d)$">
\t<action application="transfer" data="$1 XML default"/></condition></extension>
  </context>
</include>
""",
    "directory/default.xml": """<include>\r
  <domain name="example.org">\r
    <groups>\r
      <group name="staff">\r
        <params>\r
          <param name="vm-password" value="$${secret}"/>\r
        </params>\r
        <users>\r
          <X-PRE-PROCESS cmd="include" data="staff/*.xml"/>\r
        </users>\r
      </group>\r
      <group name="sales"><users><user id="1000" type="pointer"/></users></group>\r
    </groups>\r
  </domain>\r
</include>\r
""",
    "directory/staff/1000.xml": '<include>\n  <user id="1000"><variables/></user>\n</include>\n',
    "directory/staff/2000.xml": """<include>
  <!-- Jürgen -->
  <user id="2000">
    <variables>
      <variable name="user_context" value="default"/>
    </variables>
  </user>
</include>
""",
}  # fmt: skip


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    place = tmp_path / "conf"
    for name, text in FILES.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("latin-1"))
    return place


def everything(conf: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in conf.rglob("*") if path.is_file())
    return {str(path.relative_to(conf)): (path.read_bytes(), path.stat().st_mode) for path in files}


def done(conf: Path, wish: Wish = WISH) -> plan.Plan:
    made = plan.install(conf, wish)
    plan.carry_out(made)
    return made


def change(conf: Path, file: str, old: str, new: str) -> None:
    text = (conf / file).read_bytes().decode("latin-1")
    assert old in text
    (conf / file).write_bytes(text.replace(old, new, 1).encode("latin-1"))


# --- what it writes --------------------------------------------------------------------------------------------------


def test_what_it_writes(conf: Path) -> None:
    done(conf)
    text = {file: content.decode("latin-1") for file, (content, _) in everything(conf).items()}
    assert set(text) - set(FILES) == {manifest.NAME, "ccwhisper/callers.xml", "ccwhisper/coaches.xml"}
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


def test_the_command_knows_every_step() -> None:
    from ccwhisper.cli.node import _STEPS

    assert _STEPS == STEPS


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
    assert "coaches" in {each.get("name") for each in root.walk("context")}


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


# --- again, and back -------------------------------------------------------------------------------------------------


def test_a_second_time_changes_nothing(conf: Path) -> None:
    done(conf)
    before = everything(conf)
    made = plan.install(conf, WISH)
    assert made.changes == ()
    assert plan.carry_out(made) is None
    assert everything(conf) == before


def test_it_is_taken_back_to_the_byte(conf: Path) -> None:
    before = everything(conf)
    done(conf)
    assert everything(conf) != before
    plan.carry_out(plan.uninstall(conf))
    assert everything(conf) == before
    assert not (conf / "ccwhisper").exists()


def test_what_was_written_since_stays(conf: Path) -> None:
    done(conf)
    change(conf, "dialplan/public.xml", "<!-- ours -->", '<!-- ours -->\n    <extension name="later"/>')
    change(conf, "ccwhisper/callers.xml", "{65}", "{40}")
    again = plan.install(conf, replace(WISH, coaches=()))
    assert any("kept as it is" in note for note in again.notes)
    plan.carry_out(again)
    assert "{40}" in (conf / "ccwhisper/callers.xml").read_text()
    assert (conf / "directory/staff/2000.xml").read_bytes().decode("latin-1") == FILES["directory/staff/2000.xml"]
    back = plan.uninstall(conf)
    assert any("stays" in note for note in back.notes)
    plan.carry_out(back)
    expected = FILES["dialplan/public.xml"].replace("<!-- ours -->", '<!-- ours -->\n    <extension name="later"/>')
    assert (conf / "dialplan/public.xml").read_text() == expected
    assert set(everything(conf)) - set(FILES) == {"ccwhisper/callers.xml"}


def test_a_block_that_somebody_removed_is_none(conf: Path) -> None:
    done(conf)
    text = (conf / "freeswitch.xml").read_text()
    lines = [line for line in text.splitlines(keepends=True) if "ccwhisper" not in line]
    (conf / "freeswitch.xml").write_text("".join(lines))
    plan.carry_out(plan.uninstall(conf))
    assert (conf / "freeswitch.xml").read_text() == FILES["freeswitch.xml"]


@pytest.mark.parametrize("act", [plan.uninstall, lambda conf: plan.install(conf, WISH)])
def test_a_block_that_somebody_wrote_in_is_refused(conf: Path, act: object) -> None:
    done(conf)
    change(conf, "directory/default.xml", 'jitterbuffer_msec" value="40"', 'jitterbuffer_msec" value="60"')
    before = everything(conf)
    with pytest.raises(InstallError) as error:
        act(conf)  # type: ignore[operator]
    assert error.value.code == "block_changed"
    assert everything(conf) == before


def test_another_version_of_a_part_takes_the_place_of_the_first(
    conf: Path, newer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(conf)
    monkeypatch.setattr(parts, "folder", lambda: newer)
    made = done(conf)
    assert [each.file for each in made.changes] == ["ccwhisper/callers.xml", "directory/default.xml"]
    assert 'jitterbuffer_msec" value="60"' in (conf / "directory/default.xml").read_text()
    assert "{80}" in (conf / "ccwhisper/callers.xml").read_text()
    plan.carry_out(plan.uninstall(conf))
    assert set(everything(conf)) == set(FILES)


# --- all or nothing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failing", range(9))
@pytest.mark.parametrize("again", [False, True])
def test_what_fails_in_the_middle_leaves_everything_as_it_was(
    conf: Path, monkeypatch: pytest.MonkeyPatch, failing: int, again: bool
) -> None:
    if again:
        done(conf, replace(WISH, coaches=()))
    before = everything(conf)
    made = plan.install(conf, WISH)
    real, count = folder.write, iter(range(100))

    def write(path: Path, content: bytes, like: Path) -> None:
        if next(count) == failing:
            raise OSError(28, "No space left on device", str(path))
        real(path, content, like)

    monkeypatch.setattr(folder, "write", write)
    try:
        plan.carry_out(made)
    except OSError:
        assert everything(conf) == before
    else:
        assert failing >= len(made.changes) + 2  # the manifest is written before and after


@pytest.mark.parametrize("killed", range(8))
def test_what_is_killed_in_the_middle_can_be_taken_back_and_done_again(
    conf: Path, monkeypatch: pytest.MonkeyPatch, killed: int
) -> None:
    before = everything(conf)
    real, count = folder.write, iter(range(100))

    class Killed(BaseException):
        pass

    def write(path: Path, content: bytes, like: Path) -> None:
        if next(count) >= killed:
            raise Killed
        real(path, content, like)

    made = plan.install(conf, WISH)
    with monkeypatch.context() as patch:
        patch.setattr(folder, "write", write)
        with pytest.raises(Killed):
            plan.carry_out(made)
    if (conf / manifest.NAME).exists():
        done(conf)
        plan.carry_out(plan.uninstall(conf))
    assert everything(conf) == before


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The parts of another version."""
    place = tmp_path / "parts"
    place.mkdir()
    for path in parts.folder().glob("*.xml"):
        text = path.read_text().replace("{65}", "{80}").replace('value="40"', 'value="60"')
        (place / path.name).write_text(text)
    return place


@pytest.mark.parametrize("killed", range(1, 8))
def test_an_upgrade_that_is_killed_in_the_middle_can_be_taken_back(
    conf: Path, newer: Path, monkeypatch: pytest.MonkeyPatch, killed: int
) -> None:
    before = everything(conf)
    done(conf)
    monkeypatch.setattr(parts, "folder", lambda: newer)
    made = plan.install(conf, WISH)
    assert [each.file for each in made.changes] == ["ccwhisper/callers.xml", "directory/default.xml"]
    real, count = folder.write, iter(range(100))

    class Killed(BaseException):
        pass

    def write(path: Path, content: bytes, like: Path) -> None:
        if next(count) >= killed:
            raise Killed
        real(path, content, like)

    with monkeypatch.context() as patch:
        patch.setattr(folder, "write", write)
        try:
            plan.carry_out(made)
        except Killed:
            assert killed < 4
        else:
            assert killed >= 4
    plan.carry_out(plan.uninstall(conf))
    assert {file: content for file, (content, _) in everything(conf).items() if file in before} == {
        file: content for file, (content, _) in before.items()
    }


def test_a_file_that_changed_meanwhile_is_not_written_over(conf: Path) -> None:
    made = plan.install(conf, WISH)
    change(conf, "freeswitch.xml", "1234", "5678")
    before = everything(conf)
    with pytest.raises(InstallError) as error:
        plan.carry_out(made)
    assert error.value.code == "changed_meanwhile"
    assert everything(conf) == before


def test_the_backup_has_what_was_there_and_is_for_its_owner_alone(conf: Path) -> None:
    before = everything(conf)
    kept = plan.carry_out(plan.install(conf, WISH))
    assert kept is not None
    assert {stat.S_IMODE(place.stat().st_mode) for place in (kept, kept.parent)} == {0o700}
    copies = {str(path.relative_to(kept)): path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    assert len(copies) == 7
    assert {file: before[file][0] for file in copies} == copies


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
    assert code(replace(WISH, into={"nothing": "public"})) == "part_unknown"
    assert code(replace(WISH, into={"coaches": "public"})) == "part_unknown"
    assert code(replace(WISH, groups=("nobody",))) == "group_missing"
    (conf / "ccwhisper").mkdir()
    (conf / "ccwhisper/callers.xml").write_text("mine")
    assert code() == "file_in_the_way"
    (conf / "ccwhisper/callers.xml").unlink()
    public = conf / "dialplan/public.xml"
    public.rename(tmp_path / "elsewhere.xml")
    public.symlink_to(tmp_path / "elsewhere.xml")
    assert code() == "outside_folder"


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
    assert kinds["coaches"] is Kind.CONTEXT
    assert kinds["agent-directory"] is Kind.GROUP
    assert kinds["callcenter-contacts"] is Kind.OTHER
