"""Where files of recordings are: a folder, or a bucket of an S3-compatible store. A name is a path in it, with slashes.

What is kept is there whole or not at all: in a folder under another name until it is on the disk, in a bucket because
the store sees to it, and then it is read back and compared before anybody lets go of the original.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

CHECKSUM: Final = ".sha256"
"""Of a raw track that was sent: its SHA-256 is in a file beside it, which comes last."""

BUCKET: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/(?!\.\.?(/|$))[A-Za-z0-9_.-]+)*")
"""A bucket, or a prefix in it."""

_PIECE: Final = 8 << 20
"""Bytes of a file that are asked for at a time: hours of a call take longer than any one request may."""

_REQUEST: Final = timedelta(minutes=5)
"""How long one may take: a piece on a slow line."""


class PlaceError(Exception):
    """A place that cannot be used now. `code` is place_unreachable, disk_full or checksum_wrong."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Access:
    """How buckets are reached: an endpoint where it is not Amazon's, and the environment variables with the keys."""

    endpoint: str | None = None
    region: str = "us-east-1"
    key_env: str = "AWS_ACCESS_KEY_ID"
    secret_env: str = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a variable


class Place(Protocol):
    """Every method raises PlaceError."""

    def path(self, name: str) -> Path | None:
        """Where a file is on this machine, if it is."""

    def keep(self, name: str, source: Path) -> None:
        """Keep what is in a file, in place of what was; it is there, and whole, when this returns. The source stays
        or is moved."""

    def read(self, name: str) -> bytes | None:
        """What is in a small file; None: there is none."""

    def fetch(self, name: str, target: Path) -> bool:
        """Copy one into a file; False: there is none."""

    def remove(self, name: str) -> None:
        """One that is not there is fine."""

    def files(self) -> Iterator[tuple[str, float]]:
        """The names of all, and when they were written (epoch)."""


def place(where: str, access: Access, environ: Mapping[str, str] = os.environ) -> Place:
    """A folder's path, or s3://bucket/prefix."""
    if not where.startswith("s3://"):
        return Folder(Path(where))
    url = urlsplit(where)
    return Bucket(url.netloc, url.path.strip("/"), access, environ)


class Folder:
    """On a disk of this machine, or one that is shared with it. It is never made here: a folder that is not there may
    be a disk that is not mounted. `own` is one that may be made."""

    def __init__(self, folder: Path, own: bool = False) -> None:
        self.folder = folder
        if own:
            with _said(folder):
                folder.mkdir(mode=0o750, parents=True, exist_ok=True)

    def path(self, name: str) -> Path | None:
        """Where it is, or would be."""
        with _said(self.folder):
            self._there()
        return self.folder / name

    def keep(self, name: str, source: Path) -> None:
        """Moved where that is possible."""
        self._keep(name, source, move=True)

    def copy(self, name: str, source: Path) -> None:
        """Keep it, and leave the source where it is."""
        self._keep(name, source, move=False)

    def _keep(self, name: str, source: Path, move: bool) -> None:
        target = self.folder / name
        part = _part(target)
        with _said(self.folder):
            self._there()
            new = [each for each in target.parents if not each.exists()]
            target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            try:
                if not (move and _moved(source, part)):
                    shutil.copyfile(source, part)
                sync(part)
                part.replace(target)
            except OSError:
                part.unlink(missing_ok=True)
                raise
            for folder in dict.fromkeys([target.parent, *(each.parent for each in new)]):
                sync(folder)

    def read(self, name: str) -> bytes | None:
        """See Place."""
        with _said(self.folder):
            try:
                return (self.folder / name).read_bytes()
            except FileNotFoundError:
                return None

    def fetch(self, name: str, target: Path) -> bool:
        """See Place."""
        with _said(self.folder):
            try:
                shutil.copyfile(self.folder / name, target)
            except FileNotFoundError:
                return False
        return True

    def remove(self, name: str) -> None:
        """See Place. Folders that are empty then go, too."""
        path = self.folder / name
        with _said(self.folder):
            self._there()
            for each in (path, _part(path)):
                each.unlink(missing_ok=True)
            for parent in list(path.parents)[: len(Path(name).parents) - 1]:
                with contextlib.suppress(OSError):  # not empty, or gone
                    parent.rmdir()

    def files(self) -> Iterator[tuple[str, float]]:
        """See Place. What is no plain file is none of ours: a link may lead to anything."""

        def refused(error: OSError) -> None:
            if Path(error.filename) == self.folder:  # in it, there may be a lost+found
                raise error

        with _said(self.folder):
            self._there()
            for root, folders, names in os.walk(self.folder, onerror=refused):
                folders[:] = [each for each in folders if not each.startswith(".")]
                for name in names:
                    path = Path(root, name)
                    with contextlib.suppress(FileNotFoundError):
                        about = path.lstat()
                        if stat.S_ISREG(about.st_mode):
                            yield path.relative_to(self.folder).as_posix(), about.st_mtime

    def _there(self) -> None:
        if not self.folder.is_dir():
            raise PlaceError("place_unreachable", f"there is no folder {self.folder}")


def _part(target: Path) -> Path:
    """What a file is called until it is whole."""
    return target.with_name(f".{target.name}.part")


def _moved(source: Path, target: Path) -> bool:
    try:
        source.replace(target)
    except OSError:  # another disk
        return False
    return True


class Bucket:
    """A bucket, or what is below a prefix in it."""

    def __init__(self, bucket: str, prefix: str, access: Access, environ: Mapping[str, str]) -> None:
        from obstore.store import S3Store  # noqa: PLC0415 - who has no bucket need not have it

        self._where = f"s3://{bucket}/{prefix}".rstrip("/")
        options: dict[str, Any] = {}
        if access.endpoint:
            options = {"endpoint": access.endpoint, "virtual_hosted_style_request": False}
        self._store = S3Store(
            bucket,
            prefix=prefix or None,
            region=access.region,
            access_key_id=environ.get(access.key_env, ""),
            secret_access_key=environ.get(access.secret_env, ""),
            checksum_algorithm="SHA256",
            client_options={
                "allow_http": bool(access.endpoint and access.endpoint.startswith("http:")),
                "timeout": _REQUEST,
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=60)},
            **options,
        )

    def path(self, name: str) -> Path | None:  # noqa: ARG002 - nothing of a bucket is on this machine
        """Nothing is."""
        return None

    def keep(self, name: str, source: Path) -> None:
        """See Place."""
        import obstore  # noqa: PLC0415

        with self._saying(), source.open("rb") as file:
            obstore.put(self._store, name, file, chunk_size=_PIECE, max_concurrency=2)
        there = hashlib.sha256()
        with self._saying():
            for piece in self._pieces(name):
                there.update(piece)
        if there.hexdigest() != digest(source):
            raise PlaceError("checksum_wrong", f"{self._where} gives back something else for {name}")

    def read(self, name: str) -> bytes | None:
        """See Place."""
        import obstore  # noqa: PLC0415

        with self._saying():
            try:
                return bytes(obstore.get(self._store, name).bytes())
            except FileNotFoundError:
                return None

    def fetch(self, name: str, target: Path) -> bool:
        """See Place."""
        with self._saying(), target.open("wb") as file:
            try:
                for piece in self._pieces(name):
                    file.write(piece)
            except FileNotFoundError:
                target.unlink()
                return False
        return True

    def _pieces(self, name: str) -> Iterator[bytes]:
        import obstore  # noqa: PLC0415

        size = obstore.head(self._store, name)["size"]
        for at in range(0, size, _PIECE):
            yield bytes(obstore.get_range(self._store, name, start=at, end=min(size, at + _PIECE)))

    def remove(self, name: str) -> None:
        """See Place."""
        import obstore  # noqa: PLC0415

        with self._saying(), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, name)

    def files(self) -> Iterator[tuple[str, float]]:
        """See Place."""
        import obstore  # noqa: PLC0415

        with self._saying():
            for page in obstore.list(self._store):
                for each in page:
                    yield each["path"], each["last_modified"].timestamp()

    @contextlib.contextmanager
    def _saying(self) -> Iterator[None]:
        from obstore.exceptions import BaseError  # noqa: PLC0415

        try:
            yield
        except PlaceError:
            raise
        except (BaseError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # a file of this machine
                raise _of(error, self._where) from None
            text = re.split(r"[\n<]|Debug source", str(error))[0].strip(" :-")
            raise PlaceError("place_unreachable", f"{self._where}: {text[:200]}") from None


def verified(where: Place, name: str, room: Path) -> Path | None:
    """A raw track to be read on this machine, None where there is none. One that was sent is compared with its
    checksum; in a bucket one without is not there yet. Raises PlaceError (`checksum_wrong`)."""
    wanted = where.read(name + CHECKSUM)
    path = where.path(name)
    if path is None:
        path = room / name
        if wanted is None or not where.fetch(name, path):
            return None
    if wanted is not None and path.is_file() and digest(path) != wanted.decode(errors="replace").strip():
        raise PlaceError("checksum_wrong", f"{name} is not what was sent: it came in part, or was changed")
    return path


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises PlaceError."""
    with _said(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Wait until a file, or a folder's names, are on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _said(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _of(error, str(where)) from None


def _of(error: OSError, where: str) -> PlaceError:

    code = "disk_full" if error.errno in (ENOSPC, EDQUOT, EFBIG) else "place_unreachable"
    return PlaceError(code, f"{where}: {error.strerror or error}")
