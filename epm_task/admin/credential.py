"""Read and check the client certificate that gives the Admin tier, with its key and its CA.

All three are given as paths: a secret is never the value of an option or of a variable. The dates
of the certificate are checked here, because a handshake with an expired one ends without a reason.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from epm_task.admin.errors import UnsafeConnection, WrongUse
from epm_task.errors import UnsafeConfiguration
from epm_task.runtime.agent.tls import client_context
from epm_task.trust import open_file, open_regular, path_of

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.x509 import Name

_KEY_MARK = b"PRIVATE KEY-----"
#: A certificate or a key has a few KiB; a device or a log given by mistake has more.
_MAX_BYTES = 1024 * 1024


class Credential(NamedTuple):
    """PEM files that prove that the caller is an administrator, and that the peer is the agent.

    Without a certificate there is no Admin tier; its file may hold the key too. Without a CA a
    listener on loopback is trusted that belongs to the system or to this user.
    """

    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    def read_certificate(self) -> Certificate | None:
        """Return the facts of the client certificate, None when there is none.

        Raises:
            WrongUse: The file cannot be read, or holds no certificate.
        """
        if self.certificate is None:
            return None
        try:
            return read_certificate(_content(self.certificate, "--cert"))
        except ValueError as error:
            raise WrongUse(
                f"--cert {self.certificate} was not used",
                str(error),
                "give the PEM file of the client certificate",
            ) from None

    def tls_context(self) -> ssl.SSLContext:
        """Return the TLS context for all calls; nothing in the environment can change it.

        Raises:
            WrongUse: A file is missing or is not what it must be, or the key is of another
                certificate.
            UnsafeConnection: Another user can read the key or write one of the files, or the
                certificate has expired.
        """
        try:
            context = client_context(self.ca, option="--cacert")
            if self.certificate is not None:
                self._load(context, self.certificate)
        except UnsafeConfiguration as error:
            raise UnsafeConnection.of(error) from None
        if self.certificate is None and self.key is not None:
            raise WrongUse("--key was given without --cert", fix="give both, or neither")
        return context

    def _load(self, context: ssl.SSLContext, certificate: Path) -> None:
        facts = self.read_certificate()
        why = facts.out_of_date(datetime.now(UTC)) if facts else ""
        if why:
            raise UnsafeConnection(
                f"the client certificate {certificate} cannot be used",
                why,
                "ask your Keeper deployment team for a new one",
            )
        key = self.key or certificate
        if _KEY_MARK not in _content(key, "--key"):
            raise WrongUse(
                f"{key} holds no private key in PEM form",
                fix=f"give the key of {certificate} with --key",
            )
        try:
            with open_file(certificate) as shown, open_file(key, secret=True) as kept:
                context.load_cert_chain(
                    path_of(shown, certificate), path_of(kept, key), password=_refuse_password
                )
        except ssl.SSLError as error:
            raise WrongUse(
                f"--cert {certificate} and --key {key} cannot be used together",
                error.reason or str(error),
                "give the key that belongs to the certificate",
            ) from None


def _content(path: Path, option: str) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read(_MAX_BYTES)
    except UnsafeConfiguration as error:
        raise UnsafeConnection.of(error) from None
    except OSError as error:
        why = error.strerror or str(error)
        raise WrongUse(f"{option} {path} cannot be read", why, "correct the path") from None


def _refuse_password() -> NoReturn:
    # OpenSSL would ask on the terminal, and a pipeline would wait for ever.
    raise WrongUse(
        "the private key is encrypted",
        fix="give one without a passphrase, in a file that only its owner can read",
    )


class Certificate(NamedTuple):
    """Two common names, empty when there are none, and first and last moment of validity in UTC."""

    common_name: str
    issuer_name: str
    begins: datetime
    ends: datetime

    def out_of_date(self, now: datetime) -> str:
        """Return why it is not valid at *now*; empty when it is."""
        if now > self.ends:
            return f"it expired on {self.ends:%Y-%m-%d %H:%M} UTC"
        if now < self.begins:
            return f"it is valid only from {self.begins:%Y-%m-%d %H:%M} UTC on"
        return ""


def read_certificate(data: bytes) -> Certificate:
    """Return the facts of one certificate, the first of a PEM text or one in DER.

    Raises:
        ValueError: It is not an X.509 certificate.
    """
    from cryptography import x509  # noqa: PLC0415  # only who shows a certificate pays for it

    load = (
        x509.load_pem_x509_certificate if b"-----BEGIN" in data else x509.load_der_x509_certificate
    )
    try:
        found = load(data)
        return Certificate(
            _common_name(found.subject),
            _common_name(found.issuer),
            found.not_valid_before_utc,
            found.not_valid_after_utc,
        )
    except (ValueError, TypeError, x509.InvalidVersion) as error:
        raise ValueError("it holds no X.509 certificate that could be read") from error


def _common_name(name: Name) -> str:
    oid = "2.5.4.3"  # id-at-commonName, RFC 5280, appendix A.1
    return next((str(each.value) for each in name if each.oid.dotted_string == oid), "")
