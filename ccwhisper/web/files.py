"""Files as answers, whole or in ranges. They are read in native threads: the hub waits for no disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO, Final

import gevent
from flask import Response, request
from werkzeug.wsgi import FileWrapper

from ccwhisper.coaching.errors import NotFound
from ccwhisper.web.shapes import Served

PIECE: Final = 256 * 1024
"""Bytes that are read at a time."""


MOST: Final = 1024**2
"""Bytes of a track that are sent for one request. A browser has six connections for a service, and a player that has
enough for now keeps its own open: of a call with more tracks some would never be heard. RFC 9110, 15.3.7: less than
what was asked for may be sent, and players ask on."""


class _Reader:
    """An open file, as an iterable of WSGI needs it."""

    def __init__(self, path: Path) -> None:
        self._threads = gevent.get_hub().threadpool
        self._file: BinaryIO
        try:
            self._file = self._threads.apply(open, (path, "rb"))  # type: ignore[assignment]  # of this mode
        except FileNotFoundError:
            raise NotFound("file_not_found", "The recording's file is not there any more.") from None
        about = os.fstat(self._file.fileno())
        self.size, self.changed = about.st_size, about.st_mtime_ns

    def read(self, count: int) -> bytes:
        data: bytes = self._threads.apply(self._file.read, (count,))
        return data

    def seek(self, place: int) -> None:
        self._file.seek(place)

    def tell(self) -> int:
        place: int = self._file.tell()
        return place

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()


def served(answer: Served) -> Response:
    """The file, or the range of it that was asked for. Raises NotFound, and what the HTTP layer raises for a range that
    is not there."""
    file = _Reader(answer.path)
    try:
        response = Response(FileWrapper(file, PIECE), mimetype=answer.form, direct_passthrough=True)  # type: ignore[arg-type]
        response.content_length = file.size
        response.set_etag(f"{answer.tag}-{file.changed:x}")
        if answer.file:
            response.headers["Content-Disposition"] = f'attachment; filename="{answer.file}"'
        asked = request.range
        if not answer.file and asked and asked.units == "bytes" and len(asked.ranges) == 1:
            first, end = asked.ranges[0]
            if first >= 0 and (end is None or end - first > MOST):
                request.environ["HTTP_RANGE"] = f"bytes={first}-{first + MOST - 1}"
        response.make_conditional(request.environ, accept_ranges=True, complete_length=file.size)
    except Exception:
        file.close()
        raise
    return response
