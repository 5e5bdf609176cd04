"""Make the certificates of the agent and of its admin, signed by an authority of its own."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from epm_task.errors import UnsafeConfiguration
from epm_task.files import remove_leftovers, write_atomically
from epm_task.simulator.start_error import RootUnsafe, UnusableFile
from epm_task.trust import read_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

_CA_DAYS: Final = 3650
#: A certificate and a key have a few KiB.
_MAX_BYTES: Final = 64 * 1024
#: The most that Apple's TLS accepts for a server certificate of a private CA.
_LEAF_DAYS: Final = 825
#: A client's clock may be behind ours.
_BACKDATED: Final = dt.timedelta(days=1)

#: The subject that the vendor documents for the agent's certificate.
_SERVER_NAME: Final = "Localhost"
_STABLE_CA: Final = "stable-ca.pem"

_USAGES: Final = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
    *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


class CertificateFiles(NamedTuple):
    """Where clients find what they need."""

    ca: Path
    admin_cert: Path
    admin_key: Path


class KeyPair(NamedTuple):
    """A certificate with its private key, both as PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """A certificate authority with an EC P-256 key."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def create(cls) -> Authority:
        """Return a new authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("epm-task simulator CA")
        builder = (
            _builder(name, key.public_key(), _CA_DAYS)
            .issuer_name(name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage("key_cert_sign", "crl_sign"), critical=True)
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, path: Path) -> Authority:
        """Return the authority that `save` wrote.

        Raises:
            RootUnsafe: Another user could read or replace the file.
            UnusableFile: The file does not hold an authority, or cannot be read.
        """
        data = _read(path)
        try:
            certificate = x509.load_pem_x509_certificate(data)
            key = serialization.load_pem_private_key(data, password=None)
        except (ValueError, TypeError) as error:
            raise UnusableFile(path, "it must hold a certificate with its private key") from error
        public: CertificatePublicKeyTypes = certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != public:
            raise UnusableFile(path, "its certificate and its private key do not belong together")
        return cls(certificate, key)

    def save(self, path: Path) -> None:
        """Write certificate and private key into one file that only its owner can read."""
        write_atomically(path, self.certificate + _key_pem(self._key))

    @property
    def certificate(self) -> bytes:
        """The authority's certificate as PEM."""
        return _pem(self._certificate)

    def issue_server(self) -> KeyPair:
        """Return a certificate for this machine's loopback names."""
        names = [
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("::1")),
            x509.DNSName("localhost"),
        ]
        return self._issue(_SERVER_NAME, ExtendedKeyUsageOID.SERVER_AUTH, names)

    def issue_admin(self) -> KeyPair:
        """Return a client certificate that gives the Admin tier."""
        return self._issue("epm-task admin", ExtendedKeyUsageOID.CLIENT_AUTH, [])

    def _issue(
        self, subject: str, purpose: x509.ObjectIdentifier, names: list[x509.GeneralName]
    ) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        # Python 3.13 verifies strictly: it wants the key identifiers on both sides of the chain.
        own = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        issuer_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)
        builder = (
            _builder(_name(subject), key.public_key(), _LEAF_DAYS)
            .issuer_name(self._certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage("digital_signature"), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(issuer_id, critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return KeyPair(_pem(builder.sign(self._key, hashes.SHA256())), _key_pem(key))


class SiteCertificate(NamedTuple):
    """A certificate that a site has made itself, so that it stays over restarts."""

    pem: bytes  #: The file: the certificate, those that lead to its root, and the private key.
    trusted: bytes  #: What clients trust: all certificates but the first, or the only one.

    @classmethod
    def load(cls, path: Path) -> SiteCertificate:
        """Return the certificate in *path*.

        Raises:
            RootUnsafe: Another user could read or replace the file.
            UnusableFile: It cannot be read, or does not hold the chain and its private key.
        """
        pem = _read(path)
        try:
            chain = x509.load_pem_x509_certificates(pem)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            _load_chain(context, pem)
        except (ValueError, ssl.SSLError) as error:
            what = "it must hold a certificate with its private key, which has no password"
            raise UnusableFile(path, what) from error
        if chain[-1].issuer != chain[-1].subject:
            what = "it must hold the certificates of the CA too, up to the one that signed itself"
            raise UnusableFile(path, what)
        return cls(pem, b"".join(map(_pem, chain[1:] or chain)))


def open_authority(
    folder: Path, *, stable: bool = False, site: SiteCertificate | None = None
) -> tuple[Authority, CertificateFiles]:
    """Return the agent's authority, after writing what clients need into *folder*.

    *folder* takes `ca.pem`, `admin.pem` and `admin.key`, readable by their owner alone; with
    *stable* one authority is kept over restarts, in `stable-ca.pem`. With the certificate of a
    *site* `ca.pem` is what leads to that one, and the authority is that of the administrator alone.

    Raises:
        UnusableFile: `stable-ca.pem` is broken; it is not overwritten.
        OSError: The folder cannot be written.
    """
    remove_leftovers(folder)
    kept = folder / _STABLE_CA
    authority = Authority.load(kept) if stable and kept.exists() else Authority.create()
    if stable and not kept.exists():
        authority.save(kept)
    files = CertificateFiles(folder / "ca.pem", folder / "admin.pem", folder / "admin.key")
    admin = authority.issue_admin()
    write_atomically(files.ca, site.trusted if site else authority.certificate)
    write_atomically(files.admin_cert, admin.certificate)
    write_atomically(files.admin_key, admin.key)
    return authority, files


def server_context(authority: Authority, site: SiteCertificate | None = None) -> ssl.SSLContext:
    """Return the TLS side of the agent, for HTTPS and MQTT.

    Its certificate is that of the *site*, else a fresh one of the authority.

    A client certificate is optional. One of this authority is verified; another one ends the
    handshake, because OpenSSL offers no way to accept a certificate that it cannot verify.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(cadata=authority.certificate.decode("ascii"))
    _load_chain(context, site.pem if site else b"".join(authority.issue_server()))
    return context


def _load_chain(context: ssl.SSLContext, pem: bytes) -> None:
    # The key is loaded from a file only; the folder is private to its owner, and short-lived.
    with tempfile.TemporaryDirectory(prefix="epm-task-") as folder:
        file = Path(folder) / "server.pem"
        write_atomically(file, pem)
        context.load_cert_chain(file, password="")  # instead of asking on the terminal


def _read(path: Path) -> bytes:
    try:
        return read_file(path, _MAX_BYTES, secret=True)
    except OSError as error:
        raise UnusableFile(path, error.strerror or str(error)) from error
    except UnsafeConfiguration as error:
        raise RootUnsafe(error.what, error.why, error.fix) from error


def _builder(
    subject: x509.Name, public_key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now - _BACKDATED + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*allowed: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{usage: usage in allowed for usage in _USAGES})


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
