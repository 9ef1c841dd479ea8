"""Policies that are set at run time: kept in the store first, then in force; read back when the service starts, or as
soon as the store can be reached."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

import gevent
from gevent.event import Event
from gevent.lock import RLock
from pydantic import ValidationError

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.errors import CoachingError, Unavailable
from ccwhisper.coaching.model import Actor
from ccwhisper.coaching.policies import words
from ccwhisper.coaching.policy import PolicyPart, may_edit
from ccwhisper.coaching.trail import refused
from ccwhisper.engine import Engine
from ccwhisper.settings import Queue

logger = logging.getLogger(__name__)

FIRST_SECONDS: Final = 2.0
"""How long a service that starts waits for the store. Coaches who are on a call need it before their lease is over."""

PAUSES: Final = (0.5, 15.0)
"""Seconds between tries while the store is away, at first and at most."""


class Shelf(Protocol):
    """Where they are kept. Raises Unavailable (`store_unavailable`); makes nobody wait but who asks."""

    def policies(self) -> Mapping[str, Any]:
        """By queue, in the words of the configuration file."""

    def keep_policy(self, queue: str, said: Mapping[str, Any] | None) -> None:
        """In place of what was; None is nothing."""


class Keeper:
    """One for an engine."""

    def __init__(self, engine: Engine, shelf: Shelf, pauses: tuple[float, float] = PAUSES) -> None:
        self._engine = engine
        self._shelf = shelf
        self._pauses = pauses
        self._read = Event()
        self._late = False  # the engine has begun without them
        self._lock = RLock()  # what is in force last is what is kept last
        self._greenlet: gevent.Greenlet[[], None] | None = None

    @property
    def in_force(self) -> bool:
        """Whether what is kept has been read. Until then the configuration file's policies count, and no
        recording begins."""
        return self._read.is_set()

    def start(self) -> None:
        """Read what is kept, before the engine starts if that is possible."""
        self._greenlet = gevent.spawn(self._run)
        if not self._read.wait(FIRST_SECONDS):
            self._late = True
            self._engine.post(ev.PoliciesUnread())

    def stop(self) -> None:
        """Wait for the store no more."""
        if self._greenlet is not None:
            self._greenlet.kill(timeout=1)

    def set(self, actor: Actor, queue: str, policy: PolicyPart | None, origin: str) -> None:
        """Set the policy of a queue; None is back to the file's. Raises CoachingError, and then it is as before."""
        request = cmd.SetPolicy(actor, queue, policy, origin)
        with self._lock:
            if may_edit(actor, queue):
                self._keep(request)
            try:
                self._engine.ask(request)
            except CoachingError:
                if may_edit(actor, queue):  # the core had no time
                    with suppress(Unavailable):
                        self._shelf.keep_policy(queue, _said(self._engine.rules.edited.get(queue)))
                raise

    def _keep(self, request: cmd.SetPolicy) -> None:
        try:
            if not self.in_force:
                raise Unavailable("store_unavailable", "The policies that are kept have not been read yet.")
            self._shelf.keep_policy(request.queue, _said(request.policy))
        except Unavailable as error:
            self._engine.record(refused(self._engine.state, request, error.code))
            raise

    def _run(self) -> None:
        pause, longest = self._pauses
        while True:
            try:
                found = self._shelf.policies()
                break
            except Unavailable:
                if pause == self._pauses[0]:
                    logger.warning(
                        "the database is away; until it is back the configuration's policies are in force, and no "
                        "recording begins"
                    )
                gevent.sleep(pause)
                pause = min(pause * 2, longest)
        edited = {queue: part for queue, said in found.items() if (part := _part(queue, said))}
        if edited or self._late:
            self._engine.post(ev.PoliciesRead(edited))
            logger.info("policies that were set at run time are in force: %d", len(edited))
        self._read.set()


def _said(policy: PolicyPart | None) -> Mapping[str, Any] | None:
    return None if policy is None else words(policy)


def _part(queue: str, said: object) -> PolicyPart | None:
    try:
        return Queue.model_validate(said).part
    except ValidationError as error:
        logger.error("what is kept for the queue %r is no policy, and not used: %s", queue, error.errors()[0]["msg"])
        return None
