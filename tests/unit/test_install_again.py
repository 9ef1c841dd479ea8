"""The installer a second time, back again, and interrupted: what was there is never lost."""

from __future__ import annotations

import shutil
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from ccwhisper.install import folder, manifest, parts, plan
from ccwhisper.install.errors import InstallError
from tests.unit.configuration import FILES, WISH, change, done, everything, put

pytestmark = pytest.mark.unit


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    return put(tmp_path / "conf")


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
    shutil.copytree(parts.folder().parent / "freeswitch-conf/sounds", tmp_path / "sounds")
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
