"""A private node from `freeswitch-conf/` as a site: what `ccwhisper prove --private` proves."""

from __future__ import annotations

from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.scene import DEVICES, NUMBERS
from ccwhisper.prove.site import Account, Site

QUEUE = "5000"


def site_of(node: PrivateNode, agent: str = "1001", coach: str = DEVICES["carla"], number: str = QUEUE) -> Site:
    """A private node that runs, with the queue's number. Whoever else is in the queue goes on a break."""
    for other in ("1001", "1002"):
        if number == QUEUE and other != agent:
            node.api(f"callcenter_config agent set status {other}@{node.domain} 'On Break'")
    return Site(
        host=node.host,
        esl_port=node.esl_port,
        esl_password=node.esl_password,
        domain=node.domain,
        phones_port=node.phones_port,
        trunk_port=node.trunk_port,
        caller=Account(NUMBERS["caller"], None),
        agent=Account(agent, node.phone_secret(agent)),
        coach=Account(coach, node.phone_secret(coach)),
        number=number,
        sign_in="6000" if agent == "1004" else "",
        browsers=f"{node.host}:{node.browsers_ws_port}",
        recordings=str(node.directory / "recordings"),
        private=True,
        version=node.version,
    )
