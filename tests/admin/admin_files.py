"""Files that an administrator has: certificates, right or wrong in one way, and job documents."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from peers.tls import certificate_pem

from epm_task.admin.credential import Credential
from epm_task.files import write_atomically
from epm_task.simulator.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.testing import Agent


def credential_of(agent: Agent) -> Credential:
    """Return the admin credential of an agent."""
    return Credential(agent.admin_cert, agent.admin_key, agent.ca)


def options_of(agent: Agent) -> list[str]:
    """Return the same as options of the command line."""
    certificate, key, ca = credential_of(agent)
    paths = ["--cert", str(certificate), "--key", str(key), "--cacert", str(ca)]
    return ["--base-url", agent.base_url, *paths]


def peer_ca(folder: Path) -> Path:
    """Write the certificate of the scripted peers, which is its own CA."""
    path = folder / "peer-ca.pem"
    path.write_text(certificate_pem())
    return path


def write_pair(folder: Path, certificate: bytes, key: bytes) -> tuple[Path, Path]:
    """Write a certificate and its key as an administrator keeps them."""
    paths = folder / "client.pem", folder / "client.key"
    for path, data in zip(paths, (certificate, key), strict=True):
        write_atomically(path, data)
    return paths


def foreign_pair(folder: Path) -> tuple[Path, Path]:
    """Write a client certificate of a CA that no agent knows."""
    pair = Authority.create().issue_admin()
    return write_pair(folder, pair.certificate, pair.key)


def dated_pair(folder: Path, *, from_days: int, to_days: int) -> tuple[Path, Path]:
    """Write a self-signed certificate that is valid between two days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Old admin")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=from_days))
        .not_valid_after(now + dt.timedelta(days=to_days))
        .sign(key, hashes.SHA256())
    )
    return write_pair(
        folder,
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def add_binary(agent: Agent, command: str = "probe", script: str = "") -> Path:
    """Put a program into the agent's layout: a script of the shell when it begins so, or Python."""
    name = command if script.startswith("#!") else f"{command}.py"
    path = agent.root / "Jobs" / "bin" / command / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script)
    path.chmod(0o755)
    return path


def job_document(job_id: str = "probe", **fields: Any) -> dict[str, Any]:
    """Return a valid job whose binary is `probe`."""
    task = {
        "id": "one",
        "command": "probe",
        "arguments": "--keeper-api-base={KeeperApiBaseUrl}",
        "timeoutSeconds": 60,
    }
    return {
        "id": job_id,
        "name": "Probe",
        "schedule": {"intervalMinutes": 5},
        "tasks": [task],
        "mqttTopics": {"allowedPublications": ["KeeperLogger"]},
        **fields,
    }
