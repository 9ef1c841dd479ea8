"""Files of the administrator's: written whole or not at all, with the owner and the rights that they had."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from ccwhisper.install.errors import InstallError


def opened(path: Path) -> Path:
    """The configuration's folder, resolved. Raises InstallError."""
    conf = path.resolve()
    if not (conf / "freeswitch.xml").is_file():
        raise InstallError("not_a_configuration", f"{path} has no freeswitch.xml")
    return conf


def write(path: Path, content: bytes, like: Path) -> None:
    """Put a file in the place of another in one step; owner, rights and extended attributes are those of `like`."""
    there = like.stat()
    descriptor, name = tempfile.mkstemp(prefix=".ccwhisper-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        shutil.copystat(like, name)
        os.utime(name)
        mine = os.stat(name)
        if (mine.st_uid, mine.st_gid) != (there.st_uid, there.st_gid):
            try:
                os.chown(name, there.st_uid, there.st_gid)
            except PermissionError:
                raise InstallError("owner_not_kept", f"{path} belongs to somebody else: run this as him") from None
            os.chmod(name, there.st_mode & 0o7777)  # chown takes the set-id bits away
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def back_up(conf: Path, files: Iterable[Path], where: Path | None) -> Path:
    """Copies of files in a new folder beside the configuration, or in `where`, for its owner alone: they may hold
    passwords. Returns the folder."""
    place = where or conf.with_name(f"{conf.name}.ccwhisper-backup")
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    made = Path(tempfile.mkdtemp(prefix=f"{stamp}-", dir=place))
    for file in files:
        copy = made / file.relative_to(conf)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)
    return made
