"""A credential is the client certificate that gives the Admin tier, with what it is used with.

All three are paths: a secret never stands in an option or a variable.

Python's `ssl` does not tell the dates of a certificate that it loads, so that an expired one is
noticed as a refusal that has no reason. X.509 is DER; the path to these fields is RFC 5280, 4.1.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from epm_task.admin.errors import UnsafeConnection, WrongUse
from epm_task.errors import UnsafeConfiguration
from epm_task.files import check_trusted
from epm_task.runtime.tls import client_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_KEY_MARK = b"PRIVATE KEY-----"
#: A certificate or a key has a few KiB; a device or a log given by mistake has more.
_MAX_BYTES = 1024 * 1024


class Credential(NamedTuple):
    """What proves that the caller is an administrator, and that the peer is the agent.

    Attributes:
        certificate: PEM file of the client certificate; None calls without the Admin tier.
        key: PEM file of its private key; None when the certificate's file holds it.
        ca: PEM file of the CA of the agent's certificate; None trusts a listener on loopback that
            belongs to the system or to this user.
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
            return read_pem(_content(self.certificate, "--cert"))
        except ValueError as error:
            raise WrongUse(
                f"--cert {self.certificate}: {error}; give the PEM file of the client certificate"
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
        except UnsafeConfiguration as error:
            raise UnsafeConnection(str(error)) from None
        if self.certificate is not None:
            self._load(context, self.certificate)
        elif self.key is not None:
            raise WrongUse("--key was given without --cert; give both, or neither")
        return context

    def _load(self, context: ssl.SSLContext, certificate: Path) -> None:
        facts = self.read_certificate()
        why = facts.out_of_date(datetime.now(UTC)) if facts else ""
        if why:
            raise UnsafeConnection(
                f"the client certificate {certificate} cannot be used: {why}; ask your Keeper "
                "deployment team for a new one"
            )
        key = self.key or certificate
        if _KEY_MARK not in _content(key, "--key"):
            raise WrongUse(
                f"{key} holds no private key in PEM form; give the key of {certificate} with --key"
            )
        try:
            check_trusted(certificate)
            check_trusted(key, secret=True)
            context.load_cert_chain(certificate, key, password=_refuse_password)
        except UnsafeConfiguration as error:
            raise UnsafeConnection(str(error)) from None
        except ssl.SSLError as error:
            why = (error.reason or str(error)).lower().replace("_", " ")
            raise WrongUse(
                f"--cert {certificate} and --key {key} cannot be used together ({why}); "
                "give the key that belongs to the certificate"
            ) from None


def _content(path: Path, option: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES)
    except OSError as error:
        raise WrongUse(
            f"{option} {path} cannot be read ({error.strerror}); correct the path"
        ) from None


def _refuse_password() -> NoReturn:
    # OpenSSL would ask on the terminal, and a pipeline would wait for ever.
    raise WrongUse(
        "the private key is encrypted; give one without a passphrase, in a file that only its "
        "owner can read"
    )


_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_UTC_TIME: Final = 0x17
_VERSION: Final = 0xA0
#: id-at-commonName, 2.5.4.3, as DER.
_COMMON_NAME: Final = b"\x06\x03\x55\x04\x03"
#: The low bits of the first length byte say how many bytes of length follow.
_LONG: Final = 0x80


class Certificate(NamedTuple):
    """The facts of one certificate.

    Attributes:
        subject: Its name, as DER, to be compared.
        issuer: The name of the authority that signed it, as DER.
        begins: First moment of its validity.
        ends: Last moment of its validity.
    """

    subject: bytes
    issuer: bytes
    begins: datetime
    ends: datetime

    @property
    def common_name(self) -> str:
        """The subject's common name; empty when it has none."""
        return _common_name(self.subject)

    @property
    def issuer_name(self) -> str:
        """The issuer's common name; empty when it has none."""
        return _common_name(self.issuer)

    def out_of_date(self, now: datetime) -> str:
        """Return why it is not valid at *now*; empty when it is."""
        if now > self.ends:
            return f"it expired on {self.ends:%Y-%m-%d %H:%M} UTC"
        if now < self.begins:
            return f"it is valid only from {self.begins:%Y-%m-%d %H:%M} UTC on"
        return ""


def read_pem(data: bytes) -> Certificate:
    """Return the first certificate of a PEM text.

    Raises:
        ValueError: There is none, or it is no X.509.
    """
    found = _PEM.search(data)
    if found is None:
        raise ValueError("it holds no certificate in PEM form")
    return read_der(ssl.PEM_cert_to_DER_cert(found[0].decode("ascii", "replace")))


def read_der(data: bytes) -> Certificate:
    """Return the facts of an X.509 certificate.

    Raises:
        ValueError: It is no X.509.
    """
    try:
        _, whole = next(_elements(data))
        _, signed = next(_elements(whole))
        fields = list(_elements(signed))
        if fields[0][0] == _VERSION:
            del fields[0]
        issuer, validity, subject = (content for _, content in fields[2:5])
        begins, ends = (_moment(tag, content) for tag, content in _elements(validity))
    except (StopIteration, IndexError, ValueError) as error:
        raise ValueError("it is no X.509 certificate") from error
    return Certificate(subject, issuer, begins, ends)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of the DER elements that follow each other in *data*."""
    position = 0
    while position < len(data):
        tag, length = data[position], data[position + 1]
        position += 2
        if length & _LONG:
            size = length & ~_LONG
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        yield tag, data[position : position + length]
        position += length


def _moment(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:  # two digits of the year: 50 to 99 are 1950 to 1999
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _common_name(name: bytes) -> str:
    _, found, rest = name.partition(_COMMON_NAME)
    if not found:
        return ""
    try:
        return next(_elements(rest))[1].decode("utf-8", "replace")
    except (StopIteration, IndexError):
        return ""
