"""The real curl: the examples of the vendor's page, save for paths and port."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from peers.patience import PATIENCE
from simulator.api.api_agent import ApiAgent, job_document
from simulator.process_peer import launch_of

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    shutil.which("curl") is None or shutil.which("sh") is None, reason="curl or sh is not installed"
)

LIST = """curl -s https://127.0.0.1:6889/api/Jobs \\
  --cert /path/to/client.pem \\
  --key /path/to/client.key \\
  --cacert /path/to/ca.pem
"""
CREATE = """curl -s -X POST https://127.0.0.1:6889/api/Jobs \\
  --cert /path/to/client.pem \\
  --key /path/to/client.key \\
  --cacert /path/to/ca.pem \\
  -H "Content-Type: application/json" \\
  -d @my-job.json
"""
DELETE = """curl -s -X DELETE https://127.0.0.1:6889/api/Jobs/my-job-id \\
  --cert /path/to/client.pem \\
  --key /path/to/client.key \\
  --cacert /path/to/ca.pem
"""
# The page shows these two in PowerShell; the curl line takes the form of the page's own.
VALIDATE = CREATE.replace("/api/Jobs", "/api/Jobs/validate")
TRIGGER = CREATE.replace("/api/Jobs", "/api/Jobs/my-job-id/trigger").replace("@my-job.json", '"{}"')


def run(agent: ApiAgent, command: str) -> dict[str, object]:
    """Run one example in the folder of the job file, and return its JSON answer."""
    files = agent.files
    for example, own in {
        "/path/to/client.pem": files.admin_cert,
        "/path/to/client.key": files.admin_key,
        "/path/to/ca.pem": files.ca,
        "127.0.0.1:6889": f"127.0.0.1:{agent.server.port}",
    }.items():
        command = command.replace(example, str(own))
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=agent.root,
        capture_output=True,
        check=True,
        timeout=PATIENCE,
    )
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def curl(agent: ApiAgent, path: str, *options: str) -> str:
    """Return the status that curl gets without a certificate."""
    url = f"{agent.server.base_url}{path}"
    show_status = ["-s", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}"]
    command = ["curl", *show_status, "--cacert", str(agent.files.ca), *options, url]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_the_examples_of_the_vendors_page_run(tmp_path: Path) -> None:
    """Validate, create, list, trigger, delete."""
    with ApiAgent(tmp_path) as agent:
        agent.add_binary()
        job = job_document("my-job-id")
        (tmp_path / "my-job.json").write_text(json.dumps(job, indent=2))
        assert run(agent, VALIDATE)["valid"] is True
        assert run(agent, LIST)["count"] == 0
        assert run(agent, CREATE)["message"] == "Job my-job-id created"
        assert run(agent, LIST)["jobs"] == [job]
        assert run(agent, TRIGGER)["jobId"] == "my-job-id"
        assert agent.runs == [("my-job-id", "trigger", {})]
        assert run(agent, DELETE)["jobId"] == "my-job-id"
        assert run(agent, LIST)["count"] == 0


def test_curl_without_a_certificate_is_403(tmp_path: Path) -> None:
    """TLS succeeds; the tier is missing."""
    with ApiAgent(tmp_path) as agent:
        assert curl(agent, "/api/Jobs") == "403"
        assert curl(agent, "/health") == "200"


def test_curl_from_a_shell_has_no_plugin_tier(tmp_path: Path) -> None:
    """A program that the agent did not launch gets 403."""
    with ApiAgent(tmp_path) as agent:
        assert curl(agent, "/api/PluginSettings/KeeperPrivilegeManager") == "403"
        assert "no process launched by this agent" in agent.last().reason


@pytest.mark.parametrize(("trust", "status"), [("exact", "403"), ("tree", "200")])
def test_a_shell_task_that_calls_curl_needs_tree_trust(
    tmp_path: Path, trust: str, status: str
) -> None:
    """The launched process is the shell; curl is its child."""
    with ApiAgent(tmp_path, trust=trust) as agent:
        url = f"{agent.server.base_url}/api/PluginSettings/KeeperPrivilegeManager"
        # The shell waits for a line, as it is registered only after it was started.
        line = f"read go; curl -s -o answer -w %{{http_code}} --cacert {agent.files.ca} {url}; exit"
        shell = subprocess.Popen(
            ["/bin/sh", "-c", line],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with shell:
            agent.registry.add(launch_of(shell.pid))
            out, _ = shell.communicate("\n", timeout=PATIENCE)
        assert out == status
        if trust == "exact":
            assert f"is a child of launched process {shell.pid}" in agent.last().reason
        else:
            assert json.loads((tmp_path / "answer").read_text())["broker.port"] == "8675"


def test_a_foreign_client_certificate_ends_the_handshake(tmp_path: Path) -> None:
    """The agent goes on, and its trace says what was wrong."""
    with ApiAgent(tmp_path / "one") as agent, ApiAgent(tmp_path / "other") as other:
        files = other.files
        options = ["--cert", str(files.admin_cert), "--key", str(files.admin_key)]
        assert curl(agent, "/health", *options) == "000"
        # TLS 1.3 tells the client after its first bytes, so the trace may come a little later.
        assert curl(agent, "/health") == "200"
        refused = next(event for event in agent.trace if event.denied)
        assert "the client certificate is not one of this agent's CA" in refused.reason
