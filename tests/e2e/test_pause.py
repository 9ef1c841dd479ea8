"""What is recorded, told over HTTP, and the pause for card numbers: who may, and what the trail has of it."""

from __future__ import annotations

from typing import Any

import pytest

from ccwhisper.coaching.policy import EDIT_POLICIES, VIEW

from .service import Client, Service, token

pytestmark = pytest.mark.e2e


@pytest.fixture
def call(service: Service) -> str:
    """A call that is recorded."""
    admin = Client(service, token(sub="ada", permissions=[EDIT_POLICIES], roles=[], queues=["*"], devices=None))
    assert admin.put("/policies/default", {"record": True, "record_whisper": "excluded"}).status == 200
    return service.call()


def nobody(service: Service, **claims: Any) -> Client:
    return Client(service, token(sub="agent", permissions=[], roles=[], queues=[], devices=None, **claims))


def test_a_supervisor_and_the_agent_himself_may_pause(service: Service, coach: Client, call: str) -> None:
    agent = nobody(service, agent="1001", name="Ana")
    shown = coach.get(f"/calls/{call}").body["recording"]
    assert (shown["paused"], shown["paused_by"], shown["failed"]) == (False, None, False)
    answer = agent.post(f"/calls/{call}/recording/pause")
    assert answer.status == 200
    assert answer.body["recording"] == {**shown, "paused": True, "paused_by": "Ana"}
    assert coach.get(f"/calls/{call}").body["recording"]["paused_by"] == "Ana"
    assert coach.post(f"/calls/{call}/recording/pause").body["recording"]["paused_by"] == "Ana", "it is paused already"
    assert coach.post(f"/calls/{call}/recording/resume").body["recording"] == shown


def test_who_may_not(service: Service, coach: Client, call: str) -> None:
    where = f"/calls/{call}/recording/pause"
    assert nobody(service).post(where).code == "call_not_found"
    assert nobody(service, agent="1002").post(where).code == "call_not_found"
    looks = Client(service, token(sub="lea", permissions=[VIEW], roles=[]))
    assert looks.post(where).code == "permission_missing"
    assert coach.post("/calls/none/recording/resume").code == "call_not_found"


def test_what_is_not_recorded_cannot_be_paused(service: Service, coach: Client) -> None:
    call = service.call()
    assert coach.get(f"/calls/{call}").body["recording"] is None
    assert coach.post(f"/calls/{call}/recording/pause").code == "not_recorded"


def test_a_coach_is_told_what_becomes_of_his_whisper(service: Service, coach: Client, call: str) -> None:
    answer = coach.post("/sessions", {"call": call})
    assert answer.body["recorded"] == "excluded"
