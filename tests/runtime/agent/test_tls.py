"""Tests of TLS to the agent: whom the context trusts, and whom the dialer lets answer."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from peers import tls as peer_tls
from peers.mqtt_peer import MqttPeer
from peers.patience import PATIENCE
from peers.second_user import NOBODY, handed_over, listener

from epm_task.errors import UnsafeConfiguration
from epm_task.runtime.agent.tls import Dialer, attested, client_context
from epm_task.runtime.attestation.attestation import Untrusted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


posix = pytest.mark.posix("rights of files are POSIX")
needs_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0,
    reason="needs root on Linux: a process of a second user is started",
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A private file whose content the test writes."""
    made = tmp_path / "ca.pem"
    made.touch(mode=0o600)
    return made


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> str | None:
    """Return the version of TLS of a handshake with 127.0.0.1."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs, contextlib.suppress(OSError):
            server.wrap_socket(theirs, server_side=True).close()

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        with ours, client.wrap_socket(ours, server_hostname="127.0.0.1") as secured:
            return secured.version()
    finally:
        serving.join()


@pytest.fixture
def hostile_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Plant the variables that other TLS contexts obey; yield the file for the keys."""
    bundle = tmp_path / "planted.pem"
    bundle.write_text(peer_tls.certificate_pem())
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(bundle))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    keys = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))
    yield keys
    assert not keys.exists()


@pytest.mark.usefixtures("hostile_environment")
def test_planted_bundle_is_not_trusted(file: Path) -> None:
    """With a CA file, only that one counts, and no key is logged."""
    file.write_text(peer_tls.certificate_pem("wrong-name"))
    context = client_context(file)
    assert context.cert_store_stats()["x509"] == 1
    assert context.keylog_filename is None
    with pytest.raises(ssl.SSLCertVerificationError):  # type: ignore[unreachable]
        shake_hands(context, peer_tls.server_context())


def test_no_key_is_logged(hostile_environment: Path) -> None:
    """Without a CA file too, `SSLKEYLOGFILE` stays without effect."""
    context = client_context(None)
    assert shake_hands(context, peer_tls.server_context()) == "TLSv1.3"
    assert not hostile_environment.exists()


def test_without_a_file_the_peer_is_attested() -> None:
    """Nothing is verified here, as the owner of the listener will be."""
    context = client_context(None)
    assert attested(context)
    assert (context.verify_mode, context.cert_store_stats()["x509"]) == (ssl.CERT_NONE, 0)
    assert shake_hands(context, peer_tls.server_context("expired"))


def test_ca_verifies_chain_and_name(file: Path) -> None:
    """With a CA, its certificates are accepted for the address that they name."""
    file.write_text(peer_tls.certificate_pem())
    context = client_context(file)
    assert not attested(context)
    assert shake_hands(context, peer_tls.server_context()) == "TLSv1.3"


@pytest.mark.parametrize(
    ("variant", "why"),
    [("wrong-name", "IP address mismatch"), ("expired", "certificate has expired")],
)
def test_ca_refuses_other_certificates(file: Path, variant: peer_tls.Variant, why: str) -> None:
    """Another name or an expired certificate ends the handshake."""
    file.write_text(peer_tls.certificate_pem(variant))
    with pytest.raises(ssl.SSLCertVerificationError, match=why):
        shake_hands(client_context(file), peer_tls.server_context(variant))


def test_single_leaf_is_pinned_without_its_names(file: Path) -> None:
    """The agent's own certificate, which is no CA, is trusted as it is, whatever it names."""
    file.write_text(peer_tls.certificate_pem("leaf"))
    context = client_context(file)
    assert attested(context)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert shake_hands(context, peer_tls.server_context("leaf")) == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(context, peer_tls.server_context())


def test_bundle_with_a_leaf_compares_names(file: Path) -> None:
    """A leaf beside a CA is a bundle, and a name must fit again."""
    file.write_text(peer_tls.certificate_pem("leaf") + peer_tls.certificate_pem())
    context = client_context(file)
    assert not attested(context)
    # OpenSSL 3.0.11 looks at the signature first.
    with pytest.raises(ssl.SSLCertVerificationError, match=r"IP address mismatch|self-signed"):
        shake_hands(context, peer_tls.server_context("leaf"))


def test_old_tls_is_refused() -> None:
    """TLS 1.2 is the oldest version that is spoken."""
    assert client_context(None).minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "NO_CERTIFICATE_OR_CRL_FOUND"),
        (b"garbage\n", "NO_CERTIFICATE_OR_CRL_FOUND"),
        (b"\x00\xff" * 100, "cannot be used"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be used"),
        (b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", "cannot be used"),
    ],
)
def test_file_without_a_certificate_is_refused(file: Path, content: bytes, why: str) -> None:
    """Garbage is refused with the option, the file and what to give instead."""
    file.write_bytes(content)
    with pytest.raises(UnsafeConfiguration, match=why) as refused:
        client_context(file)
    assert str(refused.value).startswith(f"--ca-file {file} cannot be used: ")
    assert "give a PEM file" in str(refused.value)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A file that is not there is told with the system's words, and the option's name."""
    with pytest.raises(FileNotFoundError) as absent:
        (tmp_path / "none").stat()
    words = rf"--ca .*none cannot be used: {absent.value.strerror}"
    with pytest.raises(UnsafeConfiguration, match=words):
        client_context(tmp_path / "none", option="--ca")


def test_folder_is_refused(tmp_path: Path) -> None:
    """A folder holds no certificate."""
    with pytest.raises(UnsafeConfiguration, match="is not a file: it is a folder"):
        client_context(tmp_path)


@posix
@pytest.mark.parametrize("mode", [0o622, 0o602, 0o666])
def test_file_that_others_can_write_is_refused(file: Path, mode: int) -> None:
    """A CA that another user can replace proves nothing."""
    file.write_text(peer_tls.certificate_pem())
    file.chmod(mode)
    with pytest.raises(UnsafeConfiguration, match="every user can write it; chmod go-w"):
        client_context(file)


@needs_root
def test_listener_of_another_user_gets_no_packet() -> None:
    """The listener is checked before the TCP connect."""
    with listener() as (port, _):
        dialer = Dialer(("127.0.0.1", port), client_context(None))
        with pytest.raises(Untrusted, match="no request was sent"):
            dialer.connect(time.monotonic() + 5)


@needs_root
def test_peer_of_another_user_gets_no_request(tmp_path: Path) -> None:
    """The peer is checked after the handshake: root's listener may be served by somebody else."""
    pem = tmp_path / "server.pem"
    pem.write_bytes(peer_tls.server_pem())
    with handed_over(pem) as (port, _):
        dialer = Dialer(("127.0.0.1", port), client_context(None))
        dialer.check_listener()
        with pytest.raises(Untrusted, match=f"uid {NOBODY}"):
            dialer.connect(time.monotonic() + 5)


@needs_root
def test_peer_of_another_user_gets_no_request_of_paho(tmp_path: Path) -> None:
    """The same holds for a socket that paho-mqtt has connected."""
    pem = tmp_path / "server.pem"
    pem.write_bytes(peer_tls.server_pem())
    with handed_over(pem) as (port, _):
        dialer = Dialer(("127.0.0.1", port), client_context(None))
        opened = socket.create_connection(dialer.address)
        with pytest.raises(Untrusted, match=f"uid {NOBODY}"):
            dialer.wrap_socket(opened)
        assert opened.fileno() == -1


def test_handshake_of_a_socket_without_a_time_out_is_bounded() -> None:
    """Who connected may have set none; a listener that says nothing ends it all the same."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        dialer = Dialer(server.getsockname(), client_context(None), seconds=0.3)
        opened = socket.create_connection(dialer.address)
        assert opened.gettimeout() is None
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            dialer.wrap_socket(opened)
        assert time.monotonic() - start < PATIENCE / 2


def test_small_packets_are_sent_at_once() -> None:
    """Without TCP_NODELAY a request waits for the acknowledgement of the one before it."""
    with MqttPeer() as peer:
        dialer = Dialer(("127.0.0.1", peer.port), client_context(None))
        with dialer.connect(time.monotonic() + PATIENCE) as secured:
            assert secured.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_failed_handshake_closes_the_socket() -> None:
    """paho-mqtt would keep the socket of a handshake that fails."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        dialer = Dialer(server.getsockname(), client_context(None))
        plain = socket.create_connection(dialer.address)
        server.accept()[0].close()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            dialer.wrap_socket(plain)
        assert plain.fileno() == -1
