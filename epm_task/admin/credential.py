"""A credential is the client certificate that gives the Admin tier, with what it is used with.

All three are paths: a secret never stands in an option or a variable.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from epm_task.admin.certificate import Certificate, read_pem
from epm_task.admin.errors import UnsafeConnection, WrongUse
from epm_task.errors import UnsafeConfiguration
from epm_task.runtime.tls import client_context
from epm_task.runtime.trusted_file import check_trusted

if TYPE_CHECKING:
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
