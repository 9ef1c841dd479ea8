"""`python -m tests.e2e.backlog_process <folder>`: the service's side of the queue of recordings, to be killed."""

from __future__ import annotations

import sys
from pathlib import Path

import gevent

from ccwhisper.recording import process
from ccwhisper.recording.backlog import Asked, Backlog, Where
from ccwhisper.store.database import Database
from ccwhisper.store.recordings import Recordings

AT_ONCE = (sys.executable, "-c", "from ccwhisper.recording import work; work.NICE = 0; work.main()")
"""The worker, without its modesty: on a busy machine a test would wait for it for ever."""


def main() -> None:
    process._COMMAND = AT_ONCE  # type: ignore[misc]
    folder = Path(sys.argv[1])
    index = Recordings(Database.sqlite(folder / "index.db"), "an installation")
    index.start()
    asked = Asked(lambda _node, _id: False, lambda _queue: None, lambda _result: None, lambda _entry: None)
    where = Where(folder / "journal", (str(folder / "raw"),), str(folder / "archive"), folder / "room")
    Backlog(where, index, asked, workers=2, pauses=(0.05, 0.2), look=0.05, still=0.0).start()
    sys.stdout.write("started\n")
    sys.stdout.flush()
    gevent.sleep(3600)


if __name__ == "__main__":
    main()
