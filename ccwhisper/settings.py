"""What the configuration file may hold: its sections, their keys, types and defaults.

What depends on several keys, or on the environment, is checked in `config`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ccwhisper import formats
from ccwhisper.coaching.modes import Talk
from ccwhisper.coaching.policy import PolicyPart, Tone
from ccwhisper.coaching.recorded import Whispers

EnvName = Annotated[str, formats.matching(r"[A-Z_][A-Z0-9_]{0,127}", "the name of an environment variable")]
QueueName = Annotated[str, Field(min_length=1, max_length=128)]
Frequency = Annotated[int, Field(ge=100, le=3400)]
Part = Annotated[
    tuple[
        Annotated[int, Field(ge=10, le=2000)],
        Annotated[int, Field(ge=0, le=2000)],
        Annotated[list[Frequency], Field(min_length=1, max_length=4)],
    ],
    Field(strict=False),  # TOML has arrays only
]
Folder = Annotated[str, AfterValidator(formats.folder)]
Algorithm = Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Service(_Section):
    """Where to listen, and where to keep what must outlive a restart (relative to the file's directory). `certificate`
    and `key`: files (PEM, relative likewise) with which it answers https. `origins`: other origins whose pages may use
    API and Socket.IO; `frames`: whose pages may hold the agent's panel."""

    listen: Annotated[str, AfterValidator(formats.address)] = "127.0.0.1:8810"
    state: Annotated[str, Field(min_length=1)] = "var"
    certificate: Annotated[str, Field(min_length=1)] | None = None
    key: Annotated[str, Field(min_length=1)] | None = None
    origins: list[Annotated[str, AfterValidator(formats.origin)]] = []
    frames: list[Annotated[str, AfterValidator(formats.origin)]] = []

    @property
    def host(self) -> str:
        """The address to bind."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The TCP port; 0 lets the system choose."""
        return int(self.listen.rpartition(":")[2])


class Auth(_Section):
    """Whose tokens are believed. Algorithms are fixed here; what a token says of itself is only compared with them."""

    secret_env: EnvName | None = None
    jwks_url: Annotated[str, AfterValidator(formats.jwks)] | None = None
    algorithms: Annotated[list[Algorithm], Field(min_length=1)] | None = None
    issuer: Annotated[str, Field(min_length=1)] | None = None
    audience: Annotated[str, Field(min_length=1)] | None = None
    leeway: Annotated[int, Field(ge=0, le=300)] = 10

    @property
    def secret_name(self) -> str | None:
        """The environment variable with the shared secret; None when keys come from `jwks_url`."""
        return None if self.jwks_url else self.secret_env or "CCWHISPER_JWT_SECRET"

    @property
    def accepted(self) -> tuple[str, ...]:
        """The algorithms of a token that is looked at further."""
        if self.algorithms:
            return tuple(self.algorithms)
        return ("RS256", "ES256", "EdDSA") if self.jwks_url else ("HS256",)


class Node(_Section):
    """One FreeSWITCH and its Event Socket. `browsers` is its WebSocket for coaches' browsers; without it nobody can
    coach from the browser there. `recordings` is the folder of what is recorded as that switch sees it,
    `recordings_here` the same one as the service does, or the bucket that it is sent to, where they are not that of
    [recording]."""

    name: Annotated[str, formats.matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", "letters, digits, dot, dash, underscore")]
    host: Annotated[str, Field(min_length=1, max_length=253)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8021
    password_env: EnvName
    browsers: Annotated[str, AfterValidator(formats.loopback)] | None = None
    recordings: Folder | None = None
    recordings_here: Annotated[str, AfterValidator(formats.store_of_files)] | None = None


class Store(_Section):
    """The database: SQLite in the state directory unless `url` names another."""

    url: Annotated[str, AfterValidator(formats.database)] | None = None
    password_env: EnvName | None = None


Answer = Literal[
    "none", "common", "audiocodes", "avaya", "cisco", "fanvil", "gigaset", "grandstream", "mitel", "poly", "snom",
    "yealink", "answer-after", "answer-mode", "p-auto-answer",
]  # fmt: skip
Seconds = Annotated[float, Field(gt=0, le=60)]


class Coaching(_Section):
    """Times in seconds unless a name says otherwise."""

    ring_seconds: Annotated[int, Field(ge=5, le=120)] = 30
    attach_timeout: Seconds = 4.0
    seek_grace: Seconds = 2.0
    lease_seconds: Annotated[int, Field(ge=6, le=300)] = 15
    lease_every: Seconds = 3.0
    press_ttl: Annotated[float, Field(ge=0.2, le=10)] = 1.0
    key_talk_seconds: Annotated[float, Field(ge=1, le=600)] = 60.0
    key_again_seconds: Annotated[float, Field(ge=0.5, le=5)] = 2.0
    deadman_seconds: Annotated[int, Field(ge=2, le=30)] = 3
    deadman_rearm: Seconds = 1.0
    refresh_seconds: Seconds = 10.0
    jitter_buffer_ms: Annotated[int, Field(ge=20, le=200)] = 40
    caller_name: Annotated[
        str, formats.matching(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}", "plain letters, digits, spaces")
    ] = "Coaching"
    answer: Answer = "common"
    lamps: Literal["none", "told", "all"] = "told"
    keys: bool = True
    adopt_unknown_cc_agents: bool = True


class Device(_Section):
    """A coach's phone that is not like the others."""

    answer: Answer


Occasion = Literal["listen", "whisper", "barge", "end"]
Way = Literal["listen", "whisper", "barge", "take_over"]


def _listening_first(value: list[Way]) -> list[Way]:
    if value and "listen" not in value:
        raise ValueError("must hold listen, which comes before all others, or nothing")
    return value


class Beep(_Section):
    """The tone that the agent alone hears: level in dBm0 (full scale is +3.17), parts of [ms, pause ms, [hertz, …]]."""

    on: list[Occasion] = ["whisper"]
    level: Annotated[int, Field(ge=-60, le=0)] = -13
    parts: Annotated[list[Part], Field(min_length=1, max_length=8)] = [(200, 0, [1400])]


class Queue(_Section):
    """What a queue wants; a key that is left out is as in [queue.default]."""

    beep: Beep | None = None
    max_coaches: Annotated[int, Field(ge=1, le=50)] | None = None
    cues: (
        Annotated[list[Annotated[str, Field(max_length=500), AfterValidator(formats.line)]], Field(max_length=100)]
        | None
    ) = None
    modes: Annotated[list[Way], AfterValidator(_listening_first)] | None = None
    talk: Literal["open", "push"] | None = None
    tell_listening: bool | None = None
    record: bool | None = None
    record_whisper: Literal["off", "separate", "excluded"] | None = None
    keep_days: Annotated[int, Field(ge=1, le=36500)] | None = None

    @property
    def part(self) -> PolicyPart:
        """In the core's terms."""
        beep = self.beep
        return PolicyPart(
            beep_on=frozenset(beep.on) if beep else None,
            tone=Tone(beep.level, tuple((a, b, tuple(c)) for a, b, c in beep.parts)) if beep else None,
            max_coaches=self.max_coaches,
            cues=None if self.cues is None else tuple(self.cues),
            modes=None if self.modes is None else frozenset(self.modes),
            talk=None if self.talk is None else Talk(self.talk),
            tell_listening=self.tell_listening,
            record=self.record,
            record_whisper=None if self.record_whisper is None else Whispers(self.record_whisper),
            keep_days=self.keep_days,
        )


class Recording(_Section):
    """Where the switch writes what is recorded, until a file for people is made of it: a folder that switch and service
    both may use. Left out, `recordings/raw` in the state directory. `archive` is where the files are kept, a folder or
    s3://bucket/prefix, `workers` how many are made at a time. `bitrate` is in kbit/s and channel, `language` a code of
    ISO 639-2, `bleed_threshold` in dB below the coach's own voice. `endpoint`, `region` and the variables with the keys
    are for buckets."""

    directory: Folder | None = None
    archive: Annotated[str, AfterValidator(formats.store_of_files)] | None = None
    workers: Annotated[int, Field(ge=1, le=16)] = 1
    codec: Literal["aac", "opus"] = "aac"
    bitrate: Annotated[int, Field(ge=12, le=128)] = 24
    language: Annotated[str, formats.matching(r"[a-z]{3}", "three letters of ISO 639-2, as eng")] = "und"
    bleed_threshold: Annotated[float, Field(ge=-80, le=0)] = -45.0
    endpoint: Annotated[str, AfterValidator(formats.endpoint)] | None = None
    region: Annotated[str, formats.matching(r"[A-Za-z0-9-]{1,64}", "letters, digits and dashes")] = "us-east-1"
    key_env: EnvName = "AWS_ACCESS_KEY_ID"
    secret_env: EnvName = "AWS_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a variable


class IceServer(_Section):
    """A STUN or TURN server, for coaches whose browsers do not reach the switch directly."""

    urls: Annotated[list[Annotated[str, AfterValidator(formats.ice)]], Field(min_length=1)]
    username: str | None = None
    credential_env: EnvName | None = None


class BrowserPhone(_Section):
    """How coaches' browsers reach the switch's media."""

    ice_servers: list[IceServer] = []


class AgentEntry(_Section):
    """A known agent: the directory users whose legs are his, the queues that he serves, and the model of the headset
    that he wears, by which echoes of coaches are counted."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    users: Annotated[list[Annotated[str, AfterValidator(formats.user)]], Field(min_length=1)]
    queues: list[QueueName] = []
    headset: Annotated[str, Field(min_length=1, max_length=128)] | None = None


Number = Annotated[str, AfterValidator(formats.word)]
ProofCodec = Literal["PCMU", "PCMA", "G722"]


class ProofPhone(_Section):
    """A directory user whom `prove` plays. A caller without `password_env` calls without being asked for one."""

    user: Number
    password_env: EnvName | None = None
    codecs: Annotated[list[ProofCodec], Field(min_length=1)] = ["PCMU", "PCMA"]


class Prove(_Section):
    """Where and as whom `ccwhisper prove` calls; the service itself does not read it. `phones` and `trunk` are SIP
    addresses: where agent and coach register, and where a caller without a password calls."""

    node: str | None = None
    domain: Annotated[str, Field(min_length=1, max_length=253)]
    phones: Annotated[str, AfterValidator(formats.address)]
    trunk: Annotated[str, AfterValidator(formats.address)] | None = None
    number: Number
    sign_in: Number | None = None
    caller: ProofPhone
    agent: ProofPhone
    coach: ProofPhone
    recordings: Annotated[str, Field(min_length=1)] | None = None


Permission = Literal["view_contact_center_dashboard", "monitor_live_calls"]
Role = Literal["whisper", "barge"]


class Supervisor(_Section):
    """Who may coach from his desk phone: the directory users that are his, and what a token of his would say. The
    section's name is the `sub` of his tokens."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    users: Annotated[list[Annotated[str, AfterValidator(formats.user)]], Field(min_length=1)]
    permissions: list[Permission] = ["view_contact_center_dashboard", "monitor_live_calls"]
    roles: list[Role] = []
    queues: list[QueueName] = []


class File(_Section):
    """The whole file."""

    service: Service = Service()
    auth: Auth = Auth()
    store: Store = Store()
    node: Annotated[list[Node], Field(min_length=1)]
    coaching: Coaching = Coaching()
    browser_phone: BrowserPhone = BrowserPhone()
    recording: Recording = Recording()
    queue: dict[QueueName, Queue] = {}
    agent: dict[Annotated[str, Field(min_length=1, max_length=128)], AgentEntry] = {}
    device: dict[Annotated[str, AfterValidator(formats.user)], Device] = {}
    prove: Prove | None = None
    supervisor: dict[Annotated[str, Field(min_length=1, max_length=128)], Supervisor] = {}
