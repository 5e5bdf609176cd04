"""Odd requests: whatever a client sends, the agent's answer is never 500."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from peers.garbling import garbled
from simulator.api.api_agent import ApiAgent, job_document

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

#: Every field of a document.
WHOLE = {
    **job_document("probe"),
    "description": "x",
    "enabled": True,
    "priority": 5,
    "schedule": {"intervalMinutes": 5},
    "events": [{"eventType": "Startup"}],
    "parameters": [
        {"name": "Root", "type": "string", "defaultValue": "/x", "required": True},
        {"name": "Depth", "type": "integer", "defaultValue": 1},
    ],
    "tasks": [
        {
            "id": "t",
            "name": "T",
            "ExecutionType": "Service",
            "command": "probe",
            "executablePath": "/bin/true",
            "arguments": '--keeper-api-base={KeeperApiBaseUrl} --root="{Root}"',
            "timeoutSeconds": 60,
            "continueOnFailure": False,
            "scriptType": "Auto",
            "MergeStdoutJsonIntoContext": True,
            "SkipWhenPluginSettingFalse": "Plugin:key",
        }
    ],
    "condition": {"a": 1},
    "alternateJobId": "other",
    "osFilter": {"windows": True, "linux": True, "macOS": True},
    "mqttTopics": {"allowedPublications": ["KeeperLogger"], "allowedSubscriptions": ["x"]},
    "eventTopic": "KeeperLogger",
}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[ApiAgent]:
    """An agent with the binary `probe` that launched this test."""
    with ApiAgent(tmp_path) as agent:
        agent.add_binary()
        agent.trust_this_process()
        yield agent


@pytest.fixture
def admin(agent: ApiAgent) -> Iterator[httpx.Client]:
    """A client with the admin certificate."""
    with agent.client(admin=True) as client:
        yield client


def _send(client: httpx.Client, method: str, path: str, body: object) -> int:
    data = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    return client.request(method, path, content=data, headers=headers).status_code


@pytest.mark.slow
def test_garbled_documents(admin: httpx.Client) -> None:
    """Each field dropped, renamed, and replaced by what does not belong there."""
    assert _send(admin, "POST", "/api/Jobs", WHOLE) == 200
    calls = [("POST", "/api/Jobs/validate"), ("POST", "/api/Jobs"), ("PUT", "/api/Jobs/probe")]
    failed = [
        (what, call, status)
        for number, (what, variant) in enumerate(garbled(WHOLE))
        if (status := _send(admin, *(call := calls[number % 3]), variant)) not in {200, 400}
    ]
    assert failed == []
    assert admin.get("/api/Jobs").status_code == 200


@pytest.mark.parametrize("field", ["command", "executablePath"])
@pytest.mark.parametrize("value", ["/" + "x" * 300, "x" * 256, "/x" * 5000, "a\0b"])
def test_a_name_that_no_file_can_have(admin: httpx.Client, field: str, value: str) -> None:
    """400 with the reason."""
    task = {"id": "t", "command": "probe", field: value}
    refused = admin.post("/api/Jobs", json=job_document("long", tasks=[task]))
    assert refused.status_code == 400
    assert refused.json()["errors"]


def test_garbled_contexts_and_settings(admin: httpx.Client) -> None:
    """Of a trigger, and of a value that is written."""
    assert _send(admin, "POST", "/api/Jobs", WHOLE) == 200
    whole: dict[str, Any] = {"Root": "/x", "Depth": 3, "other": {"a": [1, None]}}
    statuses = {
        _send(admin, "POST", "/api/Jobs/probe/trigger", variant) for _, variant in garbled(whole)
    }
    key = "/api/PluginSettings/KeeperPrivilegeManager/odd"
    statuses |= {_send(admin, "PUT", key, variant) for _, variant in garbled({"value": whole})}
    assert statuses <= {200, 400}


@pytest.mark.parametrize("name", ["x" * 300, "%2e%2e%2fx", "a%00b", "%ff", "%ed%a0%80", "a%5cb"])
def test_odd_names_in_the_path(admin: httpx.Client, name: str) -> None:
    """Of a job, of a plugin, and of a setting."""
    for path in (f"/api/Jobs/{name}", f"/api/PluginSettings/{name}", f"/api/{name}"):
        for method in ("GET", "PUT", "DELETE", "POST"):
            assert _send(admin, method, path, {"id": "x"}) < 500, (method, path)
    setting = f"/api/PluginSettings/KeeperPrivilegeManager/{name}"
    for method, body in (("GET", {}), ("PUT", {"value": 1})):
        assert _send(admin, method, setting, body) < 500
