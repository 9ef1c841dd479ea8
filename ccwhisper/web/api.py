"""What the API offers. Each handler loads, calls the core and dumps; everything else is in its declaration."""

from __future__ import annotations

import time
from itertools import chain
from typing import Final
from uuid import uuid4

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching.cues import hand_of
from ccwhisper.coaching.errors import Conflict, Forbidden, NotFound
from ccwhisper.coaching.model import Follow
from ccwhisper.coaching.policy import AUDIT, EDIT_POLICIES, VIEW
from ccwhisper.web import review
from ccwhisper.web.happenings import EventList
from ccwhisper.web.operations import Context, Counter, Table
from ccwhisper.web.policies import PolicyChange, PolicyList, QueuePolicyView, listed, named
from ccwhisper.web.policies import shown as policy_view
from ccwhisper.web.schemas import (
    AgentList,
    CallList,
    CallsQuery,
    CallView,
    CueList,
    CueReply,
    CueSeen,
    CueText,
    CueView,
    EventsQuery,
    HandDown,
    HandList,
    HandNote,
    HandView,
    Health,
    Me,
    ModeChange,
    MutedChange,
    NodeCounts,
    Pressed,
    QueueList,
    SessionList,
    SessionQuery,
    SessionStart,
    SessionView,
    StoreHealth,
    TalkChange,
)
from ccwhisper.web.trail import MEDIA, AuditExport, AuditExportQuery, AuditList, AuditQuery, exported, shown
from ccwhisper.web.views import call_view, cue_view, hand_view, is_listening, is_settled, me_view

TABLE: Final = Table()
_OWN: Final = (NotFound, Conflict)
_CONDITIONS: Final = {"listening": is_listening, "gate": is_settled, "ended": lambda _session: False}


@TABLE.operation("GET", "/health", Health, public=True)
def health(at: Counter) -> Health:
    """Whether the service runs, how many switches are connected, and whether audit rows wait for the database."""
    nodes, store = at.engine.state.nodes, at.trail.health()
    up = sum(node.up for node in nodes.values())
    behind = StoreHealth(status="behind" if store.away else "ok", waiting=store.waiting, lost=store.lost)
    well = up == len(nodes) and not store.away
    return Health(status="ok" if well else "degraded", nodes=NodeCounts(up=up, down=len(nodes) - up), store=behind)


@TABLE.operation("GET", "/me", Me)
def me(it: Context) -> Me:
    """Who the token says one is."""
    return me_view(it.who, it.phones is not None)


@TABLE.operation("GET", "/calls", CallList, query=CallsQuery, scope=VIEW)
def list_calls(it: Context) -> CallList:
    """The calls of one's queues."""
    return CallList(calls=it.desk.calls(it.ask.agent, it.ask.queue))


@TABLE.operation("GET", "/calls/{call}", CallView, scope=VIEW, refusals=(NotFound,))
def get_call(it: Context, call: str) -> CallView:
    """One call."""
    return it.desk.call(call)


@TABLE.operation("POST", "/calls/{call}/recording/pause", CallView, refusals=(Forbidden, NotFound, Conflict))
def pause_recording(it: Context, call: str) -> CallView:
    """Record silence while a card number is said; of one's own call as an agent, or of one that one may listen to."""
    state = it.asked(cmd.PauseRecording(it.actor, call, True, it.who.agent, it.origin))
    return call_view(state.calls[call])


@TABLE.operation("POST", "/calls/{call}/recording/resume", CallView, refusals=(Forbidden, NotFound, Conflict))
def resume_recording(it: Context, call: str) -> CallView:
    """Record what is said again."""
    state = it.asked(cmd.PauseRecording(it.actor, call, False, it.who.agent, it.origin))
    return call_view(state.calls[call])


@TABLE.operation("GET", "/agents", AgentList, scope=VIEW)
def list_agents(it: Context) -> AgentList:
    """The agents of one's queues."""
    return AgentList(agents=it.desk.agents())


@TABLE.operation("GET", "/queues", QueueList, scope=VIEW)
def list_queues(it: Context) -> QueueList:
    """One's queues, who waits in them, and how many agents there are."""
    return QueueList(queues=it.desk.queues())


@TABLE.operation("GET", "/sessions", SessionList)
def list_sessions(it: Context) -> SessionList:
    """One's own sessions, and who else coaches the calls that one may see."""
    return SessionList(sessions=it.desk.sessions(), coaches=it.desk.coaches())


@TABLE.operation(
    "POST", "/sessions", SessionView, body=SessionStart, status=201, location="/sessions/{id}",
    refusals=(Forbidden, NotFound, Conflict),
)  # fmt: skip
def start_session(it: Context) -> SessionView:
    """Ring one's device, listen, and enter the wanted mode."""
    session = str(uuid4())
    it.engine.ask(
        cmd.Start(
            actor=it.phones.widened(it.actor) if it.phones else it.actor,
            session=session,
            leg=str(uuid4()),
            at=time.time(),
            call=it.ask.call,
            agent=it.ask.agent,
            mode=it.ask.mode,
            talk=it.ask.talk,
            follow=Follow(it.ask.follow),
            device=it.ask.device,
            origin=it.origin,
        )
    )
    return it.desk.session(session)


@TABLE.operation("GET", "/sessions/{session}", SessionView, query=SessionQuery, refusals=(NotFound,))
def get_session(it: Context, session: str) -> SessionView:
    """One of one's own sessions, also for a while after its end; waits for something if asked to."""
    if it.ask.wait is None:
        return it.desk.session(session)
    return it.desk.wait(session, _CONDITIONS[it.ask.wait], it.ask.timeout)


@TABLE.operation("PUT", "/sessions/{session}/mode", SessionView, body=ModeChange, refusals=(Forbidden, *_OWN))
def set_mode(it: Context, session: str) -> SessionView:
    """Listen, whisper or barge in. From barge to whisper leads through listen, which is done here."""
    return it.command(cmd.SetMode(it.actor, session, it.ask.mode, it.origin))


@TABLE.operation("PUT", "/sessions/{session}/talk", SessionView, body=TalkChange, refusals=_OWN)
def set_talk(it: Context, session: str) -> SessionView:
    """Push-to-talk or open microphone."""
    return it.command(cmd.SetTalk(it.actor, session, it.ask.talk, it.origin))


@TABLE.operation("PUT", "/sessions/{session}/muted", SessionView, body=MutedChange, refusals=_OWN)
def set_muted(it: Context, session: str) -> SessionView:
    """Mute or unmute oneself."""
    return it.command(cmd.SetMuted(it.actor, session, it.ask.muted, it.origin))


@TABLE.operation("POST", "/sessions/{session}/press", Pressed, refusals=_OWN)
def press(it: Context, session: str) -> Pressed:
    """Push-to-talk is held. To be said again while it is."""
    view = it.command(cmd.Press(it.actor, session, it.origin))
    return Pressed(session=view, again_within=it.engine.rules.press_ttl)


@TABLE.operation("POST", "/sessions/{session}/release", SessionView, refusals=_OWN)
def release(it: Context, session: str) -> SessionView:
    """Push-to-talk is let go of."""
    return it.command(cmd.Release(it.actor, session, it.origin))


@TABLE.operation("POST", "/sessions/{session}/take-over", SessionView, refusals=(Forbidden, *_OWN))
def take_over(it: Context, session: str) -> SessionView:
    """Stay with the caller, release the agent. The session ends with the reason took_over."""
    return it.command(cmd.TakeOver(it.actor, session, it.origin))


@TABLE.operation("DELETE", "/sessions/{session}", SessionView, refusals=_OWN)
def leave(it: Context, session: str) -> SessionView:
    """Leave. Nobody on the call notices."""
    return it.command(cmd.Leave(it.actor, session, it.origin))


@TABLE.operation(
    "POST", "/sessions/{session}/cues", CueView, body=CueText, status=201, refusals=(Forbidden, *_OWN)
)  # fmt: skip
def send_cue(it: Context, session: str) -> CueView:
    """Show the agent a line of text."""
    cue = str(uuid4())
    return cue_view(it.asked(cmd.SendCue(it.actor, session, cue, it.ask.text, time.time(), it.origin)).cues[cue])


@TABLE.operation("GET", "/cues", CueList)
def list_cues(it: Context) -> CueList:
    """The cues that one has sent, and with an agent's own token those that one has got."""
    got = [cue_view(each) for each in it.engine.state.cues.values() if it.who.agent and each.agent == it.who.agent]
    return CueList(cues=[*it.desk.cues(), *got])


@TABLE.operation("PUT", "/cues/{cue}/seen", CueView, body=CueSeen, refusals=(Forbidden, NotFound))
def see_cue(it: Context, cue: str) -> CueView:
    """Say that a cue has reached the agent's page, or has been in sight there."""
    asked = cmd.MarkCue(it.actor, it.who.agent, cue, it.ask.read, time.time(), it.origin)
    return cue_view(it.asked(asked).cues[cue])


@TABLE.operation("PUT", "/cues/{cue}/reply", CueView, body=CueReply, refusals=(Forbidden, NotFound))
def reply_to_cue(it: Context, cue: str) -> CueView:
    """Answer a cue, as the agent that it is for."""
    asked = cmd.ReplyToCue(it.actor, it.who.agent, cue, it.ask.reply, time.time(), it.origin)
    return cue_view(it.asked(asked).cues[cue])


@TABLE.operation("GET", "/hands", HandList, scope=VIEW)
def list_hands(it: Context) -> HandList:
    """The agents of one's queues who ask for help."""
    return HandList(hands=it.desk.hands())


@TABLE.operation("PUT", "/hand", HandView, body=HandNote, refusals=(Forbidden, Conflict))
def raise_hand(it: Context) -> HandView:
    """Ask for help, as an agent."""
    ask = cmd.RaiseHand(it.actor, it.who.agent, it.ask.note, time.time(), it.origin)
    state = it.asked(ask)
    # By a coach who speaks to him already it is answered as soon as it is raised.
    return hand_view(state.hands.get(str(it.who.agent)) or hand_of(state.calls, it.engine.rules, ask))


@TABLE.operation("DELETE", "/hand", HandDown, refusals=(Forbidden,))
def lower_hand(it: Context) -> HandDown:
    """Need no help any more."""
    it.asked(cmd.LowerHand(it.actor, it.who.agent, it.origin))
    return HandDown()


@TABLE.operation("GET", "/events", EventList, query=EventsQuery)
def events(it: Context) -> EventList:
    """What happens on the calls that one may see, as it happens."""
    return it.desk.events(it.ask.after, it.ask.timeout)


@TABLE.operation("GET", "/audit", AuditList, query=AuditQuery, scope=AUDIT)
def list_audit(it: Context) -> AuditList:
    """The audit trail, newest first."""
    page = it.trail.search(it.ask.wanted, it.ask.after, it.ask.limit)
    return AuditList(rows=[shown(row) for row in page.rows], next=page.next)


@TABLE.operation("GET", "/audit/export", AuditExport, query=AuditExportQuery, scope=AUDIT)
def export_audit(it: Context) -> AuditExport:
    """The audit trail as a file, newest first. It breaks off, without its last chunk, when the database does."""
    pages = it.trail.pages(it.ask.wanted)
    first = next(pages)  # what can be refused is refused before anything is sent
    words = it.ask.model_dump_json(exclude_none=True, by_alias=True)
    it.engine.record(fx.Audit("export", it.actor, None, None, None, None, words, it.origin))
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    chunks = exported(chain([first], pages), it.ask.format)
    return AuditExport(form=MEDIA[it.ask.format], file=f"audit-{stamp}.{it.ask.format}", chunks=chunks)


@TABLE.operation("GET", "/policies", PolicyList, scope=EDIT_POLICIES)
def list_policies(it: Context) -> PolicyList:
    """The policies of one's queues."""
    return listed(it.engine.rules, it.engine.state, it.actor, it.policies.in_force)


@TABLE.operation("PUT", "/policies/{queue}", QueuePolicyView, body=PolicyChange, scope=EDIT_POLICIES)
def set_policy(it: Context, queue: str) -> QueuePolicyView:
    """Set the policy of a queue. It is in force at once, and after a restart."""
    it.policies.set(it.actor, named(queue), it.ask.said, it.origin)
    return policy_view(it.engine.rules, it.actor, queue)


@TABLE.operation("DELETE", "/policies/{queue}", QueuePolicyView, scope=EDIT_POLICIES)
def drop_policy(it: Context, queue: str) -> QueuePolicyView:
    """Back to what the configuration file says of a queue."""
    it.policies.set(it.actor, named(queue), None, it.origin)
    return policy_view(it.engine.rules, it.actor, queue)


TABLE.include(review.TABLE)
