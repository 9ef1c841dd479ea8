"""`python -m ccwhisper.recording.cut <file> <out> <tracks>`: some tracks of a recording as a file of their own. A
process, because what it loads has no place in the service, and because what it does would make everybody wait."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ccwhisper.recording.export import extract


def main() -> None:
    """The numbers of the tracks are between commas."""
    os.nice(10)
    source, out, numbers = sys.argv[1:]
    extract(Path(source), Path(out), [int(each) for each in numbers.split(",")])


if __name__ == "__main__":
    main()
