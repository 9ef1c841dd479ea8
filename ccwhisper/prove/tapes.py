"""The recordings of a call, judged: the proof's own, of the caller's leg, and whatever the dialplan makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from ccwhisper.proof.scene import LEVEL, SILENT, NotAsExpected
from ccwhisper.prove.calls import COACH, SiteStage
from ccwhisper.prove.record import Record, rounded, shown
from ccwhisper.prove.recording import RECORDER, CallRecording, Heard, when_readable

_STEP: Final = "recording"
_BEEP_SECONDS: Final = 0.15
_SLACK_SECONDS: Final = 0.3


class Tapes:
    """See the module. `leg` is the caller's."""

    def __init__(self, stage: SiteStage, record: Record, leg: str) -> None:
        self._stage, self._own, self._record, self._leg = stage, stage.own, record, leg
        self._theirs: list[Path] = []
        self._ours: CallRecording | None = None

    def notice(self, agents_leg: str) -> None:
        """What records the call already."""
        for leg in (self._leg, agents_leg):
            paths = [Path(target) for function, target in self._own.attached(leg) if function == RECORDER]
            self._theirs += paths
            if paths and leg == agents_leg:
                self._find("recording.agents-leg", f"{', '.join(path.name for path in paths)} records the agent's leg")

    def start(self) -> None:
        """Record the caller's leg. The stage removes the file, come what may."""
        site = self._stage.site
        folder = site.recordings or site.api("global_getvar recordings_dir").strip()
        self._ours = CallRecording(self._own, self._leg, folder)
        self._stage.files.append(self._ours.path)
        try:
            self._ours.start()
        except NotAsExpected as error:
            self._ours = None
            self._find("recording.not-checked", str(error))

    def play_back(self) -> None:
        """End that recording, while the coach has only whispered, and judge it."""
        if self._ours is None:
            return
        since = len(self._record.findings)
        figures: dict[str, Any] = {}
        try:
            heard = self._ours.stop()
            figures["tracks_dbfs"] = [rounded(track) for track in heard.tracks]
            self._judge(heard)
        except NotAsExpected as error:
            self._find("recording.not-checked", str(error))
        answer = "it holds caller and agent, and nothing else"
        self._record.check("recording", "A recording of the caller's leg", answer, since, **figures)

    def _judge(self, heard: Heard) -> None:
        for who in ("caller", "agent"):
            if abs(heard.loudest[who] - LEVEL) > 3:
                self._find("recording.not-checked", f"it does not hold the {who}")
        for name, kind in ((COACH, "recording.holds-coach"), ("beep", "recording.holds-beep")):
            if heard.loudest[name] > SILENT:
                self._find(kind, f"at {heard.loudest[name]:.1f} dBFS, for {heard.seconds[name]:.1f} s")

    def play_theirs(self, seconds: float, joined: float) -> None:
        """The first `seconds` of what the dialplan recorded: there the coach is heard for as long as he had `joined`
        caller and agent, and not longer."""
        for path in self._theirs:
            since = len(self._record.findings)
            figures: dict[str, Any] = {"file": path.name}
            try:
                heard = when_readable(path, seconds)
            except NotAsExpected as error:
                self._find("recording.not-checked", str(error))
            else:
                figures["seconds"] = {shown(name): round(each, 1) for name, each in heard.seconds.items()}
                if heard.seconds[COACH] > joined + _SLACK_SECONDS:
                    said = f"for {heard.seconds[COACH]:.1f} s, and he had joined for {joined:.1f}"
                    self._find("recording.holds-coach", said)
                if heard.seconds["beep"] > _BEEP_SECONDS:
                    self._find("recording.holds-beep", f"for {heard.seconds['beep']:.1f} s")
            answer = "it holds the coach only while he had joined"
            self._record.check("dialplan-recording", "The dialplan's own recording", answer, since, **figures)

    def _find(self, kind: str, said: str) -> None:
        self._record.find(kind, _STEP, said)
