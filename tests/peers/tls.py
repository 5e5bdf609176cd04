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
#: yesterday. `leaf`: no CA, and names no host, as an agent's own certificate may; `leaf-ip-san`: no
#: CA, and names them. `issued`: by a CA, and says by which key; `issued-bare`: does not say it.
Variant: TypeAlias = Literal[
    "ip-san", "wrong-name", "expired", "leaf", "leaf-ip-san", "issued", "issued-bare"
]

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
    """Return the CA bundle: the certificate itself, or that of the CA which has issued it."""
    issued = variant.startswith("issued")
    certificate = _authority()[1] if issued else _made(variant)[1]
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def server_pem(variant: Variant = "ip-san") -> bytes:
    """Return the private key and the certificate, as a real server needs them in a file."""
    key, certificate = _made(variant)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


_Issued: TypeAlias = tuple[ec.EllipticCurvePrivateKey, x509.Certificate]


@functools.cache
def _authority() -> _Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _described(key, "Authority", is_ca=True).issuer_name(_name("Authority"))
    return key, builder.sign(key, hashes.SHA256())


@functools.cache
def _made(variant: Variant) -> _Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    issued = variant.startswith("issued")
    end = -_DAY if variant == "expired" else _DAY
    is_ca = not issued and not variant.startswith("leaf")
    builder = _described(key, "Localhost", is_ca=is_ca, end=end).add_extension(
        x509.SubjectAlternativeName(_names(variant)), critical=False
    )
    if not issued:
        return key, builder.issuer_name(_name("Localhost")).sign(key, hashes.SHA256())
    signing, _ = _authority()
    if variant == "issued":
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key())
        builder = builder.add_extension(identifier, critical=False)
    return key, builder.issuer_name(_name("Authority")).sign(signing, hashes.SHA256())


def _described(
    key: ec.EllipticCurvePrivateKey, name: str, *, is_ca: bool, end: dt.timedelta = _DAY
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * _DAY)
        .not_valid_after(now + end)
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _names(variant: Variant) -> list[x509.GeneralName]:
    if variant in {"wrong-name", "leaf"}:
        return [x509.DNSName("elsewhere.example")]
    addresses = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    return [x509.DNSName("localhost"), *map(x509.IPAddress, addresses)]
