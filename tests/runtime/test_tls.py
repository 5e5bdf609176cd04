"""Tests of the TLS context: a CA verified, one leaf pinned, nothing taken from the environment."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
from peers import tls as peer_tls

from epm_task.errors import SettingsError, UnsafeAgent, UnsafeBroker, UnsafeConfiguration
from epm_task.runtime.tls import (
    agent_address,
    attested,
    broker_address,
    client_context,
    loopback_ip,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


posix = pytest.mark.skipif(os.name != "posix", reason="rights of files are POSIX")


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
    with pytest.raises(ssl.SSLCertVerificationError):
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
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
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
    assert str(refused.value).startswith(f"--ca-file {file} cannot be used (")
    assert "give a PEM file" in str(refused.value)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A file that is not there is told with the system's words, and the option's name."""
    with pytest.raises(
        UnsafeConfiguration, match=r"--ca .*none cannot be used \(No such file or directory\)"
    ):
        client_context(tmp_path / "none", option="--ca")


def test_folder_is_refused(tmp_path: Path) -> None:
    """A folder is no file."""
    with pytest.raises(UnsafeConfiguration, match="cannot be used"):
        client_context(tmp_path)


@posix
@pytest.mark.parametrize("mode", [0o622, 0o660, 0o666])
def test_file_that_others_can_write_is_refused(file: Path, mode: int) -> None:
    """A CA that another user can replace proves nothing."""
    file.write_text(peer_tls.certificate_pem())
    file.chmod(mode)
    with pytest.raises(UnsafeConfiguration, match=r"lets other users write it; chmod go-w"):
        client_context(file)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://127.0.0.1:6889", ("127.0.0.1", 6889)),
        ("https://127.0.0.1:6889/", ("127.0.0.1", 6889)),
        ("https://localhost:6889", ("127.0.0.1", 6889)),
        ("https://LOCALHOST:1", ("127.0.0.1", 1)),
        ("https://127.9.8.7:1", ("127.9.8.7", 1)),
        ("https://[::1]:6889", ("::1", 6889)),
        ("https://127.0.0.1", ("127.0.0.1", 443)),
    ],
)
def test_agent_on_loopback_is_accepted(url: str, address: tuple[str, int]) -> None:
    """Https with a loopback host is the agent; names are never resolved."""
    assert agent_address(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6889",
        "ftp://127.0.0.1:6889",
        "127.0.0.1:6889",
        "",
        "banana",
        "https://",
        "https://0.0.0.0:6889",
        "https://10.0.0.1:6889",
        "https://169.254.169.254",
        "https://example.com",
        "https://127.0.0.1@evil:6889",
        "https://user:secret@127.0.0.1:6889",
        "https://127.0.0.1:6889/api",
        "https://127.0.0.1:6889?x=1",
        "https://127.0.0.1:6889#x",
        "https://127.1:6889",
        "https://2130706433:6889",
        "https://0x7f.1:6889",
        "https://[::ffff:127.0.0.1]:6889",
        "https://127.0.0.1.:6889",
        "https://127.0.0.1:99999",
        "https://127.0.0.1:port",
        "https://[::1",
        "https://localhost.evil:6889",
    ],
)
def test_hostile_url_is_refused(url: str) -> None:
    """Everything else is refused, and told what to pass instead."""
    with pytest.raises(UnsafeAgent, match=r"KeeperApiBaseUrl"):
        agent_address(url)


def test_refusal_shows_no_endless_url() -> None:
    """A long URL is cut in the message."""
    with pytest.raises(UnsafeAgent) as refused:
        agent_address("http://" + "x" * 5000)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("host", ["::2", "1.2.3.4", "127.0.0.1\n", "", "localhost "])
def test_other_host_is_no_loopback(host: str) -> None:
    """A host that is not exactly a loopback address is none."""
    assert loopback_ip(host) is None


def broker_settings(**changes: str | None) -> dict[str, str]:
    """Return good settings with changes; None removes a key."""
    both = {
        "broker.host": "127.0.0.1",
        "broker.port": "8675",
        **{f"broker.{k}": v for k, v in changes.items()},
    }
    return {key: value for key, value in both.items() if value is not None}


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1"), ("::1", "::1")]
)
def test_broker_on_loopback_is_found(host: str, address: str) -> None:
    """Host and port come out as what a socket takes."""
    assert broker_address(broker_settings(host=host)) == (address, 8675)


@pytest.mark.parametrize("key", ["host", "port"])
@pytest.mark.parametrize("value", [None, ""])
def test_missing_key_is_named(key: str, value: str | None) -> None:
    """A missing or empty key is named."""
    with pytest.raises(SettingsError, match=rf"broker\.{key} of KeeperPrivilegeManager is missing"):
        broker_address(broker_settings(**{key: value}))


@pytest.mark.parametrize("port", ["eighty", "0", "65536", "8675.0", "-1", "8 675", "٣", "1e3"])
def test_wrong_port_is_named_without_its_value(port: str) -> None:
    """A wrong port is named by its key, never by its value."""
    with pytest.raises(SettingsError) as refused:
        broker_address(broker_settings(port=port))
    assert "broker.port" in str(refused.value)
    assert f"{port!r}" not in str(refused.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "broker.example", "127.0.0.1 x"])
def test_broker_off_loopback_is_unsafe(host: str) -> None:
    """A broker elsewhere is never talked to."""
    with pytest.raises(UnsafeBroker):
        broker_address(broker_settings(host=host))
