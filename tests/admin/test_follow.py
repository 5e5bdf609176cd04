"""Tests of following a run: its records, from a file or the real broker, and its end."""

from __future__ import annotations

import gc
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from admin.admin_files import add_binary, credential_of, job_document, peer_ca
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from peers.http_answer import plain_tcp, silence
from peers.http_peer import HttpPeer
from peers.patience import PATIENCE

from epm_task.admin.credential import Credential
from epm_task.admin.errors import (
    AdminUnreachable,
    CredentialRefused,
    UnsafeConnection,
)
from epm_task.admin.follow import BrokerRecords, Follower, LogRecords
from epm_task.admin.log_files import recent_runs
from epm_task.contract.layout import AgentRoot
from epm_task.contract.topic import KEEPER_LOGGER
from epm_task.testing import Agent

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def address_of(agent: Agent) -> tuple[str, int]:
    """Return where the agent's broker is."""
    return agent.broker_host, agent.broker_port


def read(source: BrokerRecords, enough: Callable[[list[dict[str, Any]]], bool]) -> list[Any]:
    """Read until there is enough."""
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + PATIENCE
    while not enough(found):
        assert time.monotonic() < deadline
        found += source.records(0.1)
    return found


def publish(agent: Agent, payloads: list[bytes]) -> None:
    """Publish on KeeperLogger as another administrator."""
    client = Client(CallbackAPIVersion.VERSION2, client_id="publisher")
    client.tls_set_context(credential_of(agent).tls_context())
    client.connect(*address_of(agent))
    client.loop_start()
    for payload in payloads:
        client.publish(KEEPER_LOGGER, payload, qos=1).wait_for_publish(PATIENCE)
    client.disconnect()
    client.loop_stop()


def test_the_records_of_one_job_are_kept(agent: Agent) -> None:
    """Other jobs, and payloads that are not records, are passed over."""
    source = BrokerRecords(address_of(agent), credential_of(agent), "probe")
    try:
        records = [{"jobId": job, "message": job} for job in ("other", "probe")]
        publish(agent, [b"no record", *(json.dumps(r).encode() for r in records)])
        assert read(source, bool) == [records[1]]
    finally:
        source.close()


def _pairs(agent: Agent) -> int:
    """Return how many sockets of this process are connected to each other, without the agent's."""
    found = dict(
        ends
        for opened in gc.get_objects()
        if isinstance(opened, socket.socket) and (ends := _ends(opened))
    )
    theirs = {agent.broker_port, int(agent.base_url.rpartition(":")[2])}
    return sum(other in found and not {own, other} & theirs for own, other in found.items())


def _ends(opened: socket.socket) -> tuple[int, int] | None:
    """Return the ports of a connection over IPv4; another thread may end it meanwhile."""
    if opened.family != socket.AF_INET:
        return None
    try:
        return opened.getsockname()[1], opened.getpeername()[1]
    except OSError:
        return None


def test_a_refused_client_leaves_no_socket(agent: Agent) -> None:
    """Also while somebody keeps the exception, whose traceback keeps the client."""
    before = _pairs(agent)
    with pytest.raises(CredentialRefused) as refused:
        BrokerRecords(address_of(agent), Credential(ca=agent.ca), "probe")
    assert _pairs(agent) == before
    assert refused.tb is not None


def test_a_caller_without_the_certificate_is_refused(agent: Agent) -> None:
    """The broker lets in tasks and administrators."""
    with pytest.raises(CredentialRefused, match="CONNECT"):
        BrokerRecords(address_of(agent), Credential(ca=agent.ca), "probe")


def test_nobody_listening_is_unreachable(agent: Agent) -> None:
    """The address is told."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(AdminUnreachable, match="mqtts://127"):
            BrokerRecords(free.getsockname(), credential_of(agent), "probe")


@pytest.mark.parametrize("script", [plain_tcp(), silence()])
def test_what_is_no_broker_is_one_error(tmp_path: Path, script: Any) -> None:
    """Also one that never answers, after three seconds."""
    with HttpPeer([script]) as peer, pytest.raises(AdminUnreachable):
        BrokerRecords(("127.0.0.1", peer.port), Credential(ca=peer_ca(tmp_path)), "probe")


def test_a_certificate_of_another_ca_is_unsafe(agent: Agent, tmp_path: Path) -> None:
    """Nothing is sent."""
    with pytest.raises(UnsafeConnection, match=r"is refused.*give the CA"):
        BrokerRecords(address_of(agent), Credential(ca=peer_ca(tmp_path)), "probe")


def test_a_broker_that_leaves_is_told() -> None:
    """A follower must not wait for records that cannot come."""
    with Agent() as leaving:
        source = BrokerRecords(address_of(leaving), credential_of(leaving), "probe")
    try:
        with pytest.raises(AdminUnreachable, match="closed"):
            read(source, bool)
    finally:
        source.close()


def line(**fields: Any) -> bytes:
    """Return a line of the history."""
    return json.dumps({"id": "r1", "jobId": "probe", "exitCode": 0, **fields}).encode() + b"\n"


def test_the_agents_own_history_is_read(agent: Agent) -> None:
    """As the simulator writes it."""
    add_binary(agent, script="print('{\"a\": 1}')\nraise SystemExit(3)\n")
    agent.jobs.add(job_document())
    agent.jobs.trigger("probe")
    (*_, run) = recent_runs(AgentRoot(agent.root).run_history, "probe")
    assert run is not None
    assert (run.exit_code, run.result, run.skipped, run.timed_out) == (3, {"a": 1}, "", False)


def test_the_end_of_one_run_is_waited_for(tmp_path: Path) -> None:
    """Without an id the next run of the job counts."""
    path = tmp_path / "runs.jsonl"
    path.write_bytes(line(id="old"))
    one, any_run = Follower(None, path, print), Follower(None, path, print)
    assert one.follow("probe", "r2", 0.1) is None
    with path.open("ab") as file:
        file.write(line(id="r1") + line(id="r2", exitCode=-9))
    found = one.follow("probe", "r2", PATIENCE)
    assert found is not None
    assert (found.exit_code, found.shell_exit_code) == (-9, 137)
    assert any_run.follow("probe", "", PATIENCE).run_id == "r1"  # type: ignore[union-attr]


def append(path: Path, **fields: Any) -> None:
    """Add one JSON line."""
    with path.open("a") as file:
        file.write(json.dumps(fields) + "\n")


def test_records_are_shown_also_after_the_end(tmp_path: Path) -> None:
    """The agent may write the last ones a moment later; other jobs are passed over."""
    log, runs = tmp_path / "log", tmp_path / "runs.jsonl"
    append(runs)
    append(log, jobId="probe", message="before")
    shown: list[str] = []
    follower = Follower(
        LogRecords([log], "probe"), runs, lambda record: shown.append(record["message"])
    )

    def write() -> None:
        append(log, jobId="probe", message="first")
        append(log, jobId="other", message="other")
        append(runs, id="r", jobId="probe", exitCode=5)
        time.sleep(0.1)
        append(log, jobId="probe", message="last")

    writer = threading.Thread(target=write)
    writer.start()
    ended = follower.follow("probe", "r", PATIENCE)
    writer.join()
    follower.close()
    assert ended is not None
    assert (ended.exit_code, shown) == (5, ["first", "last"])


def test_an_end_that_nobody_saw_is_none(tmp_path: Path) -> None:
    """With neither source nor history there is only the time."""
    assert Follower(None, tmp_path / "runs", print).follow("probe", "r", 0.1) is None
    assert Follower(None, None, print).follow("probe", "", 0.1) is None


def test_a_log_of_the_vendors_agent_is_waited_for_longer(tmp_path: Path) -> None:
    """It keeps records for 5 s before it writes them; ours, which has a history, does not."""
    log, runs = tmp_path / "KeeperLogger.log", tmp_path / "runs.jsonl"
    log.touch()
    assert LogRecords([log], "probe").late_seconds > 5
    runs.touch()
    assert LogRecords([log, tmp_path / "none" / "KeeperLogger.log"], "probe").late_seconds < 1
    (tmp_path / "field").mkdir()
    (tmp_path / "field" / "KeeperLogger_20261126.log").touch()
    assert LogRecords([log, tmp_path / "field" / "KeeperLogger.log"], "probe").late_seconds > 5


def test_records_that_the_vendors_agent_writes_late_are_shown(tmp_path: Path) -> None:
    """After the time that was asked for; the last one has no line end yet."""
    log = tmp_path / "KeeperLogger.log"
    log.touch()
    shown: list[str] = []
    follower = Follower(
        LogRecords([log], "probe"), None, lambda each: shown.append(each["message"])
    )

    def write() -> None:
        time.sleep(1)
        with log.open("a") as file:
            file.write("2026-11-26 09:00:00 [ERR] job probe failed\n2026 [WRN] probe: the end")

    writer = threading.Thread(target=write)
    writer.start()
    assert follower.follow("probe", "", 0.1) is None
    writer.join()
    assert shown == ["job probe failed", "probe: the end"]
