"""What a person types, as the thing that is meant: exactly, or by a beginning that only one thing has."""

from __future__ import annotations

from typing import Any

from ccwhisper.cli.client import Client, Refused


def _only(found: list[dict[str, Any]], typed: str, what: str) -> dict[str, Any] | None:
    if len(found) > 1:
        names = ", ".join(str(each["id"]) for each in found)
        raise Refused(409, "ambiguous", f"{typed} could be {what} {names}.")
    return found[0] if found else None


def call_or_agent(client: Client, typed: str) -> dict[str, str]:
    """`{"agent": …}` or `{"call": …}` for an agent's id, a call's id or its beginning."""
    if any(agent["id"] == typed for agent in client.get("agents")["agents"]):
        return {"agent": typed}
    calls = client.get("calls")["calls"]
    found = [call for call in calls if call["id"] == typed] or [c for c in calls if c["id"].startswith(typed)]
    call = _only(found, typed, "call")
    if call is None:
        raise Refused(404, "target_not_found", f"There is no agent and no call {typed} that the token may see.")
    return {"call": call["id"]}


def sessions_on(client: Client, target: dict[str, str]) -> list[dict[str, Any]]:
    """One's own sessions on a call or an agent that are not about to end."""
    key, value = next(iter(target.items()))
    own: list[dict[str, Any]] = client.get("sessions")["sessions"]
    return [session for session in own if session[key] == value and session["phase"] not in ("ending", "taking_over")]


def own_session(client: Client, typed: str | None) -> dict[str, Any]:
    """One's own session, by its id or the beginning of it, its agent, or its call; the only one if nothing is said."""
    own: list[dict[str, Any]] = client.get("sessions")["sessions"]
    if typed is None:
        if len(own) > 1:
            raise Refused(409, "ambiguous", "You have several sessions; name one, its agent or its call.")
        found = own
    else:
        found = [session for session in own if typed in (session["id"], session["agent"], session["call"])]
        found = found or [
            session for session in own if session["id"].startswith(typed) or (session["call"] or "").startswith(typed)
        ]
    session = _only(found, typed or "", "session")
    if session is None:
        raise Refused(404, "session_not_found", "You have no such session." if typed else "You have no session.")
    return session
