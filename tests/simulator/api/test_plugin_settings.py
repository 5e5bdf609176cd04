"""The Plugin Settings API, with real TLS."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest
from peers.patience import PATIENCE
from simulator.api.api_agent import ApiAgent
from simulator.process_peer import launch_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

SYSTEM = "/api/PluginSettings/KeeperPrivilegeManager"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[ApiAgent]:
    """An agent that launched this test."""
    plugins = tmp_path / "Plugins"
    plugins.mkdir()
    (plugins / "KeyScanner.json").write_text('{"max_bytes": 10, "deep": true, "suffix": ".pem"}')
    with ApiAgent(tmp_path) as agent:
        agent.trust_this_process()
        yield agent


@pytest.fixture
def client(agent: ApiAgent) -> Iterator[httpx.Client]:
    """A client without a certificate."""
    with agent.client() as client:
        yield client


def test_the_system_settings_are_flat_text(client: httpx.Client) -> None:
    """Every value is a string, also the port."""
    response = client.get(SYSTEM)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/json")
    assert response.json() == {"broker.host": "127.0.0.1", "broker.port": "8675"}


def test_typed_values_of_a_plugin_file_become_text(client: httpx.Client) -> None:
    """Numbers and booleans are written as in JSON."""
    settings = client.get("/api/PluginSettings/KeyScanner").json()
    assert settings == {"max_bytes": "10", "deep": "true", "suffix": ".pem"}


def test_one_value_is_a_bare_json_string(client: httpx.Client) -> None:
    """The default of the shape that the vendor leaves open."""
    response = client.get(f"{SYSTEM}/broker.port")
    assert (response.status_code, response.text) == (200, '"8675"')


def test_one_value_can_be_an_object_instead(tmp_path: Path) -> None:
    """The other reading of the vendor's page."""
    with ApiAgent(tmp_path, bare=False) as agent, agent.client() as client:
        agent.trust_this_process()
        assert client.get(f"{SYSTEM}/broker.port").json() == {"value": "8675"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/PluginSettings/Nobody"),
        ("GET", "/api/PluginSettings/Nobody/key"),
        ("GET", "/api/PluginSettings/Nobody/status"),
        ("POST", "/api/PluginSettings/Nobody/revert"),
        ("GET", f"{SYSTEM}/no.such.key"),
        ("GET", "/api/PluginSettings/..%2F..%2Fappsettings"),
        ("GET", "/api/PluginSettings/KeyScanner/a/b"),
    ],
)
def test_an_unknown_name_is_404(client: httpx.Client, method: str, path: str) -> None:
    """An unknown plugin, an unknown key, a name that leads out of the folder, a longer path."""
    response = client.request(method, path)
    assert response.status_code == 404
    assert response.json() == {"error": "Not Found"}


def test_a_write_to_an_unknown_plugin_is_404(client: httpx.Client) -> None:
    """The API does not make plugins."""
    assert client.put("/api/PluginSettings/Nobody/key", json={"value": "x"}).status_code == 404


def test_a_written_value_wins_until_it_is_reverted(agent: ApiAgent, client: httpx.Client) -> None:
    """Unified storage is above the disk; revert takes the value back."""
    path = "/api/PluginSettings/KeyScanner"
    assert client.put(f"{path}/max_bytes", json={"value": "20"}).status_code == 200
    assert client.get(f"{path}/max_bytes").json() == "20"
    assert client.get(f"{path}/suffix").json() == ".pem"
    assert "max_bytes was written" in agent.last("settings").what
    assert client.post(f"{path}/revert").status_code == 200
    assert client.get(f"{path}/max_bytes").json() == "10"


def test_a_written_value_stands_in_the_file_when_it_is_acknowledged(
    agent: ApiAgent, client: httpx.Client
) -> None:
    """A restart finds it."""
    client.put(f"{SYSTEM}/new.key", json={"value": "x"})
    stored = json.loads((agent.root / "settings-store.json").read_text())
    assert stored["plugins"]["KeeperPrivilegeManager"] == {"new.key": "x"}


def test_revert_all_takes_every_written_value_back(client: httpx.Client) -> None:
    """All plugins are imported again."""
    client.put("/api/PluginSettings/KeyScanner/max_bytes", json={"value": "20"})
    client.put(f"{SYSTEM}/broker.port", json={"value": "1"})
    assert client.post("/api/PluginSettings/revert-all").json()["count"] == 2
    assert client.get("/api/PluginSettings/KeyScanner/max_bytes").json() == "10"
    assert client.get(f"{SYSTEM}/broker.port").json() == "8675"


def test_status_shows_a_change_and_hashes(client: httpx.Client) -> None:
    """A written value changes the effective hash and not that of the file."""
    before = client.get("/api/PluginSettings/KeyScanner/status").json()
    assert before["changed"] is False
    client.put("/api/PluginSettings/KeyScanner/max_bytes", json={"value": "20"})
    after = client.get("/api/PluginSettings/KeyScanner/status").json()
    assert after["changed"] is True
    assert after["effectiveHash"] != before["effectiveHash"]
    assert after["diskHash"] == before["diskHash"]


def test_a_broken_plugin_file_cannot_be_reverted_to(agent: ApiAgent, client: httpx.Client) -> None:
    """The answer is 500, the reason stands in the trace only, and the values stay."""
    (agent.root / "Plugins" / "KeyScanner.json").write_text("{\n,}")
    response = client.post("/api/PluginSettings/KeyScanner/revert")
    assert (response.status_code, response.json()) == (500, {"error": "Internal Server Error"})
    assert "KeyScanner.json, line 2" in agent.last().reason
    assert client.get("/api/PluginSettings/KeyScanner/max_bytes").json() == "10"
    assert client.post("/api/PluginSettings/revert-all").status_code == 200
    assert "KeyScanner.json" in agent.last("settings").reason


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "malformed JSON: line 1"),
        ("[" * 100_000, "nested too deeply"),
        ('{"value": 1e999}', "is too large"),
        ("[1]", "a JSON object is needed"),
        ("", "the body is empty"),
        ('{"values": "x"}', 'must be {"value": "…"}'),
    ],
)
def test_a_wrong_body_is_400_with_errors(client: httpx.Client, body: str, message: str) -> None:
    """The errors say what is wrong with the body."""
    headers = {"Content-Type": "application/json"}
    response = client.put(f"{SYSTEM}/key", content=body, headers=headers)
    assert response.status_code == 400
    assert message in response.json()["errors"][0]


def test_random_bytes_as_a_body_are_400(client: httpx.Client) -> None:
    """Ten thousand bytes that are no text."""
    headers = {"Content-Type": "application/json"}
    response = client.put(f"{SYSTEM}/key", content=b"\xff" + os.urandom(10_000), headers=headers)
    assert "not UTF-8" in response.json()["errors"][0]


def test_a_body_that_is_not_declared_as_json_is_415(client: httpx.Client) -> None:
    """Neither a form nor a compressed body is read."""
    form = client.put(f"{SYSTEM}/key", data={"value": "x"})
    packed = client.put(f"{SYSTEM}/key", json={"value": "x"}, headers={"Content-Encoding": "gzip"})
    assert (form.status_code, packed.status_code) == (415, 415)


def test_a_method_that_a_path_does_not_have_is_405(client: httpx.Client) -> None:
    """The answer says which it has."""
    response = client.delete(SYSTEM)
    assert (response.status_code, response.headers["allow"]) == (405, "GET")
    assert client.head(SYSTEM).status_code == 405


def test_a_kept_alive_connection_turns_from_403_to_200(tmp_path: Path) -> None:
    """No refusal is remembered: the same connection is trusted at the registration."""
    with ApiAgent(tmp_path) as agent, agent.client() as client:
        assert client.get(SYSTEM).status_code == 403
        agent.registry.add(launch_of(os.getpid()), delay_seconds=0.5)
        first = client.get(SYSTEM)
        assert first.status_code == 403
        assert "not registered yet" in agent.last().reason
        deadline = time.monotonic() + PATIENCE
        while (response := client.get(SYSTEM)).status_code == 403:
            assert time.monotonic() < deadline
        stream = first.extensions["network_stream"].get_extra_info("client_addr")
        assert response.extensions["network_stream"].get_extra_info("client_addr") == stream
        agent.registry.remove("run1")
        assert client.get(SYSTEM).status_code == 403


def test_a_wrong_tier_is_403_without_a_hint(tmp_path: Path) -> None:
    """Neither a token nor the admin certificate opens the Plugin tier."""
    with ApiAgent(tmp_path) as agent, agent.client(admin=True) as client:
        headers = {"Authorization": "Bearer x", "X-Pid": str(os.getpid())}
        response = client.get(SYSTEM, headers=headers)
        assert (response.status_code, response.json()) == (403, {"error": "Forbidden"})
        event = agent.last()
        assert event.denied
        assert "no process launched by this agent" in event.reason
        assert "an admin certificate does not give the Plugin tier" in event.reason
        assert client.get("/api/PluginSettings/a/b/c").status_code == 403
        assert client.delete("/API/pluginsettings").status_code == 403


def test_the_trace_tells_each_request(agent: ApiAgent, client: httpx.Client) -> None:
    """Method, path, caller, tier, answer, reason."""
    client.get(f"{SYSTEM}/nothing")
    event = agent.last()
    assert event.what == (
        f"GET {SYSTEM}/nothing -> 404 (Plugin tier, process {os.getpid()} of job probe)"
    )
    assert event.reason == "setting 'nothing' of KeeperPrivilegeManager is not known"
    assert event.facts["pid"] == os.getpid()
    assert event.facts["run_id"] == "run1"
    json.dumps(event.document())
