"""From a configuration and a wish to changes of files, and from those to the disk.

An installation that is already there is taken back first, in memory: so a second one with the same wish changes
nothing, one with another wish or of another version changes what is different, and what the administrator has written
since is kept by both.
"""

from __future__ import annotations

import difflib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ccwhisper.install import folder, manifest, steps
from ccwhisper.install.edit import applied, taken_back
from ccwhisper.install.errors import InstallError
from ccwhisper.install.manifest import NAME, Manifest
from ccwhisper.install.source import Source


@dataclass(frozen=True, slots=True)
class Change:
    """A file of the configuration; None is "there is none"."""

    file: str
    before: bytes | None
    after: bytes | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be written. `notes`: what to know besides."""

    conf: Path
    changes: tuple[Change, ...]
    manifest: Manifest | None
    """What will be remembered; None: nothing is left."""
    notes: tuple[str, ...] = ()
    secret: str | None = field(default=None, repr=False)

    def diff(self) -> str:
        """The changes as a unified diff, that `patch -p1` takes; a password in it is not shown."""
        text = "".join(line for change in self.changes for line in _diff(change))
        return text.replace(self.secret, "********") if self.secret else text


def install(path: Path, wish: steps.Wish) -> Plan:
    """What an installation would change. Raises InstallError."""
    conf = folder.opened(path)
    known = _known(conf)
    with tempfile.TemporaryDirectory(prefix="ccwhisper-install-") as place:
        clean = conf
        if known is not None:
            clean = Path(place).resolve() / "conf"
            _without(conf, known, clean)
        work = steps.work(clean, wish)
        after = {file: _edited(clean / file, work, file) for file in work.edits}
    files = {**{file: _plain(conf, known, file) for file in (known.edits if known else ())}, **after}
    changes = [Change(file, (conf / file).read_bytes(), content) for file, content in files.items()]
    notes = list(work.notes)
    created = {}
    for file, text in work.created.items():
        content, there = text.encode("latin-1"), _bytes(conf / file)
        created[file] = manifest.digest(content)
        if there is not None and (known is None or manifest.digest(there) != known.created.get(file)):
            if known is None:
                raise InstallError("file_in_the_way", f"{conf / file} is there already")
            notes.append(f"{file} has been changed here, and is kept as it is")
            created[file] = known.created.get(file, "")
            continue
        changes.append(Change(file, there, content))
    changes += _removed(conf, known, created, notes)
    made = Manifest(work.edits, created)
    return Plan(conf, _real(changes), made, tuple(notes), wish.password)


def uninstall(path: Path) -> Plan:
    """What taking the installation back would change. Raises InstallError."""
    conf = folder.opened(path)
    known = _known(conf)
    if known is None:
        raise InstallError("not_installed", f"{path} has no {NAME}")
    notes: list[str] = []
    changes = [Change(file, (conf / file).read_bytes(), _plain(conf, known, file)) for file in known.edits]
    changes += _removed(conf, known, {}, notes)
    return Plan(conf, _real(changes), None, tuple(notes))


def carry_out(plan: Plan, backup: Path | None = None) -> Path | None:
    """Write the changes: all of them, or none. Returns the folder with copies of the files as they were; None when
    there is nothing to change. Raises InstallError, OSError."""
    conf, last = plan.conf, _bytes(plan.conf / NAME)
    if not plan.changes and (last is None) == (plan.manifest is None):
        return None
    kept = folder.back_up(conf, [conf / change.file for change in plan.changes if change.before is not None], backup)
    done: list[Change] = []
    try:
        if plan.manifest is not None:
            _remember(conf, _both(manifest.read(conf), plan.manifest))  # first: whatever happens, it can be taken back
        for change in plan.changes:
            if _bytes(conf / change.file) != change.before:
                raise InstallError("changed_meanwhile", f"{conf / change.file} was changed while this was looked at")
            done.append(change)
            _put(conf, change.file, change.after)
        _remember(conf, plan.manifest)
    except BaseException:
        _restore(conf, [*reversed(done), Change(NAME, last, None)])
        raise
    return kept


# --- contents --------------------------------------------------------------------------------------------------------


def _edited(path: Path, work: steps.Work, file: str) -> bytes:
    raw = path.read_bytes()
    text = applied(raw.decode("latin-1"), work.edits[file])
    content = text.encode("latin-1")
    Source(path, content)  # still whole
    return content


def _known(conf: Path) -> Manifest | None:
    """What was written. Raises InstallError where something of it is behind a link by now: it would be written
    through, in the copy that is only looked at, too."""
    known = manifest.read(conf)
    for file in (*known.edits, *known.created) if known else ():
        if (conf / file).resolve() != conf / file:
            raise InstallError("outside_folder", f"{conf / file} is a link, or lies outside of {conf}")
    return known


def _plain(conf: Path, known: Manifest | None, file: str) -> bytes:
    text = (conf / file).read_bytes().decode("latin-1")
    edits = known.edits.get(file, []) if known else []
    return taken_back(text, edits, str(conf / file)).encode("latin-1")


def _without(conf: Path, known: Manifest, clean: Path) -> None:
    """A copy of the configuration as it would be without the installation, to look at."""
    shutil.copytree(conf, clean, symlinks=True, ignore_dangling_symlinks=True)
    for file in known.created:
        (clean / file).unlink(missing_ok=True)
    for file in known.edits:
        (clean / file).write_bytes(_plain(conf, known, file))


def _removed(conf: Path, known: Manifest | None, wanted: dict[str, str], notes: list[str]) -> Iterator[Change]:
    for file, digest in (known.created if known else {}).items():
        there = _bytes(conf / file)
        if file in wanted or there is None:
            continue
        if manifest.digest(there) == digest:
            yield Change(file, there, None)
        else:
            notes.append(f"{file} has been changed here, and stays; nothing includes it any more")


def _real(changes: list[Change]) -> tuple[Change, ...]:
    return tuple(sorted((each for each in changes if each.before != each.after), key=lambda each: each.file))


def _diff(change: Change) -> Iterator[str]:
    if b"\0" in (change.before or b"") + (change.after or b""):
        yield f"Binary file {change.file} {'is removed' if change.after is None else 'is written'}\n"
        return
    old, new = (
        (part or b"").decode("utf-8", "replace").splitlines(keepends=True) for part in (change.before, change.after)
    )
    before = "/dev/null" if change.before is None else f"a/{change.file}"
    after = "/dev/null" if change.after is None else f"b/{change.file}"
    for line in difflib.unified_diff(old, new, before, after):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


# --- the disk --------------------------------------------------------------------------------------------------------


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _both(known: Manifest | None, made: Manifest) -> Manifest:
    if known is None:
        return made
    files = {*known.edits, *made.edits}
    edits = {file: [*known.edits.get(file, []), *made.edits.get(file, [])] for file in files}
    return Manifest(edits, {**known.created, **made.created})


def _restore(conf: Path, changes: list[Change]) -> None:
    """As many as can be; the list of what was written goes last, and only when nothing of it is left."""
    for change in changes:
        try:
            _put(conf, change.file, change.before)
        except OSError:
            return


def _remember(conf: Path, what: Manifest | None) -> None:
    _put(conf, NAME, what.dump() if what else None)


def _put(conf: Path, file: str, content: bytes | None) -> None:
    path = conf / file
    if content is None:
        path.unlink(missing_ok=True)
        for place in path.parents:
            if place == conf or not place.is_dir() or any(place.iterdir()):
                break
            place.rmdir()
        return
    for place in reversed(path.parents):
        if not place.is_dir():
            place.mkdir()
            shutil.copystat(conf, place)
    folder.write(path, content, path if path.exists() else conf / "freeswitch.xml")
