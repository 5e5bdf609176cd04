"""Tests of the checks of an agent, where a whole diagnosis would hide what they see."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING

import pytest
from admin.admin_files import credential_of
from admin.doctor.setups import seen, setup_of
from peers import second_user
from peers.http_answer import plain_tcp
from peers.http_peer import HttpPeer

from epm_task.admin.doctor.check_agent import check_broker, check_root, check_tls
from epm_task.admin.settings import DEFAULT_BASE_URL

if TYPE_CHECKING:
    from pathlib import Path

    from epm_task.testing import Agent


def test_the_port_comes_from_the_agents_folder(agent: Agent) -> None:
    """Unless one was given, which is then compared."""
    setup = setup_of(agent.root)
    assert [state for state, _ in seen(check_root, setup)] == ["ok"]
    assert setup.base_url == agent.base_url
    other = setup_of(agent.root, "https://127.0.0.1:1")
    assert [state for state, _ in seen(check_root, other)] == ["ok", "note"]


def test_a_folder_that_is_no_agents_is_a_fault(tmp_path: Path) -> None:
    """The folders that are missing are named."""
    assert "is not a folder" in seen(check_root, setup_of(tmp_path / "none"))[0][1]
    states = seen(check_root, setup_of(tmp_path))
    assert [state for state, _ in states] == ["fault", "unknown"]
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
    assert (state, "no TLS is spoken" in what) == ("fault", True)


def test_a_broker_is_looked_for_where_the_disk_says(agent: Agent, tmp_path: Path) -> None:
    """A known address where nobody listens is a fault; the usual one is only a guess."""
    plugins = tmp_path / "Plugins"
    plugins.mkdir()
    file = plugins / "KeeperPrivilegeManager.json"
    file.write_text(json.dumps({"broker.port": str(agent.broker_port)}))
    setup = setup_of(tmp_path, credential=credential_of(agent))
    assert seen(check_broker, setup)[0][0] == "ok"
    assert seen(check_broker, setup_of(tmp_path))[0][0] == "note"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        file.write_text(json.dumps({"broker.port": free.getsockname()[1]}))
        assert seen(check_broker, setup_of(tmp_path))[0][0] == "fault"


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root starts a second user's process"
)
def test_a_foreign_broker_is_a_fault() -> None:
    """It may pose as the broker."""
    with second_user.listener() as (port, _):
        ((state, what),) = seen(check_broker, setup_of(broker=("127.0.0.1", port)))
    assert (state, "pose as the broker" in what) == ("fault", True)
