"""Tests of the pytest plugin: pytest runs in a process of its own and loads it by itself."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

TASK = '''
from epm_task import TaskContext, TaskSettings, task

class ScannerSettings(TaskSettings, plugin="KeyScanner"):
    max_bytes: int = 7

@task(job_id="key-scanner")
def key_scanner(ctx: TaskContext, settings: ScannerSettings, *, root: str = "x"):
    """Report the settings."""
    ctx.log.info("scan_finished", root=root)
    return {"max_bytes": settings.max_bytes}

if __name__ == "__main__":
    key_scanner.main()
'''

#: What the plugin is told of in `pyproject.toml`, as an installation would have it.
PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]


@pytest.fixture
def tester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with a task, whose pytest finds the plugin as installed, by its entry point."""
    for name in ("PYTEST_ADDOPTS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)
    installed = pytester.mkdir("installed")
    about = installed / "epm_task-0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: epm-task\nVersion: 0\n")
    points = PROJECT["entry-points"]["pytest11"]
    lines = [f"{name} = {module}" for name, module in points.items()]
    (about / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines]))
    # The root of the repository, for runs from a checkout that is not installed.
    for folder in (installed, Path(__file__).parents[1]):
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    pytester.makepyfile(scanner=TASK)
    # Other plugins only take time, in each worker again.
    others = ("cacheprovider", "hypothesispytest", "anyio", "pytest_cov")
    options = " ".join(f"-p no:{name}" for name in others)
    pytester.makeini(f"[pytest]\nfilterwarnings = error\naddopts = {options}\n")
    return pytester


def run(tester: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    """Run pytest on a file with this text."""
    tester.makepyfile(test_it=text)
    return tester.runpytest_subprocess(*options, timeout=300)


def test_fixtures(tester: pytest.Pytester) -> None:
    """The sample of the documentation works: `agent`, `run_task`, `agent_factory`."""
    text = """
    from scanner import key_scanner

    def test_agent(agent):
        agent.settings["KeyScanner"]["max_bytes"] = "10"
        run = agent.run(key_scanner, parameters={"root": "/etc"}, registration_delay=0.2)
        assert run.exit_code == 0 and run.result == {"max_bytes": 10}
        assert run.records[-1].message == "scan_finished"
        assert not run.denials

    def test_run_task(run_task):
        assert run_task(key_scanner).result == {"max_bytes": 7}

    def test_factory(agent, agent_factory):
        other = agent_factory(trust="tree", settings={"KeyScanner": {"max_bytes": 3}})
        assert other.base_url != agent.base_url
        assert other.run(key_scanner).result == {"max_bytes": 3}
        assert agent.run(key_scanner).result == {"max_bytes": 7}
    """
    run(tester, text).assert_outcomes(passed=3)


def test_isolation(tester: pytest.Pytester) -> None:
    """Jobs, settings, faults and runs of one test are gone in the next, on the same server."""
    text = """
    import sys
    import psutil
    from scanner import key_scanner

    SEEN = {}

    def test_first(agent):
        SEEN["url"] = agent.base_url
        agent.settings["KeyScanner"]["max_bytes"] = "10"
        agent.settings["Other"]["key"] = "x"
        tasks = [{"id": "t", "name": "T", "command": "true", "executablePath": sys.executable}]
        agent.jobs.add({"id": "j", "name": "J", "events": ["E"], "tasks": tasks})
        agent.jobs.trigger("j")
        agent.faults.api(status=404)
        step = {**tasks[0], "arguments": '-c "import time; time.sleep(60)"'}
        SEEN["pid"] = agent.start(sys.executable, job={"tasks": [step]}).pid

    def test_second(agent):
        assert agent.base_url == SEEN["url"]
        assert not psutil.pid_exists(SEEN["pid"])
        assert agent.jobs.ids() == []
        assert agent.jobs.ended() == []
        assert "Other" not in agent.settings
        run = agent.run(key_scanner)
        assert run.exit_code == 0, run.stderr
        assert run.result == {"max_bytes": 7}
    """
    run(tester, text).assert_outcomes(passed=2)


def test_agents_of_a_factory_are_stopped(tester: pytest.Pytester) -> None:
    """Their folders and threads are gone after the test, also when it failed."""
    text = """
    import threading

    ROOTS = []

    def test_fails(agent_factory):
        ROOTS.extend(agent_factory().root for _ in range(2))
        assert all(root.is_dir() for root in ROOTS)
        assert False

    def test_after():
        assert ROOTS and not any(root.exists() for root in ROOTS)
        assert threading.active_count() == 1
    """
    run(tester, text).assert_outcomes(passed=1, failed=1)


def test_failed_assertion_prints_the_trace(tester: pytest.Pytester) -> None:
    """The agent's decisions of this test come below the failure, denials marked; no one else's."""
    text = """
    from scanner import key_scanner

    def test_before(agent):
        agent.settings["OfAnotherTest"]["key"] = "x"

    def test_fails(agent):
        agent.faults.registration(never=True)
        run = agent.run(key_scanner, arguments=["--registration-timeout=3"])
        assert run.exit_code == 0

    def test_passes(agent):
        assert agent.run(key_scanner).exit_code == 0
    """
    result = run(tester, text, "-rA")
    result.assert_outcomes(passed=2, failed=1)
    lines = result.outlines
    (start,) = [number for number, line in enumerate(lines) if "trace of the agent" in line]
    trace = "\n".join(lines[start:])
    assert "job key-scanner: run" in trace
    assert "denied  GET /api/PluginSettings" in trace
    assert "never registered" in trace
    assert "OfAnotherTest" not in trace


@pytest.mark.slow
def test_parallel(tester: pytest.Pytester) -> None:
    """Each worker of `-n 2` has a server of its own."""
    pytest.importorskip("xdist")
    text = """
    import pytest
    from scanner import key_scanner

    @pytest.mark.parametrize("number", range(3))
    def test_parallel(agent, number):
        agent.settings["KeyScanner"]["max_bytes"] = str(number)
        assert agent.run(key_scanner).result == {"max_bytes": number}
    """
    run(tester, text, "-n", "2").assert_outcomes(passed=3)


def test_plugin_is_cheap(tester: pytest.Pytester) -> None:
    """A project that uses no fixture of it does not pay for the simulator's imports."""
    text = """
    import sys

    def test_nothing():
        heavy = {"h11", "cryptography", "paho", "httpx", "pydantic"}
        assert not heavy & set(sys.modules)
        assert not [name for name in sys.modules if name.startswith("epm_task.simulator")]
    """
    run(tester, text).assert_outcomes(passed=1)


def test_without_the_packages_of_the_simulator_the_test_is_skipped(
    tester: pytest.Pytester,
) -> None:
    """The line says what to install; tests that need no agent run."""
    (tester.path / "installed" / "h11.py").write_text(
        "raise ModuleNotFoundError('gone', name='h11')"
    )
    text = """
    def test_agent(agent):
        assert agent is None

    def test_factory(agent_factory):
        assert agent_factory is None

    def test_plain():
        assert True
    """
    ended = run(tester, text, "-rs")
    ended.assert_outcomes(passed=1, skipped=2)
    line = '*the package h11 is not installed; pip install "epm-task?tools?"'
    ended.stdout.fnmatch_lines([line])
