"""The list of plugins, and their start, stop and restart."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING, Any

import pytest
from simulator.api.api_agent import ApiAgent
from simulator.task_files import TWO_TASKS, call, write

from epm_task.simulator.embedded import Agent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMANDS = ("start", "stop", "restart")


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[ApiAgent]:
    """An agent with the plugin Bridge, whose launched process is this one."""
    (tmp_path / "Plugins").mkdir()
    (tmp_path / "Plugins" / "Bridge.json").write_text('{"name": "The bridge", "key": 1}')
    with ApiAgent(tmp_path) as running:
        running.trust_this_process()
        yield running


def _listed(agent: ApiAgent) -> dict[str, dict[str, Any]]:
    with agent.client() as client:
        answer = client.get("/api/plugins").json()
    assert answer["count"] == len(answer["plugins"])
    return {plugin["id"]: plugin for plugin in answer["plugins"]}


def _command(agent: ApiAgent, plugin: str, verb: str) -> int:
    with agent.client(admin=True) as client:
        return client.post(f"/api/plugins/{plugin}/{verb}").status_code


def test_a_launched_process_sees_every_plugin(agent: ApiAgent) -> None:
    """Five fields each; the service itself is no plugin, and no program of Bridge is run."""
    plugins = _listed(agent)
    assert list(plugins) == ["Bridge", "KeeperLogger"]
    bridge, logger = plugins.values()
    started = dt.datetime.fromisoformat(bridge.pop("lastStartTime"))
    assert dt.timedelta() <= dt.datetime.now(dt.UTC) - started < dt.timedelta(hours=1)
    assert bridge == {
        "id": "Bridge",
        "name": "The bridge",
        "status": "Running",
        "processId": None,
    }
    assert (logger["name"], logger["processId"]) == ("KeeperLogger", os.getpid())


def test_the_list_needs_a_launched_process(tmp_path: Path) -> None:
    """An administrator's certificate does not open it."""
    with ApiAgent(tmp_path) as agent:
        for admin in (False, True):
            with agent.client(admin=admin) as client:
                assert client.get("/api/plugins").status_code == 403


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_command_needs_an_administrator(agent: ApiAgent, verb: str) -> None:
    """A launched process has another tier, and learns not even which plugins exist."""
    with agent.client() as client:
        for plugin in ("Bridge", "Absent"):
            answer = client.post(f"/api/plugins/{plugin}/{verb}")
            assert (answer.status_code, answer.json()) == (403, {"error": "Forbidden"})
            assert agent.last().facts["tier"] == "Admin"
    assert _listed(agent)["Bridge"]["status"] == "Running"


@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize("plugin", ["Absent", "bridge", "KeeperPrivilegeManager", "..%2FBridge"])
def test_an_unknown_plugin_is_404(agent: ApiAgent, plugin: str, verb: str) -> None:
    """The service itself cannot be stopped by its own API."""
    assert _command(agent, plugin, verb) == 404


@pytest.mark.parametrize(
    "path", ["/api/plugins/Bridge/pause", "/api/plugins/Bridge", "/api/plugin"]
)
def test_another_path_is_404_for_an_administrator(agent: ApiAgent, path: str) -> None:
    """There is no such command."""
    with agent.client(admin=True) as client:
        assert client.post(path).status_code == 404


def test_a_plugin_is_stopped_and_started(agent: ApiAgent) -> None:
    """A second stop, or start, changes nothing; a restart is a start of its own."""
    times = [_listed(agent)["Bridge"]["lastStartTime"]]
    for verb, status in [
        ("stop", "Stopped"),
        ("stop", "Stopped"),
        ("start", "Running"),
        ("start", "Running"),
        ("restart", "Running"),
        ("stop", "Stopped"),
        ("restart", "Running"),
    ]:
        assert _command(agent, "Bridge", verb) == 200
        bridge = _listed(agent)["Bridge"]
        assert bridge["status"] == status, verb
        times.append(bridge["lastStartTime"])
    assert times[0] == times[1] == times[2] < times[3] == times[4] < times[5] == times[6] < times[7]
    assert agent.last("plugin").what == "plugin Bridge was restarted by the API"


def test_a_stopped_plugin_keeps_its_settings(agent: ApiAgent) -> None:
    """They are the agent's, not the plugin's process's."""
    _command(agent, "Bridge", "stop")
    with agent.client() as client:
        assert client.get("/api/PluginSettings/Bridge/key").json() == "1"


def test_records_are_not_written_while_keeper_logger_is_stopped(tmp_path: Path) -> None:
    """The task sees nothing of it: the broker takes each record, and the trace tells."""
    file = write(tmp_path, TWO_TASKS)
    with Agent() as agent:
        call(agent, "/api/plugins/KeeperLogger/stop", method="POST", admin=True)
        runs = [agent.run(file, task="talker") for _ in range(2)]
        assert not agent.log.read_bytes()
        for run in runs:
            assert run.exit_code == 0
            assert run.acknowledged == len(run.records) > 0
            (denial,) = run.denials
            assert "POST /api/plugins/KeeperLogger/start" in denial.reason
        call(agent, "/api/plugins/KeeperLogger/start", method="POST", admin=True)
        assert not agent.run(file, task="talker").denials
        assert agent.log.read_bytes()


def test_the_next_test_finds_every_plugin_running(tmp_path: Path) -> None:
    """A reset of the embedded agent starts what was stopped."""
    file = write(tmp_path, TWO_TASKS)
    with Agent() as agent:
        call(agent, "/api/plugins/KeeperLogger/stop", method="POST", admin=True)
        agent.reset()
        assert not agent.run(file, task="talker").denials
        assert agent.log.read_bytes()
