"""From paths to trees: a node, a folder of parts, one file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ccwhisper.dialplan.model import Comment, Element, Place, Problem, Tree, Unreadable
from ccwhisper.dialplan.parse import parse
from ccwhisper.dialplan.preprocess import MAX_FILES, Preprocessor

NODE = "freeswitch.xml"


@dataclass(slots=True)
class Loaded:
    """What could be read, and what could not."""

    trees: list[Tree] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    files: int = 0


def load(paths: Iterable[Path]) -> Loaded:
    """Reads each path. A folder with a `freeswitch.xml` is that node; of another folder every node below it is read,
    and every other XML file as a part: a piece of a dialplan, a directory, a profile. Never raises for what a file
    holds."""
    loaded = Loaded()
    for path in paths:
        if not path.is_dir():
            _whole(loaded, [path])
        elif (path / NODE).is_file():
            _whole(loaded, [path / NODE])
        else:
            nodes, parts = _below(path, loaded)
            for node in nodes:
                _whole(loaded, [node])
            if parts:
                _whole(loaded, parts)
    return loaded


def _whole(loaded: Loaded, files: list[Path]) -> None:
    """These files as one tree, with one set of variables. What another one includes is not read once more by itself."""
    included = _included(files) if len(files) > 1 else set()
    reader = Preprocessor()
    if len(files) == 1 and files[0].name == NODE:
        reader.values["conf_dir"] = str(files[0].parent)
    whole = Place(files[0] if len(files) == 1 else files[0].parent, 1)
    root = Element("", {}, whole, whole)
    remarks: list[Comment] = []
    for path in sorted(files, key=lambda path: (path.name != "vars.xml", path)):
        if os.path.realpath(path) in included:
            continue
        try:
            parse(reader.read(path), root, remarks)
        except Unreadable as error:
            loaded.problems.append(error.problem)
    loaded.trees.append(Tree(root, tuple(remarks), tuple(reader.variables)))
    loaded.problems += reader.problems
    loaded.files += len(reader.files)


def _included(files: list[Path]) -> set[str]:
    reader = Preprocessor()
    for path in files:
        try:
            reader.read(path)
        except Unreadable:
            continue  # told when it is read for good
    return {str(path) for path in reader.included}


def _below(folder: Path, loaded: Loaded) -> tuple[list[Path], list[Path]]:
    """The nodes in this folder, and the XML files that belong to none."""
    nodes: list[Path] = []
    parts: list[Path] = []
    for here, names in _walk(folder):
        if NODE in names:
            nodes.append(here / NODE)
        else:
            parts += (here / name for name in names if name.endswith(".xml"))
        if len(parts) + len(nodes) > MAX_FILES:
            loaded.problems.append(Problem("too_many_files", f"more than {MAX_FILES} files", Place(folder, 1)))
            return [], []
    if not nodes and not parts:
        loaded.problems.append(Problem("nothing_to_read", f"no XML file in {folder}", Place(folder, 1)))
    return nodes, parts


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    for here, below, names in os.walk(folder):
        if NODE in names:
            below.clear()  # the switch reads of it what freeswitch.xml includes
        else:
            below[:] = sorted(name for name in below if not name.startswith("."))
        yield Path(here), sorted(names)
