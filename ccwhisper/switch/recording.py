"""The commands that record a leg, built from checked parts like those in `commands`."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final, Literal

from ccwhisper.switch import grammar
from ccwhisper.switch.commands import Command
from ccwhisper.switch.errors import UnsafeArgument

VERB: Final = "uuid_record"

_FOLDER = re.compile(r"/[A-Za-z0-9_./+-]{0,255}\Z")
_TRACK = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}\.wav\Z")

# What the command says counts before the leg's own variables (get_recording_var in switch_ivr_async.c), and those may
# be somebody else's: with RECORD_HANGUP_ON_ERROR a full disk would hang up the caller, RECORD_TOGGLE_ON_REPEAT would
# make a second service end what the first has begun. Written without a buffer, nothing is lost with the switch. Without
# RECORD_PRE_BUFFER_FRAMES the first half second would be masked or not as its end is. A short recording is one, too.
_ALWAYS: Final = (
    "RECORD_HANGUP_ON_ERROR=false,RECORD_TOGGLE_ON_REPEAT=false,RECORD_CHECK_BRIDGE=false,RECORD_BRIDGE_REQ=false,"
    "RECORD_ANSWER_REQ=false,RECORD_APPEND=false,RECORD_WRITE_ONLY=false,RECORD_STEREO_SWAP=false,RECORD_MIN_SEC=0,"
    "RECORD_PRE_BUFFER_FRAMES=0,enable_file_write_buffering=false"
)
_KINDS: Final = MappingProxyType(
    {
        "call": f"{{RECORD_STEREO=true,RECORD_READ_ONLY=false,{_ALWAYS}}}",
        "coach": f"{{RECORD_STEREO=false,RECORD_READ_ONLY=true,{_ALWAYS}}}",
    }
)


def start(leg: str, folder: str, file: str, kind: Literal["call", "coach"]) -> Command:
    """Begin to record a leg: ``call`` what its party says on the left and what he hears on the right, ``coach`` only
    what he says. `+OK` too when it is recorded to this file already; the folder is made when it is missing."""
    if kind not in _KINDS:
        raise UnsafeArgument("neither a call nor a coach")
    return _record(leg, "start", folder, file, f" 0 {_KINDS[kind]}")


def stop(leg: str, folder: str, file: str) -> Command:
    """Close the file. ``-ERR`` when the leg is not recorded to it."""
    return _record(leg, "stop", folder, file)


def mask(leg: str, folder: str, file: str, masked: bool) -> Command:
    """Silence into the file from the next frame on, or what is said again; time goes on. ``-ERR`` as above."""
    return _record(leg, "mask" if masked else "unmask", folder, file)


def _record(leg: str, verb: str, folder: str, file: str, tail: str = "") -> Command:
    target = grammar.leg(leg)
    path = f"{folder_path(folder)}/{grammar.matched(_TRACK, file, 'the name of a track')}"
    return Command(f"uuid_record {target} {verb} {path}{tail}", f"uuid_record {target} {verb}")


def folder_path(folder: str) -> str:
    """A folder on the switch, as the command takes it: its arguments end at spaces, and quotes begin strings."""
    path = grammar.matched(_FOLDER, folder, "a folder")
    if ".." in path.split("/"):
        raise UnsafeArgument("a folder is named from the root on")
    return path.rstrip("/")
