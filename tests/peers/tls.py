"""A server certificate, self-signed, right or wrong in one way, lets a peer speak real TLS."""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress
import ssl
import tempfile
from pathlib import Path
from typing import Literal, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: `ip-san`: names 127.0.0.1, ::1 and localhost. `wrong-name`: names another host. `expired`: since
#: yesterday. `leaf`: no CA, and names no host, as an agent's own certificate may.
Variant: TypeAlias = Literal["ip-san", "wrong-name", "expired", "leaf"]

_DAY = dt.timedelta(days=1)


@functools.cache
def server_context(variant: Variant = "ip-san") -> ssl.SSLContext:
    """Return the TLS context of a server; the same for every peer of the test session."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "server.pem")
        file.write_bytes(server_pem(variant))
        context.load_cert_chain(file)
    return context


def certificate_pem(variant: Variant = "ip-san") -> str:
    """Return the certificate itself, which is its own CA bundle."""
    return _issued(variant)[1].decode("ascii")


def server_pem(variant: Variant = "ip-san") -> bytes:
    """Return the private key and the certificate, as a real server needs them in a file."""
    return b"".join(_issued(variant))


@functools.cache
def _issued(variant: Variant) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Localhost")])
    now = dt.datetime.now(dt.UTC)
    end = now - _DAY if variant == "expired" else now + _DAY
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * _DAY)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName(_names(variant)), critical=False)
        .add_extension(x509.BasicConstraints(ca=variant != "leaf", path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return (
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM),
    )


def _names(variant: Variant) -> list[x509.GeneralName]:
    if variant in {"wrong-name", "leaf"}:
        return [x509.DNSName("elsewhere.example")]
    addresses = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    return [x509.DNSName("localhost"), *map(x509.IPAddress, addresses)]
