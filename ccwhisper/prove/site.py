"""Where to prove: a switch's Event Socket and SIP addresses, and the three phones that the proof plays."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Final

from ccwhisper.proof.node import event_socket_api, switch_version

G711: Final = ("PCMU", "PCMA")


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the directory. Without a password he calls without being asked for one, as a carrier does."""

    user: str
    password: str | None = field(default=None, repr=False)
    codecs: tuple[str, ...] = G711


@dataclass(slots=True)
class Site:
    """A switch as the proof's phones and its service know it (`proof.stage.StageNode`).

    `host` and `esl_port` are its Event Socket; `sip_host` is the host of both SIP ports: `phones_port`, where agent
    and coach register, and `trunk_port`, where a caller without a password calls. `number` is what the caller dials to
    reach the agent; `sign_in` what an agent who stays off-hook dials first. `recordings` is a folder that the switch
    writes to and that can be read here, for the proof's own recording; None asks the switch. `browsers` is the address
    of the profile for coaches' browsers, seen from here; None where there is none.
    """

    host: str
    esl_port: int
    esl_password: str = field(repr=False)
    domain: str
    phones_port: int
    trunk_port: int
    caller: Account
    agent: Account
    coach: Account
    number: str
    sip_host: str = ""
    sign_in: str = ""
    recordings: str | None = None
    browsers: str | None = None
    private: bool = False
    version: str = ""

    def __post_init__(self) -> None:
        self.sip_host = self.sip_host or self.host

    def api(self, command: str) -> str:
        """The answer to one `api` command, on a connection of its own."""
        return event_socket_api(self.esl_port, self.esl_password, command, host=self.host)

    def phone_secret(self, user: str) -> str:
        """The SIP password of one of the three."""
        for account in (self.agent, self.coach, self.caller):
            if account.user == user and account.password is not None:
                return account.password
        raise KeyError(user)

    def read_version(self) -> str:
        """Ask the switch for it. Raises OSError, or NodeError when the password is refused."""
        self.version = switch_version(self.api("version"))
        return self.version

    def in_use(self) -> list[str]:
        """Which of the three users has a telephone already: somebody's, that the proof must not take the place of."""
        accounts = [each for each in (self.agent, self.coach, self.caller) if each.password is not None]
        answers = {each.user: self.api(f"sofia_contact */{each.user}@{self.domain}") for each in accounts}
        return [user for user, answer in answers.items() if "sofia/" in answer]

    @property
    def address(self) -> str:
        """The address of this machine as the switch's phones see it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((self.sip_host, self.phones_port))  # nothing is sent: it only chooses a route
            return str(probe.getsockname()[0])
