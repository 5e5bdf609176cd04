"""Tests of the agent's certificates, with real TLS and a real strict verifier."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)
from peers.rights import is_private, let_others
from peers.tls import certificate_pem, server_pem

from epm_task.files import write_atomically
from epm_task.simulator.certificates import (
    Authority,
    CertificateFiles,
    SiteCertificate,
    open_authority,
    server_context,
)
from epm_task.simulator.start_error import RootUnsafe, UnusableFile

if TYPE_CHECKING:
    from pathlib import Path


def shake_hands(
    server: ssl.SSLContext, client: ssl.SSLContext, name: str = "127.0.0.1"
) -> dict[str, Any]:
    """Return the client certificate that the server saw."""
    ours, theirs = socket.socketpair()
    seen: list[Any] = []

    def serve() -> None:
        try:
            with server.wrap_socket(ours, server_side=True) as connection:
                seen.append(connection.getpeercert() or {})
                connection.sendall(b"x")
        except ssl.SSLError as error:
            seen.append(error)
            ours.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(theirs, server_hostname=name) as connection:
            connection.recv(1)
    except (ssl.SSLError, ConnectionError):
        theirs.close()
        thread.join()
        if not isinstance(seen[-1], dict):
            raise seen[-1] from None
        raise
    thread.join()
    return seen[-1]  # type: ignore[no-any-return]


def client_context(files: CertificateFiles, *, admin: CertificateFiles | None = None) -> Any:
    """Return a strict client, as Python 3.13 makes it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(files.ca)
    if admin:
        context.load_cert_chain(admin.admin_cert, admin.admin_key)
    return context


@pytest.mark.parametrize("name", ["127.0.0.1", "::1", "localhost"])
def test_a_strict_client_accepts_the_server_under_each_loopback_name(
    tmp_path: Path, name: str
) -> None:
    """The chain has all that strict verification asks for."""
    authority, files = open_authority(tmp_path)
    assert shake_hands(server_context(authority), client_context(files), name) == {}


def test_the_server_sees_the_admin_certificate(tmp_path: Path) -> None:
    """Only a verified certificate is seen."""
    authority, files = open_authority(tmp_path)
    seen = shake_hands(server_context(authority), client_context(files, admin=files))
    assert seen["subject"] == ((("commonName", "epm-task admin"),),)


def test_a_certificate_of_another_authority_ends_the_handshake(tmp_path: Path) -> None:
    """Two agents do not accept each other's admins."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    authority, files = open_authority(tmp_path / "one")
    _, foreign = open_authority(tmp_path / "two")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server_context(authority), client_context(files, admin=foreign))


def test_a_server_certificate_is_no_admin_certificate(tmp_path: Path) -> None:
    """Its purpose is another."""
    authority, files = open_authority(tmp_path)
    pair = authority.issue_server()
    files.admin_cert.write_bytes(pair.certificate)
    files.admin_key.write_bytes(pair.key)
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        shake_hands(server_context(authority), client_context(files, admin=files))


def test_the_servers_subject_is_localhost() -> None:
    """As the vendor documents it."""
    certificate = x509.load_pem_x509_certificate(Authority.create().issue_server().certificate)
    assert certificate.subject.rfc4514_string() == "CN=Localhost"


def test_every_file_is_private_to_its_owner(tmp_path: Path) -> None:
    """Nothing else is written, above all no key of the authority."""
    let_others(tmp_path, "read")
    _, files = open_authority(tmp_path)
    assert set(tmp_path.iterdir()) == set(files)
    assert [file for file in files if not is_private(file)] == []


def test_what_a_killed_start_left_is_swept(tmp_path: Path) -> None:
    """A half-written private key does not lie about for ever."""
    leftover = tmp_path / f".admin.key.{'0' * 32}.tmp"
    leftover.touch()
    open_authority(tmp_path)
    assert not leftover.exists()


def test_each_start_has_a_new_authority(tmp_path: Path) -> None:
    """A pinned certificate breaks at a restart, as in the field."""
    first, _ = open_authority(tmp_path)
    second, files = open_authority(tmp_path)
    assert first.certificate != second.certificate
    assert files.ca.read_bytes() == second.certificate


def test_a_stable_authority_survives_a_restart(tmp_path: Path) -> None:
    """Also one that a start without it interrupted; an older admin certificate still works."""
    first, files = open_authority(tmp_path, stable=True)
    old_admin = files._replace(admin_cert=tmp_path / "old.pem", admin_key=tmp_path / "old.key")
    old_admin.admin_cert.write_bytes(files.admin_cert.read_bytes())
    old_admin.admin_key.write_bytes(files.admin_key.read_bytes())
    open_authority(tmp_path)
    second, files = open_authority(tmp_path, stable=True)
    assert first.certificate == second.certificate
    assert shake_hands(server_context(second), client_context(files, admin=old_admin))


@pytest.mark.parametrize("content", ["nothing", "no key", "foreign key"])
def test_a_broken_stable_authority_is_reported_and_not_overwritten(
    tmp_path: Path, content: str
) -> None:
    """The user may have a copy to put back."""
    one, two = Authority.create(), Authority.create()
    kept = tmp_path / "stable-ca.pem"
    two.save(kept)
    broken = {
        "nothing": b"",
        "no key": one.certificate,
        "foreign key": one.certificate + kept.read_bytes().partition(two.certificate)[2],
    }[content]
    kept.write_bytes(broken)
    with pytest.raises(UnusableFile, match=r"stable-ca\.pem"):
        open_authority(tmp_path, stable=True)
    assert kept.read_bytes() == broken


def test_an_unreadable_stable_authority_is_reported(tmp_path: Path) -> None:
    """A folder in its place is not an authority."""
    (tmp_path / "stable-ca.pem").mkdir()
    with pytest.raises(RootUnsafe, match="it is a folder"):
        open_authority(tmp_path, stable=True)


def test_a_verifier_that_is_not_openssl_accepts_the_chain(tmp_path: Path) -> None:
    """The one of cryptography, by the rules of the web, each certificate for its own purpose."""
    authority, files = open_authority(tmp_path)
    server = x509.load_pem_x509_certificate(authority.issue_server().certificate)
    admin = x509.load_pem_x509_certificate(files.admin_cert.read_bytes())
    trusted = Store([x509.load_pem_x509_certificate(files.ca.read_bytes())])
    for_servers = PolicyBuilder().store(trusted).build_server_verifier(x509.DNSName("localhost"))
    # The web's rules want the name of a host in a client's certificate too; ours is a person's.
    ours = ExtensionPolicy.webpki_defaults_ee().may_be_present(
        x509.SubjectAlternativeName, Criticality.AGNOSTIC, None
    )
    policy = (
        PolicyBuilder()
        .store(trusted)
        .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ours)
    )
    for_clients = policy.build_client_verifier()
    assert len(for_servers.verify(server, [])) == len(for_clients.verify(admin, []).chain) == 2
    with pytest.raises(VerificationError, match="EKU"):
        for_clients.verify(server, [])
    with pytest.raises(VerificationError):
        for_servers.verify(admin, [])


def _site(folder: Path, pem: bytes) -> Path:
    file = folder / "site.pem"
    write_atomically(file, pem)  # private, on Windows too
    return file


def _site_pem() -> bytes:
    return server_pem("issued") + certificate_pem("issued").encode()


def test_a_sites_own_certificate_is_shown_and_makes_no_admin(tmp_path: Path) -> None:
    """Clients trust its CA; who has a certificate of that CA is no administrator."""
    site = SiteCertificate.load(_site(tmp_path, _site_pem()))
    authority, files = open_authority(tmp_path, site=site)
    assert files.ca.read_text() == certificate_pem("issued")
    server = server_context(authority, site)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(files.ca)
    assert shake_hands(server, client) == {}
    client.load_cert_chain(files.admin_cert, files.admin_key)
    assert shake_hands(server, client)["subject"] == ((("commonName", "epm-task admin"),),)
    client.load_cert_chain(tmp_path / "site.pem")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(server, client)


def test_a_self_signed_certificate_of_a_site_is_what_clients_trust(tmp_path: Path) -> None:
    """There is nothing else that leads to it, and its key is not given away."""
    site = SiteCertificate.load(_site(tmp_path, server_pem("leaf")))
    assert site.trusted.decode() == certificate_pem("leaf")


def _locked_pem() -> bytes:
    key = serialization.load_pem_private_key(server_pem("leaf"), password=None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    return locked + certificate_pem("leaf").encode()


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        (server_pem("issued"), "up to the one that signed itself"),
        (certificate_pem("leaf").encode(), "with its private key"),
        (server_pem("leaf").partition(b"-----BEGIN CERT")[0], "with its private key"),
        (certificate_pem("leaf").encode() + server_pem("ip-san"), "with its private key"),
        (_locked_pem(), "which has no password"),
        (b"", "with its private key"),
        (b"no PEM", "with its private key"),
        (b"x" * 100_000, "with its private key"),
    ],
    ids=["no CA", "no key", "no certificate", "other key", "locked", "empty", "text", "large"],
)
def test_a_certificate_of_a_site_that_cannot_be_used(tmp_path: Path, pem: bytes, why: str) -> None:
    """The sentence says what must be in the file; nobody is asked for a password."""
    with pytest.raises(UnusableFile, match=why):
        SiteCertificate.load(_site(tmp_path, pem))
    with pytest.raises(UnusableFile):
        SiteCertificate.load(tmp_path / "absent.pem")


def test_a_sites_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """As every other secret."""
    file = _site(tmp_path, _site_pem())
    let_others(file, "read")
    with pytest.raises(RootUnsafe):
        SiteCertificate.load(file)
