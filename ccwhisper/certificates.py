"""The certificate that the service answers https with: read, and made for a machine that has none.

A real one comes from an authority (docs/installing.md). One that is made here is trusted by nobody until he is told to:
it is for localhost, for a trial, and for machines that are given it by hand.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOCAL: Final = ("localhost", "127.0.0.1", "::1")

SOON: Final = 14
"""Days. An authority's certificate is renewed a month before its end, if nothing is amiss."""


class CertificateError(Exception):
    """The two files cannot be used. `of_key`: it is the key's fault. Codes: `file_unreadable`, `certificate_invalid`,
    `key_invalid`, `key_encrypted`, `key_mismatch`."""

    def __init__(self, code: str, message: str, of_key: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.of_key = of_key


@dataclass(frozen=True, slots=True)
class Certificate:
    """The first certificate of a file, which is the service's own."""

    begins: datetime.datetime
    ends: datetime.datetime

    def days_left(self, now: datetime.datetime | None = None) -> float:
        """Until it ends; negative when it has."""
        return (self.ends - (now or datetime.datetime.now(datetime.UTC))).total_seconds() / 86400


def context(certificate: Path, key: Path, kind: type[ssl.SSLContext] = ssl.SSLContext) -> ssl.SSLContext:
    """TLS 1.2 or later with these two files (PEM; the certificate with those between it and its authority). `kind`:
    gevent has its own. Raises CertificateError."""
    read(certificate)
    _readable(key, of_key=True)

    def ask() -> str:
        raise CertificateError("key_encrypted", "asks for a password: the service starts without anybody there", True)

    made = kind(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    try:
        made.load_cert_chain(certificate, key, ask)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError("key_mismatch", "is not the key of the certificate", True) from None
        raise CertificateError("key_invalid", "is no private key in PEM", True) from None
    return made


def read(path: Path) -> Certificate:
    """Raises CertificateError (`file_unreadable`, `certificate_invalid`)."""
    try:
        found = x509.load_pem_x509_certificates(_readable(path))[0]
    except ValueError:
        raise CertificateError("certificate_invalid", "is no certificate in PEM") from None
    return Certificate(found.not_valid_before_utc, found.not_valid_after_utc)


def _readable(path: Path, of_key: bool = False) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError("file_unreadable", f"{path}: {error.strerror or 'cannot be read'}", of_key) from None


def self_signed(names: Sequence[str] = LOCAL, days: int = 365) -> tuple[bytes, bytes]:
    """A certificate for these host names and addresses, and its key, both PEM. Raises ValueError for what is neither.

    It can sign no other certificates, so whoever trusts it trusts these names and no more.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"ccwhisper {names[0]}"[:64])])
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
         "encipher_only", "decipher_only"), False,
    )  # fmt: skip
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([_name(each) for each in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, **usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    return (
        made.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    if not all(part and part.replace("-", "").isalnum() for part in text.removeprefix("*.").split(".")):
        raise ValueError(f"{text} is neither a host name nor an address")
    return x509.DNSName(text)  # ValueError where it is not ASCII
