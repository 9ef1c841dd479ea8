"""The table of routes. A handler is declared with its scope, its body and query, its answer and its refusals; the
Flask rules and the OpenAPI document are both made from the declarations, so they cannot tell different stories."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from pydantic import ValidationError

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching.errors import CoachingError, Conflict, Forbidden, Invalid, NotFound, Unavailable
from ccwhisper.coaching.model import Actor, State
from ccwhisper.engine import Engine
from ccwhisper.web.auth import Auth, Principal
from ccwhisper.web.browser_phones import BrowserPhones
from ccwhisper.web.desk import Desk
from ccwhisper.web.errors import Unauthorised, WrongMediaType
from ccwhisper.web.files import served
from ccwhisper.web.journal import Journal
from ccwhisper.web.limits import Limits, TooMany
from ccwhisper.web.policies import Policies
from ccwhisper.web.recordings import MediaClosed, MediaOpened
from ccwhisper.web.schemas import SessionView
from ccwhisper.web.shapes import Answer, Ask, Served, Streamed
from ccwhisper.web.shelf import Shelf
from ccwhisper.web.tickets import COOKIE, LIFETIME
from ccwhisper.web.trail import Trail

PREFIX: Final = "/api/v1"


SessionRequest = cmd.SetMode | cmd.SetTalk | cmd.SetMuted | cmd.Press | cmd.Release | cmd.TakeOver | cmd.Leave


class Over(Conflict):
    """The session has ended, and will not come back."""

    retry = False

    def __init__(self, reason: str | None) -> None:
        super().__init__("session_ended", f"The session has ended ({reason}).")


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler of an authorised request works with. `ask` is the checked body or query. `cookie` came with the
    request, and `by_ticket` says that it was authorised by that alone."""

    engine: Engine
    who: Principal
    desk: Desk
    trail: Trail
    policies: Policies
    shelf: Shelf
    phones: BrowserPhones | None
    origin: str
    ask: Any
    cookie: str | None
    by_ticket: bool

    @property
    def actor(self) -> Actor:
        """Who asks, in the core's terms."""
        return self.who.actor

    def asked(self, request: cmd.Request) -> State:
        """Ask the core; the state right after it. Raises CoachingError."""
        return self.engine.ask(request)

    def command(self, request: SessionRequest) -> SessionView:
        """Ask the core for something about a session; its view afterwards."""
        try:
            self.engine.ask(request)
        except NotFound:
            view = self.desk.session(request.session)  # of one that ended a moment ago more can be said
            raise Over(view.reason) from None
        return self.desk.session(request.session)


Handler = Callable[..., Answer]

_ACTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "start_session": "start",
        "set_mode": "mode",
        "set_talk": "talk",
        "set_muted": "mute",
        "send_cue": "cue",
        "see_cue": "read_cue",
        "reply_to_cue": "reply",
        "raise_hand": "hand",
        "set_policy": "policy",
        "drop_policy": "policy",
        "open_media": "play",
        "get_track": "play",
        "get_file": "export_recording",
        "add_comment": "comment",
    }
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address. `query` and `body` exclude each other."""

    method: str
    path: str  # with {name} for its variables
    summary: str
    handler: Handler
    answer: type[Answer]
    query: type[Ask] | None
    body: type[Ask] | None
    refusals: tuple[type[CoachingError], ...]
    status: int
    location: str | None
    scope: str | None
    public: bool
    ticket: bool
    records: bool

    @property
    def acts(self) -> bool:
        """Whether it changes anything."""
        return self.method != "GET"

    @property
    def action(self) -> str:
        """What it is called in the audit trail; for what a request to the core asks, as the core calls it."""
        name = self.handler.__name__
        return _ACTIONS.get(name, name) if self.acts or self.ticket else "read"

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of the path."""
        return tuple(re.findall(r"{(\w+)}", self.path))


class Table:
    """Operations in the order of their declaration. With `records`, what their handlers refuse is recorded here: the
    core knows nothing of it."""

    def __init__(self, records: bool = False) -> None:
        self.operations: list[Operation] = []
        self._records = records

    def include(self, other: Table) -> None:
        """Those of another table, too."""
        self.operations += other.operations

    def operation(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        *,
        query: type[Ask] | None = None,
        body: type[Ask] | None = None,
        refusals: tuple[type[CoachingError], ...] = (),
        status: int = 200,
        location: str | None = None,
        scope: str | None = None,
        public: bool = False,
        ticket: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Declare the handler that follows. `scope` is a permission that the token must hold; `location` makes the
        Location header out of the answer's fields; `public` needs no token; with `ticket`, a ticket for the recording
        does instead. The first line of the docstring is the summary."""

        def declare(handler: Handler) -> Handler:
            summary = (handler.__doc__ or "").strip().splitlines()[0]
            self.operations.append(
                Operation(
                    method,
                    path,
                    summary,
                    handler,
                    answer,
                    query,
                    body,
                    refusals,
                    status,
                    location,
                    scope,
                    public,
                    ticket,
                    self._records,
                )
            )
            return handler

        return declare


@dataclass(frozen=True, slots=True)
class Counter:
    """Where requests are served, whichever way they come in."""

    engine: Engine
    journal: Journal
    auth: Auth
    limits: Limits
    trail: Trail
    policies: Policies
    shelf: Shelf
    phones: BrowserPhones | None = None

    def perform(
        self,
        each: Operation,
        who: Principal,
        origin: str,
        variables: Mapping[str, str],
        ask: Callable[[], Ask | None],
        cookie: str | None = None,
        by_ticket: bool = False,
    ) -> Answer:
        """What an operation answers somebody. `ask` checks the body or query. Raises CoachingError."""
        try:
            checked = self._checked(each, who, ask)
        except CoachingError as refusal:  # what the core refuses, it records itself
            self._refused(each, who, origin, variables, refusal)
            raise
        desk = Desk(self.engine, self.journal, who.actor)
        context = Context(
            self.engine,
            who,
            desk,
            self.trail,
            self.policies,
            self.shelf,
            self.phones,
            origin,
            checked,
            cookie,
            by_ticket,
        )
        try:
            return each.handler(context, **variables)
        except CoachingError as refusal:
            if each.records:
                self._refused(each, who, origin, variables, refusal)
            raise

    def _refused(
        self, each: Operation, who: Principal, origin: str, variables: Mapping[str, str], refusal: CoachingError
    ) -> None:
        if each.acts or each.ticket or isinstance(refusal, Forbidden):
            whom = variables.get("session"), None, variables.get("call"), None
            where = f"{each.method} {each.path} {variables.get('recording', '')}".rstrip()
            self.engine.record(fx.Audit(each.action, who.actor, *whom, where, origin, refusal=refusal.code))

    def _checked(self, each: Operation, who: Principal, ask: Callable[[], Ask | None]) -> Ask | None:
        if each.acts or each.ticket:  # what plays audio asks often, and must not keep its listener from acting
            self.limits.spend(f"{who.actor.id} hears" if each.ticket else who.actor.id)
        if each.scope and each.scope not in who.actor.permissions:
            raise Forbidden("permission_missing", f"The token lacks the permission {each.scope}.")
        return ask()


def blueprint(table: Table, counter: Counter) -> Blueprint:
    """The Flask rules of a table."""
    made = Blueprint("api", __name__, url_prefix=PREFIX)
    for each in table.operations:
        made.add_url_rule(
            re.sub(r"{(\w+)}", r"<\1>", each.path),
            endpoint=each.handler.__name__,
            view_func=_view(each, counter),
            methods=[each.method],
            provide_automatic_options=False,
        )
    return made


def _view(each: Operation, counter: Counter) -> Callable[..., ResponseReturnValue]:
    def view(**variables: str) -> ResponseReturnValue:
        if each.public:
            return _response(each, each.handler(counter))
        token, cookie = request.headers.get("Authorization"), request.cookies.get(COOKIE)
        by_ticket = each.ticket and token is None
        tickets = counter.shelf.tickets
        who = tickets.identify(cookie, variables["recording"]) if by_ticket else counter.auth.identify(token)
        origin = f"http {request.remote_addr}"
        return _response(each, counter.perform(each, who, origin, variables, lambda: _asked(each), cookie, by_ticket))

    return view


def _response(each: Operation, answer: Answer) -> Response:
    if isinstance(answer, Streamed):
        response = Response(answer.chunks, each.status, mimetype=answer.form)
        response.headers["Content-Disposition"] = f'attachment; filename="{answer.file}"'
        return response
    if isinstance(answer, Served):
        return served(answer)
    response = Response(answer.model_dump_json(), each.status, mimetype="application/json")
    if isinstance(answer, MediaOpened):
        _open(response, answer)
    if isinstance(answer, MediaClosed):
        response.delete_cookie(COOKIE, path=_place(), httponly=True, samesite="Strict")
    if each.location:
        response.headers["Location"] = PREFIX + each.location.format_map(answer.__dict__)
        response.autocorrect_location_header = False
    return response


def _open(response: Response, answer: MediaOpened) -> None:
    """Give a ticket to the browser, for the addresses of this recording alone. A page behind a proxy that speaks https
    for the service tells so by its origin."""
    secure = request.is_secure or request.headers.get("Origin", "").startswith("https:")
    response.set_cookie(
        COOKIE, answer.cookie, int(LIFETIME), path=_place(), secure=secure, httponly=True, samesite="Strict"
    )


def _place() -> str:
    return request.path.rpartition("/")[0]


def _asked(each: Operation) -> Ask | None:
    if each.query:
        return checked(each.query.model_validate, _single_values())
    unknown = sorted(request.args)
    if unknown:
        raise Invalid("field_unknown", f"{unknown[0]}: there is no such parameter here.")
    data = request.get_data(cache=False)
    if each.body is None:
        if data:
            raise Invalid("body_unexpected", "This request has no body.")
        return None
    if request.mimetype != "application/json":
        raise WrongMediaType("content_type", "Send Content-Type: application/json.")
    return checked(each.body.model_validate_json, data)


def _single_values() -> dict[str, str]:
    values = request.args.to_dict(flat=False)
    twice = sorted(name for name, given in values.items() if len(given) > 1)
    if twice:
        raise Invalid("field_invalid", f"{twice[0]}: is given more than once.")
    return {name: given[0] for name, given in values.items()}


_CODES: Final[Mapping[str, str]] = MappingProxyType(
    {"extra_forbidden": "field_unknown", "missing": "field_missing", "json_invalid": "body_not_json"}
)


def checked(check: Callable[[Any], Ask], given: object) -> Ask:
    """A body or query that is as it must be. Raises Invalid."""
    try:
        return check(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        code = _CODES.get(first["type"], "field_invalid")
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        refusal = Invalid(code, f"{where}: {message}" if where else message)
        refusal.field = where or None
        raise refusal from None


def always(each: Operation) -> tuple[type[CoachingError], ...]:
    """The refusals that an operation has besides those that it declares."""
    if each.public:
        return ()
    scope = (Forbidden,) if each.scope else ()
    media = (WrongMediaType,) if each.body else ()
    often = (TooMany,) if each.acts or each.ticket else ()
    return (Invalid, Unauthorised, *scope, *media, *often, Unavailable)
