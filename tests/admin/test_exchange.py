"""Tests of the exchange against peers that misbehave by a script."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from admin.admin_files import foreign_pair, job_document, peer_ca
from peers import http_answer, second_user
from peers.garbling import garbled
from peers.hostile_answer import HOSTILE, closing, mutations
from peers.http_peer import HttpPeer
from peers.listener import Listener
from peers.patience import PATIENCE

from epm_task.admin.client import AdminClient
from epm_task.admin.credential import Credential
from epm_task.admin.errors import (
    AdminError,
    AdminUnreachable,
    CredentialRefused,
    ForeignAnswer,
    JobRefused,
    OutcomeUnknown,
    UnsafeConnection,
    WrongUse,
)
from epm_task.contract.json_text import ExactNumber
from epm_task.simulator.certificates import Authority, server_context

if TYPE_CHECKING:
    from pathlib import Path

    from peers.http_answer import Answer


def ask(
    peer: HttpPeer, ca: Path, call: str = "list_jobs", *args: Any, seconds: float = PATIENCE
) -> Any:
    """Make one call of a new client."""
    with AdminClient(peer.base_url, Credential(ca=ca), call_seconds=seconds) as client:
        return getattr(client, call)(*args)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (http_answer.redirect("https://evil.example/x"), ForeignAnswer, "302.*evil.example"),
        (http_answer.body(b"<html>hello</html>", content_type="text/html"), ForeignAnswer, "JSON"),
        (http_answer.status(404, b"<html>nothing</html>"), ForeignAnswer, "404 whose JSON"),
        (http_answer.status(418), ForeignAnswer, "an answer 418"),
        (http_answer.status(500), AdminUnreachable, "it answered 500"),
        (http_answer.status(401), CredentialRefused, "no client certificate was shown"),
        (http_answer.ok({"jobs": 3}), ForeignAnswer, "no array of jobs"),
        (http_answer.body(b'{"jobs": [], "jobs": []}'), ForeignAnswer, "twice"),
        (http_answer.body(b"[" * 100_000), ForeignAnswer, "nested too deeply"),
        (http_answer.body("{}".encode("utf-16")), ForeignAnswer, "UTF-16"),
        (http_answer.oversize(50_000_000), ForeignAnswer, "50000000 bytes"),
        (http_answer.endless_chunked(), ForeignAnswer, "larger than 16 MiB"),
        (http_answer.gzip_bomb(30_000_000), ForeignAnswer, "encoded"),
        (http_answer.non_http(), ForeignAnswer, "not HTTP"),
        (http_answer.truncated_body(), AdminUnreachable, "too early"),
        (http_answer.plain_tcp(), ForeignAnswer, "not speak TLS"),
    ],
)
def test_a_wrong_answer_is_one_clear_error(
    tmp_path: Path, answer: Answer, kind: type[AdminError], words: str
) -> None:
    """Each kind of answer has its class, with its exit code."""
    with HttpPeer([answer]) as peer, pytest.raises(kind, match=words):
        ask(peer, peer_ca(tmp_path))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_76_for_a_question_and_for_a_change(tmp_path: Path, name: str) -> None:
    """Nothing that Python's parsers raise gets out, and the text fits on a line."""
    with (
        HttpPeer([http_answer.raw(HOSTILE[name])]) as peer,
        AdminClient(peer.base_url, Credential(ca=peer_ca(tmp_path))) as client,
    ):
        for call in (client.list_jobs, lambda: client.delete_job("probe")):
            with pytest.raises(ForeignAnswer) as error:
                call()
            assert (error.value.exit_code, len(str(error.value)) < 400) == (76, True)
    assert len(peer.requests) == 2


def test_a_mutated_answer_is_read_or_is_an_error_of_the_client(tmp_path: Path) -> None:
    """Some hundred of them, drawn from a seed: no other error than the documented ones."""
    answers = list(mutations(2, 200, b'{"jobs": [{"id": "probe"}], "count": 1, "message": "1"}'))
    seen = set()
    with (
        HttpPeer([closing(data) for data in answers]) as peer,
        AdminClient(peer.base_url, Credential(ca=peer_ca(tmp_path))) as client,
    ):
        for data in answers:
            try:
                client.list_jobs()
            except AdminError as error:
                seen.add(type(error))
            except Exception as error:
                error.add_note(repr(data))
                raise
    assert {ForeignAnswer, AdminUnreachable} <= seen
    assert len(peer.requests) == len(answers)


@pytest.mark.parametrize(
    ("call", "args", "valid"),
    [
        ("list_jobs", (), {"jobs": [{"id": "a"}], "count": 1, "message": "1 job"}),
        ("delete_job", ("a",), {"jobId": "a", "message": "gone", "warnings": [{"w": ["x"]}]}),
        ("validate_job", ({},), {"valid": True, "errors": ["e"], "warnings": [], "jobId": "a"}),
        ("trigger_job", ("a",), {"jobId": "a", "runId": "r", "message": "started"}),
        ("reload_jobs", (), {"count": 1, "errors": [{"file": "a.json"}], "message": "1"}),
        ("health", (), {"status": "healthy", "version": "1"}),
    ],
)
def test_a_garbled_document_is_read_or_is_76(
    tmp_path: Path, call: str, args: tuple[Any, ...], valid: dict[str, Any]
) -> None:
    """Each field dropped, renamed, or with another value; what is used has its type."""
    variants = [json.dumps(variant).encode() for _, variant in garbled(valid)]
    with (
        HttpPeer([http_answer.body(data) for data in variants]) as peer,
        AdminClient(peer.base_url, Credential(ca=peer_ca(tmp_path))) as client,
    ):
        for _ in variants:
            with contextlib.suppress(ForeignAnswer):
                hash(str(getattr(client, call)(*args)))
    assert len(peer.requests) == len(variants)


def test_the_errors_of_a_400_are_passed_on(tmp_path: Path) -> None:
    """They may be texts or objects."""
    answer = json.dumps({"errors": ["no binary", {"field": "id"}]}).encode()
    with HttpPeer([http_answer.status(400, answer)]) as peer, pytest.raises(JobRefused) as error:
        ask(peer, peer_ca(tmp_path), "save_job", job_document())
    assert error.value.errors == ("no binary", "field id")


@pytest.mark.parametrize("answer", [http_answer.close_without_answer(), http_answer.reset()])
@pytest.mark.parametrize(
    ("call", "args"),
    [
        ("save_job", (job_document(),)),
        ("replace_job", ("probe", job_document())),
        ("delete_job", ("probe",)),
        ("trigger_job", ("probe",)),
    ],
)
def test_a_connection_dropped_in_the_middle_is_not_tried_again(
    tmp_path: Path, answer: Answer, call: str, args: tuple[Any, ...]
) -> None:
    """Nobody knows whether the agent did it, and the error says so."""
    with HttpPeer([answer]) as peer, pytest.raises(OutcomeUnknown, match="nobody knows") as error:
        ask(peer, peer_ca(tmp_path), call, *args)
    assert (error.value.exit_code, len(peer.requests)) == (74, 1)


def test_a_document_is_sent_as_it_was_written(tmp_path: Path) -> None:
    """The digits of a number, and text that has no UTF-8, survive."""
    job = {"a": ExactNumber("1.10"), "b": "\ud800", "c": 10**30}
    with HttpPeer([http_answer.ok({"valid": True})]) as peer:
        ask(peer, peer_ca(tmp_path), "validate_job", job)
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head.lower()
    assert b'"a": 1.10' in body
    assert json.loads(body) == {"a": 1.1, "b": "\ud800", "c": 10**30}


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
def test_what_is_no_json_is_not_sent(tmp_path: Path, value: object) -> None:
    """A program's mistake is one clear error too."""
    with (
        HttpPeer([http_answer.ok({})]) as peer,
        pytest.raises(WrongUse, match="its body is not JSON"),
    ):
        ask(peer, peer_ca(tmp_path), "save_job", {"id": "probe", "x": value})
    assert peer.requests == []


def test_a_question_that_was_dropped_changed_nothing(tmp_path: Path) -> None:
    """POST to `validate` is only a question."""
    with (
        HttpPeer([http_answer.close_without_answer()]) as peer,
        pytest.raises(AdminUnreachable),
    ):
        ask(peer, peer_ca(tmp_path), "validate_job", {})


def test_a_change_never_uses_a_connection_that_was_idle(tmp_path: Path) -> None:
    """The agent may have closed it; a lost POST could not be repeated."""
    verdict = http_answer.ok({"jobs": [], "message": "ok"})
    with (
        HttpPeer([verdict]) as peer,
        AdminClient(peer.base_url, Credential(ca=peer_ca(tmp_path))) as client,
    ):
        client.list_jobs()
        client.list_jobs()
        client.delete_job("probe")
        assert peer.per_connection == [2, 1]


@pytest.mark.parametrize("answer", [http_answer.drip(0.05), http_answer.drip_headers(0.05)])
def test_the_time_of_a_call_is_total(tmp_path: Path, answer: Answer) -> None:
    """A peer that sends byte by byte cannot hold a call."""
    with HttpPeer([answer]) as peer, pytest.raises(AdminUnreachable, match="in time"):
        ask(peer, peer_ca(tmp_path), seconds=0.3)


def test_nobody_listening_is_unreachable() -> None:
    """The sentence names the URL and `doctor`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{free.getsockname()[1]}"
        with AdminClient(url) as client, pytest.raises(AdminUnreachable, match="doctor"):
            client.health()


def test_a_server_certificate_of_another_ca_ends_the_call(tmp_path: Path) -> None:
    """Nothing is sent, and the sentence says what may be the cause."""
    with (
        HttpPeer([http_answer.ok({})], certificate="expired") as peer,
        pytest.raises(UnsafeConnection, match="refused"),
    ):
        ask(peer, peer_ca(tmp_path))
    assert peer.requests == []


def test_the_environment_cannot_change_where_calls_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither proxies, nor a CA, nor a key log of the environment are used."""
    log = tmp_path / "keys.log"
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    with HttpPeer([http_answer.ok({"jobs": []})]) as peer:
        assert ask(peer, peer_ca(tmp_path)).count == 0
    assert not log.exists()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6889",
        "https://127.0.0.1@evil.example",
        "https://10.0.0.1:6889",
        "https://127.0.0.1:6889/api",
        "https://0.0.0.0:6889",
        "https://127.0.0.1:port",
        "127.0.0.1:6889",
    ],
)
def test_only_https_on_loopback_is_called(url: str) -> None:
    """Every other address is refused before anything is opened."""
    with pytest.raises(UnsafeConnection, match="was not used"):
        AdminClient(url)


@pytest.mark.parametrize(
    "host",
    ["a" * 64 + ".example", "a..b", "\x7f", "xn--\ud800", "x" * 70_000, "[::1%é]", "u@h", ""],
)
def test_a_remote_host_that_no_socket_takes_is_refused(tmp_path: Path, host: str) -> None:
    """It never reaches a parser that would raise something else."""
    with pytest.raises(UnsafeConnection, match="was not used"):
        AdminClient(f"https://{host}:1", Credential(ca=peer_ca(tmp_path)), allow_remote=True)


def test_a_remote_agent_needs_a_ca() -> None:
    """Only a name that a CA vouches for proves who is there."""
    with pytest.raises(WrongUse, match="--cacert"):
        AdminClient("https://192.0.2.1:6889", allow_remote=True)


@second_user.needs_second_user
def test_another_users_program_gets_nothing() -> None:
    """Without a CA only the owner of the port proves who is there."""
    with (
        second_user.listener() as (port, pid),
        AdminClient(f"https://127.0.0.1:{port}") as client,
        pytest.raises(UnsafeConnection, match=f"process {pid}.*--cacert") as error,
    ):
        client.health()
    assert error.value.exit_code == 78


def test_tls_1_2_refuses_a_certificate_within_the_handshake(tmp_path: Path) -> None:
    """The alert names the certificate; the answer is that of TLS 1.3."""
    authority = Authority.create()
    server = server_context(authority)
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    server.verify_mode = ssl.CERT_REQUIRED
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.certificate)

    def serve(accepted: socket.socket) -> None:
        server.wrap_socket(accepted, server_side=True).close()

    listener = Listener(serve)
    listener.start()
    try:
        credential = Credential(*foreign_pair(tmp_path), ca)
        with (
            AdminClient(f"https://127.0.0.1:{listener.port}", credential) as client,
            pytest.raises(CredentialRefused, match="TLS handshake") as error,
        ):
            client.list_jobs()
        assert error.value.status == 0
    finally:
        listener.stop()
