"""The configuration file: what it becomes, and what is said about its mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from ccwhisper.certificates import self_signed
from ccwhisper.coaching.model import Actor
from ccwhisper.coaching.modes import Talk
from ccwhisper.coaching.policy import MONITOR, VIEW, Lamps, PolicyPart, QueuePolicy, Rules
from ccwhisper.config import Config, ConfigError, load

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
SECRETS = {"CCWHISPER_JWT_SECRET": "s" * 32, "CCW_ESL_PASSWORD": "not-the-known-one"}
NODE = '[[node]]\nname = "fs1"\npassword_env = "CCW_ESL_PASSWORD"\n'


def loaded(folder: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    path = folder / "ccwhisper.toml"
    path.write_text(text)
    return load(path, SECRETS if environ is None else environ)


def mistakes(folder: Path, text: str, environ: dict[str, str] | None = None) -> set[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text, environ)
    assert all(str(folder) in line for line in str(caught.value).splitlines())
    return {(problem.code, problem.key) for problem in caught.value.problems}


def test_the_example_is_usable() -> None:
    config = load(ROOT / "ccwhisper.example.toml", SECRETS)
    rules = config.rules()
    assert set(rules.agents) == {"1001", "1002"}
    assert rules.agents["1001"].users == {"1001@ccwhisper.local"}
    assert rules.queue("support@default").max_coaches == 3
    assert [each.id for each in rules.supervisors.values()] == ["carla"]
    assert rules.queue("support@default").tone == rules.default.tone
    assert config.nodes[0].port == 8021
    assert config.state_directory == ROOT / "var"


def test_a_minimal_file_has_the_defaults_of_the_core(tmp_path: Path) -> None:
    config = loaded(tmp_path, NODE)
    assert config.rules() == Rules()
    assert (config.service.host, config.service.port) == ("127.0.0.1", 8810)
    assert config.auth.accepted == ("HS256",)


def test_a_supervisor_is_known_by_each_of_his_phones(tmp_path: Path) -> None:
    text = '[supervisor.carla]\nname = "Carla"\nusers = ["1@d", "2@d"]\nroles = ["whisper"]\nqueues = ["q"]\n'
    carla = Actor(
        "carla", "Carla", frozenset({VIEW, MONITOR}), frozenset({"whisper"}), frozenset({"q"}), ("1@d", "2@d")
    )
    assert loaded(tmp_path, NODE + text).rules().supervisors == {"1@d": carla, "2@d": carla}


def test_a_queue_takes_what_it_does_not_say_from_the_default_queue(tmp_path: Path) -> None:
    text = NODE + (
        "[queue.default]\nmax_coaches = 2\n"
        'beep = {on = ["listen", "end"], level = -20, parts = [[100, 50, [440, 480]]]}\n'
        '[queue."a@b"]\nmax_coaches = 9\n[queue."c@d"]\nbeep = {on = []}\n'
    )
    rules = loaded(tmp_path, text).rules()
    assert rules.queue("a@b").max_coaches == 9
    assert rules.queue("a@b").beep_on == {"listen", "end"}
    assert rules.queue("a@b").tone.parts == ((100, 50, (440, 480)),)
    assert rules.queue("c@d").max_coaches == 2
    assert rules.queue("c@d").beep_on == frozenset()
    assert rules.queue("no such") == rules.queue(None) == rules.default


def test_what_a_queue_may_say(tmp_path: Path) -> None:
    text = NODE + (
        '[queue.default]\nmodes = ["listen", "whisper"]\ntalk = "push"\ntell_listening = true\n'
        '[queue."a@b"]\nmodes = []\ntalk = "open"\ntell_listening = false\ncues = ["  one   line "]\n'
    )
    rules = loaded(tmp_path, text).rules()
    assert rules.default == QueuePolicy(modes=frozenset({"listen", "whisper"}), talk=Talk.PUSH, tell_listening=True)
    assert rules.queue("a@b") == QueuePolicy(modes=frozenset(), cues=("one line",))
    assert rules.file["a@b"] == PolicyPart(
        modes=frozenset(), talk=Talk.OPEN, tell_listening=False, cues=("one line",)
    ), "and not what it leaves to others"


@pytest.mark.parametrize(
    ("text", "code", "key"),
    [
        ("nonsense", "not_toml", ""),
        ("", "key_missing", "node"),
        (NODE + "[service]\nlisten = '8810'\n", "value_invalid", "service.listen"),
        (NODE + "[service]\nlisten = 'example.org:1'\n", "value_invalid", "service.listen"),
        (NODE + "[service]\nport = 1\n", "key_unknown", "service.port"),
        (NODE + "[service]\norigins = ['https://crm.example/']\n", "value_invalid", "service.origins[0]"),
        (NODE + "[service]\norigins = ['*']\n", "value_invalid", "service.origins[0]"),
        (NODE + "[auth]\nsecret = 'in the file'\n", "key_unknown", "auth.secret"),
        (NODE + "[auth]\nalgorithms = ['none']\n", "value_invalid", "auth.algorithms[0]"),
        (NODE + "[auth]\nalgorithms = ['RS256']\n", "algorithm_mismatch", "auth.algorithms"),
        (
            NODE + "[auth]\njwks_url = 'https://id/keys'\nalgorithms = ['HS256']\n",
            "algorithm_mismatch",
            "auth.algorithms",
        ),
        (NODE + "[auth]\njwks_url = 'http://id.example/keys'\n", "value_invalid", "auth.jwks_url"),
        (NODE + "[auth]\njwks_url = 'https://id/keys'\nsecret_env = 'A'\n", "auth_ambiguous", "auth"),
        (NODE + "[auth]\nsecret_env = 'ELSEWHERE'\n", "secret_missing", "auth.secret_env"),
        (NODE + NODE, "node_twice", "node[1].name"),
        (NODE + "browsers = '192.0.2.1:5066'\n", "value_invalid", "node[0].browsers"),
        (NODE + "browsers = '127.0.0.1:0'\n", "value_invalid", "node[0].browsers"),
        (NODE + "browsers = 'loopback'\n", "value_invalid", "node[0].browsers"),
        (
            NODE + "[[browser_phone.ice_servers]]\nurls = ['https://turn.example.org']\n",
            "value_invalid",
            "browser_phone.ice_servers[0].urls[0]",
        ),
        (
            NODE + "[[browser_phone.ice_servers]]\nurls = ['stun:a.example']\ncredential_env = 'ELSEWHERE'\n",
            "secret_missing",
            "browser_phone.ice_servers[0].credential_env",
        ),
        (
            NODE + "[[browser_phone.ice_servers]]\nurls = ['stun:a.example', 'turn:b.example']\nusername = 'c'\n",
            "key_missing",
            "browser_phone.ice_servers[0].credential_env",
        ),
        ("[[node]]\nname = 'fs1'\n", "key_missing", "node[0].password_env"),
        (NODE + "[coaching]\nlease_seconds = 8\n", "lease_too_short", "coaching.lease_seconds"),
        (
            NODE + "[coaching]\ndeadman_seconds = 2\ndeadman_rearm = 1.5\n",
            "deadman_too_short",
            "coaching.deadman_seconds",
        ),
        (NODE + "[coaching]\npress_ttl = '1'\n", "value_invalid", "coaching.press_ttl"),
        (NODE + "[coaching]\npress_ttl = nan\n", "value_invalid", "coaching.press_ttl"),
        (NODE + "[queue.'a@b']\nbeep = {parts = [[5, 0, [1400]]]}\n", "value_invalid", 'queue."a@b".beep.parts[0][0]'),
        (NODE + "[queue.'a@b']\nmodes = ['whisper']\n", "value_invalid", 'queue."a@b".modes'),
        (NODE + "[queue.'a@b']\nmodes = ['spy']\n", "value_invalid", 'queue."a@b".modes[0]'),
        (NODE + "[queue.'a@b']\ntalk = 'closed'\n", "value_invalid", 'queue."a@b".talk'),
        (NODE + "[queue.'a@b']\ntell_listening = 1\n", "value_invalid", 'queue."a@b".tell_listening'),
        (NODE + "[queue.'a@b']\ncues = ['  ']\n", "value_invalid", 'queue."a@b".cues[0]'),
        (NODE + "[queue.x]\ncues = ['a\\u001bb']\n".replace("'", '"'), "value_invalid", "queue.x.cues[0]"),
        (NODE + "[agent.1]\nname = 'A'\nusers = ['1']\n", "value_invalid", "agent.1.users[0]"),
        (
            NODE + "[agent.1]\nname = 'A'\nusers = ['1@d']\n[agent.2]\nname = 'B'\nusers = ['1@D']\n",
            "user_twice",
            "agent.2.users[0]",
        ),
        (
            NODE + "[supervisor.1]\nname = 'A'\nusers = ['1@d']\n[supervisor.2]\nname = 'B'\nusers = ['1@D']\n",
            "user_twice",
            "supervisor.2.users[0]",
        ),
        (
            NODE + "[supervisor.1]\nname = 'A'\nusers = ['1@d']\nroles = ['spy']\n",
            "value_invalid",
            "supervisor.1.roles[0]",
        ),
        (NODE + "[supervisor.1]\nname = 'A'\nusers = []\n", "value_invalid", "supervisor.1.users"),
    ],
)
def test_a_mistake_has_a_code_and_a_place(tmp_path: Path, text: str, code: str, key: str) -> None:
    assert (code, key) in mistakes(tmp_path, text)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    found = mistakes(tmp_path, NODE + "[service]\nport = 1\n[coaching]\nring_seconds = 1\n")
    assert found == {("key_unknown", "service.port"), ("value_invalid", "coaching.ring_seconds")}


def test_secrets_come_from_the_environment_and_have_no_default(tmp_path: Path) -> None:
    assert mistakes(tmp_path, NODE, {}) == {
        ("secret_missing", "auth.secret_env"),
        ("secret_missing", "node[0].password_env"),
    }
    weak = {"CCWHISPER_JWT_SECRET": "short", "CCW_ESL_PASSWORD": "ClueCon"}
    assert mistakes(tmp_path, NODE, weak) == {
        ("secret_too_short", "auth.secret_env"),
        ("secret_well_known", "node[0].password_env"),
    }


def test_secrets_are_not_printed(tmp_path: Path) -> None:
    config = loaded(tmp_path, NODE)
    assert config.jwt_secret is not None
    assert config.jwt_secret.get_secret_value() == SECRETS["CCWHISPER_JWT_SECRET"]
    assert config.passwords["fs1"].get_secret_value() == SECRETS["CCW_ESL_PASSWORD"]
    assert not any(secret in repr(config) for secret in SECRETS.values())


def test_a_value_in_the_wrong_place_is_not_repeated_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, NODE + "[auth]\nsecret = 'hunter2'\nsecret_env = 'hunter2'\n")
    assert "hunter2" not in str(caught.value)


def test_a_jwks_url_needs_no_secret(tmp_path: Path) -> None:
    config = loaded(tmp_path, NODE + "[auth]\njwks_url = 'https://id.example/keys'\n", {"CCW_ESL_PASSWORD": "x" * 12})
    assert config.jwt_secret is None
    assert config.auth.accepted == ("RS256", "ES256", "EdDSA")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "missing.toml", SECRETS)
    assert caught.value.problems[0].code == "file_unreadable"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:secret@host/x",
        "postgresql://me@host/",
        "postgres://me@host/x",
        "mysql://me@host/x",
        "sqlite://x.db",
        "sqlite:///",
        "x.db",
    ],
)
def test_what_is_no_address_of_a_database(tmp_path: Path, url: str) -> None:
    assert mistakes(tmp_path, f'{NODE}[store]\nurl = "{url}"\n') == {("value_invalid", "store.url")}


def test_the_password_of_the_database_is_in_the_environment(tmp_path: Path) -> None:
    text = f'{NODE}[store]\nurl = "postgresql://me@host/x"\npassword_env = "DB"\n'
    assert mistakes(tmp_path, text) == {("secret_missing", "store.password_env")}
    config = loaded(tmp_path, text, {**SECRETS, "DB": "secret"})
    assert config.store_password is not None
    assert config.store_password.get_secret_value() == "secret"
    assert "secret" not in repr(config.store_password)


def test_phones_and_lamps(tmp_path: Path) -> None:
    text = NODE + '[coaching]\nanswer = "none"\nlamps = "all"\n[device."9002@dom"]\nanswer = "poly"\n'
    config = loaded(tmp_path, text)
    assert (config.coaching.answer, dict(config.answers)) == ("none", {"9002@dom": "poly"})
    assert config.rules().lamps is Lamps.ALL
    wrong = NODE + '[coaching]\nlamps = "some"\n[device.9002]\nanswer = "loud"\n'
    assert {key for _, key in mistakes(tmp_path, wrong)} == {"coaching.lamps", "device.9002", "device.9002.answer"}


def test_a_certificate_and_its_key(tmp_path: Path) -> None:
    for name in ("a", "b"):
        certificate, key = self_signed()
        (tmp_path / f"{name}.pem").write_bytes(certificate)
        (tmp_path / f"{name}.key").write_bytes(key)
    (tmp_path / "text").write_text("no certificate")
    locked = load_pem_private_key((tmp_path / "a.key").read_bytes(), None).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    (tmp_path / "locked.key").write_bytes(locked)

    def service(certificate: str | None, key: str | None) -> str:
        given = {"certificate": certificate, "key": key}
        return NODE + "[service]\n" + "".join(f"{name} = '{value}'\n" for name, value in given.items() if value)

    assert loaded(tmp_path, service("a.pem", "a.key")).tls == (tmp_path / "a.pem", tmp_path / "a.key")
    assert loaded(tmp_path, NODE).tls is None
    for certificate, key, code, where in (
        ("a.pem", None, "key_missing", "key"),
        (None, "a.key", "key_missing", "certificate"),
        ("gone", "a.key", "file_unreadable", "certificate"),
        ("a.pem", "gone", "file_unreadable", "key"),
        ("text", "a.key", "certificate_invalid", "certificate"),
        ("a.key", "a.key", "certificate_invalid", "certificate"),
        ("a.pem", "text", "key_invalid", "key"),
        ("a.pem", "b.key", "key_mismatch", "key"),
        ("a.pem", "locked.key", "key_encrypted", "key"),
    ):
        assert mistakes(tmp_path, service(certificate, key)) == {(code, f"service.{where}")}


def test_where_recordings_are(tmp_path: Path) -> None:
    plain = loaded(tmp_path, NODE)
    assert plain.raw_places == (str(tmp_path / "var/recordings/raw"),)
    assert plain.recording_archive == str(tmp_path / "var/recordings/archive")
    named = loaded(tmp_path, f'{NODE}[recording]\ndirectory = "/srv/raw"\narchive = "/srv/kept"\n')
    assert (named.raw_places, named.recording_archive) == (("/srv/raw",), "/srv/kept")


def test_the_keys_of_a_bucket_are_in_the_environment(tmp_path: Path) -> None:
    missing = {("secret_missing", "recording.key_env"), ("secret_missing", "recording.secret_env")}
    archive = f'{NODE}[recording]\narchive = "s3://calls/kept"\n'
    raws = f'{NODE}recordings_here = "s3://calls/raw"\n'
    assert mistakes(tmp_path, archive) == missing
    assert mistakes(tmp_path, raws) == missing
    keys = {**SECRETS, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    assert loaded(tmp_path, archive, keys).recording_archive == "s3://calls/kept"
    assert loaded(tmp_path, raws, keys).raw_places == ("s3://calls/raw",)


@pytest.mark.parametrize("where", ["kept", "s3://", "s3://B/x", "s3://calls/", "s3://calls/../x", "https://calls"])
def test_what_is_no_place_for_recordings(tmp_path: Path, where: str) -> None:
    assert mistakes(tmp_path, f'{NODE}[recording]\narchive = "{where}"\n') == {("value_invalid", "recording.archive")}


@pytest.mark.parametrize("url", ["s3.example.org", "ftp://s3.example.org", "https://me@s3.example.org", "https://"])
def test_what_is_no_endpoint_of_a_bucket(tmp_path: Path, url: str) -> None:
    assert mistakes(tmp_path, f'{NODE}[recording]\nendpoint = "{url}"\n') == {("value_invalid", "recording.endpoint")}
