"""The dialog of a call (RFC 3261, section 12): who the two ends are, and how a request reaches the other one."""

from __future__ import annotations

from dataclasses import dataclass, field

from sipmessage import URI, CSeq, Request, Response

from ccwhisper.proof.sip import Address, split_address, token, uri_address


@dataclass
class Dialog:
    """One end of a dialog.

    `local` and `remote` are header values without tags; `peer` is where the last message came from.
    """

    call_id: str
    local: str
    remote: str
    contact: str
    target: str
    peer: Address
    local_tag: str = field(default_factory=token)
    remote_tag: str | None = None
    route: tuple[str, ...] = ()
    cseq: int = 1

    @staticmethod
    def of_invite(invite: Request, contact: str, peer: Address) -> Dialog:
        """The dialog that an incoming INVITE starts."""
        sender = invite.headers["From"]
        dialog = Dialog(invite.call_id, invite.headers["To"], _untagged(sender), contact, "", peer)
        dialog.remote_tag = split_address(sender)[2]
        dialog.route = tuple(_listed(invite, "Record-Route"))
        dialog.target = split_address(invite.headers.get("Contact") or sender)[1]
        return dialog

    def learn(self, response: Response) -> None:
        """Take the other end's tag, target and route from a response to our INVITE."""
        self.remote_tag = split_address(response.headers["To"])[2] or self.remote_tag
        contact = response.headers.get("Contact")
        if contact:
            self.target = split_address(contact)[1]
        if response.headers.getlist("Record-Route"):
            self.route = tuple(reversed(_listed(response, "Record-Route")))

    def refresh(self, request: Request) -> None:
        """Take a new target from a re-INVITE or UPDATE (RFC 3261, section 12.2.2)."""
        contact = request.headers.get("Contact")
        if contact:
            self.target = split_address(contact)[1]

    def request(self, method: str, *, cseq: int | None = None) -> Request:
        """A request within the dialog, or the INVITE that is to start it; counts the sequence number unless given."""
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        request = Request(method, URI.parse(self.target))
        request.max_forwards = 70
        for hop in self.route:
            request.headers.add("Route", hop)
        request.headers.add("From", f"{self.local};tag={self.local_tag}")
        request.headers.add("To", f"{self.remote};tag={self.remote_tag}" if self.remote_tag else self.remote)
        request.headers.add("Call-ID", self.call_id)
        request.cseq = CSeq(cseq, method)
        request.headers.add("Contact", f"<{self.contact}>")
        request.headers.add("User-Agent", "ccwhisper-proof")
        return request

    def next_hop(self) -> Address:
        """Where to send: the first route, the target, or where the peer last sent from."""
        first = split_address(self.route[0])[1] if self.route else self.target
        return uri_address(first) or self.peer

    def replaces(self) -> str:
        """The value of a Replaces header (RFC 3891) that names this dialog to the other end."""
        return f"{self.call_id};to-tag={self.remote_tag};from-tag={self.local_tag}"


def _untagged(value: str) -> str:
    head, bracket, tail = value.rpartition(">")
    parameters = [p for p in (tail if bracket else value).split(";") if not p.strip().lower().startswith("tag=")]
    return head + bracket + ";".join(parameters)


def _listed(message: Request | Response, name: str) -> list[str]:
    return [hop.strip() for value in message.headers.getlist(name) for hop in value.split(",")]
