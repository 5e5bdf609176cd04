"""Bad input of `epm-task deploy`: one sentence, an exit code, and nothing half done."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from admin.admin_files import options_of
from admin.deploy.bundle_files import GOOD, executable, installed, write_bundle
from cli.command_line import Finished, epm_task
from peers.patience import PATIENCE
from peers.rights import OTHERS_WRITE, let_others

from epm_task.admin.deploy.deploy_root import DeployRoot
from epm_task.contract.layout import AgentRoot

if TYPE_CHECKING:
    from collections.abc import Callable

    from epm_task.testing import Agent

#: So large that a small disk is full before it is copied.
LARGE = GOOD + "# padding\n" * 20_000


@pytest.fixture
def first(agent: Agent, deploy: Callable[..., Finished]) -> str:
    """The first version is in place; `dist` holds a second one that is large."""
    write_bundle(Path("dist"))
    assert deploy("apply", "--yes").exit_code == 0
    write_bundle(Path("dist"), LARGE, name="Two")
    return GOOD


def _as_before(agent: Agent) -> bool:
    """Return whether the first version is in place, and nothing is under way."""
    root = DeployRoot(AgentRoot(agent.root))
    name = agent.call_in_loop(lambda: agent._local.jobs.get("probe"))["name"]
    whole = (installed(agent), name) == (GOOD, "Probe")
    return whole and root.store("probe").numbers() == [1] and not root.journal.exists()


def _command(agent: Agent, prefix: list[str], **more: Any) -> subprocess.CompletedProcess[str]:
    words = ["deploy", "apply", "--yes", "--agent-root", agent.root, *options_of(agent)]
    return subprocess.run(
        [*prefix, sys.executable, "-m", "epm_task.cli", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        **more,
    )


def _one_sentence(err: str) -> str:
    """Return the error, which is the last line; the others are steps."""
    lines = [line for line in err.splitlines() if line.startswith("epm-task: ")]
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


def test_a_folder_that_is_no_bundle(agent: Agent, deploy: Callable[..., Finished]) -> None:
    """Before the agent is asked anything."""
    refused = deploy("apply", "absent", "--yes")
    assert refused.exit_code == 65
    assert "epm-task freeze" in _one_sentence(refused.err)


def test_an_agent_root_that_is_none(agent: Agent) -> None:
    """A folder must be there, and have a folder Jobs."""
    write_bundle(Path("dist"))
    words = ["deploy", "apply", "--yes", *options_of(agent), "--agent-root"]
    assert epm_task(*words, "absent").exit_code == 2
    assert "no folder Jobs" in _one_sentence(epm_task(*words, ".").err)


def test_a_full_disk(agent: Agent, first: str) -> None:
    """The limit on file size plays it: no write beyond it succeeds."""
    resource = pytest.importorskip("resource")
    limit = 1024 * 1024
    write_bundle(Path("dist"), GOOD + "# padding\n" * 200_000, name="Two")

    def restrict() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    refused = _command(agent, [], preexec_fn=restrict)
    assert refused.returncode == 74, refused.stderr
    assert "make room" in _one_sentence(refused.stderr)
    assert _as_before(agent)


def test_a_file_system_without_room(agent: Agent, first: str) -> None:
    """A real one of 256 KiB, at the place where versions are kept."""
    versions = agent.root / "epm-task" / "versions"
    kept = shutil.copytree(versions, "kept")
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(versions)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting a file system needs root and the right to mount")
    try:
        shutil.copytree(kept, versions, dirs_exist_ok=True)
        (versions / "padding").mkdir()
        (versions / "padding" / "data").write_bytes(b"\0" * 100_000)
        refused = _command(agent, [])
        assert refused.returncode == 74, refused.stderr
        assert "No space left" in _one_sentence(refused.stderr)
        assert _as_before(agent)
    finally:
        subprocess.run(["umount", str(versions)], check=True)


@pytest.mark.posix("modes are POSIX")
def test_no_permission(agent: Agent, first: str) -> None:
    """Root without its capabilities is an owner like any other."""
    prefix = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    if prefix and shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    binaries = agent.root / "Jobs" / "bin"
    binaries.chmod(0o555)
    try:
        refused = _command(agent, prefix)
    finally:
        binaries.chmod(0o755)
    assert refused.returncode == 77, refused.stderr
    assert "run this as the owner" in _one_sentence(refused.stderr)
    assert _as_before(agent)


def test_others_can_write_the_folder(
    agent: Agent, first: str, deploy: Callable[..., Finished]
) -> None:
    """Then every user could become the agent's account."""
    let_others(agent.root / "Jobs" / "bin", "write")
    refused = deploy("apply", "--yes")
    let_others(agent.root / "Jobs" / "bin", "read")
    assert refused.exit_code == 78
    assert re.search(OTHERS_WRITE, _one_sentence(refused.err))


def test_others_can_write_the_versions(
    agent: Agent, first: str, deploy: Callable[..., Finished]
) -> None:
    """What is put in place from there would be theirs."""
    let_others(agent.root / "epm-task" / "versions", "write")
    refused = deploy("rollback", "--yes")
    assert refused.exit_code == 78
    assert re.search(OTHERS_WRITE, _one_sentence(refused.err))


def test_an_agent_that_is_down(agent: Agent, first: str) -> None:
    """Nothing is begun without it."""
    root = ["--agent-root", agent.root]
    refused = epm_task("deploy", "apply", "--yes", *root, "--base-url", "https://127.0.0.1:1")
    assert refused.exit_code == 69
    assert _as_before(agent)


def test_a_credential_that_is_refused(agent: Agent, first: str) -> None:
    """403, explained."""
    options = ["--base-url", agent.base_url, "--cacert", agent.ca, "--agent-root", agent.root]
    refused = epm_task("deploy", "apply", "--yes", *options)
    assert (refused.exit_code, "Admin tier" in _one_sentence(refused.err)) == (77, True)
    assert _as_before(agent)


def test_a_job_that_the_agent_refuses(
    agent: Agent, first: str, deploy: Callable[..., Finished]
) -> None:
    """Its errors are told, and the old program is back."""
    write_bundle(Path("dist"), LARGE, priority=11)
    refused = deploy("apply", "--yes")
    assert refused.exit_code == 65
    assert "priority must be" in _one_sentence(refused.err)
    assert "rolled back, and version 1" in refused.err
    assert _as_before(agent)


def test_a_connection_that_ends_in_the_middle_of_post(
    agent: Agent, first: str, deploy: Callable[..., Finished]
) -> None:
    """Nobody knows whether the agent did it, so it is looked at and put back."""
    agent.faults.api(reset=True, times=1, path="/api/Jobs", method="POST")
    refused = deploy("apply", "--yes")
    assert refused.exit_code == 74
    assert "its answer did not arrive" in _one_sentence(refused.err)
    assert _as_before(agent)
    assert deploy("apply", "--yes").exit_code == 0
    assert installed(agent) == LARGE


def test_a_second_apply_at_the_same_time(
    agent: Agent, first: str, deploy: Callable[..., Finished]
) -> None:
    """It is refused, and told who is at work."""
    with DeployRoot(AgentRoot(agent.root)).held():
        refused = deploy("apply", "--yes")
        assert deploy("plan").exit_code == 0
        assert deploy("status").exit_code == 0
    assert refused.exit_code == 75
    assert f"process {os.getpid()} is deploying" in _one_sentence(refused.err)
    assert _as_before(agent)


def test_a_running_program_is_replaced_and_told(
    agent: Agent, first: str, deploy: Callable[..., Finished]
) -> None:
    """It goes on with its own files."""
    program = agent.root / "Jobs" / "bin" / "probe" / executable()
    source = shutil.which("cat") if os.name == "posix" else os.environ["COMSPEC"]
    shutil.copy2(source or "", program)
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            done = deploy("apply", "--yes")
            assert process.poll() is None
        finally:
            process.kill()
    assert (done.exit_code, f"process {process.pid} runs probe" in done.err) == (0, True)
    assert installed(agent) == LARGE
