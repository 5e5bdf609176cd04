"""Tests of the admin credential: files that must not be used, and what is said about them."""

from __future__ import annotations

import datetime as dt
import os
import ssl
from typing import TYPE_CHECKING

import pytest
from admin.admin_files import dated_pair, foreign_pair
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from peers.rights import OTHERS_READ, OTHERS_WRITE, let_others
from peers.second_user import NOBODY, needs_second_user

from epm_task.admin.credential import Credential, read_certificate
from epm_task.admin.errors import UnsafeConnection, WrongUse
from epm_task.files import write_atomically
from epm_task.simulator.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path


def test_a_pair_of_certificate_and_key_is_taken(tmp_path: Path) -> None:
    """The context verifies nothing without a CA; the owner of the port counts then."""
    context = Credential(*foreign_pair(tmp_path)).tls_context()
    assert context.check_hostname is False


def test_the_key_may_stand_in_the_file_of_the_certificate(tmp_path: Path) -> None:
    """As curl takes it."""
    certificate, key = foreign_pair(tmp_path)
    certificate.write_bytes(certificate.read_bytes() + key.read_bytes())
    Credential(certificate).tls_context()


def test_a_certificate_without_key_names_the_option(tmp_path: Path) -> None:
    """Nothing is sent."""
    certificate, _ = foreign_pair(tmp_path)
    with pytest.raises(WrongUse, match=r"no private key in PEM form.*--key") as error:
        Credential(certificate).tls_context()
    assert error.value.exit_code == 64


def test_a_key_without_certificate_is_half_a_credential(tmp_path: Path) -> None:
    """The other half is asked for."""
    with pytest.raises(WrongUse, match="--key was given without --cert"):
        Credential(key=foreign_pair(tmp_path)[1]).tls_context()


def test_a_key_of_another_certificate_is_seen(tmp_path: Path) -> None:
    """OpenSSL's reason is passed on."""
    certificate, _ = foreign_pair(tmp_path)
    (tmp_path / "other").mkdir()
    _, key = foreign_pair(tmp_path / "other")
    with pytest.raises(WrongUse, match="KEY_VALUES_MISMATCH"):
        Credential(certificate, key).tls_context()


def test_an_expired_certificate_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    """The day is told."""
    certificate, key = dated_pair(tmp_path, from_days=-20, to_days=-10)
    with pytest.raises(UnsafeConnection, match="it expired on 20") as error:
        Credential(certificate, key).tls_context()
    assert error.value.exit_code == 78


def test_a_certificate_of_the_future_is_named(tmp_path: Path) -> None:
    """A wrong clock shows here."""
    certificate, key = dated_pair(tmp_path, from_days=10, to_days=20)
    with pytest.raises(UnsafeConnection, match="valid only from"):
        Credential(certificate, key).tls_context()


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The rule is that of OpenSSH."""
    certificate, key = foreign_pair(tmp_path)
    let_others(key, "read")
    with pytest.raises(UnsafeConnection, match=OTHERS_READ) as error:
        Credential(certificate, key).tls_context()
    assert error.value.exit_code == 78


def test_a_certificate_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """Reading it is harmless."""
    certificate, key = foreign_pair(tmp_path)
    let_others(certificate, "read")
    Credential(certificate, key).tls_context()
    let_others(certificate, "write")
    with pytest.raises(UnsafeConnection, match=OTHERS_WRITE):
        Credential(certificate, key).tls_context()


def test_a_ca_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """Who writes it decides who is the agent."""
    ca, _ = foreign_pair(tmp_path)
    let_others(ca, "write")
    with pytest.raises(UnsafeConnection, match=OTHERS_WRITE):
        Credential(ca=ca).tls_context()


@needs_second_user
@pytest.mark.parametrize("used", ["pair", "ca"])
def test_a_file_in_a_folder_of_a_group_is_refused(tmp_path: Path, used: str) -> None:
    """A member replaces it; `o+w` is not the only way in."""
    certificate, key = foreign_pair(tmp_path)
    credential = Credential(certificate, key) if used == "pair" else Credential(ca=certificate)
    credential.tls_context()
    os.chown(tmp_path, 0, NOBODY)
    tmp_path.chmod(0o775)
    with pytest.raises(UnsafeConnection, match=f"mode 0775: every member of group {NOBODY} can"):
        credential.tls_context()


@pytest.mark.posix("pipes with names are POSIX")
def test_a_pipe_in_place_of_a_key_is_refused(tmp_path: Path) -> None:
    """It would keep the call waiting for ever."""
    certificate, key = foreign_pair(tmp_path)
    key.unlink()
    os.mkfifo(key, 0o600)
    with pytest.raises(UnsafeConnection, match="it is a pipe"):
        Credential(certificate, key).tls_context()


def test_what_is_no_ca_names_the_option(tmp_path: Path) -> None:
    """The words are those of this command line."""
    ca = tmp_path / "ca.pem"
    ca.write_text("nonsense")
    ca.chmod(0o600)
    with pytest.raises(UnsafeConnection, match=r"--cacert .*ca.pem cannot be used"):
        Credential(ca=ca).tls_context()


@pytest.mark.parametrize(
    ("content", "words"), [(None, "cannot be read"), (b"", "no X.509 certificate")]
)
def test_what_is_no_certificate_is_told(tmp_path: Path, content: bytes | None, words: str) -> None:
    """A missing file, and one with something else."""
    path = tmp_path / "client.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WrongUse, match=words):
        Credential(path).tls_context()


def test_an_encrypted_key_never_asks_on_the_terminal(tmp_path: Path) -> None:
    """A pipeline must not wait for a passphrase."""
    certificate, key = foreign_pair(tmp_path)
    loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
    locked = tmp_path / "locked.key"
    write_atomically(
        locked,
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        ),
    )
    with pytest.raises(WrongUse, match="encrypted"):
        Credential(certificate, locked).tls_context()


def test_a_certificate_names_its_subject_and_its_issuer() -> None:
    """Read from a file, or from a handshake."""
    pem = Authority.create().issue_admin().certificate
    found = read_certificate(pem)
    assert (found.common_name, found.issuer_name) == ("epm-task admin", "epm-task simulator CA")
    assert read_certificate(ssl.PEM_cert_to_DER_cert(pem.decode())) == found


def test_a_year_after_2050_is_read(tmp_path: Path) -> None:
    """Such a date has four digits of the year."""
    certificate, _ = dated_pair(tmp_path, from_days=-1, to_days=365 * 60)
    facts = read_certificate(certificate.read_bytes())
    assert facts.ends.year > 2080
    assert facts.out_of_date(dt.datetime.now(dt.UTC)) == ""


@given(st.binary(max_size=200))
def test_bytes_that_are_no_certificate_are_refused(data: bytes) -> None:
    """No bytes lead to another kind of error."""
    with pytest.raises(ValueError, match=r"X\.509"):
        read_certificate(data)
