"""TLS works when the certificate at the port is the agent's, and the one that we show is valid."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from epm_task.admin.address import admin_address
from epm_task.admin.certificate import Certificate, read_der
from epm_task.admin.credential import Credential
from epm_task.admin.doctor.finding import Finding, fault, note, of_error, ok
from epm_task.admin.errors import AdminError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from epm_task.admin.doctor.case import Case

_NAME: Final = "TLS"
_SECONDS: Final = 2.0


def check_tls(case: Case) -> Iterator[Finding]:
    """Shake hands without a client certificate, and look at the agent's."""
    if not case.listening:
        return
    ca = case.settings.credential.ca
    try:
        context = Credential(ca=ca).tls_context()
        version, certificate = _shake_hands(case.base_url, context)
    except AdminError as error:
        yield of_error(_NAME, error)
    except ssl.SSLCertVerificationError as error:
        yield fault(
            _NAME,
            f"the certificate at {case.base_url} is refused ({error.verify_message})",
            "export the CA of this agent anew: its certificate changes at each start of the "
            "service; without --cacert the owner of the port is checked instead",
        )
    except ssl.SSLError as error:
        yield fault(
            _NAME,
            f"no TLS is spoken at {case.base_url} ({error.reason})",
            "another program holds the port, or it is the agent's HTTP port",
        )
    except OSError as error:
        yield fault(_NAME, f"no connection to {case.base_url} ({error})", "see the port")
    else:
        yield _judge(version, certificate, verified=ca is not None)


def check_credential(case: Case) -> Iterator[Finding]:
    """Look at the files of the credential, and at the dates of the client certificate."""
    credential = case.settings.credential
    try:
        credential.tls_context()
        certificate = credential.read_certificate()
    except AdminError as error:
        yield of_error("credential", error)
        return
    if certificate is None:
        yield note(
            "credential",
            "no client certificate was given, so the Admin tier is not examined",
            "give --cert and --key, or EPM_TASK_ADMIN_CERT and _KEY",
        )
        return
    yield ok(
        "credential",
        f"{credential.certificate} ({certificate.common_name}) was issued by "
        f"{certificate.issuer_name} and ends on {certificate.ends:%Y-%m-%d}",
    )


def _shake_hands(base_url: str, context: ssl.SSLContext) -> tuple[str, Certificate | None]:
    host, port = admin_address(base_url)
    with (
        socket.create_connection((host, port), _SECONDS) as opened,
        context.wrap_socket(opened, server_hostname=host) as secured,
    ):
        data = secured.getpeercert(binary_form=True)
        return secured.version() or "", read_der(data) if data else None


def _judge(version: str, certificate: Certificate | None, *, verified: bool) -> Finding:
    why = certificate.out_of_date(datetime.now(UTC)) if certificate else ""
    if why:
        return fault(
            _NAME, f"the agent's certificate is out of date: {why}", "restart the agent's service"
        )
    how = "verified by --cacert" if verified else "not verified: no --cacert was given"
    name = certificate.common_name if certificate else "no name"
    return ok(_NAME, f"{version}, certificate {name!r}, {how}")
