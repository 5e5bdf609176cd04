"""Tests of the checks of an agent, where a whole diagnosis would hide what they see."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING

import pytest
from admin.admin_files import credential_of, foreign_pair, job_document
from admin.doctor.setups import seen, setup_of
from peers import second_user
from peers.http_answer import plain_tcp
from peers.http_peer import HttpPeer

from epm_task.admin.doctor import examine
from epm_task.admin.doctor.check_agent import check_broker, check_port, check_root, check_tls
from epm_task.admin.doctor.finding import State
from epm_task.admin.settings import DEFAULT_BASE_URL
from epm_task.contract.layout import AgentRoot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from epm_task.testing import Agent


def test_the_port_comes_from_the_agents_folder(agent: Agent) -> None:
    """Unless one was given, which is then compared."""
    setup = setup_of(agent.root)
    assert [state for state, _ in seen(check_root, setup)] == ["ok"]
    assert setup.base_url == agent.base_url
    other = setup_of(agent.root, "https://127.0.0.1:1")
    assert [state for state, _ in seen(check_root, other)] == ["ok", "warning"]


def test_a_folder_that_is_no_agents_is_a_fault(tmp_path: Path) -> None:
    """The folders that are missing are named."""
    assert "is not a folder" in seen(check_root, setup_of(tmp_path / "none"))[0][1]
    states = seen(check_root, setup_of(tmp_path))
    assert [state for state, _ in states] == ["problem", "unknown"]
    assert "Jobs is missing" in states[0][1].replace(os.sep + "bin", "")


def test_without_a_folder_the_files_are_not_examined(tmp_path: Path) -> None:
    """What would help is told."""
    assert seen(check_root, setup_of())[0][0] == "unknown"
    for name in ("Jobs/bin",):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "appsettings.json").write_text("{}")
    setup = setup_of(tmp_path)
    assert seen(check_root, setup) == [("ok", str(tmp_path))]
    assert setup.base_url == DEFAULT_BASE_URL


def test_plain_http_at_the_port_is_told(tmp_path: Path) -> None:
    """For example the agent's HTTP port."""
    with HttpPeer([plain_tcp()]) as peer:
        setup = setup_of(base_url=peer.base_url)
        setup.listening = True
        ((state, what),) = seen(check_tls, setup)
    assert (state, "no TLS is spoken" in what) == ("problem", True)


def test_a_broker_is_looked_for_where_the_disk_says(agent: Agent, tmp_path: Path) -> None:
    """A known address where nobody listens is a fault; the usual one is only a guess."""
    plugins = tmp_path / "Plugins"
    plugins.mkdir()
    file = plugins / "KeeperPrivilegeManager.json"
    file.write_text(json.dumps({"broker.port": str(agent.broker_port)}))
    setup = setup_of(tmp_path, credential=credential_of(agent))
    assert seen(check_broker, setup)[0][0] == "ok"
    assert "not let this process in, as it must be" in seen(check_broker, setup_of(tmp_path))[0][1]
    own = credential_of(agent)._replace(ca=None)
    pair = foreign_pair(tmp_path)
    foreign = setup_of(tmp_path, credential=own._replace(certificate=pair[0], key=pair[1]))
    assert seen(check_broker, foreign)[0][0] == "warning"
    store = tmp_path / "settings-store.json"
    store.write_text(json.dumps({"KeeperPrivilegeManager": {"broker.port": agent.broker_port}}))
    file.write_text('{"broker.port": "1"}')
    assert seen(check_broker, setup)[0][0] == "ok"
    store.unlink()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        file.write_text(json.dumps({"broker.port": free.getsockname()[1]}))
        assert seen(check_broker, setup_of(tmp_path))[0][0] == "problem"


def test_a_broker_on_another_port_is_found_by_its_process(
    agent_factory: Callable[[], Agent],
) -> None:
    """Among the ports of the agent's process: some speak no MQTT, or have another CA."""
    agents = [agent_factory(), agent_factory()]
    with HttpPeer([plain_tcp()] * 9):
        for agent in agents:  # one of them comes first in the list of the system
            setup = setup_of(base_url=agent.base_url, credential=credential_of(agent))
            assert [state for state, _ in seen(check_port, setup)] == ["ok"]
            ((state, what),) = seen(check_broker, setup)
            assert (state, f":{agent.broker_port} answers" in what) == ("ok", True)


def test_a_broker_that_nobody_can_find_is_unknown() -> None:
    """The process of the agent is not visible to this user, or holds no other port."""
    with socket.create_server(("127.0.0.1", 0)) as api:
        setup = setup_of(base_url=f"https://127.0.0.1:{api.getsockname()[1]}")
        assert [state for state, _ in seen(check_port, setup)] == ["ok"]
        assert setup.pid == os.getpid()
        setup.pid = None
        ((state, what),) = seen(check_broker, setup)
    assert (state, "where the broker is only tasks may ask" in what) == ("unknown", True)


@second_user.needs_second_user
@pytest.mark.parametrize(
    ("closed", "unseen"),
    [
        ("appsettings.json", {"agent root", "allowed list"}),
        (".", {"agent root", "job", "plugin", "last run", "log"}),
        ("Jobs", {"agent root", "job"}),
        ("Jobs/bin", {"binary"}),
        ("Jobs/probe.json", {"job"}),
        ("Jobs/bin/probe", {"binary"}),
        ("Jobs/bin/probe/probe", {"rights", "architecture"}),
        ("Plugins", {"plugin", "log"}),
        ("Plugins/Some.json", {"plugin"}),
        ("Log", {"last run", "log"}),
        ("Log/runs.jsonl", {"last run"}),
        ("Log/KeeperLogger.log", {"log"}),
    ],
)
def test_what_this_user_may_not_read_is_unknown(closed: str, unseen: set[str]) -> None:
    """Neither fine nor a problem."""
    with second_user.shared_folder() as folder, socket.socket() as free:
        root = AgentRoot(folder / "agent")
        run = {"id": "r", "jobId": "probe", "exitCode": 0}
        program = {"id": "one", "command": "probe", "ExecutionType": "User"}
        for name, text in {
            "appsettings.json": '{"Settings": {"AllowedNonAdminExecutables": ["probe"]}}',
            "Jobs/probe.json": json.dumps(job_document(tasks=[program])),
            "Jobs/bin/probe/probe": "#!/bin/sh\n",
            "Plugins/Some.json": "{}",
            "Log/runs.jsonl": json.dumps(run),
            "Log/KeeperLogger.log": json.dumps({"jobId": "probe", "level": "Warning"}) + "\n",
        }.items():
            path = root.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (root.jobs_bin / "probe" / "probe").chmod(0o755)
        free.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{free.getsockname()[1]}"
        setup = setup_of(root.path, url, job_id="probe", plugins=("Some",))
        path = root.path / closed
        path.chmod(0o700 if path.is_dir() or path.suffix == "" else 0o600)
        with second_user.this_process():
            found = [*examine(setup)]
    unknown = {each.check for each in found if each.state is State.UNKNOWN}
    assert unknown == unseen | {"credential", "broker"}
    others = {each.check for each in found if each.state in {State.WARNING, State.PROBLEM}}
    assert others == {"port"}


@second_user.needs_second_user
def test_a_foreign_broker_is_a_fault() -> None:
    """It may pose as the broker."""
    with second_user.listener() as (port, _):
        ((state, what),) = seen(check_broker, setup_of(broker=("127.0.0.1", port)))
    assert (state, "pose as the broker" in what) == ("problem", True)
