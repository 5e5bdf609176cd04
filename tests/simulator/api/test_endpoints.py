"""The public endpoints, and paths that lead nowhere."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from simulator.api.api_agent import ApiAgent, job_document

import epm_task

if TYPE_CHECKING:
    from pathlib import Path


def test_anyone_may_ask_how_the_agent_is(tmp_path: Path) -> None:
    """Health has status, timestamp, version."""
    with ApiAgent(tmp_path) as agent, agent.client() as client:
        health = client.get("/health").json()
        assert client.head("/health").status_code == 200
    assert health["status"] == "healthy"
    assert epm_task.__version__ in health["version"]
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(health["timestamp"])
    assert age < dt.timedelta(minutes=1)


def test_anyone_may_ask_who_the_agent_is(tmp_path: Path) -> None:
    """The root has service name, status, version."""
    with ApiAgent(tmp_path) as agent, agent.client() as client:
        root = client.get("/").json()
    assert root["service"] == "KeeperPrivilegeManager"
    assert root["status"] == "running"


def test_the_system_status_counts_plugins_and_jobs(tmp_path: Path) -> None:
    """Enabled jobs are counted apart."""
    with ApiAgent(tmp_path) as agent, agent.client() as client:
        agent.jobs.put(job_document("one"))
        agent.jobs.put(job_document("two", enabled=False))
        status = client.get("/api/system/status").json()
    assert status == {"running": True, "plugins": 1, "jobs": {"total": 2, "enabled": 1}}


def test_a_path_that_leads_nowhere_is_404(tmp_path: Path) -> None:
    """Without a tier there is nothing to refuse."""
    with ApiAgent(tmp_path) as agent, agent.client() as client:
        assert client.get("/api/nothing").status_code == 404
        assert client.post("/health").status_code == 405
        assert "caller not launched" in agent.last().what
