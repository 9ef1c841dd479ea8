"""One node: effects become commands, events become facts.

A worker greenlet carries effects out in order. It never blocks the engine; what the engine must know of the outcome
comes back as a fact. Effects that were meant for a connection that is gone are thrown away: after a reconnect the state
is read again, and an old effect would act on it unseen.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import singledispatchmethod
from types import MappingProxyType

import gevent
import orjson
from gevent.queue import Queue

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import CoachRecord, LegId, SessionId
from ccwhisper.coaching.modes import Gate
from ccwhisper.switch import callcenter, recording, records
from ccwhisper.switch import commands as cmd
from ccwhisper.switch.commands import Command
from ccwhisper.switch.dialling import admit, decline, ring
from ccwhisper.switch.errors import CommandRefused, CommandTimeout, SwitchError, UnsafeArgument
from ccwhisper.switch.frames import Event
from ccwhisper.switch.guard import Guard
from ccwhisper.switch.lamps import Lamps
from ccwhisper.switch.link import Link
from ccwhisper.switch.reading import Pairs, dumped, read_legs, read_pairs
from ccwhisper.switch.translate import EVENTS, SUBCLASSES, facts, raised_at

logger = logging.getLogger(__name__)

SESSION_EVENT = "ccwhisper::session"

SECOND_LOOK = 1.0
"""Seconds after a node was read until its bridges are compared once more."""


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """Where a node's Event Socket is, and the folder, as that switch sees it, where it writes what is recorded."""

    name: str
    host: str
    port: int
    password: str
    recordings: str = "/nonexistent"


@dataclass(frozen=True, slots=True)
class SwitchSettings:
    """`installation` is a random id, kept over restarts. Times in whole seconds, the buffer in milliseconds. `answer`:
    how coaches' phones are asked to answer by themselves (a word of `dialling.ANSWERS`); `answers`: some devices."""

    installation: str
    lease_seconds: int = 15
    jitter_buffer_ms: int = 40
    caller_name: str = "Coaching"
    answer: str = "common"
    answers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class SwitchNode:
    """One node (see the module)."""

    def __init__(self, address: NodeAddress, settings: SwitchSettings) -> None:
        self.name = address.name
        self._folder = address.recordings
        self._settings = settings
        self._marked = records.marked(settings.installation)
        self._post: ev.Post = lambda _fact, _at=None: None
        self._queue: Queue[tuple[int, fx.SwitchEffect]] = Queue()
        self._generation = 0
        self._jobs: dict[str, SessionId] = {}
        self._deadmen: dict[LegId, list[int]] = {}
        self._sounding: dict[LegId, float] = {}  # until when a leg's beep lasts, by the monotonic clock
        self._moved: set[LegId] | None = None  # until the second look: legs whose bridge has changed since the first
        self._worker: gevent.Greenlet[[], None] | None = None
        self.link = Link(
            address.name,
            address.host,
            address.port,
            address.password,
            EVENTS,
            SUBCLASSES,
            self._on_event,
            self._on_up,
            self._on_down,
        )
        self._lamps = Lamps(self.link)
        self._guard = Guard(address.name, self.link, settings.installation)

    def start(self, post: ev.Post) -> None:
        """Connect, and post facts from now on."""
        self._post = post
        self._worker = gevent.spawn(self._work)
        self._guard.start(post)
        self.link.start()

    def stop(self) -> None:
        """Disconnect."""
        self.link.stop()
        self._guard.stop()
        if self._worker is not None:
            self._worker.kill(timeout=1)

    def perform(self, effect: fx.SwitchEffect) -> None:
        """Queue one effect. Whom no gate waits for have greenlets of their own."""
        match effect:
            case fx.LookForTaps():
                self._guard.look(effect)
            case fx.ShowLamp():
                self._lamps.show(effect)
            case _:
                self._queue.put((self._generation, effect))

    # --- from the switch ---------------------------------------------------------------------------------------------

    def _on_up(self) -> None:
        self._generation += 1
        self._jobs.clear()
        self._deadmen.clear()
        moved: set[LegId] = set()
        self._moved = moved
        pairs = read_pairs(self.link)
        legs = tuple(read_legs(self.link, self._settings.installation, pairs))
        # A dead-man of the time before would strike in a while, and close a gate that may then rightly be open. Nobody
        # holds a key after a resync. By group, since nobody knows their ids any more: the group is the coach's leg.
        self._all([cmd.sched_del_group(leg.id) for leg in legs if leg.is_coach])
        self._post(ev.NodeSynced(self.name, legs, callcenter.read(self.link, self.name)))
        gevent.spawn_later(SECOND_LOOK, self._look_again, self._generation, pairs, moved)

    def _look_again(self, generation: int, before: Pairs, moved: set[LegId]) -> None:
        """`show` answers from a database that is written up to half a second late, so what was bridged just before we
        subscribed may be missing from it, and its event too. Legs that have raised events since are left to those."""
        if generation != self._generation:
            return
        try:
            now = read_pairs(self.link)
        except SwitchError:
            now = before  # lost again; the next connect looks anew
        if generation != self._generation:
            return
        self._moved = None
        for a, b in before - now:
            if not {a, b} & moved:
                self._post(ev.Unbridged(self.name, a, b))
        for a, b in now - before:
            if not {a, b} & moved:
                self._post(ev.Bridged(self.name, a, b))

    def _on_down(self, reason: str) -> None:
        self._generation += 1
        self._post(ev.NodeLost(self.name, reason))

    def _on_event(self, event: Event) -> None:
        if event.name == "BACKGROUND_JOB":
            session = self._jobs.pop(event.headers.get("Job-UUID", ""), None)
            body = (event.body or "").strip()
            if session and body.startswith("-ERR"):
                self._post(ev.DialFailed(session, body.removeprefix("-ERR").strip()), raised_at(event))
            return
        for fact in facts(self.name, event, self._settings.installation):
            if self._moved is not None and isinstance(fact, ev.Bridged | ev.Unbridged):
                self._moved.update(filter(None, (fact.a, fact.b)))
            self._post(fact, raised_at(event))

    # --- to the switch -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            generation, effect = self._queue.get()
            if generation != self._generation:
                continue
            try:
                self._do(effect)
            except (SwitchError, UnsafeArgument) as error:
                self._failed(effect, error)
            except Exception:
                logger.exception("an effect failed", extra={"effect": type(effect).__name__, "node": self.name})

    def _failed(self, effect: fx.SwitchEffect, error: Exception) -> None:
        logger.warning("%s on %s: %s", type(effect).__name__, self.name, error)
        if isinstance(error, CommandTimeout):
            # It may have run, or run yet. A gate whose closing is not certain must not be taken for closed.
            self.link.drop(str(error))
        if not isinstance(error, CommandRefused | UnsafeArgument):
            return  # the connection is gone or hangs; what is true is read again when it is back
        why = str(error)
        match effect:
            case fx.Beep():
                self._post(ev.BeepFailed(effect.session, why))
            case fx.Dial():
                self._post(ev.DialFailed(effect.session, why))
            case fx.Attach() | fx.Admit() | fx.Park():
                self._post(ev.CommandFailed(effect.session, "attach", why))
            case fx.TellGate() if effect.gate is not Gate.CLOSED:
                self._post(ev.CommandFailed(effect.session, "gate", why))
            case fx.ConnectCaller():
                self._post(ev.CommandFailed(effect.session, "take_over", why))
            case fx.Narrow():
                self._post(ev.CommandFailed(effect.session, "narrow", why))
            case fx.HangUp():
                # "No such channel": the leg was gone before its hang-up was heard of.
                self._post(ev.HungUp(self.name, effect.leg, ""))
            case fx.RecordCall() | fx.RecordCoach():
                self._post(ev.RecordFailed(self.name, effect.leg, effect.file, why))
            case fx.ArmDeadman():
                # A key that the switch will not watch over must not be held.
                self._post(ev.EavesdropStarted(self.name, effect.target))

    @singledispatchmethod
    def _do(self, effect: object) -> None:
        raise TypeError(type(effect).__name__)

    @_do.register
    def _inspect(self, effect: fx.Inspect) -> None:
        a, b = self.link.pipeline([cmd.uuid_dump(effect.a), cmd.uuid_dump(effect.b)])
        installation = self._settings.installation
        legs = (dumped(a, installation, effect.b), dumped(b, installation, effect.a))
        self._post(ev.Inspected(self.name, effect.token, effect.a, effect.b, legs))

    @_do.register
    def _dial(self, effect: fx.Dial) -> None:
        settings = self._settings
        answer = settings.answers.get(effect.device, settings.answer)
        job = str(uuid.uuid4())
        self._jobs[job] = effect.session
        try:
            self.link.bgapi(ring(effect, settings.installation, settings.caller_name, answer), job)
        except (SwitchError, UnsafeArgument):
            self._jobs.pop(job, None)
            raise

    @_do.register
    def _read_dial_in(self, effect: fx.ReadDialIn) -> None:
        (reply,) = self.link.pipeline([cmd.uuid_dump(effect.leg)])
        leg = dumped(reply, self._settings.installation, None)
        if leg:
            self._post(ev.DialInRead(self.name, leg, str(uuid.uuid4()), time.time()))

    @_do.register
    def _admit(self, effect: fx.Admit) -> None:
        marks = records.admitted(effect.record, self._settings.installation)
        self._all([cmd.uuid_setvar_multi(effect.leg, marks), admit(effect.leg, effect.prompt)])

    @_do.register
    def _decline(self, effect: fx.Decline) -> None:
        self._all([cmd.uuid_setvar(effect.leg, records.DIALIN, None), decline(effect.leg, effect.prompt)])

    @_do.register
    def _park(self, effect: fx.Park) -> None:
        self.link.api(cmd.uuid_park(effect.leg))

    @_do.register
    def _sound(self, effect: fx.Sound) -> None:
        tone = cmd.tone(effect.tone.level, effect.tone.parts)
        self.link.api(cmd.displace_start(effect.leg, tone) if effect.attached else cmd.broadcast(effect.leg, tone))

    @_do.register
    def _enable_jitter_buffer(self, effect: fx.EnableJitterBuffer) -> None:
        # The buffer alone is not enough (SWITCH_MESSAGE_INDICATE_BRIDGE in switch_core_media.c). Without the variable
        # the leg's next bridge pauses it: the next caller of an agent who stays off-hook. And one that was paused by
        # the bridge that the leg is in stays paused when it is set again.
        self._all(self._buffer(effect.leg))

    @_do.register
    def _attach(self, effect: fx.Attach) -> None:
        self._all([_write(effect.leg, effect.record), cmd.attach(effect.leg, effect.target)])

    @_do.register
    def _tell_gate(self, effect: fx.TellGate) -> None:
        write = _write(effect.leg, effect.record)
        move = cmd.eavesdrop_gate(effect.leg, str(effect.gate.digit))
        news = _news(effect.leg, effect.record)
        closing = effect.gate is Gate.CLOSED
        around = [move, write] if closing else [write, move]
        if effect.track:
            mask = recording.mask(effect.leg, self._folder, effect.track, closing or effect.paused)
            around = [*around, mask] if closing else [mask, *around]
        began = time.time()
        self._all([*around, news], but=recording.VERB)
        self._post(ev.GateTold(effect.session, effect.gate, time.time() if closing else began))

    @_do.register
    def _refresh_gate(self, effect: fx.RefreshGate) -> None:
        self.link.command(cmd.eavesdrop_gate(effect.leg, str(effect.gate.digit)))

    @_do.register
    def _remember(self, effect: fx.Remember) -> None:
        self.link.api(_write(effect.leg, effect.record))

    @_do.register
    def _beep(self, effect: fx.Beep) -> None:
        # The switch has only one of the same tone on a leg. While it lasts, the agent is being told.
        now = time.monotonic()
        self._sounding = {leg: until for leg, until in self._sounding.items() if until > now}
        if effect.leg in self._sounding:
            return
        self.link.api(cmd.displace_start(effect.leg, cmd.tone(effect.tone.level, effect.tone.parts), mux=True))
        self._sounding[effect.leg] = now + sum(on + off for on, off, _ in effect.tone.parts) / 1000

    @_do.register
    def _arm(self, effect: fx.ArmDeadman) -> None:
        added = [self.link.api(cmd.deadman(effect.seconds, effect.leg, effect.target))]
        if effect.track:
            mask = recording.mask(effect.leg, self._folder, effect.track, masked=True)
            added.append(self.link.api(cmd.sched_api(effect.seconds, effect.leg, mask)))
        old, self._deadmen[effect.leg] = self._deadmen.get(effect.leg, []), [_task(each) for each in added]
        for task in old:
            self.link.api(cmd.sched_del(task))

    @_do.register
    def _disarm(self, effect: fx.DisarmDeadman) -> None:
        for task in self._deadmen.pop(effect.leg, []):
            self.link.api(cmd.sched_del(task))

    @_do.register
    def _connect_caller(self, effect: fx.ConnectCaller) -> None:
        stop = [recording.stop(effect.leg, self._folder, effect.track)] if effect.track else []
        marks = cmd.uuid_setvar_multi(effect.leg, records.taken_over(effect.party, self._settings.installation))
        self._all([*stop, marks, cmd.uuid_bridge(effect.leg, effect.caller)], but=recording.VERB)

    @_do.register
    def _record_call(self, effect: fx.RecordCall) -> None:
        # The leg's input is flushed when a recording begins: without a buffer, which may be as young as this, the agent
        # misses a frame or two of the caller's.
        before = self._buffer(effect.leg) if effect.buffer else []
        start = recording.start(effect.leg, self._folder, effect.file, "call")
        mask = recording.mask(effect.leg, self._folder, effect.file, masked=True)
        mark = cmd.uuid_setvar(effect.leg, self._marked, records.dump_mark(effect.mark))
        commands = [*before, start, *([mask] if effect.masked else []), mark]
        for command, result in zip(commands, self.link.pipeline(commands), strict=True):
            if isinstance(result, SwitchError) and (command is start or not isinstance(result, CommandRefused)):
                raise result

    @_do.register
    def _record_coach(self, effect: fx.RecordCoach) -> None:
        start = recording.start(effect.leg, self._folder, effect.file, "coach")
        self._all([start, recording.mask(effect.leg, self._folder, effect.file, masked=True)])

    @_do.register
    def _mask_track(self, effect: fx.MaskTrack) -> None:
        self.link.api(recording.mask(effect.leg, self._folder, effect.file, effect.masked))

    @_do.register
    def _stop_track(self, effect: fx.StopTrack) -> None:
        self.link.api(recording.stop(effect.leg, self._folder, effect.file))

    @_do.register
    def _remember_recording(self, effect: fx.RememberRecording) -> None:
        self.link.api(cmd.uuid_setvar(effect.leg, self._marked, records.dump_mark(effect.mark)))

    @_do.register
    def _narrow(self, effect: fx.Narrow) -> None:
        self.link.api(cmd.renegotiate(effect.leg))

    @_do.register
    def _hang_up(self, effect: fx.HangUp) -> None:
        self.link.api(cmd.uuid_kill(effect.leg))

    @_do.register
    def _renew_lease(self, _effect: fx.RenewLease) -> None:
        """Add the new one, then delete those that are older. Several services of one installation share the lease: the
        newest always stands, for nobody deletes one that is newer than his own."""
        installation = self._settings.installation
        group = f"ccw-{installation}"
        mine = _task(self.link.api(cmd.lease(self._settings.lease_seconds, group, records.LEASE, installation)))
        listed = orjson.loads(self.link.api(cmd.show_tasks()))
        for row in listed.get("rows", ()):
            number = str(row.get("task_id", ""))
            if row.get("task_group") == group and number.isdigit() and int(number) < mine:
                self.link.api(cmd.sched_del(int(number)))

    def _buffer(self, leg: LegId) -> list[Command]:
        return [
            cmd.uuid_setvar(leg, "rtp_jitter_buffer_during_bridge", "true"),
            cmd.jitterbuffer(leg, self._settings.jitter_buffer_ms),
            cmd.jitterbuffer_resume(leg),
        ]

    def _all(self, commands: list[Command], but: str = "") -> None:
        """Send all in one go, in order; raise the first refusal. Commands of the verb `but` may be refused: a gate
        moves, whatever has become of a recording."""
        for command, result in zip(commands, self.link.pipeline(commands), strict=True):
            if isinstance(result, CommandRefused) and but and command.label.startswith(but):
                logger.warning("%s on %s: %s", command.label, self.name, result)
            elif isinstance(result, SwitchError):
                raise result


def _write(leg: str, record: CoachRecord) -> Command:
    return cmd.uuid_setvar_multi(leg, records.variables(record))


def _news(leg: str, record: CoachRecord) -> Command:
    # Without Unique-ID: an event that carries one is queued to that leg and reaches no listener.
    headers = {
        "CCW-Leg": leg,
        "CCW-Session": record.session,
        "CCW-Mode": record.mode.value,
        "CCW-Gate": record.gate.value,
    }
    # The gate is closed after the agent's leg has gone, too: whatever was on its way to the coach's leg is still obeyed
    # by his next eavesdrop.
    return cmd.custom_event(SESSION_EVENT, headers | ({"CCW-Target": record.target} if record.target else {}))


def _task(reply: str) -> int:
    """The id in `+OK Added: 12`."""
    return int(reply.rsplit(":", 1)[1])
