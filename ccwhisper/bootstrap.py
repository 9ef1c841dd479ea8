"""The composition root: the only module that knows every other."""

from __future__ import annotations

import contextlib
import gc
import logging
import secrets
import signal
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import unquote, urlsplit

import gevent
from gevent.event import Event
from gevent.ssl import SSLContext

from ccwhisper import certificates
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching.model import Actor, State
from ccwhisper.config import Config
from ccwhisper.engine import Engine
from ccwhisper.keeper import Keeper
from ccwhisper.recording import places
from ccwhisper.recording.backlog import Asked, Backlog, Where
from ccwhisper.recording.cutting import Cutting
from ccwhisper.recording.index import Entry
from ccwhisper.recording.scribe import Scribe
from ccwhisper.secret_files import secret_in
from ccwhisper.store.archive import Archive
from ccwhisper.store.database import Database
from ccwhisper.store.errors import StoreError
from ccwhisper.store.recordings import Recordings
from ccwhisper.switch.node import NodeAddress, SwitchSettings
from ccwhisper.switch.nodes import Nodes
from ccwhisper.web.app import Web, create_web, make_server
from ccwhisper.web.auth import Auth, Jwks, SharedSecret
from ccwhisper.web.browser_phones import BrowserSettings
from ccwhisper.web.journal import Journal
from ccwhisper.web.resume import kept_secret
from ccwhisper.web.secured import Secured
from ccwhisper.web.shelf import Shelf
from ccwhisper.web.tickets import Tickets, kept_key

logger = logging.getLogger("ccwhisper")

DATABASE: Final = "ccwhisper.db"
"""The database in the state directory, unless the configuration names another."""

RENEWAL_SECONDS: Final = 60.0
"""How often it is looked whether the certificate has been renewed."""


def installation_id(directory: Path) -> str:
    """This installation's random id, made at the first start. It is the value of the lease on every coach's leg, so
    it must be unguessable, and the same after a restart."""

    def fresh() -> str:
        return secrets.token_urlsafe(24).replace("-", "_") + "\n"  # a word for the switch whatever it begins with

    return secret_in(directory / "installation", fresh).decode().strip()


@dataclass
class Service:
    """Engine and app, wired. A context manager: entering starts the engine, leaving stops it."""

    engine: Engine
    web: Web
    archive: Archive
    recordings: Recordings
    journal: Journal
    keeper: Keeper
    scribe: Scribe
    backlog: Backlog

    def __enter__(self) -> Self:
        self.archive.start()
        self.recordings.start()
        self.keeper.start()
        self.journal.start()
        self.scribe.start()
        self.engine.start()
        self.backlog.start()
        self.web.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.web.stop()
        self.backlog.stop()
        self.engine.stop()
        self.scribe.stop()
        self.journal.stop()
        self.keeper.stop()
        self.recordings.stop()
        self.archive.stop()


def build(config: Config) -> Service:
    """Wire a service from its configuration; no switch is connected yet. Raises StoreError."""
    directory = config.state_directory
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    installation = installation_id(directory)
    usable = _usable(config)
    archive = Archive(usable, directory, installation)
    recordings = Recordings(usable, installation, config.headsets)
    coaching = config.coaching
    nodes = Nodes(
        [
            NodeAddress(
                node.name,
                node.host,
                node.port,
                config.passwords[node.name].get_secret_value(),
                node.recordings or str(config.raw_directory),
            )
            for node in config.nodes
        ],
        SwitchSettings(
            installation=installation,
            lease_seconds=coaching.lease_seconds,
            jitter_buffer_ms=coaching.jitter_buffer_ms,
            caller_name=coaching.caller_name,
            answer=coaching.answer,
            answers=config.answers,
        ),
    )
    scribe = Scribe(config.journal_directory)
    if config.recording.directory is None:  # another one may be a share that is not there yet
        config.raw_directory.mkdir(parents=True, exist_ok=True)
    rules = replace(config.rules(), installation=installation)
    engine = Engine(rules, nodes, [node.name for node in config.nodes], archive.record, scribe=scribe.note)
    journal = Journal(engine)
    keeper = Keeper(engine, archive)
    shelf, backlog = _recordings(config, engine, keeper, recordings)
    web = create_web(
        engine,
        _auth(config),
        journal,
        archive,
        keeper,
        shelf,
        origins=config.service.origins,
        frames=config.service.frames,
        browsers=_browsers(config),
    )
    return Service(engine, web, archive, recordings, journal, keeper, scribe, backlog)


def _recordings(config: Config, engine: Engine, keeper: Keeper, index: Recordings) -> tuple[Shelf, Backlog]:
    """Recordings as the API offers them, and the work on those that are not finished."""
    folder, wanted = config.state_directory / "recordings", config.recording
    folder.mkdir(mode=0o700, exist_ok=True)
    access = places.Access(wanted.endpoint, wanted.region, wanted.key_env, wanted.secret_env)
    if wanted.archive:
        archive = places.place(wanted.archive, access)
    else:
        archive = places.Folder(Path(config.recording_archive), own=True)
    cutting = Cutting(archive, folder / "cuttings")
    where = Where(
        config.journal_directory,
        config.raw_places,
        config.recording_archive,
        folder / "making",
        asdict(access),
        {
            "codec": wanted.codec,
            "bitrate": wanted.bitrate * 1000,
            "language": wanted.language,
            "threshold": wanted.bleed_threshold,
        },
    )
    asked = Asked(
        goes_on=lambda node, recording: _goes_on(engine.state, node, recording),
        # Until they have been read, the policies that were set at run time may say that it is kept for longer.
        keep_days=lambda queue: engine.rules.queue(queue).keep_days if keeper.in_force else None,
        erase=cutting.delete,
        erased=lambda entry: engine.record(_kept_long_enough(entry)),
    )
    backlog = Backlog(where, index, asked, wanted.workers)
    return Shelf(index, cutting, Tickets(kept_key(config.state_directory)), backlog), backlog


def _goes_on(state: State, node: str, recording: str) -> bool | None:
    """Whether a switch records this; None: it is not connected."""
    found = state.nodes.get(node)
    if found is None:
        return False  # no node of this service any more
    return any(each.id == recording for each in state.recordings.values()) if found.up else None


def _kept_long_enough(entry: Entry) -> fx.Audit:
    agent = entry.agents[0].id if entry.agents else None
    nobody = Actor("", "retention")
    return fx.Audit("delete_recording", nobody, None, agent, None, entry.node, f"{entry.id} keep_days", "")


def database(config: Config) -> Database:
    """The database that the configuration names. Raises StoreError (`driver_missing`)."""
    url = config.store.url
    if url is None:
        return Database.sqlite(config.state_directory / DATABASE)
    if url.startswith("sqlite:"):
        return Database.sqlite(config.path.resolve().parent / unquote(urlsplit(url).path[1:]))
    password = config.store_password
    return Database.postgresql(url, password.get_secret_value() if password else None)


def _usable(config: Config) -> Database:
    """The database, with the schema that this version needs. One that cannot be reached is waited for, by and by."""
    found = database(config)
    try:
        found.check()
    except StoreError as error:
        if error.code == "schema_missing" and config.store.url is None:
            found.upgrade()
        elif error.code == "database_unreachable":
            logger.warning("%s", error)
        else:
            raise
    finally:
        found.close()  # for now: it opens again when there is something to write
    return found


def _browsers(config: Config) -> BrowserSettings | None:
    """How coaches' browsers are relayed; None where no node has a profile for them."""
    switches = {}
    for node in config.nodes:
        if node.browsers:
            host, _, port = node.browsers.rpartition(":")
            switches[node.name] = (host.strip("[]"), int(port))
    ice = []
    for server in config.browser_phone.ice_servers:
        given = {"urls": list(server.urls), "username": server.username}
        if server.credential_env:
            given["credential"] = config.ice_credentials[server.credential_env].get_secret_value()
        ice.append({name: value for name, value in given.items() if value is not None})
    return BrowserSettings(switches, ice, kept_secret(config.state_directory)) if switches else None


def _auth(config: Config) -> Auth:
    settings = config.auth
    keys = Jwks(settings.jwks_url) if settings.jwks_url else SharedSecret(_secret(config))
    return Auth(keys, settings.accepted, settings.issuer, settings.audience, settings.leeway)


def _secret(config: Config) -> str:
    if config.jwt_secret is None:
        raise ValueError("neither a shared secret nor a JWKS URL")
    return config.jwt_secret.get_secret_value()


def _context(config: Config) -> SSLContext | None:
    """For https, from the files as they are now; None for http. Raises CertificateError."""
    if config.tls is None:
        return None
    left = certificates.read(config.tls[0]).days_left()
    if left < certificates.SOON:
        logger.warning("%s: %s", config.tls[0], "has expired" if left < 0 else f"expires in {left:.0f} days")
    made = certificates.context(*config.tls, SSLContext)
    assert isinstance(made, SSLContext)  # noqa: S101 - it is the kind that was asked for
    return made


def _renew(config: Config, server: Secured) -> None:
    """Take the certificate anew when its files have changed: a restart would end the sessions of browsers."""
    seen = _changed(config)
    while True:
        gevent.sleep(RENEWAL_SECONDS)
        now = _changed(config)
        if now == seen:
            continue
        try:
            context = _context(config)
        except certificates.CertificateError as error:  # one of the two may be written already, the other not yet
            logger.warning("the certificate is not taken anew: %s", error)
            continue
        seen = now
        if context:
            server.secure(context)
            logger.info("the certificate has been taken anew")


def _changed(config: Config) -> list[int]:
    found = []
    for file in config.tls or ():
        with contextlib.suppress(OSError):
            found.append(file.stat().st_mtime_ns)
    return found


def serve(config: Config, ready: Callable[[str], None] = lambda _url: None) -> None:
    """Run until SIGTERM or SIGINT. `ready` is called with the URL once requests are answered. Raises OSError when the
    address cannot be bound, StoreError when the database is not for this version.

    Coaches who are on a call stay on it when the service stops: whoever starts next within the lease goes on with
    them, otherwise the switch drops them.
    """
    service = build(config)
    tls = _context(config)
    server = make_server(service.web.app, config.service.host, config.service.port, tls)
    stopped = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stopped.set)
    with service:
        server.start()
        # A full sweep through all that was loaded stops everything, keys that are released included, for 80 ms.
        gc.collect()
        gc.freeze()
        family = "[{}]" if server.socket.family == socket.AF_INET6 else "{}"
        ready(f"http{'s' if tls else ''}://{family.format(server.server_host)}:{server.server_port}")
        renewal = gevent.spawn(_renew, config, server) if isinstance(server, Secured) else None
        stopped.wait()
        if renewal:
            renewal.kill()
        server.stop(timeout=2)
