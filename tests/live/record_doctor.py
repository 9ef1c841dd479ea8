"""What a node answers to `ccwhisper doctor`, kept for the unit tests: `python -m tests.live.record_doctor`.

Of a private node as it is. Passwords and ports are replaced, and what changes from run to run is made the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from ccwhisper.doctor.reading import read
from ccwhisper.proof.node import PrivateNode, default_conf
from ccwhisper.switch.commands import Command

KEPT = Path(__file__).parents[1] / "unit/doctor_answers.json"


def record(node: PrivateNode) -> dict[str, str | None]:
    """Answers by command; None for what the switch refused."""
    answers: dict[str, str | None] = {}

    def ask(commands: Sequence[Command]) -> list[str | None]:
        for command in commands:
            answer = node.api(command.text).strip()
            answers[command.text] = None if answer.startswith(("-ERR", "-USAGE")) else answer
        return [answers[command.text] for command in commands]

    read(ask, node.esl_password)
    return answers


def plain(text: str, node: PrivateNode) -> str:
    """Without secrets and places of this machine, and without descriptions that nothing goes by."""
    text = text.replace(node.esl_password, "not-the-real-password").replace(str(node.directory), "/var/lib/freeswitch")
    text = text.replace(str(default_conf()), "/etc/freeswitch")
    text = re.sub(r'"(?:description|syntax)":"(?:[^"\\]|\\.)*",?', "", text)
    return re.sub(r"\n\s*\n", "\n", text)


if __name__ == "__main__":
    with PrivateNode() as private:
        found = {command: answer and plain(answer, private) for command, answer in record(private).items()}
    KEPT.write_text(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
